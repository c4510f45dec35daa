"""The tables of a report as text cells: the headline, relative gains, every metric, and what differs between runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from unirex.metrics.definitions import Direction
from unirex.metrics.families import families, family_of
from unirex.metrics.nrg_table import COMPOSITES
from unirex.metrics.report import ARROWS, Metric, Report
from unirex.report.document import Document, Part, defined
from unirex.report.figure import number
from unirex.text import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of a column: what it is called, which way is better, what it says."""

    text: str
    direction: Direction
    about: str

    @property
    def arrow(self) -> str:
        """An arrow in the better direction."""
        return ARROWS[self.direction]

    @property
    def better(self) -> str:
        """The same in words."""
        return {"higher": "higher is better", "lower": "lower is better", "none": ""}[self.direction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A value, its interval, and whether it is the best of the runs."""

    value: str
    interval: str = ""
    best: bool = False
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A system: a run (number 0, 1 …) or a control of it; or anything else that has no run of its own."""

    name: str
    run: int | None
    control: bool
    rows: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Heads and rows."""

    heads: tuple[Head, ...]
    rows: tuple[Row, ...]


def headline(report: Document) -> Table:
    """The metrics that matter, runs and their controls below each other."""
    single = len(report.parts) == 1
    systems: list[tuple[int | None, str, Report, bool]] = [
        (number, part.name, part.report, False) for number, part in enumerate(report.parts)
    ]
    systems += [(None, one.name, one.report, False) for one in report.seeds]
    systems += [
        (number, control if single else f"{control}, {part.name}", system, True)
        for number, part in enumerate(report.parts)
        for control, system in part.references.items()
    ]
    metrics = list(_headline_metrics(report.parts))
    best = {name: _best(name, report.parts) for name, _ in metrics}
    rows = tuple(
        Row(
            name=name,
            run=number,
            control=control,
            rows=system.n_rows,
            cells=tuple(
                _cell(metric, system, None if control or number is None else best[metric]) for metric, _ in metrics
            ),
        )
        for number, name, system, control in systems
    )
    return Table(heads=tuple(head for _, head in metrics), rows=rows)


def _headline_metrics(parts: Sequence[Part]) -> Iterator[tuple[str, Head]]:
    names = list(dict.fromkeys(part.report.headline for part in parts if part.report.headline))
    for name in names:
        yield name, Head(text=name.replace("_", " "), direction="higher", about="the task score of this data set")
    for family in families():
        of_family = (m for p in parts for m in p.report.metrics if m.name.partition("@")[0] == family.name)
        metric = next(of_family, None) if family.heading else None
        if metric is None or metric.name in names:
            continue
        threshold = metric.name.partition("@")[2] if family.per == "threshold" else ""
        where = f" that overlap by {threshold} or more" if threshold else ""
        yield metric.name, Head(text=family.heading, direction=metric.direction, about=family.meaning + where)


def _best(name: str, parts: Sequence[Part]) -> float | None:
    """The best value of several runs on the same data, None where there is none."""
    if len({part.data for part in parts}) > 1:
        return None
    found = [part.report[name] for part in parts if name in part.report]
    known = [metric.value for metric in found if defined(metric.value)]
    if len(parts) < 2 or len(set(known)) < 2 or found[0].direction == "none":
        return None
    return max(known) if found[0].direction == "higher" else min(known)


def _highest(values: Sequence[float]) -> float | None:
    """The highest value, None where all are equal."""
    return max(values) if len(set(values)) > 1 else None


def _cell(name: str, system: Report, best: float | None) -> Cell:
    if name not in system:
        return Cell(value="–", about="not available")
    metric = system[name]
    undefined = f"{metric.n} rows" + (f", {metric.n_undefined} undefined" if metric.n_undefined else "")
    return Cell(
        value=number(metric.value),
        interval=interval(metric),
        best=best is not None and metric.value == best,
        about=undefined,
    )


def interval(metric: Metric) -> str:
    """The interval as text, empty where there is none."""
    if metric.low is None or metric.high is None:
        return ""
    return f"[{number(metric.low)}, {number(metric.high)}]"


def gains(report: Document) -> list[tuple[str, Table]]:
    """Title and table of relative gains for each data set."""
    table = report.gains
    if table is None:
        return []
    heads = {
        "FNRG": "faithfulness",
        "PNRG": "plausibility",
        "TNRG": "task",
        "CNRG": "mean of the three",
    }
    places = {part.name: place for place, part in enumerate(report.parts)}
    found = []
    for data in table.data:
        cells = {method: table.cells[data, method] for method in table.methods if (data, method) in table.cells}
        shown = [name for name in COMPOSITES if any(name in cell.composites for cell in cells.values())]
        best = {
            name: _highest([cell.composites[name] for cell in cells.values() if name in cell.composites])
            for name in shown
        }
        rows = []
        for method, cell in cells.items():
            low = "" if cell.low is None or cell.high is None else f"[{number(cell.low)}, {number(cell.high)}]"
            values = tuple(
                Cell(
                    value=number(cell.composites.get(name)),
                    interval=low if name == "CNRG" else "",
                    best=best[name] is not None and cell.composites.get(name) == best[name],
                )
                for name in shown
            )
            rows.append(Row(name=method, run=places.get(method), control=False, rows=0, cells=values))
        columns = tuple(Head(text=name, direction="higher", about=heads[name]) for name in shown)
        found.append((data, Table(heads=columns, rows=tuple(rows))))
    return found


def every_metric(report: Document) -> list[tuple[Metric, tuple[tuple[str, str, str], ...]]]:
    """Each metric of any run, and for each run value, interval and the rows that count."""
    known = {metric.name: metric for part in report.parts for metric in part.report.metrics}
    found = []
    for name, metric in known.items():
        cells = []
        for part in report.parts:
            if name not in part.report:
                cells.append(("–", "", ""))
                continue
            own = part.report[name]
            out = f"{own.n}" + (f" ({own.n_undefined} undefined)" if own.n_undefined else "")
            cells.append((number(own.value, 4), interval(own), out))
        found.append((metric, tuple(cells)))
    return found


def epochs(part: Part) -> Table | None:
    """The dev metrics of each epoch, from the run's log."""
    names = [
        n for n in ("headline", "comprehensiveness", "sufficiency", "auprc") if any(n in e for e in part.folder.dev)
    ]
    if not names:
        return None
    task = Head(text=part.report.headline or "task", direction="higher", about="")
    rows_of = {name: family for name in names if (family := family_of(name)) is not None}
    heads = tuple(
        Head(text=rows_of[name].heading, direction=rows_of[name].direction, about="") if name in rows_of else task
        for name in names
    )
    chosen = part.folder.end.get("best_epoch")
    rows = tuple(
        Row(
            name=f"{_whole(entry.get('epoch'))}{' (kept)' if entry.get('epoch') == chosen else ''}",
            run=None,
            control=False,
            rows=0,
            cells=tuple(
                Cell(value=number(_real(entry.get(name))), best=entry.get("epoch") == chosen) for name in names
            ),
        )
        for entry in part.folder.dev
    )
    return Table(heads=heads, rows=rows)


def _real(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _whole(value: object) -> str:
    return str(value) if isinstance(value, int) else "–"


def notes(report: Document) -> list[str]:
    """What a reader should know before believing the numbers."""
    found: list[str] = []
    for part in report.parts:
        found += _control_notes(part)
        name = part.report.headline or "comprehensiveness"
        saved = part.folder.saved.get(name)
        if saved is not None and name in part.report and abs(saved - part.report[name].value) > 1e-6:
            found.append(
                f"{part.name}: metrics.json says {name} {number(saved)}, its predictions say "
                f"{number(part.report[name].value)}: they are not of one run, or read by other settings."
            )
        if "words_cut" in part.report and part.report["words_cut"].value > 0.01:
            found.append(f"{part.name}: truncation took {100 * part.report['words_cut'].value:.1f} % of the words.")
    found += _interval_notes(report)
    if len({part.report.n_rows for part in report.parts}) > 1:
        counts = ", ".join(f"{part.name} {part.report.n_rows}" for part in report.parts)
        found.append(f"The runs have different numbers of rows: {counts}.")
    if report.gains_missing:
        found.append(f"No relative gains: {report.gains_missing}.")
    return [plain(note, lines=False) for note in found]


def _interval_notes(report: Document) -> list[str]:
    """What the intervals cannot tell: few rows, few seeds, and what training with another seed would change."""
    lines = dict.fromkeys(note for part in report.parts for note in part.report.notes)
    if report.gains is not None:
        lines |= dict.fromkeys(note for note in report.gains.notes if "rows stand behind" not in note)
    plain = [note.removeprefix("note: ") for note in lines]
    found = [f"{note[0].upper()}{note[1:]}." for note in plain]
    if report.seeds:
        found.append("Intervals of means over seeds are over instances and seeds; those of single runs over instances.")
    return found


def _control_notes(part: Part) -> Iterator[str]:
    chance = part.references.get("random")
    if chance is None:
        return
    for name, what in (("comprehensiveness", "removing"), ("sufficiency", "keeping")):
        if name not in part.report or name not in chance:
            continue
        own, other = part.report[name], chance[name]
        if own.low is None or own.high is None or not (defined(own.value) and defined(other.value)):
            continue
        better = own.low > other.value if name == "comprehensiveness" else own.high < other.value
        if not better:
            yield (
                f"{part.name}: {what} the words with the highest scores does no more than {what} random ones "
                f"({name} {number(own.value)}, random {number(other.value)}): the scores are not shown to be faithful."
            )


def differences(report: Document) -> list[tuple[str, tuple[str, ...]]]:
    """The configuration's keys in which the runs differ, with each run's value."""
    flat = [_flat(part.folder.config) for part in report.parts]
    if len(flat) < 2 or any(one is None for one in flat):
        return []
    known = [one for one in flat if one is not None]
    keys = dict.fromkeys(key for one in known for key in one)
    missing = "–"
    values = {key: tuple(plain(one.get(key, missing), lines=False) for one in known) for key in keys}
    rows = [(plain(key, lines=False), shown) for key, shown in values.items()]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _flat(text: str | None) -> dict[str, str] | None:
    """`section.key` -> value as text; None where there is no configuration or it is no mapping."""
    if text is None:
        return None
    try:
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return dict(_leaves(content, "")) if isinstance(content, dict) else None


def _leaves(content: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, str(content)


def summary(part: Part) -> list[str]:
    """What the numbers of a run say, in sentences; empty where nothing was measured."""
    chance = part.references.get("random")

    def of(name: str, system: Report | None = part.report) -> str | None:
        known = system is not None and name in system and defined(system[name].value)
        return number(system[name].value) if known and system is not None else None

    found = []
    if (task := of("headline")) is not None:
        found.append(
            f"{part.report['headline'].name.replace('_', ' ').capitalize()} {task} on {part.report.n_rows} instances."
        )
    if (comp := of("comprehensiveness")) is not None:
        other = of("comprehensiveness", chance)
        beside = f", random words by {other}" if other else ""
        found.append(f"Removing the words with the highest scores lowers the predicted probability by {comp}{beside}.")
    if (suff := of("sufficiency")) is not None:
        other = of("sufficiency", chance)
        found.append(f"Keeping only them lowers it by {suff}" + (f", random words by {other}." if other else "."))
    if (auprc := of("auprc")) is not None:
        other = of("auprc", chance)
        found.append(
            f"They rank the words that humans marked with an AUPRC of {auprc}"
            + (f" (random {other})." if other else ".")
        )
    return found

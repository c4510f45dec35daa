"""The tables of a report as text cells: the headline, relative gains, every metric, and what differs between runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from unirex.disk.untrusted import parse_yaml
from unirex.metrics.definitions import Direction
from unirex.metrics.families import families, family_of
from unirex.metrics.nrg_table import COMPOSITES
from unirex.metrics.nrg_table import Cell as GainCell
from unirex.metrics.paired import Paired
from unirex.metrics.report import ARROWS, Metric, Report
from unirex.report.document import Document, Part, defined
from unirex.report.figure import number, task_name
from unirex.report.training_log import finite
from unirex.text import plain

_BY = ", random words by {}"
_PLAIN = {
    "accuracy": "share of right answers",
    "comprehensiveness": "loss without the top words",
    "sufficiency": "loss with these words alone",
    "AUPRC": "agreement with people",
    "token F1": "overlap with people’s marks",
    "IOU F1": "overlap in stretches of words",
}
_CONTROLS = {
    "random": "random words",
    "gold": "what people marked (gold)",
    "inverse": "all they did not mark (inverse)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of a column: what it is called, which way is better, what it says."""

    text: str
    direction: Direction
    about: str

    @property
    def plain(self) -> str:
        """What a reader without the term calls it, empty where the term says it."""
        return _PLAIN.get(self.text.replace("\u00ad", ""), "")

    @property
    def arrow(self) -> str:
        """An arrow in the better direction."""
        return ARROWS[self.direction]

    @property
    def better(self) -> str:
        """The same in words."""
        return {"higher": "higher is better", "lower": "lower is better", "none": ""}[self.direction]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCell:
    """A value, its interval, and whether it is better than that of every other run by more than chance."""

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
    cells: tuple[TextCell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """Heads and rows."""

    heads: tuple[Head, ...]
    rows: tuple[Row, ...]


def headline(report: Document) -> TextTable:
    """The metrics that matter, runs and their controls below each other."""
    single = len(report.parts) == 1
    systems: list[tuple[int | None, str, Report, bool]] = [
        (number, part.name, part.report, False) for number, part in enumerate(report.parts)
    ]
    systems += [(None, one.name, one.report, False) for one in report.seeds]
    systems += [
        (number, _CONTROLS[control] if single else f"{_CONTROLS[control]}, {part.name}", system, True)
        for number, part in enumerate(report.parts)
        for control, system in part.references.items()
    ]
    metrics = [
        (name, head)
        for name, head in _headline_metrics(report.parts)
        if any(name in system and defined(system[name].value) for _, _, system, _ in systems)
    ]
    rows = tuple(
        Row(
            name=name,
            run=number,
            control=control,
            rows=system.n_rows,
            cells=tuple(
                _cell(metric, system, best=not control and number is not None and report.leaders.get(metric) == number)
                for metric, _ in metrics
            ),
        )
        for number, name, system, control in systems
    )
    return TextTable(heads=tuple(head for _, head in metrics), rows=rows)


def _headline_metrics(parts: Sequence[Part]) -> Iterator[tuple[str, Head]]:
    names = list(dict.fromkeys(part.report.headline for part in parts if part.report.headline))
    for name in names:
        yield name, Head(text=task_name(name), direction="higher", about="the task score of this data set")
    for family in families():
        of_family = (m for p in parts for m in p.report.metrics if m.name.partition("@")[0] == family.name)
        metric = next(of_family, None) if family.heading else None
        if metric is None or metric.name in names:
            continue
        threshold = metric.name.partition("@")[2] if family.per == "threshold" else ""
        where = f" that overlap by {threshold} or more" if threshold else ""
        yield metric.name, Head(text=family.heading, direction=metric.direction, about=family.meaning + where)


def apart(report: Document) -> tuple[str, TextTable] | None:
    """What can be said of two runs on the same texts, and each metric of both with the paired difference."""
    if report.apart is None:
        return None
    found = [
        (head, report.apart.means[name]) for name, head in _headline_metrics(report.parts) if name in report.apart.means
    ]
    names = [part.name for part in report.parts]
    rows = []
    for head, one in found:
        best = report.leaders.get(one.metric)
        cells = [_cell(one.metric, part.report, best=best == place) for place, part in enumerate(report.parts)]
        gap = TextCell(value=number(one.difference), interval=interval(one), about=f"{one.rows} texts")
        rows.append(Row(name=head.plain or head.text, run=None, control=False, rows=one.rows, cells=(*cells, gap)))
    heads = [Head(text=name, direction="none", about="") for name in names]
    gap_head = Head(text="difference", direction="none", about="the first minus the other, on the same texts")
    return _who_is_better(report, found), TextTable(heads=(*heads, gap_head), rows=tuple(rows))


def _who_is_better(report: Document, found: Sequence[tuple[Head, Paired]]) -> str:
    """Which run is better in what, as far as the paired intervals tell."""
    better: dict[str, list[str]] = {}
    for head, one in found:
        place = report.leaders.get(one.metric)
        name = "" if place is None else report.parts[place].name
        better.setdefault(name, []).append((head.plain or head.text).replace("\u00ad", ""))
    said = [f"{name} is better in: {', '.join(metrics)}." for name, metrics in better.items() if name]
    if "" in better:
        said.append(f"The difference may be chance in: {', '.join(better[''])}.")
    return " ".join(said)


def _cell(name: str, system: Report, *, best: bool = False) -> TextCell:
    if name not in system:
        return TextCell(value="–", about="not available")
    metric = system[name]
    undefined = f"{metric.n} rows" + (f", {metric.n_undefined} undefined" if metric.n_undefined else "")
    return TextCell(
        value=number(metric.value),
        interval=interval(metric),
        best=best,
        about=undefined,
    )


def interval(value: Metric | GainCell | Paired) -> str:
    """The interval as text, empty where there is none."""
    if value.low is None or value.high is None:
        return ""
    return f"[{number(value.low)}, {number(value.high)}]"


def gains(report: Document) -> list[tuple[str, TextTable]]:
    """Title and table of relative gains for each data set."""
    table = report.gains
    if table is None:
        return []
    heads = {"FNRG": "faithfulness", "PNRG": "plausibility", "TNRG": "task", "CNRG": "mean of the three"}
    places = {part.name: place for place, part in enumerate(report.parts)}
    found = []
    for data in table.data:
        cells = {method: table.cells[data, method] for method in table.methods if (data, method) in table.cells}
        shown = [name for name in COMPOSITES if any(name in cell.composites for cell in cells.values())]
        rows = []
        for method, cell in cells.items():
            values = tuple(
                TextCell(
                    value=number(cell.composites.get(name)),
                    interval=interval(cell) if name == "CNRG" else "",
                )
                for name in shown
            )
            rows.append(Row(name=method, run=places.get(method), control=False, rows=0, cells=values))
        columns = tuple(Head(text=name, direction="higher", about=heads[name]) for name in shown)
        found.append((data, TextTable(heads=columns, rows=tuple(rows))))
    return found


def every_metric(report: Document) -> list[tuple[Metric, tuple[tuple[str, str, str], ...]]]:
    """Each metric of any run, and for each run value, interval and the rows that count."""
    known = {m.name: m for part in report.parts for m in part.report.metrics if defined(m.value)}
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


def by_class(part: Part) -> TextTable | None:
    """The metrics of the rows with each answer; None where fewer than two answers occur."""
    if len(part.classes) < 2:
        return None
    metrics = [
        (name, head)
        for name, head in _headline_metrics([part])
        if name != part.report.headline
        and any(name in report and defined(report[name].value) for report in part.classes.values())
    ]
    if any("accuracy" in report and defined(report["accuracy"].value) for report in part.classes.values()):
        right = Head(text="accuracy", direction="higher", about="share of the texts with this answer where it is right")
        metrics.insert(0, ("accuracy", right))
    rows = tuple(
        Row(
            name=plain(name, longest=80, lines=False),
            run=None,
            control=False,
            rows=report.n_rows,
            cells=tuple(_cell(metric, report) for metric, _ in metrics),
        )
        for name, report in part.classes.items()
    )
    return TextTable(heads=tuple(head for _, head in metrics), rows=rows)


def epochs(part: Part) -> TextTable | None:
    """The dev metrics of each epoch, from the run's log."""
    names = [
        n
        for n in ("headline", "comprehensiveness", "sufficiency", "auprc")
        if any(finite(entry.get(n)) is not None for entry in part.folder.log.dev)
    ]
    if not names:
        return None
    task = Head(text=task_name(part.report.headline or "task"), direction="higher", about="")
    heads = tuple(
        task if (family := family_of(name)) is None else Head(text=family.heading, direction=family.direction, about="")
        for name in names
    )
    chosen = part.folder.log.end.get("best_epoch")
    rows = tuple(
        Row(
            name=f"{_whole(entry.get('epoch'))}{' (kept)' if entry.get('epoch') == chosen else ''}",
            run=None,
            control=False,
            rows=0,
            cells=tuple(TextCell(value=number(finite(entry.get(name)))) for name in names),
        )
        for entry in part.folder.log.dev
    )
    return TextTable(heads=heads, rows=rows)


def _whole(value: object) -> str:
    return str(value) if isinstance(value, int) else "–"


def differences(report: Document) -> list[tuple[str, tuple[str, ...]]]:
    """The configuration's keys in which the runs differ, with each run's value."""
    flat = [one for part in report.parts if (one := _flat(part.folder.config)) is not None]
    if len(flat) < len(report.parts):
        return []
    rows = {key: tuple(plain(one.get(key, "–"), lines=False) for one in flat) for one in flat for key in one}
    return [(plain(key, lines=False), values) for key, values in rows.items() if len(set(values)) > 1]


def _flat(text: str | None) -> dict[str, str] | None:
    """`section.key` -> value as text; None where there is no configuration or it is no mapping."""
    if text is None:
        return None
    try:
        content: Any = parse_yaml(text)
    except ValueError:
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

    def of(name: str, system: Report | None) -> str:
        known = system is not None and name in system and defined(system[name].value)
        return number(system[name].value) if known and system is not None else ""

    found = []
    if task := of("headline", part.report):
        main, rows = part.report["headline"], part.report.n_rows
        name, among = task_name(main.name), f" of {rows}" if main.n_undefined else ""
        found.append(f"{name[:1].upper()}{name[1:]} {task} on {rows - main.n_undefined}{among} instances.")
    for metric, sentence, comparison in (
        (
            "comprehensiveness",
            "Removing the words with the highest scores lowers the predicted probability by {}{}.",
            _BY,
        ),
        ("sufficiency", "Keeping only them lowers it by {}{}.", _BY),
        ("auprc", "Their agreement with people (AUPRC) is {}{}.", " (random {})"),
    ):
        if value := of(metric, part.report):
            chance = of(metric, part.references.get("random"))
            found.append(sentence.format(value, comparison.format(chance) if chance else ""))
    return found

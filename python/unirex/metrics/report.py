"""The result of an evaluation, and how it is shown: table, plain text, JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

from unirex.metrics.definitions import GROUPS, Convention, Direction, Group
from unirex.metrics.families import FAMILIES, family_of
from unirex.metrics.intervals import few_rows
from unirex.metrics.shown import Shown, as_json, finite
from unirex.text import plain, suggest

ARROWS: dict[Direction, str] = {"higher": "↑", "lower": "↓", "none": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number and what it takes to read it.

    Attributes:
        name: the metric; a faithfulness metric of another than the default perturbation has its name in brackets.
        value: NaN if it is undefined in every row.
        direction: which way is better; `none` for a description.
        range: lowest and highest possible value.
        convention: whose definition it follows.
        n: rows that count; for a class those that are predicted as it or labelled with it, as the metric has them.
        n_undefined: rows left out because the metric is undefined there, as without a label.
        group: the heading.
        low, high: ends of the interval, None where there is none.
        interval: the method behind it (`unirex.metrics.intervals`).
        perturbation: how tokens were hidden, for faithfulness.
        main: whether the short table shows it.
    """

    name: str
    value: float
    direction: Direction
    range: tuple[float, float]
    convention: Convention
    n: int
    n_undefined: int
    group: Group
    low: float | None = None
    high: float | None = None
    interval: str | None = None
    perturbation: str | None = None
    main: bool = True


@dataclass(frozen=True, kw_only=True)
class Report(Shown):
    """The metrics of one system: `print` shows the main ones, a notebook and `to_pandas` all of them.

    Attributes:
        metrics: in the order of the table.
        n_rows: rows scored.
        headline: the name of the metric that the data set is judged by.
        convention: whose definitions the metrics follow.
        fractions: shares of the units kept or removed.
        resampling: replicates, seed and confidence of the intervals.
        about: where the rows came from: source, model, data, scores_from, unit, rationale_rule, perturbation.
        odd: what looks wrong in the rows and was scored all the same, a line with a count each.
    """

    metrics: tuple[Metric, ...]
    n_rows: int
    headline: str | None
    convention: Convention
    fractions: tuple[float, ...] = ()
    resampling: Mapping[str, float] | None = None
    about: Mapping[str, str | None] = field(default_factory=dict)
    odd: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Metric:
        """The metric of this name; `headline` is the one the data set is judged by."""
        wanted = self.headline if name == "headline" else name
        for metric in self.metrics:
            if metric.name == wanted:
                return metric
        raise KeyError(f"no metric {name!r}{suggest(name, [m.name for m in self.metrics])}")

    def __contains__(self, name: str) -> bool:
        """Whether there is such a metric."""
        wanted = self.headline if name == "headline" else name
        return any(metric.name == wanted for metric in self.metrics)

    @property
    def notes(self) -> list[str]:
        """What a reader should know before believing the numbers: odd rows, and intervals from few rows."""
        confidence = None if self.resampling is None else self.resampling["confidence"]
        few = few_rows(((m.name, m.n) for m in self.metrics if m.low is not None), confidence)
        return [*(f"note: {line}" for line in self.odd), *few]

    def as_dict(self) -> dict[str, Any]:
        """What `to_json` writes."""
        return cast("dict[str, Any]", finite(self._content()))

    def _content(self) -> dict[str, Any]:
        names = [one.name for one in fields(Metric) if one.name not in ("convention", "main")]
        metrics = [{name: getattr(metric, name) for name in names} for metric in self.metrics]
        return {
            "about": self.about,
            "convention": self.convention,
            "rows": self.n_rows,
            "headline": self.headline,
            "fractions": self.fractions,
            "resampling": self.resampling,
            "notes": self.notes,
            "metrics": metrics,
        }

    def records(self) -> list[dict[str, Any]]:
        """One dictionary a metric."""
        names = ("group", "name", "value", "low", "high", "direction", "n", "n_undefined", "perturbation")
        return [{name: getattr(metric, name) for name in names} for metric in self.metrics]

    def to_json(self) -> str:
        """The report as JSON text; an undefined value or an infinite bound is null."""
        return as_json(self._content())

    def to_text(self, *, all_metrics: bool = False) -> str:
        """The report as a table."""
        return to_text([self], all_metrics=all_metrics)


def to_json(reports: Sequence[Report]) -> str:
    """One report as its own JSON text, several as `{"systems": [...]}` in the order given."""
    if len(reports) == 1:
        return reports[0].to_json()
    return as_json({"systems": [report._content() for report in reports]})


def to_text(reports: Sequence[Report], *, all_metrics: bool = False, names: Sequence[str] | None = None) -> str:
    """Reports side by side, one column each, metrics below each other; `-` = not available, `nan` = undefined.

    Args:
        reports: one per system.
        all_metrics: also the metrics of single fractions, classes and pooled counts; so too where there are no others.
        names: headings of the columns; by default the ends of the sources' paths that differ.
    """
    first = reports[0]
    shown: dict[str, Metric] = {}
    # Scores alone have metrics outside the short table only.
    all_metrics = all_metrics or not any(metric.main for report in reports for metric in report.metrics)
    for report in reports:
        for metric in report.metrics:
            if all_metrics or metric.main or metric.name == first.headline:
                shown.setdefault(metric.name, metric)
    names = names or heads(reports)
    single = len(reports) == 1
    table = [["", "", *(["value"] if single else names)] + (["interval", "rows", "undefined"] if single else [])]
    group = None
    for name, metric in sorted(shown.items(), key=lambda item: GROUPS.index(item[1].group)):
        if metric.group != group:
            group = metric.group
            table.append([f"{group}"])
        label = f"  {name}" + (" *" if name == first.headline else "")
        table.append([label, ARROWS[metric.direction], *_cells(name, reports)])
    lines = [_about(report, head) for report, head in zip(reports, names, strict=True)]
    notes = [_footnote(first, several=not single), *across_models(reports, shown)]
    for report, head in zip(reports, names, strict=True):
        notes += [note if single else note.replace("note: ", f"note: {head}: ", 1) for note in report.notes]
    return "\n".join([*lines, "", *aligned(table), "", *notes])


def across_models(reports: Sequence[Report], metrics: Iterable[str]) -> list[str]:
    """Warnings, a list of a line each, if faithfulness was measured on different models or in different ways.

    How far removing words can move a probability at all differs between models (Edin et al. 2024, arXiv 2408.08137), so
    plain comprehensiveness and sufficiency tell explanations of one model apart, not models.
    """
    families = [family_of(name) for name in metrics]
    if not any(family is not None and family.of_one_model for family in families):
        return []
    units = {str(r.about["unit"]) for r in reports if r.about.get("unit")}
    hidden = {str(r.about["perturbation"]) for r in reports if r.about.get("perturbation")}
    shares = dict.fromkeys("/".join(f"{fraction:g}" for fraction in r.fractions) for r in reports if r.fractions)
    notes = [
        f"note: what is hidden differs ({' and '.join(sorted(units))}), and faithfulness with it: a word may be "
        "several tokens (unirex evaluate --unit judges both by one unit)"
    ] * (len(units) > 1)
    for what, found in (("the ways to hide words", sorted(hidden)), ("the fractions", shares)):
        if len(found) > 1:
            notes.append(f"note: {what} differ ({' and '.join(found)}): faithfulness does not compare these systems")
    return [*notes, *_of_models(reports)]


def _of_models(reports: Sequence[Report]) -> list[str]:
    judges = {(r.about.get("scorer") or model_of(r), r.about.get("scorer") is None) for r in reports}
    if len(judges) < 2:
        return []
    comprehensiveness, sufficiency, *others = (family.name for family in FAMILIES if family.of_one_model)
    return [
        f"note: different models were asked, so plain {comprehensiveness} and {sufficiency} (and {', '.join(others)}) "
        "do not rank these systems; the normalised ones on the rows that all define (compare), or one check model "
        "(--scorer), do"
    ]


def model_of(report: Report) -> str | None:
    """The model of a report's predictions, None where they name none; a run and its folder `model` are one."""
    name = report.about.get("model")
    return None if name is None else str(name).removesuffix("/model")


def heads(reports: Sequence[Report]) -> list[str]:
    """Headings: the shortest ends of the sources' paths that differ."""
    return shortest_ends([str(report.about.get("source") or "value").split("/") for report in reports])


def shortest_ends(paths: Sequence[Sequence[str]]) -> list[str]:
    """The shortest ends of paths, given by their parts, that tell those apart that differ.

    >>> shortest_ends([["a", "0", "x"], ["b", "0", "x"]])
    ['a/0/x', 'b/0/x']
    """
    different, longest = len({*map(tuple, paths)}), max(map(len, paths))
    every = (["/".join(path[-length:]) for path in paths] for length in range(1, longest + 1))
    return next(ends for ends in every if len({*ends}) == different)


def _cells(name: str, reports: Sequence[Report]) -> list[str]:
    cells = []
    for report in reports:
        if name not in report:
            cells.append("-")
            continue
        metric = report[name]
        interval = "" if metric.low is None or metric.high is None else f"[{metric.low:.4f}, {metric.high:.4f}]"
        if len(reports) == 1:
            return [f"{metric.value:.4f}", interval, str(metric.n), str(metric.n_undefined)]
        half = "" if metric.low is None or metric.high is None else f" ±{(metric.high - metric.low) / 2:.3f}"
        undefined = f" ({metric.n_undefined} out)" if metric.n_undefined else ""
        cells.append(f"{metric.value:.4f}{half}{undefined}")
    return cells


def aligned(table: list[list[str]]) -> list[str]:
    """The rows as lines: two columns to the left, the others to the right; names of the data act on no terminal."""
    table = [[plain(cell, lines=False) for cell in row] for row in table]
    width = max(len(row) for row in table)
    widths = [max((len(row[i]) for row in table if i < len(row)), default=0) for i in range(width)]
    lines = []
    for row in table:
        cells = [
            cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _about(report: Report, head: str) -> str:
    facts = [f"{key.replace('_', ' ')} {value}" for key, value in report.about.items() if value and key != "source"]
    return f"{head}: {report.n_rows} rows" + "".join(f", {fact}" for fact in facts)


def _footnote(report: Report, *, several: bool) -> str:
    parts = [f"convention {report.convention}", "↑ higher is better, ↓ lower is better"]
    if report.headline:
        parts.append("* the task score of this data set")
    if report.resampling:
        percent = 100 * report.resampling["confidence"]
        parts.append(f"intervals: {percent:g} %, of test rows, {report.resampling['replicates']} replicates")
    if several:
        parts.append("(n out): n rows where it is undefined are left out")
    return "; ".join(parts)

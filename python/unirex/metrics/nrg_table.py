"""A table of relative gains: what it holds, and its rows as text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import ge
from typing import Any

from unirex.metrics.families import FAMILIES
from unirex.metrics.report import aligned
from unirex.metrics.shown import Shown

FAITHFULNESS = ("comprehensiveness", "sufficiency")
PLAUSIBILITY = ("auprc", "token_f1")
TASK = "task"
METRICS = (*FAITHFULNESS, *PLAUSIBILITY, TASK)
COMPOSITES = ("FNRG", "PNRG", "TNRG", "CNRG")


LOWER = frozenset(family.name for family in FAMILIES if family.direction == "lower")
"""Metrics that are better when lower."""

FRONT = "front: no other method is as high in all of FNRG, PNRG and TNRG and higher in one"

Rows = list[list[str]]
Columns = Mapping[str, Mapping[tuple[str, str], float]]
"""Further columns, such as a cost: name -> (data set, method) -> value."""

Ends = Mapping[str, Mapping[str, tuple[float, float]]]
"""Data set -> metric -> its lowest and highest value over a set of methods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A method on a data set.

    Attributes:
        seeds: in the order of the runs.
        values: metric -> mean over seeds; `task` is the data set's headline metric.
        deviations: metric -> standard deviation over seeds (n - 1), NaN for one seed.
        intervals: metric -> interval of the mean over seeds, (None, None) without replicates.
        gains: metric -> relative gain.
        composites: FNRG, PNRG, TNRG, CNRG, as far as the data set has what they need.
        low, high: interval of CNRG, None without replicates.
        methods: metric -> the method behind its interval; `CNRG` is one of them.
        rows: metric -> rows behind it.
    """

    seeds: tuple[str, ...]
    values: Mapping[str, float]
    deviations: Mapping[str, float]
    intervals: Mapping[str, tuple[float | None, float | None]]
    gains: Mapping[str, float]
    composites: Mapping[str, float]
    low: float | None
    high: float | None
    methods: Mapping[str, str | None]
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A method's means over the data sets, where it was run on all of them."""

    composites: Mapping[str, float]
    low: float | None
    high: float | None
    interval: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """By how much the CNRG of a method is above that of another, on the same rows.

    Attributes:
        data: the data set, None for the means over data sets.
        method, other: which.
        difference: CNRG of `method` minus that of `other`.
        low, high, interval: its paired interval and the method behind it.
    """

    data: str | None
    method: str
    other: str
    difference: float
    low: float | None
    high: float | None
    interval: str | None

    def turned(self) -> "Gain":
        """The same from the other side."""
        low, high = (None if end is None else -end for end in (self.high, self.low))
        difference = -self.difference
        return replace(self, method=self.other, other=self.method, difference=difference, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class GainTable(Shown):
    """Everything about a set of methods.

    Attributes:
        methods, data: in order of appearance.
        controls: methods that are shown but never set an end.
        headlines: data set -> its task metric.
        cells: (data set, method) -> cell.
        averaged: the data sets that the means are over.
        means: method -> means over these data sets.
        ends: what 0 and 1 stand for.
        frozen: whether the ends were given.
        convention: whose definitions.
        settings: data set -> what the ends hold for besides the convention: task metric, fractions and so on.
        differences: CNRG of every method over every later one, for each data set and for the means.
        n_partly: data set -> metric -> rows left out because only some of the methods define it there.
        notes: what a reader should know before believing the numbers.
    """

    methods: tuple[str, ...]
    data: tuple[str, ...]
    controls: tuple[str, ...]
    headlines: Mapping[str, str]
    cells: Mapping[tuple[str, str], Cell]
    averaged: tuple[str, ...]
    means: Mapping[str, Mean]
    ends: Ends
    frozen: bool
    convention: str
    settings: Mapping[str, Mapping[str, Any]]
    differences: tuple[Gain, ...]
    n_partly: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]

    def label(self, method: str) -> str:
        """What tables and plots call a method."""
        return f"{method} (control)" if method in self.controls else method

    def over(self, data: str | None, method: str, other: str) -> Gain | None:
        """The gain of a method over another on a data set, or in the means; None where either is not there."""
        for gain in self.differences:
            if gain.data == data and {gain.method, gain.other} == {method, other}:
                return gain if gain.method == method else gain.turned()
        return None

    def without_means(self) -> "GainTable":
        """The same for data sets that share rows or models, of whose means the intervals would be too narrow."""
        return replace(self, means={}, differences=tuple(gain for gain in self.differences if gain.data is not None))

    def best(self, data: str | None) -> str:
        """The method with the highest CNRG on a data set, or in the means; a control where there is no other."""
        rows = self.means if data is None else {m: cell for (d, m), cell in self.cells.items() if d == data}
        compared = [method for method in rows if method not in self.controls] or list(rows)
        return max(compared, key=lambda method: rows[method].composites["CNRG"])

    def front(self, data: str | None) -> list[str]:
        """The methods that no other one dominates on a data set, or in the means; controls where there is no other.

        A method dominates another where it is as high in all of FNRG, PNRG and TNRG, as far as the data set has them,
        and higher in one. What is undefined is below everything else.
        """
        rows = self.means if data is None else {m: cell for (d, m), cell in self.cells.items() if d == data}
        compared = [method for method in rows if method not in self.controls] or list(rows)
        parts = [name for name in COMPOSITES[:-1] if any(name in rows[method].composites for method in compared)]
        points = {method: [_or_lowest(rows[method].composites.get(name)) for name in parts] for method in compared}
        return [
            method
            for method, own in points.items()
            if not any(point != own and all(map(ge, point, own)) for point in points.values())
        ]

    def records(self) -> list[dict[str, Any]]:
        """One dictionary for each data set and method; None = not available."""
        found = []
        for (data, method), cell in self.cells.items():
            row: dict[str, Any] = {"data": data, "method": method, "control": method in self.controls}
            for name in METRICS:
                row |= {name: cell.values.get(name), f"{name}_nrg": cell.gains.get(name)}
            composites = {name: cell.composites.get(name) for name in COMPOSITES}
            found.append({**row, **composites, "CNRG_low": cell.low, "CNRG_high": cell.high})
        return found

    def to_text(self) -> str:
        """A block for each data set, and one for the means."""
        return to_text(self)


def _or_lowest(value: float | None) -> float:
    return -math.inf if value is None or math.isnan(value) else value


def to_text(table: GainTable, columns: Columns | None = None, against: str | None = None) -> str:
    """Plain text: a block per data set, one for the means, and what the set of methods is.

    Args:
        table: what to show.
        columns: more of them.
        against: the method that the others' CNRG is compared with; None = the best of each block.
    """
    made = blocks_of(table, columns or {}, against)
    # The second column is empty: `aligned` keeps it for arrows.
    blocks = ["\n".join([title, *aligned([[name, "", *row] for name, *row in rows]), end]) for title, rows, end in made]
    return "\n\n".join([*blocks, "\n".join([note_of(table), *table.notes])])


def blocks_of(table: GainTable, columns: Columns, against: str | None) -> list[tuple[str, Rows, str]]:
    """Title and rows of each block, first the head, then a row per method; and the line below it."""
    blocks = []
    for data in table.data:
        reference = reference_of(table, data, against)
        names = [name for name in METRICS if name in table.ends[data]]
        composites = [c for c in COMPOSITES if any(c in cell.composites for d, _, cell in cells_of(table) if d == data)]
        shown = [table.headlines[data] if name == TASK else name for name in names]
        head = [
            "method",
            *(f"{s} {'↓' if n in LOWER else '↑'}" for s, n in zip(shown, names, strict=True)),
            *composites,
            f"CNRG over {reference}",
            *columns,
        ]
        rows: Rows = [head]
        for d, method, cell in cells_of(table):
            if d == data:
                raw = [_spread(cell, n) for n in names]
                more = [_rounded(values.get((d, method))) for values in columns.values()]
                over = _over(table, data, method, reference)
                rows.append([table.label(method), *raw, *_shown(cell, composites), over, *more])
        blocks.append((data, rows, front_of(table, data)))
    if len(table.averaged) > 1 and table.means:
        composites = [c for c in COMPOSITES if any(c in mean.composites for mean in table.means.values())]
        reference = reference_of(table, None, against)
        rows = [["method", *composites, f"CNRG over {reference}"]]
        for method, mean in table.means.items():
            rows.append([table.label(method), *_shown(mean, composites), _over(table, None, method, reference)])
        blocks.append((f"mean over {len(table.averaged)} data sets", rows, front_of(table, None)))
    return blocks


def cells_of(table: GainTable) -> list[tuple[str, str, Cell]]:
    """Data set, method and cell, in the order of the table."""
    return [
        (data, method, table.cells[data, method])
        for data in table.data
        for method in table.methods
        if (data, method) in table.cells
    ]


def _spread(cell: Cell, name: str) -> str:
    """Mean and deviation over seeds, and the interval of the mean."""
    value, deviation, (low, high) = cell.values[name], cell.deviations[name], cell.intervals[name]
    return (
        f"{value:.3f}"
        + ("" if math.isnan(deviation) else f" ± {deviation:.3f}")
        + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")
    )


def _rounded(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.2g}"


def _shown(row: Cell | Mean, composites: Sequence[str]) -> list[str]:
    found = [f"{row.composites[c]:.3f}" if c in row.composites else "-" for c in composites]
    if row.low is not None and row.high is not None:
        found[-1] += f" [{row.low:.3f}, {row.high:.3f}]"  # of CNRG, the last
    return found


def reference_of(table: GainTable, data: str | None, against: str | None) -> str:
    """The method that the others are compared with: the one asked for where it is there, else the best."""
    there = against in table.means if data is None else (data, against) in table.cells
    return against if against is not None and there else table.best(data)


def _over(table: GainTable, data: str | None, method: str, reference: str) -> str:
    """By how much a method's CNRG is above that of the reference, and the paired interval."""
    gain = table.over(data, method, reference)
    if gain is None:
        return "-"
    low, gap, high = (x if x is None else round(x, 3) + 0.0 for x in (gain.low, gain.difference, gain.high))  # no -0
    return f"{gap:+.3f}" + ("" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]")


def note_of(table: GainTable) -> str:
    """What the numbers are: convention, ends of the scale, intervals."""
    methods = ", ".join(method for method in table.methods if method not in table.controls)
    whose = "frozen ends of an earlier table" if table.frozen else f"0 and 1 are the worst and best of: {methods}"
    several = any(len(cell.seeds) > 1 for cell in table.cells.values())
    behind = "test rows and seeds" if several else "test rows"
    spread = f"± standard deviation over seeds; intervals: of {behind}, the ends of the scale as they are"
    return f"convention {table.convention}; {whose}; {spread}; CNRG over: paired difference; {FRONT}"


def front_of(table: GainTable, data: str | None) -> str:
    """The line that names the front of a data set, or of the means."""
    return f"front: {', '.join(table.front(data))}"

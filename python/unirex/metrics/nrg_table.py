"""What a table of relative gains holds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from unirex.metrics.shown import Shown

FAITHFULNESS = ("comprehensiveness", "sufficiency")
PLAUSIBILITY = ("auprc", "token_f1")
TASK = "task"
METRICS = (*FAITHFULNESS, *PLAUSIBILITY, TASK)
COMPOSITES = ("FNRG", "PNRG", "TNRG", "CNRG")


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
        means: method -> means over data sets.
        ends: what 0 and 1 stand for.
        frozen: whether the ends were given.
        convention: whose definitions.
        differences: CNRG of every method over every later one, for each data set and for the means.
        n_partly: data set -> metric -> rows left out because only some of the methods define it there.
        notes: what a reader should know before believing the numbers.
    """

    methods: tuple[str, ...]
    data: tuple[str, ...]
    controls: tuple[str, ...]
    headlines: Mapping[str, str]
    cells: Mapping[tuple[str, str], Cell]
    means: Mapping[str, Mean]
    ends: Ends
    frozen: bool
    convention: str
    differences: tuple[Gain, ...]
    n_partly: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]

    def over(self, data: str | None, method: str, other: str) -> Gain | None:
        """The gain of a method over another on a data set, or in the means; None where either is not there."""
        for gain in self.differences:
            if gain.data == data and {gain.method, gain.other} == {method, other}:
                return gain if gain.method == method else gain.turned()
        return None

    def best(self, data: str | None) -> str:
        """The method with the highest CNRG on a data set, or in the means; a control where there is no other."""
        rows = self.means if data is None else {m: cell for (d, m), cell in self.cells.items() if d == data}
        compared = [method for method in rows if method not in self.controls] or list(rows)
        return max(compared, key=lambda method: rows[method].composites["CNRG"])

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
        from unirex.metrics.nrg_text import to_text

        return to_text(self)

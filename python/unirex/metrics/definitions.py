"""What a metric is: one row of a table (`Family`), and what a file makes of it (`Definition`).

A row of a prediction file gives one number per *column* (NaN = undefined there); a metric is a function of the
columns' sums and of the numbers of rows where they are defined. Sums merge, so a metric can be computed over shards in
any order, and under the weights of a bootstrap replicate as under weights of one.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from unirex.metrics.inputs import Inputs, Perturbed
from unirex.text import current, shown, suggest

Direction = Literal["higher", "lower", "none"]
Group = Literal["task", "faithfulness", "plausibility", "rationale"]
GROUPS: tuple[Group, ...] = get_args(Group)
Convention = Literal["strict", "paper"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
Per = Literal["row", "fraction", "perturbation", "class", "threshold"]
Values = Callable[[Inputs], NDArray[np.float64]] | Callable[[Perturbed], NDArray[np.float64]]

SHARE_STEP = 2.0**-30
"""Precision of shares under resampling; point estimates are exact."""
LOG_STEP = 2.0**-20
"""Precision of logarithms and lengths under resampling."""
COUNT_STEP = 1.0


def as_convention(word: str) -> Convention:
    """The convention of this name, of an old name too.

    Raises:
        ValueError: there is none; a misspelled name must not mean the default.
    """
    word = current("convention", word)
    for convention in CONVENTIONS:
        if word == convention:
            return convention
    hint = suggest(str(word), CONVENTIONS)
    raise ValueError(f"convention is {shown(word)}, expected one of {list(CONVENTIONS)}{hint}")


def as_thresholds(iou_thresholds: Iterable[float]) -> tuple[float, ...]:
    """The thresholds from which on spans match, each once.

    >>> as_thresholds([0.5, 1, 0.5])
    (0.5, 1.0)

    Raises:
        ValueError: one is not in (0, 1].
    """
    found = tuple(iou_thresholds)
    for threshold in found:
        if not 0 < threshold <= 1:
            raise ValueError(f"iou_thresholds has {threshold}, expected numbers in (0, 1]")
    return tuple(dict.fromkeys(float(threshold) for threshold in found))


@dataclass(frozen=True, slots=True)
class Column:
    """One number per row.

    Attributes:
        name: the name of the metric whose row values these are; a name with `#` is a count that is only pooled.
        step: the precision to which resampling rounds it.
    """

    name: str
    step: float = SHARE_STEP


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sums of columns, each a float64 array of one shape: `()` for the data, `[replicates]` for resamples."""

    sums: dict[str, NDArray[np.float64]]
    counts: dict[str, NDArray[np.float64]]

    def mean(self, name: str) -> NDArray[np.float64]:
        """The mean over the rows where the column is defined, NaN if there are none."""
        return ratio(self.sums[name], self.counts[name])


def ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    """`top / bottom`, NaN where `bottom` is 0.

    >>> ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    out = np.full(np.shape(bottom), np.nan)
    np.divide(top, bottom, out=out, where=np.asarray(bottom) != 0)
    return out


_WIDEST = 4.0
"""The widest range of differences between probabilities: that of `csd`."""

NEEDS = frozenset({"label", "gold", "scores", "rationale", "cuts"})
PERTURBED = frozenset({"keep", "remove", "null", "orders"})
"""What a metric may need, of each row and of each way to perturb."""
OF_PERTURBED: frozenset[Per] = frozenset({"fraction", "perturbation"})
"""What is taken per fraction or per way to perturb gets `Perturbed` rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A number of each row that is only pooled: its name begins with `#`."""

    name: str
    values: Callable[[Inputs], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """`times` the sum of one count, divided by the sum of others; `rows`: a row adds at most 1 to each."""

    top: Count
    bottom: tuple[Count, ...]
    times: float = 1.0
    rows: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A metric as one row: all that scoring, tables, relative gains, reports and docs/metrics.md know of it.

    What is taken `per` fraction, perturbation, class or threshold has one row for all of them: `csd`, `csd@0.1`,
    `csd[delete]`.

    Attributes:
        name: as printed, without what it is taken per.
        group: the heading under which it stands.
        direction: which way is better; `none` for a description.
        meaning: what it says, in a line without full stop.
        source: who defined it, empty for what needs no source.
        needs: what a file must have: `label` (and the prediction), `gold`, `scores`, `rationale`, `cuts`; per fraction
            and perturbation `keep`, `remove`, `null`, `orders` (and the probabilities).
        values: its value in each row, NaN = undefined; the metric is their mean. [N] per row, [N, thresholds], and
            of `Perturbed` [n, fractions], or [n] per perturbation. None for what is pooled.
        pooled: the counts that it is a ratio of.
        mean_of: the row whose mean over the classes it is.
        range: lowest and highest possible value.
        per: what there is a value for.
        step: the precision to which resampling rounds its values.
        main: whether it belongs into a short table.
        hits: whether its values are 0 and 1, so that it is a share of rows; per fraction: those at each fraction.
        of_one_model: whether it tells explanations of one model apart, but does not rank models.
        heading: what it is called in the first table of a report; empty if it is not there.
    """

    name: str
    group: Group
    direction: Direction
    meaning: str
    source: str = ""
    needs: frozenset[str] = frozenset()
    values: Values | None = None
    pooled: Pooled | None = None
    mean_of: str | None = None
    range: tuple[float, float] = (0, 1)
    per: Per = "row"
    step: float = SHARE_STEP
    main: bool = True
    hits: bool = False
    of_one_model: bool = False
    heading: str = ""

    def __post_init__(self) -> None:
        """Refuses a row that would fail later, far from its mistake."""
        if self.group not in GROUPS:
            raise ValueError(f"metric {self.name!r} is in group {self.group!r}, expected one of {list(GROUPS)}")
        if not self.name or set(self.name) & set("#@:[]"):
            raise ValueError(f"the metric's name is {self.name!r}, expected one without any of # @ : [ ]")
        given = [name for name in ("values", "pooled", "mean_of") if getattr(self, name) is not None]
        perturbed = self.per in OF_PERTURBED
        if len(given) != 1 or (perturbed and given != ["values"]):
            expected = "values" if perturbed else "one of values, pooled and mean_of"
            raise ValueError(f"metric {self.name!r} has {given}, expected {expected}")
        known = NEEDS | (PERTURBED if perturbed else frozenset())
        if not self.needs <= known or (perturbed and not self.needs & PERTURBED):
            raise ValueError(f"metric {self.name!r} needs {sorted(self.needs)}, expected some of {sorted(known)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A metric of a file.

    Attributes:
        name: as printed, with the perturbation in brackets unless it is the default one.
        family: the row of the table that it is of.
        columns: what it is computed from.
        value: the metric from the sums.
        main: whether it belongs into a short table.
        perturbation: how tokens were removed or kept, for faithfulness.
        share: where each row is a hit, a miss or left out: hits and trials from the sums.
        from_share: the metric from that share, rising with it.
        counted: the rows that count are those where one of these columns is above 0; empty: where the first is defined.
        members: what it is the mean of, class by class.
    """

    name: str
    family: Family
    columns: tuple[Column, ...]
    value: Callable[[Sums], NDArray[np.float64]]
    main: bool
    perturbation: str | None = None
    share: Callable[[Sums], tuple[float, float]] | None = None
    from_share: Callable[[float], float] = float
    counted: tuple[str, ...] = ()
    members: tuple["Definition", ...] = ()

    @property
    def bounds(self) -> tuple[float, float]:
        """The range, if it is that of shares or probabilities and so limits single rows; else only where it begins."""
        low, high = self.family.range
        return low, high if high - low <= _WIDEST else math.inf

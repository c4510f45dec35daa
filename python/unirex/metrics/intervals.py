"""How uncertain a number is: intervals that keep what they promise near a bound, with few rows and with few seeds.

Three methods, named with every interval (docs/metrics.md has their measured coverage):

- `wilson`: Wilson's (1927) interval of a share, where each row is a hit or none;
- `wilson_t`: the same formula for any metric between two bounds, with the number of yes-or-no rows that would give the
  estimate the variance it has (the effective sample size of survey statistics), and a quantile of Student's t;
- `t`: estimate ± t · standard error, for metrics without bounds; it ends at 0 where there is nothing below.

The variance is that of the bootstrap over rows. For a mean over several seeds, the variance between seeds
is added and the method is called `seeds_wilson_t` or `seeds_t`; the degrees of freedom are Satterthwaite's (1946).
"""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unirex.metrics.definitions import Definition, Sums

Floats = NDArray[np.float64]
Bounds = tuple[float, float]

FEW_ROWS = 100
"""With fewer rows, intervals of skewed metrics may hold the truth less often than they say."""
_SAME = 1e-9
"""Numbers that differ by less, relative to the size of the metric, are equal."""


class Interval(NamedTuple):
    """Two ends and the method that found them; all None where there is no interval."""

    low: float | None
    high: float | None
    method: str | None


NONE = Interval(None, None, None)
UNBOUNDED = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Variance:
    """The variance of an estimate as a sum of independent parts: (variance, degrees of freedom)."""

    parts: tuple[tuple[float, float], ...] = ()

    @property
    def total(self) -> float:
        """The sum."""
        return sum(value for value, _ in self.parts)

    @property
    def freedom(self) -> float:
        """Satterthwaite's degrees of freedom of the sum, at least 1; infinite for no variance.

        >>> Variance(((1.0, 2.0), (1.0, 2.0))).freedom
        4.0
        """
        bottom = sum(value**2 / degrees for value, degrees in self.parts if value > 0)
        return max(1.0, self.total**2 / bottom) if bottom else math.inf

    def __add__(self, other: "Variance") -> "Variance":
        """The variance of a sum of independent estimates."""
        return Variance((*self.parts, *other.parts))

    def scaled(self, factor: float) -> "Variance":
        """The variance after the estimate is multiplied by the factor's root."""
        return Variance(tuple((value * factor, degrees) for value, degrees in self.parts))


def of_rows(replicates: Floats, n: float) -> Variance:
    """The variance that sampling `n` rows gives, from the bootstrap replicates that are defined.

    It is known no better than by as many rows as there are replicates.
    """
    defined = replicates[~np.isnan(replicates)]
    if len(defined) < 2 or n < 2:
        return Variance()
    spread, size = float(defined.std(ddof=1)), float(np.abs(defined).max())
    return Variance(((0.0 if is_rounding(spread, size) else spread**2, min(n, len(defined)) - 1.0),))


def of_seeds(values: Sequence[float] | Floats) -> Variance:
    """The variance that the choice of seeds gives the mean over them, nothing for one seed."""
    n = len(values)
    if n < 2:
        return Variance()
    spread, size = float(np.std(values, ddof=1)), float(np.abs(values).max())
    return Variance(((0.0 if is_rounding(spread, size) else spread**2 / n, n - 1.0),))


def is_rounding(difference: float, size: float) -> bool:
    """Whether numbers of this size that differ by so little are equal but for how sums are rounded."""
    return abs(difference) <= _SAME * max(size, 1.0)


def interval(
    value: float, variance: Variance, *, n: float, confidence: float, bounds: Bounds = UNBOUNDED, seeds: int = 1
) -> Interval:
    """The interval of an estimate: `wilson_t` between bounds, `t` where one of them is infinite.

    Where all rows agree the bootstrap sees no variance. Between bounds, what Wilson's formula says about a share of 0
    among `n` rows is then left for rows like none of those seen, at either bound; without both nothing can be said.

    Args:
        value: the estimate; NaN has no interval.
        variance: of the estimate.
        n: of how many yes-or-no rows it is taken for where all rows agree.
        confidence: how often the interval shall hold the truth.
        bounds: lowest and highest possible value.
        seeds: how many it is the mean of.

    >>> [round(end, 3) for end in interval(1.0, Variance(), n=20, confidence=0.95, bounds=(0, 1))[:2]]
    [0.839, 1.0]
    """
    name = "seeds_" if seeds > 1 else ""
    total = variance.total
    low, width = bounds[0], bounds[1] - bounds[0]
    if math.isnan(value) or (math.isinf(width) and total == 0):
        return NONE
    t = t_quantile(confidence, variance.freedom)
    if math.isinf(width):
        return Interval(max(low, value - t * math.sqrt(total)), value + t * math.sqrt(total), f"{name}t")
    share = min(1.0, max(0.0, (value - low) / width))
    if total == 0:
        unseen = t**2 / (n + t**2)
        ends = share * (1 - unseen), share + unseen * (1 - share)
    else:
        yes_or_no = share * (1 - share)
        ends = wilson_ends(share, yes_or_no * width**2 / total if yes_or_no else n, t)
    return Interval(low + width * ends[0], low + width * ends[1], f"{name}wilson_t")


def wilson_ends(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's interval of a share of `n` rows.

    >>> [round(end, 4) for end in wilson_ends(0.98, 50, 1.96)]
    [0.895, 0.9965]
    """
    middle, half = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    below, above = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    return (0.0 if share == 0 else max(0.0, below)), (1.0 if share == 1 else min(1.0, above))


def of_share(definition: Definition, sums: Sums, confidence: float) -> Interval:
    """The interval of a metric that is a share of rows, of one system: `wilson`."""
    assert definition.share is not None
    hits, trials = definition.share(sums)
    low, high = wilson_ends(hits / trials, trials, NormalDist().inv_cdf((1 + confidence) / 2))
    return Interval(definition.from_share(low), definition.from_share(high), "wilson")


def few_rows(metrics: Iterable[tuple[str, int]], confidence: float | None) -> list[str]:
    """A warning, a list of at most one line, where intervals stand on few rows; `metrics` are names and rows.

    >>> few_rows([("auprc", 20), ("accuracy", 200)], 0.95)
    ['note: fewer than 100 rows stand behind auprc (20): its 95 % interval may hold the truth less often than that']
    """
    few = sorted((n, name) for name, n in dict(metrics).items() if n < FEW_ROWS)
    if not few or confidence is None:
        return []
    (fewest, name), *others = few
    more, whose, ending = (f" and {len(others)} more", "their", "s") if others else ("", "its", "")
    return [
        f"note: fewer than {FEW_ROWS} rows stand behind {name} ({fewest}){more}: {whose} {100 * confidence:g} % "
        f"interval{ending} may hold the truth less often than that"
    ]


def few_seeds(seeds: Sequence[int]) -> list[str]:
    """A warning, a list of at most one line, where the spread between seeds is known badly or not at all.

    >>> few_seeds([3, 1])
    ['note: one seed stands behind some of the numbers, and what another seed would change is not in their intervals']
    """
    if max(seeds) == 1 or min(seeds) > 2:
        return []
    if min(seeds) == 2:
        return ["note: two seeds stand behind some of the numbers: at 95 % their intervals hold the truth in 90 % only"]
    return [
        "note: one seed stands behind some of the numbers, and what another seed would change is not in their intervals"
    ]


@functools.cache
def t_quantile(confidence: float, freedom: float) -> float:
    """What a Student's t stays within, up or down, with this probability.

    >>> round(t_quantile(0.95, 2), 4), round(t_quantile(0.95, float("inf")), 4)
    (4.3027, 1.96)
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    if freedom >= _MANY:
        terms = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
        return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))
    # Newton's way on the tail, which falls ever less steeply with the angle: each step ends before the root.
    angle, step, constant = 0.0, 1.0, _steepest(freedom)
    while step > 1e-15:
        step = (_beyond(angle, freedom) - (1 - confidence)) / (constant * math.cos(angle) ** (freedom - 1))
        angle += step
    return math.sqrt(freedom) * math.tan(angle)


def t_tail(t: float, freedom: float) -> float:
    """The probability that a Student's t is at least as far from 0: a two-sided p-value.

    >>> round(t_tail(4.3027, 2), 4), round(t_tail(1.96, float("inf")), 4)
    (0.05, 0.05)
    """
    if freedom >= _MOST:
        return math.erfc(abs(t) * (1 - 1 / (4 * freedom)) / math.sqrt(1 + t**2 / (2 * freedom)) / math.sqrt(2))
    return _beyond(math.atan(abs(t) / math.sqrt(freedom)), freedom)


_MANY, _MOST = 200, 10_000
"""Degrees of freedom from which series in 1 / freedom are exact enough, of quantiles and of tails."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


def _beyond(angle: float, freedom: float) -> float:
    """P(|T| > tan(angle) · √freedom): the integral of cos^(freedom - 1) from the angle to a right angle, normalised."""
    half = (math.pi / 2 - angle) / 2
    area = half * float(_WEIGHTS @ np.cos(angle + half * (1 + _NODES)) ** (freedom - 1))
    return area * _steepest(freedom)


def _steepest(freedom: float) -> float:
    """How fast `_beyond` falls at the angle 0."""
    return 2 * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)

"""One number from several runs that differ in their seed, and how far rows and seeds leave it uncertain."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unirex.metrics.definitions import Definition
from unirex.metrics.intervals import NONE, UNBOUNDED, Bounds, Interval, Variance, interval, of_rows, of_seeds
from unirex.metrics.report import Metric, Report
from unirex.metrics.state import State

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draws:
    """A number of each seed on the same rows, and its bootstrap replicates.

    Attributes:
        values: float64 [seeds].
        replicates: float64 [seeds, replicates]; a replicate draws the same rows for every seed.
        n: rows behind it, or groups of them that are drawn together; of the seed that has the fewest.
        each: those of each seed; empty: `n` of all.
        alike: of how many yes-or-no rows it is taken for where all of them agree; None: of `n`.
    """

    values: Floats
    replicates: Floats
    n: int
    each: tuple[int, ...] = ()
    alike: float | None = None

    @property
    def n_each(self) -> tuple[int, ...]:
        """Rows behind each seed."""
        return self.each or (self.n,) * len(self.values)

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(self.values.mean())

    def variance(self) -> Variance:
        """Of the mean: what sampling rows gives it, and what the choice of seeds does.

        The rows' part holds what the seeds share on a row; the rest is in both parts, so the sum is a little too
        large where seeds differ by chance alone, and never too small.
        """
        return of_rows(self.replicates.mean(axis=0), self._n_known) + of_seeds(self.values)

    def interval(self, confidence: float, bounds: Bounds = UNBOUNDED) -> Interval:
        """Of the mean; none without replicates."""
        seeds = len(self.values)
        if not self.replicates.shape[1]:
            return NONE
        return interval(self.mean, self.variance(), n=self._alike, confidence=confidence, bounds=bounds, seeds=seeds)

    def in_order(self, places: Sequence[int]) -> "Draws":
        """The same number with its seeds in another order."""
        each = tuple(self.n_each[place] for place in places)
        return replace(self, values=self.values[places], replicates=self.replicates[places], each=each)

    def minus(self, other: "Draws", *, shared: bool = False) -> tuple[float, Variance]:
        """The difference of two means on the same rows and its variance.

        Seeds are paired where `shared`: the first of both is one model, and so on. What another model would change in
        both alike is then no part of their difference.
        """
        gap = self.replicates.mean(axis=0) - other.replicates.mean(axis=0)
        # What one of them has on a single row does not take the other's variance away.
        rows = of_rows(gap, max(2, min(self._n_known, other._n_known)))
        if shared:
            return self.mean - other.mean, rows + of_seeds(self.values - other.values)
        return self.mean - other.mean, rows + of_seeds(self.values) + of_seeds(other.values)

    def gap(self, other: "Draws", confidence: float, bounds: Bounds = UNBOUNDED, *, shared: bool = False) -> Interval:
        """The interval of the difference of two means on the same rows; `bounds` are those of each."""
        if not self.replicates.shape[1]:
            return NONE
        value, variance = self.minus(other, shared=shared)
        widest = bounds[0] - bounds[1], bounds[1] - bounds[0]
        seeds = max(len(self.values), len(other.values))
        n = min(self._alike, other._alike)
        return interval(value, variance, n=n, confidence=confidence, bounds=widest, seeds=seeds)

    @property
    def _n_known(self) -> float:
        """By how many rows the variance is known that sampling rows gives the mean.

        Where each seed has rows of its own behind it (those that it predicts as a class), it counts by what it adds to
        the variance: one that all replicates agree on tells nothing of that.
        """
        if min(self.n_each) == max(self.n_each):
            return self.n
        spreads = np.array([of_rows(one, 2).total for one in self.replicates])
        if not spreads.sum():
            return self.n
        return float(1 + spreads.sum() / (spreads / np.maximum(1, np.array(self.n_each) - 1)).sum())

    @property
    def _alike(self) -> float:
        return self.n if self.alike is None else self.alike


def draws_of(definition: Definition, states: Sequence[State]) -> Draws:
    """A metric in the states of several seeds."""
    values = np.array([float(definition.value(state.sums())) for state in states])
    each = tuple(state.n_behind(definition) for state in states)
    return Draws(
        values=values,
        replicates=np.stack([definition.value(state.resampled()) for state in states]),
        n=min(each),
        each=each,
        alike=min(state.n_alike(definition, value) for state, value in zip(states, values.tolist(), strict=True)),
    )


def matched(first: Sequence[str | None], other: Sequence[str | None]) -> list[int] | None:
    """The place among the other system's seeds of the model of each of the first's; None where these are not the same.

    Args:
        first: what the models of one system's seeds are known by.
        other: those of the other system, in whatever order.

    >>> matched(["a", "b"], ["b", "a"]), matched(["a", "a"], ["a", "a"]), matched([None], [None])
    ([1, 0], None, None)
    """
    if None in (*first, *other) or len({*first}) < len(first) or sorted(map(str, first)) != sorted(map(str, other)):
        return None
    return [other.index(model) for model in first]


def gap_of(definition: Definition, first: Draws, other: Draws, confidence: float, *, shared: bool) -> Interval:
    """The interval of the difference of a metric's means on the same rows.

    Where both are one model for each seed (`shared`) and answer alike, no other row could tell their task scores apart.
    """
    alike = np.array_equal(first.values, other.values) and np.array_equal(first.replicates, other.replicates)
    if shared and alike and definition.family.group == "task" and first.replicates.shape[1]:
        return Interval(0.0, 0.0, "one_model")
    return first.gap(other, confidence, definition.bounds, shared=shared)


def metric_interval(definition: Definition, states: Sequence[State]) -> Interval:
    """The interval of a metric's mean over the states of several seeds, or of its value for one."""
    resampling = states[0].resampling
    if not resampling.replicates:
        return NONE
    if len(states) == 1:
        return states[0].interval(definition, states[0].sums(), states[0].resampled())
    return draws_of(definition, states).interval(resampling.confidence, definition.bounds)


def over_seeds(reports: Sequence[Report], states: Sequence[State], name: str) -> Report:
    """The report on means over seeds; `name` is what they are called together. One seed's report stays as it is.

    It keeps the notes on odd rows of every seed, equal ones once.
    """
    if len(reports) == 1:
        return reports[0]

    def metric(definition: Definition) -> Metric:
        each = [report[definition.name] for report in reports]
        found = metric_interval(definition, states)
        return replace(
            each[0],
            value=float(np.mean([one.value for one in each])),
            n=min(one.n for one in each),
            n_undefined=max(one.n_undefined for one in each),
            low=found.low,
            high=found.high,
            interval=found.method,
        )

    metrics = tuple(metric(definition) for definition in states[0].layout.definitions)
    about = {**reports[0].about, "source": name, "seeds": str(len(reports))}
    odd = tuple(dict.fromkeys(line for report in reports for line in report.odd))
    return replace(reports[0], metrics=metrics, about=about, odd=odd)

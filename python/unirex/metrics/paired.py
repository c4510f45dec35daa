"""Paired differences of two systems over seeds and rows, from row values (`unirex.metrics.row_values`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unirex.metrics.batch import as_keys
from unirex.metrics.definitions import Definition, Direction, Sums
from unirex.metrics.row_values import RowValues
from unirex.metrics.state import Resampling, interval

Floats = NDArray[np.float64]
CSD = "csd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """One metric of two systems.

    Attributes:
        metric: its name; `csd` is comprehensiveness minus sufficiency.
        direction: which way is better.
        difference: first minus other, mean over the seeds.
        low, high: bounds of the interval; each replicate draws seeds and rows with replacement, the same of both.
        rows: instances that both define, mean over the seeds.
    """

    metric: str
    direction: Direction
    difference: float
    low: float | None
    high: float | None
    rows: float


def paired(first: Sequence[RowValues], other: Sequence[RowValues], resampling: Resampling) -> list[Paired]:
    """Differences of two systems with the same seeds, on the same instances, in every metric that both have.

    Args:
        first: row values of one system, of each seed.
        other: of the other system, in the same order of seeds.
        resampling: replicates, seed and confidence.

    Raises:
        ValueError: other instances, or no seed.
    """
    if not first or len(first) != len(other):
        raise ValueError(f"{len(first)} and {len(other)} seeds, expected as many of both and at least one")
    pairs = [(_ordered(ours), _ordered(theirs)) for ours, theirs in zip(first, other, strict=True)]
    keys = as_keys(pairs[0][0].hashes)
    for side in (side for pair in pairs for side in pair):
        if not np.array_equal(as_keys(side.hashes), keys):
            raise ValueError(f"{len(side.hashes)} instances are not the {len(keys)} of the first, expected the same")
    weights, seeds = _drawn(len(keys), len(pairs), resampling)
    draws: dict[str, tuple[Direction, Floats, float]] = {}
    for definition in pairs[0][0].layout.definitions:
        parts = [_difference(definition, *pair, weights) for pair in pairs]
        by_seed = np.array([difference for difference, _ in parts])
        mean = np.take_along_axis(by_seed.T, seeds, axis=1).mean(axis=1)
        draws[definition.name] = definition.direction, mean, float(np.mean([n for _, n in parts]))
    if {"comprehensiveness", "sufficiency"} <= draws.keys():
        comp, suff = draws["comprehensiveness"], draws["sufficiency"]
        draws[CSD] = "higher", comp[1] - suff[1], comp[2]
    return [_paired(name, *drawn, resampling.confidence) for name, drawn in draws.items()]


def _paired(name: str, direction: Direction, draws: Floats, rows: float, confidence: float) -> Paired:
    low, high = interval(draws[1:], confidence)
    return Paired(metric=name, direction=direction, difference=float(draws[0]), low=low, high=high, rows=rows)


def _drawn(rows: int, seeds: int, resampling: Resampling) -> tuple[Floats, NDArray[np.int64]]:
    """How often each row counts, [1 + replicates, rows], and which seeds, [1 + replicates, seeds]; first the data."""
    draw = np.random.default_rng(resampling.seed)
    weights = np.ones((1 + resampling.replicates, rows))
    chosen = np.tile(np.arange(seeds), (1 + resampling.replicates, 1))
    for replicate in range(1, 1 + resampling.replicates):
        weights[replicate] = np.bincount(draw.integers(rows, size=rows), minlength=rows)
        chosen[replicate] = draw.integers(seeds, size=seeds)
    return weights, chosen


def _ordered(rows: RowValues) -> RowValues:
    order = np.lexsort((rows.hashes[:, 1], rows.hashes[:, 0]))
    return RowValues(layout=rows.layout, hashes=rows.hashes[order], values=rows.values[:, order])


def _difference(definition: Definition, ours: RowValues, theirs: RowValues, weights: Floats) -> tuple[Floats, int]:
    """The difference under each replicate's weights over the rows that both define, and how many those are."""
    columns = [column.name for column in definition.columns]
    values = [_columns(rows, columns) for rows in (ours, theirs)]
    both = np.logical_and.reduce([~np.isnan(v).any(axis=0) for v in values])
    counts = weights @ both.astype(np.float64)
    sides = []
    for side in values:
        sums = weights @ np.where(both, side, 0.0).T
        made = Sums({name: sums[:, i] for i, name in enumerate(columns)}, dict.fromkeys(columns, counts))
        sides.append(definition.value(made))
    return sides[0] - sides[1], int(both.sum())


def _columns(rows: RowValues, names: Sequence[str]) -> Floats:
    places = {column.name: i for i, column in enumerate(rows.layout.columns)}
    return rows.values[[places[name] for name in names]]

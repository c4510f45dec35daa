"""Paired differences of two systems over seeds and rows, from row values (`unirex.metrics.row_values`)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unirex.metrics.definitions import Direction
from unirex.metrics.row_values import RowValues
from unirex.metrics.seeds import draws_of, gap_of
from unirex.metrics.state import Resampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """One metric of two systems.

    Attributes:
        metric: its name.
        direction: which way is better.
        difference: first minus other, of the means over seeds.
        low, high: its interval over rows, the same of both, and seeds (`unirex.metrics.intervals`).
        rows: instances that all seeds of both define, also where groups of them are drawn together.
    """

    metric: str
    direction: Direction
    difference: float
    low: float | None
    high: float | None
    rows: int


def paired(
    first: Sequence[RowValues], other: Sequence[RowValues], resampling: Resampling, *, shared: bool = False
) -> list[Paired]:
    """Differences of two systems on the same instances, in every metric that both have.

    Args:
        first: row values of one system, of each seed.
        other: of the other system.
        resampling: replicates, seed and confidence.
        shared: whether both have one model for each seed; seeds are then paired.

    Raises:
        ValueError: other instances, or no seed.
    """
    if not first or not other:
        raise ValueError(f"{len(first)} and {len(other)} seeds, expected at least one of both")
    both = set.intersection(*({one.name for one in rows.layout.definitions} for rows in (*first, *other)))
    sides = [rows.among(both).ordered() for rows in (*first, *other)]
    hashes = sides[0].hashes
    for side in sides[1:]:
        if not np.array_equal(side.hashes, hashes):
            raise ValueError(f"{len(side.hashes)} instances are not the {len(hashes)} of the first, expected the same")
        if not np.array_equal(side.groups, sides[0].groups):  # type: ignore[arg-type]
            raise ValueError("the instances are in other groups than those of the first, expected the same")
    undefined = np.logical_or.reduce([np.isnan(side.values) for side in sides])
    states = [replace(side, values=np.where(undefined, np.nan, side.values)).state(resampling) for side in sides]
    found = []
    for definition in sides[0].layout.definitions:
        ours, theirs = (draws_of(definition, group) for group in (states[: len(first)], states[len(first) :]))
        gap = gap_of(definition, ours, theirs, resampling.confidence, shared=shared)
        found.append(
            Paired(
                metric=definition.name,
                direction=definition.family.direction,
                difference=ours.mean - theirs.mean,
                low=gap.low,
                high=gap.high,
                rows=int(states[0].sums().counts[definition.columns[0].name]),
            )
        )
    return found

"""How far two runs are apart: in the mean, with a paired interval, and text by text.

Rows of all runs come in the order of their ids' hashes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from unirex.metrics.definitions import Direction
from unirex.metrics.paired import Paired, paired
from unirex.metrics.row_values import RowValues
from unirex.metrics.state import Resampling
from unirex.report.picks import Key

BY_TEXT = ("csd", "comprehensiveness", "auprc", "token_f1")
"""What a text is called far apart by: the first of these that both runs have."""
MOST = 12
"""Texts that are called the furthest apart."""


@dataclass(frozen=True, kw_only=True)
class Apart:
    """Two runs on the same texts.

    Attributes:
        means: metric -> the first run's mean minus the other's, with its paired interval.
        metric: what texts are compared by; None if the runs have nothing of this kind in common.
        texts: the texts that are the furthest apart, the first run's value minus the other's, the furthest first.
    """

    means: Mapping[str, Paired]
    metric: str | None
    texts: Mapping[Key, float]


def leaders(runs: Sequence[RowValues], resampling: Resampling) -> dict[str, int]:
    """Metric -> the run that is better than each other one by more than its paired interval; else it is left out.

    Runs on different texts, and runs without intervals, have no leaders.
    """
    if len(runs) < 2 or not comparable(runs):
        return {}
    wins: dict[str, list[int]] = {}
    for first, other in combinations(range(len(runs)), 2):
        for one in _shared(runs[first], runs[other], resampling):
            if (better := _better(one)) is not None:
                wins.setdefault(one.metric, []).append(first if better else other)
    return {
        metric: place
        for metric, found in wins.items()
        for place in range(len(runs))
        if found.count(place) == len(runs) - 1
    }


def apart(runs: Sequence[RowValues], resampling: Resampling) -> Apart | None:
    """How far two runs are apart; None for more or fewer runs, and where their texts are not the same."""
    if len(runs) != 2 or not comparable(runs):
        return None
    means = {one.metric: one for one in _shared(runs[0], runs[1], resampling)}
    metric = next((name for name in BY_TEXT if name in means), None)
    texts = {} if metric is None else _furthest([run.among([metric]) for run in runs])
    return Apart(means=means, metric=metric, texts=texts)


def comparable(runs: Sequence[RowValues]) -> bool:
    """Whether all runs hold the same ids; classes, fractions and the way to hide may not differ where there are any."""
    first = runs[0].hashes
    settings = ([run.layout.labels, run.layout.fractions, run.layout.perturbations[:1]] for run in runs)
    labels, fractions, hiding = ({one for one in found if one} for found in zip(*settings, strict=True))
    ways = {name for ((name, _),) in hiding}
    return all(np.array_equal(run.hashes, first) for run in runs) and max(map(len, (labels, fractions, ways))) <= 1


def _shared(first: RowValues, other: RowValues, resampling: Resampling) -> list[Paired]:
    """The paired differences in the metrics that both have."""
    return [one for one in paired([first], [other], resampling) if one.rows]


def _better(one: Paired) -> bool | None:
    """Whether the first is better, None if the interval does not tell or no direction is better."""
    direction: Direction = one.direction
    if direction == "none" or one.low is None or one.high is None or one.low <= 0 <= one.high:
        return None
    return (one.low > 0) == (direction == "higher")


def _furthest(runs: Sequence[RowValues]) -> dict[Key, float]:
    """The rows with the largest difference of the one column that both have, in the order of their hashes."""
    difference = runs[0].values[0] - runs[1].values[0]
    far = np.abs(np.nan_to_num(difference))
    order = np.argsort(-far, kind="stable")[:MOST]
    hashes = runs[0].hashes
    return {(int(hashes[i, 0]), int(hashes[i, 1])): float(difference[i]) for i in order if far[i] > 0}

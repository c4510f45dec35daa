"""Rows that can be scored but look wrong: `strict` refuses some of them; the others are counted and reported.

Classes in another order than their names, probabilities in percent, equal scores: each makes wrong numbers that look
right.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from unirex.metrics.ragged import Ragged

ROUNDING = 0.005
"""How far a probability may be off: files round to two digits, and half precision keeps little more."""
FURTHEST = 0.1
"""How far a sum may be off, however many classes there are."""

NOTES: dict[str, str] = {
    "prediction": "the prediction is not the class with the highest probability",
    "sums": "probabilities do not sum to 1",
    "constant": "all words have the same score",
    "unseen": "no word has a score, so that no ranking metric is defined",
}
"""Kind of oddity -> what its note says."""


def notes(counts: Mapping[str, int], n_rows: int) -> tuple[str, ...]:
    """A line for each kind that occurred.

    >>> notes({"constant": 2}, 9)
    ('2 of 9 rows: all words have the same score',)
    """
    return tuple(f"{counts[kind]} of {n_rows} rows: {text}" for kind, text in NOTES.items() if counts.get(kind))


def slack(classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far the sum over this many classes may be from 1.

    >>> slack(np.array([2, 10, 100])).tolist()
    [0.01, 0.05, 0.1]
    """
    return np.minimum(ROUNDING * np.maximum(classes, 2), FURTHEST)


def sums(lists: Ragged) -> NDArray[np.float64]:
    """The sum of each list, 0 for an empty one.

    >>> sums(Ragged(np.array([0.5, 0.25, 1.0]), np.array([0, 2, 2, 3]))).tolist()
    [0.75, 0.0, 1.0]
    """
    return _reduced(np.add, lists, 0.0)


def highest(lists: Ragged) -> NDArray[np.float64]:
    """The highest value of each list, minus infinity for an empty one."""
    return _reduced(np.maximum, lists, -np.inf)


def of_scores(scores: Ragged) -> dict[str, NDArray[np.bool_]]:
    """Which rows of scores (minus infinity = never seen) say nothing, by the kind of oddity.

    >>> found = of_scores(Ragged(np.array([1.0, 1.0, -np.inf, -np.inf, 2.0, 3.0]), np.array([0, 3, 4, 6])))
    >>> {kind: rows.tolist() for kind, rows in found.items()}
    {'unseen': [False, True, False], 'constant': [True, False, False]}
    """
    top, several, values = highest(scores), scores.lengths > 1, scores.values
    seen = values > -np.inf
    if not seen.all():
        several = sums(Ragged(seen.astype(np.float64), scores.offsets)) > 1
        values = np.where(seen, values, np.inf)
    lowest = _reduced(np.minimum, Ragged(values, scores.offsets), np.inf)
    return {"unseen": unseen(scores), "constant": several & (top == lowest)}


def unseen(scores: Ragged) -> NDArray[np.bool_]:
    """Which rows have words and a score for none of them."""
    if not np.isneginf(scores.values).any():
        return np.zeros(len(scores), dtype=np.bool_)
    return (scores.lengths > 0) & np.isneginf(highest(scores))


def _reduced(function: np.ufunc, lists: Ragged, empty: float) -> NDArray[np.float64]:
    """The function over each list."""
    out = np.full(len(lists), empty)
    filled = lists.lengths > 0
    if filled.any():
        inner = lists.values[: lists.offsets[-1]]
        out[filled] = function.reduceat(inner, lists.offsets[:-1][filled])
    return out

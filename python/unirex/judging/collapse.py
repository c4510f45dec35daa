"""Signs that an extractor has collapsed: that what it marks does not depend on the text."""

from collections import Counter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

LIMIT = 0.95
"""Least share of rows, or of variance, at which a pattern counts as collapse."""

_ENOUGH = 20


def collapse_signs(table: pa.Table) -> list[str]:
    """One line for each sign of collapse in saved predictions.

    - constant: in almost all rows every word has the same score, so that the rationale is the first words.
    - one position: the highest score stands at the same place, counted from either end, in almost all rows.
    - one word: the highest score falls on the same word in almost all rows.
    - position alone: the mean score of a place explains almost all variance of the scores around their row's mean.

    Rows of fewer than 3 seen words are left out; with fewer than 20 rows nothing is said.

    Args:
        table: with the columns `words` and `scores` of docs/predictions.md; without scores nothing is said.

    >>> words = [[str(i), "a", "b", "c"] for i in range(30)]
    >>> collapse_signs(pa.table({"words": words, "scores": [[0.0, 0.5, 1.0, 0.2]] * 30}))[0]
    'the highest score stands at word 3 in 100 % of 30 rows'
    """
    if "scores" not in table.column_names:
        return []
    pairs = zip(table["words"].to_pylist(), table["scores"].to_pylist(), strict=True)
    rows = [(words, seen) for words, seen in (_seen(*pair) for pair in pairs) if len(seen) > 2]
    if len(rows) < _ENOUGH:
        return []
    scores = [seen for _, seen in rows]
    constant = float(np.mean([np.ptp(seen) == 0 for seen in scores]))
    if constant >= LIMIT:
        return [f"all words have the same score in {constant * 100:.0f} % of {len(rows)} rows"]
    tops = [int(seen.argmax()) for seen in scores]
    from_end = [len(seen) - top for top, seen in zip(tops, scores, strict=True)]
    found = [
        _often([f"stands at word {top + 1}" for top in tops]),
        _often([f"stands at word {place} from the end" for place in from_end]),
        _often([f"falls on {words[top]!r}" for (words, _), top in zip(rows, tops, strict=True)]),
        _position_alone(scores),
    ]
    return [line for line in found if line]


def _seen(words: list[str], scores: list[float | None]) -> tuple[list[str], NDArray[np.float64]]:
    """The words that the model saw, with their scores."""
    seen = [(word, score) for word, score in zip(words, scores, strict=True) if score is not None]
    return [word for word, _ in seen], np.array([score for _, score in seen], dtype=np.float64)


def _often(patterns: list[str]) -> str:
    ((commonest, count),) = Counter(patterns).most_common(1)
    share = count / len(patterns)
    return f"the highest score {commonest} in {share * 100:.0f} % of {len(patterns)} rows" if share >= LIMIT else ""


def _position_alone(scores: list[NDArray[np.float64]]) -> str:
    centered = [seen - seen.mean() for seen in scores]
    place = np.concatenate([np.arange(len(seen)) for seen in scores])
    values = np.concatenate(centered)
    mean = np.bincount(place, values) / np.maximum(np.bincount(place), 1)
    # The mean of a place that few rows reach says little more than these rows do.
    common = np.bincount(place)[place] >= _ENOUGH
    total = float(np.square(values[common]).sum())
    if not common.any() or total == 0:
        return ""
    share = 1 - float(np.square(values - mean[place])[common].sum()) / total
    return f"its place alone explains {share * 100:.0f} % of the variance of a word's score" if share >= LIMIT else ""

"""One instance as it is shown: its words with the level of their scores, in each run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import numpy as np
import pyarrow as pa

from unirex.metrics.batch import Batch, as_text
from unirex.metrics.ragged import Ragged
from unirex.report.marks import LEVELS, ShownWord
from unirex.report.picks import Key
from unirex.text import plain

LONGEST_WORD = 80
LONGEST_NAME = 120
LONGEST_CONTEXT = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An instance in one run.

    Attributes:
        label, prediction: class names; None where the file has none.
        confidence: probability of the predicted class on the full input.
        words: those shown.
        more: words left out after them.
        context: what the model also saw.
        values: metric -> the row's value, NaN where it is undefined.
        wrong: whether the prediction is known to be wrong, by the whole names.
    """

    label: str | None
    prediction: str | None
    confidence: float | None
    words: tuple[ShownWord, ...]
    more: int
    context: str | None
    values: Mapping[str, float]
    wrong: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance side by side in all runs.

    Attributes:
        id: safe to show.
        views: one for each run, None where a run does not have it.
        unfaithful, implausible: its rank among the worst of the files, None if it is not among them.
        apart: how far two runs are apart on it, the first minus the other, if it is among the furthest.
    """

    id: str
    views: tuple[View | None, ...]
    unfaithful: int | None = None
    implausible: int | None = None
    apart: float | None = None

    @property
    def label(self) -> str | None:
        """The true class."""
        return next((view.label for view in self.views if view is not None and view.label is not None), None)

    @property
    def wrong(self) -> bool:
        """Whether some run is wrong."""
        return any(view is not None and view.wrong for view in self.views)

    @property
    def differs(self) -> bool:
        """Whether the runs predict different classes."""
        return len({view.prediction for view in self.views if view is not None}) > 1

    @property
    def tags(self) -> tuple[str, ...]:
        """The filters of the page that leave it."""
        found = {
            "wrong": self.wrong,
            "unfaithful": self.unfaithful is not None,
            "implausible": self.implausible is not None,
            "apart": self.apart is not None,
            "differs": self.differs,
        }
        return tuple(name for name, holds in found.items() if holds)

    def worst(self, metric: str) -> float:
        """The lowest value over the runs, NaN if none has it."""
        found = [view.values.get(metric, np.nan) for view in self.views if view is not None]
        known = [value for value in found if not np.isnan(value)]
        return min(known, default=float("nan"))


def levels(scores: Sequence[float | None]) -> list[int | None]:
    """Shades from 0 for the lowest finite score of a text to 8 for its highest; 0 everywhere if all are equal.

    >>> levels([0.0, 1.0, None, 0.5]), levels([3.0, 3.0]), levels([1e308, -1e308]), levels([inf, 1.0, 0.0, -inf])
    ([0, 8, None, 4], [0, 0], [8, 0], [8, 8, 0, 0])
    """
    # Of scores divided by a power of two, which changes no level, no difference is more than a float holds.
    small = [None if score is None else score / 2**10 for score in scores]
    known = [score for score in small if score is not None and isfinite(score)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    width = (high - low) or inf
    return [None if score is None else round(LEVELS * (min(max(score, low), high) - low) / width) for score in small]


def views(
    rows: pa.RecordBatch, batch: Batch, values: Mapping[str, Any], confidence: Any, *, where: str, most_words: int
) -> dict[Key, tuple[str, View]]:
    """Id and view of each row of a small batch, by the hash of the id.

    Raises:
        ValueError: words that are no texts, or another column that is none.
    """
    ids = as_text(rows, "id", where).to_pylist()
    words = _words_of(rows, where)
    label, prediction, context = (_texts(rows, name, where) for name in ("label", "prediction", "context"))
    found = {}
    for i, name in enumerate(ids):
        shown = _words(batch, i, words[i], most_words)
        key = (int(batch.hashes[i, 0]), int(batch.hashes[i, 1]))
        found[key] = (
            plain(name, longest=LONGEST_NAME, lines=False),
            View(
                label=_name(label[i]),
                prediction=_name(prediction[i]),
                confidence=None if np.isnan(confidence[i]) else float(confidence[i]),
                words=shown,
                more=len(words[i]) - len(shown),
                context=None if (text := context[i]) is None else plain(text, longest=LONGEST_CONTEXT),
                values={name: float(column[i]) for name, column in values.items()},
                wrong=label[i] is not None and prediction[i] is not None and label[i] != prediction[i],
            ),
        )
    return found


def _texts(rows: pa.RecordBatch, name: str, where: str) -> list[str | None]:
    """A column as texts, None in every row where the file has no such column."""
    if name not in rows.schema.names:
        return [None] * rows.num_rows
    found: list[str | None] = as_text(rows, name, where).to_pylist()
    return found


def _name(text: str | None) -> str | None:
    return None if text is None else plain(text, longest=LONGEST_NAME, lines=False)


def _words_of(rows: pa.RecordBatch, where: str) -> list[list[str]]:
    """The words of each row, none where the file has none: there is nothing to show."""
    if "words" not in rows.schema.names:
        return [[]] * rows.num_rows
    array = rows.column("words")
    inner = getattr(array.type, "value_type", None)
    if inner is None or not (pa.types.is_string(inner) or pa.types.is_large_string(inner)):
        raise ValueError(f"{where}: column 'words' holds {array.type}, expected lists of text")
    return [words or [] for words in array.to_pylist()]


def _words(batch: Batch, row: int, texts: list[str], most: int) -> tuple[ShownWord, ...]:
    """The first words of a row; the parser has made sure that there are as many as scores, flags and marks."""
    n = len(texts)
    raw = [float("nan")] * n if batch.scores is None else _row(batch.scores, row)
    scores = [float(score) if np.isfinite(score) else None for score in raw]
    rationale = [False] * n if batch.rationale is None else _row(batch.rationale, row)
    gold = _row(batch.gold.rows, row) if batch.gold is not None and batch.gold.known[row] else [None] * n
    shades, ends = levels(scores), _ends(batch, row)
    return tuple(
        ShownWord(
            text=plain(texts[i] or "", longest=LONGEST_WORD, lines=False),
            level=shades[i],
            score=scores[i],
            rationale=bool(rationale[i]),
            gold=gold[i],
            seen=batch.scores is None or scores[i] is not None,
            last=i in ends,
        )
        for i in range(min(n, most))
    )


def _ends(batch: Batch, row: int) -> set[int]:
    """The last words of all texts of a row but the last."""
    if batch.borders is None or batch.rationale is None:
        return set()
    first, behind = batch.rationale.offsets[row : row + 2]
    return {int(place - first) - 1 for place in batch.borders if first < place < behind}


def _row(rows: Ragged, row: int) -> list[Any]:
    found: list[Any] = rows.values[rows.offsets[row] : rows.offsets[row + 1]].tolist()
    return found

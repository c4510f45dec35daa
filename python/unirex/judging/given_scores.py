"""Reads scores that were made elsewhere, and puts them on our words."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unirex import _rust
from unirex.data.errors import DataError, located, shown
from unirex.data.gold import cell_list, whole
from unirex.data.rows import Row, stream_rows, take
from unirex.schema import Example

Spans = NDArray[np.int64]
"""Starts and ends, [2, n]."""

_LARGEST = float(np.finfo(np.float32).max)
_COLUMNS = ("id", "scores", "words", "spans")


def read_scores(path: str, examples: Sequence[Example]) -> dict[str, NDArray[np.float32]]:
    """Word scores by instance id from a Parquet, JSONL or CSV file with the fields `id` and `scores`.

    Every instance needs one finite score per word; null stands for a word that the explaining model never saw and
    ranks behind all others. Scores of other units come with their own `words`, or with `spans` of characters, [start,
    end) in the text, or [part, start, end) where there are several texts. A word of ours then has the highest score of
    the units that share characters with it. A prediction file of this package is such a file.

    Raises:
        ValueError: file, row, id and field of the first fault.
    """
    by_id = {example.id: example for example in examples}
    found: dict[str, NDArray[np.float32]] = {}
    for place, key, row, scores in _scored(path):
        found[key] = scores if key not in by_id else _on_words(place, row, scores, by_id[key])
    for example in examples:
        if example.id not in found:
            first = f" (the file's first id is {shown(next(iter(found)))})" if found else ""
            raise DataError(
                f"{path}: no scores for instance {example.id!r}, expected one row for each of {len(examples)}{first}"
            )
    return found


def word_scores(path: str) -> dict[str, NDArray[np.float32]]:
    """Scores by instance id as they are in such a file, one for each word it was made of; minus infinity for null.

    Raises:
        ValueError: file, row, id and field of the first fault.
    """
    return {key: scores for _, key, _, scores in _scored(path)}


def _scored(path: str) -> Iterable[tuple[str, str, Mapping[str, Any], NDArray[np.float32]]]:
    """Place, id, fields and scores of each row; an id comes once."""
    known: set[str] = set()
    for where, row in _rows(path):
        key = str(take(where, row, "id", (str, int), "text"))
        if key in known:
            raise DataError(f"{where}: id {key!r} is a duplicate, expected it once")
        known.add(key)
        place = f"{where}: id {key!r}"
        with located(place, "scores"):
            scores = _numbers(cell_list(row.get("scores")))
        yield place, key, row, scores


def _rows(path: str) -> Iterable[Row]:
    """Place and fields of each row; of Parquet the columns that are read here."""
    if not path.endswith(".parquet"):
        return stream_rows(path)
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file, expected Parquet, JSONL or CSV with the fields id and scores")
    try:
        there = pq.read_schema(path).names
        table = pq.read_table(path, columns=[name for name in _COLUMNS if name in there])
    except (pa.ArrowInvalid, KeyError) as error:
        raise DataError(f"{path}: {' '.join(str(error).split())}") from None
    return ((f"{path}: row {number}", row) for number, row in enumerate(table.to_pylist(), start=1))


def _numbers(values: Sequence[object]) -> NDArray[np.float32]:
    """Scores, minus infinity for null."""
    for at, value in enumerate(values):
        if value is not None and not (isinstance(value, int | float) and abs(value) <= _LARGEST):
            raise DataError(f"entry {at} is {shown(value)}, expected a finite number or null")
    return np.array([-np.inf if value is None else value for value in values], dtype=np.float32)


def _on_words(place: str, row: Mapping[str, Any], scores: NDArray[np.float32], example: Example) -> NDArray[np.float32]:
    """The scores, one for each word of the example."""
    # Explanations of ours hold both: their spans are those of the rationale, their words those of the text.
    field = next((name for name in ("words", "spans") if row.get(name) not in (None, "")), None)
    units: Spans | None = None
    text = _joined(example)
    if field is not None:
        with located(place, field):
            entries = cell_list(row[field])
            if len(entries) != len(scores):
                raise DataError(f"{len(entries)} entries, expected {len(scores)}, one per score")
            if entries != example.words:
                units = _spans_of_words(entries, text) if field == "words" else _given_spans(entries, text)
    if units is not None:
        return _shared(text.words, units, scores)
    if len(scores) != example.n_words:
        raise DataError(
            f"{place}: scores has {len(scores)} values, expected {example.n_words}, one per word "
            "(scores of other units need their words or spans)"
        )
    return scores


class _Text(NamedTuple):
    """The selectable texts of an example one after another: where each begins, and where the words are."""

    text: str
    begins: dict[int, int]
    words: Spans


def _joined(example: Example) -> _Text:
    begins: dict[int, int] = {}
    words, texts, length = [], [], 0
    for part, segment in enumerate(example.segments):
        if segment.selectable:
            begins[part] = length
            words.append(np.stack([segment.starts, segment.ends]) + length)
            texts.append(segment.text)
            length += len(segment.text) + 1
    return _Text("\n".join(texts), begins, np.concatenate(words, axis=1))


def _spans_of_words(entries: Sequence[object], text: _Text) -> Spans:
    """Where each word stands, one behind the other; only white space and punctuation may lie between them."""
    spans, end = [], 0
    for at, word in enumerate(entries):
        if not isinstance(word, str) or not word.strip():
            raise DataError(f"entry {at} is {shown(word)}, expected text")
        start = text.text.find(word.strip(), end)
        if start < 0 or any(letter.isalnum() for letter in text.text[end:start]):
            ahead = text.text[end : end + 30].strip()
            raise DataError(f"entry {at} is {shown(word)}, expected what the text goes on with: {shown(ahead)}")
        end = start + len(word.strip())
        spans.append((start, end))
    return _array(spans)


def _given_spans(entries: Sequence[object], text: _Text) -> Spans:
    """Spans as they are in the joined text; without a part they are in the first text."""
    spans = []
    for at, entry in enumerate(entries):
        numbers: object = entry
        if isinstance(entry, dict):  # in a table every entry has a part, or null
            part_of_it = [] if entry.get("part") is None else [entry["part"]]
            numbers = [*part_of_it, entry.get("start"), entry.get("end")]
        given = [whole(number) for number in numbers] if isinstance(numbers, list) else []
        if len(given) == 2:
            given = [next(iter(text.begins)), *given]
        part, start, end = (-1, -1, -1) if len(given) != 3 else (-1 if number is None else number for number in given)
        size = _length(text, part)
        if not 0 <= start <= end <= size:
            raise DataError(
                f"entry {at} is {shown(entry)}, expected [start, end] with 0 <= start <= end <= {size} (characters)"
            )
        spans.append((start + text.begins[part], end + text.begins[part]))
    return _array(spans)


def _length(text: _Text, part: int) -> int:
    """Characters of a part; -1 where it has no words of its own."""
    if part not in text.begins:
        return -1
    after = [begin for begin in text.begins.values() if begin > text.begins[part]]
    return min(after, default=len(text.text) + 1) - 1 - text.begins[part]


def _array(spans: Sequence[tuple[int, int]]) -> Spans:
    return np.array(spans, dtype=np.int64).reshape(-1, 2).T


def _shared(words: Spans, units: Spans, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The highest score of the units that share characters with each word; minus infinity where none does."""
    found = np.full(words.shape[1], -np.inf, dtype=np.float32)
    offsets, sources, _ = _rust.link_tokens(_ragged(words), _ragged(units))
    np.maximum.at(found, np.repeat(np.arange(len(found)), np.diff(offsets)), scores[sources])
    return found


def _ragged(spans: Spans) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    starts, ends = (np.ascontiguousarray(values) for values in spans)
    return starts, ends, np.array([0, spans.shape[1]], dtype=np.int64)

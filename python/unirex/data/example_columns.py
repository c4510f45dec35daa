"""Examples as columns of Arrow: how they lie on disk and in memory, many at a time without an object for each.

Texts are bytes, UTF-8 in which half a surrogate pair (JSON can spell one) may stand; whoever needs whole characters
says so. Offsets are int64, so a batch may hold more than 2 GiB of text.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unirex.schema import Example, Segment

_TEXTS = pa.large_list(pa.large_binary())
_NUMBERS = pa.large_list(pa.int64())
SCHEMA = pa.schema(
    [
        ("id", pa.large_binary()),
        ("label", pa.large_binary()),
        ("gold", pa.large_list(pa.float32())),
        ("text", _TEXTS),
        ("n_words", _NUMBERS),
        ("selectable", pa.large_list(pa.uint8())),
        ("start", _NUMBERS),
        ("end", _NUMBERS),
        ("choice", _TEXTS),
        ("choice_label", _TEXTS),
    ]
)
"""One row an example; `text`, `n_words` and `selectable` have one value a segment, `start` and `end` one a word."""

Ragged = tuple[NDArray[Any], NDArray[np.int64]]


class Columns:
    """N examples of a record batch, column by column; numbers are read in place.

    Attributes:
        gold: the values of all rationales and int64 offsets [N + 1].
        gold_known: bool [N].
        n_words, selectable: of each segment (int64, uint8), and offsets [N + 1] into the segments.
        starts, ends: of each word of all segments, and offsets [N + 1] into the words.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch
        self.gold = _ragged(batch["gold"])
        self.gold_known: NDArray[np.bool_] = batch["gold"].is_valid().to_numpy(zero_copy_only=False)
        self.n_words = _ragged(batch["n_words"])
        self.selectable = _ragged(batch["selectable"])
        self.starts = _ragged(batch["start"])
        self.ends = _ragged(batch["end"])

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def texts_of(self, name: str) -> list[Any]:
        """A column as text: for each row a text or None, or the list of its texts."""
        values = self.batch[name]
        if values.type == pa.large_binary():
            return [None if value is None else _text(value) for value in values.to_pylist()]
        return [[_text(value) for value in row] for row in values.to_pylist()]

    def keys_of(self, name: str) -> list[tuple[bytes, ...]]:
        """The texts of each row of a column of lists, as they lie in memory: to be compared."""
        return [tuple(row) for row in self.batch[name].to_pylist()]

    def flat_texts(self, name: str) -> list[str]:
        """The texts of a column of lists, those of all rows one after another."""
        return [_text(value) for value in self.batch[name].flatten().to_pylist()]

    def lengths(self, name: str) -> NDArray[np.int64]:
        """How many texts each row of a column of lists holds, int64 [N]."""
        found: NDArray[np.int64] = np.diff(self.batch[name].offsets.to_numpy())
        return found

    def flat(self, column: Ragged) -> NDArray[Any]:
        """The values of one of the columns of numbers, those of all rows one after another."""
        values, offsets = column
        return values[offsets[0] : offsets[-1]]

    @property
    def selectable_words(self) -> NDArray[np.int64]:
        """Selectable words of each example, int64 [N]."""
        sums = offsets_of(self.flat(self.n_words) * self.flat(self.selectable))
        counts: NDArray[np.int64] = np.diff(sums[self.n_words[1] - self.n_words[1][0]])
        return counts

    def example(self, row: int) -> Example:
        """One of the examples."""
        batch = self.batch
        first, word = (int(offsets[row]) for _, offsets in (self.n_words, self.starts))
        segments = []
        for place, text in enumerate(batch["text"][row].as_py(), start=first):
            end = word + int(self.n_words[0][place])
            segments.append(
                Segment(
                    text=_text(text),
                    starts=self.starts[0][word:end],
                    ends=self.ends[0][word:end],
                    selectable=bool(self.selectable[0][place]),
                )
            )
            word = end
        gold, bounds = self.gold
        label = batch["label"][row].as_py()
        return Example(
            id=_text(batch["id"][row].as_py()),
            segments=tuple(segments),
            label=None if label is None else _text(label),
            gold=gold[bounds[row] : bounds[row + 1]] if self.gold_known[row] else None,
            choices=tuple(_text(choice) for choice in batch["choice"][row].as_py()),
            choice_labels=tuple(_text(name) for name in batch["choice_label"][row].as_py()),
        )


class Texts(NamedTuple):
    """The segments of N examples, S in all.

    Attributes:
        texts: of all segments, one after another.
        offsets: int64 [N + 1], where the segments of each example lie.
        n_words, selectable: int64 and uint8 [S].
        starts, ends: int64, of each word of all segments.
    """

    texts: Sequence[str]
    offsets: NDArray[np.int64]
    n_words: NDArray[np.int64]
    selectable: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def to_batch(examples: Sequence[Example]) -> pa.RecordBatch:
    """The examples as rows of `SCHEMA`.

    >>> batch = to_batch([Example(id="a", segments=(Segment.from_words(["a", "film"]),), label=None)])
    >>> Columns(batch).example(0).words
    ['a', 'film']
    """
    segments = [segment for example in examples for segment in example.segments]
    texts = Texts(
        texts=[segment.text for segment in segments],
        offsets=offsets_of(len(example.segments) for example in examples),
        n_words=np.fromiter((len(segment.starts) for segment in segments), np.int64, len(segments)),
        selectable=np.fromiter((segment.selectable for segment in segments), np.uint8, len(segments)),
        starts=_joined((segment.starts for segment in segments), np.dtype(np.int64)),
        ends=_joined((segment.ends for segment in segments), np.dtype(np.int64)),
    )
    ids, labels = [example.id for example in examples], [example.label for example in examples]
    choices = [example.choices for example in examples], [example.choice_labels for example in examples]
    return make_batch(ids, labels, [example.gold for example in examples], texts, choices)


Lists = Sequence[Sequence[str]]


def make_batch(
    ids: Sequence[str],
    labels: Sequence[str | None],
    golds: Sequence[NDArray[np.float32] | None],
    texts: Texts,
    choices: tuple[Lists, Lists] | None = None,
) -> pa.RecordBatch:
    """Rows of `SCHEMA` from their parts; `choices` are those of each example, and their names."""
    of_words = offsets_of(texts.n_words)[texts.offsets]
    answers, names = choices or ([()] * len(ids), [()] * len(ids))
    columns = [
        binary(ids),
        binary(labels),
        _gold(golds),
        pa.LargeListArray.from_arrays(texts.offsets, binary(texts.texts)),
        pa.LargeListArray.from_arrays(texts.offsets, texts.n_words),
        pa.LargeListArray.from_arrays(texts.offsets, texts.selectable),
        pa.LargeListArray.from_arrays(of_words, texts.starts),
        pa.LargeListArray.from_arrays(of_words, texts.ends),
        _binary_lists(answers),
        _binary_lists(names),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def offsets_of(lengths: Iterable[Any]) -> NDArray[np.int64]:
    """Where rows of these lengths begin and end when they lie one after another: one more than there are rows."""
    known = lengths if isinstance(lengths, np.ndarray) else np.fromiter(lengths, np.int64)
    return np.concatenate(([0], np.cumsum(known, dtype=np.int64)))


def code_points(texts: Sequence[str]) -> Ragged:
    """The characters of texts as numbers, uint32, and the offsets of the texts."""
    joined = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<u4")
    return joined.astype(np.uint32, copy=False), offsets_of(map(len, texts))


def _gold(golds: Sequence[NDArray[np.float32] | None]) -> pa.Array:
    offsets = offsets_of(0 if gold is None else len(gold) for gold in golds)
    values = _joined((gold for gold in golds if gold is not None), np.dtype(np.float32))
    unknown = np.fromiter((gold is None for gold in golds), np.bool_, len(golds))
    return pa.LargeListArray.from_arrays(offsets, values, mask=pa.array(unknown))


def _joined(arrays: Iterable[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *arrays]).astype(dtype, copy=False)


def binary(texts: Sequence[str | None]) -> pa.Array:
    """Texts as a column of `SCHEMA`; None = null."""
    try:
        return pa.array(texts, pa.large_binary())
    except UnicodeEncodeError:
        coded = [None if text is None else text.encode("utf-8", "surrogatepass") for text in texts]
        return pa.array(coded, pa.large_binary())


def _binary_lists(rows: Sequence[Sequence[str]]) -> pa.Array:
    return pa.LargeListArray.from_arrays(offsets_of(map(len, rows)), binary([text for row in rows for text in row]))


def _ragged(array: pa.Array) -> Ragged:
    return array.values.to_numpy(zero_copy_only=False), array.offsets.to_numpy()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")

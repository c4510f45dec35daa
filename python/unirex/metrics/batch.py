"""Rows of a prediction file as numpy arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unirex import _rust
from unirex.metrics.ragged import Ragged


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """Ragged rows of which some are unknown (null): those are empty in `rows`."""

    rows: Ragged
    known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """N rows, whatever file they come from. A field is None where the files have no such column.

    Attributes:
        hashes: uint64 [N, 2], what a row's id becomes.
        label, prediction: int64 [N], positions in the layout's labels; -1 = the label is unknown.
        probabilities: on the full input, one row of classes each; rows without any are unknown.
        perturbed: (kind, perturbation) -> probabilities, fraction after fraction in each row.
        scores: one per word; minus infinity where the model never saw the word.
        rationale: one flag per word.
        gold: the human rationale, one number per word in [0, 1].
        words_cut, gold_cut: int64 [N].
        borders: int64, places in `scores`, `rationale` and `gold` where a further document of a row begins.
        odd: kind of oddity (`oddities.NOTES`) -> which rows look wrong in this way, bool [N].
    """

    hashes: NDArray[np.uint64]
    label: NDArray[np.int64] | None = None
    prediction: NDArray[np.int64] | None = None
    probabilities: Ragged | None = None
    perturbed: dict[tuple[str, str], Known] = field(default_factory=dict)
    scores: Ragged | None = None
    rationale: Ragged | None = None
    gold: Known | None = None
    words_cut: NDArray[np.int64] | None = None
    gold_cut: NDArray[np.int64] | None = None
    borders: NDArray[np.int64] | None = None
    odd: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.hashes)


def as_text(rows: pa.RecordBatch, name: str, where: str) -> pa.Array:
    """A column as text, whatever it holds; `where` is the file, for messages.

    >>> as_text(pa.RecordBatch.from_pydict({"label": [1, None]}), "label", "a.parquet").to_pylist()
    ['1', None]

    Raises:
        ValueError: it holds what has no text: lists, structs, bytes.
    """
    column = rows.column(name)
    try:
        return column.cast(pa.large_string())
    except pa.ArrowException:
        raise ValueError(f"{where}: column {name!r} holds {column.type}, expected text") from None


def hash_ids(ids: pa.Array) -> NDArray[np.uint64]:
    """The 128-bit FNV-1a hash of each id in UTF-8, uint64 [N, 2].

    >>> hash_ids(pa.array(["a", "b"])).shape
    (2, 2)
    """
    binary = ids.cast(pa.large_binary())
    _, positions, content = binary.buffers()
    offsets = np.frombuffer(positions, dtype=np.int64, count=len(binary) + 1, offset=8 * binary.offset)
    return _rust.hash_ids(np.frombuffer(content or b"", dtype=np.uint8), offsets).reshape(-1, 2)


def order(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The positions that sort hashes [N, 2]."""
    return np.lexsort((hashes[:, 1], hashes[:, 0]))


def repeated(hashes: NDArray[np.uint64]) -> NDArray[np.uint64] | None:
    """The first of sorted hashes [N, 2] that occurs twice, or None."""
    twice = (hashes[1:] == hashes[:-1]).all(axis=1)
    return hashes[int(np.argmax(twice))] if twice.any() else None


def as_keys(hashes: NDArray[np.uint64]) -> NDArray[Any]:
    """Hashes [N, 2] as N values that numpy can sort and look up."""
    return np.ascontiguousarray(hashes).view([("high", np.uint64), ("low", np.uint64)]).reshape(-1)

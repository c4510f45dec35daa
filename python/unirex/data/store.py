"""A data set's examples in Arrow: in memory while they are few, else in a file that is mapped, not read.

However many examples there are, no Python object is kept for any of them: one is made when it is asked for.
"""

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unirex.data.example_columns import SCHEMA, Columns, to_batch
from unirex.schema import Example

IN_MEMORY = 64 << 20
"""Bytes of examples that are kept in memory; more go to a file."""
AT_ONCE = 4096
"""Examples of a window, where nothing asks for fewer."""


class ExampleStore(Sequence[Example]):
    """The examples of a data set, or some of them in any order; read-only.

    >>> store = store_of([Example(id=name, segments=(), label=None) for name in "abc"])
    >>> [example.id for example in store.take(np.array([2, 0]))]
    ['c', 'a']
    """

    def __init__(
        self,
        parts: Sequence[Columns],
        rows: NDArray[np.int64] | None = None,
        no_gold: NDArray[np.bool_] | None = None,
    ) -> None:
        self._parts = parts
        self._bounds = np.cumsum([0, *(len(part) for part in parts)])
        self._rows = rows
        self._no_gold = no_gold

    def __len__(self) -> int:
        return int(self._bounds[-1]) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "ExampleStore": ...
    def __getitem__(self, index: int | slice) -> "Example | ExampleStore":
        if isinstance(index, slice):
            return self.take(np.arange(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"example {index}, expected one of {len(self)}")
        return self.columns(index % len(self), index % len(self) + 1).example(0)

    def __iter__(self) -> Iterator[Example]:
        for part in windows(self):
            for row in range(len(part)):
                yield part.example(row)

    def take(self, places: NDArray[np.int64]) -> "ExampleStore":
        """The examples at these places, in their order."""
        hidden = None if self._no_gold is None else self._no_gold[places]
        return ExampleStore(self._parts, places if self._rows is None else self._rows[places], hidden)

    def without_gold(self, hidden: NDArray[np.bool_]) -> "ExampleStore":
        """The same examples, of which those marked in `hidden` [N] have no known rationale."""
        before = np.zeros(len(self), np.bool_) if self._no_gold is None else self._no_gold
        return ExampleStore(self._parts, self._rows, before | hidden)

    def columns(self, start: int, end: int) -> Columns:
        """Examples `start` to `end` column by column."""
        batch = self._slice(start, end) if self._rows is None else self._gather(self._rows[start:end])
        if self._no_gold is not None and self._no_gold[start:end].any():
            gold = batch["gold"].take(pa.array(np.arange(end - start), mask=self._no_gold[start:end]))
            batch = batch.set_column(batch.schema.get_field_index("gold"), "gold", gold)
        return Columns(batch)

    def _slice(self, start: int, end: int) -> pa.RecordBatch:
        first, last = np.searchsorted(self._bounds, [start, max(start, end - 1)], side="right") - 1
        pieces = [
            self._parts[part].batch.slice(max(0, start - self._bounds[part]), end - max(start, self._bounds[part]))
            for part in range(first, last + 1)
            if part < len(self._parts)
        ]
        return pieces[0] if len(pieces) == 1 else _join(pieces)

    def _gather(self, rows: NDArray[np.int64]) -> pa.RecordBatch:
        of_part = np.searchsorted(self._bounds, rows, side="right") - 1
        order = np.argsort(of_part, kind="stable")
        cuts = np.flatnonzero(np.diff(of_part[order])) + 1
        pieces = [
            self._parts[of_part[group[0]]].batch.take(pa.array(rows[group] - self._bounds[of_part[group[0]]]))
            for group in np.split(order, cuts)
            if len(group)
        ]
        batch = _join(pieces)
        return batch if (np.diff(order) > 0).all() else batch.take(pa.array(np.argsort(order)))


def windows(examples: Sequence[Example], size: int = AT_ONCE) -> Iterator[Columns]:
    """All examples column by column, `size` at a time; at least one window, empty where there are none."""
    for start in range(0, max(1, len(examples)), size):
        if isinstance(examples, ExampleStore):
            yield examples.columns(start, min(start + size, len(examples)))
        else:
            yield Columns(to_batch(examples[start : start + size]))


def has_choices(examples: Sequence[Example]) -> bool:
    """Whether any example is a choice between answers."""
    return any(part.lengths("choice").any() for part in windows(examples))


def count_gold(examples: Sequence[Example]) -> int:
    """How many examples have a known rationale."""
    return sum(int(part.gold_known.sum()) for part in windows(examples))


def store_of(examples: Sequence[Example]) -> ExampleStore:
    """A store of examples that are at hand."""
    spool = Spool()
    for part in windows(examples):
        spool.add(part.batch)
    return spool.finish()


class Spool:
    """Takes examples batch by batch and gives a store of them.

    Args:
        folder: where a file may lie while the store is in use; None = where the system keeps such files (TMPDIR).
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._batches: list[pa.RecordBatch] = []
        self._size = 0
        self._file: Any = None
        self._writer: Any = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds rows of `SCHEMA`."""
        self._size += batch.nbytes
        self._batches.append(batch)
        if self._size > IN_MEMORY:
            if self._writer is None:
                self._file = scratch_file(self._folder)
                self._writer = pa.ipc.new_file(self._file, SCHEMA)
            for waiting in self._batches:
                self._writer.write_batch(waiting)
            self._batches = []

    def finish(self) -> ExampleStore:
        """The store of everything added."""
        if self._writer is None:
            return ExampleStore([Columns(batch) for batch in self._batches])
        self._writer.close()
        reader = pa.ipc.open_file(pa.py_buffer(mapped(self._file)))
        return ExampleStore([Columns(reader.get_batch(number)) for number in range(reader.num_record_batches)])


def scratch_file(folder: Path | None) -> Any:
    """A file open for writing that is gone when nothing uses it any more."""
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            return tempfile.TemporaryFile(dir=folder, prefix="unirex-")
    except OSError:
        pass  # a cache that cannot be written to is a warning elsewhere, not an error
    return tempfile.TemporaryFile(prefix="unirex-")


def mapped(file: Any) -> mmap.mmap:
    """What was written to a file, as memory that the system reads when it is looked at and may drop again."""
    file.flush()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _join(pieces: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    if not pieces:
        return to_batch([])
    return pa.concat_batches(pieces)

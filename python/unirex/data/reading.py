"""What readers yield, collected: every instance checked, its class named, and kept in a store."""

from array import array
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from unirex.data.errors import DataError
from unirex.data.example_columns import Columns, to_batch
from unirex.data.record import Labeling, Record, Records
from unirex.data.store import AT_ONCE, ExampleStore, Spool
from unirex.schema import Example

Found = Record | Records | Example


def read_examples(
    read: Callable[[], Iterable[Found]], labeling: Labeling, source: str, folder: Path | None
) -> ExampleStore:
    """All instances that a reader yields.

    Args:
        read: calls the reader; a second time only where two instances have one id.
        labeling: what the configuration says about them.
        source: the name of the reader, for messages.
        folder: as of `Spool`.
    """
    spool = _Collected(labeling, folder)
    try:
        for one in read():
            spool.add(one)
    except DataError:
        if spool.repeats():  # which came first
            _refuse_repeats(read(), source)
        raise
    if spool.repeats():
        _refuse_repeats(read(), source)
    return spool.finish()


class _Collected:
    """Instances on their way into a store, and 8 bytes of each id, to find out whether two may be the same."""

    def __init__(self, labeling: Labeling, folder: Path | None) -> None:
        self._labeling = labeling
        self._spool = Spool(folder)
        self._waiting: list[Example] = []
        self._hashes = array("q")

    def add(self, one: Found) -> None:
        if not isinstance(one, Records):
            self._add(one)
            return
        batch = None if one.batch is None else self._labeling.batch(one.batch)
        if batch is None:
            for record in one.one_by_one():
                self._add(record)
            return
        self._flush()
        self._hashes.extend(map(hash, Columns(batch).texts_of("id")))
        self._spool.add(batch)

    def _add(self, one: Record | Example) -> None:
        self._hashes.append(hash(one.id))
        self._waiting.append(self._labeling.example(one))
        if len(self._waiting) == AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._spool.add(to_batch(self._waiting))
            self._waiting = []

    def repeats(self) -> bool:
        """Whether two ids have one hash."""
        hashes = np.sort(np.frombuffer(self._hashes, np.int64)) if self._hashes else np.zeros(0, np.int64)
        return bool((hashes[1:] == hashes[:-1]).any())

    def finish(self) -> ExampleStore:
        self._flush()
        return self._spool.finish()


def _refuse_repeats(found: Iterable[Found], source: str) -> None:
    """Raises where an id is there twice, with both places."""
    first: dict[str, str] = {}
    for one in found:
        for each in one.one_by_one() if isinstance(one, Records) else [one]:
            where = each.where if isinstance(each, Record) else source
            if each.id in first:
                raise DataError(f"{where}: id {each.id!r} is a duplicate, expected it once (first at {first[each.id]})")
            first[each.id] = where

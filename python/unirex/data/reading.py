"""What readers yield, collected: every instance checked, its class named, and kept in a store."""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from unirex.data.errors import DataError
from unirex.data.example_columns import Columns, to_batch
from unirex.data.record import OtherLabels, QueryUse, Record, Records, known_label, to_example
from unirex.data.store import AT_ONCE, ExampleStore, Spool
from unirex.schema import Example

Found = Record | Records | Example


@dataclass(frozen=True, kw_only=True)
class Labeling:
    """What a configuration says about queries, choices and classes; see `DataConfig`."""

    query: QueryUse
    separator: str | None
    labels: Sequence[str] | None
    rename: Mapping[str, str]
    others: OtherLabels

    def example(self, one: Record | Example) -> Example:
        """The example of a record, or a ready example with its class as the configuration names it."""
        if isinstance(one, Record):
            return to_example(
                one,
                query=self.query,
                separator=self.separator,
                labels=self.labels,
                rename=self.rename,
                others=self.others,
            )
        if one.choices or one.label is None:
            return one
        label = self.rename.get(one.label, one.label)
        return replace(one, label=known_label(one.id, label, self.labels, self.others))

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch | None:
        """The examples with their classes as the configuration names them; None = one has none that it names."""
        found = Columns(batch).texts_of("label")
        named = {label: self.rename.get(label, label) for label in set(found) if label is not None}
        for label, name in named.items():
            if not name.strip():
                return None
            if self.labels is not None and name not in self.labels:
                if self.others == "error":
                    return None
                named[label] = None
        if all(label == name for label, name in named.items()):
            return batch
        labels = [None if label is None else named[label] for label in found]
        coded = pa.array(
            [None if name is None else name.encode("utf-8", "surrogatepass") for name in labels], pa.large_binary()
        )
        return batch.set_column(batch.schema.get_field_index("label"), "label", coded)


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

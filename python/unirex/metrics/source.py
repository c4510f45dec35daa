"""Where the rows of one system come from: files, their header and columns, read in batches."""

import glob
import os
import re
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, cast

import pyarrow as pa
import pyarrow.parquet as pq

from unirex.disk.predictions import Header
from unirex.metrics import jsonl, remote
from unirex.metrics.batch import as_text
from unirex.metrics.columns import KINDS, KNOWN, REQUIRED, header_of, is_known, mapping_of, refuse_twice
from unirex.metrics.gold_spans import refuse_in_file
from unirex.metrics.remote import Remote, opened
from unirex.metrics.spool import STANDARD_INPUT, is_stream, spool
from unirex.metrics.tables import NAME, ArrowStream, as_table
from unirex.text import brief, one_spelling, shown, suggest, told_apart

BATCH_ROWS = 2048
"""Rows held at a time."""
READ_AHEAD = 1 << 20
"""Bytes of a column read at a time; without it Arrow reads a whole row group's column at once."""

PathLike = str | os.PathLike[str]
System: TypeAlias = (
    PathLike | Sequence[PathLike] | pa.Table | ArrowStream | Mapping[str, Any] | Sequence[Mapping[str, Any]]
)
"""One system: a file, a directory or glob pattern of shards, a list of shards, or a table in memory (`as_table`)."""

Shard: TypeAlias = tuple[tuple[int, int], ...]
"""Row groups of a source: the part's position and the group's position in it."""


Part: TypeAlias = Path | Remote | pa.Table


@dataclass(frozen=True, kw_only=True)
class Source:
    """The rows of one system.

    Attributes:
        parts: files, or one table in memory, with the name used in messages.
        schema: the Arrow schema of the first part.
        header: of the first part; the others agree with it.
        columns: our column name -> the name in the file, where they differ.
        streams: names of parts that came by a pipe, which only this machine has.
    """

    parts: tuple[tuple[str, Part], ...]
    schema: pa.Schema
    header: Header
    columns: Mapping[str, str] = field(default_factory=dict)
    streams: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """A short name: the file, or the directory or pattern."""
        return self.parts[0][0] if len(self.parts) == 1 else f"{self.parts[0][0]} and {len(self.parts) - 1} more"

    def has(self, column: str) -> bool:
        """Whether the rows have this column of ours; one that is said to be another is not what it is called."""
        theirs = self.columns.get(column, column)
        taken = column not in self.columns and column in self.columns.values()
        return theirs in self.schema.names and not taken

    def names(self) -> list[str]:
        """The columns by our names."""
        back = {theirs: ours for ours, theirs in self.columns.items()}
        return [back.get(name, name) for name in self.schema.names]

    def batches(
        self, columns: Sequence[str], rows: int = BATCH_ROWS, shard: Shard | None = None
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Each part's name and rows, with these columns of ours under our names, at most `rows` at a time.

        With a shard only its rows.
        """
        theirs = [self.columns.get(column, column) for column in columns]
        for i, (name, part) in enumerate(self.parts):
            found = self.schema
            if i and not isinstance(part, pa.Table) and jsonl.is_jsonl(part):  # whose types follow from its own values
                found = jsonl.read_schema(part, self.columns, name)
            schema = pa.schema([found.field(t) for t in dict.fromkeys(theirs)])
            groups = None if shard is None else [group for p, group in shard if p == i]
            for batch in _batches(name, part, schema, rows, groups, self._late):
                yield name, pa.RecordBatch.from_arrays([batch.column(t) for t in theirs], names=list(columns))

    @cached_property
    def _late(self) -> "re.Pattern[bytes]":
        ours = {name: name for name in KNOWN} | dict(self.columns)
        return jsonl.late_fields(self.schema.names, ours.values(), KINDS)

    def shards(self, most: int) -> list[Shard]:
        """At most `most` shards of about equally many row groups that together are all rows."""
        groups = [(i, group) for i, part in enumerate(self.parts) for group in range(_size(*part)[1])]
        n = max(1, min(most, len(groups)))
        return [tuple(groups[len(groups) * k // n : len(groups) * (k + 1) // n]) for k in range(n)]

    def refuse_streams(self) -> None:
        """Fails for rows that only this machine can read.

        Raises:
            ValueError: the standard input or a pipe.
        """
        for name in self.streams:
            raise ValueError(f"{name}: only this process can read it, expected a file for engine ray")

    def n_rows(self) -> int:
        """Number of rows, from the files' footers; JSON lines count as none."""
        return sum(_size(*part)[0] for part in self.parts)


def open_source(
    system: System, *, columns: Mapping[str, str] | None = None, labels: Sequence[str] | None = None
) -> Source:
    """The source for a file, a directory or glob pattern of shards, a list of them, or a table in memory.

    Args:
        system: where the rows are.
        columns: our column name -> name in the file, for files that others wrote.
        labels: class names in the order of the probabilities, for files without our header.

    A pipe, and `-` for the standard input, are read once into a temporary file, which goes with the source.

    Raises:
        FileNotFoundError: no such file, or a pattern or directory that holds none.
        ValueError: not Parquet, an unknown or missing column, one that occurs twice, headers that differ.
    """
    copies: list[Path] = []
    try:
        parts = _parts(system, copies)
        source = replace(_opened(parts, columns, labels), streams=tuple(name for name, p in parts if p in copies))
    except BaseException:
        _remove(copies)
        raise
    if copies:
        weakref.finalize(source, _remove, copies)
    return source


def _parts(system: System, copies: list[Path]) -> tuple[tuple[str, Part], ...]:
    """The parts with their names; temporary files go into `copies` too."""
    table = as_table(system)
    if table is not None:
        return ((NAME, table),)
    parts: list[tuple[str, Part]] = []
    for path in files_of(cast("PathLike | Sequence[PathLike]", system)):
        if not isinstance(path, Remote) and is_stream(path):
            copies.append(spool(path))
            parts.append(("standard input" if str(path) == STANDARD_INPUT else str(path), copies[-1]))
        else:
            parts.append((str(path), path))
    return tuple(parts)


def _remove(copies: list[Path]) -> None:
    for path in copies:
        path.unlink(missing_ok=True)


def _opened(
    parts: tuple[tuple[str, Part], ...], columns: Mapping[str, str] | None, labels: Sequence[str] | None
) -> Source:
    schemas = [_schema(name, part, columns or {}) for name, part in parts]
    mapping = mapping_of(columns or {}, schemas[0], parts[0][0])
    headers = [header_of(name, schema) for (name, _), schema in zip(parts, schemas, strict=True)]
    refuse_twice(parts[0][0], schemas[0], mapping)
    for (name, _), schema, header in zip(parts[1:], schemas[1:], headers[1:], strict=True):
        if header != headers[0]:
            raise ValueError(f"{name}: {_differing(header, headers[0])} in its header, expected that of {parts[0][0]}")
        refuse_twice(name, schema, mapping)
        for column in (c for c in (*schemas[0].names, *schema.names) if is_known(c) or c in mapping.values()):
            if column not in schema.names:
                raise ValueError(f"{name}: column {column!r} is missing, {parts[0][0]} has it")
            if column not in schemas[0].names:
                raise ValueError(f"{parts[0][0]}: column {column!r} is missing, {name} has it")
    header = headers[0]
    everywhere = [column for column in schemas[0] if all(column.name in schema.names for schema in schemas)]
    schema = pa.schema(everywhere, schemas[0].metadata)
    source = Source(parts=parts, schema=schema, header=header or Header(), columns=mapping)
    if header is not None:
        for column in REQUIRED:
            if not source.has(column):
                raise ValueError(missing_column(source, column))
        if labels and tuple(labels) != header.labels:
            raise ValueError(
                f"{source.name}: labels are {list(labels)}, expected {list(header.labels)} as in its header"
            )
        return source
    return _foreign(source, labels)


def _differing(one: Header | None, other: Header | None) -> str:
    """The first key in which two headers differ."""
    found, there = ({} if header is None else vars(header) for header in (one, other))
    key = next(key for key in {**there, **found} if found.get(key) != there.get(key))
    return f"{key} is {shown(found.get(key))}, not {shown(there.get(key))},"


def missing_column(source: Source, column: str) -> str:
    """The message for a column that is not there, with a near name if there is one that means nothing else."""
    others = [name for name in source.schema.names if not is_known(name)]
    return f"{source.name}: column {column!r} is missing{suggest(column, others)}"


def files_of(system: PathLike | Sequence[PathLike]) -> list[Path | Remote]:
    """The files of a system.

    Raises:
        FileNotFoundError: there are none.
        ValueError: a path of no letters, which would be the current folder.
    """
    if system == "":
        raise ValueError("a system is '', expected a path, several, or a table")
    if not isinstance(system, str | os.PathLike):
        if isinstance(system, bytes) or not isinstance(system, Iterable):
            raise ValueError(f"a system is {shown(system)}, expected a path, several, or a table")
        paths = [path for part in system for path in files_of(part)]
        if not paths:
            raise ValueError("no prediction file given")
        return paths
    if remote.is_url(system):
        local = remote.local_path(str(system))
        return list(remote.files(str(system), jsonl.is_jsonl)) if local is None else files_of(local)
    path = Path(system)
    if is_stream(path):
        return [path]
    if path.is_dir():
        found = sorted(path.glob("*.parquet")) or sorted(p for p in path.iterdir() if jsonl.is_jsonl(p))
        if not found:
            raise FileNotFoundError(f"{path}: no *.parquet and no *.jsonl in this directory")
        return list(found)
    if not path.exists():
        found = sorted(Path(p) for p in glob.glob(str(system), recursive=True))  # noqa: PTH207 (absolute patterns)
        if not found:
            raise FileNotFoundError(f"{path}: no such file")
        return list(found)
    return [path]


def _schema(name: str, part: Part, columns: Mapping[str, str]) -> pa.Schema:
    if isinstance(part, pa.Table):
        return part.schema
    with _reading(name):
        if jsonl.is_jsonl(part):
            return jsonl.read_schema(part, columns, name)
        if part.suffixes[-1:] in ([".csv"], [".tsv"]):
            raise ValueError(f"{name}: a {part.suffixes[-1]} file, expected Parquet or JSON lines")
        schema = pq.read_schema(opened(part))
        refuse_in_file({*schema.names, *columns}, name)  # fails here, inside the guard, if a name is not UTF-8
        return schema


def _size(name: str, part: Part) -> tuple[int, int]:
    """How many rows and row groups a part has; JSON lines count as no row and one group."""
    if isinstance(part, pa.Table):
        return part.num_rows, 1
    if jsonl.is_jsonl(part):
        return 0, 1
    with _reading(name):
        found = pq.read_metadata(opened(part))
        return found.num_rows, found.num_row_groups


def _batches(
    name: str, part: Part, schema: pa.Schema, rows: int, groups: list[int] | None, late: "re.Pattern[bytes]"
) -> Iterator[pa.RecordBatch]:
    if groups == []:
        return
    columns = schema.names
    if isinstance(part, pa.Table):
        yield from part.select(columns).to_reader(max_chunksize=rows)
        return
    if jsonl.is_jsonl(part):
        with _reading(name):
            yield from jsonl.batches(part, schema, rows, late, name)
        return
    with (
        _reading(name),
        pq.ParquetFile(opened(part), pre_buffer=False, buffer_size=READ_AHEAD, page_checksum_verification=True) as file,
    ):
        yield from file.iter_batches(batch_size=rows, columns=columns, row_groups=groups)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turns what Arrow says about a broken file into one line that names it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = brief(error)
        raise ValueError(f"{name}: not a readable file of predictions ({reason})") from error


def _foreign(source: Source, labels: Sequence[str] | None) -> Source:
    """A source without our header: the classes are given, or those found if no order is needed."""
    if not source.has("id"):
        raise ValueError(missing_column(source, "id"))
    if labels is not None and len({*labels}) < len(labels):
        raise ValueError(f"{source.name}: labels are {shown(list(labels))}, expected each once")
    if labels is None:
        if source.has("probabilities"):
            message = "has probabilities but no header that names the classes, expected labels in their order"
            raise ValueError(f"{source.name}: {message}")
        named = [column for column in ("label", "prediction") if source.has(column)]
        names: dict[str, set[str]] = {column: set() for column in named}
        for where, batch in source.batches(named) if named else ():
            for column in named:
                names[column].update(as_text(batch, column, where).unique().drop_null().to_pylist())
        if len(named) > 1:
            _same_classes(source.name, names["label"], names["prediction"])
        labels = sorted(set().union(*names.values()))
    header = Header(labels=tuple(labels), headline="accuracy" if source.has("label") else None)
    return replace(source, header=header)


def _same_classes(name: str, labels: set[str], predictions: set[str]) -> None:
    """Fails where a class is spelled in two ways, so that predictions miss its label."""
    spelled: dict[str, str] = {}
    for label in (*sorted(labels), *sorted(predictions - labels)):
        other = spelled.setdefault(one_spelling(label), label)
        if other != label:
            kinds = ["label" if one in labels else "prediction" for one in (label, other)]
            pair = [f"{kind} {one}" for kind, one in zip(kinds, told_apart(label, other), strict=True)]
            raise ValueError(f"{name}: {' and '.join(pair)}, expected one spelling")
    # One class beside another one may be a mistake of the model in each of a few rows.
    if labels and predictions and len(labels | predictions) > 2 and not labels & predictions:
        found = f"predictions are {shown(sorted(predictions))} and labels {shown(sorted(labels))}"
        raise ValueError(f"{name}: {found}, expected classes in common")

"""Rows from JSON lines: one object a line, plain or compressed (.gz, .zst), with the columns of prediction files."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.json as pj

from unirex.disk.untrusted import read_json
from unirex.metrics import remote
from unirex.metrics.gold_spans import refuse_in_file
from unirex.metrics.remote import Remote
from unirex.text import brief

SUFFIXES = (".jsonl", ".ndjson", ".json")
BLOCK = 8 << 20
"""Bytes read at a time; a line must be shorter."""

_TEXTS = ("id", "label", "prediction", "context", "model", "data")
_NUMBERS = pa.list_(pa.float64())
_TYPES: dict[str, pa.DataType] = {
    "probabilities": _NUMBERS,
    "scores": _NUMBERS,
    "gold": _NUMBERS,
    "fractions": _NUMBERS,
    "documents": pa.list_(pa.int64()),
    "words_cut": pa.int64(),
    "gold_cut": pa.int64(),
}
_KINDS: dict[str, pa.DataType] = {
    "keep": pa.list_(_NUMBERS),
    "remove": pa.list_(_NUMBERS),
    "null": _NUMBERS,
    "orders": _NUMBERS,
    "full": _NUMBERS,
}

_GUESSED = {b"guessed": b""}
"""Metadata of a field whose first values say nothing of their type."""


def is_jsonl(path: PurePath | Remote) -> bool:
    """Whether a file's name says that it holds JSON lines.

    >>> is_jsonl(Path("a.jsonl.gz")), is_jsonl(Path("a.jsonl")), is_jsonl(Path("a.jsonl.parquet"))
    (True, True, False)
    """
    packed = path.suffixes[-1:] in ([".gz"], [".zst"])
    return any(suffix in SUFFIXES for suffix in (path.suffixes[:-1] if packed else path.suffixes)[-1:])


def read_schema(path: Path | Remote, columns: Mapping[str, str], name: str) -> pa.Schema:
    """The columns we know of the first lines' objects, `columns` giving other names for ours, `name` the file's.

    A column's type is that of its first value; lines are read up to a MiB, and at least one.

    Raises:
        ValueError: no line, or the first one is no JSON object.
    """
    ours = dict(zip(columns.values(), columns.keys(), strict=True))
    with remote.stream(path) as stream:
        lines = _first_lines(stream, name)
    if not lines:
        raise ValueError(f"{name}: no rows")
    found: dict[str, Any] = {}
    for number, line in enumerate(lines, start=1):
        try:
            row: Any = read_json(line)
        except ValueError as error:
            if number > 1:  # told where the rows are read, by the line of the file
                break
            raise ValueError(f"{name}: line 1: not JSON ({error})") from error
        if not isinstance(row, dict):
            if number > 1:
                break
            raise ValueError(f"{name}: line 1: holds {type(row).__name__}, expected an object")
        found |= {key: value for key, value in row.items() if found.get(key) in (None, [])}
    if "annotation_id" in found and columns.get("id", "id") not in found:
        raise ValueError(
            f"{name}: column 'id' is missing, expected predictions; results of the ERASER benchmark are scored by "
            "`unirex-metrics score --data-dir`, and not compared"
        )
    refuse_in_file({*found, *columns}, name)
    typed = ((key, _type(ours.get(str(key), str(key)), value), value) for key, value in found.items())
    return pa.schema(
        [
            pa.field(key, kind, metadata=_GUESSED if value in (None, []) else None)
            for key, kind, value in typed
            if kind is not None
        ]
    )


def late_fields(known: Collection[str], ours: Iterable[str], kinds: Iterable[str]) -> "re.Pattern[bytes]":
    """Finds the names of `ours`, and those that begin with one of `kinds` and a dot, but for those that are known."""
    either = [re.escape(name) for name in ours if name not in known]
    for kind in kinds:
        there = "|".join(re.escape(name.removeprefix(f"{kind}.")) for name in known if name.startswith(f"{kind}."))
        rest = f'(?!(?:{there})")' if there else ""
        either.append(rf'{kind}\.{rest}[^"\\]+')
    return re.compile(rf'"({"|".join(either)})"\s*:'.encode())


def batches(
    path: Path | Remote, schema: pa.Schema, rows: int, late: "re.Pattern[bytes]", name: str
) -> Iterator[pa.RecordBatch]:
    """The rows with the columns of `schema`, at most `rows` at a time; a field that a line lacks is null.

    Args:
        path: the file.
        schema: of the columns that are read.
        rows: at most so many at a time.
        late: what begins with a field of ours that the first lines did not have (`late_fields`): no line may have one.
        name: the file's, for messages.

    Raises:
        ValueError: what is wrong, with the line.
    """
    options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    done = 0
    try:
        with remote.stream(path) as stream:
            reading = pj.ReadOptions(use_threads=False, block_size=BLOCK)
            watched = pa.PythonFile(_Watched(stream, late, name), mode="r")
            for block in pj.open_json(watched, read_options=reading, parse_options=options):
                for start in range(0, block.num_rows, rows):
                    yield block.slice(start, rows)
                done += block.num_rows
    except pa.ArrowInvalid as error:
        reason = brief(error)
        changed = re.search(r"Column\(/(.+?)\) changed from (\w+) to (\w+)( in row \d+)?$", reason)
        if changed is not None:
            guessed = schema.field(changed[1].split("/")[0]).metadata == _GUESSED
            expected = f"null as in all of the first MiB, or {changed[2]}" if guessed else changed[2]
            reason = f"{changed[1]} holds {changed[3]}, expected {expected}{changed[4] or ''}"
        row = re.search(r" in row (\d+)$", reason)
        where = f"{name}: line {_line_of(path, done + int(row[1]))}" if row else name
        if number := re.search(r"Failed to convert JSON to \w+, couldn't parse:(\S+)$", reason):
            where = f"{name}: line {_line_with(path, number[1])}"
            raise ValueError(f"{where}: found {number[1]}, expected text, or a number of 64 bits") from error
        if "straddling" in reason:
            raise ValueError(_too_long(f"{name}: after line {done}")) from error
        raise ValueError(f"{where}: {reason[: row.start()] if row else reason}") from error


class _Watched:
    """A stream of lines, which ends with an error where one has a field of ours that the first lines did not have."""

    closed = False

    def __init__(self, stream: pa.NativeFile, late: "re.Pattern[bytes]", name: str) -> None:
        self._stream, self._late, self._name = stream, late, name
        self._rest, self._line = b"", 1

    def read(self, size: int) -> bytes:
        """The next bytes. Those of the last line, which may go on, are looked at with what follows."""
        more = bytes(self._stream.read(size))
        whole, end, rest = (self._rest + more).rpartition(b"\n") if more else (self._rest, b"", b"")
        for field in {found[1].decode() for found in self._late.finditer(whole)}:
            self._refuse(whole, field)
        self._check_text(whole)
        self._line += whole.count(b"\n") + len(end)
        self._rest = rest
        return more

    def _check_text(self, lines: bytes) -> None:
        if lines.isascii():  # a hundred times as fast as to decode them
            return
        try:
            lines.decode()
        except UnicodeDecodeError as error:
            number = self._line + lines.count(b"\n", 0, error.start)
            raise ValueError(f"{self._name}: line {number}: not UTF-8 ({error.reason})") from None

    def _refuse(self, lines: bytes, field: str) -> None:
        for number, line in enumerate(lines.split(b"\n"), start=self._line):
            if f'"{field}"'.encode() not in line:
                continue
            row: Any = None
            with suppress(ValueError):  # no JSON is told where the rows are read
                row = read_json(line)
            if isinstance(row, dict) and row.get(field) is not None:
                place = f"{self._name}: line {number}"
                raise ValueError(f"{place}: the first with {field!r}, expected it in the first MiB too (or null)")


def _line_of(path: Path | Remote, row: int) -> int:
    """The line of a row, counted from 1; blank lines are none of the rows, which are counted from 0."""
    filled = (number for number, line in _numbered(path) if line.strip())
    return next(islice(filled, row, None), row + 1)


def _line_with(path: Path | Remote, text: str) -> int:
    """The first line that has a text, which one has."""
    return next(number for number, line in _numbered(path) if text.encode() in line)


def _numbered(path: Path | Remote) -> Iterator[tuple[int, bytes]]:
    """The lines of a file and their numbers from 1."""
    number, rest = 0, b""
    with remote.stream(path) as stream:
        while more := stream.read(BLOCK):
            *whole, rest = (rest + more).split(b"\n")
            for line in whole:
                number += 1
                yield number, line
    yield number + 1, rest


def _first_lines(stream: pa.NativeFile, name: str) -> list[bytes]:
    """The lines of the first MiB that are not blank, but at least one if there is any."""
    content = b""
    while True:
        more = stream.read(1 << 20)
        content += more
        *whole, rest = content.split(b"\n")
        lines = [line for line in (whole if more else [*whole, rest]) if line.strip()]
        if lines or not more:
            return lines
        if len(content) > BLOCK:
            raise ValueError(_too_long(f"{name}: line 1"))


def _too_long(where: str) -> str:
    return f"{where}: a line longer than {BLOCK >> 20} MiB, expected one row a line"


def _type(name: str, value: object) -> pa.DataType | None:
    """The Arrow type of a column of ours, None for a column we do not know."""
    if name == "words":
        return pa.list_(pa.string())
    if name in _TEXTS:
        return pa.int64() if isinstance(value, int) else pa.string()
    if name == "rationale":
        flags = not isinstance(value, list) or not value or isinstance(value[0], bool)
        return pa.list_(pa.bool_()) if flags else _NUMBERS
    if name == "gold" and isinstance(value, list) and value and isinstance(value[0], bool):
        return pa.list_(pa.bool_())
    kind, dot, _ = name.partition(".")
    return _KINDS.get(kind) if dot else _TYPES.get(name)

"""Rows of files, read one after another with their place in the file, and their fields, checked."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from unirex.data.errors import DataError, wrong
from unirex.disk.untrusted import read_json
from unirex.text import brief

_T = TypeVar("_T")
Row = tuple[str, Mapping[str, Any]]
"""The place of a row, and its fields."""

LONGEST_CELL = 2**31 - 1
_DELIMITERS = ",\t;|"
BLOCK_ROWS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows of a file or data set that follow one another.

    Attributes:
        prefix: the place of a row without its number.
        numbers: of the rows (lines, for JSONL).
        columns: cells by column; None where the rows may have different fields.
        rows: the fields of each row, where `columns` is None.
    """

    prefix: str
    numbers: Sequence[int]
    columns: Mapping[str, Sequence[Any]] | None
    rows: Sequence[Mapping[str, Any]] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def names(self) -> Iterable[str]:
        """The columns that any row has."""
        return self.columns if self.columns is not None else dict.fromkeys(chain.from_iterable(self.rows))

    def row(self, index: int) -> Row:
        """The place and the fields of a row."""
        cells = self.rows[index] if self.columns is None else _Of(self.columns, lambda cells: cells[index])
        return f"{self.prefix}{self.numbers[index]}", cells

    def cells(self, name: str) -> Sequence[Any]:
        """The cells of a column, or of a field inside a column, as `cell`."""
        if self.columns is not None and name in self.columns:
            return self.columns[name]
        return [cell(self.row(index)[1], name) for index in range(len(self))]

    def part(self, first: int, last: int) -> "Block":
        """The rows from `first` to before `last`."""
        columns = None if self.columns is None else _Of[Sequence[Any]](self.columns, lambda cells: cells[first:last])
        return Block(self.prefix, self.numbers[first:last], columns, self.rows[first:last])


class _Of(Mapping[str, _T]):
    """What is taken of each column when it is asked for: a column that nobody reads may hold what cannot be read."""

    def __init__(self, columns: Mapping[str, Any], take: Callable[[Any], _T]) -> None:
        self._columns, self._take = columns, take

    def __getitem__(self, name: str) -> _T:
        return self._take(self._columns[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class _Decoded(Mapping[str, Sequence[Any]]):
    """The columns of a record batch as values, each decoded when it is first asked for."""

    def __init__(self, path: Path, batch: pa.RecordBatch) -> None:
        self._path, self._batch = path, batch
        self._known: dict[str, list[Any]] = {}

    def __getitem__(self, name: str) -> Sequence[Any]:
        if name not in self._known:
            column = self._batch.column(name)  # a KeyError where there is none
            try:
                self._known[name] = column.to_pylist()
            except (pa.ArrowException, ValueError, OverflowError) as error:
                raise DataError(f"{self._path}: column {name} cannot be read ({brief(error)})") from None
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._batch.schema.names)

    def __len__(self) -> int:
        return len(self._batch.schema.names)


def cell(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column, or of a field inside it; None if the row has no such field.

    >>> cell({"choices": {"text": ["yes", "no"]}}, "choices.text")
    ['yes', 'no']
    """
    if column in row:
        return row[column]
    head, _, rest = column.partition(".")
    inner = row.get(head)
    return cell(inner, rest) if rest and isinstance(inner, dict) else None


def stream_rows(path: str | Path) -> Iterator[Row]:
    """Place (`file:line` for JSONL, else `file: row N`) and fields of each row of a file; only JSON is read whole.

    Cells of CSV and TSV are text. Blank lines of JSONL and CSV are skipped.

    Raises:
        DataError: at once if there is no such file or its format is unknown; while reading, with the place.
    """
    file = Path(path)
    if file.suffix.lower() not in FORMATS:
        raise DataError(f"{path}: the file's name ends in {file.suffix!r}, expected one of {', '.join(FORMATS)}")
    if file.is_dir():
        raise DataError(f"{path}: is a folder, expected a file")
    if not file.exists():
        raise DataError(f"{path}: no such file")
    return (block.row(index) for block in stream_blocks(file) for index in range(len(block)))


def stream_blocks(path: Path) -> Iterator[Block]:
    """The rows of `stream_rows`, many at a time. Those before a fault come before it is raised."""
    return FORMATS[path.suffix.lower()](path)


def decode(where: str, content: bytes) -> str:
    """The text of a file or a line, without a byte-order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise wrong(where, f"byte {error.start}", content[error.start : error.start + 1], "UTF-8 text") from None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Names the file in errors of the system."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_text(path: Path) -> str:
    """The content of a UTF-8 file."""
    with reading(path):
        return decode(str(path), path.read_bytes())


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """`file:line` and object for each line of a JSONL file; blank lines are skipped."""
    with reading(path), path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                where = f"{path}:{number}"
                yield where, _object(where, "the line", parse_json(where, decode(where, line.removesuffix(b"\n"))))


def parse_json(where: str, text: str) -> Any:
    """The value that a JSON text stands for."""
    try:
        return read_json(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: bad JSON at character {error.pos + 1} ({error.msg})") from None
    except ValueError as error:
        raise DataError(f"{where}: bad JSON ({error})") from None


def take(where: str, row: Mapping[str, Any], field: str, kind: type | tuple[type, ...], expected: str) -> Any:
    """The value of a field that must be there and of this kind (a bool is no number).

    >>> take("val.jsonl:3", {"query": "why"}, "query", str, "text")
    'why'
    """
    if field not in row:
        raise DataError(f"{where}: {field} is missing, expected {expected}")
    value = row[field]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise wrong(where, field, value, expected)
    return value


def _object(where: str, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong(where, name, value, "a JSON object")
    return value


def _grouped(rows: Iterator[tuple[int, _T]], make: Callable[[list[int], list[_T]], Block]) -> Iterator[Block]:
    """Numbered rows in blocks."""
    numbers: list[int] = []
    group: list[_T] = []
    try:
        for number, row in rows:
            numbers.append(number)
            group.append(row)
            if len(group) == BLOCK_ROWS:
                yield make(numbers, group)
                numbers, group = [], []
    except DataError:
        if group:
            yield make(numbers, group)
        raise
    if group:
        yield make(numbers, group)


def _jsonl(path: Path) -> Iterator[Block]:
    prefix = f"{path}:"
    rows = ((int(where.removeprefix(prefix)), row) for where, row in json_lines(path))
    return _grouped(rows, lambda numbers, group: Block(prefix, numbers, None, group))


def _json(path: Path) -> Iterator[Block]:
    """A file that is a list of objects, or an object with one such list in it."""
    content = parse_json(str(path), read_text(path))
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list)]
        content = lists[0] if len(lists) == 1 else content
    if not isinstance(content, list):
        raise wrong(
            str(path), "the file", content, "a list of objects (or JSON lines under a name that ends in .jsonl)"
        )
    prefix = f"{path}: row "
    rows = ((number, _object(f"{prefix}{number}", "the row", row)) for number, row in enumerate(content, start=1))
    yield from _grouped(rows, lambda numbers, group: Block(prefix, numbers, None, group))


def _csv(path: Path) -> Iterator[Block]:
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        with reading(path), path.open(encoding="utf-8-sig", newline="") as lines:
            first = _first_line(path, lines)
            cells = csv.reader(chain([first], lines), delimiter=_delimiter(path, first), strict=True)
            rows = _numbered(path, (row for row in cells if row))
            _, header = next(rows, (0, []))
            if len(set(header)) < len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise DataError(f"{path}: the header has the column {twice!r} twice, expected it once")

            def make(numbers: list[int], group: list[list[str]]) -> Block:
                return Block(f"{path}: row ", numbers, dict(zip(header, zip(*group, strict=True), strict=True)))

            yield from _grouped(rows, make)
    finally:
        csv.field_size_limit(before)


def _delimiter(path: Path, header: str) -> str:
    """What separates the cells of the header: a comma, tab, semicolon or bar, whichever is there most often.

    A tab where a file is called .tsv; a comma where the header holds none of them, and so is one column.
    """
    if path.suffix.lower() == ".tsv":
        return "\t"
    outside = re.sub(r'"[^"]*"?', "", header)  # a quoted name may hold any of them
    found = [mark for mark in _DELIMITERS if mark in outside]
    counts = sorted(outside.count(mark) for mark in found)
    if len(counts) > 1 and counts[-1] == counts[-2]:
        named = " and ".join(repr(mark) for mark in found)
        raise DataError(f"{path}: the header {header.strip()[:80]!r} holds {named}, expected one that separates cells")
    return max(found, key=outside.count, default=",")


def _first_line(path: Path, lines: Iterable[str]) -> str:
    """The first line that is not blank."""
    try:
        return next((line for line in lines if line.strip()), "")
    except UnicodeDecodeError:
        raise _find_fault(path) from None


def _find_fault(path: Path) -> DataError:
    """The error for a file that is no UTF-8: it was met many lines ahead of the rows that are read."""
    try:
        with reading(path), path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                decode(f"{path}: line {number}", line)
    except DataError as error:
        return error
    return DataError(f"{path}: changed while it was read")


def _numbered(path: Path, rows: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """The header as number 0 and the rows from 1 on, all of the same length."""
    number, width = -1, None
    try:
        for number, cells in enumerate(rows):
            width = len(cells) if width is None else width
            if len(cells) != width:
                raise DataError(f"{path}: row {number}: {len(cells)} cells, expected {width} as in the header")
            yield number, cells
    except csv.Error as error:
        raise DataError(f"{path}: row {number + 1}: {error}") from None
    except UnicodeDecodeError:
        raise _find_fault(path) from None


def _parquet(path: Path) -> Iterator[Block]:
    number = 1
    try:
        with reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            if twice := [name for name in names if names.count(name) > 1]:
                raise DataError(f"{path}: the column {twice[0]!r} is there twice, expected it once")
            for batch in file.iter_batches(batch_size=BLOCK_ROWS):
                numbers = range(number, number + batch.num_rows)
                yield Block(f"{path}: row ", numbers, _Decoded(path, batch))
                number += batch.num_rows
    except pa.ArrowException as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: pa.ArrowException) -> DataError:
    """The error for a file that Arrow cannot read."""
    return DataError(f"{path}: {brief(error)}")


FORMATS: dict[str, Callable[[Path], Iterator[Block]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".json": _json,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}

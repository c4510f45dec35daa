"""Rows of files, read one after another with their place in the file, and their fields, checked."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unirex.data.errors import DataError, wrong
from unirex.disk.untrusted import read_json

Row = tuple[str, Mapping[str, Any]]
"""The place of a row, and its fields."""

LONGEST_CELL = 2**31 - 1
_DELIMITERS = ",\t;|"
PARQUET_ROWS = 1024


def stream_rows(path: str | Path) -> Iterator[Row]:
    """Place (`file:line` for JSONL, else `file: row N`) and fields of each row of a file; only JSON is read whole.

    Cells of CSV and TSV are text. Blank lines of JSONL and CSV are skipped.

    Raises:
        DataError: at once if there is no such file or its format is unknown; while reading, with the place.
    """
    file = Path(path)
    reader = FORMATS.get(file.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: the file's name ends in {file.suffix!r}, expected one of {', '.join(FORMATS)}")
    if file.is_dir():
        raise DataError(f"{path}: is a folder, expected a file")
    if not file.exists():
        raise DataError(f"{path}: no such file")
    return reader(file)


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


def _json(path: Path) -> Iterator[Row]:
    """A file that is a list of objects, or an object with one such list in it."""
    content = parse_json(str(path), read_text(path))
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list)]
        content = lists[0] if len(lists) == 1 else content
    if not isinstance(content, list):
        raise wrong(
            str(path), "the file", content, "a list of objects (or JSON lines under a name that ends in .jsonl)"
        )
    for number, row in enumerate(content, start=1):
        where = f"{path}: row {number}"
        yield where, _object(where, "the row", row)


def _csv(path: Path) -> Iterator[Row]:
    before = csv.field_size_limit(LONGEST_CELL)
    number = 0
    try:
        with reading(path), path.open(encoding="utf-8-sig", newline="") as lines:
            first = next((line for line in lines if line.strip()), "")
            delimiter = _delimiter(path, first)
            rows = (row for row in csv.reader(chain([first], lines), delimiter=delimiter, strict=True) if row)
            header = next(rows, [])
            if len(set(header)) < len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise DataError(f"{path}: the header has the column {twice!r} twice, expected it once")
            for number, cells in enumerate(rows, start=1):
                if len(cells) != len(header):
                    raise DataError(
                        f"{path}: row {number}: {len(cells)} cells, expected {len(header)} as in the header"
                    )
                yield f"{path}: row {number}", dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: row {number + 1}: {error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: after row {number}: byte {error.object[error.start]:#04x}, expected UTF-8") from None
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


def _parquet(path: Path) -> Iterator[Row]:
    number = 0
    try:
        with reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except pa.ArrowException as error:
        raise DataError(f"{path}: {' '.join(str(error).split())[:200]}") from None


FORMATS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".json": _json,
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".parquet": _parquet,
}

"""Rows of a file one after another, each with the place it stands at, in bounded memory."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unirex.data.errors import DataError, wrong

Row = tuple[str, Mapping[str, Any]]
"""Where it stands, and its fields."""

LONGEST_CELL = 2**31 - 1
PARQUET_ROWS = 1024


def stream_rows(path: str | Path) -> Iterator[Row]:
    """`file:line` (JSONL) or `file: row N` and fields of each row of a JSONL, CSV, TSV or Parquet file.

    Cells of CSV and TSV are text. Blank lines of JSONL are passed over.

    Raises:
        DataError: at once where there is no such file or its name ends otherwise; while reading, with the place.
    """
    file = Path(path)
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: the file's name ends in {file.suffix!r}, expected one of {', '.join(READERS)}")
    if file.is_dir():
        raise DataError(f"{path}: is a folder, expected a file")
    if not file.exists():
        raise DataError(f"{path}: no such file")
    return reader(file)


def _jsonl(path: Path) -> Iterator[Row]:
    with _opened(path), path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path}:{number}"
            content = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not content.strip():
                continue
            try:
                row = json.loads(content)
            except json.JSONDecodeError as error:
                raise DataError(f"{where}: bad JSON at character {error.pos + 1} ({error.msg})") from None
            except UnicodeDecodeError as error:
                raise wrong(where, f"byte {error.start}", content[error.start : error.start + 1], "UTF-8") from None
            except RecursionError:
                raise DataError(f"{where}: the JSON is nested too deeply") from None
            if not isinstance(row, dict):
                raise wrong(where, "the line", row, "a JSON object")
            yield where, row


def _csv(path: Path) -> Iterator[Row]:
    before = csv.field_size_limit(LONGEST_CELL)
    number = 0
    try:
        with _opened(path), path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.reader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            header = next(rows, None)
            if header is None:
                return
            if len(set(header)) < len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise DataError(f"{path}: the column {twice!r} stands in the header twice")
            for number, cells in enumerate((row for row in rows if row), start=1):
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


def _parquet(path: Path) -> Iterator[Row]:
    number = 0
    try:
        with _opened(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except pa.ArrowException as error:
        raise DataError(f"{path}: {' '.join(str(error).split())[:200]}") from None


class _opened:  # noqa: N801 - used like a function
    """Turns what the system says about a file into one line that names it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise DataError(f"{self.path}: cannot be read ({error.strerror or error})") from None


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
}

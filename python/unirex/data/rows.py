"""Rows of files, each with the place it stands at, and their fields, checked."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unirex.data.errors import DataError, wrong
from unirex.disk.untrusted import read_json


def decode(where: str, content: bytes) -> str:
    """The text of a file or a line, a byte-order mark left out."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise wrong(where, f"byte {error.start}", content[error.start : error.start + 1], "UTF-8 text") from None


def read_bytes(path: Path) -> bytes:
    """The content of a file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """`file:line` and object for each line of a JSONL file; blank lines are passed over."""
    for number, line in enumerate(read_bytes(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        row = parse_json(where, decode(where, line))
        if not isinstance(row, dict):
            raise wrong(where, "the line", row, "a JSON object")
        yield where, row


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

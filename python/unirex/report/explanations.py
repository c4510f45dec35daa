"""Files that `python -m unirex.explain` wrote: Parquet as it is; JSON lines and CSV as a table with typed columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from unirex.data.errors import wrong
from unirex.data.rows import parse_json, stream_rows
from unirex.metrics.source import System, open_source

MARK = "texts"
"""The column that explanations have and prediction files have not."""
AT_ONCE = 1024
MEASURED = ("comprehensiveness", "sufficiency")
"""What a row of JSONL and CSV says about itself; Parquet holds the probabilities behind it."""

_NUMBERS = pa.list_(pa.float64())
_TYPES: dict[str, pa.DataType] = {
    "id": pa.string(),
    "label": pa.string(),
    "prediction": pa.string(),
    "probabilities": _NUMBERS,
    "words": pa.list_(pa.string()),
    "scores": _NUMBERS,
    "rationale": pa.list_(pa.bool_()),
    "documents": pa.list_(pa.int64()),
    "words_cut": pa.int64(),
    **dict.fromkeys(MEASURED, pa.float64()),
}
_WHOLE = (pa.int64(), pa.list_(pa.int64()))


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a report reads.

    Attributes:
        path: as given.
        system: the same, or the rows.
        labels: class names, where the rows name them and no header does; of multiple choice the most that a row names.
        choice: whether rows without a header name fewer, the first of them: a multiple choice.
        explained: whether it holds explanations of texts, all of which are to be shown.
    """

    path: str
    system: System
    labels: tuple[str, ...] | None = None
    choice: bool = False
    explained: bool = False


def open_rows(path: str, columns: Mapping[str, str] | None = None) -> Rows:
    """The rows behind a path; JSONL and CSV of explanations are held in memory.

    Raises:
        ValueError: what is wrong, with file, row and field.
    """
    file = Path(path)
    if columns is None and file.suffix == ".csv":
        return _read(path)
    if columns is None and file.suffix == ".jsonl" and file.is_file():
        first = next(stream_rows(path), None)
        return _read(path) if first is not None and MARK in first[1] else Rows(path=path, system=path)
    if file.suffix == ".parquet" and file.is_file():
        return Rows(path=path, system=path, explained=open_source(path, columns=columns, labels=()).has(MARK))
    return Rows(path=path, system=path)


def _read(path: str) -> Rows:
    """The rows of JSONL or CSV; all have the columns of the first, and its classes, or more or fewer choices."""
    batches: list[pa.RecordBatch] = []
    waiting: list[dict[str, Any]] = []
    schema = pa.schema([])
    labels: tuple[str, ...] = ()
    choice = False
    for where, row in stream_rows(path):
        if not batches and not waiting:
            schema = pa.schema([(name, kind) for name, kind in _TYPES.items() if name in row])
            labels = _labels(where, row)
        for name in _TYPES:
            if row.get(name) is not None and name not in schema.names:
                raise wrong(where, name, row[name], "none, as in the first row")
        waiting.append(
            {name: _value(where, row, name, kind) for name, kind in zip(schema.names, schema.types, strict=True)}
        )
        fewer, labels = sorted((labels, _labels(where, row)), key=len)
        if fewer != labels[: len(fewer)]:
            raise wrong(where, "labels", row["labels"], "those of the rows before, or more or fewer choices")
        choice = choice or len(fewer) < len(labels)
        if len(waiting) == AT_ONCE:
            batches.append(pa.RecordBatch.from_pylist(waiting, schema))
            waiting.clear()
    if not batches and not waiting:
        raise ValueError(f"{path}: no rows")
    batches.append(pa.RecordBatch.from_pylist(waiting, schema))
    return Rows(path=path, system=pa.Table.from_batches(batches), labels=labels, choice=choice, explained=True)


def _labels(where: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    found = _value(where, row, "labels", pa.list_(pa.string()))
    if not found:
        raise wrong(where, "labels", found, "the names of the classes, as `python -m unirex.explain` writes them")
    return tuple(found)


def _value(where: str, row: Mapping[str, Any], name: str, kind: pa.DataType) -> Any:
    """A field as its column holds it; a cell of CSV that holds a list is JSON, an empty one is null."""
    value = row.get(name)
    if isinstance(value, str) and kind != pa.string():
        value = None if value == "" else parse_json(f"{where}: {name}", value)
    elif value == "" and name == "label":
        value = None
    try:
        made = pa.array([value], kind).to_pylist()[0]
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        raise wrong(where, name, value, str(kind)) from None
    if kind in _WHOLE and made != value:  # Arrow cuts what is behind the point
        raise wrong(where, name, value, str(kind))
    return value

"""Tables in memory, whatever library made them, as one Arrow table with the columns of prediction files.

Libraries are known by what their objects can do (`__arrow_c_stream__`, `to_arrow`), so none of them is imported.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from unirex.metrics.gold_spans import with_gold
from unirex.metrics.tensors import arrow_column, as_lists, as_numpy, is_tensor
from unirex.schema import PREDICTIONS_KEY
from unirex.text import brief

NAME = "table"
"""What messages call a table in memory."""


class ArrowStream(Protocol):
    """A table of any library that hands its rows over as Arrow: pandas, polars, DuckDB, pyarrow."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """A capsule with the stream."""


def as_table(system: Any, *, numbered: bool = True) -> pa.Table | None:
    """The rows of a table in memory, or None for what is no table (a path, a list of paths).

    A dictionary holds columns, a list of dictionaries rows. Without a column `id` a row is known by its number, from
    0, if the rows are to be numbered; spans in `gold_char_spans` or `gold_word_spans` become `gold`.

    >>> as_table({"scores": [[0.5, 0.1]], "gold": [[1, 0]]}).column_names
    ['id', 'scores', 'gold']
    >>> as_table([{"id": "a"}, {"id": "b", "label": "x"}])["label"].to_pylist()
    [None, 'x']

    Raises:
        ValueError: what is wrong with a column.
    """
    if isinstance(system, str | bytes) or hasattr(system, "__fspath__"):
        return None
    try:
        table = _table(system)
        plain = None if table is None else _plain(table)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError) as error:
        raise ValueError(f"{NAME}: not a table ({brief(error)})") from error
    if plain is None:
        return None
    return with_gold(_with_id(plain) if numbered else plain, NAME)


def _table(system: Any) -> pa.Table | None:
    if isinstance(system, pa.Table):
        return system
    if isinstance(system, pa.RecordBatch):
        return pa.Table.from_batches([system])
    if isinstance(system, Mapping):
        return _of_columns(system)
    if isinstance(system, Sequence):
        if not system or not isinstance(system[0], Mapping):
            return None
        names = list(dict.fromkeys(str(name) for row in system for name in row))
        return _of_columns({name: [row.get(name) for row in system] for name in names})
    return _of_library(system)


def _of_library(system: Any) -> pa.Table:
    """A data frame, a data set, a stream."""
    if hasattr(system, "collect") and not hasattr(system, "__arrow_c_stream__"):  # a lazy frame
        system = system.collect()
    if hasattr(system, "iloc") and hasattr(system, "columns"):
        return _of_pandas(system)
    if hasattr(system, "__arrow_c_stream__"):
        return pa.table(system)
    if hasattr(system, "with_format") and hasattr(system, "num_rows"):  # datasets.Dataset, with what was selected of it
        return system.with_format("arrow")[:]
    if hasattr(system, "to_arrow"):
        return pa.table(system.to_arrow())
    expected = "a file, a table, a data frame, a dictionary of columns or a list of dictionaries"
    raise TypeError(f"{type(system).__module__}.{type(system).__name__}, expected {expected}")


def _of_pandas(frame: Any) -> pa.Table:
    """A pandas frame with its named index. A missing cell is null; NaN within a list stays NaN, to be refused."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"{NAME}: column {twice!r} occurs twice, expected each once")
    columns = {name: frame[name] for name in frame.columns}
    for name, column in columns.items():
        if column.dtype == object:
            cells = zip(column, column.isna(), strict=True)  # False for a cell that is a list, whatever it holds
            columns[name] = [None if missing else cell for cell, missing in cells]
    return _of_columns(columns)


def _of_columns(columns: Mapping[Any, Any]) -> pa.Table:
    found = {}
    for name, column in columns.items():
        try:
            found[str(name)] = _column(str(name), column)
        except pa.ArrowException as error:
            raise TypeError(f"column {str(name)!r}: {error}") from error
    lengths = {name: len(column) for name, column in found.items()}
    first = next(iter(lengths), "")
    for name, length in lengths.items():
        if length != lengths[first]:
            raise TypeError(f"column {name!r} has {length} rows, expected {lengths[first]} (as {first!r})")
    return pa.table(found)


def _column(name: str, column: Any) -> pa.Array | pa.ChunkedArray:
    """One column: Arrow, an array of one, two or three dimensions, a list of values, lists or tensors."""
    if (arrow := arrow_column(column)) is not None:
        return arrow
    column = as_numpy(column)
    if isinstance(column, np.ndarray):
        return pa.array(column if column.ndim == 1 else column.tolist())
    rows = list(column)
    if any(is_tensor(row) or (isinstance(row, np.ndarray) and row.ndim > 1) for row in rows):
        rows = [row if row is None else np.asarray(as_numpy(row)).tolist() for row in rows]
    if any(isinstance(row, list | tuple | np.ndarray) for row in rows):
        return as_lists(name, rows)
    try:
        return pa.array(rows)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        if not all(row is None or isinstance(row, str | int | float) for row in rows):
            raise
        return pa.array([row if row is None else str(row) for row in rows])  # numbers among text are text


def _plain(table: pa.Table) -> pa.Table:
    """The table without views, the form polars hands text over in, which few of Arrow's functions take."""
    for place, field in enumerate(table.schema):
        kind = _plain_type(field.type)
        if kind != field.type:
            table = table.set_column(place, field.with_type(kind), _cast(table.column(place), kind))
    return table


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The column as `kind`; categories are cast before they are looked up, which Arrow cannot do in views."""
    if not pa.types.is_dictionary(column.type):
        return column.cast(kind)
    pairs = ((chunk.indices, chunk.dictionary.cast(kind)) for chunk in column.chunks)
    return pa.chunked_array([pa.DictionaryArray.from_arrays(*pair).dictionary_decode() for pair in pairs], kind)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_dictionary(kind) and pa.types.is_string_view(kind.value_type):
        return pa.large_string()
    if pa.types.is_large_list(kind) or pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return pa.large_list(_plain_type(kind.value_type))
    if pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    return kind


def _with_id(table: pa.Table) -> pa.Table:
    """The table, with the row's number as its id if it has none; one with our header must have one."""
    if "id" in table.column_names or PREDICTIONS_KEY in (table.schema.metadata or {}):
        return table
    return table.add_column(0, "id", pa.array(range(table.num_rows), pa.int64()))

"""From data as Python holds it to what a run reads: tables in memory become Parquet files, files and recipes stay."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unirex.data.columns import usual_columns
from unirex.data.errors import DataError
from unirex.data.mapping import USUAL_NAMES
from unirex.data.rows import FORMATS
from unirex.data.tables import read_table
from unirex.disk.atomic import remove
from unirex.metrics.tables import as_table
from unirex.text import shown

_LOOKED_AT = 1000
"""Rows that the first cell of a column is looked for in."""

_EMPTY: tuple[Any, ...] = (None, "", [], "[]")
"""Cells that do not tell how a column is written."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a call was given as its data.

    Attributes:
        config: a recipe's name or a YAML file, where it is one.
        path: files, where they are some.
        tables: split -> rows in memory.
        cells: each column and a cell of it, where the columns are known.
        needed: what there must be a column for.
    """

    config: str | None = None
    path: str | None = None
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    cells: Mapping[str, Any] = field(default_factory=dict)
    needed: Sequence[str] = ("text", "label")

    def settings(self, folder: Path, columns: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
        """The section `data` of the configuration of a run whose data lie in a folder.

        Raises:
            ValueError: a path beside a table.
        """
        found: dict[str, Any] = dict(more)
        if self.tables and "path" in found:
            raise ValueError(f"data.path is {shown(found['path'])}, expected it left out beside a table")
        if self.tables:
            found = {"name": "table", **found, "path": str(folder / "{split}.parquet")}
        elif self.path is not None:
            found = {"path": self.path, **found}
        if self.tables or self.path is not None:
            found.setdefault("source", "hub")
        named = bool(self.cells) and found.get("source") == "hub"
        hub = usual_columns(self.cells, columns, self.needed) if named else dict(columns)
        return {**found, "hub": hub} if hub else found

    def contains(self, column: str, sign: str) -> bool:
        """Whether a text of a column has a sign in it: of all in memory, of the first thousand in a file."""
        tables = [table for table in self.tables.values() if column in table.column_names]
        in_memory = (cell for table in tables for cell in table[column].to_pylist())
        found = (row.get(column) for row in _first_rows(self.path)) if self.path is not None else in_memory
        return any(isinstance(cell, str) and sign in cell for cell in found)

    def write(self, folder: Path, *, resumed: bool = False) -> None:
        """Writes the tables into a folder; those there have their place no longer, except where a run is resumed.

        Raises:
            ValueError: the folder is that of a run which is resumed, and holds other rows.
        """
        if not self.tables:
            return
        new = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        for split, table in self.tables.items():
            pq.write_table(table, new / f"{split}.parquet")
        if resumed and folder.is_dir():
            there, same = (sorted(path.name for path in place.glob("*.parquet")) for place in (folder, new))
            same = [name for name in same if name in there and _same_rows(folder / name, new / name)]
            shutil.rmtree(new)
            if there != same:
                raise ValueError(f"--resume: data are not those in {folder}, expected the same rows")
        else:
            remove(folder)
            new.rename(folder)

    @contextmanager
    def written(self, staged: Path, folder: Path) -> Iterator[None]:
        """Has the tables in one folder, which takes the other's place at the end, or is gone after an error.

        Of several processes, the first writes.
        """
        first = bool(self.tables) and os.environ.get("RANK", "0") == "0"
        try:
            if first:
                self.write(staged)
            yield
            if first:
                remove(folder)
                staged.rename(folder)
        finally:
            if first:
                shutil.rmtree(staged, ignore_errors=True)


def given(data: Any, *, alone: str = "train") -> Given:
    """What the data of a call are.

    Args:
        data: a table (pandas, polars, Arrow, a `datasets.Dataset`, a dictionary of columns, a list of dictionaries), a
            dictionary from splits to tables, a file or a pattern of files, or a recipe's name.
        alone: the split that a single table is.

    Raises:
        ValueError: one line: it is none of these.
    """
    if isinstance(data, str | os.PathLike):
        return _named(os.fspath(data))
    if isinstance(data, Mapping) and data and all(_split(name) for name in data):
        tables = {str(_split(name)): _table(table, f"data[{name!r}]") for name, table in data.items()}
        if len(tables) < len(data):
            raise ValueError(f"data has the splits {', '.join(map(str, data))}, expected each split once")
    else:
        tables = {alone: _table(data, "data")}
        if not tables[alone].num_rows:
            raise ValueError("data has no rows, expected at least one")
    return Given(tables=tables, cells=_cells(next(iter(tables.values()))))


def _named(name: str) -> Given:
    if Path(name).suffix in (".yaml", ".yml") or not (Path(name).exists() or Path(name).suffix in FORMATS):
        return Given(config=name)
    cells: dict[str, Any] = {}
    for row in _first_rows(name):
        cells |= {column: cell for column, cell in row.items() if cells.get(column) in _EMPTY}
    return Given(path=name, cells=cells)


def _first_rows(name: str) -> Iterator[Mapping[str, Any]]:
    """The first rows of files."""
    with suppress(DataError):  # is told where it is read
        splits = [known for names in USUAL_NAMES.values() for known in names]
        table = read_table(name, splits, subset=None, revision=None)
        rows = (block.row(index) for block in (() if table is None else table.blocks()) for index in range(len(block)))
        yield from (row for _, row in islice(rows, _LOOKED_AT))


def _split(name: Any) -> str | None:
    """Our name of a split, None for what is no split."""
    return next((split for split, names in USUAL_NAMES.items() if name in names), None)


def _table(data: Any, what: str) -> pa.Table:
    table = as_table(data, numbered=False)
    if table is None or not table.num_columns:
        raise ValueError(f"{what} is a {type(data).__name__}, expected a table, a list of dictionaries, or a file")
    return table


def _same_rows(one: Path, two: Path) -> bool:
    first, other = (pq.ParquetFile(path).read() for path in (one, two))
    return bool(first.equals(other))


def _cells(table: pa.Table) -> dict[str, Any]:
    """Each column and its first cell that holds something."""
    rows = table.slice(0, _LOOKED_AT)
    return {
        name: next((cell for cell in rows[name].to_pylist() if cell not in _EMPTY), None) for name in rows.column_names
    }


def check_sections(settings: Mapping[str, Any]) -> None:
    """Refuses a section of settings that is no dictionary."""
    for name in ("columns", "data", "model", "method", "train", "eval"):
        found = settings.get(name)
        if found is not None and not isinstance(found, Mapping):
            raise ValueError(f"{name} is {shown(found)}, expected a dictionary of settings")


def as_yaml(settings: Mapping[str, Any], path: Path) -> str:
    """Writes settings into a file that `--config` reads; returns its path.

    Raises:
        ValueError: a value that no file of settings can hold.
    """
    # JSON is YAML too, but for characters that it writes as pairs of surrogates.
    path.write_text(_PAIR.sub(_as_one, json.dumps(settings, default=_plain)), encoding="utf-8")
    return str(path)


_PAIR = re.compile(r"\\(?:u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})|.)")


def _as_one(escape: re.Match[str]) -> str:
    if escape[1] is None:
        return escape[0]
    high, low = (int(part, 16) & 0x3FF for part in escape.groups())
    return f"\\U{0x10000 + (high << 10) + low:08x}"


def _plain(value: Any) -> Any:
    """A value of another library, or a path, as JSON has it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise ValueError(f"settings: found {shown(value)}, expected what a YAML file can hold")

"""A prediction file reduced to what its metrics need of each row: some tens of kilobytes that a repository can hold.

A metric is a function of sums over rows, so row values and the hashes of the ids are enough for every mean, bootstrap
interval and paired difference: the same draws as from the predictions themselves, values rounded to float32.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unirex.disk.atomic import atomic_write
from unirex.disk.untrusted import read_json
from unirex.metrics.batch import hash_ids, order
from unirex.metrics.layout import Layout
from unirex.metrics.scoring import Plan, plan
from unirex.metrics.state import Resampling, State
from unirex.text import shown

KEY = b"unirex.row_values"
METRICS = (
    "comprehensiveness",
    "sufficiency",
    "csd",
    "normalised_comprehensiveness",
    "normalised_sufficiency",
    "naopc_comprehensiveness",
    "naopc_sufficiency",
    "auprc",
    "token_f1",
)
"""Kept with the task metric of the data set."""

_PLAIN = ("labels", "headline", "fractions", "convention", "iou_thresholds")
_FLAGS = ("has_label", "has_gold", "has_scores", "has_rationale", "has_cuts")
_HASH = ("id_high", "id_low")
_GROUP = ("group_high", "group_low")


@dataclass(frozen=True, kw_only=True, eq=False)
class RowValues:
    """Row values of one system.

    Attributes:
        layout: which columns there are and what metrics they make.
        hashes: uint64 [N, 2], of the ids.
        values: float64 [columns, N], NaN where undefined.
        groups: uint64 [N, 2], the same for rows that are not independent (questions about one text); None = all are.
        grouped_by: the regular expression that made the groups.
    """

    layout: Layout
    hashes: NDArray[np.uint64]
    values: NDArray[np.float64]
    groups: NDArray[np.uint64] | None = None
    grouped_by: str | None = None

    def among(self, names: Iterable[str]) -> "RowValues":
        """What these metrics need of it."""
        kept = {definition.name for definition in self.layout.definitions}
        layout = replace(self.layout, only=frozenset(kept.intersection(names)))
        places = {column.name: place for place, column in enumerate(self.layout.columns)}
        values = self.values[[places[column.name] for column in layout.columns]]
        return replace(self, layout=layout, values=values)

    def ordered(self) -> "RowValues":
        """The rows in the order of their hashes."""
        places = order(self.hashes)
        groups = None if self.groups is None else self.groups[places]
        return replace(self, hashes=self.hashes[places], values=self.values[:, places], groups=groups)

    def state(self, resampling: Resampling) -> State:
        """The state after all rows."""
        state = State(self.layout, resampling)
        state.add(self.hashes, self.values, self.groups)
        return state


def from_predictions(
    path: str, *, convention: str = "strict", perturbation: str | None = None, groups: str | None = None
) -> RowValues:
    """The row values of a prediction file, under one perturbation (None = its default).

    Args:
        path: of the file.
        convention: whose definitions of the metrics.
        perturbation: how tokens were hidden.
        groups: regular expression; rows of one group have ids that begin with the same match of it.

    Raises:
        ValueError: an id that does not begin with a match, beside what reading the file may raise.
    """
    made = plan(path, convention, perturbation=perturbation)  # type: ignore[arg-type]
    layout = replace(
        made.layout,
        perturbations=made.layout.perturbations[:1],
        only=frozenset({*METRICS, str(made.layout.headline)}),
    )
    parts = list(replace(made, layout=layout).rows())
    return RowValues(
        layout=layout,
        hashes=np.concatenate([batch.hashes for batch, _ in parts]),
        values=np.concatenate([values for _, values in parts], axis=1),
        groups=None if groups is None else _grouped(made, groups),
        grouped_by=groups,
    )


def _grouped(made: Plan, pattern: str) -> NDArray[np.uint64]:
    """The hashes of what a pattern matches at the beginning of each id."""
    found = []
    for where, batch in made.source.batches(["id"]):
        for name in batch.column("id").cast(pa.string()).to_pylist():
            match = re.match(pattern, name)
            if match is None or not match[0]:
                raise ValueError(f"{where}: id {shown(name)} does not begin with {pattern!r}, expected a group of rows")
            found.append(match[0])
    return hash_ids(pa.array(found, pa.string()))


def write(rows: RowValues, path: Path) -> None:
    """Writes the rows in the order of their ids' hashes, so that the same rows are the same file."""
    rows = rows.ordered()
    columns = {name: pa.array(rows.hashes[:, i]) for i, name in enumerate(_HASH)}
    if rows.groups is not None:
        columns |= {name: pa.array(rows.groups[:, i]) for i, name in enumerate(_GROUP)}
    names = [column.name for column in rows.layout.columns]
    for name, values in zip(names, rows.values, strict=True):
        columns[name] = pa.array(values.astype(np.float32))
    about = _described(rows.layout) | ({} if rows.grouped_by is None else {"groups": rows.grouped_by})
    table = pa.table(columns).replace_schema_metadata({KEY: json.dumps(about).encode()})
    whole = [name for name, v in zip(names, rows.values, strict=True) if len(np.unique(v[~np.isnan(v)])) <= 16]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        pq.write_table(
            table,
            file,
            compression="zstd",
            compression_level=19,
            use_dictionary=[*whole, *(name for name in _GROUP if name in columns)],
            column_encoding={name: "BYTE_STREAM_SPLIT" for name in columns if name not in whole and name not in _GROUP},
            write_statistics=False,
        )


def is_row_values(system: object) -> bool:
    """Whether a system is a file of row values."""
    if not isinstance(system, str | os.PathLike) or not (path := Path(system)).is_file() or path.suffix != ".parquet":
        return False
    try:
        return KEY in (pq.read_schema(path).metadata or {})
    except pa.ArrowException:
        return False


def read(path: str) -> RowValues:
    """The row values of a file.

    Raises:
        ValueError: the file holds none, or columns that its own header does not explain.
    """
    try:
        with pq.ParquetFile(path) as file:  # half the time of a data set of one file
            table = file.read()
        about = read_json((table.schema.metadata or {})[KEY])
        layout, grouped_by = _layout(about), about.get("groups")
        names = [column.name for column in layout.columns]
        hashes, groups = (_pairs(table, names) for names in (_HASH, _GROUP))
        values = np.array([table.column(name).to_numpy().astype(np.float64) for name in names])
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: not a file of row values ({type(error).__name__}: {reason})") from error
    if hashes is None:
        raise ValueError(f"{path}: not a file of row values (no {_HASH[0]})")
    return RowValues(
        layout=layout, hashes=hashes, values=values.reshape(len(names), -1), groups=groups, grouped_by=grouped_by
    )


def _pairs(table: pa.Table, names: tuple[str, str]) -> NDArray[np.uint64] | None:
    """Hashes, uint64 [N, 2], from their two columns; None where the table has neither."""
    if not set(names) & set(table.column_names):
        return None
    return np.stack([table.column(name).to_numpy().astype(np.uint64) for name in names], axis=1)


def _described(layout: Layout) -> dict[str, Any]:
    return {
        **{name: getattr(layout, name) for name in (*_PLAIN, *_FLAGS)},
        "perturbations": [[perturbation, sorted(kinds)] for perturbation, kinds in layout.perturbations],
        "only": sorted(layout.only or ()),
    }


def _layout(content: dict[str, Any]) -> Layout:
    plain: dict[str, Any] = {name: content[name] for name in (*_PLAIN, *_FLAGS)}
    for name in ("labels", "fractions", "iou_thresholds"):
        plain[name] = tuple(plain[name])
    return Layout(
        **plain,
        perturbations=tuple((perturbation, frozenset(kinds)) for perturbation, kinds in content["perturbations"]),
        only=frozenset(content["only"]),
    )

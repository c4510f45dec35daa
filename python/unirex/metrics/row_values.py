"""A prediction file reduced to what its metrics need of each row: some tens of kilobytes that a repository can hold.

A metric is a function of sums over rows, so row values and the hashes of the ids are enough for every mean, bootstrap
interval and paired difference: the same draws as from the predictions themselves, values rounded to float32.
"""

import json
import os
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
from unirex.metrics.batch import order
from unirex.metrics.layout import Layout
from unirex.metrics.scoring import plan
from unirex.metrics.state import Resampling, State

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


@dataclass(frozen=True, kw_only=True, eq=False)
class RowValues:
    """Row values of one system.

    Attributes:
        layout: which columns there are and what metrics they make.
        hashes: uint64 [N, 2], of the ids.
        values: float64 [columns, N], NaN where undefined.
    """

    layout: Layout
    hashes: NDArray[np.uint64]
    values: NDArray[np.float64]

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
        return replace(self, hashes=self.hashes[places], values=self.values[:, places])

    def state(self, resampling: Resampling) -> State:
        """The state after all rows."""
        state = State(self.layout, resampling)
        state.add(self.hashes, self.values)
        return state


def from_predictions(path: str, *, convention: str = "strict", perturbation: str | None = None) -> RowValues:
    """The row values of a prediction file, under one perturbation (None = its default)."""
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
    )


def write(rows: RowValues, path: Path) -> None:
    """Writes the rows in the order of their ids' hashes, so that the same rows are the same file."""
    rows = rows.ordered()
    columns = {name: pa.array(rows.hashes[:, i]) for i, name in enumerate(_HASH)}
    names = [column.name for column in rows.layout.columns]
    for name, values in zip(names, rows.values, strict=True):
        columns[name] = pa.array(values.astype(np.float32))
    table = pa.table(columns).replace_schema_metadata({KEY: json.dumps(_described(rows.layout)).encode()})
    whole = [name for name, v in zip(names, rows.values, strict=True) if len(np.unique(v[~np.isnan(v)])) <= 16]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        pq.write_table(
            table,
            file,
            compression="zstd",
            compression_level=19,
            use_dictionary=whole,
            column_encoding={name: "BYTE_STREAM_SPLIT" for name in columns if name not in whole},
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
        table = pq.read_table(path)
        layout = _layout(read_json((table.schema.metadata or {})[KEY]))
        names = [column.name for column in layout.columns]
        hashes = np.stack([table.column(name).to_numpy().astype(np.uint64) for name in _HASH], axis=1)
        values = np.array([table.column(name).to_numpy().astype(np.float64) for name in names])
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: not a file of row values ({type(error).__name__}: {reason})") from error
    return RowValues(layout=layout, hashes=hashes, values=values.reshape(len(names), -1))


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

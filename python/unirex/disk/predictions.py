"""Saved predictions: rows in, one Parquet file out (docs/predictions.md says what each column holds)."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unirex._rust import __version__
from unirex.disk.atomic import atomic_write
from unirex.schema import PREDICTIONS_KEY, PREDICTIONS_VERSION


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a prediction file (docs/predictions.md), or a substitute where there is none.

    The last three say, for display, how the rationale came about.

    Attributes:
        labels: class names in the order of the probabilities.
        choice: multiple choice: a row may have fewer choices than there are labels.
        headline: the task metric of the data set.
    """

    labels: tuple[str, ...] = ()
    choice: bool = False
    headline: str | None = None
    unit: str | None = None
    scores_from: str | None = None
    rationale_rule: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prediction:
    """One instance: the columns of docs/predictions.md.

    `scores` has NaN where the model never saw the word (null in the file); `perturbed` maps a column name
    (`unirex.schema.perturbed_column`, or `full.` and a check model's name) to probabilities, float64 [K, C] for keep
    and remove, [C] for null and full, and four numbers for orders, NaN = not known.
    """

    id: str
    label: str | None
    prediction: str
    probabilities: NDArray[np.float64]
    words: list[str]
    context: str | None
    scores: NDArray[np.float32]
    rationale: NDArray[np.bool_]
    gold: NDArray[np.float32] | None
    words_cut: int
    gold_cut: int
    documents: list[int] | None = None
    completeness_gap: float | None = None
    perturbed: dict[str, NDArray[np.float64]] = field(default_factory=dict)


_COLUMNS = {
    "id": pa.string(),
    "label": pa.string(),
    "prediction": pa.string(),
    "probabilities": pa.list_(pa.float64()),
    "words": pa.list_(pa.string()),
    "context": pa.string(),
    "scores": pa.list_(pa.float32()),
    "rationale": pa.list_(pa.bool_()),
    "gold": pa.list_(pa.float32()),
    "documents": pa.list_(pa.int32()),
}
"""The columns that lie in a row under their own names, in their order."""


def to_table(
    rows: Sequence[Prediction], header: Header, *, fractions: tuple[float, ...], model: str, data: str
) -> pa.Table:
    """The rows as an Arrow table with the header in its metadata."""
    n = len(rows)
    columns = {name: pa.array([_cell(row, name) for row in rows], kind) for name, kind in _COLUMNS.items()}
    columns["fractions"] = pa.array([np.asarray(fractions)] * n, pa.list_(pa.float64()))
    for name in rows[0].perturbed if rows else ():
        values: list[Any] = [row.perturbed[name] for row in rows]
        kind = name.partition(".")[0]
        if kind == "orders":  # NaN elsewhere is a fault, which scoring names
            values = [None if np.isnan(value).all() else value for value in values]
        nested = kind in ("keep", "remove")
        columns[name] = pa.array(
            [list(value) for value in values] if nested else values,
            pa.list_(pa.list_(pa.float64())) if nested else pa.list_(pa.float64()),
        )
    for name in ("words_cut", "gold_cut"):
        columns[name] = pa.array([getattr(row, name) for row in rows], pa.int32())
    if any(row.completeness_gap is not None for row in rows):
        columns["completeness_gap"] = pa.array([row.completeness_gap for row in rows], pa.float64())
    columns["model"] = pa.array([model] * n, pa.string()).dictionary_encode()
    columns["data"] = pa.array([data] * n, pa.string()).dictionary_encode()
    about = {**asdict(header), "schema_version": PREDICTIONS_VERSION, "unirex_version": __version__}
    return pa.table(columns).replace_schema_metadata({PREDICTIONS_KEY: json.dumps(about)})


def _cell(row: Prediction, name: str) -> Any:
    return nullable(row.scores) if name == "scores" else getattr(row, name)


def nullable(scores: NDArray[np.float32]) -> list[float | None]:
    """Scores with None for NaN."""
    return [None if math.isnan(score) else score for score in scores.tolist()]


def write_table(table: pa.Table, path: str | Path) -> None:
    """Writes a Parquet file that is complete as soon as it has its name."""
    with atomic_write(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)

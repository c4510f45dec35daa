"""Reads word scores that were made elsewhere."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unirex.disk.untrusted import read_json
from unirex.schema import Example


def read_scores(path: str, examples: Sequence[Example]) -> dict[str, NDArray[np.float32]]:
    """Word scores by instance id from a Parquet or JSONL file with the fields `id` and `scores`.

    Every instance needs one finite score per word; null stands for a word that the explaining model never saw and
    ranks behind all others. A prediction file of this package is such a file.

    Raises:
        ValueError: file, row, id and field of the first fault.
    """
    found: dict[str, NDArray[np.float32]] = {}
    for row, (key, scores) in enumerate(_entries(path), start=1):
        if key in found:
            raise ValueError(f"{path}: row {row}: id {key!r} is a duplicate, expected it once")
        values = np.array([np.nan if value is None else value for value in scores], dtype=np.float64)
        bad = np.flatnonzero([value is not None and not np.isfinite(value) for value in scores])
        if len(bad):
            raise ValueError(
                f"{path}: row {row}: id {key!r}: scores[{bad[0]}] is {values[bad[0]]}, expected a finite number"
            )
        found[key] = np.where(np.isnan(values), -np.inf, values).astype(np.float32)
    for example in examples:
        if example.id not in found:
            raise ValueError(
                f"{path}: no scores for instance {example.id!r}, expected one row for each of {len(examples)}"
            )
        if len(found[example.id]) != example.n_words:
            raise ValueError(
                f"{path}: id {example.id!r}: scores has {len(found[example.id])} values, "
                f"expected {example.n_words}, one per word"
            )
    return found


def _entries(path: str) -> list[tuple[str, list[float | None]]]:
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file, expected Parquet or JSONL with the fields id and scores")
    if path.endswith(".parquet"):
        try:
            table = pq.read_table(path, columns=["id", "scores"])
        except (pa.ArrowInvalid, KeyError) as error:
            raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
        return list(zip(table["id"].to_pylist(), table["scores"].to_pylist(), strict=True))
    entries = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = read_json(line)
            entries.append((str(entry["id"]), [None if v is None else float(v) for v in entry["scores"]]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: line {number}: {error!r}, expected an object with id and a list scores"
            ) from None
    return entries

"""Large prediction files, made quickly from a seed: docs/predictions.md with words left out."""

import argparse
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5)


def batch(rng: np.random.Generator, first: int, n: int, words: int, classes: int) -> pa.RecordBatch:
    lengths = rng.integers(words // 2, words * 3 // 2 + 1, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    total = int(offsets[-1])
    scores = rng.normal(size=total).astype(np.float32)
    gold = rng.random(total) < 0.3
    labels = [f"class-{c}" for c in range(classes)]
    full = rng.dirichlet(np.ones(classes), n)
    prediction = full.argmax(axis=1)

    def ragged(values: np.ndarray, ends: np.ndarray = offsets) -> pa.ListArray:
        return pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), pa.array(values.reshape(-1)))

    def even(values: np.ndarray) -> pa.ListArray:
        return ragged(values, np.arange(len(values) + 1) * values.shape[1])

    def perturbed() -> pa.ListArray:
        inner = even(rng.dirichlet(np.ones(classes), n * len(FRACTIONS)))
        return pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype=np.int32) * len(FRACTIONS)), inner)

    columns = {
        "id": pa.array([f"instance-{i}" for i in range(first, first + n)]),
        "label": pa.array([labels[i] for i in rng.integers(0, classes, n)]),
        "prediction": pa.array([labels[i] for i in prediction]),
        "probabilities": even(full),
        "scores": ragged(scores),
        "rationale": ragged(scores > 1),
        "gold": ragged(gold.astype(np.float32)),
        "fractions": even(np.tile(FRACTIONS, (n, 1))),
        "keep.attention.self": perturbed(),
        "remove.attention.self": perturbed(),
        "null.attention.self": even(rng.dirichlet(np.ones(classes), n)),
        "words_cut": pa.array(np.zeros(n, dtype=np.int32)),
        "gold_cut": pa.array(np.zeros(n, dtype=np.int32)),
    }
    header = {"schema_version": 1, "labels": labels, "choice": False, "headline": "accuracy"}
    plain = pa.RecordBatch.from_pydict(columns)
    return plain.replace_schema_metadata({"unirex": json.dumps(header)})


def write(path: str, instances: int, words: int = 200, classes: int = 2, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    writer = None
    for first in range(0, instances, 5000):
        rows = batch(rng, first, min(5000, instances - first), words, classes)
        writer = writer or pq.ParquetWriter(path, rows.schema)
        writer.write_batch(rows)
    if writer is not None:
        writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--words", type=int, default=200)
    arguments = parser.parse_args()
    write(arguments.path, arguments.instances, arguments.words)

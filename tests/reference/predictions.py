"""Prediction tables as docs/predictions.md describes them, drawn from a seed, with the hostile cases in them."""

import json
from typing import Any

import numpy as np
import pyarrow as pa

FRACTIONS = [0.01, 0.05, 0.1, 0.2, 0.5]


def header(labels: list[str], **more: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "labels": labels,
        "choice": False,
        "headline": "macro_f1",
        "unit": "word",
        "scores_from": "extractor",
        "rationale_rule": "top 0.2",
        "unirex_version": "0.1.0",
    } | more


def _distribution(rng: np.random.Generator, classes: int) -> list[float]:
    kind = rng.random()
    if kind < 0.05:
        return np.eye(classes)[rng.integers(classes)].tolist()
    if kind < 0.1:
        return [1.0 / classes] * classes
    drawn = rng.standard_exponential(classes)  # Dirichlet's, in half its time
    return (drawn * (1 / drawn.sum())).tolist()


def rows(
    seed: int,
    n: int = 50,
    *,
    labels: tuple[str, ...] = ("neg", "pos", "neutral"),
    hows: tuple[str, ...] = ("attention", "delete"),
    max_words: int = 30,
) -> list[dict[str, Any]]:
    """Rows with ties, all-equal scores, one word, no word, no gold, all gold, soft gold, cut words, certain classes."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        words = int(rng.choice([0, 1, 2, int(rng.integers(3, max_words + 1))], p=[0.02, 0.05, 0.05, 0.88]))
        scores = rng.normal(size=words).astype(np.float32)
        if rng.random() < 0.5:
            scores = np.round(scores)
        if rng.random() < 0.1:
            scores[:] = 0.25
        cut = int(rng.integers(0, words + 1)) if rng.random() < 0.15 else 0
        seen = words - cut
        rationale = np.zeros(words, dtype=bool)
        rationale[:seen] = rng.random(seen) < rng.choice([0.0, 0.3, 1.0], p=[0.1, 0.8, 0.1])
        kind = rng.choice(["null", "zeros", "ones", "soft", "hard"], p=[0.1, 0.05, 0.05, 0.1, 0.7])
        gold: list[float] | None = {
            "null": None,
            "zeros": [0.0] * words,
            "ones": [1.0] * words,
            "soft": (rng.integers(0, 5, words) / 4).tolist(),
            "hard": (rng.random(words) < 0.4).astype(float).tolist(),
        }[str(kind)]
        probabilities = _distribution(rng, len(labels))
        row: dict[str, Any] = {
            "id": f"row-{seed}-{i}-é" if i % 7 == 0 else f"row-{seed}-{i}",
            "label": None if rng.random() < 0.1 else str(rng.choice(labels)),
            "prediction": labels[int(np.argmax(probabilities))],
            "probabilities": probabilities,
            "words": [f"w{j}" for j in range(words)],
            "context": None,
            "scores": [None if j >= seen else float(scores[j]) for j in range(words)],
            "rationale": rationale.tolist(),
            "gold": gold,
            "fractions": FRACTIONS,
            "words_cut": cut,
            "gold_cut": 0 if gold is None else int(sum(g > 0.5 for g in gold[seen:])),
            "model": "m",
            "data": "d",
        }
        for how in hows:
            for what in ("keep", "remove"):
                row[f"{what}.{how}.self"] = [_distribution(rng, len(labels)) for _ in FRACTIONS]
            row[f"null.{how}.self"] = _distribution(rng, len(labels))
        found.append(row)
    return found


def schema(hows: tuple[str, ...], **head: Any) -> pa.Schema:
    numbers = pa.list_(pa.float64())
    fields: list[tuple[str, pa.DataType]] = [
        ("id", pa.string()),
        ("label", pa.string()),
        ("prediction", pa.string()),
        ("probabilities", numbers),
        ("words", pa.list_(pa.string())),
        ("context", pa.string()),
        ("scores", pa.list_(pa.float32())),
        ("rationale", pa.list_(pa.bool_())),
        ("gold", pa.list_(pa.float32())),
        ("fractions", numbers),
        ("words_cut", pa.int32()),
        ("gold_cut", pa.int32()),
        ("model", pa.dictionary(pa.int32(), pa.string())),
        ("data", pa.dictionary(pa.int32(), pa.string())),
    ]
    for how in hows:
        fields += [(f"keep.{how}.self", pa.list_(numbers)), (f"remove.{how}.self", pa.list_(numbers))]
        fields += [(f"null.{how}.self", numbers)]
    return pa.schema(fields, metadata={"unirex": json.dumps(header(**head))})


def table(
    seed: int,
    n: int = 50,
    *,
    labels: tuple[str, ...] = ("neg", "pos", "neutral"),
    hows: tuple[str, ...] = ("attention", "delete"),
    max_words: int = 30,
    **head: Any,
) -> pa.Table:
    """The rows as a table with header."""
    return as_table(rows(seed, n, labels=labels, hows=hows, max_words=max_words), labels=labels, hows=hows, **head)


def as_table(
    found: list[dict[str, Any]],
    *,
    labels: tuple[str, ...] = ("neg", "pos", "neutral"),
    hows: tuple[str, ...] = ("attention", "delete"),
    **head: Any,
) -> pa.Table:
    return pa.Table.from_pylist(found, schema=schema(hows, labels=list(labels), **head))

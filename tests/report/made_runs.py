"""Runs as train and evaluate write them, made from random numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from unirex.disk.predictions import Header, Prediction, to_table, write_table
from unirex.metrics import score
from unirex.metrics.report import to_json
from unirex.metrics.state import Resampling

FRACTIONS = (0.1, 0.5)
HOSTILE = [
    "<script>window.hacked=1</script>",
    '"><img src=x onerror=alert(1)>',
    "\x1b[31mred\x1b[0m",
    "a\u202ebc",
    "{{7*7}}",
    "</style>",
]


def rows(n: int, seed: int = 0, words: int = 9, extra: tuple[str, ...] = ()) -> list[Prediction]:
    """Instances of two classes; `extra` are put where words, ids, context and labels may be.

    The instances are the same for every seed; what a model says about them is not.
    """
    rng, world = np.random.default_rng(seed), np.random.default_rng(n)
    found = []
    for i in range(n):
        length = int(world.integers(3, words + 1))
        p = float(rng.uniform(0.5, 1.0))
        answer = int(rng.integers(0, 2))
        full = np.array([p, 1 - p]) if answer == 0 else np.array([1 - p, p])
        perturbed: dict[str, Any] = {}
        for kind in ("keep", "remove"):
            q = rng.uniform(0, 1, size=len(FRACTIONS))
            perturbed[f"{kind}.attention.self"] = np.stack([q, 1 - q], axis=1)
        perturbed["null.attention.self"] = np.array([0.5, 0.5])
        scores = rng.normal(size=length).astype(np.float32)
        if i % 7 == 0:
            scores[-1] = np.nan
        gold = (world.random(length) < 0.4).astype(np.float32) if i % 5 else None
        texts = [f"word{int(k)}" for k in world.integers(0, 50, size=length)]
        if extra:
            texts[0] = extra[i % len(extra)]
        found.append(
            Prediction(
                id=f"row-{i}" + (extra[i % len(extra)] if extra else ""),
                label=["no", "yes"][int(world.integers(0, 2))],
                prediction=["no", "yes"][answer],
                probabilities=full,
                words=texts,
                context=extra[i % len(extra)] if extra else None,
                scores=scores,
                rationale=np.arange(length) < 2,
                gold=gold,
                words_cut=int(np.isnan(scores).sum()),
                gold_cut=0,
                perturbed=perturbed,
            )
        )
    return found


def write_run(folder: Path, n: int = 60, seed: int = 0, *, extra: tuple[str, ...] = (), words: int = 9) -> Path:
    """A run's folder with everything in it."""
    (folder / "reference").mkdir(parents=True)
    tables = []
    for k, (source, path) in enumerate(
        {"extractor": "predictions", "random": "reference/random", "gold": "reference/gold"}.items()
    ):
        header = Header(
            labels=("no", "yes"),
            choice=False,
            headline="accuracy",
            unit="token",
            scores_from=source,
            rationale_rule="2",
        )
        name = extra[0] if extra else "model"
        table = to_table(rows(n, seed + 100 * k, words, extra), header, fractions=FRACTIONS, model=name, data="made")
        write_table(table, folder / f"{path}.parquet")
        tables.append(score(table, resampling=Resampling(replicates=0)))
    (folder / "metrics.json").write_text(to_json(tables))
    mark = f"note: {json.dumps(extra[0])}\n" if extra else ""
    (folder / "config.yaml").write_text(f"seed: {seed}\ntrain:\n  epochs: 2\n{mark}")
    dev = [
        {"event": "dev", "epoch": e, "headline": 0.5, "auprc": 0.5, "comprehensiveness": float("nan")} for e in (1, 2)
    ]
    log = [{"step": 1, "loss": 1.0}, *dev, {"event": "end", "best_epoch": 2, "split": "test"}]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    return folder

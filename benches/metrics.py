"""Speed of the metric kernels beside what one would write in numpy or scikit-learn, measured in one run.

    python benches/metrics.py            # 10,000 instances of 100 to 300 words
    python benches/metrics.py --file     # also `unirex-metrics score` on a file, as a whole process

Every line gives our figure, the rival's and the ratio; the results are compared before anything is timed.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from predictions import write
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from unirex import _rust

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def best(call: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of some calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def world(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(100, 301, n))]).astype(np.int64)
    scores = rng.normal(size=offsets[-1])
    return scores, scores > 1.0, rng.random(offsets[-1]) < 0.3, offsets


def ranking_numpy(scores: np.ndarray, gold: np.ndarray, offsets: np.ndarray, chunk: int = 256) -> Arrays:
    """Rows of like length padded to one rectangle, sorted and summed up along it, 256 at a time."""
    lengths = np.diff(offsets)
    out = np.full((3, len(lengths)), np.nan)
    by_length = np.argsort(lengths, kind="stable")
    for start in range(0, len(by_length), chunk):
        rows = by_length[start : start + chunk]
        width = int(lengths[rows].max())
        inside = np.arange(width) < lengths[rows][:, None]
        at = np.where(inside, offsets[rows][:, None] + np.arange(width), 0)
        padded = np.where(inside, scores[at], -np.inf)
        order = np.argsort(-padded, axis=1)
        ranked = np.take_along_axis(padded, order, axis=1)
        marked = np.take_along_axis(np.where(inside, gold[at], False), order, axis=1)
        real = np.take_along_axis(inside, order, axis=1)
        tp = np.cumsum(marked, axis=1, dtype=np.float64)
        fp = np.cumsum(real & ~marked, axis=1, dtype=np.float64)
        end = np.ones_like(marked)
        end[:, :-1] = ranked[:, 1:] != ranked[:, :-1]
        end &= real
        positives, negatives = tp[:, -1:], fp[:, -1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            recall, precision, fall_out = tp / positives, tp / (tp + fp), fp / negatives
        carried = [_carry(x, end, first) for x, first in ((recall, 0.0), (precision, 1.0), (fall_out, 0.0))]
        gain = np.where(end, recall - carried[0], 0.0)
        step = np.where(end, fall_out - carried[2], 0.0)
        two = (positives[:, 0] > 0) & (negatives[:, 0] > 0)
        safe = np.where(end, precision, 0.0)
        out[0, rows] = np.where(two, (gain * (safe + carried[1]) / 2).sum(axis=1), np.nan)
        out[1, rows] = np.where(two, (gain * safe).sum(axis=1), np.nan)
        out[2, rows] = np.where(two, (step * (np.where(end, recall, 0.0) + carried[0]) / 2).sum(axis=1), np.nan)
    return out[0], out[1], out[2]


def _carry(values: np.ndarray, end: np.ndarray, first: float) -> np.ndarray:
    """The value at the last group end before each position."""
    last = np.maximum.accumulate(np.where(end, np.arange(values.shape[1]), -1), axis=1)
    before = np.concatenate([np.full((len(values), 1), -1), last[:, :-1]], axis=1)
    return np.where(before >= 0, np.take_along_axis(values, np.maximum(before, 0), axis=1), first)


def ranking_sklearn(scores: np.ndarray, gold: np.ndarray, offsets: np.ndarray, n: int) -> Arrays:
    rows = []
    for i in range(n):
        s, g = scores[offsets[i] : offsets[i + 1]], gold[offsets[i] : offsets[i + 1]]
        precision, recall, _ = precision_recall_curve(g, s)
        rows.append((auc(recall, precision), average_precision_score(g, s), roc_auc_score(g, s)))
    return tuple(np.array(rows).T)


def token_f1_numpy(rationale: np.ndarray, gold: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    starts = offsets[:-1]
    both = np.add.reduceat((rationale & gold).view(np.int8), starts, dtype=np.int32)
    selected = np.add.reduceat(rationale.view(np.int8), starts, dtype=np.int32)
    marked = np.add.reduceat(gold.view(np.int8), starts, dtype=np.int32)
    return 2 * both / (selected + marked)


def line(name: str, ours: float, rival_name: str, rival: float, target: float, unit: str = "") -> None:
    print(f"{name:44s} {ours:12,.4g} {unit:14s} {rival_name:24s} {rival:12,.4g}   {_ratio(ours, rival, unit):7.1f} x"
          f"   (wanted {target:g} x)")  # fmt: skip


def _ratio(ours: float, rival: float, unit: str) -> float:
    return rival / ours if unit == "ms" else ours / rival


def kernels(n: int) -> None:
    scores, rationale, gold, offsets = world(n)
    for a, b in zip(_rust.rank_rows(scores, gold, offsets), ranking_numpy(scores, gold, offsets), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    few = 200
    for a, b in zip(_rust.rank_rows(scores, gold, offsets), ranking_sklearn(scores, gold, offsets, few), strict=True):
        np.testing.assert_allclose(a[:few], b, atol=1e-12)
    ours = n / best(lambda: _rust.rank_rows(scores, gold, offsets, threads=1))
    padded = n / best(lambda: ranking_numpy(scores, gold, offsets), 3)
    loop = few / best(lambda: ranking_sklearn(scores, gold, offsets, few), 1)
    line("AUPRC + AP + ROC AUC, one thread", ours, "padded numpy", padded, 5, "instances/s")
    line("", ours, "scikit-learn loop", loop, 5, "instances/s")

    pair = (rationale, offsets, gold, offsets)
    np.testing.assert_allclose(_rust.token_agreement(*pair)[2], token_f1_numpy(rationale, gold, offsets), atol=1e-12)
    ours = n / best(lambda: _rust.token_agreement(*pair), 20)
    rival = n / best(lambda: token_f1_numpy(rationale, gold, offsets), 20)
    line("token precision, recall and F1", ours, "numpy reduceat (F1 only)", rival, 1, "instances/s")

    rng = np.random.default_rng(0)
    values = rng.random(10_000)
    rows = rng.integers(0, 2**63, 20_000).astype(np.uint64)
    steps = np.array([2.0**-30])

    def draw(threads: int) -> object:
        return _rust.weighted_sums(rows, values, steps, replicates=1000, seed=0, threads=threads)

    spread = np.std([values[rng.integers(0, 10_000, 10_000)].mean() for _ in range(1000)])
    sums, counts = _rust.weighted_sums(rows, values, steps, replicates=1000, seed=0)
    assert abs(np.std(sums * 2.0**-30 / counts) / spread - 1) < 0.1
    loop = best(lambda: [values[rng.integers(0, 10_000, 10_000)].mean() for _ in range(1000)], 3) * 1e3
    for threads in (1, 2):
        line(
            f"bootstrap 10,000 x 1,000, {threads} threads",
            best(lambda t=threads: draw(t)) * 1e3,
            "numpy loop",
            loop,
            5,
            "ms",
        )


def file(instances: int) -> None:
    """The command as a process: time and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.parquet"
        write(str(path), instances)
        for replicates in ("0", "1000"):
            command = [sys.executable, "-m", "unirex.metrics.cli", "score", str(path), "--replicates", replicates]
            seconds = best(lambda c=command: subprocess.run(c, check=True, stdout=subprocess.DEVNULL), 3)
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            size = path.stat().st_size / 2**20
            what = f"score {instances:,} instances, {size:.0f} MiB, {replicates} replicates"
            print(f"{what}: {seconds:.2f} s, {peak:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--file", action="store_true")
    arguments = parser.parse_args()
    kernels(arguments.instances)
    if arguments.file:
        file(arguments.instances)

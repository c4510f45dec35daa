"""Speed of the metric kernels beside the fastest rivals we know (`rivals.py`), measured in one run.

    python benches/metrics.py            # 10,000 instances of 100 to 300 words
    python benches/metrics.py --file     # also `unirex-metrics score` on a file, as a whole process

Results are compared before anything is timed. Times are processor time of one thread (set OMP_NUM_THREADS=1 for BLAS).
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
import rivals
from predictions import write
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from unirex import _rust

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def best(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least processor time of each call, in seconds; all take turns, so that a busy machine treats them alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: min(found) for name, found in times.items()}


def world(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(100, 301, n))]).astype(np.int64)
    scores = rng.normal(size=offsets[-1]).astype(np.float32).astype(np.float64)  # as in a prediction file
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


def table(title: str, calls: dict[str, Callable[[], object]], repeats: int, work: dict[str, float]) -> None:
    """One line a call, ours first: processor time, and how many times as long as ours for the same work."""
    times = best(calls, repeats)
    print(f"\n{title}")
    ours = next(iter(times.values()))
    for name, seconds in times.items():
        print(f"  {name:48} {seconds * 1e3:9.2f} ms   x {seconds * work.get(name, 1.0) / ours:8.2f}")


def ranking(n: int) -> None:
    scores, _, gold, offsets = world(n)
    few, narrow = min(n, 200), scores.astype(np.float32)
    found = _rust.rank_rows(scores, offsets, gold, offsets)
    calls: dict[str, Callable[[], object]] = {
        "unirex, one thread": lambda: _rust.rank_rows(scores, offsets, gold, offsets, threads=1),
        "padded numpy": lambda: ranking_numpy(scores, gold, offsets),
        f"scikit-learn loop ({few} rows)": lambda: ranking_sklearn(scores, gold, offsets, few),
    }
    rivals_found = [ranking_numpy(scores, gold, offsets)]
    if rivals.numba:
        calls["np.sort of packed keys + numba"] = lambda: rivals.ranking_sort_and_numba(narrow, gold, offsets)
        rivals_found.append(rivals.ranking_sort_and_numba(narrow, gold, offsets))
    for rival in rivals_found:
        np.testing.assert_allclose(found, rival, atol=1e-12)
    for a, b in zip(found, ranking_sklearn(scores, gold, offsets, few), strict=True):
        np.testing.assert_allclose(a[:few], b, atol=1e-12)
    work = {f"scikit-learn loop ({few} rows)": n / few}
    table(f"AUPRC, average precision and ROC AUC of {n:,} rows", calls, 5, work)


def agreement(n: int) -> None:
    _, rationale, gold, offsets = world(n)
    pair = (rationale, offsets, gold, offsets)
    found = _rust.token_agreement(*pair)
    np.testing.assert_allclose(found[2], token_f1_numpy(rationale, gold, offsets), atol=1e-12)
    calls: dict[str, Callable[[], object]] = {
        "unirex": lambda: _rust.token_agreement(*pair),
        "np.add.reduceat (F1 only)": lambda: token_f1_numpy(rationale, gold, offsets),
    }
    if rivals.numba:
        np.testing.assert_allclose(found, rivals.token_f1_numba(rationale, gold, offsets), atol=1e-12)
        calls["numba"] = lambda: rivals.token_f1_numba(rationale, gold, offsets)
    table(f"token precision, recall and F1 of {n:,} rows", calls, 20, {})


def bootstrap(columns: int, rows: int = 10_000, replicates: int = 1000) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((rows, columns))
    ids = rng.integers(0, 2**63, 2 * rows).astype(np.uint64)
    flat, steps = np.ascontiguousarray(values.T).reshape(-1), np.full(columns, 2.0**-30)

    def ours() -> np.ndarray:
        sums, counts = _rust.weighted_sums(ids, flat, steps, replicates=replicates, seed=0, threads=1)
        return (sums * 2.0**-30 / counts).reshape(columns, replicates).T

    def loop() -> np.ndarray:
        return np.stack([values[rng.integers(0, rows, rows)].mean(axis=0) for _ in range(replicates)])

    calls: dict[str, Callable[[], object]] = {"unirex, one thread": ours, "numpy loop": loop}
    if rivals.numba:
        if columns == 1:
            calls["numba, two draws a random word"] = lambda: rivals.bootstrap_numba(values[:, 0].copy(), replicates)
        for name in ("float64", "float32"):
            kind = np.dtype(name)
            calls[f"numba counts x BLAS, {name}"] = lambda k=kind: rivals.bootstrap_blas(values, replicates, dtype=k)
    spread = values.std(axis=0) / rows**0.5
    for call in calls.values():  # compiles the rivals as well
        assert np.abs(np.std(np.reshape(call(), (replicates, -1)), axis=0) / spread - 1).max() < 0.12
    table(f"bootstrap, {rows:,} rows, {replicates:,} replicates, columns: {columns}", calls, 15, {})


def file(instances: int) -> None:
    """The command as a process: time and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.parquet"
        write(str(path), instances)
        for replicates in ("0", "1000"):
            command = [
                sys.executable,
                "-m",
                "unirex.metrics.commands.cli",
                "score",
                str(path),
                "--replicates",
                replicates,
            ]
            seconds = min(_seconds(command) for _ in range(3))
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            size = path.stat().st_size / 2**20
            what = f"score {instances:,} instances, {size:.0f} MiB, {replicates} replicates"
            print(f"{what}: {seconds:.2f} s, {peak:.0f} MiB")


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--file", action="store_true")
    arguments = parser.parse_args()
    rivals.say_what_is_missing()
    ranking(arguments.instances)
    agreement(arguments.instances)
    bootstrap(1)
    bootstrap(30)
    if arguments.file:
        file(arguments.instances)

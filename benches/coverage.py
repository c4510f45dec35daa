"""How often the intervals hold the truth, by simulation, for every kind of interval that `unirex-metrics` prints.

    python benches/coverage.py --simulations 2000

Worlds whose truth is known are drawn again and again, scored as a user would, and the intervals that hold the truth are
counted: at a nominal 95 % that should be 95 in 100. docs/metrics.md has the result.
"""

import argparse
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from unirex.metrics import Resampling, Run, State, compare, gain_table
from unirex.metrics.layout import Layout

Rng = np.random.Generator
Counts = dict[str, list[bool]]


def holds(low: float | None, high: float | None, truth: float) -> bool:
    """Whether an interval holds the truth; none holds nothing."""
    return low is not None and high is not None and low - 1e-9 <= truth <= high + 1e-9


def one_metric(rng: Rng, layout: Layout, name: str, columns: np.ndarray, truth: float) -> bool:
    """Whether the interval of a metric holds the truth, from values of rows [columns, N]."""
    how = Resampling(replicates=400, seed=int(rng.integers(2**32)))
    state = State(layout, how)
    hashes = rng.integers(0, 2**63, (columns.shape[1], 2)).astype(np.uint64)
    state.add(hashes, columns)
    found = state.compute()[name]
    return holds(found.low, found.high, truth)


def share(rng: Rng, n: int, p: float) -> bool:
    """Accuracy."""
    layout = Layout(labels=("a", "b"), has_label=True, only=frozenset({"accuracy"}))
    return one_metric(rng, layout, "accuracy", (rng.random((1, n)) < p).astype(float), p)


def bounded(rng: Rng, n: int, kind: str) -> bool:
    """A mean of values between 0 and 1, in the middle or near 1."""
    layout = Layout(has_gold=True, has_rationale=True, only=frozenset({"token_f1"}))
    if kind == "middle":
        values, truth = rng.beta(3, 2, n), 0.6
    elif kind == "near 1":
        values, truth = np.where(rng.random(n) < 0.9, 1.0, rng.random(n)), 0.95
    else:
        values, truth = np.where(rng.random(n) < 0.5, 0.0, rng.beta(2, 2, n)), 0.25
    return one_metric(rng, layout, "token_f1", values[None], truth)


def unbounded(rng: Rng, n: int) -> bool:
    """A mean of values without bounds, skewed as log-odds are."""
    perturbations = (("attention", frozenset({"remove"})),)
    layout = Layout(labels=("a", "b"), perturbations=perturbations, fractions=(0.5,), only=frozenset({"log_odds"}))
    return one_metric(rng, layout, "log_odds", -rng.exponential(1.0, (1, n)), -1.0)


def confusion(rng: Rng, n: int, name: str) -> bool:
    """F1 of a rare class, or macro F1, from a table of confusions."""
    layout = Layout(labels=("a", "b"), has_label=True, only=frozenset({name}))
    true = rng.random(n) < 0.15
    predicted = np.where(true, rng.random(n) < 0.7, rng.random(n) < 0.05)
    rows = {
        "#hit:a": ~true & ~predicted, "#predicted:a": ~predicted, "#true:a": ~true,
        "#hit:b": true & predicted, "#predicted:b": predicted, "#true:b": true,
    }  # fmt: skip
    hit = {"a": 0.85 * 0.95, "b": 0.15 * 0.7}
    both = {"a": 0.85 + 0.85 * 0.95 + 0.15 * 0.3, "b": 0.15 + 0.15 * 0.7 + 0.85 * 0.05}
    f1 = {label: 2 * hit[label] / both[label] for label in "ab"}
    truth = (f1["a"] + f1["b"]) / 2 if name == "macro_f1" else f1["b"]
    columns = np.array([rows[column.name] for column in layout.columns], dtype=float)
    return one_metric(rng, layout, name, columns, truth)


def table(
    ids: np.ndarray, right: np.ndarray, comprehensiveness: np.ndarray, sufficiency: np.ndarray, model: str = "m"
) -> pa.Table:
    """A prediction file in which a row is right or wrong and has this comprehensiveness and sufficiency."""
    head = {"labels": ["a", "b"], "headline": "accuracy", "unit": "word", "scores_from": "x", "rationale_rule": "x"}
    prediction = np.where(right, "a", "b")

    def lists(values: np.ndarray, depth: int) -> pa.Array:
        pairs = np.where(right[:, None], np.stack([values, 1 - values], 1), np.stack([1 - values, values], 1))
        found = pa.ListArray.from_arrays(np.arange(0, 2 * n + 1, 2, dtype=np.int32), pa.array(pairs.reshape(-1)))
        return pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32), found) if depth else found

    n = len(ids)
    columns = {
        "id": pa.array(ids), "prediction": pa.array(prediction), "probabilities": lists(np.full(n, 0.9), 0),
        "keep.attention.self": lists(np.clip(0.9 - sufficiency, 0, 1), 1),
        "remove.attention.self": lists(np.clip(0.9 - comprehensiveness, 0, 1), 1),
        "model": pa.array([model] * n), **alike(n),
    }  # fmt: skip
    return pa.table(columns).replace_schema_metadata({"unirex": json.dumps(head)})


@functools.cache
def alike(n: int) -> dict[str, pa.Array]:
    """The columns that say the same in every file and row."""
    return {
        "label": pa.array(["a"] * n), "words": pa.array([["w"]] * n), "scores": pa.array([[0.5]] * n),
        "rationale": pa.array([[True]] * n), "gold": pa.array([None] * n, pa.list_(pa.float32())),
        "fractions": pa.array([[0.5]] * n), "words_cut": pa.array([0] * n, pa.int32()),
        "gold_cut": pa.array([0] * n, pa.int32()), "data": pa.array(["d"] * n),
    }  # fmt: skip


class World:
    """Methods whose rows have something in common, and whose seeds differ: accuracy, comprehensiveness, sufficiency.

    Args:
        rng: what everything is drawn from.
        n: rows.
        accuracy: of each method.
        faithfulness: of each method, its comprehensiveness; sufficiency is .6 less that.
        spread: standard deviation of a method between seeds, in each metric.
    """

    def __init__(self, rng: Rng, n: int, accuracy: list[float], faithfulness: list[float], spread: float = 0.0) -> None:
        self.rng, self.n = rng, n
        self.accuracy, self.faithfulness, self.spread = accuracy, faithfulness, spread
        self.ids = np.array([f"{key:x}" for key in rng.integers(0, 2**62, n)])
        self.hard, self.far = rng.random(n), rng.normal(0, 0.06, n)

    def predictions(self, method: int, model: str = "m", model_shift: float = 0.0) -> pa.Table:
        """What one seed of a method predicts, on a model that shifts the faithfulness of all methods."""
        rng, n = self.rng, self.n
        shift = rng.normal(0, self.spread, 3) if self.spread else np.zeros(3)
        shift = shift + np.array([0.0, model_shift, -model_shift])
        # Half of the rows are as hard for all methods; the draw stays uniform.
        draw = np.where(rng.random(n) < 0.5, self.hard, rng.random(n))
        right = draw < self.accuracy[method] + shift[0]
        mean = self.faithfulness[method]
        comprehensiveness = mean + shift[1] + self.far + rng.normal(0, 0.06, n)
        sufficiency = 0.6 - mean + shift[2] - self.far + rng.normal(0, 0.06, n)
        return table(self.ids, right, comprehensiveness, sufficiency, model)


ACCURACY = [0.80, 0.81, 0.79, 0.78, 0.805]
FAITHFULNESS = [0.30, 0.31, 0.28, 0.25, 0.29]


def differences(rng: Rng, n: int, counts: Counts) -> None:
    """Paired differences of one run each."""
    world = World(rng, n, [0.95, 0.92], [0.3, 0.28])
    how = Resampling(replicates=400, seed=int(rng.integers(2**32)))
    names = ["accuracy", "comprehensiveness"]
    found = compare([world.predictions(0), world.predictions(1)], metrics=names, resampling=how)
    for row, truth in zip(found.differences[0], (0.03, 0.02), strict=True):
        counts.setdefault(f"paired difference, {row.metric}", []).append(holds(row.low, row.high, truth))


def gains(rng: Rng, n: int, counts: Counts, *, seeds: int) -> None:
    """Metrics, CNRG and its differences, of one run or of several seeds of each method."""
    world = World(rng, n, ACCURACY, FAITHFULNESS, 0.02 if seeds > 1 else 0.0)
    runs = [
        Run(method=str(m), data="d", seed=str(s), path=world.predictions(m))  # type: ignore[arg-type]
        for m in range(len(ACCURACY))
        for s in range(seeds)
    ]
    found = gain_table(runs, resampling=Resampling(replicates=400, seed=int(rng.integers(2**32))))
    behind = "rows" if seeds == 1 else f"rows and {seeds} seeds"
    truth = truths(found.ends["d"])
    own = truths(
        {
            "comprehensiveness": (min(FAITHFULNESS), max(FAITHFULNESS)),
            "sufficiency": (0.6 - max(FAITHFULNESS), 0.6 - min(FAITHFULNESS)),
            "task": (min(ACCURACY), max(ACCURACY)),
        }
    )
    for m in range(len(ACCURACY)):
        cell = found.cells["d", str(m)]
        for name, value in (("task", ACCURACY[m]), ("comprehensiveness", FAITHFULNESS[m])):
            counts.setdefault(f"{name}, {behind}", []).append(holds(*cell.intervals[name], value))
        counts.setdefault(f"CNRG, {behind}", []).append(holds(cell.low, cell.high, truth[m]))
        counts.setdefault(f"CNRG on a scale of the true ends, {behind}", []).append(holds(cell.low, cell.high, own[m]))
        if m == 1:
            counts.setdefault(f"CNRG of the best method, {behind}", []).append(holds(cell.low, cell.high, truth[m]))
    for m in range(1, len(ACCURACY)) if hasattr(found, "over") else ():
        gain = found.over("d", str(m), "0")
        held = gain is not None and holds(gain.low, gain.high, truth[m] - truth[0])
        counts.setdefault(f"CNRG over another's, {behind}", []).append(held)


def truths(ends: Mapping[str, tuple[float, float]]) -> list[float]:
    """The true CNRG of each method of `gains` on a scale with these ends."""
    found = []
    for accuracy, comprehensiveness in zip(ACCURACY, FAITHFULNESS, strict=True):
        low, high = ends["comprehensiveness"]
        comp = (comprehensiveness - low) / (high - low)
        low, high = ends["sufficiency"]
        suff = (high - (0.6 - comprehensiveness)) / (high - low)
        low, high = ends["task"]
        found.append(((comp + suff) / 2 + (accuracy - low) / (high - low)) / 2)
    return found


def seeds_compared(rng: Rng, n: int, counts: Counts, seeds: int = 3) -> None:
    """Paired differences of several seeds each."""
    world = World(rng, n, [0.85, 0.82], [0.3, 0.28], 0.02)
    systems: list[Any] = [{str(s): world.predictions(m) for s in range(seeds)} for m in (0, 1)]
    how = Resampling(replicates=400, seed=int(rng.integers(2**32)))
    names = ["accuracy", "comprehensiveness"]
    found = compare(systems, metrics=names, resampling=how)
    for row, truth in zip(found.differences[0], (0.03, 0.02), strict=True):
        name = f"paired difference, {row.metric}, rows and {seeds} seeds"
        counts.setdefault(name, []).append(holds(row.low, row.high, truth))


def models_compared(rng: Rng, n: int, counts: Counts, seeds: int = 3) -> None:
    """Paired differences of two explanations of each of several models, which differ more than the explanations."""
    world = World(rng, n, [0.85, 0.85], [0.3, 0.28], 0.01)
    shifts = rng.normal(0, 0.05, seeds)
    systems: list[Any] = [{str(s): world.predictions(m, f"m{s}", shifts[s]) for s in range(seeds)} for m in (0, 1)]
    how = Resampling(replicates=400, seed=int(rng.integers(2**32)))
    (row,) = compare(systems, metrics=["comprehensiveness"], resampling=how).differences[0]
    name = f"paired difference, {row.metric}, rows and {seeds} models of both"
    counts.setdefault(name, []).append(holds(row.low, row.high, 0.02))


CHEAP: dict[str, Callable[[Rng], bool]] = {
    **{f"accuracy {p}, {n} rows": lambda r, n=n, p=p: share(r, n, p) for p in (0.98, 0.85) for n in (20, 50, 100, 400)},  # type: ignore[misc]
    **{
        f"mean in [0, 1], {kind}, {n} rows": lambda r, n=n, kind=kind: bounded(r, n, kind)  # type: ignore[misc]
        for kind in ("near 1", "middle", "half of it 0")
        for n in (20, 50, 100, 400)
    },
    **{f"log-odds, {n} rows": lambda r, n=n: unbounded(r, n) for n in (20, 50, 100, 400)},  # type: ignore[misc]
    **{
        f"{name}, {n} rows": lambda r, n=n, name=name: confusion(r, n, name)  # type: ignore[misc]
        for name in ("macro_f1", "f1:b")
        for n in (50, 100, 400)
    },
}
"""Kind of interval -> a draw of the world, which says whether the interval held the truth."""


def measure_cheap(name: str, simulations: int, seed: int = 0) -> float:
    """The share of intervals of one metric of one run that hold the truth."""
    rng = np.random.default_rng([seed, *name.encode()])
    return float(np.mean([CHEAP[name](rng) for _ in range(simulations)]))


def measure_tables(simulations: int, n: int = 200, seed: int = 0) -> dict[str, float]:
    """The shares for comparisons and tables of several runs."""
    rng = np.random.default_rng(seed)
    counts: Counts = {}
    for _ in range(simulations):
        differences(rng, n, counts)
        gains(rng, n, counts, seeds=1)
        gains(rng, n, counts, seeds=3)
        seeds_compared(rng, n, counts)
    return {name: float(np.mean(held)) for name, held in counts.items()}


def measure_models(simulations: int, n: int = 200, seed: int = 0) -> dict[str, float]:
    """The shares for comparisons of explanations of the same models."""
    rng = np.random.default_rng([seed, 1])
    counts: Counts = {}
    for _ in range(simulations):
        models_compared(rng, n, counts)
    return {name: float(np.mean(held)) for name, held in counts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--tables", type=int, default=200, help="simulations of comparisons and tables")
    options = parser.parse_args()
    for name in CHEAP:
        print(f"| {name} | {measure_cheap(name, options.simulations):.3f} |", flush=True)
    for name, held in {**measure_tables(options.tables), **measure_models(options.tables)}.items():
        print(f"| {name} | {held:.3f} |", flush=True)


if __name__ == "__main__":
    main()

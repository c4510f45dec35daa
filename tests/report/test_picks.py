"""What is shown is found in one pass, whatever the batches; histograms agree with numpy."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from unirex.metrics.state import Resampling
from unirex.report import build
from unirex.report.histogram import Histogram, Spread
from unirex.report.picks import Lowest, Picker, choose, round_robin

keys = st.lists(st.one_of(st.integers(-5, 5).map(float), st.just(float("nan"))), min_size=1, max_size=40)


def hashes(n: int, seed: int = 0) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, size=(n, 2), dtype=np.uint64)


@given(keys, st.integers(0, 12), st.lists(st.integers(0, 40), max_size=4))
def test_lowest_does_not_depend_on_batches(values: list[float], n: int, cuts: list[int]) -> None:
    array, ids = np.array(values), hashes(len(values))
    lowest = Lowest(n)
    edges = sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})
    for start, stop in itertools.pairwise(edges):
        lowest.add(array[start:stop], ids[start:stop])
    known = [(value, int(a), int(b)) for value, (a, b) in zip(values, ids, strict=True) if value == value]
    assert lowest.rows() == [(a, b) for _, a, b in sorted(known)[:n]]


def test_lists_take_turns_until_there_is_enough() -> None:
    one, two = [(0, k) for k in range(3)], [(1, k) for k in range(3)]
    assert round_robin([one, two], 4) == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert round_robin([one, two, one], 99) == [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (1, 2)]
    assert round_robin([], 3) == []


def filled(n: int, most: int, seed: int) -> tuple[Picker, NDArray[np.float64], NDArray[np.uint64]]:
    rng, ids = np.random.default_rng(seed), hashes(n)
    picker = Picker(["a", "b"], most)
    faithfulness = rng.normal(size=n)
    label = rng.integers(0, 2, size=n)
    for start in range(0, n, 7):
        part = slice(start, start + 7)
        picker.add(
            ids[part],
            wrong=faithfulness[part] > 1,
            confidence=rng.random(len(ids[part])),
            faithfulness=faithfulness[part],
            plausibility=None,
            label=label[part],
        )
    return picker, faithfulness, ids


def test_the_worst_are_among_those_shown() -> None:
    picker, faithfulness, ids = filled(200, 40, 3)
    assert picker.least() == 10
    assert picker.n_wrong == (faithfulness > 1).sum()
    choice = choose([picker], 40)
    assert len(choice.rows) == len(set(choice.rows)) == 40
    worst = [tuple(map(int, ids[i])) for i in np.argsort(faithfulness)[:10]]
    assert list(choice.unfaithful) == worst
    assert set(worst) <= set(choice.rows)
    assert choice.implausible == {}


def test_every_run_has_its_say() -> None:
    first, second = filled(200, 40, 3)[0], filled(200, 40, 4)[0]
    rows = set(choose([first, second], 40).rows)
    assert len(rows) == 40
    for picker in (first, second):
        assert len(rows & set(picker.unfaithful.rows()[:5])) == 5


def test_few_rows_are_not_all_the_least_faithful() -> None:
    picker, _, _ = filled(30, 120, 0)
    assert picker.least() == 3
    assert len(choose([picker], 120).rows) == 30


def test_perfect_rows_are_not_the_least_plausible(tmp_path: Path) -> None:
    scores = [[0.9, 0.1, 0.2]] * 8 + [[0.1, 0.9, 0.2]] * 2
    table = pa.table(
        {"id": list("abcdefghij"), "scores": scores, "gold": [[1, 0, 0]] * 10, "words": [["x", "y", "z"]] * 10}
    )
    for n, expected in ((10, 1), (8, 0)):
        pq.write_table(table[:n], tmp_path / f"{n}.parquet")
        report = build(tmp_path / f"{n}.parquet", resampling=Resampling(replicates=0))
        least = [one.views[0] for one in report.instances if one.implausible is not None]
        assert len(least) == expected
        assert all(view is not None and view.values["auprc"] < 1 for view in least)


def test_rows_that_are_far_apart_come_first() -> None:
    picker, _, ids = filled(200, 40, 3)
    far = [(int(ids[i, 0]), int(ids[i, 1])) for i in (150, 7)]
    assert set(far) <= set(choose([picker], 8, far).rows)
    assert choose([picker], 1, far).rows == (far[0],)


@given(st.lists(st.lists(st.floats(-1e6, 1e6) | st.just(float("inf")), max_size=9), max_size=6))
def test_spread_is_that_of_all_numbers(parts: list[list[float]]) -> None:
    spread = Spread()
    for part in parts:
        spread.add(np.array(part, dtype=np.float64))
    known = np.array([value for part in parts for value in part if np.isfinite(value)])
    assert spread.n == len(known)
    if len(known):
        assert np.isclose(spread.mean, known.mean(), atol=1e-6)
        assert np.isclose(spread.deviation, known.std(), atol=1e-4, rtol=1e-6)
        assert (spread.low, spread.high) == (known.min(), known.max())
        edges = spread.edges(10)
        assert (np.diff(edges) > 0).all()


def test_histogram_counts_every_number_once() -> None:
    values = np.random.default_rng(0).normal(size=999)
    histogram = Histogram(np.linspace(-1, 1, 9))
    for part in np.array_split(values, 7):
        histogram.add(part)
    assert histogram.n == 999
    inside = np.histogram(values, np.linspace(-1, 1, 9))[0]
    assert (histogram.counts[1:-1] == inside[1:-1]).all()
    assert histogram.counts[0] == (values < -0.75).sum()
    assert np.isclose(histogram.shares().sum(), 1)

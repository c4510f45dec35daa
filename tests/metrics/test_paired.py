"""Paired differences over seeds and rows."""

from dataclasses import replace

import numpy as np
import pytest

from unirex.metrics import Resampling
from unirex.metrics.layout import Layout
from unirex.metrics.paired import paired
from unirex.metrics.row_values import RowValues

LAYOUT = Layout(
    labels=("a", "b"),
    headline="macro_f1",
    fractions=(0.5,),
    perturbations=(("attention", frozenset({"keep", "remove", "null"})),),
    has_label=True,
    has_gold=True,
    has_scores=True,
    only=frozenset({"macro_f1", "comprehensiveness", "sufficiency", "csd", "normalised_sufficiency", "auprc"}),
)
NAMES = [column.name for column in LAYOUT.columns]


def rows(seed: int, n: int = 200, shift: float = 0.0) -> RowValues:
    draw = np.random.default_rng(seed)
    label, answer = draw.integers(2, size=(2, n))
    made = {name: draw.random(n) + shift for name in NAMES}
    for position, name in enumerate(LAYOUT.labels):
        made |= {f"#true:{name}": label == position, f"#predicted:{name}": answer == position}
        made[f"#hit:{name}"] = (label == position) & (answer == position)
    made["csd"] = made["comprehensiveness"] - made["sufficiency"]
    hashes = np.random.default_rng(99).integers(2**63, size=(n, 2)).astype(np.uint64)
    return RowValues(layout=LAYOUT, hashes=hashes, values=np.array([made[name] for name in NAMES], dtype=np.float64))


def values(one: RowValues, name: str) -> np.ndarray:
    return one.values[NAMES.index(name)]


def f1(one: RowValues) -> float:
    parts = []
    for name in LAYOUT.labels:
        hit, predicted, true = (values(one, f"#{what}:{name}").sum() for what in ("hit", "predicted", "true"))
        parts.append(2 * hit / (predicted + true))
    return float(np.mean(parts))


def test_differences_are_means_over_seeds_of_rows_that_both_define() -> None:
    first, other = [rows(0), rows(1)], [rows(2), rows(3)]
    place = NAMES.index("normalised_sufficiency")
    first[0].values[place, :50] = np.nan
    other[0].values[place, 40:80] = np.nan
    # The order of rows in a file says nothing.
    turned = replace(other[1], hashes=other[1].hashes[::-1], values=other[1].values[:, ::-1])
    found = {one.metric: one for one in paired(first, [other[0], turned], Resampling(replicates=0))}
    for name in ("comprehensiveness", "auprc"):
        expected = np.mean([values(a, name).mean() - values(b, name).mean() for a, b in zip(first, other, strict=True)])
        assert found[name].difference == pytest.approx(expected, abs=1e-12)
    assert found["csd"].difference == pytest.approx(
        found["comprehensiveness"].difference - found["sufficiency"].difference, abs=1e-12
    )
    assert found["macro_f1"].difference == pytest.approx(np.mean([f1(first[i]) - f1(other[i]) for i in (0, 1)]))
    both = np.r_[80:200]
    gaps = [
        values(a, "normalised_sufficiency")[both] - values(b, "normalised_sufficiency")[both]
        for a, b in zip(first, other, strict=True)
    ]
    assert found["normalised_sufficiency"].difference == pytest.approx(np.mean(gaps))
    assert found["normalised_sufficiency"].rows == 120
    assert found["csd"].low is None


def test_intervals_hold_the_truth_and_grow_with_the_spread_of_seeds() -> None:
    how = Resampling(replicates=400)
    even = {one.metric: one for one in paired([rows(0, shift=0.3), rows(1, shift=0.3)], [rows(2), rows(3)], how)}
    uneven = {one.metric: one for one in paired([rows(0), rows(1, shift=0.6)], [rows(2), rows(3)], how)}
    for name in ("auprc", "comprehensiveness"):
        low, high = even[name].low, even[name].high
        assert low is not None
        assert high is not None
        assert low < 0.3 < high
        # 200 rows of two uniform draws, over two seeds, give this width; the spread between two seeds is added to it.
        known = 2 * 1.96 * np.sqrt(1 / 6 / 200 / 2)
        assert 0.8 * known < high - low < 6 * known
        assert uneven[name].high - uneven[name].low > 3 * (high - low)  # type: ignore[operator]
    # What a seed does to both systems is no part of their difference where it is one model.
    moved = [[rows(seed, shift=0.6 * (seed % 2)) for seed in side] for side in ((0, 1), (2, 3), (0, 1))]

    def width(metric: str, other: int, shared: bool) -> float:
        found = next(o for o in paired(moved[0], moved[other], how, shared=shared) if o.metric == metric)
        return found.high - found.low  # type: ignore[operator]

    assert width("auprc", 1, False) > 3 * width("auprc", 1, True)
    assert width("macro_f1", 2, False) > width("macro_f1", 2, True)  # the same answers of the same models
    exact = {one.metric: one for one in paired(moved[0], moved[2], how, shared=True)}
    assert (exact["macro_f1"].low, exact["macro_f1"].high) == (0.0, 0.0), (
        "no other row could tell one model from itself"
    )
    bare = paired(moved[0], moved[2], Resampling(replicates=0), shared=True)
    assert {(one.low, one.high) for one in bare} == {(None, None)}
    assert exact["auprc"].low is not None
    assert exact["auprc"].low < 0, "other words could"
    changed = [moved[0][0], replace(moved[0][1], values=moved[0][1].values.copy())]
    changed[1].values[NAMES.index("#predicted:a"), 0] = 1 - changed[1].values[NAMES.index("#predicted:a"), 0]
    one = next(o for o in paired(moved[0], changed, how, shared=True) if o.metric == "macro_f1")
    assert one.low is not None
    assert one.low < one.difference < one.high  # type: ignore[operator]
    same = paired([rows(0)], [rows(0)], how)
    assert {one.difference for one in same} == {0.0}
    assert all(one.low <= 0 <= one.high for one in same if one.low is not None)  # type: ignore[operator]


def test_instances_are_counted_and_not_the_groups_they_are_drawn_in() -> None:
    """As with questions about one passage: 200 instances in 50 groups, of which 90 define one of the metrics."""
    group = np.repeat(np.random.default_rng(5).integers(2**63, size=(50, 2)).astype(np.uint64), 4, axis=0)
    sides = [replace(rows(seed), groups=group, grouped_by="x") for seed in (0, 1)]
    sides[0].values[NAMES.index("normalised_sufficiency"), 90:] = np.nan
    found = {one.metric: one.rows for one in paired([sides[0]], [sides[1]], Resampling(replicates=0))}
    assert (found["csd"], found["normalised_sufficiency"], found["macro_f1"]) == (200, 90, 200)


def test_other_instances_are_refused() -> None:
    with pytest.raises(ValueError, match="100 instances are not the 200 of the first"):
        paired([rows(0)], [rows(1, n=100)], Resampling(replicates=0))
    with pytest.raises(ValueError, match="1 and 0 seeds"):
        paired([rows(0)], [], Resampling(replicates=0))

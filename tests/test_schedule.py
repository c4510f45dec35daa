"""The learning rate of every step, and the instances of every batch, against numbers worked by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from unirex.config.run import TrainConfig
from unirex.disk.checkpoint import rng_seed
from unirex.training.optimizer import learning_rate
from unirex.training.schedule import epoch_batches


@pytest.mark.parametrize(
    ("warmup", "total", "expected"),
    [
        # Two of ten steps rise, from a half; eight fall, and the ninth would have 0.
        (0.2, 10, [1 / 2, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        (0.0, 4, [1, 3 / 4, 2 / 4, 1 / 4]),
        (1.0, 4, [1 / 4, 2 / 4, 3 / 4, 1]),
        (0.1, 1, [1]),
        # 0.1 of 15 steps is 1.5, which rounds to 2 (half to even); of 25 it is 2.5, and 2 again.
        (0.1, 15, [1 / 2, 1, *(n / 13 for n in range(13, 0, -1))]),
        (0.1, 25, [1 / 2, 1, *(n / 23 for n in range(23, 0, -1))]),
    ],
)
def test_the_learning_rate_rises_and_falls_by_hand(warmup: float, total: int, expected: list[float]) -> None:
    config = TrainConfig(lr=0.25, warmup=warmup)
    found = [learning_rate(step, total, config) for step in range(total)]
    assert found == pytest.approx([0.25 * share for share in expected], rel=1e-12)


LENGTHS = np.random.default_rng(0).integers(1, 1000, 211)


@pytest.mark.parametrize("grouped", [True, False])
def test_an_epoch_meets_every_instance_once_in_batches_of_even_size(grouped: bool) -> None:
    config = TrainConfig(batch_size=20, length_grouping=grouped)
    batches = epoch_batches(LENGTHS, config, 0, 0)
    # 211 in batches of at most 20 are 11 batches, of 19 or 20 each.
    assert sorted(len(batch) for batch in batches) == [19] * 9 + [20] * 2
    assert sorted(np.concatenate(batches).tolist()) == list(range(211))
    again, later, other = (epoch_batches(LENGTHS, config, *place) for place in ((0, 0), (0, 1), (1, 0)))
    assert np.array_equal(np.concatenate(batches), np.concatenate(again))
    assert not np.array_equal(np.concatenate(batches), np.concatenate(later))
    assert not np.array_equal(np.concatenate(batches), np.concatenate(other))
    assert [len(batch) for batch in epoch_batches(LENGTHS[:3], config, 0, 0)] == [3]


def test_length_grouping_sorts_inside_windows_of_fifty_batches_and_shuffles_the_batches() -> None:
    config = TrainConfig(batch_size=2)
    batches = epoch_batches(LENGTHS, config, 0, 0)
    means = [LENGTHS[batch].mean() for batch in batches]
    assert means != sorted(means, reverse=True)
    assert means != sorted(means)
    # 211 instances are windows of 100, 100 and 11: a batch's own lengths lie within a few hundredths of the range.
    spread = np.mean([np.ptp(LENGTHS[batch]) for batch in batches])
    plain = np.mean(
        [np.ptp(LENGTHS[batch]) for batch in epoch_batches(LENGTHS, replace(config, length_grouping=False), 0, 0)]
    )
    assert spread < 40 < 200 < plain
    # No batch crosses from one hundred of the drawn order to the next, and each hundred makes fifty.
    order = np.random.default_rng(rng_seed(0, 0)).permutation(211)
    window = np.empty(211, dtype=np.int64)
    window[order] = np.arange(211) // 100
    assert all(len(set(window[batch].tolist())) == 1 for batch in batches)
    assert np.bincount([window[batch[0]] for batch in batches]).tolist() == [50, 50, 6]
    # One window holds all of them: the batches, sorted, are the lengths, sorted. Of three windows they are not.
    for size, whole in ((10, True), (2, False)):
        found = epoch_batches(LENGTHS, TrainConfig(batch_size=size), 0, 0)
        lengths = [LENGTHS[batch].max() for batch in found]
        assert lengths != sorted(lengths, reverse=True)
        found.sort(key=lambda batch: -LENGTHS[batch].max())
        assert (LENGTHS[np.concatenate(found)].tolist() == sorted(LENGTHS.tolist(), reverse=True)) == whole


@pytest.mark.parametrize(
    ("batch_size", "sizes", "times"),
    [(10, [8, 8, 8, 10, 10], [7, 7, 8]), (1, [1] * 44, [7, 7, 8]), (7, [5, 5, *[7] * 6], [10, 10, 10])],
)
def test_half_of_a_batch_has_gold_and_none_is_met_more_than_once_more_than_another(
    batch_size: int, sizes: list[int], times: list[int]
) -> None:
    """22 instances without gold and 3 with: each of those stands 7 or 8 times beside them; of 7 one more has gold."""
    has_gold = np.zeros(25, dtype=bool)
    has_gold[[3, 11, 24]] = True
    config = TrainConfig(batch_size=batch_size, gold_half=True)
    batches = epoch_batches(np.full(25, 5), config, 0, 0, has_gold)
    assert sorted(len(batch) for batch in batches) == sizes
    pairs = batches if batch_size > 1 else [np.concatenate(batches[i : i + 2]) for i in range(0, 44, 2)]
    assert all(has_gold[batch].sum() == math.ceil(len(batch) / 2) for batch in pairs)
    seen = np.concatenate(batches)
    assert sorted(np.bincount(seen)[has_gold].tolist()) == times
    assert (np.bincount(seen)[~has_gold] == 1).all()
    gold = seen[has_gold[seen]]
    assert all(sorted(gold[i : i + 3].tolist()) == [3, 11, 24] for i in range(0, 21, 3))
    assert len({tuple(gold[i : i + 3]) for i in range(0, 21, 3)}) > 1


def test_gold_halves_are_made_only_where_fewer_than_half_have_gold_and_they_are_asked_for() -> None:
    config = TrainConfig(batch_size=4, gold_half=True)
    few, half = np.arange(8) < 3, np.arange(8) < 4
    lengths = np.full(8, 5)
    assert sum(map(len, epoch_batches(lengths, config, 0, 0, few))) == 10
    assert sum(map(len, epoch_batches(lengths, config, 0, 0, np.arange(8) < 1))) == 14
    plain = np.concatenate(epoch_batches(lengths, replace(config, gold_half=False), 0, 0, few))
    for has_gold in (half, None):
        assert np.array_equal(np.concatenate(epoch_batches(lengths, config, 0, 0, has_gold)), plain)
    assert sorted(plain.tolist()) == list(range(8))

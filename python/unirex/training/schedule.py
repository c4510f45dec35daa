"""Which instances each optimizer step sees: a function of the seed and the epoch alone."""

import math

import numpy as np
from numpy.typing import NDArray

from unirex.config.run import TrainConfig
from unirex.disk.checkpoint import rng_seed

STEPS = 400
"""Steps of a training whose `train.epochs` is None, within these bounds of its epochs:"""
FEWEST, MOST = 3, 20


def epochs_for(steps_per_epoch: int) -> int:
    """How many epochs make at least `STEPS` steps, at least `FEWEST` and at most `MOST`.

    >>> epochs_for(9), epochs_for(66), epochs_for(1000)
    (20, 7, 3)
    """
    return min(MOST, max(FEWEST, math.ceil(STEPS / steps_per_epoch)))


def epoch_batches(
    lengths: NDArray[np.int64], config: TrainConfig, seed: int, epoch: int, has_gold: NDArray[np.bool_] | None = None
) -> list[NDArray[np.int64]]:
    """The global batches of an epoch: index arrays whose sizes differ by one at most.

    With length grouping, instances are shuffled, sorted by length inside windows of 50 batches, cut into batches, and
    the batches shuffled. Depends on seed and epoch only, never on the number of processes. Where `config.gold_half`
    asks for it and fewer than half of the instances have gold, see `_half_with_gold`.
    """
    rng = np.random.default_rng(rng_seed(seed, epoch))
    if config.gold_half and has_gold is not None and 0 < has_gold.sum() < (~has_gold).sum():
        return _half_with_gold(has_gold, config.batch_size, rng)
    order = rng.permutation(len(lengths))
    if config.length_grouping:
        window = 50 * config.batch_size
        order = np.concatenate(
            [
                part[np.argsort(-lengths[part], kind="stable")]
                for part in (order[i : i + window] for i in range(0, len(order), window))
            ]
        )
    batches = np.array_split(order, max(1, math.ceil(len(order) / config.batch_size)))
    if config.length_grouping:
        return [batches[i] for i in rng.permutation(len(batches))]
    return batches


def _half_with_gold(has_gold: NDArray[np.bool_], batch_size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Batches with as many instances with gold as without: each without gold once, those with gold again and again.

    Of an odd number one more has gold; batches of one take turns.
    """
    without, gold = rng.permutation(np.flatnonzero(~has_gold)), np.flatnonzero(has_gold)
    halves = np.array_split(without, max(1, math.ceil(len(without) / max(1, batch_size // 2))))
    more = batch_size % 2 if batch_size > 1 else 0
    ends = np.cumsum([len(half) + more for half in halves]).tolist()
    rounds = [rng.permutation(gold) for _ in range(math.ceil(ends[-1] / len(gold)))]
    with_gold = np.split(np.concatenate(rounds)[: ends[-1]], ends[:-1])
    if batch_size == 1:
        return [one for pair in zip(halves, with_gold, strict=True) for one in pair]
    return [np.concatenate(pair) for pair in zip(halves, with_gold, strict=True)]

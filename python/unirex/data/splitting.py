"""Splits of data that has none: drawn from a seed, so that every split has its share of each class and of the gold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unirex.data.store import ExampleStore, store_of, windows
from unirex.schema import Example

Split = Literal["train", "val", "test"]

HELD_OUT: Mapping[Split, float] = {"val": 0.15, "test": 0.15}
"""The share of the rows that each split takes from those that have no split."""


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A data set's examples by split, and its class names in the order of the model's outputs.

    Attributes:
        train, val, test: the examples; val and test may be empty.
        labels: the class names.
        drawn: the splits that the data lack, drawn here from those of `train`.
    """

    train: ExampleStore
    val: ExampleStore
    test: ExampleStore
    labels: tuple[str, ...]
    drawn: tuple[str, ...] = ()


def split_examples(
    examples: Sequence[Example], shares: Mapping[Split, float] = HELD_OUT, *, seed: int = 0
) -> dict[Split, ExampleStore]:
    """The examples by split: what `shares` names, and the rest as `train`; each split in the order given.

    Rows are drawn by groups of one class with gold, or without (a gold of zeros counts as gold). A split gets its share
    of every group, rounded, and at least one row where the group has one for each split; a smaller group stays in
    `train`. Depends on the seed and the order of the rows alone.

    Args:
        examples: all rows; labels may be None.
        shares: split -> share of the rows, each above 0, their sum below 1.
        seed: of the draw.

    >>> rows = [Example(id=str(i), segments=(), label="ab"[i % 2]) for i in range(20)]
    >>> [(name, len(split)) for name, split in split_examples(rows, {"val": 0.2, "test": 0.1}).items()]
    [('train', 14), ('val', 4), ('test', 2)]
    """
    if not all(share > 0 for share in shares.values()) or sum(shares.values()) >= 1:
        raise ValueError(f"shares are {dict(shares)}, expected each above 0 and their sum below 1")
    groups: dict[tuple[str | None, bool], list[int]] = {}
    start = 0
    for part in windows(examples):
        for index, group in enumerate(zip(part.texts_of("label"), part.gold_known.tolist(), strict=True), start=start):
            groups.setdefault(group, []).append(index)
        start += len(part)
    rng = np.random.default_rng(seed)
    splits: list[Split] = ["train", *shares]
    chosen = np.zeros(len(examples), np.int8)
    for members in groups.values():
        drawn = rng.permutation(members)
        if len(drawn) > len(shares):
            for number, share in enumerate(shares.values(), start=1):
                taken = max(1, round(share * len(members)))
                chosen[drawn[:taken]] = number
                drawn = drawn[taken:]
    store = examples if isinstance(examples, ExampleStore) else store_of(examples)
    return {split: store.take(np.flatnonzero(chosen == number)) for number, split in enumerate(splits)}

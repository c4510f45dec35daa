"""Splits of data that has none: drawn from a seed, so that every split has its share of each class and of the gold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

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

    train: list[Example]
    val: list[Example]
    test: list[Example]
    labels: tuple[str, ...]
    drawn: tuple[str, ...] = ()


def split_examples(
    examples: Sequence[Example], shares: Mapping[Split, float] = HELD_OUT, *, seed: int = 0
) -> dict[Split, list[Example]]:
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
    for index, example in enumerate(examples):
        groups.setdefault((example.label, example.gold is not None), []).append(index)
    rng = np.random.default_rng(seed)
    names: list[Split] = ["train"] * len(examples)
    for group in groups.values():
        drawn = rng.permutation(group).tolist()
        if len(drawn) > len(shares):
            for name, share in shares.items():
                taken = max(1, round(share * len(group)))
                for index in drawn[:taken]:
                    names[index] = name
                drawn = drawn[taken:]
    found: dict[Split, list[Example]] = {"train": [], **{split: [] for split in shares}}
    for example, name in zip(examples, names, strict=True):
        found[name].append(example)
    return found

"""Human rationales: from how a file writes them to one number per word, from several annotators to one, and fewer."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unirex.schema import Example


def keep_gold_share(examples: Sequence[Example], share: float, *, seed: int) -> list[Example]:
    """The examples, only a share of those with gold keeping it: a seeded sample of each class, at least one of each.

    A larger share with the same seed keeps what a smaller one kept. Shares of a class round half to even.
    """
    by_label: dict[str | None, list[int]] = {}
    for index, example in enumerate(examples):
        if example.gold is not None:
            by_label.setdefault(example.label, []).append(index)
    rng = np.random.default_rng(seed)
    kept: set[int] = set()
    for label in sorted(by_label, key=str):
        order = rng.permutation(by_label[label]).tolist()
        kept.update(order[: max(1, round(share * len(order)))])
    return [example if index in kept else replace(example, gold=None) for index, example in enumerate(examples)]

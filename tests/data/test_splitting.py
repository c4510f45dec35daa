from collections import Counter

import numpy as np
import pytest

from unirex.data import split_examples
from unirex.schema import Example, Segment


def rows(**n: int) -> list[Example]:
    """So many rows of each class, sorted by class; of each class the first tenth have gold."""
    return [
        Example(
            id=f"{label}{i}",
            segments=(Segment.from_words(["w"]),),
            label=label,
            gold=np.zeros(1, dtype=np.float32) if i < number / 10 else None,
        )
        for label, number in n.items()
        for i in range(number)
    ]


def test_each_split_has_its_share_of_every_class_and_of_the_gold() -> None:
    found = split_examples(rows(a=400, b=1000, c=100), seed=3)
    counts = {name: Counter((e.label, e.gold is not None) for e in split) for name, split in found.items()}
    assert counts["val"] == counts["test"]
    assert counts["val"] == {
        ("a", True): 6, ("a", False): 54, ("b", True): 15, ("b", False): 135, ("c", True): 2, ("c", False): 14,
    }  # fmt: skip
    assert sorted(e.id for split in found.values() for e in split) == sorted(e.id for e in rows(a=400, b=1000, c=100))


def test_a_seed_gives_one_draw_in_the_order_of_the_rows() -> None:
    data = rows(a=60, b=60)
    first, again, other = ([e.id for e in split_examples(data, seed=seed)["val"]] for seed in (0, 0, 1))
    assert first == again != other
    assert first == [e.id for e in data if e.id in first]


def test_three_rows_of_a_group_are_in_three_splits_and_fewer_in_training() -> None:
    few = [Example(id=str(i), segments=(), label=label) for i, label in enumerate(["a"] * 3 + ["b"] * 2 + [None] * 4)]
    found = {name: Counter(e.label for e in split) for name, split in split_examples(few).items()}
    assert found == {"train": {"a": 1, "b": 2, None: 2}, "val": {"a": 1, None: 1}, "test": {"a": 1, None: 1}}


@pytest.mark.parametrize("shares", [{"val": 0.0}, {"val": 0.6, "test": 0.4}])
def test_shares_that_leave_no_rows_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected each above 0 and their sum below 1"):
        split_examples(rows(a=10), shares)

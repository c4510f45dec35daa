"""The learning rate of every step, and the instances of every batch, against numbers worked by hand."""

import pytest

from unirex.config import TrainConfig
from unirex.schedule import learning_rate


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

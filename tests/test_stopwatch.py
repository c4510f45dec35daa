"""Where a step's time goes: parts named by models and methods, measured by the clock or by events of a GPU."""

import time
from typing import Any

import pytest
import torch

from reference.method_worlds import counts_of, data, method_of
from unirex.disk.log import Interval
from unirex.timing import part, timed
from unirex.training.stopwatch import Stopwatch


def test_parts_inside_a_part_count_as_it_and_the_rest_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    watch, interval = Stopwatch(torch.device("cpu")), Interval()

    def passes(seconds: float) -> None:
        now[0] += seconds

    def fail(seconds: float) -> None:
        now[0] += seconds
        raise KeyError

    with timed(watch.mark):
        passes(1)
        with part("full"):
            passes(2)
            with part("extractor"):
                passes(4)
        passes(8)
        for _ in range(2):
            part("backward")(passes)(16)
        with pytest.raises(KeyError), part("optimizer"):
            fail(32)
    with part("full"):
        passes(64)
    assert watch.take(interval) == 0
    assert interval.parts == {"full": 6, "backward": 32, "optimizer": 32}
    assert watch.take(interval) == 0
    assert interval.parts["full"] == 6


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("slm_fp", ["full", "perturbed"]),
        ("dlm_fp", ["extractor", "perturbed"]),
        ("aa_fp", ["extractor", "perturbed"]),
        ("a2r", ["extractor", "perturbed", "full"]),
        ("fresh", ["extractor", "perturbed"]),
        ("rtp", ["full", "perturbed"]),
        ("n2r", ["full", "perturbed", "perturbed"]),
        ("mcd", ["full", "perturbed", "perturbed"]),
        ("l2e", ["extractor", "extractor"]),
    ],
)
def test_the_parts_of_methods(case: str, expected: list[str]) -> None:
    marks: list[str | None] = []
    batch = data().collate(slice_of(6))
    with timed(marks.append):
        method_of(case)(batch, counts_of(batch), 0)
    assert marks[::2] == expected
    assert set(marks[1::2]) == {None}


def slice_of(n: int) -> Any:
    return torch.arange(n).numpy()


class Later:
    """An event of a GPU that passes when it is waited for."""

    clock = 0.0
    waits = 0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing
        self.passed = False

    def record(self) -> None:
        Later.clock += 250
        self.at = Later.clock

    def query(self) -> bool:
        return self.passed or Later.waits > 0

    def synchronize(self) -> None:
        Later.waits += 1

    def elapsed_time(self, end: "Later") -> float:
        return end.at - self.at


def test_on_a_gpu_only_the_reading_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Later)
    watch, interval = Stopwatch(torch.device("cuda")), Interval()
    with timed(watch.mark):
        for _ in range(3):
            part("backward")(lambda: None)()
    assert Later.waits == 0
    assert len(watch._marks) == 6
    waited = watch.take(interval)
    assert Later.waits == 1
    assert interval.parts == {"backward": 0.75}
    assert waited == interval.seconds > 0
    assert len(watch._marks) == 1, "what has been read is not kept"

"""What steps cost: where their time goes, how much they get through, and memory."""

import time
from collections import deque

import torch

from unirex.disk.log import Interval
from unirex.training.footprint import peak_memory


class Stopwatch:
    """Adds up the seconds of the parts of steps (`unirex.timing`).

    On a GPU they are those of its own clock, read from events once these have passed; only `take` waits for them.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._marks: deque[tuple[str | None, float | torch.cuda.Event]] = deque()
        self._seconds: dict[str, float] = {}

    def mark(self, name: str | None) -> None:
        """Notes that a part begins, or (None) that it ends."""
        moment: float | torch.cuda.Event = time.perf_counter()
        if self._on_gpu:
            moment = torch.cuda.Event(enable_timing=True)
            moment.record()
        self._marks.append((name, moment))
        self._read()

    def _read(self) -> None:
        """Adds up the parts whose ends have passed; waits for nothing."""
        while len(self._marks) > 1:
            (name, start), (_, end) = self._marks[0], self._marks[1]
            if isinstance(start, float):
                assert isinstance(end, float)
                seconds = end - start
            else:
                assert not isinstance(end, float)
                if not end.query():
                    return
                seconds = start.elapsed_time(end) / 1000
            if name is not None:
                self._seconds[name] = self._seconds.get(name, 0.0) + seconds
            self._marks.popleft()

    def take(self, interval: Interval) -> float:
        """Adds what was measured since the last call to the interval; returns the seconds of waiting for the device."""
        started = time.perf_counter()
        if self._marks and not isinstance(last := self._marks[-1][1], float):
            last.synchronize()
        waited = time.perf_counter() - started if self._on_gpu else 0.0
        self._read()
        for name, seconds in self._seconds.items():
            interval.parts[name] = interval.parts.get(name, 0.0) + seconds
        interval.seconds += waited
        self._seconds = {}
        return waited


def costs(interval: Interval, left: float, device: torch.device) -> dict[str, float]:
    """Speed, time left, memory and shares of time, as a line of the log has them.

    Args:
        interval: the steps since the line before.
        left: seconds that the steps to come may take.
        device: where this process computes.
    """
    seconds = max(interval.seconds, 1e-9)
    return {
        "instances_per_second": round(interval.instances / seconds, 2),
        "tokens_per_second": round(interval.tokens / seconds, 2),
        "seconds_left": round(left, 1),
        **peak_memory(device),
        **{
            f"share/{name}": round(spent / seconds, 4)
            for name, spent in sorted({**interval.parts, "wait": interval.wait}.items())
        },
    }

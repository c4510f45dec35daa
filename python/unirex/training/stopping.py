"""What asks a run to stop: a signal, or the end of its time; all its processes obey it together."""

import math
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

TIME_IS_OVER = 124
"""The exit code of a run that reached `train.max_time`, as of the command `timeout`."""

# Windows lacks some of them.
_SIGNALS = [one for one in signal.Signals if one.name in ("SIGINT", "SIGTERM", "SIGUSR1")]
_ALARM = getattr(signal, "SIGALRM", None)
_CODES = [*(128 + number for number in _SIGNALS), TIME_IS_OVER]
_CAUSES: dict[int, str] = {**{128 + number: number.name for number in _SIGNALS}, TIME_IS_OVER: "train.max_time is over"}
# How processes of one run tell each other, so that none tells it back.
_TOLD = {int(signal.SIGRTMIN) + i: code for i, code in enumerate(_CODES)} if sys.platform == "linux" else {}
_LOST = ("connection", "peer", "broken pipe", "nccl", "gloo")

CAUSES = len(_CODES)
"""How many causes a run is stopped by."""


class StoppedError(Exception):
    """Training was asked to stop and has saved its state."""


class Stop:
    """Hears what asks a run to stop.

        with Stop() as stop:
            stop.limit(3600)
            ...  # the first signal ends this process at once, by KeyboardInterrupt
            with stop.after_step():
                ...  # it only sets `code`, so that the running step ends and the state is saved

    A second Ctrl-C ends a run at once. A launcher repeats the one that the terminal sends to every process, so a repeat
    within a second is ignored.

    Attributes:
        code: the exit code of a run that was asked to stop, 0 before that: 128 and the signal, or `TIME_IS_OVER`.
    """

    def __init__(self) -> None:
        self.code = 0
        self._until = math.inf
        self._asked_at = 0.0
        self._at_once = True
        self._others: list[int] = []
        self._before: dict[int, object] = {}

    @property
    def cause(self) -> str:
        """What asked for it, in words."""
        return _CAUSES.get(self.code, "SIGINT")

    def limit(self, seconds: float | None) -> None:
        """Asks to stop when that time is over."""
        if seconds is not None:
            self._until = time.monotonic() + seconds
            self._set_alarm()

    def _set_alarm(self) -> None:
        if _ALARM in self._before and self._until < math.inf:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, self._until - time.monotonic()))

    def __enter__(self) -> "Stop":
        """Begins to hear."""
        with suppress(ValueError):  # not in the main thread: no signal arrives here
            for number in [*_SIGNALS, *_TOLD, *([] if _ALARM is None else [_ALARM])]:
                self._before[number] = signal.signal(number, self._hear)
        self._set_alarm()
        return self

    def __exit__(self, *error: object) -> None:
        """Ends hearing."""
        if self._until < math.inf and _ALARM in self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}

    @contextmanager
    def after_step(self) -> Iterator[None]:
        """Lets the running step end first; a signal that came too late for the last step ends what follows."""
        self._at_once = False
        try:
            yield
        finally:
            self._at_once = True

    def know(self, accelerator: Accelerator) -> None:
        """Learns of the other processes of this run on this machine, which are told when this one ends at once."""
        if accelerator.num_processes > 1:
            me = (socket.gethostname(), _namespace(), os.getpid())
            found: list[tuple[str, int, int]] = gather_object([me])
            self._others = [pid for *where, pid in found if where == list(me[:2]) and pid != me[2]]

    def note(self, local_N: Tensor) -> None:
        """Adds one to the place of what asked this process to stop."""
        if not self.code and time.monotonic() > self._until:  # where there is no alarm
            self.code = TIME_IS_OVER
        if self.code:
            local_N[_CODES.index(self.code)] += 1

    def agreed(self, summed_N: list[float]) -> bool:
        """Whether any process was asked to stop; then `code` is the same in all of them."""
        codes = [code for code, asked in zip(_CODES, summed_N, strict=True) if asked]
        if codes:
            self.code = codes[0]
        return bool(codes)

    def explains(self, error: BaseException) -> bool:
        """Whether an error is the lost connection to another process, which was asked to stop too."""
        return bool(self.code and self._others) and any(word in str(error).lower() for word in _LOST)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.code:
            if number == signal.SIGINT and time.monotonic() - self._asked_at > 1:
                raise KeyboardInterrupt
            return
        self.code = TIME_IS_OVER if number == _ALARM else _TOLD.get(number, 128 + number)
        self._asked_at = time.monotonic()
        if self._at_once:
            for pid in self._others if number not in _TOLD else []:
                for told in (told for told, code in _TOLD.items() if code == self.code):
                    with suppress(ProcessLookupError):
                        os.kill(pid, told)
            raise KeyboardInterrupt


def _namespace() -> int:
    """What tells the process ids of one container from those of another."""
    return Path("/proc/self/ns/pid").stat().st_ino if sys.platform == "linux" else 0

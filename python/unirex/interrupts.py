"""Signals that end a command: Ctrl-C is heard wherever it comes, and others end it in the same way."""

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_AGAIN_SECONDS = 0.01


@contextmanager
def heard() -> Iterator[None]:
    """Ctrl-C ends the block also where it came in code whose errors Python only prints, and goes on.

    That is code of `__del__` and of weak references, which every import has. There it is raised again a moment later.
    """
    usual = sys.unraisablehook
    again: list[threading.Timer] = []

    def hook(found: Any) -> None:
        if found.exc_type is KeyboardInterrupt:
            again.append(threading.Timer(_AGAIN_SECONDS, _thread.interrupt_main))
            again[-1].daemon = True
            again[-1].start()
        else:
            usual(found)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual
        for timer in again:
            timer.cancel()


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM and SIGUSR1 raise KeyboardInterrupt in the block, which must be in the main thread to be told."""

    def handle(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {}
    with suppress(ValueError):  # not in the main thread
        for number in filter(None, (signal.SIGTERM, getattr(signal, "SIGUSR1", None))):
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

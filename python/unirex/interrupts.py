"""Signals that end a command: Ctrl-C is heard wherever it comes, and others end it in the same way."""

import _thread
import signal
import sys
import threading
import time
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
    now = {"in hook": False, "over": False}

    def again() -> None:
        time.sleep(_AGAIN_SECONDS)
        while now["in hook"]:  # where it would be lost like the first
            time.sleep(_AGAIN_SECONDS)
        if not now["over"]:
            _thread.interrupt_main()

    def hook(found: Any) -> None:
        if found.exc_type is not KeyboardInterrupt:
            usual(found)
            return
        now["in hook"] = True
        try:
            threading.Thread(target=again, daemon=True).start()
        finally:
            now["in hook"] = False  # behind it Python looks for no signal before it is out

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual
        now["over"] = True


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

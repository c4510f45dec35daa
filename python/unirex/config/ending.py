"""Signals that end a command as Ctrl-C does."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress


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

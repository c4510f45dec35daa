"""A progress line on stderr, only where a person watches."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from unirex.text import plain

PATIENCE = 1.0
"""Seconds before the first line, and no line for what is done sooner."""
PAUSE = 0.2


@contextmanager
def progress(name: str, unit: str = "rows") -> Iterator[Callable[[int, int], None] | None]:
    """A function of the rows done and in all (0 = unknown) that keeps one line up to date; None without a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    start = time.monotonic()
    shown = 0.0

    def show(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - start > PATIENCE and now - shown > PAUSE:
            shown = now
            of = f" of {total:,}" if total else ""
            sys.stderr.write(f"\r\x1b[K{plain(name)}: {done:,}{of} {unit}, {done / (now - start):,.0f} a second")
            sys.stderr.flush()

    try:
        yield show
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")

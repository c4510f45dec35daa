"""A progress line on stderr: kept up to date where a person watches, and in a log a new one now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from unirex.text import QUIET, plain, say

PATIENCE = 1.0
"""Seconds before the first line on a terminal, and no line for what is done sooner."""
PAUSE = 0.2


@contextmanager
def progress(name: str, unit: str = "rows") -> Iterator[Callable[[int, int], None]]:
    """A function of the rows done and in all (0 = unknown) that shows them."""
    live = sys.stderr.isatty()
    start = shown = time.monotonic()
    patience, pause = (PATIENCE, PAUSE) if live else (QUIET, QUIET)

    def show(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - start > patience and now - shown > pause:
            shown = now
            of = f" of {total:,}" if total else ""
            line = f"{name}: {done:,}{of} {unit}, {done / (now - start):,.0f} a second"
            if live:
                sys.stderr.write(f"\r\x1b[K{plain(line)}")
                sys.stderr.flush()
            else:
                say(line, error=True)

    try:
        yield show
    finally:
        if live and shown > start:
            sys.stderr.write("\r\x1b[K")

"""A bar that says how much is left, also where no bar can be shown."""

import math
import time
from typing import Any

from tqdm import tqdm

from unirex.text import QUIET, say


class Bar(tqdm):  # type: ignore[type-arg] # counts, iterates over nothing
    """A bar with the time left. If standard error is not a terminal, `tell` prints a line instead now and then.

    Args:
        total: of what is counted.
        initial: how much of it was done before.
        main: whether this process may write.
        shown: of tqdm.
    """

    def __init__(self, *, total: int, initial: int = 0, main: bool, **shown: Any) -> None:
        self.main = main
        self.whole = total
        self.done: float = initial
        self.first = initial
        self.started = self.spoke = time.monotonic()
        super().__init__(total=total, initial=initial, disable=None if main else True, **shown)

    def update(self, n: float | None = 1) -> bool | None:
        """Counts, which tqdm does not do when it shows nothing."""
        self.done = min(self.done + (n or 0), self.whole)
        return super().update(n)

    @property
    def left(self) -> float:
        """Seconds until the end, as far as what was done in this start tells."""
        done = self.done - self.first
        return (time.monotonic() - self.started) / done * (self.whole - self.done) if done else math.nan

    @property
    def told_left(self) -> str:
        """The time left in words."""
        return "? left" if math.isnan(self.left) else f"{self.format_interval(self.left)} left"

    def tell(self, line: str) -> None:
        """Prints a line where no bar is shown, if there was none for a while."""
        now = time.monotonic()
        if self.main and self.disable and now - self.spoke >= QUIET:
            self.spoke = now
            say(line, error=True)

"""Hints at near names for names that do not exist."""

import difflib
from collections.abc import Iterable


def near(name: str, names: Iterable[str]) -> str:
    """A hint at a near name, or nothing.

    >>> near("convetion", ["convention", "seed"])
    "; did you mean 'convention'?"
    """
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""

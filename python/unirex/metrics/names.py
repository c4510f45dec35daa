"""Hints at near names for names that do not exist."""

import difflib
from collections.abc import Iterable

SHOWN = 80
"""How much of a value a message shows."""


def shown(value: object) -> str:
    """A value as a message shows it: as Python writes it, cut where it is long.

    >>> shown("a" * 1000)[-3:], shown(["a", "b"])
    ('aa…', "['a', 'b']")
    """
    text = repr(value[: SHOWN + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= SHOWN + 2 else f"{text[:SHOWN]}…"


def near(name: str, names: Iterable[str]) -> str:
    """A hint at a near name, or nothing.

    >>> near("convetion", ["convention", "seed"])
    "; did you mean 'convention'?"
    """
    if len(name) > SHOWN:
        return ""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""

"""Types of settings that say which numbers they take, and the one check of them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import inf, isfinite
from numbers import Integral, Real
from typing import Annotated, Any, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class Range:
    """What a number may be, in words for messages and `--help`, and as a test."""

    expected: str
    holds: Callable[[float], bool]

    def __repr__(self) -> str:
        """The words."""
        return self.expected


Count = Annotated[int, Range("at least 1", lambda n: n >= 1)]
Natural = Annotated[int, Range("0 or more", lambda n: n >= 0)]
Finite = Annotated[float, Range("a finite number", isfinite)]
Positive = Annotated[float, Range("a finite number above 0", lambda x: 0 < x < inf)]
NotNegative = Annotated[float, Range("a finite number of at least 0", lambda x: 0 <= x < inf)]
Share = Annotated[float, Range("0 to 1", lambda x: 0 <= x <= 1)]
BelowOne = Annotated[float, Range("0 up to but not 1", lambda x: 0 <= x < 1)]
Fraction = Annotated[float, Range("more than 0 and at most 1", lambda x: 0 < x <= 1)]


def check_ranges(section: str | None, config: object) -> None:
    """Refuses the first field of a dataclass whose value, or an entry of its tuple, is out of the range of its type.

    Args:
        section: what the configuration calls the dataclass, such as `train`; None = the fields stand by themselves.
        config: the dataclass; None is in every range.

    >>> @dataclass
    ... class Pass:
    ...     size: Count | None = None
    ...     dropouts: tuple[BelowOne, ...] = ()
    >>> check_ranges("pass", Pass())
    >>> check_ranges("pass", Pass(dropouts=(0.5, 1.0)))
    Traceback (most recent call last):
    ValueError: pass.dropouts holds 1.0, expected 0 up to but not 1
    >>> check_ranges(None, Pass(size=2.5))
    Traceback (most recent call last):
    ValueError: size is 2.5, expected a whole number, at least 1
    """
    kind: Any = type(config)  # mypy takes the hash of a class for that of its instances
    for name, ranges in _ranges_of_fields(kind).items():
        found = getattr(config, name)
        verb, values = ("holds", found) if isinstance(found, tuple) else ("is", (found,))
        for number, wanted in ranges:
            for value in values:
                if expected := _expected(value, number, wanted):
                    key = name if section is None else f"{section}.{name}"
                    told = value if isinstance(value, Real) else repr(value)
                    raise ValueError(f"{key} {verb} {told}, expected {expected}")


def seconds_of(duration: int | str | None, key: str = "") -> int | None:
    """The seconds of a duration: a number of them, hours:minutes:seconds or minutes:seconds.

    YAML reads the latter two as numbers of seconds too, unless they begin with 0.

    Args:
        duration: as a person wrote it; None stays None.
        key: its name in messages.

    >>> seconds_of("01:30:00"), seconds_of("1:30"), seconds_of(90)
    (5400, 90, 90)
    """
    if duration is None:
        return None
    found = 0
    if re.fullmatch(r"\d{1,7}(:[0-5]?\d){0,2}", str(duration), flags=re.ASCII):
        for part in str(duration).split(":"):
            found = 60 * found + int(part)
    if not found:
        raise ValueError(f"{key} is {duration!r}, expected seconds or hours:minutes:seconds, at least 1 second")
    return found


_NUMBERS: dict[type, tuple[Any, str]] = {int: (Integral, "a whole number"), float: (Real, "a number")}
"""A type of numbers -> what values of it are, NumPy's too, and in words."""


def _expected(value: Any, number: type, wanted: Range) -> str | None:
    """What a value that is of another type or out of the range should be; None = it is neither, or None itself."""
    kinds, called = _NUMBERS[number]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, kinds):
        return wanted.expected if "number" in wanted.expected else f"{called}, {wanted.expected}"
    return None if wanted.holds(value) else wanted.expected


@cache
def _ranges_of_fields(kind: type) -> dict[str, tuple[tuple[type, Range], ...]]:
    """The ranges in the type of each field that has some, each with the type of its numbers."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: found for name, hint in hints.items() if (found := tuple(_ranges(hint)))}


def _ranges(kind: Any) -> Iterator[tuple[type, Range]]:
    """The ranges in a type: of an annotated number, an optional one, or a tuple of them."""
    if get_origin(kind) is Annotated:
        number, *notes = get_args(kind)
        yield from ((number, note) for note in notes if isinstance(note, Range))
    else:
        for part in get_args(kind):
            yield from _ranges(part)

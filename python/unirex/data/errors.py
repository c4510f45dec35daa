"""The one error of the readers: a line that says where, what was found and what was expected."""

from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 60
"""Characters of a found value that a message repeats."""


class DataError(ValueError):
    """Data that cannot be used. The message is one line and names file, line (or row) and field."""


def shown(value: object) -> str:
    """A value as a message shows it: JSON's null for None, and never more than a line.

    >>> shown(None), shown("a b"), len(shown("x" * 1000))
    ('null', "'a b'", 60)
    """
    text = "null" if value is None else repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def wrong(where: str, field: str, found: object, expected: str) -> DataError:
    """The error for a field with an unusable value.

    >>> str(wrong("val.jsonl:3", "classification", None, "text"))
    'val.jsonl:3: classification is null, expected text'
    """
    return DataError(f"{where}: {field} is {shown(found)}, expected {expected}")


@contextmanager
def located(where: str, field: str) -> Iterator[None]:
    """Puts place and field in front of what goes wrong inside.

    >>> with located("val.csv: row 3", "rationale"):
    ...     raise DataError("word number 9, expected 0 to 4")
    Traceback (most recent call last):
    unirex.data.errors.DataError: val.csv: row 3: rationale: word number 9, expected 0 to 4
    """
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}: {field}: {error}") from None

"""The one error of the readers: one line with the place, the value found and the value expected."""

from collections.abc import Iterator
from contextlib import contextmanager

from unirex import text


class DataError(ValueError):
    """Data that cannot be used. The message is one line and names file, line (or row) and field."""


def shown(value: object) -> str:
    """A value as a message shows it: cut where it is long, and `null` (as in JSON) for None."""
    return "null" if value is None else text.shown(value)


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

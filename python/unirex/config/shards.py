"""`--shard I/N`: one of N shares of what there is to do, for processes that know nothing of each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """The share `number`, from 1, of `of`.

    Shares depend on what there is to do and not on what is done, so that processes that start at different times
    neither leave anything out nor do it twice.

    >>> Shard(2, 3).share("abcde")
    'be'
    """

    number: int = 1
    of: int = 1

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Those of the items that are in this share."""
        return items[self.number - 1 :: self.of]


def read_shard(which: str) -> Shard:
    """The share that "I/N" names.

    Raises:
        ValueError: one line: it names none.
    """
    first, _, last = which.partition("/")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise ValueError(f"--shard is {which!r}, expected I/N, such as 1/4 for the first of four shares")
    return Shard(int(first), int(last))

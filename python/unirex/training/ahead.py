"""Batches prepared in a thread while earlier steps compute."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
_DEPTH = 2


class Ahead(Generic[T]):
    """Results of `make(0)`, `make(1)`, ..., each computed before it is needed.

    An error of `make` is raised by `get`.

    >>> with Ahead(lambda i: i * i, count=4) as squares:
    ...     [squares.get(i) for i in (0, 1, 3)]
    [0, 1, 9]
    """

    def __init__(self, make: Callable[[int], T], count: int) -> None:
        self._make = make
        self._count = count
        self._waiting: dict[int, Future[T]] = {}
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="unirex-ahead")

    def get(self, number: int) -> T:
        """The result of `make(number)`; the next ones are begun."""
        wanted = range(number, min(number + _DEPTH + 1, self._count))
        for other in [key for key in self._waiting if key not in wanted]:
            self._waiting.pop(other).cancel()
        for key in wanted:
            if key not in self._waiting:
                self._waiting[key] = self._pool.submit(self._make, key)
        return self._waiting.pop(number).result()

    def forget(self) -> None:
        """Drops the prepared results, so that they are made again."""
        for future in self._waiting.values():
            future.cancel()
        self._waiting.clear()

    def __enter__(self) -> "Ahead[T]":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

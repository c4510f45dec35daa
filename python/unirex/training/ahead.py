"""Batches made ready in a thread while the step before them computes."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Results of `make(0)`, `make(1)`, ..., the next ones computed before they are asked for.

    An error of `make` is raised where its result is asked for.

    >>> with Ahead(lambda i: i * i, count=4) as squares:
    ...     [squares.get(i) for i in (0, 1, 3)]
    [0, 1, 9]
    """

    def __init__(self, make: Callable[[int], T], count: int, depth: int = 2) -> None:
        self._make = make
        self._count = count
        self._depth = depth
        self._waiting: dict[int, Future[T]] = {}
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="unirex-ahead")

    def get(self, number: int) -> T:
        """The result of `make(number)`; those that follow it are begun."""
        wanted = range(number, min(number + self._depth + 1, self._count))
        for other in [key for key in self._waiting if key not in wanted]:
            self._waiting.pop(other).cancel()
        for key in wanted:
            if key not in self._waiting:
                self._waiting[key] = self._pool.submit(self._make, key)
        return self._waiting.pop(number).result()

    def forget(self) -> None:
        """Drops what was made ready, so that it is made again."""
        for future in self._waiting.values():
            future.cancel()
        self._waiting.clear()

    def __enter__(self) -> "Ahead[T]":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

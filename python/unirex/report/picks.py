"""Chooses the rows to show: the worst by several measures and a sample, in one pass with bounded memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Key = tuple[int, int]
"""The 128-bit hash of a row's id."""
LEAST_SHARE = 0.1
"""Share of the rows that is called the least faithful and the least plausible."""


class Lowest:
    """The n rows with the lowest keys of those seen; ties go to the lower hash, whatever the order of the batches.

    >>> lowest = Lowest(2)
    >>> lowest.add(np.array([3.0, 1.0, np.nan, 2.0]), np.array([[0, 7], [0, 8], [0, 9], [1, 0]], dtype=np.uint64))
    >>> lowest.rows()
    [(0, 8), (1, 0)]
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._keys = np.zeros(0)
        self._hashes = np.zeros((0, 2), dtype=np.uint64)

    def add(self, keys: NDArray[np.float64], hashes: NDArray[np.uint64]) -> None:
        """Adds a batch; rows with NaN do not count."""
        known = ~np.isnan(keys)
        keys = np.concatenate([self._keys, keys[known]])
        hashes = np.concatenate([self._hashes, hashes[known]])
        order = np.lexsort((hashes[:, 1], hashes[:, 0], keys))[: self.n]
        self._keys, self._hashes = keys[order], hashes[order]

    def rows(self) -> list[Key]:
        """The hashes, the lowest key first."""
        return [(int(high), int(low)) for high, low in self._hashes]


class Picker:
    """Collects the candidates of one file.

    Args:
        labels: names of the classes.
        most: rows that will be shown at most.
    """

    def __init__(self, labels: Sequence[str], most: int) -> None:
        self.labels = tuple(labels)
        self.most = most
        self.n_rows = 0
        self.n_wrong = 0
        self.n_labeled = 0
        self.wrong = Lowest(most)
        self.unfaithful = Lowest(most)
        self.implausible = Lowest(most)
        # More classes than rows to show need no list each.
        self.by_label = (
            {position: Lowest(most) for position in range(len(labels))} if len(labels) <= min(most, 120) else {}
        )
        self.sample = Lowest(most)

    def add(
        self,
        hashes: NDArray[np.uint64],
        *,
        wrong: NDArray[np.bool_],
        confidence: NDArray[np.float64],
        faithfulness: NDArray[np.float64] | None,
        plausibility: NDArray[np.float64] | None,
        label: NDArray[np.int64] | None,
    ) -> None:
        """Adds a batch: higher faithfulness and plausibility are better; wrong rows count by their confidence."""
        self.n_rows += len(hashes)
        self.n_wrong += int(wrong.sum())
        self.wrong.add(np.where(wrong, -confidence, np.nan), hashes)
        if faithfulness is not None:
            self.unfaithful.add(faithfulness, hashes)
        if plausibility is not None:
            self.implausible.add(plausibility, hashes)
        drawn = _shuffled(hashes)
        self.sample.add(drawn, hashes)
        if label is not None:
            self.n_labeled += int((label >= 0).sum())
            for position, lowest in self.by_label.items():
                lowest.add(np.where(label == position, drawn, np.nan), hashes)

    def least(self) -> int:
        """How many rows are called the least faithful: a tenth, at least one and at most a quarter of those shown."""
        return max(1, min(self.most // 4, round(LEAST_SHARE * self.n_rows)))

    def orders(self) -> list[list[Key]]:
        """Lists to take from in turn, the best candidates first."""
        least = self.least()
        per_label = [lowest.rows() for lowest in self.by_label.values()] or [self.sample.rows()]
        tail = [*round_robin(per_label, self.most), *self.sample.rows()]  # rows without a label are in no list of one
        return [self.wrong.rows(), self.unfaithful.rows()[:least], self.implausible.rows()[:least], tail]


def _shuffled(hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """A number for each row that depends on its id alone and follows no order (the finaliser of MurmurHash3)."""
    mixed = hashes[:, 0] ^ hashes[:, 1]
    for factor in (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)):
        mixed = (mixed ^ (mixed >> np.uint64(33))) * factor
    return (mixed ^ (mixed >> np.uint64(33))).astype(np.float64)


def round_robin(orders: Iterable[Sequence[Key]], most: int) -> list[Key]:
    """At most `most` different rows, taken from the lists in turn.

    >>> round_robin([[(0, 1), (0, 2)], [(0, 1), (0, 3)]], 3)
    [(0, 1), (0, 3), (0, 2)]
    """
    queues = [list(reversed(order)) for order in orders]
    found: dict[Key, None] = {}
    while len(found) < most and any(queues):
        for queue in queues:
            while queue and queue[-1] in found:
                queue.pop()
            if queue and len(found) < most:
                found[queue.pop()] = None
    return list(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The rows to show, and what they are called.

    Attributes:
        rows: in order of choice.
        unfaithful, implausible: those among the least faithful and least plausible of some run, by rank.
    """

    rows: tuple[Key, ...]
    unfaithful: Mapping[Key, int]
    implausible: Mapping[Key, int]


def choose(pickers: Sequence[Picker], most: int, apart: Sequence[Key] = ()) -> Choice:
    """At most `most` rows, taken in turn from all files and from those that are the furthest `apart`."""
    orders = [picker.orders() for picker in pickers]
    rows = round_robin([apart, *(order for group in zip(*orders, strict=True) for order in group)], most)
    unfaithful, implausible = (
        {key: rank for rank, key in enumerate(round_robin([group[at] for group in orders], most * len(orders)))}
        for at in (1, 2)
    )
    return Choice(rows=tuple(rows), unfaithful=unfaithful, implausible=implausible)

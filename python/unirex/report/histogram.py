"""Histograms of streamed numbers."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LARGEST = 1e100
"""What larger numbers count as, so that no sum of their squares is infinite."""


@dataclass(slots=True)
class Spread:
    """Mean, deviation and ends of numbers seen in batches; numbers that are not finite do not count.

    >>> spread = Spread()
    >>> spread.add(np.array([1.0, 3.0])), spread.add(np.array([5.0, np.nan]))
    (None, None)
    >>> spread.n, spread.mean, round(spread.deviation, 4)
    (3, 3.0, 1.633)
    """

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, values: Floats) -> None:
        """Adds a batch (Chan, Golub and LeVeque 1979)."""
        values = np.clip(values[np.isfinite(values)], -LARGEST, LARGEST)
        if not len(values):
            return
        mean, n = float(values.mean()), self.n + len(values)
        shift = mean - self.mean
        self.squares += float(((values - mean) ** 2).sum()) + shift**2 * self.n * len(values) / n
        self.mean += shift * len(values) / n
        self.n = n
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    @property
    def deviation(self) -> float:
        """Standard deviation of all numbers seen, 0.0 if there are none."""
        return float(np.sqrt(self.squares / self.n)) if self.n else 0.0

    def edges(self, bins: int) -> Floats:
        """Edges [bins + 1] around what is within four deviations of the mean; what lies outside counts at the ends."""
        if not self.n:
            return np.linspace(0, 1, bins + 1)
        low = max(self.low, self.mean - 4 * self.deviation)
        high = min(self.high, self.mean + 4 * self.deviation)
        if not high > low:
            room = max(0.5, 1e-9 * abs(low))  # where numbers are so large that 0.5 is less than their last digit
            low, high = low - room, low + room
        return np.linspace(low, high, bins + 1)


@dataclass(slots=True)
class Histogram:
    """Counts between edges; a number outside counts in the first or last bin.

    >>> histogram = Histogram(np.array([0.0, 1.0, 2.0]))
    >>> histogram.add(np.array([-5.0, 0.5, 1.5, np.nan]))
    >>> histogram.counts.tolist(), histogram.shares().round(2).tolist()
    ([2, 1], [0.67, 0.33])
    """

    edges: Floats
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Starts at 0."""
        self.counts = np.zeros(len(self.edges) - 1, dtype=np.int64)

    def add(self, values: Floats) -> None:
        """Adds a batch."""
        values = values[np.isfinite(values)]
        inside = np.clip(values, self.edges[0], self.edges[-1])
        self.counts += np.histogram(inside, self.edges)[0]

    @property
    def n(self) -> int:
        """Numbers counted."""
        return int(self.counts.sum())

    def shares(self) -> Floats:
        """Share of the numbers in each bin, 0 everywhere if there are none."""
        return self.counts / max(1, self.n)

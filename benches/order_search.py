"""The search for the best and the worst order (NAOPC) beside the same beam in numpy: equal ends, processor time.

    python benches/order_search.py --rows 200 --units 16

Values of sets are random and looked up, so that no model is timed. The rival keeps each row's sets as integers, lists
the next ones with one outer operation, and merges and ranks them with `np.unique`, `np.minimum.at` and `np.argsort`.
"""

import argparse
import time

import numpy as np

from unirex import _rust


def by_rust(values: np.ndarray, units: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The ends of rows of one length, [rows] each; `values` [rows, 2^units]."""
    search = _rust.OrderSearch(np.full(len(values), units), width=width, exact=0)
    while True:
        sets, offsets = search.wanted()
        if not len(sets):
            return search.bounds()
        search.tell(values[np.repeat(np.arange(len(values)), np.diff(offsets)), sets])


def by_numpy(values: np.ndarray, units: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The same, a row and an end at a time."""
    ends = [[end(row * sign, units, width) * sign for row in values] for sign in (1.0, -1.0)]
    return np.array(ends[0]), np.array(ends[1])


def end(values: np.ndarray, units: int, width: int) -> float:
    """The lowest mean of an order."""
    bits = 1 << np.arange(units)
    sets, sums = np.zeros(1, dtype=np.int64), np.zeros(1)
    for _ in range(units):
        at, unit = np.nonzero((sets[:, None] & bits) == 0)
        children, place = np.unique(sets[at] | bits[unit], return_inverse=True)
        best = np.full(len(children), np.inf)
        np.minimum.at(best, place, sums[at])
        best += values[children]
        kept = np.argsort(best, kind="stable")[:width]
        sets, sums = children[kept], best[kept]
    return float(sums[0]) / units


def main() -> None:
    """Compares ends, then times in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("--rows", 200), ("--units", 16), ("--width", 5), ("--rounds", 5)):
        parser.add_argument(name, type=int, default=default)
    options = parser.parse_args()
    values = np.random.default_rng(0).random((options.rows, 1 << options.units))
    times: dict[str, list[float]] = {"numpy": [], "rust": []}
    for _ in range(options.rounds):
        found = []
        for name, search in (("numpy", by_numpy), ("rust", by_rust)):
            before = time.process_time()
            found.append(search(values, options.units, options.width))
            times[name].append(time.process_time() - before)
        np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
    numpy, rust = (min(times[name]) / options.rows * 1e3 for name in ("numpy", "rust"))
    print(f"{options.units} units, beam {options.width}: numpy {numpy:.2f} ms a row, ours {rust:.3f}, "
          f"ratio {numpy / rust:.1f}; ends equal")  # fmt: skip


if __name__ == "__main__":
    main()

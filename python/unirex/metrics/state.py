"""A mergeable state: rows go in by batches, in any order and on any machine, and metrics come out."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unirex import _rust
from unirex.disk.untrusted import read_json
from unirex.metrics.batch import Batch, order, repeated
from unirex.metrics.definitions import Definition, Sums
from unirex.metrics.intervals import NONE, Interval, interval, of_rows, of_share
from unirex.metrics.layout import Layout
from unirex.metrics.oddities import NOTES, notes
from unirex.metrics.parser import Parser
from unirex.metrics.report import Metric, Report
from unirex.metrics.rows import row_values
from unirex.text import brief

MAX_REPLICATES = 100_000
_AT_ONCE = 2**18
"""Most rows that are resampled in one call."""
_VERSION = 2
"""Of the bytes of a state."""


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How uncertainty is found.

    Attributes:
        replicates: number of resamples; 0 = none.
        seed: of the draws. A row's draws depend on the seed, its id and the replicate alone.
        confidence: how often an interval shall hold the truth.
        swap: draw swaps between two systems (approximate randomization) instead of bootstrap weights.
    """

    replicates: int = 1000
    seed: int = 0
    confidence: float = 0.95
    swap: bool = False

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if not 0 <= self.replicates <= MAX_REPLICATES or self.replicates == 1:
            raise ValueError(f"replicates is {self.replicates}, expected 0, or 2 to {MAX_REPLICATES}")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed is {self.seed}, expected 0 to 2^64 - 1")
        if not 0 < self.confidence < 1 or (1 + self.confidence) / 2 == 1:  # so near that its quantile is infinite
            raise ValueError(f"confidence is {self.confidence}, expected a number between 0 and 1")


class State:
    """Sums over the rows seen so far.

    All sums are sums of integers (multiples of 2^-64, and of a column's step under resampling), so the result is the
    same to the last bit for any order of rows, batches, shards and merges. Memory does not grow with the number of
    rows but for 16 bytes a row, which find duplicate ids.

    Args:
        layout: what the rows offer and how they are read.
        resampling: how intervals are found.
        parser: reads record batches, for `update`.
    """

    def __init__(self, layout: Layout, resampling: Resampling, parser: Parser | None = None) -> None:
        self.layout = layout
        self.resampling = resampling
        self.parser = parser or Parser(layout)
        self.n_rows = 0
        n = len(layout.columns)
        self._sums = [0] * n
        self._counts = [0] * n
        self._resampled = np.zeros((2, n, resampling.replicates), dtype=np.int64)
        self._hashes: list[NDArray[np.uint64]] = []
        self._place = {column.name: i for i, column in enumerate(layout.columns)}
        # With what is defined and what is above 0, each [columns, N].
        self._groups: list[tuple[NDArray[np.uint64], NDArray[np.bool_], NDArray[np.bool_]]] = []
        self.odd = dict.fromkeys(NOTES, 0)

    def update(self, rows: Batch | pa.RecordBatch, where: str = "table") -> None:
        """Adds rows; `where` names their file in messages."""
        batch = rows if isinstance(rows, Batch) else self.parser.parse(rows, where)
        if len(batch):
            self.take(batch, row_values(batch, self.layout))

    def take(self, batch: Batch, values: NDArray[np.float64], inside: NDArray[np.bool_] | None = None) -> None:
        """Adds a batch, or those `inside` of it, with its values, [columns, N], and counts what looks wrong there."""
        if inside is None:  # nothing of a large table is copied
            self.add(batch.hashes, values)
        else:
            self.add(batch.hashes[inside], values[:, inside])
        self.doubt({kind: int((rows if inside is None else rows & inside).sum()) for kind, rows in batch.odd.items()})

    def doubt(self, odd: Mapping[str, int]) -> None:
        """Adds counts of rows that look wrong, by kind."""
        for kind, count in odd.items():
            self.odd[kind] += count

    def add(
        self, hashes: NDArray[np.uint64], values: NDArray[np.float64], groups: NDArray[np.uint64] | None = None
    ) -> None:
        """Adds row values, [columns, N], of rows with these id hashes, uint64 [N, 2].

        Rows of one group, also uint64 [N, 2], are drawn together: they are not independent of each other.
        """
        values = np.ascontiguousarray(values)
        sums, counts = _rust.column_sums(values.reshape(-1), len(values))
        if self.resampling.replicates:  # before anything is kept: what is refused leaves no trace
            self._resampled += self._resample(hashes if groups is None else groups, values)
        self._sums = [a + b for a, b in zip(self._sums, sums, strict=True)]
        self._counts = [a + b for a, b in zip(self._counts, counts, strict=True)]
        self._hashes.append(hashes)
        if groups is not None:
            self._groups.append((groups, ~np.isnan(values), values > 0))
        self.n_rows += len(hashes)

    def _resample(self, hashes: NDArray[np.uint64], values: NDArray[np.float64]) -> NDArray[np.int64]:
        resampling = self.resampling
        steps = np.array([column.step for column in self.layout.columns])
        total = np.zeros_like(self._resampled)
        for start in range(0, len(hashes), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            found = _rust.weighted_sums(
                np.ascontiguousarray(hashes[rows]).reshape(-1),
                np.ascontiguousarray(values[:, rows]).reshape(-1),
                steps,
                replicates=resampling.replicates,
                seed=resampling.seed,
                swap=resampling.swap,
            )
            total += np.stack(found).reshape(total.shape)
        return total

    def settings(self) -> dict[str, Any]:
        """All that two states must share to be merged, as plain JSON content: how rows are read and resampled."""
        layout, resampling = self.layout, self.resampling
        only = None if layout.only is None else sorted(layout.only)
        return {
            **layout.given(),
            "perturbations": [[name, sorted(kinds)] for name, kinds in layout.perturbations],
            "only": only,
            "scorer": self.parser.scorer,
            "choice": self.parser.choice,
            **{name: getattr(resampling, name) for name in ("replicates", "seed", "confidence", "swap")},
            "columns": [column.name for column in layout.columns],
        }

    def _check(self, theirs: object) -> None:
        """Fails on the first setting in which another state differs."""
        # Through JSON and back: a tuple and a list are the same there.
        ours = json.loads(json.dumps(self.settings()))
        if not isinstance(theirs, dict) or theirs.keys() != ours.keys():
            raise ValueError(f"the state's settings are {str(theirs)[:200]!r}, expected the fields {sorted(ours)}")
        for name, value in ours.items():
            if name == "columns" and isinstance(theirs[name], list) and theirs[name] != value:
                odd = sorted({*map(str, theirs[name])} ^ {*value}) or "another order"
                raise ValueError(f"the state has other columns ({odd}), expected the same metrics to be installed")
            if theirs[name] != value:
                raise ValueError(
                    f"the state has {name} {theirs[name]!r}, expected {value!r} as in the one it goes into"
                )

    def merge(self, other: "State") -> None:
        """Adds what another state has seen; it must have been made with the same layout and resampling."""
        self._check(json.loads(json.dumps(other.settings())))
        self._sums = [a + b for a, b in zip(self._sums, other._sums, strict=True)]
        self._counts = [a + b for a, b in zip(self._counts, other._counts, strict=True)]
        self._resampled += other._resampled
        self._hashes += other._hashes
        self._groups += other._groups
        self.doubt(other.odd)
        self.n_rows += other.n_rows

    def to_bytes(self) -> bytes:
        """What the state has seen, for `merge_bytes` elsewhere: arrays in numpy's format, without pickled objects.

        They hold the settings that it was made with.

        Raises:
            ValueError: rows were added in groups, which the bytes do not hold.
        """
        if self._groups:
            raise ValueError("the state has groups of rows, expected none in one that is written as bytes")
        content = io.BytesIO()
        settings = json.dumps({"version": _VERSION, "settings": self.settings()}).encode()
        np.savez(
            content,
            settings=np.frombuffer(settings, dtype=np.uint8),
            # 2^64 and more: integers of any size as text.
            sums=np.array([str(total) for total in self._sums], dtype=np.str_),
            counts=np.array(self._counts, dtype=np.int64),
            resampled=self._resampled,
            odd=np.array([self.odd[kind] for kind in NOTES], dtype=np.int64),
            hashes=self.hashes(),
        )
        return content.getvalue()

    def merge_bytes(self, content: bytes) -> None:
        """Adds what a state of the same layout and resampling saw, from its `to_bytes`.

        Raises:
            ValueError: other bytes, or a state of another seed, threshold, convention …, with both values.

        >>> from unirex.metrics.layout import Layout
        >>> layout = Layout(has_gold=True, has_scores=True)
        >>> state, whole = (State(layout, Resampling(replicates=0)) for _ in "ab")
        >>> state.add(np.array([[1, 2]], dtype=np.uint64), np.full((len(layout.columns), 1), 0.5))
        >>> whole.merge_bytes(state.to_bytes())
        >>> whole.n_rows, whole.compute() == state.compute()
        (1, True)
        """
        found, sums, about = _arrays(content)
        self._check(about)
        n = len(self.layout.columns)
        kinds = [(name, found[name].dtype.str, found[name].shape) for name in ("counts", "resampled", "odd")]
        shapes = {"counts": (n,), "resampled": self._resampled.shape, "odd": (len(NOTES),)}
        expected = [(name, "<i8", shape) for name, shape in shapes.items()]
        if kinds != expected or len(sums) != n:
            raise ValueError(f"the state holds {kinds} and {len(sums)} sums, expected {expected} and {n}")
        hashes = found["hashes"]
        if hashes.dtype.str != "<u8" or hashes.ndim != 2 or hashes.shape[1] != 2:
            raise ValueError(f"the state holds hashes {hashes.dtype.str} {hashes.shape}, expected <u8 (rows, 2)")
        other = State(self.layout, self.resampling, self.parser)
        other._sums, other._counts = sums, found["counts"].tolist()
        other._resampled, other._hashes, other.n_rows = found["resampled"], [hashes], len(hashes)
        other.doubt(dict(zip(NOTES, found["odd"].tolist(), strict=True)))
        self.merge(other)

    def n_groups(self) -> int | None:
        """How many groups of rows are drawn; None where rows are drawn one by one."""
        return _n_different([groups for groups, _, _ in self._groups]) if self._groups else None

    def n_rows_of(self, definition: Definition) -> int:
        """How many rows count for a metric; of counts of words, no more rows than there are of those."""
        first, *others = (self._place[name] for name in (definition.columns[0].name, *definition.counted))
        if not others:
            return self._counts[first]
        # What is in two of the others is in the first: hits.
        either = sum(self._sums[i] for i in others) - (len(others) - 1) * self._sums[first]
        return min(self._counts[first], max(1, either >> 64) if either > 0 else 0)

    def n_behind(self, definition: Definition) -> int:
        """How many rows count for a metric, or groups with such a row: what is drawn."""
        if not self._groups:
            return self.n_rows_of(definition)
        first, *others = (self._place[name] for name in (definition.columns[0].name, *definition.counted))
        return _n_different(
            [groups[above[others].any(axis=0) if others else defined[first]] for groups, defined, above in self._groups]
        )

    def n_alike(self, definition: Definition, value: float) -> float:
        """Of how many yes-or-no rows a metric's value is taken for where no row says otherwise: at an end of its range.

        F1 is 2 s / (1 + s) of a share s: it falls half as fast as s from 1, and rises twice as fast from 0. In a mean
        over classes each leaves its own share open, and the mean of those is that of the harmonic mean of their rows.
        """
        if definition.members:
            found = [n for one in definition.members if (n := self.n_alike(one, value))]
            return len(found) / sum(1 / n for n in found) if found else 0.0
        n = float(self.n_behind(definition))
        if definition.from_share is float:
            return n
        return 2 * n if value == definition.family.range[1] else n / 2

    def hashes(self) -> NDArray[np.uint64]:
        """The id hashes of all rows, sorted, uint64 [N, 2]."""
        found = np.concatenate([np.zeros((0, 2), dtype=np.uint64), *self._hashes])
        return found[order(found)]

    def duplicate(self) -> NDArray[np.uint64] | None:
        """The hash of an id that occurs twice, or None."""
        return repeated(self.hashes())

    def sums(self) -> Sums:
        """The columns' sums over the data."""
        names = [column.name for column in self.layout.columns]
        # Python divides integers with correct rounding.
        return Sums(
            {name: np.float64(total / 2**64) for name, total in zip(names, self._sums, strict=True)},  # type: ignore[misc]
            {name: np.float64(count) for name, count in zip(names, self._counts, strict=True)},  # type: ignore[misc]
        )

    def resampled(self) -> Sums:
        """The columns' sums under every replicate."""
        sums, counts = {}, {}
        for i, column in enumerate(self.layout.columns):
            sums[column.name] = self._resampled[0, i] * column.step
            counts[column.name] = self._resampled[1, i].astype(np.float64)
        return Sums(sums, counts)

    def compute(self) -> Report:
        """The metrics of all rows seen.

        Raises:
            ValueError: an id occurred twice.
        """
        if self.duplicate() is not None:
            raise ValueError("an id occurs twice, expected unique ids")
        sums = self.sums()
        resampled = self.resampled() if self.resampling.replicates and not self.resampling.swap else None
        metrics = tuple(self._metric(definition, sums, resampled) for definition in self.layout.definitions)
        return Report(
            metrics=metrics,
            n_rows=self.n_rows,
            headline=self.layout.headline,
            convention=self.layout.convention,
            fractions=self.layout.fractions,
            resampling=None if resampled is None else _described(self.resampling),
            odd=notes(self.odd, self.n_rows),
        )

    def interval(self, definition: Definition, sums: Sums, resampled: Sums) -> Interval:
        """The interval of a metric from its sums and those under every replicate."""
        value, confidence = float(definition.value(sums)), self.resampling.confidence
        if np.isnan(value):
            return NONE
        if definition.share is not None and not self._groups:
            return of_share(definition, sums, confidence)
        variance = of_rows(definition.value(resampled), self.n_behind(definition))
        alike = self.n_alike(definition, value)
        return interval(value, variance, n=alike, confidence=confidence, bounds=definition.bounds)

    def _metric(self, definition: Definition, sums: Sums, resampled: Sums | None) -> Metric:
        found = NONE if resampled is None else self.interval(definition, sums, resampled)
        return Metric(
            name=definition.name,
            value=float(definition.value(sums)),
            direction=definition.family.direction,
            range=definition.family.range,
            convention=self.layout.convention,
            n=self.n_rows_of(definition),
            n_undefined=self.n_rows - int(sums.counts[definition.columns[0].name]),
            group=definition.family.group,
            low=found.low,
            high=found.high,
            interval=found.method,
            perturbation=definition.perturbation,
            main=definition.main,
        )


def _n_different(groups: list[NDArray[np.uint64]]) -> int:
    return len(np.unique(np.concatenate(groups), axis=0))


def _arrays(content: bytes) -> tuple[dict[str, NDArray[Any]], list[int], object]:
    """The arrays of a state's bytes, its sums, and its settings."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("sums", "counts", "resampled", "odd", "hashes")}
            sums = [int(text) for text in found["sums"]]
            settings = arrays["settings"].tobytes() if "settings" in arrays else None
    except Exception as error:  # zip, header, compression: each has errors of its own
        raise ValueError(f"not the bytes of a state ({type(error).__name__}: {error})") from None
    if settings is None:
        raise ValueError("the state's bytes hold no settings (an older version wrote them), expected them: score again")
    try:
        about: Any = read_json(settings)
    except ValueError as error:
        raise ValueError(f"not the bytes of a state (settings: {brief(error)})") from None
    version = about.get("version") if isinstance(about, dict) else None
    if version != _VERSION:
        raise ValueError(f"the state's bytes are of version {version!r}, expected {_VERSION}")
    return found, sums, about.get("settings")


def _described(resampling: Resampling) -> dict[str, float]:
    return {name: getattr(resampling, name) for name in ("replicates", "seed", "confidence")}

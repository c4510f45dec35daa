"""Which rows several systems share, whether they agree about them, and where a metric is defined for all.

A first pass over a system keeps some 50 bytes a row: the id's hash, what the file says about the instance itself
(label, gold, number of words) as numbers to compare, and which columns are defined. Systems that say different things
about one instance are not compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unirex import _rust
from unirex.metrics.batch import Batch, as_keys, order, repeated
from unirex.metrics.layout import Layout
from unirex.metrics.scoring import Plan, Progress, name_duplicate
from unirex.text import shown

Hashes = NDArray[np.uint64]
Floats = NDArray[np.float64]
Bits = NDArray[np.uint8]

_SOURCES = {"label": ("label",), "number of words": ("scores", "rationale"), "gold": ("gold",)}
"""What is compared -> the columns that it is read from, the first that is there."""
_UNKNOWN = {"label": np.uint64(2**64 - 1), "number of words": np.uint64(2**64 - 1), "gold": np.uint64(0)}
"""The number that stands for null."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """What a pass over a system saw, in the order of the ids' hashes.

    Attributes:
        hashes: uint64 [N, 2].
        order: int64 [N], the row's position in the files.
        facts: `label`, `gold`, `number of words`, as far as the files hold them -> uint64 [N].
        defined: bits [N, columns / 8], which columns of the layout are defined.
    """

    hashes: Hashes
    order: NDArray[np.int64]
    facts: dict[str, Hashes]
    defined: Bits

    def among(self, keep: NDArray[np.bool_]) -> "Rows":
        """These rows only."""
        facts = {name: values[keep] for name, values in self.facts.items()}
        return Rows(hashes=self.hashes[keep], order=self.order[keep], facts=facts, defined=self.defined[keep])


@dataclass(eq=False)
class Seen:
    """Collects what a pass sees, batch by batch."""

    hashes: list[Hashes] = field(default_factory=list)
    facts: dict[str, list[Hashes]] = field(default_factory=dict)
    defined: list[Bits] = field(default_factory=list)

    def add(self, batch: Batch, values: Floats) -> None:
        """Adds rows and their values, [columns, N]."""
        for name, found in _facts(batch).items():
            self.facts.setdefault(name, []).append(found)
        self.add_values(batch.hashes, values)

    def add_values(self, hashes: Hashes, values: Floats) -> None:
        """Adds rows with nothing but the ids' hashes and the values, [columns, N]."""
        self.hashes.append(hashes)
        self.defined.append(np.packbits(~np.isnan(values), axis=0).T)

    def rows(self) -> Rows:
        """All rows seen, sorted."""
        hashes = np.concatenate([np.zeros((0, 2), np.uint64), *self.hashes])
        by_hash = order(hashes)
        facts = {name: np.concatenate(found)[by_hash] for name, found in self.facts.items()}
        defined = np.concatenate(self.defined)[by_hash] if self.defined else np.zeros((0, 0), np.uint8)
        return Rows(hashes=hashes[by_hash], order=by_hash, facts=facts, defined=defined)


def _facts(batch: Batch) -> dict[str, Hashes]:
    """What the rows say about the instances themselves, one number each."""
    found: dict[str, Hashes] = {}
    if batch.label is not None:
        found["label"] = batch.label.astype(np.uint64)
    if batch.gold is not None:
        rows = batch.gold.rows
        marks = np.ascontiguousarray(rows.values > 0.5).view(np.uint8)
        halves = _rust.hash_ids(marks, rows.offsets).reshape(-1, 2)
        found["gold"] = np.where(batch.gold.known, halves[:, 0] ^ halves[:, 1], _UNKNOWN["gold"])
    words = batch.rationale if batch.scores is None else batch.scores
    if words is not None:
        found["number of words"] = words.lengths.astype(np.uint64)
    return found


def survey(made: Plan, progress: Progress | None = None) -> Rows:
    """What a pass over a plan's source sees."""
    seen, done = Seen(), 0
    for batch, values in made.rows():
        seen.add(batch, values)
        done += len(batch)
        if progress is not None:
            progress(done, 0)
    rows = seen.rows()
    duplicate = repeated(rows.hashes)
    if duplicate is not None:
        raise ValueError(f"{made.source.name}: {name_duplicate(made.source, duplicate)}")
    return rows


def check_same_instances(plans: Sequence[Plan], rows: Sequence[Rows]) -> None:
    """Fails where a system says something else about an instance than the first one does.

    Args:
        plans: of the systems.
        rows: theirs, of the same ids.
    """
    for made, other in zip(plans[1:], rows[1:], strict=True):
        for name in (name for name in _SOURCES if name in rows[0].facts and name in other.facts):
            differs = rows[0].facts[name] != other.facts[name]
            if differs.any():
                at = int(np.argmax(differs))
                theirs = _row(made, int(other.order[at]), name)
                ours = _row(plans[0], int(rows[0].order[at]), name)
                more = f" ({int(differs.sum())} rows differ)" if differs.sum() > 1 else ""
                raise ValueError(
                    f"{made.source.name}: row id {shown(theirs['id'])}: {_told(name, ours, theirs)} "
                    f"as in {plans[0].source.name}{more}"
                )


def contradicted(first: Rows, other: Rows) -> list[str]:
    """The facts that two systems tell differently of a row that both have; null contradicts nothing."""
    one, two = shared([first, other])
    found = []
    for name in (name for name in _SOURCES if name in one.facts and name in two.facts):
        ours, theirs = one.facts[name], two.facts[name]
        known = (ours != _UNKNOWN[name]) & (theirs != _UNKNOWN[name])
        if (known & (ours != theirs)).any():
            found.append(name)
    return found


def _row(made: Plan, position: int, name: str) -> dict[str, Any]:
    """The id of a row, and the value of what is compared, under its name."""
    source = next(column for column in _SOURCES[name] if made.source.has(column))
    start = 0
    for _, batch in made.source.batches(["id", source]):
        if position < start + batch.num_rows:
            found = batch.slice(position - start, 1).to_pylist()[0]
            return {"id": found["id"], name: found[source]}
        start += batch.num_rows
    raise ValueError(f"{made.source.name}: changed while it was read")


def _told(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """`label is 'a', expected 'b'`, long values shortened to where they differ."""
    mine, other = ours[name], theirs[name]
    if name == "number of words":
        return f"{name} is {len(other)}, expected {len(mine)}"
    if name == "label" or mine is None or other is None or len(mine) != len(other):
        return f"{name} is {_short(other)}, expected {_short(mine)}"
    at = next(i for i, (a, b) in enumerate(zip(mine, other, strict=True)) if (a > 0.5) != (b > 0.5))
    return f"{name}[{at}] is {other[at]!r}, expected {mine[at]!r}"


def _short(value: object) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "null" if value is None else shown(value)


def shared(rows: Sequence[Rows]) -> list[Rows]:
    """The rows of each system whose ids all of them have."""
    first = rows[0].hashes
    if all(len(one.hashes) == len(first) and (one.hashes == first).all() for one in rows[1:]):
        return list(rows)
    everywhere = as_keys(first)
    for one in rows[1:]:
        everywhere = np.intersect1d(everywhere, as_keys(one.hashes), assume_unique=True)
    return [one.among(np.isin(as_keys(one.hashes), everywhere, assume_unique=True)) for one in rows]


@dataclass(frozen=True, kw_only=True, eq=False)
class Allowed:
    """For each row of a system in the order of its files: whether it takes part, and which columns all define."""

    inside: NDArray[np.bool_]
    defined: Bits

    def narrowed(self, start: int, values: Floats) -> tuple[NDArray[np.bool_], Floats]:
        """Which rows from `start` on take part, and their values, [columns, N], NaN where a system has none."""
        rows = slice(start, start + values.shape[1])
        defined = np.unpackbits(self.defined[rows].T, axis=0, count=len(values)).astype(bool)
        return self.inside[rows], np.where(defined, values, np.nan)


def allowed(rows: Sequence[Rows], joint: Bits, totals: Sequence[int]) -> Iterator[Allowed]:
    """What takes part in a comparison.

    Args:
        rows: of each system, those that all have.
        joint: bits of the columns that all define, for these rows.
        totals: how many rows the files of each system hold.
    """
    for one, total in zip(rows, totals, strict=True):
        inside = np.zeros(total, dtype=bool)
        inside[one.order] = True
        defined = np.zeros((total, joint.shape[1]), np.uint8)
        defined[one.order] = joint
        yield Allowed(inside=inside, defined=defined)


def joint_bits(rows: Sequence[Rows]) -> Bits:
    """The columns that all systems define in each of the rows they share."""
    joint: Bits = np.bitwise_and.reduce([one.defined for one in rows])
    return joint


def partly_defined(layout: Layout, rows: Sequence[Rows], joint: Bits) -> dict[str, int]:
    """For each metric how many of the shared rows some systems define it in, but not all."""
    names = [column.name for column in layout.columns]
    some = np.bitwise_or.reduce([one.defined for one in rows]) & ~joint
    counts = np.unpackbits(some, axis=1, count=len(names)).sum(axis=0, dtype=np.int64)
    by_name = dict(zip(names, counts.tolist(), strict=True))
    return {definition.name: by_name[definition.columns[0].name] for definition in layout.definitions}

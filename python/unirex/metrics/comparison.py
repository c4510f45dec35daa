"""Whether two systems differ by more than chance, on the same instances.

Approximate randomization (Noreen 1989): if two systems were equal, swapping their results on an instance would change
nothing. The p-value is the share of random swaps, each instance with probability 1/2, that put the systems at least as
far apart as they are. It needs no join of the two files: the swaps follow from the ids, so what each system's sums
lose and win under a replicate is found from its own rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unirex.metrics.batch import as_keys, hash_ids
from unirex.metrics.definitions import Definition, Direction, Sums
from unirex.metrics.eraser import Engine
from unirex.metrics.names import near
from unirex.metrics.report import Report, heads
from unirex.metrics.rows import row_values
from unirex.metrics.scoring import Plan, Progress, finish, plan
from unirex.metrics.shown import Shown
from unirex.metrics.source import Source, System
from unirex.metrics.state import Resampling, State, interval

FAMILY = (
    "comprehensiveness",
    "sufficiency",
    "normalised_comprehensiveness",
    "normalised_sufficiency",
    "auprc",
    "token_f1",
    "iou_f1@0.5",
)
"""Compared by default, beside the headline metric: few, since every further test costs power."""

Hashes = NDArray[np.uint64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One metric of two systems.

    Attributes:
        metric: its name.
        direction: which way is better.
        first, other: the systems' values.
        difference: first minus other.
        low, high: its paired bootstrap interval.
        p: two-sided p-value of approximate randomization, NaN if the metric is undefined for one of them.
        p_holm: the same after Holm's correction over all tests of the comparison.
    """

    metric: str
    direction: Direction
    first: float
    other: float
    difference: float
    low: float | None
    high: float | None
    p: float
    p_holm: float


@dataclass(frozen=True, kw_only=True)
class Comparison(Shown):
    """The first system against each of the others.

    Attributes:
        reports: of all systems, the first one first, on the instances that were compared.
        differences: for each other system, one entry per metric.
        n_rows: instances compared.
        left_out: for each system, how many of its instances the others lack (only with `intersect`).
    """

    reports: tuple[Report, ...]
    differences: tuple[tuple[Difference, ...], ...]
    n_rows: int
    left_out: tuple[int, ...]

    def records(self) -> list[dict[str, Any]]:
        """One dictionary for each other system and metric."""
        names = heads(self.reports)[1:]
        return [
            {"system": name, **asdict(row)} for name, rows in zip(names, self.differences, strict=True) for row in rows
        ]

    def to_text(self) -> str:
        """The comparison as a table for each other system."""
        from unirex.metrics.compare_command import to_text

        return to_text(self)


def compare(
    systems: Sequence[System],
    *,
    metrics: Sequence[str] | None = None,
    intersect: bool = False,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
    engine: Engine = "local",
    **reading: Any,
) -> Comparison:
    """The first system against each of the others, on the same ids: differences with intervals and p-values.

    Args:
        systems: two or more, each as for `score`.
        metrics: which to test; None = the headline metric and those of `FAMILY` that all systems have.
        intersect: compare the ids that all have; otherwise different ids are an error.
        resampling: replicates (also the number of random swaps; 10000 by default), seed, confidence.
        progress: called with the rows done and the rows in all, over all systems.
        engine: `local`, or `ray` to read each system on a processor of a Ray cluster; the result is the same.
        reading: `convention`, `perturbation`, `scorer`, `iou_thresholds`, `columns`, `labels` as for `score`.

    Raises:
        ValueError: fewer than two systems, different ids, classes or fractions, an unknown metric.

    >>> import pyarrow as pa
    >>> gold = [[1, 0, 0]] * 8
    >>> right = pa.table({"id": list("abcdefgh"), "scores": [[0.9, 0.1, 0.2]] * 8, "gold": gold})
    >>> wrong = right.set_column(1, "scores", [[[0.1, 0.9, 0.2]] * 8])
    >>> [row] = compare([right, wrong], metrics=["auprc"]).differences[0]
    >>> round(row.difference, 3), round(row.p, 2)
    (0.833, 0.01)
    """
    if len(systems) < 2:
        raise ValueError(f"systems has {len(systems)} entries, expected at least 2")
    resampling = resampling or Resampling(replicates=10_000)
    if not resampling.replicates:
        raise ValueError("replicates is 0, expected at least 1")
    plans = [plan(system, resampling=resampling, **reading) for system in systems]
    _same_setting(plans)
    plans = _narrowed(plans, metrics)
    masks, left_out = _common([p.source for p in plans], intersect=intersect)
    runs = _on_ray(plans, masks) if engine == "ray" else _here(plans, masks, progress)
    reports = tuple(finish(made, state) for made, (state, _) in zip(plans, runs, strict=True))
    tests = [[_test(d, runs[0], run) for d in plans[0].layout.definitions] for run in runs[1:]]
    return Comparison(reports=reports, differences=_corrected(tests), n_rows=reports[0].n_rows, left_out=left_out)


def _here(
    plans: Sequence[Plan], masks: Sequence[NDArray[np.bool_] | None], progress: Progress | None
) -> list[tuple[State, State]]:
    """The states of each system, one system after the other."""
    total = sum(p.source.n_rows() for p in plans)
    done = 0
    runs = []
    for made, mask in zip(plans, masks, strict=True):
        runs.append(_run(made, mask, None if progress is None else lambda n, _, d=done: progress(d + n, total)))  # type: ignore[misc]
        done += made.source.n_rows()
    return runs


def _on_ray(plans: Sequence[Plan], masks: Sequence[NDArray[np.bool_] | None]) -> list[tuple[State, State]]:
    """The states of each system, each by a task of the cluster."""
    from unirex.metrics.ray_engine import map_on_ray

    return list(map_on_ray(_task, list(zip(plans, masks, strict=True))))


def _task(work: tuple[Plan, NDArray[np.bool_] | None]) -> tuple[State, State]:
    return _run(*work, None)


def _same_setting(plans: Sequence[Plan]) -> None:
    first = plans[0]
    for other in plans[1:]:
        for what in ("labels", "fractions", "headline"):
            ours, theirs = getattr(first.layout, what), getattr(other.layout, what)
            if ours and theirs and ours != theirs:
                raise ValueError(
                    f"{other.source.name}: {what} {theirs} differ from those of {first.source.name}: {ours}"
                )


def _narrowed(plans: Sequence[Plan], metrics: Sequence[str] | None) -> list[Plan]:
    """The plans with only the metrics that are tested."""
    shared = [d.name for d in plans[0].layout.definitions]
    shared = [n for n in shared if all(any(d.name == n for d in p.layout.definitions) for p in plans[1:])]
    if metrics is None:
        wanted = {str(plans[0].layout.headline), *FAMILY} & set(shared)
    else:
        wanted = {str(plans[0].layout.headline) if name == "headline" else name for name in metrics}
        for name in sorted(wanted - set(shared)):
            raise ValueError(f"metrics has {name!r}, expected metrics that all systems have{near(name, shared)}")
    if not wanted:
        raise ValueError(f"{plans[1].source.name}: no metric in common with {plans[0].source.name}")
    only = frozenset(wanted)
    return [replace(p, layout=replace(p.layout, only=only)) for p in plans]


def _common(sources: Sequence[Source], *, intersect: bool) -> tuple[list[NDArray[np.bool_] | None], tuple[int, ...]]:
    """For each system which of its rows all systems have (None = all rows)."""
    ids = [_ids(source) for source in sources]
    keys = [as_keys(i) for i in ids]
    everywhere = keys[0]
    for other in keys[1:]:
        if len(other) != len(everywhere) or not (np.sort(other) == np.sort(everywhere)).all():
            everywhere = np.intersect1d(everywhere, other)
    masks = [None if len(everywhere) == len(k) else np.isin(k, everywhere) for k in keys]
    left_out = tuple(0 if mask is None else int((~mask).sum()) for mask in masks)
    if any(left_out) and not intersect:
        places = []
        for source, mask, n in zip(sources, masks, left_out, strict=True):
            if mask is not None and n:
                places.append(f"{n} ids only in {source.name}: {_named(source, ~mask)}")
        raise ValueError(f"the systems have different ids ({'; '.join(places)}), expected the same or --intersect")
    if not len(everywhere):
        raise ValueError(f"{sources[1].name}: no id in common with {sources[0].name}")
    return masks, left_out


def _ids(source: Source) -> Hashes:
    found = [hash_ids(batch.column("id").cast("string")) for _, batch in source.batches(["id"], rows=65_536)]
    return np.concatenate([np.zeros((0, 2), np.uint64), *found])


def _named(source: Source, mask: NDArray[np.bool_], limit: int = 5) -> str:
    names: list[str] = []
    start = 0
    for _, batch in source.batches(["id"], rows=65_536):
        part = np.flatnonzero(mask[start : start + batch.num_rows])[: limit - len(names)]
        names += [repr(batch.column("id")[int(i)].as_py()) for i in part]
        start += batch.num_rows
    return ", ".join(names) + (", …" if mask.sum() > limit else "")


def _run(made: Plan, mask: NDArray[np.bool_] | None, progress: Progress | None) -> tuple[State, State]:
    """Two states after the rows in `mask`: under bootstrap weights and under random swaps."""
    weighted = made.state()
    swapped = State(made.layout, replace(made.resampling, swap=True), weighted.parser)
    start = 0
    for where, rows in made.source.batches(weighted.parser.columns()):
        batch = weighted.parser.parse(rows, where)
        values, hashes = row_values(batch, made.layout), batch.hashes
        if mask is not None:
            inside = mask[start : start + len(batch)]
            values, hashes = values[:, inside], hashes[inside]
        start += len(batch)
        weighted.add(hashes, values)
        swapped.add(hashes, values)
        if progress is not None:
            progress(start, 0)
    return weighted, swapped


def _test(definition: Definition, first: tuple[State, State], other: tuple[State, State]) -> Difference:
    a, b = (float(definition.value(state.sums())) for state, _ in (first, other))
    drawn = definition.value(first[0].resampled()) - definition.value(other[0].resampled())
    low, high = interval(drawn, first[0].resampling.confidence)
    return Difference(
        metric=definition.name,
        direction=definition.direction,
        first=a,
        other=b,
        difference=a - b,
        low=low,
        high=high,
        p=_p_value(definition, first, other, a - b),
        p_holm=float("nan"),
    )


def _p_value(
    definition: Definition, first: tuple[State, State], other: tuple[State, State], difference: float
) -> float:
    if np.isnan(difference):
        return float("nan")
    swaps = first[1].resampled(), other[1].resampled()
    one = definition.value(_exchanged(first[0].sums(), swaps[0], swaps[1]))
    two = definition.value(_exchanged(other[0].sums(), swaps[1], swaps[0]))
    # Resampling rounds row values to a step; a replicate that is as far apart must not miss by that rounding.
    rounding = max((c.step for c in definition.columns if c.step < 1), default=0.0)
    near_enough = ~(np.abs(one - two) < abs(difference) - rounding)
    return float((1 + near_enough.sum()) / (1 + len(near_enough)))


def _exchanged(whole: Sums, lost: Sums, won: Sums) -> Sums:
    """Sums after giving the swapped rows away and receiving the other system's."""

    def exchange(w: Mapping[str, Floats], a: Mapping[str, Floats], b: Mapping[str, Floats]) -> dict[str, Floats]:
        return {name: w[name] - a[name] + b[name] for name in w}

    return Sums(exchange(whole.sums, lost.sums, won.sums), exchange(whole.counts, lost.counts, won.counts))


def _corrected(tests: list[list[Difference]]) -> tuple[tuple[Difference, ...], ...]:
    adjusted = iter(holm([test.p for row in tests for test in row]))
    return tuple(tuple(replace(test, p_holm=next(adjusted)) for test in row) for row in tests)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values after Holm's step-down correction, in the same order; NaN is no test and stays.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = [i for i in np.argsort(p_values, kind="stable") if not np.isnan(p_values[i])]
    adjusted = [float("nan")] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted

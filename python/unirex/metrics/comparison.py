"""Whether two systems differ by more than chance, on the same instances.

Approximate randomization (Noreen 1989): if two systems were equal, swapping their results on an instance would change
nothing. The p-value is the share of random swaps, each instance with probability 1/2, that put the systems at least as
far apart as they are. It needs no join of the two files: the swaps follow from the ids, so what each system's sums
lose and win under a replicate is found from its own rows.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from unirex.metrics.cluster import Engine, each, on_ray
from unirex.metrics.columns import is_known
from unirex.metrics.definitions import Definition, Sums
from unirex.metrics.differences import Comparison, Difference
from unirex.metrics.intervals import is_rounding, t_tail
from unirex.metrics.pairing import (
    Allowed,
    Rows,
    allowed,
    check_same_instances,
    joint_bits,
    partly_defined,
    shared,
    survey,
)
from unirex.metrics.report import Report, model_of
from unirex.metrics.runs import read_seeds
from unirex.metrics.scoring import Plan, Progress, finish, plan
from unirex.metrics.seeds import Draws, draws_of, gap_of, matched, over_seeds
from unirex.metrics.source import Source, System
from unirex.metrics.state import MAX_REPLICATES, Resampling, State
from unirex.text import shown, suggest

FAMILY = (
    "comprehensiveness",
    "sufficiency",
    "normalised_comprehensiveness",
    "normalised_sufficiency",
    "auprc",
    "token_f1",
)
"""Compared by default, with the headline metric and `iou_f1` at each threshold: few, since every test costs power."""

Floats = NDArray[np.float64]
Seeds = Mapping[str, System]
"""One system that was trained with several seeds: seed -> its predictions."""


def compare(
    systems: Sequence[System | Seeds],
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
        systems: two or more, each as for `score`; of several seeds, seed -> system or a pattern with `{seed}` in it.
        metrics: which to test; None = the headline metric, `iou_f1` and those of `FAMILY` that all systems have.
        intersect: compare the ids that all have; otherwise different ids are an error.
        resampling: replicates (also the number of random swaps; 10000 by default), seed, confidence.
        progress: called with the rows done and the rows in all, over all systems and both passes; not by `ray`.
        engine: `local`, or `ray` to read each system on a processor of a Ray cluster; the result is the same.
        reading: `convention`, `perturbation`, `scorer`, `iou_thresholds`, `columns`, `labels` as for `score`.

    Raises:
        ValueError: fewer than two systems, different ids, classes or fractions, an unknown metric, or an instance
            whose label, gold or number of words differs.

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
        raise ValueError(f"replicates is 0, expected 2 to {MAX_REPLICATES}")
    groups = [_Group.of(system, resampling, reading) for system in systems]
    _same_setting([made for group in groups for made in group.plans])
    _narrow(groups, metrics)
    _same_hiding([made for group in groups for made in group.plans])
    n_partly, left_out = _run(groups, intersect=intersect, progress=progress, engine=engine)
    first, others = groups[0], groups[1:]
    tests = [[_test(d, first, other, n_partly) for d in first.plans[0].layout.definitions] for other in others]
    reports = tuple(group.report() for group in groups)
    return Comparison(
        reports=reports,
        differences=_corrected(tests),
        n_rows=reports[0].n_rows,
        left_out=left_out,
        seeds=tuple(len(group.plans) for group in groups),
    )


@dataclass(kw_only=True, eq=False)
class _Group:
    """A system: a plan for each seed, and its states under bootstrap weights and under random swaps."""

    name: str | None
    plans: list[Plan]
    states: list[State] = field(default_factory=list)
    swapped: list[State] = field(default_factory=list)

    @classmethod
    def of(cls, system: System | Seeds, resampling: Resampling, reading: Mapping[str, Any]) -> "_Group":
        pattern = str(system) if isinstance(system, str | os.PathLike) and "{seed}" in str(system) else None
        found = read_seeds(pattern) if pattern else system if _is_seeds(system, reading) else {"": system}
        if not found:
            raise ValueError("a system has no seeds, expected one or more")
        return cls(name=pattern, plans=[plan(one, resampling=resampling, **reading) for one in found.values()])

    @cached_property
    def reports(self) -> list[Report]:
        """Of each seed, once all states are there."""
        return [finish(made, state) for made, state in zip(self.plans, self.states, strict=True)]

    def report(self) -> Report:
        """Its metrics, of several seeds their means."""
        return over_seeds(self.reports, self.states, self.name or str(self.reports[0].about["source"]))

    def matched(self, other: "_Group") -> list[int] | None:
        """Where the other has the model of each of these seeds, as the files say: such seeds are paired."""
        return matched(*([model_of(report) for report in group.reports] for group in (self, other)))


def _is_seeds(system: System | Seeds, reading: Mapping[str, Any]) -> TypeGuard[Seeds]:
    """Whether a dictionary holds a system for each seed, and not the columns of one."""
    named = (reading.get("columns") or {}).values()
    return isinstance(system, Mapping) and not any(is_known(str(key)) or key in named for key in system)


def _same_setting(plans: Sequence[Plan]) -> None:
    first = plans[0]
    for other in plans[1:]:
        for what in ("labels", "fractions"):
            ours, theirs = getattr(first.layout, what), getattr(other.layout, what)
            if ours and theirs and ours != theirs:
                raise ValueError(
                    f"{other.source.name}: {what} {theirs} differ from those of {first.source.name}: {ours}"
                )


def _same_hiding(plans: Sequence[Plan]) -> None:
    """Faithfulness of one way to hide words is not compared with that of another."""
    hiding = [(p.source.name, p.layout.perturbations[0][0]) for p in plans if p.layout.perturbations]
    tested = any(definition.perturbation is not None for plan in plans for definition in plan.layout.definitions)
    for name, way in hiding[1:] if tested else ():
        if way != hiding[0][1]:
            raise ValueError(
                f"{name}: perturbation {way!r} differs from that of {hiding[0][0]}: {hiding[0][1]!r} "
                "(--perturbation names one that both have)"
            )


def _same_headline(plans: Sequence[Plan]) -> None:
    """One task score for all; a file without a header is judged by its accuracy unless metrics are named."""
    known = [(made.source.name, made.layout.headline) for made in plans if made.layout.headline is not None]
    for name, headline in known[1:]:
        if headline != known[0][1]:
            raise ValueError(
                f"{name}: the task score is {headline}, that of {known[0][0]} {known[0][1]}, expected the same, or "
                "metrics by their names (--metrics)"
            )


def _narrow(groups: Sequence[_Group], metrics: Sequence[str] | None) -> None:
    """Takes from the plans all metrics but those that are tested."""
    plans = [made for group in groups for made in group.plans]
    shared_names = [d.name for d in plans[0].layout.definitions]
    shared_names = [n for n in shared_names if all(any(d.name == n for d in p.layout.definitions) for p in plans[1:])]
    headline = str(plans[0].layout.headline)
    if metrics is None or "headline" in metrics:
        _same_headline(plans)
    if metrics is None:
        wanted = {n for n in shared_names if n in (headline, *FAMILY) or n.startswith("iou_f1@")}
    else:
        if "headline" in metrics and plans[0].layout.headline is None:
            raise ValueError("metrics has 'headline', expected others: these files have no task score")
        wanted = {headline if name == "headline" else name for name in metrics}
        for name in sorted(wanted - set(shared_names)):
            raise ValueError(
                f"metrics has {name!r}, expected metrics that all systems have{suggest(name, shared_names)}"
            )
    if not wanted:
        raise ValueError(f"{plans[1].source.name}: no metric in common with {plans[0].source.name}")
    for group in groups:
        group.plans = [replace(p, layout=replace(p.layout, only=frozenset(wanted))) for p in group.plans]


def _run(
    groups: Sequence[_Group], *, intersect: bool, progress: Progress | None, engine: Engine
) -> tuple[Mapping[str, int], tuple[int, ...]]:
    """Fills the groups' states; rows that not all systems define by metric, and how many rows each group lost."""
    plans = [made for group in groups for made in group.plans]
    distributed = on_ray(engine)
    for made in plans if distributed else ():
        made.source.refuse_streams()
    steps = iter(_steps(2 * [made.source.n_rows() for made in plans], None if distributed else progress))
    surveyed = list(each(engine, _survey, zip(plans, steps, strict=False)))
    rows = _common(plans, surveyed, intersect=intersect)
    check_same_instances(plans, rows)
    joint = joint_bits(rows)
    masks = allowed(rows, joint, [len(one.hashes) for one in surveyed])
    states = each(engine, partial(_add, swaps=len(plans) == len(groups)), zip(plans, masks, steps, strict=False))
    for group in groups:
        for _ in group.plans:
            weighted, swapped = next(states)
            group.states.append(weighted)
            group.swapped.append(swapped)
    lost = iter([len(one.hashes) - len(here.hashes) for one, here in zip(surveyed, rows, strict=True)])
    left_out = tuple(max(next(lost) for _ in group.plans) for group in groups)
    return partly_defined(plans[0].layout, rows, joint), left_out


def _survey(work: tuple[Plan, Progress | None]) -> Rows:
    return survey(*work)


def _steps(sizes: Sequence[int], progress: Progress | None) -> Iterator[Progress | None]:
    """For each pass, a function that adds its rows to those of the passes before."""
    for number in range(len(sizes)):
        before = sum(sizes[:number])
        yield None if progress is None else lambda n, _, b=before: progress(b + n, sum(sizes))  # type: ignore[misc]


def _common(plans: Sequence[Plan], rows: Sequence[Rows], *, intersect: bool) -> list[Rows]:
    """The rows with ids that all systems have."""
    found = shared(rows)
    left_out = [len(one.hashes) - len(here.hashes) for one, here in zip(rows, found, strict=True)]
    if any(left_out) and not intersect:
        places = []
        for made, one, here, n in zip(plans, rows, found, left_out, strict=True):
            if n:
                only = np.setdiff1d(one.order, here.order)
                places.append(f"{n} ids only in {made.source.name}: {_named(made.source, only)}")
        raise ValueError(f"the systems have different ids ({'; '.join(places)}), expected the same or --intersect")
    if not len(found[0].hashes):
        raise ValueError(f"{plans[1].source.name}: no id in common with {plans[0].source.name}")
    return found


def _named(source: Source, positions: NDArray[np.int64], limit: int = 5) -> str:
    """The ids at the first of some positions."""
    names: list[str] = []
    start = 0
    for _, batch in source.batches(["id"], rows=65_536):
        part = positions[(positions >= start) & (positions < start + batch.num_rows)][: limit - len(names)]
        names += [shown(batch.column("id")[int(i) - start].as_py()) for i in part]
        start += batch.num_rows
    return ", ".join(names) + (", …" if len(positions) > limit else "")


def _add(work: tuple[Plan, Allowed, Progress | None], *, swaps: bool) -> tuple[State, State]:
    """Two states after the rows that take part: under bootstrap weights, and under random swaps where asked for."""
    made, mask, progress = work
    weighted = made.state()
    swapped = State(made.layout, replace(made.resampling, swap=True), weighted.parser)
    start = 0
    for batch, every in made.rows():
        inside, values = mask.narrowed(start, every)
        start += len(batch)
        weighted.take(batch, values, inside)
        if swaps:
            swapped.take(batch, values, inside)
        if progress is not None:
            progress(start, 0)
    return weighted, swapped


def _test(definition: Definition, first: _Group, other: _Group, n_partly: Mapping[str, int]) -> Difference:
    a, b = draws_of(definition, first.states), draws_of(definition, other.states)
    order = first.matched(other)
    if pairs := order is not None:
        b = b.in_order(order)
    found = gap_of(definition, a, b, first.states[0].resampling.confidence, shared=pairs)
    swaps = first.swapped[0].n_rows > 0
    p = _p_value(definition, first, other, a.mean - b.mean) if swaps else _t_test(a, b, pairs)
    return Difference(
        metric=definition.name,
        direction=definition.family.direction,
        first=a.mean,
        other=b.mean,
        difference=a.mean - b.mean,
        low=found.low,
        high=found.high,
        p=p,
        p_holm=float("nan"),
        n=min(a.n, b.n),
        n_partly=n_partly[definition.name],
        interval=found.method,
        test="randomization" if swaps else "paired t" if pairs else "t",
    )


def _t_test(first: Draws, other: Draws, pairs: bool) -> float:
    """The p-value of the difference over its standard error, from rows and seeds, paired or not."""
    difference, variance = first.minus(other, shared=pairs)
    if is_rounding(difference, max(abs(first.mean), abs(other.mean))):
        return 1.0
    if math.isnan(difference) or variance.total == 0:
        return float("nan")
    return t_tail(difference / math.sqrt(variance.total), variance.freedom)


def _p_value(definition: Definition, first: _Group, other: _Group, difference: float) -> float:
    if np.isnan(difference):
        return float("nan")
    swaps = first.swapped[0].resampled(), other.swapped[0].resampled()
    one = definition.value(_exchanged(first.states[0].sums(), swaps[0], swaps[1]))
    two = definition.value(_exchanged(other.states[0].sums(), swaps[1], swaps[0]))
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

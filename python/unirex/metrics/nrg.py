"""Normalized relative gain: many methods on many data sets in one number each (Chan et al. 2022).

On one data set every metric is scaled from the worst (0) to the best (1) of the methods compared. FNRG is the
mean over faithfulness, PNRG over plausibility, TNRG is that of the task metric, CNRG their mean. All of it is relative
to the set of methods, so a table names its set, and its ends can be frozen to compare later methods with the same set.

Intervals take the ends as fixed. If every replicate found its own, the lowest and highest of noisy values would drift
apart, and the best method's interval would hold its gain in 57 of 100 cases.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unirex import _rust
from unirex.metrics.cluster import Engine, each
from unirex.metrics.intervals import NONE, Bounds, Interval, Variance, few_rows, few_seeds, interval
from unirex.metrics.nrg_runs import Scored, check_same, on_joint_rows, score_run
from unirex.metrics.nrg_table import (
    COMPOSITES,
    FAITHFULNESS,
    METRICS,
    PLAUSIBILITY,
    TASK,
    Cell,
    Ends,
    Gain,
    GainTable,
    Mean,
)
from unirex.metrics.report import model_of
from unirex.metrics.runs import Run, read_runs
from unirex.metrics.scoring import Progress
from unirex.metrics.seeds import Draws, draws_of, matched, metric_interval
from unirex.metrics.state import Resampling
from unirex.text import suggest

Floats = NDArray[np.float64]


def gain_table(  # noqa: PLR0913 (what a table is made of, and how)
    runs: Sequence[Run] | str,
    *,
    controls: Sequence[str] = (),
    frozen: Ends | None = None,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
    engine: Engine = "local",
    averaged: Collection[str] | None = None,
    **reading: Any,
) -> GainTable:
    """Raw metrics and relative gains of many runs.

    Args:
        runs: prediction files by method, data set and seed, or the pattern or listing that `read_runs` finds them by.
        controls: methods (random, gold, inverse) that are shown but never enter minimum or maximum.
        frozen: the ends of an earlier table, used instead of those of these runs.
        resampling: of the intervals; a replicate draws the same instances for every method and seed of a data set.
        progress: called with the runs done and the runs in all.
        averaged: the data sets that the means are over; None = all.
        engine: `local`, or `ray` to score each run on a Ray cluster (extra `ray`); the result is the same.
        reading: `convention`, `perturbation`, `scorer`, `columns`, `labels` as for `score`.

    Raises:
        ValueError: an unknown control, runs of a data set that differ in ids, task metric, fractions or columns, an
            instance whose label, gold or number of words differs, or a data set that the frozen ends lack.
    """
    runs = read_runs(runs) if isinstance(runs, str) else runs
    resampling = resampling or Resampling()
    methods = tuple(dict.fromkeys(run.method for run in runs))
    _check_controls(methods, controls, frozen)
    scored: dict[str, list[Scored]] = {}
    work = partial(score_run, resampling=resampling, reading=reading)
    for number, one in enumerate(each(engine, work, runs), start=1):
        scored.setdefault(one.run.data, []).append(one)
        if progress is not None:
            progress(number, len(runs))
    sets = {data: _data_set(data, group, controls, frozen, resampling) for data, group in scored.items()}
    within = {data: one for data, one in sets.items() if averaged is None or data in averaged}
    found = GainTable(
        methods=methods,
        data=tuple(sets),
        controls=tuple(controls),
        headlines={data: group[0].report.headline or "" for data, group in scored.items()},
        cells={(data, method): cell for data, one in sets.items() for method, cell in one.cells.items()},
        averaged=tuple(within),
        means=_means(methods, list(within.values()), resampling),
        ends={data: one.ends for data, one in sets.items()},
        frozen=frozen is not None,
        convention=next(iter(scored.values()))[0].report.convention,
        settings={data: _settings(group, controls) for data, group in scored.items()},
        differences=_differences(methods, sets, within, resampling),
        n_partly={data: one.n_partly for data, one in sets.items()},
        notes=(),
    )
    odd = [f"note: {one.run.path}: {line}" for group in scored.values() for one in group for line in one.report.odd]
    return replace(found, notes=(*odd, *_notes(found, resampling)))


def _settings(runs: Sequence[Scored], controls: Sequence[str]) -> dict[str, Any]:
    """What the ends of a data set hold for."""
    one = next((run for run in runs if run.run.method not in controls), runs[0])
    return {
        "task_metric": one.report.headline,
        "fractions": [float(fraction) for fraction in one.report.fractions],
        "perturbation": next((name for name, _ in one.state.layout.perturbations), None),
        "scorer": one.report.about.get("scorer") or "self",
        "unit": one.report.about.get("unit"),
    }


def _check_controls(methods: Sequence[str], controls: Sequence[str], frozen: Ends | None) -> None:
    for control in controls:
        if control not in methods:
            raise ValueError(f"controls has {control!r}, expected some of {list(methods)}{suggest(control, methods)}")
    if not set(methods) - set(controls) and frozen is None:
        raise ValueError(f"controls are all methods {list(methods)}, expected one more that is compared")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _DataSet:
    """The results on a data set; `draws` are each method's composites, `models` those of its seeds, as far as known."""

    cells: dict[str, Cell]
    draws: dict[str, dict[str, Draws]]
    models: dict[str, list[str | None]]
    ends: dict[str, tuple[float, float]]
    n_partly: dict[str, int]

    def pair(self, method: str, other: str) -> tuple[Draws, Draws, bool]:
        """The CNRG of two methods, and whether each seed of both is one model: the seeds are then in one order."""
        ours, theirs = self.draws[method]["CNRG"], self.draws[other]["CNRG"]
        order = matched(self.models[method], self.models[other])
        return (ours, theirs, False) if order is None else (ours, theirs.in_order(order), True)


def _data_set(
    data: str, runs: Sequence[Scored], controls: Sequence[str], frozen: Ends | None, resampling: Resampling
) -> _DataSet:
    check_same(runs, controls)
    if frozen is not None and data not in frozen:
        raise ValueError(f"the frozen ends have no data set {data!r}, expected one of {sorted(frozen)}")
    runs, n_partly = on_joint_rows(runs, controls)
    by_method: dict[str, list[Scored]] = {}
    for one in runs:
        by_method.setdefault(one.run.method, []).append(one)
    definitions = runs[0].definitions
    compared = [one for one in runs if one.run.method not in controls] or runs
    names = _names(compared)
    if not names:
        raise ValueError(f"{data}: none of {', '.join(METRICS)} is defined in its runs, expected one or more")
    raw = {
        method: {name: draws_of(definitions[name], [one.state for one in group]) for name in names}
        for method, group in by_method.items()
    }
    counts = np.array([method not in controls for method in by_method])
    ends = {name: _ends(data, name, [each[name].mean for each in raw.values()], counts, frozen) for name in names}
    composites = {
        method: _composites({name: _gain(draws, name, ends[name]) for name, draws in each.items()}, _averaged)
        for method, each in raw.items()
    }
    cells = {
        method: _cell(group, raw[method], ends, composites[method]["CNRG"].interval(resampling.confidence))
        for method, group in by_method.items()
    }
    partly = {TASK if name == runs[0].report.headline else name: n for name, n in n_partly.items() if n}
    models = {m: [one.run.model or model_of(one.report) for one in group] for m, group in by_method.items()}
    return _DataSet(cells=cells, draws=composites, models=models, ends=ends, n_partly=partly)


def _names(compared: Sequence[Scored]) -> list[str]:
    """The metrics of a data set: those that some method defines, and plausibility only where there is gold.

    In `paper` a row without gold counts as 0, so that a data set without any would give every method the gain .5.
    """
    values = {
        name: [one.report[one.definitions[name].name].value for one in compared]
        for name in METRICS
        if name in compared[0].definitions
    }
    known = [name for name, found in values.items() if not np.isnan(found).all()]
    plausible = [name for name in known if name in PLAUSIBILITY]
    no_gold = compared[0].report.convention == "paper" and not any(np.any(values[name]) for name in plausible)
    return [name for name in known if not (no_gold and name in plausible)]


def _ends(
    data: str, name: str, values: Sequence[float], counts: NDArray[np.bool_], frozen: Ends | None
) -> tuple[float, float]:
    """What 0 and 1 stand for: the worst and best of the methods that count, or what was frozen."""
    if frozen is None:
        low, high = _rust.extremes(np.array(values), counts)
        return float(low[0]), float(high[0])
    if name not in frozen[data]:
        raise ValueError(f"the frozen ends of data set {data!r} lack {name!r}, expected {sorted(frozen[data])}")
    lowest, highest = map(float, frozen[data][name])
    if lowest == highest and not np.allclose(
        [value for value in values if not np.isnan(value)], lowest, rtol=1e-9, atol=0
    ):
        raise ValueError(
            f"the frozen ends of data set {data!r} for {name!r} are both {lowest:g}, which is no scale for other "
            "values, expected a table in which methods differ"
        )
    return lowest, highest


def _gain(draws: Draws, name: str, ends: tuple[float, float]) -> Draws:
    """The relative gain; the replicates are measured between the same ends as the data."""
    values, replicates = (_relative(part, name, ends) for part in (draws.values, draws.replicates))
    return replace(draws, values=values, replicates=replicates)


def _relative(values: Floats, name: str, ends: tuple[float, float]) -> Floats:
    low, high = (np.full(values.size, end) for end in ends)
    flat = np.ascontiguousarray(values).reshape(-1)
    return _rust.relative_gain(flat, low, high, name == "sufficiency").reshape(values.shape)


T = TypeVar("T")


def _composites(gains: Mapping[str, T], average: Callable[[Sequence[T]], T]) -> dict[str, T]:
    """FNRG, PNRG, TNRG as far as their metrics exist, and CNRG, the mean of those."""
    parts = {"FNRG": FAITHFULNESS, "PNRG": PLAUSIBILITY, "TNRG": (TASK,)}
    found = {}
    for composite, names in parts.items():
        present = [gains[name] for name in names if name in gains]
        if present:
            found[composite] = average(present)
    return {**found, "CNRG": average(list(found.values()))}


def _averaged(parts: Sequence[Draws]) -> Draws:
    """The mean of several numbers, seed by seed and replicate by replicate."""
    return Draws(
        values=np.mean([part.values for part in parts], axis=0),
        replicates=np.mean([part.replicates for part in parts], axis=0),
        n=min(part.n for part in parts),
        each=tuple(map(min, zip(*(part.n_each for part in parts), strict=True))),
    )


def _cell(group: Sequence[Scored], raw: Mapping[str, Draws], ends: Mapping[str, Bounds], cnrg: Interval) -> Cell:
    definitions, states = group[0].definitions, [one.state for one in group]
    found = {name: metric_interval(definitions[name], states) for name in raw}
    # From the means and not as means over seeds: the best and the worst method have 1 and 0 to the last bit.
    gains = {name: float(_relative(np.array([draws.mean]), name, ends[name])[0]) for name, draws in raw.items()}
    return Cell(
        seeds=tuple(one.run.seed for one in group),
        values={name: draws.mean for name, draws in raw.items()},
        deviations={n: float(d.values.std(ddof=1)) if len(group) > 1 else float("nan") for n, d in raw.items()},
        intervals={name: (one.low, one.high) for name, one in found.items()},
        gains=gains,
        composites=_composites(gains, lambda parts: float(np.mean(parts))),
        low=cnrg.low,
        high=cnrg.high,
        methods={**{name: one.method for name, one in found.items()}, "CNRG": cnrg.method},
        rows={name: draws.n for name, draws in raw.items()},
    )


def _means(methods: Sequence[str], sets: Sequence[_DataSet], resampling: Resampling) -> dict[str, Mean]:
    """Over the data sets, for methods that were run on all of them."""
    means = {}
    for method in methods:
        if sets and all(method in one.draws for one in sets):
            composites = [one.cells[method].composites for one in sets]
            values = {
                name: float(np.mean([found[name] for found in composites if name in found]))
                for name in COMPOSITES
                if any(name in found for found in composites)
            }
            parts = [one.draws[method]["CNRG"] for one in sets]
            low, high, name = _of_means(values["CNRG"], [part.variance() for part in parts], parts, resampling)
            means[method] = Mean(composites=values, low=low, high=high, interval=name)
    return means


def _of_means(value: float, variances: Sequence[Variance], parts: Sequence[Draws], resampling: Resampling) -> Interval:
    """The interval of a mean over data sets from its variance on each; `parts` give rows and seeds."""
    if not resampling.replicates:
        return NONE
    n, seeds = min(part.n for part in parts), max(len(part.values) for part in parts)
    variance = sum(variances, Variance()).scaled(1 / len(variances) ** 2)
    return interval(value, variance, n=n, confidence=resampling.confidence, seeds=seeds)


def _differences(
    methods: Sequence[str], sets: Mapping[str, _DataSet], within: Mapping[str, _DataSet], resampling: Resampling
) -> tuple[Gain, ...]:
    """The CNRG of every method over every later one: on each data set, then in the means over several `within`."""
    found = []
    for data, one in sets.items():
        for method, other in combinations([m for m in methods if m in one.draws], 2):
            ours, theirs, shared = one.pair(method, other)
            low, high, name = ours.gap(theirs, resampling.confidence, shared=shared)
            gap = ours.mean - theirs.mean
            found.append(Gain(data=data, method=method, other=other, difference=gap, low=low, high=high, interval=name))
    everywhere = [m for m in methods if all(m in one.draws for one in within.values())]
    for method, other in combinations(everywhere, 2) if len(within) > 1 else ():
        pairs = [one.pair(method, other) for one in within.values()]
        gaps = [ours.minus(theirs, shared=shared) for ours, theirs, shared in pairs]
        gap = float(np.mean([value for value, _ in gaps]))
        parts = [draws for ours, theirs, _ in pairs for draws in (ours, theirs)]
        low, high, name = _of_means(gap, [variance for _, variance in gaps], parts, resampling)
        found.append(Gain(data=None, method=method, other=other, difference=gap, low=low, high=high, interval=name))
    return tuple(found)


def _notes(table: GainTable, resampling: Resampling) -> list[str]:
    """Few rows, few seeds, and rows that not all methods define."""
    cells = [(data, method, cell) for (data, method), cell in table.cells.items() if method not in table.controls]
    rows = ((f"{name} of {data}", n) for data, _, cell in cells for name, n in cell.rows.items())
    found = few_rows(rows, resampling.confidence if resampling.replicates else None)
    found += few_seeds([len(cell.seeds) for _, _, cell in cells] or [1]) if resampling.replicates else []
    lost = [f"{n} of {data} for {name}" for data, each in table.n_partly.items() for name, n in each.items()]
    had = {data: [part for part in COMPOSITES[:-1] if part in cell.composites] for data, _, cell in cells}
    for data, parts in had.items():
        if not {"FNRG", "TNRG"} <= {*parts}:
            found.append(f"note: {data}: CNRG is the mean of {' and '.join(parts)} alone")
    for data, ends in table.ends.items():
        equal = [name for name, (low, high) in ends.items() if low == high]
        if equal:
            found.append(
                f"note: {data}: all methods that are compared have one value of {', '.join(equal)}: the gain is .5 for "
                "each, and for any control, and says nothing"
            )
    if lost:
        found.append(f"note: rows left out because not all methods define them: {', '.join(lost)}")
    return found

"""Normalized relative gain: many methods on many data sets in one number each (Chan et al. 2022).

On one data set every metric is put on the way from the worst (0) to the best (1) of the methods compared. FNRG is the
mean over faithfulness, PNRG over plausibility, TNRG is that of the task metric, CNRG their mean. All of it is relative
to the set of methods, so a table names its set, and its ends can be frozen to compare later methods with the same set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unirex import _rust
from unirex.metrics import row_values
from unirex.metrics.batch import as_keys
from unirex.metrics.names import near
from unirex.metrics.report import Report
from unirex.metrics.runs import Run
from unirex.metrics.scoring import Progress, finish, plan, run_plan
from unirex.metrics.state import Resampling, interval

FAITHFULNESS = ("comprehensiveness", "sufficiency")
PLAUSIBILITY = ("auprc", "token_f1")
TASK = "task"
METRICS = (*FAITHFULNESS, *PLAUSIBILITY, TASK)
COMPOSITES = ("FNRG", "PNRG", "TNRG", "CNRG")

Floats = NDArray[np.float64]
Ends = Mapping[str, Mapping[str, tuple[float, float]]]
"""Data set -> metric -> its lowest and highest value over a set of methods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A method on a data set.

    Attributes:
        seeds: in the order of the runs.
        values: metric -> mean over seeds; `task` is the data set's headline metric.
        deviations: metric -> standard deviation over seeds (n - 1), NaN for one seed.
        intervals: metric -> bootstrap interval of the mean over seeds, (None, None) without replicates.
        gains: metric -> relative gain.
        composites: FNRG, PNRG, TNRG, CNRG, as far as the data set has what they need.
        low, high: bootstrap interval of CNRG, None without replicates.
    """

    seeds: tuple[str, ...]
    values: Mapping[str, float]
    deviations: Mapping[str, float]
    intervals: Mapping[str, tuple[float | None, float | None]]
    gains: Mapping[str, float]
    composites: Mapping[str, float]
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A method's means over the data sets, where it was run on all of them."""

    composites: Mapping[str, float]
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class GainTable:
    """Everything about a set of methods.

    Attributes:
        methods, data: in order of appearance.
        controls: methods that are shown but never set an end.
        headlines: data set -> its task metric.
        cells: (data set, method) -> cell.
        means: method -> means over data sets.
        ends: what 0 and 1 stand for.
        frozen: whether the ends were given.
        convention: whose definitions.
    """

    methods: tuple[str, ...]
    data: tuple[str, ...]
    controls: tuple[str, ...]
    headlines: Mapping[str, str]
    cells: Mapping[tuple[str, str], Cell]
    means: Mapping[str, Mean]
    ends: Ends
    frozen: bool
    convention: str


def gain_table(
    runs: Sequence[Run],
    *,
    controls: Sequence[str] = (),
    frozen: Ends | None = None,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
    **reading: Any,
) -> GainTable:
    """Raw metrics and relative gains of many runs.

    Args:
        runs: prediction files by method, data set and seed.
        controls: methods (random, gold, inverse) that are shown but never enter minimum or maximum.
        frozen: the ends of an earlier table, used instead of those of these runs.
        resampling: of the intervals of CNRG; a replicate draws the same instances for every method of a data set.
        progress: called with the runs done and the runs in all.
        reading: `convention`, `perturbation`, `scorer`, `columns`, `labels` as for `score`.

    Raises:
        ValueError: an unknown control, runs of a data set that differ in ids, task metric, fractions or columns, or a
            data set that the frozen ends lack.
    """
    resampling = resampling or Resampling()
    methods = tuple(dict.fromkeys(run.method for run in runs))
    _check_controls(methods, controls, frozen)
    scored: dict[str, list[_Scored]] = {}
    for number, run in enumerate(runs, start=1):
        scored.setdefault(run.data, []).append(_score(run, resampling, reading))
        if progress is not None:
            progress(number, len(runs))
    sets = {data: _data_set(data, group, controls, frozen, resampling) for data, group in scored.items()}
    return GainTable(
        methods=methods,
        data=tuple(sets),
        controls=tuple(controls),
        headlines={data: group[0].report.headline or "" for data, group in scored.items()},
        cells={(data, method): cell for data, one in sets.items() for method, cell in one.cells.items()},
        means=_means(methods, list(sets.values()), resampling),
        ends={data: one.ends for data, one in sets.items()},
        frozen=frozen is not None,
        convention=next(iter(scored.values()))[0].report.convention,
    )


def _check_controls(methods: Sequence[str], controls: Sequence[str], frozen: Ends | None) -> None:
    for control in controls:
        if control not in methods:
            raise ValueError(f"controls has {control!r}, expected some of {list(methods)}{near(control, methods)}")
    if not set(methods) - set(controls) and frozen is None:
        raise ValueError(f"controls are all methods {list(methods)}, expected one more that is compared")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scored:
    """A run's metrics, float64 [1 + replicates] each: the data itself, then the resamples."""

    run: Run
    report: Report
    draws: Mapping[str, Floats]
    hashes: NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _DataSet:
    """What comes out of a data set; `draws` are each method's composites, [1 + replicates]."""

    cells: dict[str, Cell]
    draws: dict[str, dict[str, Floats]]
    ends: dict[str, tuple[float, float]]


def _score(run: Run, resampling: Resampling, reading: Mapping[str, Any]) -> _Scored:
    if row_values.is_row_values(run.path):
        rows = _stored(run.path, reading)
        state = rows.state(resampling)
        report = state.compute()
    else:
        made = plan(run.path, resampling=resampling, **reading)
        names = {*FAITHFULNESS, *PLAUSIBILITY, str(made.layout.headline)}
        made = replace(made, layout=replace(made.layout, only=frozenset(names)))
        state = run_plan(made)
        report = finish(made, state)
    sums, resampled = state.sums(), state.resampled()
    draws = {}
    for definition in state.layout.definitions:
        name = TASK if definition.name == report.headline else definition.name
        draws[name] = np.concatenate([[definition.value(sums)], definition.value(resampled)])
    return _Scored(run=run, report=report, draws=draws, hashes=state.hashes())


def _stored(path: str, reading: Mapping[str, Any]) -> row_values.RowValues:
    """The row values of a file, which hold for one convention and one perturbation."""
    rows = row_values.read(path)
    kept = {"convention": rows.layout.convention, "perturbation": next((h for h, _ in rows.layout.perturbations), None)}
    for what, found in kept.items():
        wanted = reading.get(what)
        if wanted is not None and found is not None and wanted != found:
            raise ValueError(f"{path}: {what} is {found!r}, expected {wanted!r}")
    return rows


def _data_set(
    data: str, runs: Sequence[_Scored], controls: Sequence[str], frozen: Ends | None, resampling: Resampling
) -> _DataSet:
    _check_same(runs, controls)
    if frozen is not None and data not in frozen:
        raise ValueError(f"the frozen ends have no data set {data!r}, expected one of {sorted(frozen)}")
    by_method: dict[str, list[_Scored]] = {}
    for one in runs:
        by_method.setdefault(one.run.method, []).append(one)
    names = [name for name in METRICS if name in runs[0].draws and not np.isnan(runs[0].draws[name][0])]
    gains: dict[str, Floats] = {}
    ends: dict[str, tuple[float, float]] = {}
    counts = np.array([method not in controls for method in by_method])
    for name in names:
        values = np.stack([np.mean([one.draws[name] for one in group], axis=0) for group in by_method.values()])
        low, high = _ends(data, name, values, counts, frozen)
        ends[name] = (float(low[0]), float(high[0]))
        flat = _rust.relative_gain(values.reshape(-1), low, high, name == "sufficiency")
        gains[name] = flat.reshape(values.shape)
    draws = {m: _composites({name: gains[name][i] for name in names}) for i, m in enumerate(by_method)}
    cells = {
        method: _cell(group, {name: gains[name][i][0] for name in names}, draws[method], resampling)
        for i, (method, group) in enumerate(by_method.items())
    }
    return _DataSet(cells=cells, draws=draws, ends=ends)


def _check_same(runs: Sequence[_Scored], controls: Sequence[str]) -> None:
    """Runs of one data set have the same instances and are judged by the same metrics.

    A control may lack instances: where there is no gold, gold explains nothing.
    """
    first = next((one for one in runs if one.run.method not in controls), runs[0])
    for other in runs:
        for what in ("headline", "fractions"):
            ours, theirs = getattr(first.report, what), getattr(other.report, what)
            if ours != theirs:
                raise ValueError(f"{other.run.path}: {what} {theirs!r} differs from {ours!r} of {first.run.path}")
        known = np.isin(as_keys(other.hashes), as_keys(first.hashes))
        lacks = len(other.hashes) < len(first.hashes) and other.run.method not in controls
        if lacks or not known.all():
            raise ValueError(f"{other.run.path}: its ids differ from those of {first.run.path}, expected the same")
        missing = sorted(first.draws.keys() ^ other.draws.keys())
        if missing:
            raise ValueError(f"{other.run.path}: {missing[0]} is in only one of it and {first.run.path}")


def _ends(
    data: str, name: str, values: Floats, counts: NDArray[np.bool_], frozen: Ends | None
) -> tuple[Floats, Floats]:
    if frozen is None:
        return _rust.extremes(np.ascontiguousarray(values).reshape(-1), counts)
    if name not in frozen[data]:
        raise ValueError(f"the frozen ends of data set {data!r} lack {name!r}, expected {sorted(frozen[data])}")
    low, high = frozen[data][name]
    return np.full(values.shape[1], float(low)), np.full(values.shape[1], float(high))


def _composites(gains: Mapping[str, Floats]) -> dict[str, Floats]:
    """FNRG, PNRG, TNRG as far as their metrics exist, and CNRG, the mean of those."""
    parts = {"FNRG": FAITHFULNESS, "PNRG": PLAUSIBILITY, "TNRG": (TASK,)}
    found = {}
    for composite, names in parts.items():
        present = [gains[name] for name in names if name in gains]
        if present:
            found[composite] = np.mean(present, axis=0)
    return {**found, "CNRG": np.mean(list(found.values()), axis=0)}


def _cell(
    group: Sequence[_Scored], gains: Mapping[str, float], composites: Mapping[str, Floats], resampling: Resampling
) -> Cell:
    seeds = {name: np.array([one.draws[name][0] for one in group]) for name in gains}
    drawn = {name: np.mean([one.draws[name][1:] for one in group], axis=0) for name in gains}
    low, high = interval(composites["CNRG"][1:], resampling.confidence)
    return Cell(
        seeds=tuple(one.run.seed for one in group),
        values={name: float(values.mean()) for name, values in seeds.items()},
        deviations={n: float(v.std(ddof=1)) if len(v) > 1 else float("nan") for n, v in seeds.items()},
        intervals={name: interval(replicates, resampling.confidence) for name, replicates in drawn.items()},
        gains={name: float(value) for name, value in gains.items()},
        composites={name: float(draws[0]) for name, draws in composites.items()},
        low=low,
        high=high,
    )


def _means(methods: Sequence[str], sets: Sequence[_DataSet], resampling: Resampling) -> dict[str, Mean]:
    """Over the data sets, for methods that were run on all of them."""
    found = {}
    for method in methods:
        if all(method in one.draws for one in sets):
            draws = {
                name: np.mean([one.draws[method][name] for one in sets if name in one.draws[method]], axis=0)
                for name in COMPOSITES
                if any(name in one.draws[method] for one in sets)
            }
            low, high = interval(draws["CNRG"][1:], resampling.confidence)
            composites = {name: float(values[0]) for name, values in draws.items()}
            found[method] = Mean(composites=composites, low=low, high=high)
    return found

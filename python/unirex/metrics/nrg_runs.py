"""The runs behind a table of relative gains: each scored, and all of a data set on the same rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from unirex.metrics import row_values as row_values_file
from unirex.metrics.cluster import Engine, map_on_ray, on_ray
from unirex.metrics.definitions import Definition
from unirex.metrics.layout import Layout
from unirex.metrics.nrg_table import FAITHFULNESS, PLAUSIBILITY, TASK
from unirex.metrics.pairing import (
    Allowed,
    Rows,
    Seen,
    allowed,
    check_same_instances,
    joint_bits,
    partly_defined,
    shared,
)
from unirex.metrics.report import Report
from unirex.metrics.row_values import RowValues
from unirex.metrics.rows import row_values
from unirex.metrics.runs import Run
from unirex.metrics.scoring import Plan, finish, plan
from unirex.metrics.state import Resampling, State


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """A run, its metrics and what a pass over it saw: predictions by a plan, or stored row values."""

    run: Run
    plan: Plan | None
    stored: RowValues | None = None
    state: State
    report: Report
    rows: Rows

    @property
    def definitions(self) -> dict[str, Definition]:
        """The metrics by name; that of the data set is called `task`."""
        found = self.state.layout.definitions
        return {
            TASK if definition.name == self.report.headline else definition.name: definition for definition in found
        }


def score_run(run: Run, resampling: Resampling, reading: Mapping[str, Any]) -> Scored:
    """The metrics of a run, with what its files say about each row."""
    if row_values_file.is_row_values(run.path):
        return _of_row_values(run, _stored(run.path, reading), resampling)
    made = plan(run.path, resampling=resampling, **reading)
    made = replace(made, layout=replace(made.layout, only=_names(made.layout)))
    state, seen = made.state(), Seen()
    for where, part in made.source.batches(state.parser.columns()):
        batch = state.parser.parse(part, where)
        values = row_values(batch, made.layout)
        seen.add(batch, values)
        state.add(batch.hashes, values)
        state.doubt(batch.odd)
    return Scored(run=run, plan=made, state=state, report=finish(made, state), rows=seen.rows())


def _of_row_values(run: Run, stored: RowValues, resampling: Resampling) -> Scored:
    state, seen = stored.state(resampling), Seen()
    seen.add_values(stored.hashes, stored.values)
    return Scored(run=run, plan=None, stored=stored, state=state, report=state.compute(), rows=seen.rows())


def _stored(path: str, reading: Mapping[str, Any]) -> RowValues:
    """The row values of a file, which hold for one convention, one perturbation and the model's own probabilities."""
    rows = row_values_file.read(path)
    how = reading.get("perturbation")
    wanted = {**reading, "perturbation": how if how is None or isinstance(how, str) else next(iter(how), None)}
    perturbation = next((how for how, _ in rows.layout.perturbations), None)
    for what, found in (("convention", rows.layout.convention), ("perturbation", perturbation), ("scorer", "self")):
        if wanted.get(what) is not None and found is not None and wanted[what] != found:
            raise ValueError(f"{path}: {what} is {found!r}, expected {wanted[what]!r}")
    return rows.among(_names(rows.layout))


def _names(layout: Layout) -> frozenset[str]:
    """The metrics of a table of gains."""
    return frozenset({*FAITHFULNESS, *PLAUSIBILITY, str(layout.headline)})


def score_runs(
    runs: Sequence[Run], resampling: Resampling, reading: Mapping[str, Any], engine: Engine
) -> Iterator[Scored]:
    """Each run, scored here or by a task of a Ray cluster."""
    work = partial(score_run, resampling=resampling, reading=reading)
    if not on_ray(engine):
        return map(work, runs)
    return map_on_ray(work, runs)


def _again(one: Scored, mask: Allowed) -> Scored:
    """A run scored on the rows that all methods define."""
    if one.stored is not None:
        hashes, values = mask.narrowed(0, one.stored.hashes, one.stored.values)
        state = replace(one.stored, hashes=hashes, values=values).state(one.state.resampling)
        return replace(one, state=state, report=state.compute())
    made = one.plan
    assert made is not None
    state, start = made.state(), 0
    for where, part in made.source.batches(state.parser.columns()):
        batch = state.parser.parse(part, where)
        state.add(*mask.narrowed(start, batch.hashes, row_values(batch, made.layout)))
        start += len(batch)
    return replace(one, state=state, report=finish(made, state))


def check_same(runs: Sequence[Scored], controls: Sequence[str]) -> None:
    """Runs of one data set have the same instances and are judged by the same metrics.

    A control may lack instances: where there is no gold, gold explains nothing.
    """
    first = next((one for one in runs if one.run.method not in controls), runs[0])
    for other in runs:
        for what in ("headline", "fractions"):
            ours, theirs = getattr(first.report, what), getattr(other.report, what)
            if ours != theirs:
                raise ValueError(f"{other.run.path}: {what} {theirs!r} differs from {ours!r} of {first.run.path}")
        both = shared([first.rows, other.rows])
        lacks = len(both[0].hashes) < len(first.rows.hashes) and other.run.method not in controls
        if lacks or len(both[1].hashes) < len(other.rows.hashes):
            raise ValueError(f"{other.run.path}: its ids differ from those of {first.run.path}, expected the same")
        missing = sorted(first.definitions.keys() ^ other.definitions.keys())
        if missing:
            raise ValueError(f"{other.run.path}: {missing[0]} is in only one of it and {first.run.path}")
        if first.plan is not None and other.plan is not None:
            check_same_instances([first.plan, other.plan], both)


def on_joint_rows(runs: Sequence[Scored], controls: Sequence[str]) -> tuple[list[Scored], dict[str, int]]:
    """The runs on the rows where all methods that count define a metric, and how many rows each metric lost."""
    compared = [one.rows for one in runs if one.run.method not in controls] or [runs[0].rows]
    joint = joint_bits(compared)
    n_partly = partly_defined(runs[0].state.layout, compared, joint)
    found = []
    for one in runs:
        ours, theirs = shared([replace(compared[0], defined=joint), one.rows])
        bits = ours.defined & theirs.defined
        same = len(bits) == len(one.rows.hashes) and (bits == theirs.defined).all()
        found.append(one if same else _again(one, next(allowed([theirs], bits, [len(one.rows.hashes)]))))
    return found, n_partly

"""The runs behind a table of relative gains: each scored, and all of a data set on the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
from unirex.metrics.row_values import RowValues, is_row_values, read
from unirex.metrics.runs import Run
from unirex.metrics.scoring import Plan, finish, plan
from unirex.metrics.state import Resampling, State


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """A run, its metrics and what a pass over it saw: predictions by a plan, or stored row values."""

    run: Run
    source: Plan | RowValues
    state: State
    report: Report
    seen: Rows

    @property
    def definitions(self) -> dict[str, Definition]:
        """The metrics by name; that of the data set is called `task`."""
        found = self.state.layout.definitions
        return {
            TASK if definition.name == self.report.headline else definition.name: definition for definition in found
        }

    def on(self, mask: Allowed) -> "Scored":
        """The run scored on the rows and columns that take part."""
        state, source, start = State(self.state.layout, self.state.resampling), self.source, 0
        if isinstance(source, RowValues):
            inside, values = mask.narrowed(0, source.values)
            groups = None if source.groups is None else source.groups[inside]
            state.add(source.hashes[inside], values[:, inside], groups)
        else:
            for batch, every in source.rows():
                inside, values = mask.narrowed(start, every)
                state.take(batch, values, inside)
                start += len(batch)
        return replace(self, state=state, report=_report(source, state))


def score_run(run: Run, resampling: Resampling, reading: Mapping[str, Any]) -> Scored:
    """The metrics of a run, with what its files say about each row."""
    seen = Seen()
    source: Plan | RowValues
    if is_row_values(run.path):
        source = _stored(run.path, reading)
        state = source.state(resampling)
        seen.add_values(source.hashes, source.values)
    else:
        source = plan(run.path, resampling=resampling, **reading)
        source = replace(source, layout=replace(source.layout, only=_names(source.layout)))
        state = source.state()
        for batch, values in source.rows():
            seen.add(batch, values)
            state.take(batch, values)
    return Scored(run=run, source=source, state=state, report=_report(source, state), seen=seen.rows())


def _report(source: Plan | RowValues, state: State) -> Report:
    return state.compute() if isinstance(source, RowValues) else finish(source, state)


def _stored(path: str, reading: Mapping[str, Any]) -> RowValues:
    """The row values of a file, which hold for one convention, one perturbation and the model's own probabilities."""
    rows = read(path)
    asked = reading.get("perturbation")
    wanted = {**reading, "perturbation": asked if asked is None or isinstance(asked, str) else next(iter(asked), None)}
    default = next((name for name, _ in rows.layout.perturbations), None)
    for what, found in (("convention", rows.layout.convention), ("perturbation", default), ("scorer", "self")):
        if wanted.get(what) is not None and found is not None and wanted[what] != found:
            raise ValueError(f"{path}: {what} is {found!r}, expected {wanted[what]!r}")
    return rows.among(_names(rows.layout))


def _names(layout: Layout) -> frozenset[str]:
    """The metrics of a table of gains."""
    return frozenset({*FAITHFULNESS, *PLAUSIBILITY, str(layout.headline)})


def check_same(runs: Sequence[Scored], controls: Sequence[str]) -> None:
    """Runs of one data set have the same instances and are judged by the same metrics.

    A control may lack instances: where there is no gold, gold explains nothing.
    """
    first = next((one for one in runs if one.run.method not in controls), runs[0])
    for other in runs:
        for what in ("headline", "fractions", "labels"):
            ours, theirs = (getattr(one.state.layout, what) for one in (first, other))
            if ours != theirs and (what != "labels" or (ours and theirs)):
                raise ValueError(f"{other.run.path}: {what} {theirs!r} differs from {ours!r} of {first.run.path}")
        ways = [next((name for name, _ in one.state.layout.perturbations), None) for one in (first, other)]
        if None not in ways and ways[0] != ways[1]:
            raise ValueError(
                f"{other.run.path}: perturbation {ways[1]!r} differs from {ways[0]!r} of {first.run.path} "
                "(--perturbation names one that both have)"
            )
        if (first.state.n_groups() is None) != (other.state.n_groups() is None):
            raise ValueError(
                f"{other.run.path}: its rows and those of {first.run.path} are not drawn in the same groups"
            )
        both = shared([first.seen, other.seen])
        lacks = len(both[0].hashes) < len(first.seen.hashes) and other.run.method not in controls
        if lacks or len(both[1].hashes) < len(other.seen.hashes):
            raise ValueError(f"{other.run.path}: its ids differ from those of {first.run.path}, expected the same")
        missing = sorted(first.definitions.keys() ^ other.definitions.keys())
        if missing:
            raise ValueError(f"{other.run.path}: {missing[0]} is in only one of it and {first.run.path}")
        if isinstance(first.source, Plan) and isinstance(other.source, Plan):
            check_same_instances([first.source, other.source], both)


def on_joint_rows(runs: Sequence[Scored], controls: Sequence[str]) -> tuple[list[Scored], dict[str, int]]:
    """The runs on the rows where all methods that count define a metric, and how many rows each metric lost."""
    compared = [one.seen for one in runs if one.run.method not in controls] or [runs[0].seen]
    joint = joint_bits(compared)
    n_partly = partly_defined(runs[0].state.layout, compared, joint)
    found = []
    for one in runs:
        ours, theirs = shared([replace(compared[0], defined=joint), one.seen])
        bits = ours.defined & theirs.defined
        same = len(bits) == len(one.seen.hashes) and (bits == theirs.defined).all()
        found.append(one if same else one.on(next(allowed([theirs], bits, [len(one.seen.hashes)]))))
    return found, n_partly

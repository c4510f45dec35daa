"""The finished runs of a plan, read from their folders."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from unirex.disk.atomic import atomic_write
from unirex.disk.run_folder import CONTROLS, RunFolder
from unirex.metrics import Run
from unirex.suites.plan import Planned
from unirex.suites.recipe import Suite
from unirex.suites.table import Finished, inline, read_costs


def collect(suite: Suite, plan: Sequence[Planned]) -> Finished:
    """What the finished runs of a plan have left; data sets on which nothing but controls is finished are left out."""
    found = Finished(controls=[name for name, part in suite.methods.items() if part.control])
    finished = [run for run in plan if run.finished()]
    for run in finished:
        _add(found, suite, run, run.label, run.folder)
    for name in suite.transfer:
        for run in finished:
            for transfer in run.transfers:
                if transfer.name == name and transfer.done():
                    _add(found, suite, run, f"{run.label} to {name}", transfer.folder)
    return found.ordered()


def missing(plan: Sequence[Planned], failures: Mapping[str, str]) -> list[str]:
    """The runs that the table lacks, in whole or in part, as a paragraph; nothing if there are none."""
    lines = [f"- {run.name}: failed: {inline(failures[run.name])}" for run in plan if run.name in failures]
    left: dict[str, list[str]] = {}
    for run in plan:
        if run.name not in failures and not run.judged_everywhere():
            left.setdefault(f"{run.label}/{run.method}", []).append(str(run.seed))
    lines += [f"- {name}/{', '.join(seeds)}: not finished" for name, seeds in left.items()]
    return ["Not in the table, or in part:\n\n" + "\n".join(lines)] if lines else []


def write_state(suite: Suite, plan: Sequence[Planned], failures: Mapping[str, str], done: Collection[str]) -> None:
    """Writes `runs.json`, with a ledger `NAME-runs.json`: each run's folder and its state, and why it failed.

    Args:
        suite: whose.
        plan: all its runs.
        failures: name of a run -> why it failed.
        done: names of those that are.
    """
    entries = [
        {
            "data": run.label,
            "method": run.method,
            "seed": run.seed,
            "folder": str(run.folder),
            "state": "failed" if run.name in failures else "done" if run.name in done else "missing",
            "error": failures.get(run.name),
        }
        for run in plan
    ]
    name = "runs.json" if suite.ledger is None else f"{suite.table_stem}-runs.json"
    with atomic_write(suite.output / name, "w") as file:
        json.dump(entries, file, indent=1, ensure_ascii=False)


def _add(found: Finished, suite: Suite, run: Planned, label: str, folder: Path) -> None:
    def made(method: str, path: Path) -> Run:
        return Run(method=method, data=label, seed=str(run.seed), path=str(path))

    found.add(made(run.method, RunFolder(folder).predictions), read_costs(folder))
    for control in CONTROLS if run.method == suite.references else ():
        path = RunFolder(folder).reference(control)
        if path.is_file() and control not in suite.methods:
            found.add_control(made(control, path))

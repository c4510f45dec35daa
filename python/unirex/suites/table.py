"""The table of a suite: what its finished runs reached and what they cost, in every format."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from unirex.files import atomic_write
from unirex.metrics import Resampling, Run, gain_table
from unirex.metrics.nrg_text import FORMATS, Columns
from unirex.suites.plan import Planned, complete
from unirex.suites.plot import draw
from unirex.suites.recipe import Suite

FILES = {"markdown": "table.md", "csv": "table.csv", "json": "table.json", "latex": "table.tex"}
CONTROLS = ("random", "gold", "inverse")
COSTS = {"train_seconds": "step", "explain_seconds": "explain"}
_COST_NOTE = (
    "train_seconds: wall time of the optimizer steps per instance and pass; explain_seconds: of scoring an instance on "
    "one process; both as the runs logged them"
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """Prediction files of finished runs, and what each cost: (data set, method) -> cost -> a value for each seed."""

    runs: list[Run]
    costs: dict[tuple[str, str], dict[str, list[float]]]
    controls: list[str]

    @property
    def columns(self) -> Columns:
        """Mean costs over seeds, as columns of the table."""
        return {
            name: {cell: _mean(costs[name]) for cell, costs in self.costs.items() if costs.get(name)} for name in COSTS
        }


def collect(suite: Suite, plan: Sequence[Planned]) -> Found:
    """What the finished runs of a plan have left; data sets on which nothing but controls is finished are left out."""
    found = Found(runs=[], costs={}, controls=[name for name, part in suite.methods.items() if part.control])
    finished = [run for run in plan if run.finished()]
    for run in finished:
        _add(found, suite, run, run.label, run.folder)
    for name in suite.transfer:
        for run in finished:
            for transfer in run.transfers:
                if transfer.name == name and transfer.done():
                    _add(found, suite, run, f"{run.label} to {name}", transfer.folder)
    compared = {run.data for run in found.runs if run.method not in found.controls}
    # The order of the runs is that of the rows: controls come below the methods.
    kept = sorted((run for run in found.runs if run.data in compared), key=lambda run: run.method in found.controls)
    present = {run.method for run in kept}
    return Found(runs=kept, costs=found.costs, controls=[name for name in found.controls if name in present])


def write_table(suite: Suite, plan: Sequence[Planned], failures: Mapping[str, str]) -> list[Path]:
    """Writes the table of what is finished in every format, and the plot; returns the paths, none where nothing is.

    Args:
        suite: whose.
        plan: all of its runs.
        failures: name of a run -> why it failed.

    Raises:
        ValueError: runs that cannot stand in one table, such as predictions for different instances.
    """
    found = collect(suite, plan)
    if not found.runs:
        return []
    table = gain_table(
        found.runs,
        controls=found.controls,
        resampling=Resampling(replicates=suite.table.replicates),
        convention=suite.table.convention,
        perturbation=suite.table.perturbation,
    )
    paths = []
    for form, name in FILES.items():
        text = FORMATS[form](table, found.columns)
        if form == "markdown":
            text = "\n\n".join([text, _COST_NOTE, *_missing(plan, failures)])
        paths.append(suite.output / name)
        with atomic_write(paths[-1], "w") as file:
            file.write(text + "\n")
    return paths + draw(suite, table, _points(plan))


def write_state(suite: Suite, plan: Sequence[Planned], failures: Mapping[str, str]) -> None:
    """Writes `runs.json`: each run's folder and whether it is done, missing, or failed and why."""
    entries = [
        {
            "data": run.label,
            "method": run.method,
            "seed": run.seed,
            "folder": str(run.folder),
            "state": "failed" if run.name in failures else "done" if run.finished() else "missing",
            "error": failures.get(run.name),
        }
        for run in plan
    ]
    with atomic_write(suite.output / "runs.json", "w") as file:
        json.dump(entries, file, indent=1, ensure_ascii=False)


def write_page(page: Path, suite: Suite) -> None:
    """Puts the table into a Markdown page, between `<!-- suite NAME -->` and `<!-- end of suite NAME -->`.

    Raises:
        ValueError: the page has not exactly one such pair of marks.
    """
    name = suite.path.stem
    first, last = f"<!-- suite {name} -->", f"<!-- end of suite {name} -->"
    text = page.read_text(encoding="utf-8")
    if text.count(first) != 1 or text.count(last) != 1 or text.index(first) > text.index(last):
        raise ValueError(f"{page}: expected one line {first} and one {last} behind it")
    table = (suite.output / FILES["markdown"]).read_text(encoding="utf-8")
    before, after = text[: text.index(first)], text[text.index(last) :]
    with atomic_write(page, "w") as file:
        file.write(f"{before}{first}\n\n{table.strip()}\n\n{after}")


def _add(found: Found, suite: Suite, run: Planned, label: str, folder: Path) -> None:
    seed = str(run.seed)
    found.runs.append(Run(method=run.method, data=label, seed=seed, path=str(folder / "predictions.parquet")))
    entry = found.costs.setdefault((label, run.method), {})
    for name, value in read_costs(folder).items():
        entry.setdefault(name, []).append(value)
    if run.method != suite.references:
        return
    for control in CONTROLS:
        path = folder / "reference" / f"{control}.parquet"
        if path.is_file() and control not in suite.methods:
            found.runs.append(Run(method=control, data=label, seed=seed, path=str(path)))
            if control not in found.controls:
                found.controls.append(control)


def read_costs(folder: Path) -> dict[str, float]:
    """Seconds per instance by name, from a training log or an evaluation's cost.json.

    Training in several stages costs a pass of each: every stage but the last has an event of its own in the log.
    """
    stages: dict[str, dict[str, float]] = {}
    with suppress(OSError, ValueError):
        stages["end"] = json.loads((folder / "cost.json").read_text(encoding="utf-8"))
    with suppress(OSError, ValueError):
        for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry.get("event") in ("stage", "end"):
                stages[entry.get("stage", "end")] = entry
    found = {}
    for name, kind in COSTS.items():
        parts = [e[f"{kind}_seconds"] / e[f"{kind}_instances"] for e in stages.values() if e.get(f"{kind}_instances")]
        if parts:
            found[name] = sum(parts)
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _points(plan: Sequence[Planned]) -> dict[str, tuple[str, object]]:
    """Label in the table -> data set and value of the sweep."""
    return {run.label: (run.data, run.point) for run in plan}


def _missing(plan: Sequence[Planned], failures: Mapping[str, str]) -> list[str]:
    """What the table lacks, in words."""
    lines = [f"- {run.name}: failed: {_inline(failures[run.name])}" for run in plan if run.name in failures]
    missing = [run for run in plan if run.name not in failures and not (run.finished() and _transferred(run))]
    lines += [f"- {run.name}: not finished" for run in missing]
    return ["Not in the table, or in part:\n\n" + "\n".join(lines)] if lines else []


def _transferred(run: Planned) -> bool:
    return all(complete(transfer.folder) for transfer in run.transfers)


def _inline(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|#" else c for c in text)

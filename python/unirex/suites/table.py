"""The table of a suite: what its finished runs reached and what they cost, in every format."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from unirex.disk.atomic import atomic_write
from unirex.disk.lock import in_turn
from unirex.disk.run_folder import RunFolder
from unirex.disk.untrusted import read_events
from unirex.metrics import Resampling, Run, gain_table
from unirex.metrics.nrg_table import Columns, GainTable
from unirex.metrics.nrg_text import FORMATS
from unirex.suites.plot import draw
from unirex.suites.recipe import Suite

_ENDINGS = {"markdown": "md", "csv": "csv", "json": "json", "latex": "tex"}
COSTS = {"train_seconds": "step", "explain_seconds": "explain"}
COST_NOTE = (
    "train_seconds: wall time of the optimizer steps per instance and pass; explain_seconds: of scoring an instance on "
    "one process; both as the runs logged them"
)


@dataclass(kw_only=True)
class Finished:
    """Finished runs, and what each cost.

    Attributes:
        runs: files of predictions or row values.
        controls: methods that are shown and never set the worst or best.
        costs: (data set, method) -> cost -> a value for each seed.
        averaged: data sets that a mean may be over; None = all.
    """

    runs: list[Run] = field(default_factory=list)
    controls: list[str] = field(default_factory=list)
    costs: dict[tuple[str, str], dict[str, list[float]]] = field(default_factory=dict)
    averaged: list[str] | None = None

    def add(self, run: Run, costs: Mapping[str, float]) -> None:
        """Adds a run of a method."""
        self.runs.append(run)
        entry = self.costs.setdefault((run.data, run.method), {})
        for name, value in costs.items():
            entry.setdefault(name, []).append(value)

    def add_control(self, run: Run) -> None:
        """Adds control scores on the model of a run."""
        self.runs.append(run)
        if run.method not in self.controls:
            self.controls.append(run.method)

    def ordered(self) -> "Finished":
        """The runs in the order of the rows, controls last; without data sets that have nothing but controls."""
        compared = {run.data for run in self.runs if run.method not in self.controls}
        kept = sorted((run for run in self.runs if run.data in compared), key=lambda run: run.method in self.controls)
        present = {run.method for run in kept}
        return Finished(runs=kept, costs=self.costs, controls=[name for name in self.controls if name in present])

    @property
    def columns(self) -> Columns:
        """Mean costs over seeds, as columns of the table."""
        names = dict.fromkeys((*COSTS, *(name for costs in self.costs.values() for name in costs)))
        return {
            name: {cell: sum(c[name]) / len(c[name]) for cell, c in self.costs.items() if c.get(name)} for name in names
        }


def table_path(suite: Suite, form: str) -> Path:
    """The file of the table in a format of `unirex nrg`.

    It has the suite's name where there is a ledger, since the runs, and so the output, may be shared with other suites.
    """
    return suite.output / f"{suite.table_stem}.{_ENDINGS[form]}"


def write_table(suite: Suite, found: Finished, markdown: Callable[[GainTable, Columns], str]) -> tuple[list[Path], str]:
    """Writes the table of what is finished in every format, and the plot; paths and Markdown, none where nothing is.

    Args:
        suite: whose.
        found: its finished runs.
        markdown: makes the Markdown of the table and the costs.

    Raises:
        ValueError: runs that cannot stand in one table, such as predictions for different instances.
    """
    if not found.runs:
        return [], ""
    suite.output.mkdir(parents=True, exist_ok=True)
    table = gain_table(
        found.runs,
        controls=found.controls,
        averaged=found.averaged,
        resampling=Resampling(replicates=suite.table.replicates),
        convention=suite.table.convention,
        perturbation=suite.table.perturbation,
    )
    if not suite.independent:
        table = table.without_means()
    texts = {form: (markdown if form == "markdown" else FORMATS[form])(table, found.columns) for form in _ENDINGS}
    for form, text in texts.items():
        with atomic_write(table_path(suite, form), "w") as file:
            file.write(text + "\n")
    points = {suite.label(*point): point for point in suite.points}
    return [table_path(suite, form) for form in _ENDINGS] + draw(suite, table, points), texts["markdown"]


def write_page(page: Path, suite: Suite, text: str) -> None:
    """Puts a table's Markdown into a page, between `<!-- suite NAME -->` and `<!-- end of suite NAME -->`.

    Raises:
        ValueError: the page has not exactly one such pair of marks.
    """
    with in_turn(page.parent):  # a suite may write its part of the page meanwhile
        before, after = check_page(page, suite)
        with atomic_write(page, "w") as file:
            file.write(f"{before}\n\n{text.strip()}\n\n{after}")


def check_page(page: Path, suite: Suite) -> tuple[str, str]:
    """What stands before and after a suite's table in a page, its marks with it.

    Raises:
        ValueError: the page has not exactly one pair of them.
    """
    first, last = f"<!-- suite {suite.path.stem} -->", f"<!-- end of suite {suite.path.stem} -->"
    content = page.read_text(encoding="utf-8")
    if content.count(first) != 1 or content.count(last) != 1 or content.index(first) > content.index(last):
        raise ValueError(f"{page}: expected one line {first} and one {last} after it")
    return content[: content.index(first) + len(first)], content[content.index(last) :]


def read_costs(folder: Path) -> dict[str, float]:
    """Seconds per instance by name, from a training log or an evaluation's cost.json.

    Training in several stages costs a pass of each: every stage but the last has an event of its own in the log.
    """
    stages: dict[str, dict[str, float]] = {}
    with suppress(OSError, ValueError):
        stages["end"] = json.loads(RunFolder(folder).cost.read_text(encoding="utf-8"))
    with suppress(OSError, ValueError):
        for entry in read_events(RunFolder(folder).log):
            if entry.get("event") in ("stage", "end"):
                stages[entry.get("stage", "end")] = entry
    found = {}
    for name, kind in COSTS.items():
        parts = [e[f"{kind}_seconds"] / e[f"{kind}_instances"] for e in stages.values() if e.get(f"{kind}_instances")]
        if parts:
            found[name] = sum(parts)
    return found


def inline(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|#" else c for c in text)

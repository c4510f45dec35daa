"""Runs a suite, reports what becomes of its runs, and keeps ledger and table up to date."""

import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unirex.disk.run_folder import RunFolder
from unirex.metrics.nrg_table import Columns, GainTable
from unirex.metrics.nrg_text import to_markdown
from unirex.suites.gather import collect, missing, write_state
from unirex.suites.launch import LaunchConfig, Launcher, Result, groups
from unirex.suites.ledger import Entry, Ledger, Name
from unirex.suites.plan import Judged, Planned, completed_digest, make_plan
from unirex.suites.recipe import Override, Suite
from unirex.suites.record import record
from unirex.suites.results import write_results
from unirex.suites.table import COST_NOTE, write_page, write_table
from unirex.text import say


@dataclass(kw_only=True)
class Session:
    """A suite on its way.

    Attributes:
        suite: what is run.
        overrides: settings of the command line.
        options: the command line.
        page: Markdown page that the table is put into.
    """

    suite: Suite
    overrides: Sequence[Override]
    options: Any
    page: Path | None

    def run(self) -> int:
        """Plans, lists or runs, and writes the table; returns the exit code."""
        options, suite = self.options, self.suite
        plan = share(make_plan(suite, self.overrides, options.only), options.shard)
        known = Known(suite=suite, adopts=not options.dry_run)
        if options.dry_run:
            return _list(plan, known, overwrite=options.overwrite)
        for planned in () if options.table_only else plan:
            if not known(planned):
                planned.state(overwrite=options.overwrite)  # refuses before anything is started
        suite.output.mkdir(parents=True, exist_ok=True)
        progress = _Progress(suite=suite, plan=plan, known=known)
        stopped = False
        if not options.table_only:
            launcher = Launcher(config=_launch(options), report=progress.report, say=say, known=known)
            launcher.run_all(plan)
            stopped = launcher.stopped
        if suite.ledger is not None:
            write_state(suite, plan, progress.failures)
            write_results(suite, self.page)
            return _close(progress, None, stopped=stopped)
        paths = progress.write()
        if paths and self.page is not None:
            write_page(self.page, suite)
        return _close(progress, paths, stopped=stopped)


def share(plan: Sequence[Planned], which: str | None) -> list[Planned]:
    """The I-th of N shares of a plan, for "I/N", as even as groups that share a model allow.

    Shares depend on the plan alone and not on what is done, so that machines that start at different times neither
    leave a run out nor do one twice.
    """
    if which is None:
        return list(plan)
    first, _, last = which.partition("/")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise ValueError(f"--shard is {which!r}, expected I/N, such as 1/4 for the first of four shares")
    return [run for group in groups(plan)[int(first) - 1 :: int(last)] for run in group]


@dataclass(kw_only=True)
class Known:
    """Whether the ledger has the result of a run; without a ledger it has none.

    Attributes:
        suite: whose.
        adopts: whether a run of the same settings under another name is added under the suite's.
    """

    suite: Suite
    adopts: bool = True
    _ledger: Ledger | None = field(init=False)

    def __post_init__(self) -> None:
        """Opens the ledger."""
        self._ledger = None if self.suite.ledger is None else Ledger(path=self.suite.ledger, say=say)

    def __call__(self, run: Planned) -> bool:
        """Whether everything that the run is judged on has an entry."""
        if self._ledger is None:
            return False
        entries = self._ledger.entries()
        return all(self._found(entries, self._name(run, judged), judged) for judged in run.judged)

    def add(self, run: Planned) -> None:
        """Adds what a finished run has left, whose checkpoints are then of no more use."""
        if self._ledger is not None and not self(run):
            record(self.suite, self._ledger, run)
            RunFolder(run.folder).drop_checkpoints()

    def _name(self, run: Planned, judged: Judged) -> Name:
        return self.suite.path.stem, judged.label, run.method, run.seed

    def _found(self, entries: Sequence[Entry], name: Name, judged: Judged) -> bool:
        """An entry made before a setting came is one of the run that has the setting's default.

        So is one of the same settings under another name, which is added again under this one if `adopts`.
        """
        wanted = judged.digest
        if any(entry.name == name and wanted in (entry.digest, completed_digest(entry.config)) for entry in entries):
            return True
        other = next((entry for entry in entries if wanted == entry.digest), None)
        if other is None or self._ledger is None:
            return False
        if not self.adopts:
            return True
        suite, data, method, seed = name
        self._ledger.add(replace(other, suite=suite, data=data, method=method, seed=seed))
        return True


def _launch(options: Any) -> LaunchConfig:
    given = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = int(given) if given.isdecimal() else max(1, cores // (options.jobs * options.processes))
    return LaunchConfig(
        jobs=options.jobs,
        processes=options.processes,
        threads=threads,
        devices=tuple(options.devices),
        overwrite=options.overwrite,
    )


@dataclass(kw_only=True)
class _Progress:
    """Reports results as they come, and keeps ledger and table up to date, the table where that is cheap."""

    suite: Suite
    plan: list[Planned]
    known: Known
    failures: dict[str, str] = field(default_factory=dict)
    ended: int = 0
    _written: float = 0.0
    _price: float = 0.0

    def report(self, result: Result) -> None:
        """Prints one line, and writes the table if that takes less than a tenth of the time since it was written."""
        self.ended += 1
        if result.outcome in ("done", "skipped"):
            try:
                self.known.add(result.run)
            except (ValueError, OSError) as error:
                result = replace(result, outcome="failed", message=f"not added to the ledger: {error}")
        if result.outcome == "failed":
            self.failures[result.run.name] = result.message
        detail = f": {result.message} (all of it in {result.run.folder / 'output.log'})" if result.message else ""
        took = "" if result.outcome == "skipped" else f" after {result.seconds:.0f} s"
        say(f"[{self.ended}/{len(self.plan)}] {result.run.name}: {result.outcome}{took}{detail}")
        if self.suite.ledger is None and result.outcome == "done" and self._is_cheap():
            try:
                self.write()
            except ValueError as error:  # said again, and counted, at the end
                say(f"no table yet: {error}")

    def _is_cheap(self) -> bool:
        return time.monotonic() - self._written > 10 * self._price

    def write(self) -> list[Path]:
        """Writes the table of the folders of the runs, and their state."""
        started = time.monotonic()
        write_state(self.suite, self.plan, self.failures)
        lacks = missing(self.plan, self.failures)

        def markdown(table: GainTable, columns: Columns) -> str:
            return "\n\n".join([to_markdown(table, columns), COST_NOTE, *lacks])

        paths = write_table(self.suite, collect(self.suite, self.plan), markdown)
        self._written = time.monotonic()
        self._price = self._written - started
        return paths


def _list(plan: Sequence[Planned], known: Known, *, overwrite: bool) -> int:
    for run in plan:
        try:
            states = {"done": "done", "resume": "to be resumed", "new": "to be run"}
            state = "in the ledger" if known(run) else states[run.state(overwrite=overwrite)]
        except ValueError as error:
            state = f"refused: {error}"
        more = "".join(f"\n  then {t.name}: {'done' if t.done() else 'to be judged'}" for t in run.transfers)
        say(f"{run.name}: {state}\n  python -m unirex.train {shlex.join(run.arguments)}{more}")
    say(f"{len(plan)} runs of {len(groups(plan))} models")
    return 0


def _close(progress: _Progress, paths: Sequence[Path] | None, *, stopped: bool) -> int:
    """Says where the table is and what failed; the exit code. A ledger's table has been named already."""
    for path in paths or ():
        if path.suffix == ".md":
            say("\n" + path.read_text(encoding="utf-8"))
    if paths is not None:
        say("written: " + (", ".join(map(str, paths)) if paths else "no table, since no run is finished"))
    for name, message in progress.failures.items():
        say(f"failed: {name}: {message}", error=True)
    if stopped:
        say("stopped; the same command goes on from there", error=True)
        return 130
    return 1 if progress.failures else 0

"""Runs a suite, reports the outcome of each run, and keeps ledger and table up to date."""

import itertools
import os
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from unirex.config.shards import read_shard
from unirex.disk.run_folder import RunFolder
from unirex.metrics.nrg_text import to_markdown
from unirex.suites.gather import collect, missing, write_state
from unirex.suites.grid import Crossed, cross
from unirex.suites.launch import LaunchConfig, Launcher, Result, groups
from unirex.suites.ledger import Entry, Ledger, newest
from unirex.suites.override import Override
from unirex.suites.plan import (
    Judged,
    Planned,
    check_overrides,
    completed_digest,
    make_plan,
    same_settings,
    settings_now,
    told_difference,
)
from unirex.suites.recipe import Suite
from unirex.suites.record import check_rows, fits, record
from unirex.suites.results import write_results
from unirex.suites.table import COST_NOTE, check_page, write_page, write_table
from unirex.text import say, suggest

P = TypeVar("P", bound=Planned)


def run_suite(suite: Suite, overrides: Sequence[Override], options: Any, page: Path | None) -> int:
    """Plans, lists or runs a suite, and writes its table; returns the exit code.

    Args:
        suite: what is run.
        overrides: settings of the command line.
        options: the command line.
        page: Markdown page that the table is put into.
    """
    check_overrides(suite, overrides)
    if page is not None:
        check_page(page, suite)
    if suite.grid is not None:
        return _run_grid(suite, overrides, options, page)
    plan = share(make_plan(suite, overrides, options.only), options.shard)
    recorded = Recorded(suite=suite, adopts=not options.dry_run)
    if options.dry_run:
        return _list([(run, recorded) for run in plan], options)
    for planned in () if options.table_only else plan:
        if not recorded(planned):  # what follows refuses before anything is started
            recorded.allow([planned], overwrite=options.overwrite)
            planned.state(overwrite=options.overwrite)
    suite.output.mkdir(parents=True, exist_ok=True)
    whole = _whole(suite, overrides) if options.only or options.shard else plan
    progress = _Progress(suite=suite, plan=plan, whole=whole, recorded=recorded)
    launcher = Launcher(config=_launch(options), report=progress.report, known=recorded, lenders=whole)
    if not options.table_only:
        launcher.run_all(plan)

    def show() -> None:
        if suite.ledger is not None:
            progress.write_state()
            write_results(suite, page, counting(whole))
        else:
            progress.show(page)

    return _close(show, progress.failures, stopped=launcher.stopped)


def _run_grid(suite: Suite, overrides: Sequence[Override], options: Any, page: Path | None) -> int:
    """Trains what open cells of a grid need, then judges each model by all scores at once; returns the exit code.

    Settings of `eval` on the command line are those of the judgment, and a method in `--only` is a model.
    """
    assert suite.grid is not None
    of_runs = [one for one in overrides if not one.key.startswith("eval.")]
    models = [name for name in options.only if name not in suite.data]
    for name in models:
        if name not in suite.grid.every_model:
            hint = suggest(name, [*suite.data, *suite.grid.every_model])
            raise ValueError(f"--only {name}: expected data sets or models of the grid{hint}")
    plan = make_plan(suite, of_runs, [name for name in options.only if name in suite.data])
    of_cells = _of_cells(overrides)
    crossed = share(cross(suite, plan, models, of_cells), options.shard)
    if not crossed and options.shard is None:
        raise ValueError(f"{suite.path}: models and scores of the grid have no seed in common, expected one")
    recorded = Recorded(suite=suite, adopts=not options.dry_run)
    cells = [one.left(lacking, suite, of_cells) for one in crossed if (lacking := recorded.lacks(one))]
    needed = list({name: run for one in cells for name, run in one.needs.items()}.values())
    nothing = Recorded(suite=replace(suite, ledger=None))  # the runs themselves have no entry in the ledger of a grid
    if options.dry_run:
        return _list([*((run, nothing) for run in needed), *((one, recorded) for one in crossed)], options)
    recorded.allow(cells, overwrite=options.overwrite)  # this and what follows refuse before anything is started
    for run in needed:
        run.state(overwrite=options.overwrite)
    suite.output.mkdir(parents=True, exist_ok=True)
    failures: dict[str, str] = {}
    for part, known in ((needed, nothing), (cells, recorded)):
        ready: list[Planned] = []
        for run in part:
            lacks = [name for name, one in run.needs.items() if not one.finished()] if isinstance(run, Crossed) else []
            if lacks:
                failures[run.name] = f"not judged without {', '.join(lacks)}"
            else:
                ready.append(run)
        progress = _Progress(suite=suite, plan=ready, whole=ready, recorded=known, failures=failures)
        launcher = Launcher(config=_launch(options), report=progress.report, known=known)
        launcher.run_all(ready)
        if launcher.stopped:
            break
    else:
        for run in filter(Planned.finished, needed):
            RunFolder(run.folder).drop_checkpoints()
    return _close(lambda: write_results(suite, page, counting(crossed)), failures, stopped=launcher.stopped)


def _of_cells(overrides: Sequence[Override]) -> list[Override]:
    """The settings of the judgment; its split is that of the scores."""
    found = [one for one in overrides if one.key.startswith("eval.")]
    if any(one.key == "eval.split" for one in found):
        raise ValueError("--set eval.split: expected a setting other than the split of a grid, which the scores have")
    return found


def counting(plan: Sequence[Planned]) -> Callable[[Entry], bool]:
    """Whether an entry is of the settings that the run of its name has in the plan; one that is not in it counts."""
    now = {(judged.label, judged.method, run.seed): judged.digest for run in plan for judged in run.judged}
    return lambda entry: entry.name[1:] not in now or same_settings(entry, now[entry.name[1:]])


def _whole(suite: Suite, overrides: Sequence[Override]) -> list[Planned]:
    """All runs of a suite of which a command starts some; what cannot run is left out."""
    with suppress(ValueError):
        return make_plan(suite, overrides)
    found: list[Planned] = []
    for name in itertools.product(suite.data, suite.methods):
        with suppress(ValueError):
            found += make_plan(suite, overrides, name)
    labels, methods = [suite.label(*point) for point in suite.points], list(suite.methods)
    return sorted(found, key=lambda run: (labels.index(run.label), methods.index(run.method)))


def share(plan: Sequence[P], which: str | None) -> list[P]:
    """The I-th of N shares of a plan, for "I/N", as even as groups that share a model allow."""
    if which is None:
        return list(plan)
    return [run for group in read_shard(which).share(groups(plan)) for run in group]


@dataclass(kw_only=True)
class Recorded:
    """Whether the ledger has the result of a run; without a ledger it has none.

    Attributes:
        suite: whose.
        adopts: whether an entry of the same settings under another name, or in another ledger of the folder, is added
            under the suite's.
    """

    suite: Suite
    adopts: bool = True
    _ledger: Ledger | None = field(init=False)
    _beside: dict[str, Entry] | None = None
    _todays: dict[str, str] = field(default_factory=dict)
    _guard: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        """Opens the ledger."""
        self._ledger = None if self.suite.ledger is None else Ledger(path=self.suite.ledger)

    def __call__(self, run: Planned) -> bool:
        """Whether everything that the run is judged on has an entry."""
        return not self.lacks(run)

    def lacks(self, run: Planned) -> list[Judged]:
        """What of a run has no entry."""
        if self._ledger is None:
            return list(run.judged)
        with self._guard:  # workers ask while results are added
            entries = self._ledger.entries()
            return [judged for judged in run.judged if not self._has(self._ledger, entries, run, judged)]

    def add(self, run: Planned) -> None:
        """Adds what a run has left, and deletes the checkpoints of a finished one, which are of no more use."""
        with self._guard:
            self._beside = None  # another suite may have added the same run meanwhile
        if self._ledger is not None and not self(run):
            record(self.suite, self._ledger, run)
            if run.finished():
                RunFolder(run.folder).drop_checkpoints()

    def allow(self, runs: Sequence[Planned], *, overwrite: bool) -> None:
        """Refuses runs whose results stand in the ledger with other settings, of which they would take the place.

        Raises:
            ValueError: there is such a result, and it is not to be overwritten.
        """
        if self._ledger is None or overwrite:
            return
        counting = newest(self._ledger.entries(), self.suite.path.stem)
        for run, judged in ((one, judged) for one in runs for judged in one.judged):
            entry = counting.get((judged.label, judged.method, run.seed))
            if entry is None:
                check_rows(self.suite, run, judged, self._ledger)
            elif not same_settings(entry, judged.digest):
                other = told_difference(settings_now(entry), judged.config)
                raise ValueError(
                    f"{self._ledger.path} has a result of other settings for {'/'.join(map(str, entry.name[1:]))} "
                    f"({other}), expected the same, another suite, or --overwrite true"
                )

    def _has(self, ledger: Ledger, entries: Sequence[Entry], run: Planned, judged: Judged) -> bool:
        """Whether the entry of this name has these settings; a setting added since then had its default.

        An entry of the same settings that does not count, under another name or in a ledger beside this one is added
        again if `adopts`: its row values are here, and a second run's would take their place.
        """
        suite, wanted = self.suite.path.stem, judged.digest
        own = newest(entries, suite).get((judged.label, judged.method, run.seed))
        if own is not None:
            return same_settings(own, wanted) and ledger.rows(own).is_file()
        other = next((entry for entry in entries if wanted in (entry.digest, self._today(entry))), None)
        if other is None:
            other = self._elsewhere(ledger).get(wanted)
        if other is not None and not fits(self.suite, run, judged, ledger.rows(other)):
            return False
        if other is not None and self.adopts:
            ledger.add(replace(other, suite=suite, data=judged.label, method=judged.method, seed=run.seed))
        return other is not None

    def _elsewhere(self, ledger: Ledger) -> dict[str, Entry]:
        """Digest of settings, as written then and as today -> an entry of a ledger beside this one."""
        if self._beside is None:
            self._beside = {}
            for entry in ledger.beside():
                self._beside[entry.digest] = entry
                self._beside.setdefault(self._today(entry), entry)
        return self._beside

    def _today(self, entry: Entry) -> str:
        """The digest of an entry's settings as they would be written today."""
        if entry.digest not in self._todays:
            self._todays[entry.digest] = entry.digest
            with suppress(ValueError, KeyError):  # of a method that this installation lacks
                self._todays[entry.digest] = completed_digest(entry.config)
        return self._todays[entry.digest]


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
        imports=tuple(options.imports),
    )


@dataclass(kw_only=True)
class _Progress:
    """Reports results as they come, and keeps the ledger up to date, and the table if that is quick.

    Attributes:
        suite: whose.
        plan: the runs that are reported.
        whole: those that the table may have: of earlier commands too.
        recorded: whether the ledger has them.
        failures: name of a run -> why it failed.
        ended: how many of the plan.
    """

    suite: Suite
    plan: Sequence[Planned]
    whole: Sequence[Planned]
    recorded: Recorded
    failures: dict[str, str] = field(default_factory=dict)
    ended: int = 0
    _written: float = 0.0
    _price: float = 0.0

    def report(self, result: Result) -> None:
        """Prints one line, and writes the table if that takes less than a tenth of the time since it was written."""
        self.ended += 1
        try:
            self.recorded.add(result.run)  # of a run that failed or was stopped, what is done
        except (ValueError, OSError) as error:
            told = f"not added to the ledger: {error}"
            message = "; ".join(filter(None, [result.message, told]))
            result = replace(result, outcome="failed", message=message)
        if result.outcome == "failed":
            self.failures[result.run.name] = result.message
        detail = f": {result.message} (full output in {result.run.folder / 'output.log'})" if result.message else ""
        took = "" if result.outcome == "skipped" else f" after {result.seconds:.0f} s"
        say(f"[{self.ended}/{len(self.plan)}] {result.run.name}: {result.outcome}{took}{detail}")
        cheap = time.monotonic() - self._written > 10 * self._price
        if self.suite.ledger is None and result.outcome == "done" and cheap:
            try:
                self.write()
            except (ValueError, OSError) as error:  # raised again at the end
                say(f"no table yet: {error}")

    def write_state(self) -> None:
        """Writes what became of all runs of the suite."""
        there = Recorded(suite=self.suite, adopts=False)
        done = {run.name for run in self.whole if there(run) or run.judged_everywhere()}
        write_state(self.suite, self.whole, self.failures, done)

    def write(self) -> tuple[list[Path], str]:
        """Writes the table of the folders of the runs, and their state; paths and Markdown."""
        started = time.monotonic()
        self.write_state()
        notes = [*filter(None, [self.suite.table.note]), COST_NOTE, *missing(self.whole, self.failures)]
        found = collect(self.suite, self.whole)
        written = write_table(
            self.suite, found, lambda table, columns: "\n\n".join([to_markdown(table, columns), *notes])
        )
        self._written = time.monotonic()
        self._price = self._written - started
        return written

    def show(self, page: Path | None) -> None:
        """Writes the table, also into a page, and prints it and where it is."""
        paths, text = self.write()
        if not paths:
            say("written: no table, since no run is finished")
            return
        if page is not None:
            write_page(page, self.suite, text)
        say(f"\n{text}\n")
        say("written: " + ", ".join(map(str, paths)))


def _list(plan: Sequence[tuple[Planned, Recorded]], options: Any) -> int:
    refused = False
    for run, recorded in plan:
        there = False
        try:
            states = {"done": "done", "resume": "to be resumed", "new": "to be run"}
            there = recorded(run)
            recorded.allow([run], overwrite=options.overwrite)
            state = "in the ledger" if there else states[run.state(overwrite=options.overwrite)]
        except ValueError as error:
            state, refused = f"refused: {error}", True
        left = () if there else run.transfers
        more = "".join(f"\n  then {t.name}: {'done' if t.done() else 'to be judged'}" for t in left)
        command = shlex.join([*options.imports, *run.arguments])
        told = "" if isinstance(run, Crossed) else f"\n  python -m unirex.train {command}"
        say(f"{run.name}: {state}{told}{more}")
    say(f"{len(plan)} runs of {len(groups([run for run, _ in plan]))} models")
    return 2 if refused else 0


def _close(show: Callable[[], object], failures: Mapping[str, str], *, stopped: bool) -> int:
    """Shows the results, and reports what failed also where they cannot be shown; the exit code."""
    try:
        show()
    finally:
        for name, message in failures.items():
            say(f"failed: {name}: {message}", error=True)
    if stopped:
        say("stopped; the same command continues from there", error=True)
        return 130
    return 1 if failures else 0

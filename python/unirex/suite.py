"""`python -m unirex.suite X.yaml`: runs methods on data sets with seeds, skips what is done, and writes the table."""

import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from unirex.config import expand, fail, one_line
from unirex.suites.launch import LaunchConfig, Launcher, Result
from unirex.suites.plan import Planned, make_plan
from unirex.suites.recipe import Suite, read_override, read_suite
from unirex.suites.table import write_page, write_state, write_table


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 1 after a failed run, 2 for bad input, 130 for Ctrl-C."""
    try:
        return run(_parse(list(sys.argv[1:] if argv is None else argv)))
    except (ValueError, OSError) as error:
        return fail(error)
    except KeyboardInterrupt:
        return 130


def _parse(argv: list[str]) -> Any:
    parser = ArgumentParser(prog="unirex.suite", description=__doc__, exit_on_error=False, allow_abbrev=False)
    add = parser.add_argument
    add("recipe", type=str, help="YAML file of the suite (docs/suites.md)")
    add("--only", type=str, nargs="+", default=[], help="data sets, methods or both: the others are left out")
    add(
        "--set",
        type=str,
        nargs="+",
        action="extend",
        default=[],
        help="[NAME:]KEY=VALUE for every run, or those of a method or data set",
    )
    add("--seeds", type=int, nargs="+", default=[], help="instead of the suite's")
    add("--output", type=str | None, default=None, help="folder of runs and table, instead of the suite's")
    add("--jobs", type=int, default=1, help="runs at a time")
    add("--processes", type=int, default=1, help="of each run, through accelerate launch")
    add("--devices", type=str, nargs="+", default=[], help="GPUs to spread the jobs over, such as 0 1")
    add("--overwrite", type=bool, default=False, help="replace runs of other configurations")
    add("--dry_run", "--dry-run", action="store_true", help="list the runs, whether they are done, and their commands")
    add("--table_only", "--table-only", action="store_true", help="write the table of what is done; start no run")
    add("--page", type=str | None, default=None, help="Markdown page that the table is put into, between its marks")
    try:
        options = parser.parse_args(argv)
    except ArgumentError as error:
        raise ValueError(one_line(str(error), parser)) from None
    for name in ("jobs", "processes"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} is {getattr(options, name)}, expected at least 1")
    return options


def run(options: Any) -> int:
    """Plans, lists or runs, and writes the table; returns the exit code."""
    suite = read_suite(options.recipe)
    if options.output is not None:
        suite = replace(suite, output=Path(expand(options.output, "--output")))
    if options.seeds:
        suite = replace(suite, seeds=tuple(dict.fromkeys(options.seeds)))
    overrides = [read_override(text) for text in options.set]
    plan = make_plan(suite, overrides, options.only)
    if options.dry_run:
        return _list(plan, overwrite=options.overwrite)
    for planned in () if options.table_only else plan:
        planned.state(overwrite=options.overwrite)  # refuses before anything is started
    suite.output.mkdir(parents=True, exist_ok=True)
    progress = _Progress(suite=suite, plan=plan)
    stopped = False
    if not options.table_only:
        launcher = Launcher(config=_launch(options), report=progress.report, say=_say)
        launcher.run_all(plan)
        stopped = launcher.stopped
    paths = progress.write()
    if paths and options.page is not None:
        write_page(Path(options.page), suite)
    return _close(progress, paths, stopped=stopped)


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
    """Reports results as they come, and keeps the table up to date where that is cheap."""

    suite: Suite
    plan: list[Planned]
    failures: dict[str, str] = field(default_factory=dict)
    ended: int = 0
    _written: float = 0.0
    _price: float = 0.0

    def report(self, result: Result) -> None:
        """Prints one line, and writes the table if that takes less than a tenth of the time since it was written."""
        self.ended += 1
        if result.outcome == "failed":
            self.failures[result.run.name] = result.message
        detail = f": {result.message} (all of it in {result.run.folder / 'output.log'})" if result.message else ""
        took = "" if result.outcome == "skipped" else f" after {result.seconds:.0f} s"
        _say(f"[{self.ended}/{len(self.plan)}] {result.run.name}: {result.outcome}{took}{detail}")
        if result.outcome == "done" and time.monotonic() - self._written > 10 * self._price:
            try:
                self.write()
            except ValueError as error:  # said again, and counted, at the end
                _say(f"no table yet: {error}")

    def write(self) -> list[Path]:
        """Writes the table and the state of the runs."""
        started = time.monotonic()
        write_state(self.suite, self.plan, self.failures)
        paths = write_table(self.suite, self.plan, self.failures)
        self._written = time.monotonic()
        self._price = self._written - started
        return paths


def _list(plan: Sequence[Planned], *, overwrite: bool) -> int:
    for run in plan:
        try:
            state = {"done": "done", "resume": "to be resumed", "new": "to be run"}[run.state(overwrite=overwrite)]
        except ValueError as error:
            state = f"refused: {error}"
        more = "".join(f"\n  then {t.name}: {'done' if t.done() else 'to be judged'}" for t in run.transfers)
        _say(f"{run.name}: {state}\n  python -m unirex.train {shlex.join(run.arguments)}{more}")
    _say(f"{len(plan)} runs")
    return 0


def _close(progress: _Progress, paths: Sequence[Path], *, stopped: bool) -> int:
    """Says where the table is and what failed; the exit code."""
    for path in paths:
        if path.suffix == ".md":
            _say("\n" + path.read_text(encoding="utf-8"))
    _say("written: " + (", ".join(map(str, paths)) if paths else "no table, since no run is finished"))
    for name, message in progress.failures.items():
        print(f"failed: {name}: {message}", file=sys.stderr)  # noqa: T201
    if stopped:
        print("stopped; the same command goes on from there", file=sys.stderr)  # noqa: T201
        return 130
    return 1 if progress.failures else 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())

"""`python -m unirex.suite X.yaml`: runs methods on data sets with seeds, skips what is done, and writes the table."""

if __name__ == "__main__":  # Ctrl-C during the imports below is quiet in the command unirex
    from importlib import import_module

    import_module("unirex.cli").program("suite")

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from unirex.config.command_line import add_import, expand, guarded
from unirex.config.loading import load
from unirex.config.own_code import OPTION, import_own
from unirex.parsing import rephrased
from unirex.suites.override import read_override
from unirex.suites.recipe import read_suite


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 1 after a failed run, 2 for bad input, 130 for Ctrl-C."""
    return guarded(lambda given: run(_parse(given)), argv)


def _parse(argv: list[str]) -> Any:
    parser = ArgumentParser(prog="unirex.suite", description=__doc__, exit_on_error=False, allow_abbrev=False)
    add = parser.add_argument
    add("recipe", type=str, help="YAML file of the suite (docs/suites.md), or name of a recipe")
    add("--include", type=str, action="append", default=[], help="folder with recipes of your own, once for each")
    add_import(parser)
    add(
        "--only",
        type=str,
        nargs="+",
        action="extend",
        default=[],
        help="data sets, methods or both: the others are left out",
    )
    add(
        "--set",
        type=str,
        nargs="+",
        action="extend",
        default=[],
        help="[NAME:]KEY=VALUE for every run, or those of a method or data set",
    )
    add("--seeds", type=int, nargs="+", action="extend", default=[], help="instead of the suite's")
    add("--output", type=str | None, default=None, help="folder of runs and table, instead of the suite's")
    add("--jobs", type=int, default=1, help="runs at a time")
    add("--processes", type=int, default=1, help="processes of each run, through accelerate launch")
    add("--devices", type=str, nargs="+", action="extend", default=[], help="GPUs to spread the jobs over, such as 0 1")
    add("--shard", type=str | None, default=None, help="I/N: only the I-th of N shares of the runs, I from 1")
    add("--overwrite", type=bool, default=False, help="replace runs of other configurations")
    add("--dry_run", "--dry-run", action="store_true", help="list the runs, whether they are done, and their commands")
    add("--table_only", "--table-only", action="store_true", help="write the table of what is done; start no run")
    add("--page", type=str | None, default=None, help="Markdown page that the table is put into, between its marks")
    add("--choose", type=str | None, default=None, help="write what a finished sweep decides, as JSON; start no run")
    imports, argv = import_own(argv)
    with rephrased(parser):
        options = parser.parse_args(argv)
    for name in ("jobs", "processes"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} is {getattr(options, name)}, expected at least 1")
    options.imports = [f"{OPTION}={name}" for name in imports]  # for every run
    return options


def _check_read(options: Any, *, ledger: bool) -> None:
    """Refuses options of runs where none is started and the ledger as a whole is read."""
    for mode, asked, more in (
        ("--choose", options.choose is not None, ("table_only", "page")),
        ("--table-only and a ledger", options.table_only and ledger, ()),
    ):
        for name in ("only", "set", "shard", "dry_run", "overwrite", *more) if asked else ():
            if getattr(options, name):
                raise ValueError(f"--{name.replace('_', '-')}: nothing reads it with {mode}, expected it left out")


def run(options: Any) -> int:
    """Reads the suite, then runs it or shows what is done; returns the exit code."""
    suite = read_suite(options.recipe, options.include)
    _check_read(options, ledger=suite.ledger is not None)
    if options.output is not None:
        suite = replace(suite, output=Path(expand(options.output, "--output")))
    if options.seeds:
        suite = suite.with_seeds(options.seeds)
    overrides = [read_override(text) for text in options.set]
    # Not at the top: each of these imports more than a help needs.
    if options.choose is not None:
        from unirex.suites.choice import write_choice

        return write_choice(suite, Path(options.choose))
    page = None if options.page is None else Path(options.page)
    if suite.ledger is not None and options.table_only:
        from unirex.suites.results import write_results

        return write_results(suite, page)
    load("unirex.suites.session")  # needs torch
    from unirex.suites.session import run_suite

    return run_suite(suite, overrides, options, page)

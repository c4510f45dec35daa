"""The command `unirex-report`: runs in, one page out; or text in the terminal, or plots in a folder."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from unirex.metrics.commands.cli import guarded
from unirex.metrics.commands.options import add_reading, parse

PROGRAM = "unirex-report"
ABOUT = "One self-contained page about one or several runs, from what they saved."
DEFAULT = "report.html"


def arguments(parser: ArgumentParser) -> None:
    """Adds the arguments."""
    add = parser.add_argument
    add(
        "runs",
        nargs="+",
        type=str,
        help="folders of runs or evaluations, a folder of such folders, or files of predictions or explanations; "
        "several stand side by side",
    )
    add("--output", "-o", type=str | None, help=f"the page; {DEFAULT} unless --terminal, --plots or --json is given")
    add("--terminal", action="store_true", help="print the report; in color where the output is a terminal")
    add("--json", type=str | None, help="also write verdict and metrics by predicted class as JSON into this file")
    add("--plots", type=str | None, help="also write every figure into this folder")
    add("--formats", type=str, nargs="+", help="of the plots: png, svg, pdf; default: png svg")
    add(
        "--names",
        type=str,
        nargs="+",
        action="extend",
        help="what the runs are called, by default the ends of their paths",
    )
    add("--instances", type=int | None, help="most instances shown; by default 120, of explanations 10,000")
    add("--words", type=int | None, help="most words shown, over all; by default 60,000, of explanations 360,000")
    add_reading(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 2 with one line on stderr if the input or an option is wrong; then no page is written."""
    return guarded(PROGRAM, lambda: _run(list(sys.argv[1:] if argv is None else argv)))


def _run(given: Sequence[str]) -> int:
    if given == ["--version"]:
        from unirex import __version__

        print(__version__)  # noqa: T201
        return 0
    return _report(parse(PROGRAM, ABOUT, arguments, given))


def _report(options: Mapping[str, Any]) -> int:
    """Builds the report and shows it in the ways asked for; 0."""
    from unirex.metrics.commands.options import reading, resampling
    from unirex.report.document import Limits
    from unirex.report.run_report import build, check_page_name

    output, terminal, plots = options["output"], options["terminal"], options["plots"]
    if plots is None and options["formats"] is not None:
        raise ValueError(f"formats is {options['formats']}, expected --plots FOLDER with it")
    check_page_name(output or DEFAULT)
    _check_outputs(options)
    report = build(
        *options["runs"],
        names=options["names"],
        limits=Limits(instances=options["instances"], words=options["words"]),
        resampling=resampling(options),
        **reading(options),
    )
    if terminal:
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        width = shutil.get_terminal_size().columns
        sys.stdout.write(report.to_text(color=color, width=width) + "\n")
    if plots is not None:
        paths = report.save_plots(plots, options["formats"] or ("png", "svg"))
        print(f"{len(paths)} plots in {plots}", file=sys.stderr)  # noqa: T201
    if options["json"] is not None:
        report.save_json(options["json"])
        print(options["json"], file=sys.stderr)  # noqa: T201
    if output is not None or not (terminal or plots or options["json"]):
        report.save(output or DEFAULT)
        print(output or DEFAULT, file=sys.stderr)  # noqa: T201
    return 0


def _check_outputs(options: Mapping[str, Any]) -> None:
    """Refuses a page or a file of JSON in the place of what is read, and JSON in that of the page.

    Raises:
        ValueError: it would be lost.
    """
    from unirex.disk.run_folder import RunFolder
    from unirex.metrics.commands.output import refuse_inputs
    from unirex.report.found import read_folders

    page, as_json = options["output"], options["json"]
    if page is None and as_json is None:
        return
    read: list[str] = []
    for one in read_folders(options["runs"], options["names"]):
        folder = RunFolder(one.where)
        read += [one.where, one.predictions or one.where, *one.references.values(), *one.others]
        read += map(str, (folder.config, folder.log, folder.metrics, folder.warnings, folder.cost))
    for option, path in (("output", page), ("json", as_json)):
        refuse_inputs(path, read, option)
        if path is not None and Path(path).resolve() in (Path(file).resolve() for file in read):  # there or not
            raise ValueError(f"{option} is {path!r}, expected another file than those that are read")
    if as_json is not None and Path(as_json).resolve() == Path(page or DEFAULT).resolve():
        raise ValueError(f"json is {as_json!r}, expected another file than the page")


if __name__ == "__main__":
    raise SystemExit(main())

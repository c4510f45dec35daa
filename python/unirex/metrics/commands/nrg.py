"""`unirex-metrics nrg`: many methods on many data sets, raw and as normalized relative gain."""

import sys
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser

from unirex.metrics.commands.options import Options, add_reading, reading, resampling
from unirex.metrics.commands.output import refuse_inputs, save
from unirex.metrics.commands.progress import progress
from unirex.text import plain, suggest


def arguments(parser: ArgumentParser) -> None:
    """Adds the arguments of `nrg`."""
    add = parser.add_argument
    add(
        "runs",
        type=str,
        help="a pattern like runs/{method}/{data}/{seed}/predictions.parquet, or a YAML, JSON or CSV list",
    )
    add(
        "--controls",
        type=str,
        nargs="+",
        action="extend",
        default=[],
        help="methods that are shown but never set minimum or maximum",
    )
    add("--against", type=str | None, help="compare every CNRG with that of this method; default: the best")
    add("--frozen", type=str | None, help="take minimum and maximum from this file")
    add("--freeze", type=str | None, help="write minimum and maximum to this file")
    add("--engine", type=Literal["local", "ray"], default="local", help="ray: score every run on a Ray cluster")
    add_reading(parser, spans=False)
    add("--format", type=Literal["text", "markdown", "latex", "csv", "json"], default="text", help="of the table")
    add("--output", type=str | None, help="also write the table to this file")


def run(options: Options) -> int:
    """Prints and writes the table; 0."""
    # Imported here, so that help need not wait for them.
    from unirex.metrics.nrg import gain_table
    from unirex.metrics.nrg_text import FORMATS, check_frozen, ends_to_json, read_frozen
    from unirex.metrics.runs import read_runs

    against, path = options["against"], options["frozen"]
    frozen = None if path is None else read_frozen(path, options["convention"])
    runs = read_runs(options["runs"])
    read = [options["runs"], *(run.path for run in runs)]
    refuse_inputs(options["output"], read if path is None else [*read, path])
    refuse_inputs(options["freeze"], read, "freeze")
    if options["freeze"] is not None and Path(options["freeze"]).resolve() == Path(options["output"] or "").resolve():
        raise ValueError(f"freeze is {options['freeze']!r}, expected another file than output")
    with progress("nrg", "runs") as show:
        table = gain_table(
            runs,
            controls=options["controls"],
            frozen=None if frozen is None else frozen.ends,
            resampling=resampling(options),
            progress=show,
            engine=options["engine"],
            **reading(options),
        )
    if frozen is not None:
        check_frozen(frozen, table)
    if against is not None and against not in table.methods:
        found = f"{against!r}, expected one of {list(table.methods)}{suggest(against, table.methods)}"
        raise ValueError(f"against is {found}")
    text = FORMATS[options["format"]](table, against=against)
    save((options["output"], text), (options["freeze"], ends_to_json(table, frozen)))
    sys.stdout.write(plain(text) + "\n")
    return 0

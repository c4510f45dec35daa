"""`unirex-metrics score`: one column of metrics per system."""

import os
import sys
from typing import Literal

from jsonargparse import ArgumentParser

from unirex.metrics.commands.options import Options, add_output, add_reading, reading, resampling
from unirex.metrics.commands.output import refuse_inputs, save
from unirex.metrics.commands.progress import progress
from unirex.text import plain


def arguments(parser: ArgumentParser) -> None:
    """Adds the arguments of `score`."""
    parser.epilog = "Options for results in the format of the ERASER benchmark: score --data-dir D --help"
    add = parser.add_argument
    help_systems = "a file, or a directory or quoted glob pattern of shards: each is one system, one column"
    add("systems", nargs="+", type=str, help=help_systems)
    add_reading(parser)
    help_all = "in the table also single fractions, classes and secondary metrics (log-odds, entropy, KL, flips, …)"
    add("--all", action="store_true", help=help_all)
    add("--engine", type=Literal["local", "ray"], default="local", help="ray: score the row groups on a Ray cluster")
    add_output(parser)


def run(options: Options) -> int:
    """Scores every system, prints the table and writes the result; 0."""
    # Imported here, so that help need not wait for them.
    from unirex.metrics.report import Report, to_json, to_text
    from unirex.metrics.scoring import score

    refuse_inputs(options["output"], options["systems"])
    reports: list[Report] = []
    for system in options["systems"]:
        with progress(os.path.basename(system) or system) as show:  # noqa: PTH119 (a pattern is no path)
            settings = {"resampling": resampling(options), "progress": show, "engine": options["engine"]}
            reports.append(score(system, **settings, **reading(options)))
    text = to_json(reports)
    save((options["output"], text))
    sys.stdout.write(plain(text if options["json"] else to_text(reports, all_metrics=options["all"])) + "\n")
    return 0

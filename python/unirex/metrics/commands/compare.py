"""`unirex-metrics compare`: the first system against each of the others."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import ArgumentParser

from unirex.metrics.commands.options import Options, add_output, add_reading, reading, resampling
from unirex.metrics.commands.output import refuse_inputs, save
from unirex.metrics.commands.progress import progress
from unirex.text import plain

if TYPE_CHECKING:
    from unirex.metrics.differences import Comparison


def arguments(parser: ArgumentParser) -> None:
    """Adds the arguments of `compare`."""
    help_systems = "two or more files, directories or patterns, ours first; {seed} in a path stands for a run's seed"
    parser.add_argument("systems", nargs="+", type=str, help=help_systems)
    parser.add_argument("--metrics", type=str, nargs="+", action="extend", help="which to test; default: the main ones")
    parser.add_argument("--intersect", action="store_true", help="compare the ids that all systems have")
    help_engine = "ray: read each system on a processor of a Ray cluster"
    parser.add_argument("--engine", type=Literal["local", "ray"], default="local", help=help_engine)
    add_reading(parser, replicates=10_000, none="")
    add_output(parser)


def run(options: Options) -> int:
    """Compares the systems, prints the table and writes the result; 0."""
    # Imported here, so that help need not wait for them.
    from unirex.metrics.comparison import compare
    from unirex.metrics.shown import as_json

    refuse_inputs(options["output"], options["systems"])
    settings = {name: options[name] for name in ("metrics", "intersect", "engine")}
    with progress("compare") as show:
        found = compare(
            options["systems"], resampling=resampling(options), progress=show, **settings, **reading(options)
        )
    text = as_json(_as_dict(found))
    save((options["output"], text))
    sys.stdout.write(plain(text if options["json"] else found.to_text()) + "\n")
    return 0


def _as_dict(found: "Comparison") -> dict[str, Any]:
    pairs = [
        {"other": report.about["source"], "metrics": [asdict(row) for row in rows]}
        for report, rows in zip(found.reports[1:], found.differences, strict=True)
    ]
    first = found.reports[0]
    return {
        "first": first.about["source"],
        "convention": first.convention,
        "rows": found.n_rows,
        "left_out": found.left_out,
        "seeds": found.seeds,
        "resampling": first.resampling,
        "pairs": pairs,
        "notes": found.notes,
    }

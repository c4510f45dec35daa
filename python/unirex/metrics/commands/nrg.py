"""`unirex-metrics nrg`: many methods on many data sets, raw and as normalized relative gain."""

import sys
from collections.abc import Sequence
from typing import Any, Literal

from jsonargparse import ArgumentParser

from unirex.metrics.commands.options import add_reading
from unirex.metrics.commands.output import save
from unirex.metrics.commands.progress import progress
from unirex.metrics.nrg import gain_table
from unirex.metrics.nrg_text import FORMATS, ends_to_json, read_ends
from unirex.metrics.runs import read_runs
from unirex.metrics.state import Resampling
from unirex.text import plain, suggest


def arguments(parser: ArgumentParser) -> None:
    """Adds the arguments of `nrg`."""
    add = parser.add_argument
    add(
        "runs",
        type=str,
        help="a pattern like runs/{method}/{data}/{seed}/predictions.parquet, or a YAML, JSON or CSV list",
    )
    add("--controls", type=str, nargs="+", default=[], help="methods that are shown but never set minimum or maximum")
    add("--against", type=str | None, help="compare every CNRG with that of this method; default: the best")
    add("--frozen", type=str | None, help="take minimum and maximum from this file")
    add("--freeze", type=str | None, help="write minimum and maximum to this file")
    add("--engine", type=Literal["local", "ray"], default="local", help="ray: score every run on a Ray cluster")
    add_reading(parser)
    add("--format", type=Literal["text", "markdown", "latex", "csv", "json"], default="text", help="of the table")
    add("--output", type=str | None, help="also write the table to this file")


def run(
    runs: str,
    *,
    controls: Sequence[str],
    against: str | None,
    frozen: str | None,
    freeze: str | None,
    replicates: int,
    seed: int,
    confidence: float,
    format: str,  # noqa: A002 (the option's name)
    output: str | None,
    **reading: Any,
) -> int:
    """Prints and writes the table; 0."""
    ends = None if frozen is None else read_ends(frozen, reading["convention"])
    with progress("nrg", "runs") as show:
        table = gain_table(
            read_runs(runs),
            controls=controls,
            frozen=ends,
            resampling=Resampling(replicates=replicates, seed=seed, confidence=confidence),
            progress=show,
            **reading,
        )
    if against is not None and against not in table.methods:
        found = f"{against!r}, expected one of {list(table.methods)}{suggest(against, table.methods)}"
        raise ValueError(f"against is {found}")
    text = FORMATS[format](table, against=against)
    save(output, text)
    save(freeze, ends_to_json(table))
    sys.stdout.write(plain(text) + "\n")
    return 0

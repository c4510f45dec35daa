"""`unirex-metrics score`: one column of metrics per system."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jsonargparse import ArgumentParser

from unirex.metrics.cluster import Engine
from unirex.metrics.commands.options import add_output, add_reading
from unirex.metrics.commands.output import save
from unirex.metrics.commands.progress import progress
from unirex.metrics.definitions import Convention
from unirex.metrics.report import Report, to_json, to_text
from unirex.metrics.scoring import score
from unirex.metrics.state import Resampling
from unirex.text import plain


def arguments(parser: ArgumentParser) -> None:
    """Adds the arguments of `score`."""
    add = parser.add_argument
    help_systems = "a file, or a directory or quoted glob pattern of shards: each is one system, one column"
    add("systems", nargs="+", type=str, help=help_systems)
    add_reading(parser)
    add("--all", action="store_true", help="also single fractions, classes and pooled counts in the table")
    add("--engine", type=Literal["local", "ray"], default="local", help="ray: score the row groups on a Ray cluster")
    add_output(parser)


def run(
    systems: Sequence[str],
    *,
    convention: Convention,
    perturbation: Sequence[str] | None,
    scorer: str,
    iou_thresholds: Sequence[float],
    replicates: int,
    seed: int,
    confidence: float,
    columns: Mapping[str, str] | None,
    labels: Sequence[str] | None,
    engine: Engine,
    json: bool,
    output: str | None,
    **options: Any,
) -> int:
    """Scores every system, prints the table and writes the result; 0."""
    resampling = Resampling(replicates=replicates, seed=seed, confidence=confidence)
    reports: list[Report] = []
    for system in systems:
        with progress(os.path.basename(system) or system) as show:  # noqa: PTH119 (a pattern is no path)
            reports.append(
                score(
                    system,
                    convention,
                    perturbation,
                    scorer,
                    iou_thresholds,
                    resampling=resampling,
                    columns=columns,
                    labels=labels,
                    progress=show,
                    engine=engine,
                )
            )
    text = to_json(reports)
    save(output, text)
    sys.stdout.write(plain(text if json else to_text(reports, all_metrics=options["all"])) + "\n")
    return 0

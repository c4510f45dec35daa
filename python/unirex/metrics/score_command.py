"""`unirex-metrics score`: one column of metrics per system."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jsonargparse import ArgumentParser

from unirex.metrics.definitions import Convention
from unirex.metrics.progress import progress
from unirex.metrics.report import Report, to_json, to_text
from unirex.metrics.scoring import score
from unirex.metrics.state import Resampling


def add_reading(parser: ArgumentParser) -> None:
    """Adds the options about how files are read, shared by the commands that read predictions."""
    add = parser.add_argument
    add("--convention", type=Literal["strict", "unirex"], default="strict", help="whose definitions (docs/metrics.md)")
    add("--perturbation", type=str, nargs="+", help="which of the file's, the default one first")
    add("--scorer", type=str, default="self", help="whose probabilities: self or a check model of the file")
    add(
        "--iou_thresholds",
        "--iou-thresholds",
        type=float,
        nargs="+",
        default=[0.5],
        help="for span F1, in (0, 1]",
    )
    add("--replicates", type=int, default=1000, help="bootstrap replicates; 0 = no intervals")
    add("--seed", type=int, default=0, help="of the resampling")
    add("--confidence", type=float, default=0.95, help="share of the replicates inside an interval")
    add("--columns", type=dict[str, str] | None, help='our column -> name in the file, e.g. {"scores": "attributions"}')
    add(
        "--labels",
        type=str,
        nargs="+",
        help="classes in the order of the probabilities, for foreign files",
    )


def arguments(parser: ArgumentParser) -> None:
    """Adds the arguments of `score`."""
    add = parser.add_argument
    help_systems = "a file, or a directory or quoted glob pattern of shards: each is one system, one column"
    add("systems", nargs="+", type=str, help=help_systems)
    add_reading(parser)
    add("--all", action="store_true", help="also single fractions, classes and pooled counts in the table")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--output", type=str | None, help="also write JSON to this file")


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
                )
            )
    text = to_json(reports)
    if output is not None:
        from unirex.files import atomic_write

        with atomic_write(output, "w") as file:
            file.write(text + "\n")
    sys.stdout.write((text if json else to_text(reports, all_metrics=options["all"])) + "\n")
    return 0

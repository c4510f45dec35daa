"""`unirex-metrics score RESULTS --data-dir D`: results in the format of the ERASER benchmark.

Imports are made where they are used: by the benchmark's own conventions scoring takes less time than importing the
option parser of the other commands.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from unirex.metrics.eraser.benchmark import AOPC_THRESHOLDS, IOU_THRESHOLDS, score_eraser
from unirex.text import line, plain

ABOUT = "Scores results in the format of the ERASER benchmark against its annotations."
CONVENTIONS = ("strict", "eraser", "paper")


class _Parser(argparse.ArgumentParser):
    """A parser that complains in one line."""

    def error(self, message: str) -> NoReturn:
        """Raises what is wrong with an option."""
        from unirex.text import suggest

        unknown = next((word for word in message.split() if word.startswith("--")), "")
        known = [option for action in self._actions for option in action.option_strings]
        raise ValueError(message + (suggest(unknown, known) if unknown and "unrecognized" in message else ""))


def run(argv: Sequence[str]) -> int:
    """Scores results, prints the scores and writes them; 0.

    Raises:
        ValueError: what is wrong with an option or the input, in one line.
    """
    options = _parser().parse_args(argv)
    options.systems += [] if options.results is None else [options.results]
    if not options.systems:
        raise ValueError("no results given, expected a file or a quoted glob pattern of shards")
    if options.output is not None:
        from unirex.metrics.commands.output import refuse_inputs

        names = (f"{name}.jsonl{packed}" for name in (options.split, "docs") for packed in ("", ".gz", ".zst"))
        folder = Path(options.data_dir)
        refuse_inputs(options.output, [*options.systems, *(str(folder / name) for name in names)])
        if (folder / "docs").resolve() in Path(options.output).resolve().parents:
            raise ValueError(f"output is {options.output!r}, expected another place than the documents, which are read")
    if options.convention == "eraser":
        text, table = _as_the_benchmark(options)
    else:
        text, table = _as_predictions(options)
    if options.output is not None:
        from unirex.metrics.commands.output import save

        save((options.output, text))
    sys.stdout.write(plain(text if options.json else table) + "\n")
    return 0


def _parser() -> _Parser:
    # Left to itself the formatter asks for the width of the terminal, at the price of ten milliseconds.
    layout = partial(argparse.HelpFormatter, width=100)
    parser = _Parser(prog="unirex-metrics score", description=ABOUT, allow_abbrev=False, formatter_class=layout)
    add = parser.add_argument
    add("systems", nargs="*", help="results of a system: a file, or a quoted glob pattern of shards; also .gz, .zst")
    add("--results", help="the same as naming a system: the benchmark's own option")
    add("--strict", action="store_true", help="the benchmark's own option: refuse results without classes")
    add("--data-dir", "--data_dir", required=True, help="folder with SPLIT.jsonl and docs.jsonl or docs/")
    add("--split", default="test", help="the annotations to score against")
    add("--convention", choices=CONVENTIONS, default="strict", help="whose definitions (docs/eraser.md)")
    iou, aopc = ("--iou-thresholds", "--iou_thresholds"), ("--aopc-thresholds", "--aopc_thresholds")
    add(
        *iou, type=float, nargs="+", action="extend", help=f"for span F1; default: {' '.join(map(str, IOU_THRESHOLDS))}"
    )
    add(*aopc, type=float, nargs="+", action="extend", help="which of thresholded_scores to average over")
    add("--replicates", type=int, help="bootstrap replicates; 0 = no intervals; default: 1000")
    add("--seed", type=int, help="of the resampling; default: 0")
    add("--confidence", type=float, help="how often an interval shall hold the truth; default: 0.95")
    add("--engine", choices=("local", "ray"), default="local", help="ray: score the files on a Ray cluster")
    add("--all", action="store_true", help="also single thresholds, classes and pooled counts in the table")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--output", "--score_file", help="also write JSON to this file")
    return parser


def _as_the_benchmark(options: argparse.Namespace) -> tuple[str, str]:
    """The benchmark's own JSON, and the same as lines."""
    from unirex.metrics.commands.progress import progress

    if len(options.systems) > 1:
        raise ValueError(
            f"convention eraser scores one system, found {len(options.systems)} (quote a pattern of shards)"
        )
    for name in ("replicates", "seed", "confidence"):
        if getattr(options, name) is not None:
            sys.stderr.write(f"note: --{name} is not read: convention eraser has no intervals\n")
    for name in ("iou_thresholds", "aopc_thresholds"):
        for threshold in getattr(options, name) or ():
            if not isfinite(threshold):
                raise ValueError(f"{name} has {threshold}, expected numbers")
    with progress(options.systems[0]) as show, warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        scores = score_eraser(
            options.systems[0],
            options.data_dir,
            options.split,
            iou_thresholds=options.iou_thresholds or IOU_THRESHOLDS,
            aopc_thresholds=options.aopc_thresholds or AOPC_THRESHOLDS,
            progress=show,
            engine=options.engine,
        )
    for warning in found:
        sys.stderr.write(f"note: {line(str(warning.message))}\n")
    if options.strict and "classification_scores" not in scores:
        raise _without_classes(options.systems[0])
    lines = list(_lines(scores))
    width = max((len(name) for name, _ in lines), default=0)
    table = "\n".join(f"{name.ljust(width)}  {value}" for name, value in lines)
    return json.dumps(scores, indent=4, sort_keys=True), table


def _without_classes(system: str) -> ValueError:
    return ValueError(f"{system}: classification: found none, expected a class, as --strict is given")


def _lines(scores: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every number with the way to it."""
    if isinstance(scores, dict):
        for key, value in scores.items():
            yield from _lines(value, f"{name}.{key}" if name else key)
    elif isinstance(scores, list):
        for i, value in enumerate(scores):
            yield from _lines(value, f"{name}[{i}]")
    elif scores is not None:
        yield name, f"{scores:.4f}" if isinstance(scores, float) else str(scores)


def _as_predictions(options: argparse.Namespace) -> tuple[str, str]:
    """The report that prediction files get, as JSON and as a table, one column a system."""
    from unirex.metrics.commands.progress import progress
    from unirex.metrics.eraser.rows import score_eraser_rows
    from unirex.metrics.report import to_json, to_text
    from unirex.metrics.state import Resampling

    given = {name: getattr(options, name) for name in ("replicates", "seed", "confidence")}
    resampling = Resampling(**{name: value for name, value in given.items() if value is not None})
    reports = []
    for system in options.systems:
        with progress(system) as show:
            reports.append(
                score_eraser_rows(
                    system,
                    options.data_dir,
                    options.split,
                    options.convention,
                    iou_thresholds=options.iou_thresholds or IOU_THRESHOLDS,
                    aopc_thresholds=options.aopc_thresholds,
                    resampling=resampling,
                    progress=show,
                    engine=options.engine,
                )
            )
        if options.strict and "accuracy" not in reports[-1]:
            raise _without_classes(system)
    return to_json(reports), to_text(reports, all_metrics=options.all)

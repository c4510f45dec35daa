"""`unirex-metrics compare`: the first system against each of the others."""

import json as json_module
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from jsonargparse import ArgumentParser

from unirex.metrics.comparison import Comparison, Difference, compare
from unirex.metrics.options import add_output, add_reading
from unirex.metrics.output import save
from unirex.metrics.progress import progress
from unirex.metrics.report import ARROWS, across_models, aligned, finite, heads
from unirex.metrics.state import Resampling
from unirex.terminal import plain


def arguments(parser: ArgumentParser) -> None:
    """Adds the arguments of `compare`."""
    help_systems = "two or more files, directories or patterns, ours first; {seed} in a path stands for a run's seed"
    parser.add_argument("systems", nargs="+", type=str, help=help_systems)
    parser.add_argument("--metrics", type=str, nargs="+", help="which to test; default: the main ones")
    parser.add_argument("--intersect", action="store_true", help="compare the ids that all systems have")
    help_engine = "ray: read each system on a processor of a Ray cluster"
    parser.add_argument("--engine", type=Literal["local", "ray"], default="local", help=help_engine)
    add_reading(parser, replicates=10_000)
    add_output(parser)


def run(
    systems: Sequence[str],
    *,
    metrics: Sequence[str] | None,
    intersect: bool,
    replicates: int,
    seed: int,
    confidence: float,
    json: bool,
    output: str | None,
    **reading: Any,
) -> int:
    """Compares the systems, prints the table and writes the result; 0."""
    resampling = Resampling(replicates=replicates, seed=seed, confidence=confidence)
    with progress("compare") as show:
        found = compare(systems, metrics=metrics, intersect=intersect, resampling=resampling, progress=show, **reading)
    text = json_module.dumps(_as_dict(found), indent=2, ensure_ascii=False)
    save(output, text)
    sys.stdout.write(plain(text if json else to_text(found)) + "\n")
    return 0


def _as_dict(found: Comparison) -> dict[str, Any]:
    pairs = [
        {"other": report.about["source"], "metrics": [_plain(row) for row in rows]}
        for report, rows in zip(found.reports[1:], found.differences, strict=True)
    ]
    first = found.reports[0]
    return {
        "first": first.about["source"],
        "convention": first.convention,
        "rows": found.n_rows,
        "left_out": list(found.left_out),
        "seeds": list(found.seeds),
        "resampling": None if first.resampling is None else dict(first.resampling),
        "pairs": pairs,
        "notes": found.notes,
    }


def _plain(row: Difference) -> dict[str, Any]:
    return {key: finite(value) if isinstance(value, float) else value for key, value in asdict(row).items()}


def to_text(found: Comparison) -> str:
    """A table for each other system, and what the p-values are."""
    names = heads(found.reports)
    lines = [f"{found.n_rows} instances" + _left_out(found, names) + _seeds(found, names)]
    for name, rows in zip(names[1:], found.differences, strict=True):
        table = [["", "", names[0], name, "difference", "interval", "rows", "p", "p (Holm)", ""]]
        for row in rows:
            interval = "" if row.low is None or row.high is None else f"[{row.low:+.4f}, {row.high:+.4f}]"
            values = [f"{row.first:.4f}", f"{row.other:.4f}", f"{row.difference:+.4f}", interval]
            rows_behind = f"{row.n}" + (f" ({row.n_partly} out)" if row.n_partly else "")
            cells = [*values, rows_behind, _p(row.p), _p(row.p_holm), _verdict(row)]
            table.append([row.metric, ARROWS[row.direction], *cells])
        lines += ["", *aligned(table)]
    first = found.reports[0]
    count = 0 if first.resampling is None else first.resampling["replicates"]
    tested = [row.metric for rows in found.differences for row in rows]
    several = max(found.seeds) > 1
    how = "t test over rows and seeds" if several else f"approximate randomization, {count} swaps"
    behind = "test rows and seeds" if several else "test rows"
    lines += ["", f"convention {first.convention}; intervals: of {behind}; p: {how}, Holm over all lines"]
    if any(row.n_partly for rows in found.differences for row in rows):
        lines.append("(n out): n rows that only some of the systems define; a metric is compared where all define it")
    lines += [*across_models(found.reports, tested), *found.notes]
    return "\n".join(lines)


def _left_out(found: Comparison, names: Sequence[str]) -> str:
    parts = [f"{n} of {name}" for name, n in zip(names, found.left_out, strict=True) if n]
    return f" (left out: {', '.join(parts)})" if parts else ""


def _seeds(found: Comparison, names: Sequence[str]) -> str:
    parts = [f"{n} of {name}" for name, n in zip(names, found.seeds, strict=True)]
    return f", seeds: {', '.join(parts)}" if max(found.seeds) > 1 else ""


def _p(value: float) -> str:
    return f"{value:.4f}"


def _verdict(row: Difference) -> str:
    if not row.p_holm < 0.05 or row.direction == "none":
        return ""
    return "better" if (row.difference > 0) == (row.direction == "higher") else "worse"

"""Judges a method on a data set over all processes: each row is gathered, kept and scored once."""

import json
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn

from unirex.data.collate import EncodedSet
from unirex.disk.atomic import atomic_write
from unirex.disk.predictions import Header, Prediction, to_table, write_table
from unirex.disk.run_folder import RunFolder
from unirex.judging.bar import Bar
from unirex.judging.predict import OWN, Clock, Judging, Place, predict
from unirex.methods.method import Explainable
from unirex.metrics.report import Report, to_json, to_text
from unirex.metrics.scoring import score
from unirex.metrics.state import Resampling
from unirex.text import say

T = TypeVar("T")

PLACE = "place"
"""Column of a shard's rows: where they stand in the data set, from 0."""


def judge(
    accelerator: Accelerator,
    method: nn.Module,
    data: EncodedSet,
    judging: Judging,
    *,
    title: str,
    clock: Clock | None = None,
) -> dict[str, pa.Table]:
    """Prediction tables by score source, in the order of the data set; empty outside the main process.

    Those of a shard have the place of each row in a last column, `PLACE`. Sources that can score no
    instance (gold where there is none) are left out. `clock` adds up the time of explaining
    in this process.
    """
    unwrapped: Explainable = accelerator.unwrap_model(method)
    was_training = method.training
    method.eval()
    main = accelerator.is_main_process
    _, shards = judging.shard or (1, 1)
    total = math.ceil(len(data) / shards)
    with Bar(total=total, main=main, desc=title, unit="instance", leave=False) as bar:

        def progress(n: int) -> None:
            bar.update(n * accelerator.num_processes)
            bar.tell(f"{title} {bar.done:.0f}/{total} instances, {bar.told_left}")

        found = predict(
            unwrapped,
            data,
            judging,
            Place(
                device=accelerator.device,
                rank=accelerator.process_index,
                processes=accelerator.num_processes,
                autocast=accelerator.autocast if judging.as_trained else nullcontext,
            ),
            progress=progress,
            clock=clock,
        )
    method.train(was_training)
    if accelerator.num_processes > 1:
        parts: list[dict[str, list[tuple[int, Prediction]]]] = gather_object([found])
        found = {source: [row for part in parts for row in part[source]] for source in judging.sources}
    if not main:
        return {}
    return {source: _table(rows, len(data), source, judging) for source, rows in found.items() if rows}


def _table(rows: Sequence[tuple[int, Prediction]], n: int, source: str, judging: Judging) -> pa.Table:
    by_place, about = dict(rows), judging.about
    whole = source == OWN and judging.shard is None
    if len(by_place) != len(rows) or (whole and len(by_place) != n):
        raise RuntimeError(f"{len(rows)} rows for {n} instances: the processes lost or repeated some")
    header = Header(
        labels=tuple(judging.labels),
        choice=about.choice,
        headline=about.headline,
        unit=judging.unit,
        scores_from=source,
        rationale_rule=f"top {judging.rationale_fraction:.4g} of words",
    )
    places = sorted(by_place)
    ordered = [by_place[place] for place in places]
    table = to_table(ordered, header, fractions=judging.config.fractions, model=about.model, data=about.data)
    return table if judging.shard is None else table.append_column(PLACE, pa.array(places, pa.int64()))


def dev_metrics(
    accelerator: Accelerator, tables: dict[str, pa.Table], chosen: str, *, explained: bool = True
) -> dict[str, float]:
    """The dev metrics by name, the same in every process; `best` is the one that picks the model.

    Without `explained` only those of the task: the scores of words are of no meaning.
    """

    def values() -> dict[str, float]:
        report = score(tables[OWN], resampling=Resampling(replicates=0))
        metrics = report.metrics if explained else [metric for metric in report.metrics if metric.group == "task"]
        return _values(replace(report, metrics=tuple(metrics)), chosen)

    return from_main(accelerator, values)


def from_main(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """What `work` gives in the main process, in every process; a ValueError or OSError is raised in all of them."""
    found: list[Any] = [None]
    if accelerator.is_main_process:
        try:
            found = [work()]
        except (ValueError, OSError) as error:
            found = [error]
    if accelerator.num_processes > 1:
        broadcast_object_list(found)
    if isinstance(found[0], Exception):
        raise found[0]
    result: T = found[0]
    return result


def _values(report: Report, chosen: str) -> dict[str, float]:
    values = {metric.name: metric.value for metric in report.metrics if metric.main}
    values["headline"] = report["headline"].value
    if chosen == "composite":
        # Without gold there is no plausibility to count.
        plausibility = [value for name, value in values.items() if name == "auprc" and not math.isnan(value)]
        parts = [values["headline"], values["csd"], *plausibility]
        values["best"] = sum(parts) / len(parts)
        return values
    if chosen not in report:
        known = ", ".join(metric.name for metric in report.metrics)
        raise ValueError(f"train.best_metric is {chosen!r}, expected headline, composite or one of {known}")
    # The highest `best` picks the model, whatever the metric's direction.
    metric = report[chosen]
    values["best"] = -metric.value if metric.direction == "lower" else metric.value
    return values


def write_all(tables: dict[str, pa.Table], run: RunFolder) -> list[Path]:
    """Writes the predictions by each source into a run's folder; returns the paths.

    Those of the first are the run's own; others, controls among them, have a file each.
    """
    paths = []
    for old in run.references.glob("*.parquet"):  # of another judgment, perhaps of another model
        if old not in map(run.reference, tables):
            old.unlink()
    for number, (source, table) in enumerate(tables.items()):
        path = run.reference(source) if number else run.predictions
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(table, path)
        paths.append(path)
    return paths


def write_cost(path: Path, clock: Clock) -> None:
    """Writes what judging and explaining cost, by the names that the log of a training run has for it."""
    cost = {
        "explain_seconds": clock.seconds,
        "explain_instances": clock.instances,
        "judge_seconds": clock.judging,
    }
    with atomic_write(path, "w") as file:
        json.dump(cost, file)


def print_tables(tables: dict[str, pa.Table], run: RunFolder) -> list[Report]:
    """The metrics of all sources, saved as `metrics.json` and then printed side by side."""
    reports = [score(table) for table in tables.values()]
    with atomic_write(run.metrics, "w") as file:
        file.write(to_json(reports))
    say(to_text(reports, names=list(tables)))
    for source, table in tables.items():
        if "completeness_gap" in table.column_names:
            gaps = table["completeness_gap"].drop_null().to_numpy()
            middle, high = np.quantile(gaps, (0.5, 0.95), method="inverted_cdf")
            say(f"{source}: attributions miss {middle:.2%} of completeness (median; 95th percentile {high:.2%})")
    return reports

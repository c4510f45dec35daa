"""Scoring on many machines: Ray maps shards to states, which are merged here.

A shard is some row groups of prediction files, or some files of ERASER results. All sums of a state are sums of
integers, so the result is that of one process to the last bit; those of the convention `eraser` are kept in twice the
precision of float64. Every machine must see the files under the same paths.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from unirex.metrics.scoring import Plan, Progress, run_plan
from unirex.metrics.source import Shard
from unirex.metrics.state import State

SHARDS_PER_CPU = 4
"""More shards than processors, so that uneven ones even out."""

T = TypeVar("T")


def run_on_ray(made: Plan, progress: Progress | None = None) -> State:
    """The state after all rows of the plan's source, found by the Ray cluster (a local one if none is connected).

    Raises:
        ValueError: Ray is not installed, or what is wrong with a file.
    """
    shards = made.source.shards(SHARDS_PER_CPU * n_cpus())
    total = made.source.n_rows()
    whole = made.state()
    for (state,) in map_on_ray(_ScorePart(made), shards):
        whole.merge_bytes(state)
        if progress is not None:
            progress(whole.n_rows, total)
    return whole


@dataclass(frozen=True)
class _ScorePart:
    """Scores a shard of a plan's source."""

    made: Plan

    def __call__(self, shard: Shard) -> list[bytes]:
        return [run_plan(self.made, shard=shard).to_bytes()]


def n_cpus() -> int:
    """Processors of the cluster, which is started if none is connected.

    Raises:
        ValueError: Ray is not installed.
    """
    return int(_ray().cluster_resources().get("CPU", 1))


def map_on_ray(work: Callable[[T], list[bytes]], shards: Sequence[T]) -> Iterator[list[bytes]]:
    """What `work` makes of every shard, on the cluster, in the order of the shards.

    Raises:
        ValueError: what is wrong with the first bad shard, or Ray is not installed.
    """
    ray = _ray()
    items = [{"number": number} for number in range(len(shards))]
    rows = ray.data.from_items(items, override_num_blocks=len(items)).map(_Worker(work, list(shards))).iter_rows()
    for row in sorted(rows, key=lambda row: int(row["number"])):
        if row["error"]:
            raise ValueError(str(row["error"]))
        yield [bytes(part) for part in row["found"]]


class _Worker:
    """Works on one shard; what is wrong with it comes back as text, since Ray wraps exceptions in its own."""

    def __init__(self, work: Callable[[T], list[bytes]], shards: list[T]) -> None:
        self.work = work
        self.shards = shards

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number = int(row["number"])
        try:
            found = self.work(self.shards[number])
        except (ValueError, OSError) as error:
            return {"number": number, "found": [b""], "error": str(error) or type(error).__name__}
        return {"number": number, "found": found, "error": ""}


def _ray() -> Any:
    """Ray, connected."""
    # Started by `uv run`, Ray would start every worker by `uv run` too, which may build an environment for each.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ValueError(
            "engine is 'ray' but Ray is not installed, expected the extra: pip install unirex[ray]"
        ) from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray

"""Scoring on many machines: Ray maps the row groups of the files to states, which are merged here.

All sums of a state are sums of integers, so the result is that of one process to the last bit. Every machine must see
the files under the same paths.
"""

import logging
import os
from typing import Any

from unirex.metrics.scoring import Plan, Progress, run_plan
from unirex.metrics.source import Shard
from unirex.metrics.state import State

SHARDS_PER_CPU = 4
"""More shards than processors, so that uneven ones even out."""


def run_on_ray(made: Plan, progress: Progress | None = None) -> State:
    """The state after all rows of the plan's source, found by the Ray cluster (a local one if none is connected).

    Raises:
        ValueError: Ray is not installed, or what is wrong with a file.
    """
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
    shards = made.source.shards(SHARDS_PER_CPU * int(ray.cluster_resources().get("CPU", 1)))
    items = [{"number": number} for number in range(len(shards))]
    results = ray.data.from_items(items, override_num_blocks=len(items)).map(_Worker(made, shards)).iter_rows()
    return _merged(made, sorted(results, key=lambda row: int(row["number"])), progress)


class _Worker:
    """Scores one shard; what is wrong with it comes back as text, since Ray wraps exceptions in its own."""

    def __init__(self, made: Plan, shards: list[Shard]) -> None:
        self.made = made
        self.shards = shards

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number = int(row["number"])
        try:
            state = run_plan(self.made, shard=self.shards[number])
        except (ValueError, OSError) as error:
            return {"number": number, "state": b"", "error": str(error)}
        return {"number": number, "state": state.to_bytes(), "error": ""}


def _merged(made: Plan, results: list[dict[str, Any]], progress: Progress | None) -> State:
    total = made.source.n_rows()
    whole = made.state()
    for row in results:
        if row["error"]:
            raise ValueError(str(row["error"]))
        whole.merge_bytes(row["state"])
        if progress is not None:
            progress(whole.n_rows, total)
    return whole

"""Scoring on many machines: Ray maps shards to states, which are merged here.

A shard is some row groups of prediction files, or some files of ERASER results. All sums of a state are sums of
integers, so the result is that of one process to the last bit; those of the convention `eraser` are kept in twice the
precision of float64. Results are merged one by one in the order of the shards, so this process never holds many.
Every machine must see the files under the same paths or URLs.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal, TypeVar, get_args

from unirex.extras import install
from unirex.text import line

Engine = Literal["local", "ray"]
"""Where scoring runs: in this process, or on a Ray cluster."""

SHARDS_PER_CPU = 4
"""More shards than processors, so that uneven ones even out."""
RESULTS_PER_CPU = 2
"""Shards at work or done and not yet merged: enough that no processor waits for the merging."""

T = TypeVar("T")
R = TypeVar("R")


def on_ray(engine: str) -> bool:
    """Whether an engine is Ray.

    >>> on_ray("local"), on_ray("ray")
    (False, True)

    Raises:
        ValueError: no such engine.
    """
    if engine not in get_args(Engine):
        raise ValueError(f"engine is {engine!r}, expected one of {list(get_args(Engine))}")
    return engine == "ray"


def n_cpus() -> int:
    """Processors of the cluster, which is started if none is connected.

    Raises:
        ValueError: Ray is not installed.
    """
    return int(_ray().cluster_resources().get("CPU", 1))


def each(engine: Engine, work: Callable[[T], R], pieces: Iterable[T]) -> Iterator[R]:
    """What `work` makes of each piece, in order, here or on the processors of a Ray cluster."""
    return map_on_ray(work, list(pieces)) if on_ray(engine) else map(work, pieces)


def map_on_ray(work: Callable[[T], R], shards: Sequence[T]) -> Iterator[R]:
    """What `work` makes of every shard, on the cluster, in the order of the shards.

    No more than a few results per processor exist at a time: a shard is handed out when the result of an earlier one
    has been taken. After an error nothing more is handed out, and what runs is cancelled.

    Raises:
        ValueError: what is wrong with the first bad shard, or Ray is not installed.
    """
    ray = _ray()
    most = RESULTS_PER_CPU * n_cpus()
    task, shared = ray.remote(_attempt), ray.put(work)
    waiting: deque[Any] = deque()
    ahead = iter(shards)
    try:
        waiting.extend(task.remote(shared, shard) for shard in islice(ahead, most))
        while waiting:
            found, error = ray.get(waiting[0])
            waiting.popleft()
            if error:
                raise ValueError(error)
            waiting.extend(task.remote(shared, shard) for shard in islice(ahead, 1))
            yield found
    finally:
        for running in waiting:
            ray.cancel(running)


def _attempt(work: Callable[[T], R], shard: T) -> tuple[R | None, str]:
    """What `work` makes of a shard, or what is wrong with it as text, since Ray wraps exceptions in its own."""
    try:
        return work(shard), ""
    except (ValueError, OSError) as error:
        return None, str(error) or type(error).__name__


def _ray() -> Any:
    """Ray, connected."""
    # Started by `uv run`, Ray would start every worker by `uv run` too, which may build an environment for each.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
    except ImportError as error:
        raise ValueError(f"engine is 'ray' but Ray is not installed, expected the extra: {install('ray')}") from error
    if not ray.is_initialized():
        try:
            ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
        except Exception as error:  # of a node that starts too slowly it raises the plain kind
            raise ValueError(f"engine is 'ray', which does not start ({line(str(error))})") from error
    return ray

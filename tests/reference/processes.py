"""Processes of a test that start at once: forked from a server which has imported torch and unirex for all of them."""

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["unirex.training.run", "unirex.evaluate"])  # the commands import torch when they run


def start(
    call: Callable[..., int | None], *arguments: Any, output: Path, env: Mapping[str, str] | None = None
) -> ForkServerProcess:
    """A process that calls a function of an importable module and ends with its result; it writes into `output`."""
    process = _FORKS.Process(target=_work, args=(call, arguments, output, dict(env or {})))
    process.start()
    return process


def start_two(
    call: Callable[..., int | None], *arguments: Any, output: Path, env: Mapping[str, str] | None = None
) -> list[ForkServerProcess]:
    """Two processes that find each other, as a launcher starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**(env or {}), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    return [
        start(call, *arguments, output=output, env={**shared, "RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")
    ]


def end(*processes: ForkServerProcess, seconds: float = 280) -> list[int | None]:
    """The exit codes (negative: the signal); once one has failed or the time is up, the others are killed."""
    deadline = time.monotonic() + seconds
    while left := [process for process in processes if process.exitcode is None]:
        wait([process.sentinel for process in left], timeout=max(0, deadline - time.monotonic()))
        if time.monotonic() > deadline or any(process.exitcode for process in processes):
            for process in left:
                process.kill()
                process.join()
    return [process.exitcode for process in processes]


def _work(call: Callable[..., int | None], arguments: Sequence[Any], output: Path, env: dict[str, str]) -> None:
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(written, number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    os.environ.update(env)
    torch.set_num_threads(1)
    sys.exit(call(*arguments))


def train_until(step: int, arguments: list[str]) -> int:
    """Trains, and stops after a step as Ctrl-C does."""
    from unirex import train
    from unirex.training.loop import Training

    done = Training._step

    def stop(self: Training, index: Any) -> Any:
        terms, _ = done(self, index)
        return terms, self.progress.step == step

    Training._step = stop  # type: ignore[method-assign]
    return train.main(arguments)


def train_to_a_late_signal(arguments: list[str]) -> int:
    """Trains; the second process is asked to stop while the first still judges the trained model."""
    from unirex import train
    from unirex.training import run

    finish = run._finish

    def asked(*given: Any) -> None:
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        finish(*given)

    run._finish = asked
    return train.main(arguments)


def run_in(folder: Path, site: Path, module: str, arguments: list[str]) -> int:
    """Runs a command in a folder, where the packages in another one are installed too."""
    os.chdir(folder)
    sys.path[:0] = [str(folder), str(site)]
    return int(import_module(module).main(arguments) or 0)


def train_with(site: Path, arguments: list[str], until: int | None = None) -> int:
    """Trains where the packages in a folder are installed too."""
    from unirex import train

    sys.path.insert(0, str(site))
    return train.main(arguments) if until is None else train_until(until, arguments)

"""Processes of a test that start at once: forked from one that has imported torch and unirex for all of them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reference.forks import Fork, server


def start(call: Callable[..., int | None], *arguments: Any, output: Path, env: Mapping[str, str] | None = None) -> Fork:
    """A process that calls a function of an importable module and ends with its result; it writes into `output`."""
    with output.open("a") as file:
        outputs = (file.fileno(), file.fileno())
        return Fork(server(), call.__module__, call.__name__, *arguments, outputs=outputs, env=env or {})


def start_two(
    call: Callable[..., int | None], *arguments: Any, output: Path, env: Mapping[str, str] | None = None
) -> list[Fork]:
    """Two processes that find each other, as a launcher starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**(env or {}), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    return [
        start(call, *arguments, output=output, env={**shared, "RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")
    ]


def end(*processes: Fork, seconds: float = 280) -> list[int | None]:
    """The exit codes (negative: the signal); once one has failed or the time is up, the others are killed."""
    deadline = time.monotonic() + seconds
    while left := [process for process in processes if process.exitcode is None]:
        wait([process.sentinel for process in left], timeout=max(0, deadline - time.monotonic()))
        if time.monotonic() > deadline or any(process.exitcode for process in processes):
            for process in left:
                process.kill()
                process.join()
    return [process.exitcode for process in processes]


class _Started(Fork):
    """A run of a suite, in the place of `subprocess.Popen`."""

    def __init__(self, command: list[str], *, stdout: Any, env: Mapping[str, str], **_: Any) -> None:
        _, dash_m, module, *words = command
        assert dash_m == "-m"
        outputs = (stdout.fileno(), stdout.fileno())
        super().__init__(server(), "reference.forks", "command", module, words, outputs=outputs, env=env)

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self) -> int | None:
        self.join()
        return self.exitcode


def fork_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a suite fork its runs, which then import no torch again."""
    from unirex.suites import launch

    stand_in = SimpleNamespace(Popen=_Started, DEVNULL=subprocess.DEVNULL, STDOUT=subprocess.STDOUT)
    monkeypatch.setattr(launch, "subprocess", stand_in)


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


def train_unheard(arguments: list[str]) -> int:
    """Trains where nobody reads what is printed any more, and prints the rest as an interpreter does at its end."""
    from unirex import train

    reader, writer = os.pipe()
    os.close(reader)
    for number in (1, 2):
        os.dup2(writer, number)
    sys.stdout = os.fdopen(1, "w", closefd=False)  # of a pipe, so not line by line
    code = train.main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    return code


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

"""Processes forked from a copy of this one as it was when the tests were collected: all is imported, nothing used.

As a script it stands in for `python -m unirex...` in the PATH of a shell, or where a launcher starts its processes: the
path of the socket, then the arguments.
"""

import faulthandler
import io
import multiprocessing
import os
import pickle
import shlex
import shutil
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

_NUMBER = struct.Struct("<i")


@cache
def server() -> str:
    """The path of the socket at which the copy takes requests; the first call makes it, before anything is used.

    A request is a function's module and name, its arguments, a folder and an environment, with the files that become
    output and errors. The answers are the number of its process and, when that has ended, its exit code.
    """
    folder = tempfile.mkdtemp(prefix="forks-")
    path = f"{folder}/socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        reader, _ = os.pipe()  # the end to write is closed when this process ends
        if os.fork():
            os.close(reader)
            return path
        try:
            _serve(listener, reader)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(0)


def _serve(listener: socket.socket, reader: int) -> None:
    """Forks what is asked for until the process ends that this is a copy of."""
    faulthandler.disable()
    sys.stdout = sys.stderr = io.StringIO()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    kept = sorted({0, 1, 2, listener.fileno(), reader})
    for low, high in zip(kept, [*kept[1:], 4096], strict=True):  # else a pipe of its parent's would not end with that
        os.closerange(low + 1, high)
    running: dict[int, tuple[Any, socket.socket]] = {}
    while True:
        for ready in wait([reader, listener, *running]):
            if ready == reader:
                return
            if ready is not listener:
                process, connection = running.pop(ready)  # type: ignore[call-overload]
                process.join()
                with suppress(BrokenPipeError), connection:
                    connection.sendall(_NUMBER.pack(process.exitcode))
                continue
            connection, _ = listener.accept()
            request, outputs, *_ = socket.recv_fds(connection, _NUMBER.size, 2)
            with connection.makefile("rb") as file:
                asked = pickle.loads(file.read(*_NUMBER.unpack(request)))
            process = multiprocessing.get_context("fork").Process(target=_work, args=(before, outputs, *asked))
            process.start()
            for output in outputs:
                os.close(output)
            connection.sendall(_NUMBER.pack(process.pid or 0))
            running[process.sentinel] = process, connection


def _work(
    before: Any, outputs: list[int], module: str, name: str, arguments: Sequence[Any], folder: Path, env: dict[str, str]
) -> None:
    import torch
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)  # modules of tests make an accelerator
    signal.signal(signal.SIGINT, before)
    for number, output in enumerate(outputs, 1):
        os.dup2(output, number)
        os.close(output)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    os.environ.update(env)
    os.chdir(folder)
    torch.set_num_threads(1)
    sys.exit(getattr(import_module(module), name)(*arguments))


class Fork:
    """A process that calls a function of an importable module and ends with its result."""

    def __init__(
        self, at: str, module: str, name: str, *arguments: Any, outputs: tuple[int, int], env: Mapping[str, str]
    ) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(at)
        asked = pickle.dumps((module, name, arguments, Path.cwd(), dict(env)))
        socket.send_fds(self._socket, [_NUMBER.pack(len(asked))], outputs)
        self._socket.sendall(asked)
        self._code: int | None = None
        self.pid = self._answer()
        self.sentinel = self._socket.fileno()

    def _answer(self) -> int:
        answer = self._socket.recv(_NUMBER.size, socket.MSG_WAITALL)
        assert len(answer) == _NUMBER.size, "the server of forks has ended"
        return int(_NUMBER.unpack(answer)[0])

    def join(self, seconds: float | None = None) -> None:
        """Waits until it has ended."""
        if self._code is None and wait([self._socket], seconds):
            self._code = self._answer()

    @property
    def exitcode(self) -> int | None:
        """Its exit code (negative: the signal), None as long as it runs."""
        self.join(0)
        return self._code

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.exitcode is None

    def kill(self) -> None:
        """Ends it at once."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def command(module: str, arguments: list[str]) -> int:
    """Runs a command as the leader of a process group."""
    os.setsid()
    return int(import_module(module).main(arguments) or 0)


def stand_in(path: Path) -> str:
    """Writes a script in place of `python`, whose processes are forks: for the PATH, or `PYTHON_EXEC` of a launcher."""
    call = shlex.join([sys.executable, "-I", "-S", __file__, server()])
    path.write_text(f'#!/bin/sh\nexec {call} "$@"\n')
    path.chmod(0o755)
    return str(path)


if __name__ == "__main__":
    at, dash_m, module, *words = (word for word in sys.argv[1:] if word != "-u")
    assert dash_m == "-m"
    process = Fork(at, "reference.forks", "command", module, words, outputs=(1, 2), env=os.environ)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, _: os.kill(process.pid, number))
    process.join()
    code = process.exitcode or 0
    sys.exit(code if code >= 0 else 128 - code)

"""Runs the plan: several runs at a time, each with its own log and a lock that keeps other suites out."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal, TypeAlias, TypeVar

from unirex.config.processes import command as launched
from unirex.disk import lock
from unirex.disk.atomic import atomic_write
from unirex.disk.run_folder import RunFolder
from unirex.disk.yaml_text import yaml_text
from unirex.interrupts import terminable
from unirex.suites.plan import Planned, Transfer
from unirex.text import plain, say

P = TypeVar("P", bound=Planned)
REPEATED_SECONDS = 1.0
Outcome = Literal["done", "skipped", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """How runs are started.

    Attributes:
        jobs: runs at a time.
        processes: of each run, through `accelerate launch`.
        threads: of each process on the CPU (OMP_NUM_THREADS).
        devices: of which job i sees only number i, through CUDA_VISIBLE_DEVICES; empty = all see all.
        overwrite: replace runs of other configurations.
        imports: arguments of every command that import own code.
    """

    jobs: int = 1
    processes: int = 1
    threads: int = 1
    devices: tuple[str, ...] = ()
    overwrite: bool = False
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a run: `message` says why it failed."""

    run: Planned
    outcome: Outcome
    seconds: float = 0.0
    message: str = ""


Waiting: TypeAlias = "SimpleQueue[tuple[tuple[Planned, ...], int]]"
"""Groups of runs and how many of each have ended."""


@dataclass(kw_only=True)
class Launcher:
    """Runs a plan to its end, past runs that fail.

    Attributes:
        config: how.
        report: called with each result, in the thread of `run_all`.
        known: whether a run's result exists already, on whatever machine it was made.
        lenders: runs outside of the plan whose models it may take.
    """

    config: LaunchConfig
    report: Callable[[Result], None]
    known: Callable[[Planned], bool]
    lenders: Sequence[Planned] = ()
    _stop: threading.Event = field(default_factory=threading.Event)
    _told: set[str] = field(default_factory=set)
    _children: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def run_all(self, plan: Sequence[Planned]) -> None:
        """Runs the plan; runs that share a model run one after the other.

        Ctrl-C asks running runs to save and stop, and starts no other; a second one kills them.
        """
        waiting: Waiting = SimpleQueue()
        for group in groups(plan):
            waiting.put((group, 0))
        ended: SimpleQueue[Result] = SimpleQueue()
        with terminable(), ThreadPoolExecutor(self.config.jobs) as pool:
            slots = [pool.submit(self._slot, i, waiting, ended) for i in range(self.config.jobs)]
            try:
                self._see_to(slots, ended)
            except BaseException:  # no run may outlive it
                self._stop.set()
                self._signal(self._ask)
                raise

    def _see_to(self, slots: Sequence[Future[None]], ended: "SimpleQueue[Result]") -> None:
        """Collects all results; a signal may come at any moment."""
        asked: float | None = None  # when the first one came
        number: signal.Signals | None = None  # for the runs
        while True:
            try:
                if number is not None:
                    self._stop.set()
                    if number is self._ask:
                        say("stopping: active runs save their state; press Ctrl-C again to kill them")
                    self._signal(number)
                    number = None
                self._collect(slots, ended)
                return
            except KeyboardInterrupt:
                if asked is None:
                    asked, number = time.monotonic(), self._ask
                elif time.monotonic() - asked > REPEATED_SECONDS:  # a launcher repeats what the terminal sends
                    number = signal.SIGKILL

    @property
    def _ask(self) -> signal.Signals:
        """The signal that asks a run to stop: of a suite in the background of a script, runs inherit a deaf SIGINT."""
        return signal.SIGTERM if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else signal.SIGINT

    @property
    def stopped(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self._stop.is_set()

    def _collect(self, slots: Sequence[Future[None]], ended: "SimpleQueue[Result]") -> None:
        alive = True
        while alive:
            alive = bool(wait(slots, timeout=0.05).not_done)
            while not ended.empty():
                self.report(ended.get())
        for slot in slots:
            slot.result()  # raises what no run accounts for

    def _slot(self, number: int, waiting: "Waiting", ended: "SimpleQueue[Result]") -> None:
        """One worker: takes runs until there are none; those that another process writes come last."""
        held = 0  # groups in a row that have to wait
        while not self._stop.is_set():
            try:
                group, start = waiting.get_nowait()
            except Empty:
                return
            for place, run in enumerate(group[start:], start):
                if self._stop.is_set():
                    return
                started = time.perf_counter()
                try:
                    found = self._one(number, group, run)
                except (OSError, ValueError) as error:
                    found = "failed", " ".join(str(error).split())
                if found is None:
                    waiting.put((group, place))
                    held += 1
                    if held >= waiting.qsize():
                        self._stop.wait(0.5)
                        held = 0
                    break
                held = 0
                outcome, message = found
                ended.put(Result(run=run, outcome=outcome, seconds=time.perf_counter() - started, message=message))

    def _one(self, number: int, group: tuple[Planned, ...], run: Planned) -> tuple[Outcome, str] | None:
        """What came of a run; None while another process writes it."""
        if run.name not in self._told and (self.known(run) or run.judged_everywhere()):
            return "skipped", ""
        with _locked(run) as held:
            if held is None:
                if run.name not in self._told:
                    say(f"{run.name}: waiting for another process that writes it")
                    self._told.add(run.name)
                return None
            if self.known(run):  # another process has finished it in the meantime
                return "skipped", ""

            def start(module: str, *arguments: str) -> tuple[int, str]:
                return self._start(number, held, run.folder / "output.log", module, arguments)

            return self._train_and_judge(start, group, run)

    def _train_and_judge(
        self, start: Callable[..., tuple[int, str]], group: tuple[Planned, ...], run: Planned
    ) -> tuple[Outcome, str]:
        """Trains unless that is done, then judges on other data sets, past those that fail."""
        state = run.state(overwrite=self.config.overwrite)
        skipped = state == "done"
        if not skipped:
            for transfer in run.transfers:
                RunFolder(transfer.folder).metrics.unlink(missing_ok=True)
            trained = _trained(run, [*group, *self.lenders]) if state == "new" else []
            mode = "--resume=true" if state == "resume" else "--overwrite=true"
            code, message = start("unirex.train", *run.arguments, *trained, mode)
            if code:
                return ("stopped", "") if self._stop.is_set() else ("failed", message)
            if not run.finished():
                return "failed", f"ended without the metrics of this configuration in {run.folder}"
        failures = []
        for transfer in run.transfers:
            if self._stop.is_set():
                return "stopped", ""
            if transfer.done():
                continue
            skipped = False
            _prepare(transfer)
            code, message = start("unirex.evaluate", f"--config={transfer.recipe}")
            if code:
                failures.append(f"{transfer.name}: {message}")
        if self._stop.is_set() and failures:
            return "stopped", ""
        return ("failed", "; ".join(failures)) if failures else ("skipped" if skipped else "done", "")

    def _start(
        self, number: int, held: tuple[int, ...], log: Path, module: str, arguments: Sequence[str]
    ) -> tuple[int, str]:
        """The exit code of a command and the last line of its output, all of which goes to the log."""
        command = self._command(module, [*self.config.imports, *arguments])
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.config.threads), "PYTHONUNBUFFERED": "1"}
        environment.setdefault("TOKENIZERS_PARALLELISM", "false")
        if self.config.devices:
            environment["CUDA_VISIBLE_DEVICES"] = self.config.devices[number % len(self.config.devices)]
        with log.open("ab") as out:
            out.write(f"$ {' '.join(command)}\n".encode())
            out.flush()
            said = out.tell()
            child = subprocess.Popen(  # noqa: S603 (our own module)
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                pass_fds=held,
            )
            with self._guard:
                self._children[child.pid] = child
            if self._stop.is_set():  # Ctrl-C came between the check and the start
                self._signal(self._ask)
            code = child.wait()
            with self._guard:
                del self._children[child.pid]
        return code, "" if code == 0 else f"exit code {code}: {_complaint(log, said)}"

    def _command(self, module: str, own: Sequence[str]) -> list[str]:
        n = self.config.processes
        return [sys.executable, "-m", module, *own] if n == 1 else launched(module, {"num_processes": str(n)}, own)

    def _signal(self, number: signal.Signals) -> None:
        """Sends a signal to every running child and what it started."""
        with self._guard:
            for child in self._children.values():
                if child.poll() is None:
                    with suppress(ProcessLookupError):  # it has just ended
                        os.killpg(child.pid, number)


def groups(plan: Sequence[P]) -> list[tuple[P, ...]]:
    """The runs of a plan in order, those that train the same model together."""
    found: dict[str, list[P]] = {}
    for run in plan:
        found.setdefault(run.training, []).append(run)
    return [tuple(group) for group in found.values()]


def _trained(run: Planned, others: Sequence[Planned]) -> list[str]:
    """The argument that lets a run take the model of a finished run that trains the same, or of its trial, if any."""
    for other in others:
        if (
            other is not run
            and other.training == run.training
            and RunFolder(other.folder).model.is_dir()
            and other.finished()
        ):
            return [f"--trained={other.folder}"]
    return [f"--trained={run.trial}"] if run.trial_is_the_same() else []


def _prepare(transfer: Transfer) -> None:
    transfer.folder.mkdir(parents=True, exist_ok=True)
    RunFolder(transfer.folder).metrics.unlink(missing_ok=True)
    with atomic_write(transfer.recipe, "w") as file:
        file.write(yaml_text(transfer.content))


def _complaint(log: Path, start: int) -> str:
    """The last line from a byte of the log on that says `error:`, else the last line."""
    text = log.read_bytes()[start:].decode("utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower()]
    last = (errors or lines or ["no output"])[-1]
    return plain(last.split("\r")[-1].strip(), lines=False, longest=400)


@contextmanager
def _locked(run: Planned) -> Iterator[tuple[int, ...] | None]:
    """Holds the lock of a run's folder; yields its descriptor, which a child inherits, None where another has it.

    So if a killed suite left a child behind, the next suite waits for it and does not start it twice.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    descriptor = lock.take(run.folder / ".lock")
    if descriptor is None:
        yield None
        return
    try:
        yield () if os.name == "nt" else (descriptor,)
    finally:
        os.close(descriptor)

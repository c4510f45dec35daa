"""Told to stop at any moment, by a signal or by the end of its launcher, a run saves and goes on to the same losses."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reference.processes import end, start
from unirex import train
from unirex.disk import lock
from unirex.training import loop as training

TINY = [
    "--data.toy.n_train=48", "--data.toy.n_val=12", "--data.toy.n_test=9", "--model.random.hidden_size=16",
    "--model.random.num_attention_heads=2", "--train.batch_size=24", "--train.log_every=1", "--train.patience=null",
    "--train.epochs=1", "--eval.references=[random]",
]  # fmt: skip
LAUNCH = [
    sys.executable, "-m", "accelerate.commands.launch", "--num_machines=1", "--mixed_precision=no",
    "--dynamo_backend=no", "--main_process_port=0", "--cpu", "--num_processes=1",
]  # fmt: skip

SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])]
"""Windows lacks the last."""


def losses(run: Path) -> list[float]:
    log = run / "log.jsonl"
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    entries = [json.loads(line) for line in lines if line.endswith("\n")]
    return [entry["loss"] for entry in entries if "loss" in entry]


def begin(run: Path, output: Path, ended: Callable[[], int | None]) -> None:
    """Waits until a run has done three steps."""
    deadline = time.monotonic() + 200
    while len(losses(run)) < 3:
        assert ended() is None, output.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", SIGNALS[1:])
def test_a_signal_saves_as_ctrl_c_does(number: signal.Signals, tmp_path: Path) -> None:
    run, output = tmp_path / "run", tmp_path / "output"
    long = [*TINY, "--train.epochs=500", "--train.lr=0.001", f"--output={run}"]
    process = start(train.main, long, output=output)
    begin(run, output, lambda: process.exitcode)
    os.kill(int(process.pid or 0), number)
    codes, error = end(process, seconds=60), output.read_text()
    assert codes == [128 + number], error
    done = len(losses(run))
    assert f"stopped after step {done} ({number.name}); the same command with --resume true goes on from there" in error
    assert (run / "checkpoints" / f"step-{done:08d}").is_dir()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_in_the_last_dev_evaluation_is_obeyed(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    judge = training.Training.improves

    def interrupted(self: training.Training, *arguments: Any, **more: Any) -> bool:
        os.kill(os.getpid(), number)
        return judge(self, *arguments, **more)

    monkeypatch.setattr(training.Training, "improves", interrupted)
    assert train.main([*TINY, f"--output={run}"]) == 128 + number
    assert f"stopped after step 2 ({number.name}); the same command with --resume true" in capsys.readouterr().err
    assert not (run / "metrics.json").exists()
    monkeypatch.undo()
    assert train.main([*TINY, f"--output={run}", "--resume=true"]) == 0
    assert len(losses(run)) == 2
    assert (run / "metrics.json").exists()


def test_a_ctrl_c_that_a_launcher_passes_on_too_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    step = training.Training._step

    def interrupted(self: training.Training, index: Any) -> Any:
        for _ in range(2):  # from the terminal, and from the launcher
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, index)

    monkeypatch.setattr(training.Training, "_step", interrupted)
    assert train.main([*TINY, f"--output={run}"]) == 130
    assert "stopped after step 1 (SIGINT); " in capsys.readouterr().err
    assert (run / "checkpoints" / "step-00000001").is_dir()


def test_a_second_ctrl_c_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"

    def interrupted(self: training.Training, index: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        self._stop._asked_at -= 2
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(training.Training, "_step", interrupted)
    assert train.main([*TINY, f"--output={run}"]) == 130
    assert "stopped (SIGINT); the same command" in capsys.readouterr().err
    assert not (run / "checkpoints").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell of the end of a parent")
def test_no_run_outlives_its_launcher(tmp_path: Path) -> None:
    run, output = tmp_path / "run", tmp_path / "output"
    with output.open("w") as file:
        command = [*LAUNCH, "-m", "unirex.train", *TINY, "--train.epochs=2000", f"--output={run}"]
        launcher = subprocess.Popen(command, stdout=file, stderr=file)
    begin(run, output, launcher.poll)
    worker = int((run / ".train.lock").read_text().split()[1])
    assert worker != launcher.pid
    launcher.terminate()
    launcher.wait(timeout=60)
    deadline = time.monotonic() + 60
    while (free := lock.take(run / ".train.lock")) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if free is None:
        os.kill(worker, signal.SIGKILL)
    assert free is not None, "it trains on"
    os.close(free)
    done = len(losses(run))
    assert done < 4000
    assert (run / "checkpoints" / f"step-{done:08d}").is_dir(), "it has not saved"

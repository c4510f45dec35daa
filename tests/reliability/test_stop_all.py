"""What asks any process of a run to stop, stops all of them after the same step, with one state and one exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from reference.forks import stand_in
from reference.processes import end, start_two, train_to_a_late_signal
from reliability.test_stopped import SIGNALS, TINY, begin, losses
from unirex import train
from unirex.training import run as training_run
from unirex.training import stopping
from unirex.training.loop import Training
from unirex.training.stopping import Stop

LONG = [*TINY, "--train.epochs=500", "--train.lr=0.001"]
CPU = {"ACCELERATE_USE_CPU": "true"}
# Replaces itself by `accelerate launch … -m unirex.train`.
TWO = [sys.executable, "-m", "unirex.cli", "train", "--cpu", "--num-processes=2", "--train.precision=auto"]


def stopped_at(run: Path) -> int:
    """The step of a run's last checkpoint, after which its log ends."""
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "stopped"
    newest = max((run / "checkpoints").glob("step-*")).name
    assert newest == f"step-{last['step']:08d}"
    assert last["step"] == len(losses(run))
    return int(last["step"])


@pytest.mark.parametrize(("number", "rank"), [(SIGNALS[-1], 1), (SIGNALS[1], 0)])
def test_a_signal_to_one_of_two_processes_stops_both(number: signal.Signals, rank: int, tmp_path: Path) -> None:
    run, output = tmp_path / "run", tmp_path / "output"
    processes = start_two(train.main, [*LONG, f"--output={run}"], output=output, env=CPU)
    begin(run, output, lambda: processes[0].exitcode)
    os.kill(int(processes[rank].pid or 0), number)
    for process in processes:
        process.join(60)
    assert end(*processes, seconds=1) == [128 + number] * 2, output.read_text()
    step = stopped_at(run)
    assert output.read_text().count(f"stopped after step {step} ({number.name}); the same command") == 1


def test_a_signal_in_the_last_evaluation_ends_all_at_once(tmp_path: Path) -> None:
    run, output = tmp_path / "run", tmp_path / "output"
    processes = start_two(train_to_a_late_signal, [*TINY, f"--output={run}"], output=output, env=CPU)
    for process in processes:
        process.join(100)
    assert end(*processes, seconds=1) == [143, 143], output.read_text()
    assert "stopped (SIGTERM); the same command with --resume true" in output.read_text()
    assert not (run / "metrics.json").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_the_launcher_waits_until_all_have_saved(tmp_path: Path) -> None:
    run, output = tmp_path / "run", tmp_path / "output"
    outside = {name: value for name, value in os.environ.items() if name not in CPU}
    outside["PYTHON_EXEC"] = stand_in(tmp_path / "python")
    with output.open("w") as file:
        launcher = subprocess.Popen([*TWO, *LONG, f"--output={run}"], stdout=file, stderr=file, env=outside)
    begin(run, output, launcher.poll)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(timeout=60) != 0
    step = stopped_at(run)  # already, when the launcher has ended
    assert f"stopped after step {step} (SIGTERM); the same command" in output.read_text()
    assert "2 processes" in output.read_text()


@pytest.mark.parametrize("alarm", [True, False])
def test_max_time_saves_and_ends(
    alarm: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not alarm:  # as on Windows
        monkeypatch.setattr(stopping, "_ALARM", None)
    run, limit, step_of = tmp_path / "run", Stop.limit, Training._step
    asked: list[tuple[Stop, float]] = []

    def step_in_time(self: Training, index: Any) -> Any:
        while asked:  # the time counts from here, since a busy machine takes longer to begin
            limit(*asked.pop())
        return step_of(self, index)

    monkeypatch.setattr(Stop, "limit", lambda *given: asked.append(given))
    monkeypatch.setattr(Training, "_step", step_in_time)
    started = time.monotonic()
    assert train.main([*LONG, f"--output={run}", "--train.max_time=0:00:02"]) == 124
    assert 2 <= time.monotonic() - started < 60
    step = stopped_at(run)
    assert 1 <= step < 1000
    assert f"stopped after step {step} (train.max_time is over); the same command" in capsys.readouterr().err
    assert json.loads((run / "log.jsonl").read_text().splitlines()[-1])["cause"] == "train.max_time is over"


@pytest.mark.parametrize("value", ["0", "-5", "01:60:00", "01:2:3:4", "soon", "1.5"])
def test_a_duration_that_is_none_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([*TINY, "--output=nowhere", f"--train.max_time={value}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "train.max_time" in error


def test_time_ends_an_evaluation_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finish, run = training_run._finish, tmp_path / "run"

    def late(made: training_run.Run, *arguments: Any) -> None:
        made.stop.limit(0.01)
        time.sleep(5)
        finish(made, *arguments)

    monkeypatch.setattr(training_run, "_finish", late)
    assert train.main([*TINY, f"--output={run}"]) == 124
    assert "stopped (train.max_time is over); the same command with --resume true" in capsys.readouterr().err
    assert not (run / "metrics.json").exists()
    monkeypatch.undo()
    assert train.main([*TINY, f"--output={run}", "--resume=true"]) == 0
    assert (run / "metrics.json").exists()


def test_all_processes_agree_on_one_cause() -> None:
    """Whatever each was asked by."""
    codes = [128 + signal.SIGTERM, 0, stopping.TIME_IS_OVER]
    stops = [Stop() for _ in codes]
    total = torch.zeros(stopping.CAUSES, dtype=torch.float64)
    for stop, code in zip(stops, codes, strict=True):
        stop.code = code
        stop.note(total)
    assert total.sum() == 2
    assert all(stop.agreed(total.tolist()) for stop in stops)
    assert {stop.code for stop in stops} == {128 + signal.SIGTERM}
    assert not Stop().agreed([0.0] * stopping.CAUSES)


def test_only_a_lost_connection_is_explained() -> None:
    stop = Stop()
    lost, other = RuntimeError("Connection closed by peer [127.0.0.1]:4711"), RuntimeError("a shape does not fit")
    assert not stop.explains(lost)
    stop.code, stop._others = 143, [1]
    assert stop.explains(lost)
    assert not stop.explains(other)

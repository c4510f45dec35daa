"""What a person sees of training: on a terminal a live line, everywhere a row for each epoch."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from unirex.training.display import TrainingBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_shows_losses_speed_and_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with TrainingBar(total=20, initial=4, instances=32, main=True) as bar:
        bar.start_t -= 8  # as if it had run for eight seconds
        bar.losses(1.25, {"task": 0.5, "comp": 0.75})
        bar.update(8)
        bar.refresh()
        line = str(bar)
    assert "12/20 steps" in line
    assert "loss 1.250 task 0.500 comp 0.750" in line
    speed = float(re.search(r"([\d.,]+) instances/s", line)[1].replace(",", ""))  # type: ignore[index]
    assert speed > 8 / 8.5 * 32 * 0.9
    assert re.search(r"\d\d:\d\d left", line)


def test_one_row_an_epoch_with_the_best_marked(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingBar(total=2, initial=0, instances=32, main=True) as bar:
        bar.epoch(1, {"accuracy": 0.5, "auprc": float("nan"), "best": 0.5, "headline": 0.5}, best=True)
        bar.epoch(2, {"accuracy": 0.25, "auprc": 0.75, "best": 0.25, "headline": 0.25}, best=False)
    shown = capsys.readouterr()
    assert [line.split() for line in shown.out.splitlines()] == [
        ["dev", "epoch", "accuracy", "↑", "AUPRC", "↑"],
        ["1", "0.5000", "-", "*", "best"],
        ["2", "0.2500", "0.7500"],
    ]
    assert shown.err == "", "no bar where nobody watches"


def test_where_nobody_watches_a_line_comes_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with TrainingBar(total=20, initial=4, instances=32, main=True) as bar:
        for _ in range(8):
            clock[0] += 11
            bar.update(1)
            bar.losses(1.25, {"task": 0.5, "comp": 0.75})
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" steps")[0] for line in lines] == ["train 7/20", "train 10/20"], "every 33 of 88 seconds"
    assert lines[1].endswith("3 instances/s, 01:50 left  loss 1.250 task 0.500 comp 0.750")


def test_other_processes_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingBar(total=2, initial=0, instances=1, main=False) as bar:
        bar.update(1)
        bar.epoch(1, {"accuracy": 0.5}, best=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("tracker", "left"), [("wandb", "*.wandb"), ("trackio", "*.db")])
def test_a_tracker_writes_without_a_network(tracker: str, left: str, tmp_path: Path) -> None:
    pytest.importorskip(tracker)
    toy = ["--data.toy.n_train=48", "--data.toy.n_val=21", "--data.toy.n_test=17", "--train.epochs=1"]
    places = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "TRACKIO_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "unirex.train", *toy, f"--output={tmp_path / 'run'}"]
    done = subprocess.run(
        [*command, f"--train.trackers=[{tracker}]"],
        env={**os.environ, **places},
        check=False,
        capture_output=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob(left))

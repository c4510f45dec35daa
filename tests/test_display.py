"""What a person sees of training: on a terminal a live line, everywhere a row for each epoch."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from unirex.judging import gather
from unirex.training.display import TrainingBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


COSTS = {
    "instances_per_second": 31.6, "tokens_per_second": 1234.4, "peak_memory": 1.5 * 2**30, "peak_device_memory": 2**30,
    "share/full": 0.25, "share/backward": 0.501, "share/wait": 0.001,
}  # fmt: skip
SHOWN = (
    "32 instances/s, 1,234 tokens/s, 01:50 left, loss 1.250 task 0.500 comp 0.750; "
    "memory 1.5 GiB, of the GPU 1.0 GiB; time: backward 50 % full 25 % wait 0 %"
)


def test_the_line_shows_speed_what_is_left_losses_and_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr(sys, "stderr", Terminal())
    with TrainingBar(total=20, initial=4, main=True) as bar:
        bar.ncols, bar.dynamic_ncols = 250, None
        assert "4/20 steps, ? left" in str(bar)
        clock[0] += 66
        bar.update(6)
        bar.show(1.25, {"task": 0.5, "comp": 0.75}, COSTS)
        assert str(bar).endswith(f"10/20 steps, {SHOWN}")


def test_one_row_an_epoch_with_the_best_marked(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingBar(total=2, initial=0, main=True) as bar:
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
    with TrainingBar(total=20, initial=4, main=True) as bar:
        for _ in range(8):
            clock[0] += 11
            bar.update(1)
            bar.show(1.25, {"task": 0.5, "comp": 0.75}, COSTS)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" steps")[0] for line in lines] == ["train 7/20", "train 10/20"], "every 33 of 88 seconds"
    assert lines[1].endswith(SHOWN)


def test_a_long_judgment_says_where_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def slow(*_: object, progress: Callable[[int], None], **__: object) -> dict[str, list[object]]:
        for _ in range(10):
            clock[0] += 12
            progress(4)
        return {}

    monkeypatch.setattr(gather, "predict", slow)
    accelerator = SimpleNamespace(
        is_main_process=True, num_processes=1, process_index=0, device="cpu", autocast=nullcontext,
        unwrap_model=lambda method: method,
    )  # fmt: skip
    judging = SimpleNamespace(shard=(2, 3), as_trained=True, sources=())
    gather.judge(accelerator, torch.nn.Identity(), range(119), judging, title="test")  # type: ignore[arg-type]
    told = ["test 12/40 instances, 01:24 left", "test 24/40 instances, 00:48 left", "test 36/40 instances, 00:12 left"]
    assert capsys.readouterr().err.splitlines() == told
    accelerator.is_main_process = False
    gather.judge(accelerator, torch.nn.Identity(), range(119), judging, title="test")  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""


def test_other_processes_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingBar(total=2, initial=0, main=False) as bar:
        bar.update(1)
        bar.epoch(1, {"accuracy": 0.5}, best=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("tracker", "left"), [("wandb", "*.wandb"), ("trackio", "*.db"), ("mlflow", "mlflow.db")])
def test_a_tracker_writes_without_a_network(tracker: str, left: str, tmp_path: Path) -> None:
    pytest.importorskip(tracker)
    toy = ["--data.toy.n_train=48", "--data.toy.n_val=21", "--data.toy.n_test=17", "--train.epochs=1"]
    places = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "TRACKIO_DIR": str(tmp_path)}
    places["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/mlflow.db"
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

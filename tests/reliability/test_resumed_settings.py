"""Settings that do not change a result may change on resume, and the run ends as one that nothing interrupted."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file

from reliability.test_stopped import losses
from unirex import train
from unirex.config.identity import determining
from unirex.config.run import parse, plain
from unirex.suites.plan import told_difference
from unirex.training.loop import Training

TINY = [
    "--data.toy.n_train=72", "--data.toy.n_val=21", "--data.toy.n_test=17", "--model.random.hidden_size=32",
    "--train.lr=0.001", "--train.batch_size=24", "--train.log_every=1", "--train.epochs=2",
    "--model.random.num_hidden_layers=1", "--model.random.num_attention_heads=2",
    "--model.random.intermediate_size=32",
]  # fmt: skip
SAME = ["--train.save_every=2", "--train.log_every=2", "--train.trackers=[tensorboard]", "--train.max_time=1:00:00"]


def last_weights(run: Path) -> dict[str, Any]:
    """The weights and the optimizer's moments after the last step."""
    files = sorted((run / "checkpoints" / "step-00000006").glob("*.safetensors"))
    assert files
    return {f"{path.name} {name}": value for path in files for name, value in load_file(path).items()}


def left(run: Path) -> dict[str, Any]:
    """What a run came to, but for the lines of the log between epochs; its weights are those after the last step."""
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {
        "weights": {name: value.tobytes() for name, value in last_weights(run).items()},
        "dev": [{k: v for k, v in line.items() if k != "judge_seconds"} for line in log if line.get("event") == "dev"],
        "events": [line["event"] for line in log if "event" in line],
        "predictions": json.dumps(pq.read_table(run / "predictions.parquet").drop_columns("model").to_pylist()),
    }


def cut(run: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    """Trains four of the six steps."""
    step = Training._step

    def stop_in_the_fourth(self: Training, index: Any) -> Any:
        terms, _ = step(self, index)
        return terms, self.progress.step == 3

    with monkeypatch.context() as patched:
        patched.setattr(Training, "_step", stop_in_the_fourth)
        assert train.main([*TINY, *more, f"--output={run}"]) == 130


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert train.main([*TINY, f"--output={run}"]) == 0
    return left(run)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was cut, to be copied."""
    run = tmp_path_factory.mktemp("runs") / "started"
    with pytest.MonkeyPatch.context() as patched:
        cut(run, patched)
    return run


def test_a_dev_split_that_is_not_perturbed_picks_the_same_model(tmp_path: Path) -> None:
    for run, more in ((tmp_path / "all", []), (tmp_path / "few", ["--train.dev_perturb=false"])):
        assert train.main([*TINY, "--train.best_metric=headline", *more, f"--output={run}"]) == 0
    whole, few = left(tmp_path / "all"), left(tmp_path / "few")
    assert [whole[part] for part in ("weights", "predictions")] == [few[part] for part in ("weights", "predictions")]
    for more_metrics, metrics in zip(whole["dev"], few["dev"], strict=True):
        assert {"csd", "comprehensiveness", "sufficiency"} <= more_metrics.keys() - metrics.keys()
        assert metrics.items() <= more_metrics.items()


@pytest.mark.parametrize("method", ["aa-grad", "fresh", "l2e"])
def test_nor_does_one_without_attributions(method: str, tmp_path: Path) -> None:
    common = [f"--config={method}", *TINY, "--train.best_metric=headline"]
    for run, more in ((tmp_path / "all", []), (tmp_path / "few", ["--train.dev_perturb=false"])):
        assert train.main([*common, *more, f"--output={run}"]) == 0
    whole, few = left(tmp_path / "all"), left(tmp_path / "few")
    assert [whole[part] for part in ("weights", "predictions")] == [few[part] for part in ("weights", "predictions")]
    for more_metrics, metrics in zip(whole["dev"], few["dev"], strict=True):
        assert metrics["best"] == metrics["accuracy"] == more_metrics["best"]
        # The second stage of L2E learns scores.
        assert ("auprc" in metrics, "auprc" in more_metrics) == (method == "l2e", True)


def test_auto_goes_on_in_the_precision_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    run, auto = tmp_path / "run", "--train.precision=auto"
    cut(run, monkeypatch, auto)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    capsys.readouterr()
    assert train.main([*TINY, auto, f"--output={run}", "--resume=true"]) == 2
    assert "train.precision auto is 'no' on this machine, expected 'bf16' as in" in capsys.readouterr().err
    plain = tmp_path / "plain"  # began without auto, as runs of earlier versions did
    cut(plain, monkeypatch)
    capsys.readouterr()
    assert train.main([*TINY, auto, f"--output={plain}", "--resume=true"]) == 2
    assert "train.precision is 'auto', expected None as in" in capsys.readouterr().err
    assert train.main([*TINY, "--train.precision=bf16", f"--output={run}", "--resume=true"]) == 0
    assert train.main([*TINY, "--train.precision=bf16", f"--output={tmp_path / 'whole'}"]) == 0
    assert left(run) == left(tmp_path / "whole")


@pytest.mark.parametrize("setting", [*SAME, "--data.cache=CACHE"])
def test_a_setting_without_effect_may_change(
    setting: str, whole: dict[str, Any], started: Path, tmp_path: Path
) -> None:
    if "tensorboard" in setting:
        pytest.importorskip("tensorboard")
    run = shutil.copytree(started, tmp_path / "run")
    changed = setting.replace("CACHE", str(tmp_path / "cache"))
    assert train.main([*TINY, changed, f"--output={run}", "--resume=true"]) == 0
    assert left(run) == whole
    name = setting.partition("=")[0].rpartition(".")[2]
    assert name in (run / "config.yaml").read_text()


def test_another_split_may_be_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert train.main([*TINY, "--eval.split=val", f"--output={whole}"]) == 0
    cut(run, monkeypatch)
    assert train.main([*TINY, "--eval.split=val", f"--output={run}", "--resume=true"]) == 0
    assert left(run) == left(whole)
    assert len(json.loads(left(run)["predictions"])) == 21


def test_smaller_micro_batches_change_only_the_rounding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dry = ["--model.dropout=0", "--model.backbone_dropout=0"]  # what is dropped depends on the micro-batches
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert train.main([*TINY, *dry, f"--output={whole}"]) == 0
    cut(run, monkeypatch, *dry)
    assert train.main([*TINY, *dry, "--train.max_tokens=100", f"--output={run}", "--resume=true"]) == 0
    one, two = (losses(folder) for folder in (whole, run))
    assert len(two) == 6
    assert two == pytest.approx(one, rel=1e-4)
    assert two[:4] == one[:4]
    assert last_weights(run).keys() == last_weights(whole).keys()


@pytest.mark.parametrize("setting", ["--train.lr=0.002", "--train.accumulation=2", "--eval.seed=7", "--data.seed=3"])
def test_what_changes_a_result_is_refused(
    setting: str, started: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(started, tmp_path / "run")
    capsys.readouterr()
    assert train.main([*TINY, setting, f"--output={run}", "--resume=true"]) == 2
    assert f"error: --resume: {setting[2:].partition('=')[0]} is " in capsys.readouterr().err


def test_the_time_is_no_part_of_what_a_run_is() -> None:
    one, other = (plain(parse([*TINY, *more], prog="", description="")) for more in ([], ["--train.max_time=60"]))
    assert determining(one) == determining(other)
    assert told_difference(one, other) is None
    assert one != other

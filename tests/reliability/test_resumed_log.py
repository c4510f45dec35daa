"""The log of a run that went on has every line once, wherever it was killed."""

import json
from pathlib import Path
from typing import Any

import pytest

from unirex import train
from unirex.suites.table import read_costs
from unirex.training import loop as training
from unirex.training import run as training_run

TINY = [
    "--data.toy.n_train=48", "--data.toy.n_val=12", "--data.toy.n_test=9", "--model.random.hidden_size=16",
    "--model.random.num_attention_heads=2", "--train.batch_size=24", "--train.log_every=1", "--train.epochs=2",
    "--eval.references=[random]",
]  # fmt: skip


def events(run: Path) -> list[tuple[str, Any]]:
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [(line.get("event", "step"), line.get("step", line.get("stage"))) for line in lines]


def dies(*arguments: Any, **named: Any) -> Any:
    raise KeyboardInterrupt


def test_between_the_dev_metrics_and_their_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest checkpoint is then one of the same step, from before the metrics."""
    run = tmp_path / "run"
    judge = training.Training.improves

    def judge_and_die(self: training.Training, *arguments: Any, **more: Any) -> bool:
        better = judge(self, *arguments, **more)
        if self.progress.epoch == 2:
            dies()
        return better

    monkeypatch.setattr(training.Training, "improves", judge_and_die)
    assert train.main([*TINY, "--train.save_every=2", f"--output={run}"]) == 130
    cut = events(run)
    assert cut[-1] == ("dev", 4)
    assert (run / "checkpoints" / "step-00000004").is_dir()
    monkeypatch.undo()
    assert train.main([*TINY, "--train.save_every=2", f"--output={run}", "--resume=true"]) == 0
    assert events(run) == [*cut, ("end", 4)]


def test_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(training_run, "print_tables", dies)
    assert train.main([*TINY, f"--output={run}"]) == 130
    cut = events(run)
    assert cut[-1] == ("end", 4)
    monkeypatch.undo()
    assert train.main([*TINY, f"--output={run}", "--resume=true"]) == 0
    assert events(run) == cut


@pytest.mark.parametrize("where", ["first step of the last stage", "end"])
def test_the_cost_of_an_earlier_stage_stays(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    arguments = [*TINY, "--method.name=fresh", f"--output={run}"]
    if where == "end":
        monkeypatch.setattr(training_run, "print_tables", dies)
    else:
        step = training.Training._step

        def stop(self: training.Training, index: Any) -> Any:
            terms, asked = step(self, index)
            return terms, asked or "stages" not in self.run.parts

        monkeypatch.setattr(training.Training, "_step", stop)
    assert train.main(arguments) == 130
    before = [event for event in events(run) if event[0] == "stage"]
    assert before == [("stage", "support")]
    monkeypatch.undo()
    assert train.main([*arguments, "--resume=true"]) == 0
    assert [event for event in events(run) if event[0] in ("stage", "end")] == [*before, ("end", 4)]
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    costs = [e["step_seconds"] / e["step_instances"] for e in lines if e.get("event") in ("stage", "end")]
    assert read_costs(run)["train_seconds"] == pytest.approx(sum(costs))
    # The time of training is that of all its parts, before the interruption too.
    took = sum(event["step_seconds"] for event in lines if event.get("event") in ("stage", "end"))
    took += sum(event["judge_seconds"] for event in lines if event.get("event") == "dev")
    assert next(event for event in lines if event.get("event") == "end")["train_seconds"] >= took - 0.01

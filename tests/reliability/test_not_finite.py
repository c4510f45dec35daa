"""A loss that is not finite stops at its step, names term and batch, and leaves the last checkpoint as it was."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from reference.checkpoints import latest
from unirex import train
from unirex.schema import Example
from unirex.training import loop as training

TINY = [
    "--data.toy.n_train=72", "--data.toy.n_val=21", "--data.toy.n_test=17", "--model.random.hidden_size=32",
    "--train.batch_size=24", "--train.log_every=100", "--train.epochs=3", "--train.save_every=2",
    "--model.random.num_hidden_layers=1", "--model.random.num_attention_heads=2",
    "--model.random.intermediate_size=32",
]  # fmt: skip


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_it_stops_at_the_step_and_keeps_the_state(
    where: str, value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, kept, batches = tmp_path / "run", {}, []
    step = training.Training._step

    def poisoned(self: training.Training, index: Any) -> Any:
        batches.append([self.data.examples[i].id for i in index.tolist()])
        if self.progress.step == 4:  # the fifth: no line of the log, no checkpoint
            newest = latest(run)
            assert newest is not None
            kept.update(digests(newest))
            forward = self.method.forward

            def bad(*arguments: Any) -> dict[str, torch.Tensor]:
                terms = forward(*arguments)
                if where == "loss":
                    return {**terms, "suff": terms["suff"] * value}
                terms["task"].register_hook(lambda gradient: gradient * value)
                return terms

            monkeypatch.setattr(self.method, "forward", bad)
        return step(self, index)

    monkeypatch.setattr(training.Training, "_step", poisoned)
    assert train.main([*TINY, f"--output={run}"]) == 3
    error = capsys.readouterr().err.strip().splitlines()[-1]
    what = "loss term suff" if where == "loss" else "the gradient's norm"
    assert f"step 5: {what} is " in error
    assert f"batch of 24 instances: {', '.join(batches[-1][:8])}" in error
    newest = latest(run)
    assert newest is not None
    assert newest.name == "step-00000004"
    assert digests(newest) == kept
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert (last["event"], last["step"], last["what"], last["ids"]) == ("not finite", 5, what, batches[-1])
    monkeypatch.undo()
    assert train.main([*TINY, f"--output={run}", "--resume=true"]) == 0


def test_a_late_look_names_the_first_bad_step(tmp_path: Path) -> None:
    """On an accelerator steps are looked at together."""
    import numpy as np
    from accelerate import Accelerator

    from unirex.training.watch import Watch, _Step

    examples = [Example(id=name, segments=(), label=None) for name in "abc"]
    watch = Watch(Accelerator(cpu=True), examples, tmp_path)
    for number, value in ((1, 0.5), (2, float("nan")), (3, float("inf"))):
        values = torch.tensor([value, 1.0], dtype=torch.float64)
        watch._waiting.append(
            _Step(number=number, names=("loss term x", "y"), values=values, index=np.array([number - 1]))
        )
    with pytest.raises(FloatingPointError, match=r"step 2: loss term x is nan, .* 1 instances: b "):
        watch.check()
    watch.check()


def test_an_infinite_gradient_is_found_without_clipping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gradients = training.Training._gradients

    def infinite(self: training.Training, *arguments: Any, **named: Any) -> Any:
        sums = gradients(self, *arguments, **named)
        if self.progress.step == 1:
            next(p for p in self.method.parameters() if p.grad is not None).grad.fill_(float("inf"))
        return sums

    monkeypatch.setattr(training.Training, "_gradients", infinite)
    assert train.main([*TINY, "--train.clip=0", f"--output={tmp_path / 'run'}"]) == 3
    assert "step 2: the gradient's norm is inf, expected a finite number; batch of 24" in capsys.readouterr().err


def test_a_run_that_diverges_is_named_as_the_step_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After one step the scores are NaN, which the selection refuses before there is any loss."""
    run = tmp_path / "run"
    assert train.main([*TINY, "--train.lr=1e8", f"--output={run}"]) == 3
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: step 2: ")
    assert "scores[1] is NaN" in error
    assert "batch of 24 instances: toy_train_" in error
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert (last["event"], last["step"], len(last["ids"])) == ("not finite", 2, 24)


@pytest.mark.parametrize("step", [2, 3], ids=["within an epoch", "before the dev metrics"])
def test_weights_that_are_no_numbers_are_found_at_their_step(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One weight in a row of the embedding that no instance uses: no loss ever shows it."""
    run = tmp_path / "run"
    clear = torch.optim.AdamW.zero_grad
    calls = 0

    def poisoned(self: torch.optim.AdamW, *arguments: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        clear(self, *arguments, **named)
        if calls == step:
            largest = max((p for group in self.param_groups for p in group["params"]), key=torch.numel)
            with torch.no_grad():
                largest[-1, 0] = float("nan")

    monkeypatch.setattr(torch.optim.AdamW, "zero_grad", poisoned)
    assert train.main([*TINY, f"--output={run}"]) == 3
    assert f"step {step}: the weights' norm is nan, expected a finite number; batch of 24" in capsys.readouterr().err
    newest = latest(run)
    assert newest is None or int(newest.name.removeprefix("step-")) < step

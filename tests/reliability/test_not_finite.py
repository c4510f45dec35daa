"""A loss that is not finite stops at its step, names term and batch, and leaves the last checkpoint as it was."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from unirex import checkpoint, train, training

TINY = [
    "--data.toy.n_train=72", "--data.toy.n_val=21", "--data.toy.n_test=17", "--model.random.hidden_size=32",
    "--train.batch_size=24", "--train.log_every=100", "--train.epochs=3", "--train.save_every=2",
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
            newest = checkpoint.latest(run)
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
    newest = checkpoint.latest(run)
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

    from unirex.watch import Watch, _Step

    watch = Watch(Accelerator(cpu=True), ["a", "b", "c"], tmp_path)
    for number, value in ((1, 0.5), (2, float("nan")), (3, float("inf"))):
        values = torch.tensor([value, 1.0], dtype=torch.float64)
        watch._waiting.append(
            _Step(number=number, names=("loss term x", "y"), values=values, index=np.array([number - 1]))
        )
    with pytest.raises(FloatingPointError, match=r"step 2: loss term x is nan, .* 1 instances: b "):
        watch.check()
    watch.check()

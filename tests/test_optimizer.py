"""What an optimizer step does: its learning rate, clipping, decay and dropout, and when training has had enough."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reference.loop import fit
from test_training import make, train
from unirex.disk.checkpoint import seed_step
from unirex.training.loop import Training
from unirex.training.optimizer import uncorrected

FEW = ["--data.toy.n_train=4", "--train.batch_size=4", "--train.epochs=6"]


def watched(training: Training) -> list[dict[str, Any]]:
    """Fills up, before each update, with the learning rates and the norm of the gradient that it goes by."""
    seen: list[dict[str, Any]] = []

    def look(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        gradients = [
            p.grad.flatten() for group in optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        seen.append({
            "lr": [group["lr"] for group in optimizer.param_groups],
            "norm": torch.linalg.vector_norm(torch.cat(gradients)).item(),
        })  # fmt: skip

    training.optimizer.optimizer.register_step_pre_hook(look)
    return seen


def test_every_update_goes_by_the_learning_rate_of_its_step(tmp_path: Path) -> None:
    training = make(tmp_path, *FEW, "--train.warmup=0.34", "--train.lr=0.01", "--train.patience=null")
    seen = watched(training)
    fit(training, lambda _: {"best": 0.0})
    expected = [0.005, 0.01, 0.01, 0.0075, 0.005, 0.0025]
    assert [entry["lr"] for entry in seen] == [pytest.approx([lr, lr]) for lr in expected]


def test_what_is_uncorrected_counts_updates_and_not_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that the scaler of float16 leaves out is none; where nothing is undone, no step asks the optimizer."""
    training = make(tmp_path, *FEW, "--train.warmup=0", "--train.bias_correction=false")
    training.progress.step = 3
    lr = training._set_lr()
    assert training.optimizer.param_groups[1]["lr"] == uncorrected(lr, 0.0, 0, training.config)["lr"]

    def refuse(_: torch.optim.Optimizer) -> int:
        raise AssertionError("the optimizer's state was read")

    monkeypatch.setattr("unirex.training.loop.updates", refuse)
    train(make(tmp_path / "usual", *FEW), 1)


def test_gradients_are_clipped_to_the_norm_that_is_asked_for(tmp_path: Path) -> None:
    norms = {}
    for clip in (0.0, 0.05, 1000.0):
        training = make(tmp_path, f"--train.clip={clip}")
        seen = watched(training)
        train(training, 1)
        norms[clip] = seen[0]["norm"]
    assert norms[0.0] > 0.6  # so that ten times the bound would clip as well
    assert norms[0.05] == pytest.approx(0.05, rel=1e-3)
    assert norms[1000.0] == pytest.approx(norms[0.0])


@pytest.mark.parametrize("bias_correction", [True, False])
def test_matrices_decay_and_biases_and_norms_do_not(bias_correction: bool, tmp_path: Path) -> None:
    settings = ["--train.warmup=0", "--train.lr=0.01", "--train.weight_decay=0.5"]
    training = make(tmp_path, *settings, f"--train.bias_correction={str(bias_correction).lower()}")
    parameters = {name: p for name, p in training.method.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(1.0)  # biases start at 0, where decay would not show
            parameter.grad = torch.zeros_like(parameter)
    before = {name: p.detach().clone() for name, p in parameters.items()}
    training._set_lr()
    training.optimizer.step()
    kept = {name for name in parameters if name.endswith("bias") or "norm" in name.lower()}
    assert any(name.endswith("bias") for name in kept)
    assert any("norm" in name.lower() and name.endswith("weight") for name in kept)
    for name, parameter in parameters.items():
        expected = before[name] if name in kept else before[name] * (1 - 0.01 * 0.5)
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-6, atol=0, msg=name)


def test_dropout_draws_anew_in_every_step_and_the_same_when_a_step_is_done_again(tmp_path: Path) -> None:
    training = make(tmp_path, "--model.backbone_dropout=0.3")
    training.method.train()
    micro = training._collate(np.arange(8))
    counts, _ = training._counts(micro)

    def task(step: int) -> float:
        training.progress.step = step
        sums = training._gradients(micro, counts, idle=False)
        assert sums is not None
        return sums["task"].item()

    losses = [task(step) for step in (0, 1, 2)]
    assert len(set(losses)) == 3
    assert [task(step) for step in (2, 0, 1)] == [losses[2], losses[0], losses[1]]


def test_what_torch_draws_depends_on_seed_step_and_process() -> None:
    def draw(*parts: int) -> list[float]:
        seed_step(*parts)
        return torch.rand(4).tolist()

    drawn = [draw(*parts) for parts in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1))]
    assert len({tuple(values) for values in drawn}) == len(drawn)
    assert draw(0, 1, 0) == drawn[2]


@pytest.mark.parametrize(
    ("patience", "values", "epochs", "best"),
    [
        (1, [0.5, 0.5, 0.9], 2, 1),
        (2, [0.5, 0.4, 0.3, 0.9], 3, 1),
        (2, [0.5, 0.4, 0.6, 0.6, 0.1, 0.9], 5, 3),
        (3, [0.1, 0.2, 0.3, 0.2, 0.2, 0.4], 6, 6),
        (None, [0.5, 0.4, 0.3, 0.2, 0.1, 0.0], 6, 1),
    ],
)
def test_training_ends_after_so_many_epochs_without_a_better_value(
    patience: int | None, values: list[float], epochs: int, best: int, tmp_path: Path
) -> None:
    training = make(tmp_path, *FEW, f"--train.patience={'null' if patience is None else patience}")
    kept: list[int] = []
    progress = fit(training, lambda epoch: {"best": values[epoch - 1]}, lambda: kept.append(training.progress.epoch))
    assert (progress.epoch, progress.best_epoch) == (epochs, best)
    assert progress.best == values[best - 1]
    assert kept == [e for e in range(1, epochs + 1) if values[e - 1] > max([-1.0, *values[: e - 1]])]

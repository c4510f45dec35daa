"""A run around its steps: log, checkpoints and resuming, stopping by a signal, and what several processes agree on."""

import json
import os
import signal
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reference.checkpoints import latest
from reference.loop import fit as fit_with
from test_training import make
from unirex.config.run import TrainConfig
from unirex.disk import checkpoint
from unirex.training.loop import Progress, Training
from unirex.training.optimizer import adamw
from unirex.training.stopping import Stop, StoppedError

SHORT = ["--data.toy.n_train=20", "--train.batch_size=8", "--train.epochs=2", "--train.patience=null"]
"""Two epochs of three steps, of 8, 8 and 4 instances."""


def started(folder: Path, *more: str) -> Training:
    folder.mkdir(exist_ok=True)
    return make(folder, *SHORT, *more)


def fit(training: Training) -> Progress:
    return fit_with(training, lambda epoch: {"best": float(epoch)})


def lines(folder: Path, **fields: object) -> list[dict[str, Any]]:
    """The lines of a run's log that have such fields."""
    found = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in found if fields.items() <= line.items()]


def test_a_line_of_the_log_holds_the_means_since_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = started(tmp_path, "--train.log_every=4")
    assert training.total_steps == 6
    tokens_of, sizes = [], []
    collate = training.data.collate

    def count(index: Any, **options: Any) -> Any:
        batch = collate(index, **options)
        tokens_of.append(int(batch.rows.visible_BL.sum()))
        sizes.append(len(index))
        return batch

    monkeypatch.setattr(type(training.data), "collate", lambda _, index, **options: count(index, **options))
    progress = fit(training)
    assert (progress.step, progress.epoch, progress.batch, progress.instances) == (6, 2, 0, 40)
    steps = [line for line in lines(tmp_path) if "loss" in line]
    assert [(line["step"], line["epoch"], line["steps"]) for line in steps] == [(1, 0, 1), (4, 1, 3), (6, 1, 2)]
    for line in steps:
        assert line["loss"] == pytest.approx(
            sum(w * line[name] for name, w in training.bare_method.weights.items() if name in line)
        )
        assert line["task"] > 0
        assert line["grad_norm"] > 0
        assert 0 <= line["wait"] <= line["seconds"]
        assert line["lr"] > 0
        batches = tokens_of[line["step"] - line["steps"] : line["step"]]
        seconds = line["seconds"] * line["steps"]
        assert line["tokens_per_second"] * seconds == pytest.approx(sum(batches), rel=0.01)
        assert line["instances_per_second"] * seconds == pytest.approx(
            sum(sizes[line["step"] - line["steps"] : line["step"]]), rel=0.01
        )
        shares = {name: line[name] for name in line if name.startswith("share/")}
        assert shares.keys() == {f"share/{name}" for name in ("wait", "full", "perturbed", "backward", "optimizer")}
        assert all(share >= 0 for share in shares.values())
        assert 0.5 < sum(shares.values()) <= 1.001
        assert shares["share/wait"] == pytest.approx(line["wait"] / line["seconds"], abs=0.01)
        assert 2**20 < line["peak_memory"] < 2**40
        assert (line["seconds_left"] > 0) == (line["step"] < 6)
    assert sum(line["seconds"] * line["steps"] for line in steps) == pytest.approx(progress.seconds, abs=0.001)
    assert all(line["judge_seconds"] >= 0 for line in lines(tmp_path, event="dev"))
    assert [line["epoch"] for line in lines(tmp_path, event="dev")] == [1, 2]


def test_a_resumed_run_ends_as_if_it_had_gone_on(tmp_path: Path) -> None:
    whole = started(tmp_path / "whole", "--train.log_every=2")
    fit(whole)
    cut = started(tmp_path / "cut", "--train.log_every=2")
    step = cut._step

    def stop_in_the_fifth(index: Any) -> Any:
        if cut.progress.step == 4:
            signal.raise_signal(signal.SIGTERM)
        return step(index)

    cut._step = stop_in_the_fifth  # type: ignore[method-assign]
    with pytest.raises(StoppedError, match=r"stopped after step 5 \(SIGTERM\)"):
        fit(cut)
    assert lines(tmp_path / "cut", event="stopped") == [{"event": "stopped", "step": 5, "cause": "SIGTERM"}]
    found = latest(tmp_path / "cut")
    assert found is not None
    assert found.name == "step-00000005"
    resumed = started(tmp_path / "cut", "--train.log_every=2")
    resumed.resume(found)
    assert (resumed.progress.step, resumed.progress.epoch, resumed.progress.batch) == (5, 1, 2)
    assert resumed.progress.seconds > 0
    assert fit(resumed).history == [{"best": 1.0}, {"best": 2.0}]
    for name, weight in whole.bare_method.state_dict().items():
        torch.testing.assert_close(resumed.bare_method.state_dict()[name], weight, msg=name)
    losses = [[line["loss"] for line in lines(tmp_path / name) if "loss" in line] for name in ("whole", "cut")]
    assert losses[1] == pytest.approx(losses[0])


def test_the_first_signal_ends_the_step_and_a_later_interrupt_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, now = started(tmp_path), [100.0]
    monkeypatch.setattr("unirex.training.stopping.time.monotonic", lambda: now[0])
    before = signal.getsignal(signal.SIGINT)
    with Stop() as stop, training.interruptible(stop):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.code == 128 + signal.SIGINT
        assert training._counts([])[1]
        now[0] += 0.9  # what a launcher passes on
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        now[0] += 5
        signal.raise_signal(signal.SIGTERM)
        assert stop.code == 128 + signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_of_numbers_names_the_step_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        training = started(tmp_path / str(number))
        step = training._step

        def fail(index: Any, step: Any = step, training: Training = training, number: int = number) -> Any:
            if training.progress.step == number - 1:
                raise ValueError("scores are nan")
            return step(index)

        monkeypatch.setattr(training, "_step", fail)
        with pytest.raises(FloatingPointError, match=f"^step {number}: what the model computes: scores are nan"):
            fit(training)


def test_a_term_that_is_not_finite_names_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = started(tmp_path)
    gradients = training._gradients

    def break_the_second(*arguments: Any, **options: Any) -> Any:
        sums = gradients(*arguments, **options)
        return {name: term * (np.nan if training.progress.step == 1 else 1) for name, term in sums.items()}

    monkeypatch.setattr(training, "_gradients", break_the_second)
    with pytest.raises(FloatingPointError, match=r"^step 2: loss term "):
        fit(training)


def test_what_memory_has_taught_holds_for_the_batches_that_were_made_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, tried = started(tmp_path), list[int]()
    method = type(training.method)
    forward = method.forward

    def short_of_memory(self: Any, batch: Any, counts: Any, seed: int) -> Any:
        assert training._ahead is not None
        wait(training._ahead._waiting.values(), timeout=60)
        tried.append(batch.words_BL.numel())
        if tried[-1] > 80:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, batch, counts, seed)

    monkeypatch.setattr(method, "forward", short_of_memory)
    fit(training)
    first = next(i for i, tokens in enumerate(tried) if tokens <= 80)
    assert first > 0
    assert max(tried[first:]) <= 80


def test_one_kernel_updates_weights_of_full_precision_only() -> None:
    class Parts(torch.nn.Module):
        def __init__(self, *types: torch.dtype) -> None:
            super().__init__()
            self.parts = torch.nn.ParameterList(torch.zeros(2, dtype=kind) for kind in types)

    for types, fused in (([torch.float32] * 2, True), ([torch.float32, torch.float64], False)):
        assert adamw(Parts(*types), TrainConfig()).defaults["fused"] is fused


def test_a_metric_that_is_undefined_cannot_choose_the_best(tmp_path: Path) -> None:
    training = started(tmp_path)
    with pytest.raises(ValueError, match=r"train.best_metric is .*, which is undefined on the dev split"):
        fit_with(training, lambda _: {"best": float("nan")})


def test_processes_wait_for_each_other_around_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training, order = started(tmp_path), list[str]()
    save = checkpoint.save
    monkeypatch.setattr(training.accelerator, "wait_for_everyone", lambda: order.append("wait"))
    monkeypatch.setattr(checkpoint, "save", lambda *parts: (order.append("save"), save(*parts)))
    training.save()
    assert order == ["wait", "save", "wait"]


class TwoProcesses:
    """An accelerator as the first of two processes sees it, where the other one counts the same."""

    num_processes, process_index, device = 2, 0, torch.device("cpu")

    def reduce(self, tensor: torch.Tensor, how: str) -> torch.Tensor:
        assert how == "sum"
        return 2 * tensor


def test_counts_and_shares_are_those_of_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = started(tmp_path)
    micro = training._collate(np.arange(6))
    alone, stop = training._counts(micro)
    assert not stop
    monkeypatch.setattr(training, "accelerator", TwoProcesses())
    both, stop = training._counts(micro)
    assert not stop
    assert (alone.instances, both.instances) == (6, 12)
    assert both.gold_tokens == 2 * alone.gold_tokens > 0
    assert training._share(np.arange(5)).tolist() == [0, 2, 4]
    training._stop.code = 128 + signal.SIGTERM
    assert training._counts([])[1]


def test_the_norm_is_that_of_gradients_without_their_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half precision scales them; where nothing is clipped somebody must take the scale off before the norm."""
    training = started(tmp_path, "--train.clip=0")
    parameters = [p for p in training.method.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 8.0)

    def unscale() -> None:
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)

    monkeypatch.setattr(training.accelerator, "unscale_gradients", unscale)
    assert training._clip().item() == pytest.approx(sum(p.numel() for p in parameters) ** 0.5)

"""One step however it is cut: micro-batches, memory that runs out, checkpointed layers, batches made ahead."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from transformers.modeling_layers import GradientCheckpointingLayer

from unirex.config.run import parse
from unirex.training.ahead import Ahead
from unirex.training.assemble import assemble
from unirex.training.loop import Training
from unirex.training.schedule import epoch_batches

SETTINGS = [
    "--data.toy.n_train=40", "--data.toy.n_val=4", "--data.toy.n_test=4", "--model.dropout=0",
    "--model.backbone_dropout=0", "--model.random.hidden_size=32", "--model.random.intermediate_size=32",
    "--train.lr=0.01", "--train.batch_size=20",
]  # fmt: skip


def make(folder: Path, *more: str) -> Training:
    torch.manual_seed(0)
    config = parse([*SETTINGS, *more, f"--output={folder}"], prog="test", description="")
    parts = assemble(config)
    data = parts.tools.encode(parts.splits.train, parts.splits.labels)
    return Training(Accelerator(cpu=True), parts.method, data, config.train, folder, 0)


def train(training: Training, steps: int = 3) -> list[dict[str, float]]:
    """The terms of the first steps of the first epoch, batches made ahead as in a run."""
    batches = epoch_batches(training.data.lengths, training.config, 0, 0)
    training.method.train()
    found = []
    with Ahead(lambda i: training._collate(batches[i % len(batches)]), steps) as training._ahead:
        for number in range(steps):
            training.progress.batch = training.progress.step = number
            training._set_lr()
            terms, _ = training._step(batches[number % len(batches)])
            found.append({name: float(term) for name, term in terms.items()})
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    return train(make(tmp_path_factory.mktemp("plain")))


def check(found: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    assert len({round(entry["task"], 6) for entry in expected}) == len(expected)  # the steps did change something
    for a, b in zip(found, expected, strict=True):
        assert a == pytest.approx(b, rel=2e-4, abs=1e-6)  # a divergence of equal answers is 0 but for rounding


@pytest.mark.parametrize("extractor", ["shared", "dual"])
def test_micro_batches_under_a_token_limit_are_the_same_step(extractor: str, tmp_path: Path) -> None:
    whole = make(tmp_path, f"--model.extractor={extractor}")
    cut = make(tmp_path, f"--model.extractor={extractor}", "--train.max_tokens=60")
    index = epoch_batches(cut.data.lengths, cut.config, 0, 0)[0]
    micro = cut._collate(index)
    assert len(micro) > 3
    assert all(batch.words_BL.numel() <= 60 or len(batch.labels_I) == 1 for batch in micro)
    assert sorted(torch.cat([batch.index_I for batch in micro]).tolist()) == sorted(index.tolist())
    check(train(cut), train(whole))


def test_a_step_that_runs_out_of_memory_is_done_again_in_halves(
    plain: list[dict[str, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = make(tmp_path)
    method, tried = type(training.method), []
    forward = method.forward

    def short_of_memory(self: Any, batch: Any, counts: Any, seed: int) -> Any:
        tokens = batch.words_BL.numel()
        tried.append(tokens)
        terms = forward(self, batch, counts, seed)
        if tokens > 200:
            raise torch.OutOfMemoryError("out of memory")
        if len(tried) == 3:  # late in a step, after gradients of its first part
            raise torch.OutOfMemoryError("out of memory")
        return terms

    monkeypatch.setattr(method, "forward", short_of_memory)
    check(train(training), plain)
    assert tried[0] > 200
    assert training.progress.max_tokens is not None
    assert training.progress.max_tokens < 200
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["out of memory"] * len(events)
    assert len(events) >= 2


def test_a_cpu_that_runs_out_of_memory_backs_off_too(
    plain: list[dict[str, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = make(tmp_path)
    method = type(training.method)
    forward = method.forward

    def short_of_memory(self: Any, batch: Any, counts: Any, seed: int) -> Any:
        if batch.words_BL.numel() > 200:
            torch.empty(2**55)  # what the allocator of the CPU says to that is no OutOfMemoryError
        return forward(self, batch, counts, seed)

    monkeypatch.setattr(method, "forward", short_of_memory)
    check(train(training), plain)
    assert training.progress.max_tokens is not None
    assert training.progress.max_tokens < 200


def test_another_error_on_the_cpu_is_no_lack_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = make(tmp_path)

    def fail(*_: Any) -> Any:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(type(training.method), "forward", fail)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train(training)
    assert training.progress.max_tokens is None


def test_one_instance_too_large_for_memory_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = make(tmp_path)

    def fail(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(type(training.method), "forward", fail)
    with pytest.raises(ValueError, match=r"no memory for one instance of .* tokens; expected train.gradient_checkp"):
        train(training)


def test_one_text_too_long_for_memory_is_an_error_beside_short_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = make(tmp_path)
    method = type(training.method)
    forward = method.forward
    longest = max(
        batch.words_BL.shape[1]
        for batch in training._collate(epoch_batches(training.data.lengths, training.config, 0, 0)[0])
    )

    def short_of_memory(self: Any, batch: Any, counts: Any, seed: int) -> Any:
        if batch.words_BL.shape[1] == longest:
            raise torch.OutOfMemoryError
        return forward(self, batch, counts, seed)

    monkeypatch.setattr(method, "forward", short_of_memory)
    with pytest.raises(ValueError, match=rf"step 1: no memory for one instance of {longest} tokens"):
        train(training)


def test_checkpointed_layers_give_the_same_step(plain: list[dict[str, float]], tmp_path: Path) -> None:
    training = make(tmp_path, "--train.gradient_checkpointing=true")
    layers = [m for m in training.method.modules() if isinstance(m, GradientCheckpointingLayer)]
    calls: list[int] = []
    next(layers[0].children()).register_forward_pre_hook(lambda *_: calls.append(1))
    check(train(training, 3), plain)
    assert len(calls) == 3 * 2 * 2  # steps, passes, and each computed twice


def test_results_come_in_any_order_and_are_begun_before_they_are_asked_for() -> None:
    begun = [threading.Event() for _ in range(6)]

    def make_one(number: int) -> int:
        begun[number].set()
        return number * 10

    with Ahead(make_one, 6) as ahead:
        assert ahead.get(0) == 0
        assert begun[2].wait(5)
        assert not begun[3].is_set()
        ahead.forget()
        assert [ahead.get(i) for i in (1, 4, 5)] == [10, 40, 50]


def test_an_error_is_raised_where_its_result_is_asked_for() -> None:
    def make_one(number: int) -> int:
        if number == 1:
            raise ValueError("broken")
        return number

    with Ahead(make_one, 3) as ahead:
        assert ahead.get(0) == 0
        with pytest.raises(ValueError, match="broken"):
            ahead.get(1)
        assert ahead.get(2) == 2


def test_a_width_rounded_up_changes_no_value(tmp_path: Path) -> None:
    training = make(tmp_path)
    index = np.arange(7)
    tight, wide = training.data.collate(index), training.data.collate(index, multiple=16)
    assert wide.words_BL.shape[1] % 16 == 0
    width = tight.words_BL.shape[1]
    assert torch.equal(wide.rows.input_ids_BL[:, :width], tight.rows.input_ids_BL)
    assert not wide.rows.visible_BL[:, width:].any()
    assert (wide.words_BL[:, width:] == -1).all()

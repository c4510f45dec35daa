"""Hooks: what callbacks are told, in what order; a loss of one's own joins the method's, however a batch is cut."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reference.method_worlds import counts_of, data, method_of
from unirex.config.run import RunConfig, parse
from unirex.training.hooks import Event, Hooks, Outputs
from unirex.training.run import run
from unirex.training.stopping import Stop

TINY = [
    "--data.toy.n_train=24", "--data.toy.n_val=8", "--data.toy.n_test=8", "--model.random.hidden_size=16",
    "--train.epochs=2", "--train.batch_size=8", "--train.log_every=2", "--eval.references=[]",
]  # fmt: skip


def confidence(outputs: Outputs, _: Any) -> Tensor:
    """One number an instance."""
    return outputs.logits_IC.softmax(-1).max(-1).values


def two(outputs: Outputs, batch: Any) -> dict[str, Tensor]:
    assert outputs.scores_BL is not None
    marked_B = (outputs.scores_BL.sigmoid() * batch.selectable_BL).sum(1) / batch.selectable_BL.sum(1)
    return {"short": 2 * marked_B.mean(), "sure": confidence(outputs, batch)}


def config_of(folder: Path, *more: str) -> RunConfig:
    return parse([*TINY, f"--output={folder}", *more], prog="t", description="d")


@pytest.mark.parametrize("case", ["slm_fp", "dlm_fp", "fresh", "a2r"])
def test_terms_of_an_own_loss_are_means_over_the_global_batch_however_it_is_cut(case: str) -> None:
    plain = method_of(case).train()
    loss = two if case.startswith(("slm", "dlm")) else confidence
    method = Hooks(loss=loss).with_loss(type(plain))(plain.model, plain.config, plain.fill).train()
    assert type(method).__name__ != type(plain).__name__
    found: list[dict[str, float]] = []
    for parts in ([np.arange(6)], [np.array([0, 2, 3, 4, 5]), np.array([1])]):
        batches = [data().collate(part) for part in parts]
        sums: dict[str, float] = {}
        for batch in batches:
            for name, term in method(batch, counts_of(*batches), 3).items():
                sums[name] = sums.get(name, 0.0) + term.item()
        found.append(sums)
    assert found[0] == pytest.approx(found[1], rel=1e-4, abs=1e-6)
    batch = data().collate(np.arange(6))
    ours = plain(batch, counts_of(batch), 3)
    added = {name: value for name, value in found[0].items() if name not in ours}
    logits, scores = plain.model.full(batch)
    by_hand = logits.softmax(-1).max(-1).values.mean().item()
    if loss is two:
        rows = [(scores[i].sigmoid()[batch.selectable_BL[i]]).mean().item() for i in range(6)]
        assert added == pytest.approx({"short": 2 * np.mean(rows), "sure": by_hand}, rel=1e-5)
    else:
        assert added == pytest.approx({"confidence": by_hand}, rel=1e-5)
    assert {method.weights[name] for name in added} == {1.0}
    assert {name: method.weights[name] for name in plain.weights} == plain.weights


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda outputs, _: {"task": outputs.logits_IC.mean()}, "names a term 'task', expected one that the method"),
        (lambda outputs, _: {"a": outputs.logits_IC}, r"term 'a' has shape \[6, 3\], expected \[\] or \[6\]"),
        (lambda outputs, _: {"a": 0.5}, "term 'a' is a float, expected a tensor"),
        (lambda outputs, _: None, "term '<lambda>' is a NoneType, expected a tensor"),
    ],
)
def test_a_loss_that_gives_something_else_is_refused(loss: Any, said: str) -> None:
    plain = method_of("slm_fp")
    method = Hooks(loss=loss).with_loss(type(plain))(plain.model, plain.config, plain.fill)
    batch = data().collate(np.arange(6))
    with pytest.raises(ValueError, match=rf"^loss <lambda>.*{said}"):
        method(batch, counts_of(batch), 0)


def test_callbacks_are_told_what_happens_and_change_nothing(tmp_path: Path) -> None:
    told: list[Event] = []

    def listen(event: Event) -> None:
        told.append(event)
        torch.rand(3)

    run(config_of(tmp_path / "a"), Stop(), Hooks(callbacks=(listen,)))
    kinds = [(event.kind, event.step, event.epoch) for event in told]
    assert kinds == [
        ("step", 1, 0), ("step", 2, 0), ("epoch", 3, 1), ("judged", 3, 1),
        ("step", 4, 1), ("step", 6, 1), ("epoch", 6, 2), ("judged", 6, 2), ("end", 6, 2),
    ]  # fmt: skip
    assert {"loss", "task", "plaus", "lr", "grad_norm", "tokens_per_second", "share/full"} <= told[0].metrics.keys()
    assert {"best", "accuracy", "auprc", "judge_seconds"} <= told[3].metrics.keys()
    assert "test/accuracy" in told[-1].metrics
    run(config_of(tmp_path / "b"), Stop())
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


def test_an_error_in_a_callback_ends_the_run_with_one_line(tmp_path: Path) -> None:
    def stumbles(event: Event) -> None:
        if event.kind == "judged":
            raise KeyError("nothing\nhere")

    with pytest.raises(ValueError, match=r"^callback stumbles failed \(judged, step 3\): KeyError: 'nothing") as caught:
        run(config_of(tmp_path / "a"), Stop(), Hooks(callbacks=(stumbles,)))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("kind", [ValueError, KeyError, RuntimeError])
def test_an_error_of_an_own_loss_is_told_as_it_is(kind: type[Exception], tmp_path: Path) -> None:
    """Not as a number of the model that is not finite, though it speaks of one."""

    def budget(*_: Any) -> Tensor:
        raise kind("budget is None, expected a finite number")

    config = config_of(tmp_path / "a")
    with pytest.raises(ValueError, match=f"^loss budget failed: {kind.__name__}: .*budget is None, expected a finite"):
        run(replace(config, train=replace(config.train, loss="budget")), Stop(), Hooks(loss=budget))
    assert not (tmp_path / "a" / "log.jsonl").exists()  # where numbers that are not finite are written


def test_a_term_of_the_method_needs_a_weight_beside_an_own_loss_too() -> None:
    plain = method_of("slm_fp").train()

    class Mistyped(type(plain)):  # type: ignore[misc]
        def forward(self, *given: Any) -> dict[str, Tensor]:
            terms: dict[str, Tensor] = super().forward(*given)
            return {**terms, "plas": terms["plaus"]}

    method = Hooks(loss=confidence).with_loss(Mistyped)(plain.model, plain.config, plain.fill).train()
    weights, batch = method.weights, data().collate(np.arange(6))
    method(batch, counts_of(batch), 3)
    assert weights["confidence"] == 1
    with pytest.raises(KeyError, match="plas"):
        weights["plas"]


def test_the_configuration_names_the_loss_and_is_refused_without_it(tmp_path: Path) -> None:
    config = config_of(tmp_path / "a", "--train.epochs=1")
    with pytest.raises(ValueError, match=r"^train.loss is None, expected 'confidence'"):
        run(config, Stop(), Hooks(loss=confidence))
    named = replace(config, train=replace(config.train, loss="confidence"))
    with pytest.raises(ValueError, match=r"^train.loss is 'confidence', expected it left out: only unirex.train"):
        run(named, Stop())
    run(named, Stop(), Hooks(loss=confidence))
    assert "loss: confidence" in (tmp_path / "a" / "config.yaml").read_text()
    assert '"confidence": 0.' in (tmp_path / "a" / "log.jsonl").read_text()

"""A method that says no more than it must: what it need not say has a default, and the loop goes by the contract."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from reference.loop import fit
from reference.method_worlds import counts_of, data, method_of
from unirex.config.run import TrainConfig
from unirex.data.collate import Batch
from unirex.judging.predict import BY_CONSTRUCTION, OWN, EvalConfig, sources
from unirex.methods.method import Counts, Method, MethodConfig, Total, rationale_fraction, task_term
from unirex.methods.objectives import task_loss
from unirex.training.loop import Training


@dataclass(frozen=True, kw_only=True)
class LeastConfig(MethodConfig):
    name: str = "least"


class Least(Method):
    """Its own loss counts for one more in each step."""

    config_class = LeastConfig

    def __init__(self, *parts: object) -> None:
        super().__init__(*parts)  # type: ignore[arg-type]
        self.register_buffer("steps", torch.tensor(0))
        self.told: list[tuple[dict[str, float], dict[str, float]]] = []

    @property
    def weights(self) -> dict[str, float]:
        return {"task": 1.0 + int(self.steps)}

    def forward(self, batch: object, counts: Counts, seed: int) -> dict[str, Tensor]:
        logits = self.model.full(batch)[0]
        return {"task": task_term(task_loss(logits, batch.labels_I), batch, counts, self.class_weights)}

    def after_step(self, terms: Mapping[str, Tensor], total: Total) -> None:
        assert not any(term.requires_grad for term in terms.values())
        self.steps += 1
        self.told.append((
            {name: term.item() for name, term in terms.items()},
            {name: total(term).item() for name, term in terms.items()},
        ))  # fmt: skip

    def logged(self) -> dict[str, float]:
        return {"done": float(self.steps)}


def least() -> Least:
    other = method_of("slm_p")
    return Least(other.model, LeastConfig(), other.fill)


def trained(folder: Path, **settings: object) -> Training:
    config = TrainConfig(epochs=2, batch_size=3, lr=0.01, log_every=1, **settings)  # type: ignore[arg-type]
    return Training(Accelerator(cpu=True), least(), data(), config, folder, 0)


def test_what_a_method_need_not_say() -> None:
    method, batch = least(), data().collate(np.arange(6))
    assert [stage.name for stage in method.stages] == ["train"]
    assert (method.extractors, method.scores_from) == (("shared", "dual"), "extractor")
    assert Least.model_settings(method.config) == method.config.unread("shared") == Method.logged(method) == {}
    assert method.config.forbids_recomputing is None
    assert sources(method, EvalConfig(references=("gold",))) == (OWN, "gold")
    assert BY_CONSTRUCTION in sources(method_of("fresh"), EvalConfig())
    with torch.no_grad():
        logits, scores = method.model.full(batch)
        found = method.explain(batch)
        assert torch.equal(found.logits_IC, logits)
        assert torch.equal(found.scores_BL, scores)
        torch.testing.assert_close(method.perturbed(batch.rows, 1, None), logits)
    assert [rationale_fraction(method.model, given) for given in (None, 0.5)] == [0.25, 0.5]  # the run's f*, or its own
    method.model.config.run = None
    assert rationale_fraction(method.model, None) == 0.2


def test_a_method_without_its_losses_cannot_be_made() -> None:
    other = method_of("slm_p")
    with pytest.raises(TypeError, match="abstract"):
        Method(other.model, LeastConfig(), other.fill)  # type: ignore[abstract]


def test_scores_that_the_model_does_not_give_must_be_explained_by_the_method() -> None:
    other = method_of("aa")
    with pytest.raises(TypeError, match="Least has no `explain` of its own, and its model gives no scores"):
        Least(other.model, LeastConfig(), other.fill).explain(data().collate(np.arange(2)))


def test_the_loop_asks_for_weights_before_each_step_and_tells_the_terms_after_it(tmp_path: Path) -> None:
    training = trained(tmp_path)
    fit(training, lambda _: {"best": 0.0})
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["done"] for line in steps] == [1, 2, 3, 4]
    method = training.bare_method
    assert isinstance(method, Least)
    for line, (own, every) in zip(steps, method.told, strict=True):
        assert own == every == {"task": pytest.approx(line["task"])}
    # The log's sum is by the weights of the step.
    assert [line["loss"] / line["task"] for line in steps] == pytest.approx([1, 2, 3, 4])


def test_terms_are_means_of_the_global_batch_however_it_is_cut(tmp_path: Path) -> None:
    whole, cut = trained(tmp_path / "whole"), trained(tmp_path / "cut", accumulation=3)
    for training in (whole, cut):
        training.run.mkdir()
        training._step(np.arange(3))
    (one, _), (other, _) = (training.bare_method.told[0] for training in (whole, cut))
    assert other == pytest.approx(one, rel=1e-4)
    batch = data().collate(np.arange(3))
    torch.manual_seed(0)
    assert one["task"] == pytest.approx(least()(batch, counts_of(batch), 0)["task"].item(), rel=1e-4)


def test_a_process_that_has_nothing_to_do_adds_nothing_to_the_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = trained(tmp_path)
    counts, _ = training._counts(training._collate(np.arange(3)))
    counted = list[list[Batch]]()

    def count(micro: list[Batch]) -> tuple[Counts, bool]:
        counted.append(micro)
        return counts, False

    monkeypatch.setattr(training, "_share", lambda index: index[:0])
    monkeypatch.setattr(training, "_counts", count)
    training._step(np.arange(3))
    assert training.bare_method.told == [({"task": 0.0}, {"task": 0.0})]
    assert counted == [[]]  # nor to what they are divided by,
    assert float(training.interval.norm) == 0.0  # nor to their gradient

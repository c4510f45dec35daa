"""What holds of a method of one's own: its defaults, which of its settings count, its weights, its loss."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from reference.method_worlds import counts_of, data, method_of
from unirex import train
from unirex.config.identity import OUR_METHODS, training_part
from unirex.config.run import parse, plain
from unirex.methods import METHODS, add_method, add_methods
from unirex.methods.joint import Joint, JointConfig
from unirex.methods.method import Method, MethodConfig
from unirex.training.hooks import Hooks, Outputs

SMALL = [
    "--data.toy.n_train=24", "--data.toy.n_val=8", "--data.toy.n_test=8", "--model.random.hidden_size=16",
    "--train.epochs=1", "--train.batch_size=8", "--eval.references=[]",
]  # fmt: skip


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS, "_added", {})


@dataclass(frozen=True, kw_only=True)
class MineConfig(JointConfig):
    """Settings, some with defaults of their own.

    Attributes:
        name: of the method.
        plaus_weight, suff_criterion: as in joint training.
    """

    name: str = "mine"
    plaus_weight: float = 3.0
    suff_criterion: Any = "margin"


class Mine(Joint):
    config_class = MineConfig


def read(*arguments: str) -> Any:
    return parse(list(arguments), prog="t", description="d")


def test_extractors_are_several_even_where_they_are_one() -> None:
    with pytest.raises(ValueError, match=r"^Own: extractors is 'shared', expected a tuple, \('shared',\)$"):
        type("Own", (Joint,), {"extractors": "shared"})
    for found in ((), [], None):
        with pytest.raises(
            ValueError, match=rf"^Own: extractors is {re.escape(repr(found))}, expected one or more names$"
        ):
            type("Own", (Joint,), {"extractors": found})


def test_a_method_that_lacks_a_part_says_which() -> None:
    half = type("Half", (Method,), {"config_class": MineConfig, "__module__": "halves"})
    module = ModuleType("halves")
    module.Half = half  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"^method Half lacks \w+( and \w+)*, expected all that a Method needs$"):
        add_methods(module)
    with pytest.raises(ValueError, match=r"^method Half lacks .*forward.*weights, expected"):
        add_method(half)
    whole = type("Whole", (Joint,), {"config_class": MineConfig, "__module__": "halves"})
    module.Whole = whole  # type: ignore[attr-defined]
    add_methods(module)  # a base beside a method is no mistake
    assert METHODS.find("mine") is whole


def test_own_defaults_hold_against_inherited_presets() -> None:
    add_method(Mine)
    found = read("--method.name=mine").method
    assert (found.plaus_weight, found.suff_criterion) == (3.0, "margin")
    assert (found.estimator, found.comp_criterion) == ("logistic", "probability"), (
        "what it says nothing of is inherited"
    )
    assert read("--method.name=mine", "--preset=paper").method.plaus_weight == 3.0


def test_a_method_without_a_learned_extractor_has_its_own_preset() -> None:
    class Facts(Mine):
        extractors: ClassVar[tuple[str, ...]] = ("attribution",)
        presets: ClassVar[Any] = {"default": {"suff_weight": 9.0}, "paper": {"suff_weight": 7.0}}

    add_method(Facts)
    assert read("--method.name=mine").method.suff_weight == 9.0
    assert read("--method.name=mine", "--preset=paper").method.suff_weight == 7.0


def test_every_setting_of_an_own_method_counts_for_its_model() -> None:
    assert METHODS.built_in.keys() == OUR_METHODS
    add_method(Mine)

    def part(name: str, *more: str) -> Any:
        return training_part(plain(read(f"--method.name={name}", "--train.best_metric=headline", *more)))

    for setting in ("--method.gradient_weight=0.5", "--eval.rationale_fraction=0.4"):
        assert part("joint", setting) == part("joint")
        assert part("mine", setting) != part("mine")


@dataclass(frozen=True, kw_only=True)
class PathConfig(JointConfig):
    """Settings, one of a kind that no file holds.

    Attributes:
        name: of the method.
        teacher: a folder.
    """

    name: str = "taught"
    teacher: Path = Path("runs")


def test_a_setting_that_no_file_holds_is_one_line() -> None:
    add_method(type("Taught", (Joint,), {"config_class": PathConfig}))
    with pytest.raises(
        ValueError, match=r"^method taught: Object of type PosixPath is not JSON .*, expected settings that"
    ):
        read("--method.name=taught")


@dataclass(frozen=True, kw_only=True)
class HeadedConfig(MethodConfig):
    """Settings.

    Attributes:
        name: of the method.
    """

    name: str = "headed"


class Headed(Method):
    """With a weight beside the model that serves its loss alone."""

    config_class = HeadedConfig

    def __init__(self, model: Any, config: Any, fill: Any) -> None:
        super().__init__(model, config, fill)
        self.beside = nn.Parameter(torch.zeros(()))

    @property
    def weights(self) -> dict[str, float]:
        return {"task": 1.0}

    def forward(self, batch: Any, counts: Any, seed: int) -> dict[str, Any]:
        logits_IC, scores_BL = self.model.full(batch)
        assert scores_BL is not None
        return {"task": (logits_IC.sum() * 0 + scores_BL.sum() * 0 + self.beside) / counts.instances}


class Explaining(Headed):
    def explain(self, batch: Any) -> Any:
        found = super().explain(batch)
        return replace(found, scores_BL=found.scores_BL + self.beside)


class Unweighted(Headed):
    def forward(self, batch: Any, counts: Any, seed: int) -> dict[str, Any]:
        return {**super().forward(batch, counts, seed), "extra": self.beside * 1}


class ByInstance(Headed):
    def forward(self, batch: Any, counts: Any, seed: int) -> dict[str, Any]:
        return {"task": super().forward(batch, counts, seed)["task"].expand(len(batch.labels_I))}


class Plain(Headed):
    def forward(self, batch: Any, counts: Any, seed: int) -> dict[str, Any]:
        return {**super().forward(batch, counts, seed), "task": 0.0}


class NoTerms(Headed):
    def forward(self, batch: Any, counts: Any, seed: int) -> Any:
        return None


class NoProperty(Headed):
    def weights(self) -> dict[str, float]:  # type: ignore[override]
        return {"task": 1.0}


class Worded(Headed):
    @property
    def weights(self) -> Any:
        return {"task": "0.5"}


class Tuple(Mine):
    def explain(self, batch: Any) -> Any:
        found = super().explain(batch)
        return found.logits_IC, found.scores_BL


class Short(Mine):
    def explain(self, batch: Any) -> Any:
        found = super().explain(batch)
        return replace(found, scores_BL=found.scores_BL[:, 1:])


class OneLogit(Mine):
    def explain(self, batch: Any) -> Any:
        found = super().explain(batch)
        return replace(found, logits_IC=found.logits_IC[:, 0])


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (NoTerms, "NoTerms.forward gave None, expected terms by name"),
        (NoProperty, "expected a property that gives a number for each term"),
        (Worded, "Worded.weights is {'task': '0.5'}, expected a property that gives a number for each term"),
        (Tuple, "Tuple.explain gave a tuple, expected an Explanation"),
        (Short, "Short.explain gave scores_BL of shape [8, "),
        (OneLogit, "OneLogit.explain gave logits_IC of shape [8], expected 8 rows, one for each instance"),
        (ByInstance, "term 'task' has shape [8], expected a tensor of one number"),
        (Plain, "term 'task' is a float, expected a tensor of one number"),
        (
            Explaining,
            "method headed: beside is no part of the model, which alone is saved, and Explaining has `explain`",
        ),
        (Unweighted, "term 'extra' has no weight, expected one of task"),
    ],
)
def test_what_is_wrong_with_an_own_method_is_one_line(
    method: type[Method], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([*SMALL, f"--method.name={add_method(method)}", f"--output={tmp_path / 'run'}"]) == 2
    assert message in capsys.readouterr().err


class Forgotten(Headed):
    @property
    def weights(self) -> dict[str, float]:
        return {**super().weights, "extra": 0.5, "off": 0.0}


def test_a_weight_of_a_term_that_never_comes_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_method(Forgotten)
    longer = ["--train.epochs=2", "--method.name=headed", f"--output={tmp_path / 'run'}"]
    assert train.main([*SMALL, *longer]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "counts for nothing" in line]
    which = "Forgotten.weights has 'extra', which `forward` has not returned so far"
    assert told == [f"warning: method: {which}: it counts for nothing"]


def test_a_weight_beside_the_model_may_serve_the_losses(tmp_path: Path) -> None:
    add_method(Headed)
    assert train.main([*SMALL, "--method.name=headed", f"--output={tmp_path / 'run'}"]) == 0


def test_two_methods_of_one_file_have_two_names() -> None:
    module = ModuleType("variants")
    for kind in (Mine, type("Ablation", (Mine,), {})):
        kind.__module__ = "variants"
        setattr(module, kind.__name__, kind)
    try:
        with pytest.raises(ValueError, match="variants: Mine and Ablation are both called 'mine', expected different"):
            add_methods(module)
    finally:
        Mine.__module__ = __name__


def level(outputs: Outputs, _: Any) -> Any:
    """Reads how high the scores are."""
    assert outputs.scores_BL is not None
    return ((outputs.scores_BL - 3) ** 2).mean()


def test_a_loss_that_reads_the_level_of_the_scores_moves_their_bias() -> None:
    made = method_of("slm_fp_ranking")
    batch = data().collate(np.arange(4))
    for loss, moves in ((None, False), (level, True)):
        method = Hooks(loss=loss).with_loss(type(made))(made.model, made.config, made.fill)
        bias = method.model.extractor.score_head.layers[-1].bias
        bias.grad = None
        terms = method.train()(batch, counts_of(batch), 3)
        sum(method.weights[name] * term for name, term in terms.items()).backward()  # type: ignore[union-attr]
        assert bool(bias.grad.abs().sum() > 0) is moves, loss


def test_a_loss_is_given_what_the_stage_trains() -> None:
    made = method_of("fresh")
    seen: list[Any] = []

    def look(outputs: Outputs, _: Any) -> Any:
        seen.append(outputs.logits_IC)
        return outputs.logits_IC.sum() * 0

    method = Hooks(loss=look).with_loss(type(made))(made.model, made.config, made.fill)
    batch = data().collate(np.arange(4))
    for stage in method.stages:
        method.enter(stage.name)
        method.train()(batch, counts_of(batch), 3)
        assert seen[-1].requires_grad, stage.name
        torch.testing.assert_close(seen[-1], method.answering.full(batch)[0])

"""The `paper` preset: below files and the command line, and what its switches of the optimisation do."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from accelerate import Accelerator

from reference.loop import fit
from unirex.config.presets import PRESETS, preset_defaults
from unirex.config.run import RunConfig, TrainConfig, build_parser, parse, to_yaml
from unirex.extractors.head import ScoreHead
from unirex.methods import METHODS
from unirex.methods.joint import JointConfig
from unirex.modeling import UnirexModel
from unirex.training.assemble import assemble
from unirex.training.loop import Training
from unirex.training.optimizer import adamw, uncorrected, updates
from unirex.training.schedule import epoch_batches

RECIPES = Path(__file__).parents[1] / "recipes"
TINY = [
    "--data.toy.n_train=16", "--data.toy.n_val=4", "--data.toy.n_test=4", "--model.random.hidden_size=16",
    "--model.random.num_hidden_layers=1", "--model.random.num_attention_heads=2", "--model.random.intermediate_size=16",
    "--train.epochs=1", "--train.batch_size=8",
]  # fmt: skip


def read(*arguments: str) -> RunConfig:
    return parse(list(arguments), prog="t", description="d")


MLP = [(16, 12), (12, 12), (12, 1)]
BUILT: dict[str, tuple[str, list[tuple[int, int]] | None]] = {
    **{f"aa-{name}": ("none", None) for name in ("grad", "input-x-grad", "ig", "deeplift", "gradient-shap")},
    # Attributions pooled by their sum; only AA-MLP has weights that pool them.
    **dict.fromkeys(("sgt", "sgt-p", "aa-f", "aa-fp"), ("attribution", None)),
    "aa-fp-mlp": ("attribution", MLP),
    **dict.fromkeys(("dlm-p", "dlm-fp"), ("dual", MLP)),
    **dict.fromkeys(("slm-p", "slm-fp"), ("shared", MLP)),
    **{name: ("dual", [(16, 1)]) for name in ("a2r", "a2r-p")},
    "l2e": ("dual", [(16, 5)]),
    "fresh": ("support", None),
    "fresh-p": ("support", [(16, 1)]),
}
"""What the preset makes of each row of the paper: the kind of extractor, and the layers of its head."""


def head(model: UnirexModel) -> list[tuple[int, int]] | None:
    """The layers (in, out) of the model's score head, None where it has none."""
    heads = [module for module in model.modules() if isinstance(module, ScoreHead)]
    assert len(heads) <= 1
    linear = [layer for layer in heads[0].layers if isinstance(layer, torch.nn.Linear)] if heads else None
    return None if linear is None else [(layer.in_features, layer.out_features) for layer in linear]


def test_the_paper_suite_holds_the_rows_that_are_built_here() -> None:
    suite = yaml.safe_load((RECIPES / "suites" / "paper.yaml").read_text())
    assert set(suite["methods"]) == set(BUILT)


@pytest.mark.parametrize("name", BUILT)
def test_the_paper_preset_trains_every_row_with_the_papers_head(name: str, tmp_path: Path) -> None:
    recipe = f"--config={RECIPES / 'methods' / f'{name}.yaml'}"
    built = BUILT[name][1]
    narrow = ["--model.head_width=12"] if built and len(built) > 1 else []
    config = read("--preset=paper", recipe, *TINY, *narrow)
    parts = assemble(config)
    assert (parts.model.config.extractor, head(parts.model)) == BUILT[name]
    assert read("--preset=paper", recipe).model.head_width == 2048
    train = parts.tools.encode(parts.splits.train, parts.splits.labels)
    before = {key: value.clone() for key, value in parts.method.state_dict().items()}
    for stage in parts.method.stages:
        parts.method.enter(stage.name)
        training = Training(Accelerator(cpu=True), parts.method, train, config.train, tmp_path / stage.name, 0)
        (tmp_path / stage.name).mkdir()
        assert fit(training, lambda epoch: {"best": 0.0}).step == 2
        training.close()
    moved = [key for key, value in parts.method.state_dict().items() if not torch.equal(value, before[key])]
    for part in ("backbone", "classifier", *(["extractor"] if head(parts.model) else [])):
        assert any(key.startswith(f"model.{part}.") for key in moved), part


def test_a_recipes_own_head_wins_over_the_presets() -> None:
    assert read("--preset=paper").model.head == "mlp"
    assert read("--preset=paper", "--model.head=linear").model.head == "linear"
    assert read("--preset=paper", "--model.extractor=attribution").model.head == "linear"
    assert read("--preset=paper", "--method.name=sgt").model.head == "linear"
    assert read("--preset=paper", "--method.name=a2r").model.head == "linear"
    assert read("--preset=paper", "--method.name=a2r", "--model.head=mlp").model.head == "mlp"
    assert read().model.head == "linear"


@pytest.mark.parametrize("method", [*METHODS])
def test_every_key_of_a_preset_is_a_key_of_the_configuration(method: str) -> None:
    assert PRESETS.keys() >= METHODS[method].presets.keys() | METHODS[method].preset_heads.keys()
    config: Any = read("--preset=paper", f"--method.name={method}")
    for key, value in preset_defaults("paper", method).items():
        found: Any = config
        for part in key.split("."):
            found = getattr(found, part)
        assert (list(found) if isinstance(found, tuple) else found) == value, key
    assert config.preset == "paper"


def test_files_and_the_command_line_win_over_a_preset(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("preset: paper\nmethod:\n  name: fresh\n  rounding: half_even\ntrain:\n  clip: 2.0\n")
    config = read("--config", str(file), "--train.weight_decay=0.5")
    assert config.method.rounding == "half_even"
    assert (config.train.clip, config.train.weight_decay, config.train.betas) == (2.0, 0.5, (0.9, 0.98))
    assert config.model.extractor == "support"
    again = tmp_path / "again.yaml"
    again.write_text(to_yaml(config))
    assert read("--config", str(again)) == config
    base = tmp_path / "base.yaml"  # and a second file wins over the first, key by key
    base.write_text("train:\n  clip: 3.0\n")
    both = read("--config", str(file), "--config", str(base))
    assert (both.train.clip, both.train.bias_correction) == (3.0, False)


def test_without_a_preset_nothing_changes() -> None:
    plain = build_parser("joint", prog="t", description="d").get_defaults()
    assert plain.train.betas == (0.9, 0.999)
    assert yaml.safe_load(to_yaml(read()))["preset"] == "default"


def test_adamw_without_bias_correction_by_hand() -> None:
    """Three steps against m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g², p = p - lr (m / (sqrt v + eps) + decay p)."""
    config = TrainConfig(betas=(0.9, 0.98), eps=1e-3, weight_decay=0.1, bias_correction=False)
    layer = torch.nn.Linear(2, 1, bias=False)
    optimizer = adamw(layer, config)
    p = layer.weight.detach().double().flatten().clone()
    m, v = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for step, lr in enumerate([None, 0.1, 0.05, None, 0.2]):  # None: left out, as the scaler of float16 does
        done = updates(optimizer)
        if lr is None:
            continue
        g = torch.tensor([0.5, -2.0 * (step + 1)])
        optimizer.param_groups[0].update(uncorrected(lr, config.weight_decay, done, config))
        layer.weight.grad = g[None].clone()
        optimizer.step()
        m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g**2
        p = p - lr * (m / (v.sqrt() + 1e-3) + 0.1 * p)
        assert layer.weight.flatten().tolist() == pytest.approx(p.tolist(), rel=1e-5)


def test_half_of_each_batch_has_gold_where_little_has() -> None:
    config = TrainConfig(batch_size=10, gold_half=True)
    has_gold = np.zeros(103, dtype=bool)
    has_gold[[3, 50, 99]] = True
    lengths = np.full(103, 5)
    batches = epoch_batches(lengths, config, 0, 0, has_gold)
    assert len(batches) == math.ceil(100 / 5)
    seen = np.concatenate(batches)
    for batch in batches:
        assert has_gold[batch].sum() == len(batch) / 2 == 5
    plain = seen[~has_gold[seen]]
    assert sorted(plain.tolist()) == np.flatnonzero(~has_gold).tolist()
    counts = np.bincount(seen, minlength=103)[has_gold]
    assert counts.max() - counts.min() <= 1
    assert not np.array_equal(seen, np.concatenate(epoch_batches(lengths, config, 0, 1, has_gold)))
    # With gold for half or more, without any, or unasked, batches are as ever.
    for other in (np.ones(103, dtype=bool), np.zeros(103, dtype=bool), np.arange(103) % 2 == 0):
        expected = epoch_batches(lengths, replace(config, gold_half=False), 0, 0)
        for one, two in zip(epoch_batches(lengths, config, 0, 0, other), expected, strict=True):
            assert np.array_equal(one, two)


class TestDefault:
    def test_is_our_recipe_with_one_fraction_a_step(self) -> None:
        ours = read("--config=slm-fp-guided")
        assert read().method == ours.method
        assert (ours.method.estimator, ours.method.fractions_per_step, ours.model.extractor) == (
            "logistic",
            1,
            "shared",
        )
        assert read("--config=slm-fp-relaxed").method == replace(ours.method, gradient_weight=0.0)

    @pytest.mark.parametrize("recipe", ["slm-fp", "slm-p", "dlm-fp", "dlm-p", "aa-ig", "aa-f", "aa-fp"])
    def test_leaves_the_rows_of_the_paper_as_they_are(self, recipe: str) -> None:
        method = read(f"--config={recipe}").method
        weights = {name: getattr(method, name) for name in ("plaus_weight", "comp_weight", "suff_weight")}
        given = {name: getattr(method, name) for name in ("attribution", "attribution_settings")}
        assert method == JointConfig(**weights, **given)
        assert method.plaus_weight == (0 if recipe == "aa-f" else 0.5)

    @pytest.mark.parametrize(("backbone", "lr"), [("some/encoder", 1e-4), ("null", 1e-3)])
    def test_learning_rate_fits_the_backbone(self, backbone: str, lr: float) -> None:
        found = read(f"--model.backbone={backbone}")
        assert (found.train.lr, found.train.epochs, found.train.batch_size) == (lr, None, 16)
        assert read(f"--model.backbone={backbone}", "--train.lr=0.5").train.lr == 0.5

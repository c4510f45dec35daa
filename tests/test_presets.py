"""The `paper` preset: below files and the command line, and what its switches of the optimisation do."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from unirex.config import TrainConfig, build_parser, parse, to_yaml
from unirex.methods import METHODS
from unirex.presets import METHOD_PRESETS, PRESETS, preset_defaults
from unirex.schedule import epoch_batches, uncorrected
from unirex.training import adamw


def read(*arguments: str) -> object:
    return parse(list(arguments), prog="t", description="d")


@pytest.mark.parametrize("method", METHODS)
def test_every_key_of_a_preset_is_a_key_of_the_configuration(method: str) -> None:
    assert PRESETS.keys() == METHOD_PRESETS.keys()
    config = read("--preset=paper", f"--method.name={method}")
    for key, value in preset_defaults("paper", method).items():
        found = config
        for part in key.split("."):
            found = getattr(found, part)
        assert (list(found) if isinstance(found, tuple) else found) == value, key
    assert config.preset == "paper"  # type: ignore[attr-defined]


def test_files_and_the_command_line_win_over_a_preset(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("preset: paper\nmethod:\n  name: fresh\n  rounding: half_even\ntrain:\n  clip: 2.0\n")
    config = read("--config", str(file), "--train.weight_decay=0.5")
    assert config.method.rounding == "half_even"  # type: ignore[attr-defined]
    assert (config.train.clip, config.train.weight_decay, config.train.betas) == (2.0, 0.5, (0.9, 0.98))  # type: ignore[attr-defined]
    assert config.model.extractor == "support"  # type: ignore[attr-defined]
    again = tmp_path / "again.yaml"
    again.write_text(to_yaml(config))  # type: ignore[arg-type]
    assert read("--config", str(again)) == config
    base = tmp_path / "base.yaml"  # and a second file wins over the first, key by key
    base.write_text("train:\n  clip: 3.0\n")
    both = read("--config", str(file), "--config", str(base))
    assert (both.train.clip, both.train.bias_correction) == (3.0, False)  # type: ignore[attr-defined]


def test_without_a_preset_nothing_changes() -> None:
    plain = build_parser("unirex", prog="t", description="d").get_defaults()
    assert plain.train.betas == (0.9, 0.999)
    assert yaml.safe_load(to_yaml(read()))["preset"] == "default"  # type: ignore[arg-type]


def test_adamw_without_bias_correction_by_hand() -> None:
    """Three steps against m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g², p = p - lr (m / (sqrt v + eps) + decay p)."""
    config = TrainConfig(betas=(0.9, 0.98), eps=1e-3, weight_decay=0.1, bias_correction=False)
    layer = torch.nn.Linear(2, 1, bias=False)
    optimizer = adamw(layer, config)
    p = layer.weight.detach().double().flatten().clone()
    m, v = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for step, lr in enumerate([0.1, 0.05, 0.2]):
        g = torch.tensor([0.5, -2.0 * (step + 1)])
        optimizer.param_groups[0].update(uncorrected(lr, config.weight_decay, step, config))
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

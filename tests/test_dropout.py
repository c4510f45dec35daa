"""Dropout by 16-bit numbers is dropout: how many values stay, what they become, and what a seed repeats."""

import math

import pytest
import torch
from torch import nn

from test_backbone import SMALL
from unirex.encoder.backbone import bare_backbone
from unirex.encoder.dropout import Dropout, drop, kept_values


@pytest.mark.parametrize("probability", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_stay_with_their_probability_and_keep_the_mean(probability: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    n = 1_000_003  # no multiple of four
    values = torch.ones(n, dtype=dtype, requires_grad=True)
    found = drop(values, probability)
    assert found.dtype == dtype
    deviation = math.sqrt(n * probability * (1 - probability))
    assert abs(int((found == 0).sum()) - n * probability) < 5 * deviation
    torch.testing.assert_close(found.max(), torch.tensor(1 / (1 - probability), dtype=dtype))
    assert set(found.unique().tolist()) == {0.0, found.max().item()}
    found.float().sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, found)  # of ones, the values are their own slopes


def test_neighbours_and_calls_are_independent() -> None:
    torch.manual_seed(1)
    first, second = (kept_values(torch.empty(1000, 400), 0.5).float() for _ in range(2))
    drawn = torch.stack([first[:, :-4], *(first[:, i : i - 4 or None] for i in range(1, 5)), second[:, :-4]]).flatten(1)
    correlation = torch.corrcoef(drawn) - torch.eye(6)
    assert correlation.abs().max() < 5 / math.sqrt(drawn.shape[1])


def test_a_seed_repeats_what_is_dropped_and_evaluation_drops_nothing() -> None:
    module, values = Dropout(0.3), torch.randn(7, 11)
    torch.manual_seed(2)
    first, other = module(values), module(values)
    torch.manual_seed(2)
    assert torch.equal(module(values), first)
    assert not torch.equal(first, other)
    assert module.eval()(values) is values
    assert torch.equal(drop(values, 0.0), values)
    assert not drop(values, 1.0).any()
    assert kept_values(torch.empty(100), 1 - 1e-9).sum() < 5


def test_a_backbone_takes_it_wherever_it_drops() -> None:
    settings = {**SMALL, "model_type": "bert", "hidden_dropout_prob": 0.1}
    found = [type(module) for module in bare_backbone(settings).modules() if isinstance(module, nn.Dropout)]
    assert found
    assert set(found) == {Dropout}

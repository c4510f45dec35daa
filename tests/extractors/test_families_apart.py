"""Attributions in families whose layers are not laid out as BERT's."""

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from unirex.data.collate import FillTokens, Rows
from unirex.extractors.attention import attention_scores
from unirex.extractors.deeplift import ELEMENTWISE, deeplift
from unirex.extractors.target import Target

VOCABULARY, CLASSES = 40, 3
SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


@torch.no_grad()
def activations(asked: Target, modules: list[nn.Module], point: Tensor, row: int) -> list[tuple[Tensor, Tensor]]:
    """What goes into each activation and what comes out, of one row by itself."""
    seen: list[tuple[Tensor, Tensor]] = []
    hooks = [module.register_forward_hook(lambda _, given, out: seen.append((given[0], out))) for module in modules]
    asked.logit(point, torch.tensor([row]))
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("length", [6, 7])
@pytest.mark.parametrize("family", ["xlnet", "bloom", "bert"])
def test_deeplift_pairs_each_activation_of_a_row_with_that_of_its_baseline(family: str, length: int) -> None:
    torch.manual_seed(5)
    shape = {
        "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24, "ff_activation": "gelu"},
        "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2},
        "bert": SHAPE,
    }[family]
    backbone = AutoModel.from_config(AutoConfig.for_model(family, vocab_size=VOCABULARY, **shape)).eval()
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.normal_(0, 0.3)
    ids_BL = torch.randint(4, VOCABULARY, (3, length))
    every_BL = torch.ones_like(ids_BL, dtype=torch.bool)
    asked = Target(
        backbone=backbone,
        classify=nn.Linear(16, CLASSES),
        pooling="last",
        rows=Rows(input_ids_BL=ids_BL, visible_BL=every_BL, token_types_BL=torch.zeros_like(ids_BL)),
        selectable_BL=every_BL,
        class_B=torch.tensor([0, 1, 2]),
        fill=FillTokens(mask_id=2, pad_id=1),
        max_tokens=1000,
    )
    found = deeplift(asked)
    modules = [m for m in backbone.modules() if isinstance(m, ELEMENTWISE) or type(m).__name__ == "BloomGelu"]
    assert modules
    for row in range(3):
        of_row, of_baseline = (
            activations(asked, modules, points[row : row + 1], row)
            for points in (asked.embeddings_BLD, asked.baseline_BLD)
        )
        quotients = [(b - d) / (a - c) for (a, b), (c, d) in zip(of_row, of_baseline, strict=True)]

        def rule(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, *, left: list[Tensor] = quotients) -> Tensor:
            return output.detach() + left.pop(0) * (inputs[0] - inputs[0].detach())

        hooks = [m.register_forward_hook(rule) for m in modules]
        point = asked.embeddings_BLD[row : row + 1].detach().requires_grad_()
        (slope,) = torch.autograd.grad(asked.logit(point, torch.tensor([row])).sum(), point)
        for hook in hooks:
            hook.remove()
        expected = slope * (asked.embeddings_BLD - asked.baseline_BLD)[row : row + 1].detach()
        torch.testing.assert_close(found[row : row + 1], expected, rtol=1e-3, atol=1e-4)


def test_attention_that_is_no_square_of_tokens_is_refused() -> None:
    config = AutoConfig.for_model(
        "longformer", vocab_size=VOCABULARY, attention_window=4, max_position_embeddings=32, **SHAPE
    )
    ids_BL = torch.randint(4, VOCABULARY, (2, 8))
    asked = Target(
        backbone=AutoModel.from_config(config).eval(),
        classify=nn.Linear(16, CLASSES),
        pooling="first",
        rows=Rows(input_ids_BL=ids_BL, visible_BL=ids_BL > 0, token_types_BL=torch.zeros_like(ids_BL)),
        selectable_BL=ids_BL > 0,
        class_B=torch.zeros(2, dtype=torch.int64),
        fill=FillTokens(mask_id=2, pad_id=1),
        max_tokens=1000,
    )
    with pytest.raises(
        ValueError, match=r"a longformer backbone gives attention weights of shape .*expected one from each of 8"
    ):
        attention_scores(asked, "last_layer")

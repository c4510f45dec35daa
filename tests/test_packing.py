"""Packed rows must give what padded rows give: values and gradients, for every layout and every backbone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from test_backbone import backbone, random_rows
from unirex.data.collate import Rows
from unirex.encoder import packing
from unirex.encoder.backbone import encode, encode_padded, encode_pooled, plan_passes
from unirex.encoder.families import _COUNT_FROM_PADDING, _COUNT_FROM_ZERO
from unirex.encoder.packing import pack, run_packed

LAYOUTS = {
    "ragged": lambda lengths: None,
    "rounded": lambda lengths: None,
    "one block": lambda lengths: [np.arange(len(lengths))],
    "exact blocks": lambda lengths: plan_passes(lengths, 0, None, step=1),
    "planned blocks": lambda lengths: plan_passes(lengths, 8, None, step=1),
}


def run(model: torch.nn.Module, rows: Rows, layout: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    lengths = rows.visible_BL.sum(1).numpy()
    packed = pack(rows, LAYOUTS[layout](lengths), lengths, round_to=16 if layout == "rounded" else 1)
    assert layout != "rounded" or packed.rows.input_ids_BL.shape[1] % 16 == 0
    hidden, pooled = run_packed(model, packed, 0)
    return packed.unpack(hidden), pooled


def gradients(model: torch.nn.Module, output: torch.Tensor) -> dict[str, torch.Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(output.square().sum(), parameters, allow_unused=True)
    return {name: grad for name, grad in zip(names, found, strict=True) if grad is not None}


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_a_layout_gives_the_padded_values_and_gradients(layout: str) -> None:
    model, rows = backbone("bert"), random_rows(n_rows=9)
    expected, expected_pooled = encode_padded(model, rows)
    found, pooled = run(model, rows, layout)
    seen = rows.visible_BL
    torch.testing.assert_close(found[seen], expected[seen], atol=3e-6, rtol=1e-5)
    torch.testing.assert_close(pooled, expected_pooled, atol=3e-6, rtol=1e-5)
    by_padded, by_packed = gradients(model, expected[seen]), gradients(model, found[seen])
    assert by_padded.keys() == by_packed.keys()
    for name, grad in by_padded.items():
        torch.testing.assert_close(by_packed[name], grad, atol=2e-4, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("model_type", sorted(_COUNT_FROM_ZERO | _COUNT_FROM_PADDING))
def test_every_backbone_packs_with_its_pooler(model_type: str) -> None:
    model, rows = backbone(model_type), random_rows(seed=3)
    with torch.inference_mode():
        expected, expected_pooled = encode_padded(model, rows)
        found, pooled = encode(model, rows)
    assert model.config._attn_implementation == packing.NAME
    torch.testing.assert_close(found[rows.visible_BL], expected[rows.visible_BL], atol=3e-6, rtol=1e-5)
    assert (pooled is None) == (expected_pooled is None)
    if pooled is not None:
        torch.testing.assert_close(pooled, expected_pooled, atol=3e-6, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["pooler", "first", "mean", "last"])
@pytest.mark.parametrize("max_tokens", [None, 1, 30])
def test_pooled_rows_come_back_in_order(pooling: str, max_tokens: int | None) -> None:
    model, rows = backbone("bert"), random_rows(seed=5, n_rows=11)
    single = torch.cat([encode_pooled(model, rows.take(torch.tensor([i])), pooling) for i in range(11)])  # type: ignore[arg-type]
    found = encode_pooled(model, rows, pooling, max_tokens=max_tokens)  # type: ignore[arg-type]
    torch.testing.assert_close(found, single, atol=3e-6, rtol=1e-5)


def test_dropout_in_attention_is_applied_within_blocks() -> None:
    model, rows = backbone("bert", attention_probs_dropout_prob=0.5, hidden_dropout_prob=0.0).train(), random_rows()
    plain, _ = run(model.eval(), rows, "planned blocks")
    drawn = torch.stack([run(model.train(), rows, "planned blocks")[0] for _ in range(200)])
    assert not torch.equal(drawn[0], drawn[1])
    first = drawn[:, rows.visible_BL].mean(0) - plain[rows.visible_BL]
    assert first.abs().mean() < 0.1  # the mean stays near: what is kept is scaled up


def test_padding_inside_a_block_has_no_influence() -> None:
    model, rows = backbone("bert"), random_rows(n_rows=6)
    other = replace(rows, input_ids_BL=torch.where(rows.visible_BL, rows.input_ids_BL, 7))
    with torch.inference_mode():
        one, two = run(model, rows, "one block")[0], run(model, other, "one block")[0]
    assert torch.equal(one[rows.visible_BL], two[rows.visible_BL])


def test_checkpointed_layers_are_packed_again_in_the_backward_pass() -> None:
    model, rows = backbone("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train(), random_rows()
    plain = gradients(model, encode(model, rows)[0][rows.visible_BL])
    model.gradient_checkpointing_enable()
    again = gradients(model, encode(model, rows)[0][rows.visible_BL])
    for name, grad in plain.items():
        torch.testing.assert_close(again[name], grad, atol=1e-5, rtol=1e-5)


def test_a_row_without_visible_tokens_is_finite() -> None:
    model, rows = backbone("bert"), random_rows(n_rows=3)
    visible = rows.visible_BL.clone()
    visible[1] = False
    assert encode_pooled(model, replace(rows, visible_BL=visible), "first").isfinite().all()

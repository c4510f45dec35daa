"""Gated attention: hiding is exact in every forward value, gradients are exact or bounded as said."""

from dataclasses import replace

import pytest
import torch

from reference.gates import gated_attention
from test_backbone import backbone, random_rows
from unirex.data.collate import Batch, FillTokens
from unirex.encoder.backbone import encode, encode_pooled, pool
from unirex.encoder.gates import Gate, attention, take_gates
from unirex.rationale.perturb import perturbed_logits
from unirex.rationale.selection import relaxed_masks, top_k_masks
from unirex.rationale.settings import Relaxation

GATED = ["bert", "roberta", "electra", "distilbert", "albert", "modernbert", "llama"]


def qkv(seed: int = 0, heads: int = 2, width: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(2, heads, width, 3, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(3)
    ]


def reference(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
    weight = gate[:, None, None] * torch.exp(query @ key.transpose(-1, -2) * 0.5)
    return weight / weight.sum(-1, keepdim=True) @ value


def test_outputs_and_gradients_are_those_of_autograd_where_gates_are_open() -> None:
    inputs, gate = qkv(), torch.rand(2, 5, dtype=torch.float64) * 0.9 + 0.1
    gate.requires_grad_()
    # The function computes weights in float32.
    output, expected = gated_attention(*inputs, gate, scale=0.5), reference(*inputs, gate)
    torch.testing.assert_close(output, expected, atol=1e-6, rtol=1e-5)
    probe = torch.randn(expected.shape, dtype=torch.float64)
    found = torch.autograd.grad((output * probe).sum(), [*inputs, gate])
    wanted = torch.autograd.grad((expected * probe).sum(), [*inputs, gate])
    for x, y in zip(found, wanted, strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-4)


def test_a_closed_gate_gets_the_change_of_the_output_when_it_opens() -> None:
    query, key, value = qkv(1, heads=1)
    gate = torch.ones(2, 5, dtype=torch.float64)
    gate[:, 3] = 0
    gate.requires_grad_()
    output = gated_attention(query, key, value, gate, scale=0.5)
    kept = [0, 1, 2, 4]
    alone = reference(query, key[:, :, kept], value[:, :, kept], torch.ones(2, 4, dtype=torch.float64))
    torch.testing.assert_close(output, alone, atol=1e-6, rtol=1e-5)
    probe = torch.randn(output.shape, dtype=torch.float64)
    (found,) = torch.autograd.grad((output * probe).sum(), gate)
    opened = gated_attention(query, key, value, torch.ones(2, 5, dtype=torch.float64), scale=0.5)
    change = ((opened - output) * probe).sum((1, 2, 3))
    torch.testing.assert_close(found[:, 3], change, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_grouped_heads_are_shared_as_the_library_shares_them(groups: int) -> None:
    """Two heads of keys and values; neighbouring heads of queries share one (queries 0 and 1 the first, of four)."""
    query, key, value = qkv(4, heads=2 * groups)[0], *qkv(5)[1:]
    module = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = groups, False  # type: ignore[assignment]
    visible = torch.tensor([True, True, False, True, True])
    mask = visible.expand(2, 1, 5, 5)
    plain, _ = attention(module, query, key, value, mask, scaling=0.5)
    gated, _ = attention(module, query, key, value, None, scaling=0.5, gate=Gate(visible.double().expand(2, 5)))
    torch.testing.assert_close(gated, plain, atol=1e-6, rtol=1e-5)
    by_hand = reference(
        query, key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1), visible.expand(2, 5)
    )
    torch.testing.assert_close(gated, by_hand.transpose(1, 2), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("asked", [None, False, True])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_causality_and_scale_are_what_the_library_makes_of_them(
    own: bool, asked: bool | None, scale: float | None
) -> None:
    inputs, module = qkv(6), torch.nn.Module()
    module.num_key_value_groups, module.is_causal = 1, own  # type: ignore[assignment]
    settings = {"scaling": scale, "is_causal": asked}
    gate = Gate(torch.ones(2, 5, dtype=torch.float64))
    plain, _ = attention(module, *inputs, None, **settings)
    gated, weights = attention(module, *inputs, None, **settings, gate=gate)
    torch.testing.assert_close(gated, plain, atol=1e-6, rtol=1e-5)
    assert weights is None
    # A mask says all there is to say of what is seen.
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    gated, _ = attention(module, *inputs, mask, **settings, gate=gate)
    plain, _ = attention(module, *inputs, mask, scaling=scale)
    torch.testing.assert_close(gated, plain, atol=1e-6, rtol=1e-5)
    assert gate.layers == 2


def test_attention_drops_weights_where_the_library_asks_for_it() -> None:
    inputs, module = qkv(6), torch.nn.Module()
    gate = Gate(torch.ones(2, 5, dtype=torch.float64))
    torch.manual_seed(0)
    dropped, _ = attention(module, *inputs, None, scaling=0.5, dropout=0.5, gate=gate)
    torch.manual_seed(0)
    expected = gated_attention(*inputs, gate.values_BL, None, 0.5, 0.5)
    assert torch.equal(dropped, expected.transpose(1, 2))
    assert not torch.allclose(expected, gated_attention(*inputs, gate.values_BL, None, 0.5))


def test_gates_that_no_layer_has_used_are_an_error() -> None:
    model, gate = backbone("bert"), Gate(torch.ones(1, 2))
    with pytest.raises(ValueError, match="model type bert: attention cannot be gated"):
        gate.check_used(model)
    gate.layers = 1
    gate.check_used(model)


def test_a_backbone_that_does_not_take_the_attention_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = backbone("bert")
    monkeypatch.setattr(model, "set_attn_implementation", lambda _: None)
    with pytest.raises(ValueError, match=r"model type bert: attention cannot be gated.* \(it cannot be exchanged\)$"):
        take_gates(model)
    monkeypatch.undo()
    take_gates(model)
    take_gates(model)  # a second time changes nothing


def test_a_mean_passes_gradient_to_its_gates_open_or_closed() -> None:
    hidden = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    visible = torch.tensor([[True, True, True, False]])
    gate = torch.tensor([[1.0, 0.0, 1.0, 1.0]], dtype=torch.float64, requires_grad=True)
    mean = pool(hidden, None, visible, "mean", gate)[0]
    torch.testing.assert_close(mean, hidden[0, [0, 2]].mean(0))
    probe = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    (found,) = torch.autograd.grad(mean @ probe, gate)
    opened = hidden[0, :3].mean(0)  # what the mean becomes when the second token comes into view
    torch.testing.assert_close(found[0, 1], (opened - mean) @ probe)
    torch.testing.assert_close(found[0, 0], (hidden[0, 0] - mean) @ probe / 2)
    assert found[0, 3] == 0


def test_a_masked_token_gets_nothing_and_a_row_that_sees_nothing_gives_zeros() -> None:
    query, key, value = qkv(2)
    gate = torch.ones(2, 5, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[:, 4] = False
    output = gated_attention(query, key, value, gate, mask, 0.5)
    (found,) = torch.autograd.grad(output.square().sum(), gate, retain_graph=True)
    assert found[:, 4].tolist() == [0, 0]
    nothing = gated_attention(query, key, value, torch.zeros(2, 5, dtype=torch.float64, requires_grad=True), mask, 0.5)
    assert torch.equal(nothing, torch.zeros_like(nothing))
    assert torch.isfinite(torch.autograd.grad(nothing.sum(), query)[0]).all()


def test_dropout_keeps_the_mean_and_its_gradient() -> None:
    torch.manual_seed(0)
    query, key, value = (x.detach().repeat(1, 500, 1, 1).requires_grad_() for x in qkv(3))
    gate = torch.tensor([[1.0, 1.0, 0.0, 1.0, 1.0]] * 2, dtype=torch.float64, requires_grad=True)
    plain, dropped = (gated_attention(query, key, value, gate, None, 0.5, p) for p in (0.0, 0.2))
    torch.testing.assert_close(dropped.mean(1), plain.mean(1), atol=0.1, rtol=0)
    assert (dropped - plain).abs().max() > 0.05
    a, b = (torch.autograd.grad(x.sum() / 1000, gate)[0] for x in (plain, dropped))
    torch.testing.assert_close(a, b, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("model_type", [*GATED, "grouped"])
def test_gating_a_backbone_hides_exactly_and_reaches_the_hidden_tokens(model_type: str) -> None:
    """`grouped` is a llama whose four heads of queries share two of keys."""
    if model_type == "grouped":
        model, model_type = backbone("llama", num_attention_heads=4, num_key_value_heads=2), "llama"
    else:
        model = backbone(model_type)
    rows = random_rows()
    visible = torch.arange(20) < torch.tensor([20, 18, 12, 20, 7, 9, 20])[:, None]
    gates = (rows.visible_BL & visible).float().requires_grad_()
    full = replace(rows, visible_BL=visible)
    with torch.no_grad():
        hidden, _ = encode(model, replace(full, visible_BL=visible & (gates > 0)))
    gated, _ = encode(model, replace(full, gates_BL=gates))
    seen = visible & (gates > 0)
    torch.testing.assert_close(gated[seen], hidden[seen], atol=2e-6, rtol=1e-5)
    (gradient,) = torch.autograd.grad((gated[:, 0] * torch.randn(gated.shape[-1])).sum(), gates)
    if model_type != "llama":  # there the first token sees nothing but itself
        assert (gradient[visible & (gates == 0)] != 0).all()
    assert (gradient[~visible] == 0).all()
    with torch.no_grad():  # without gates the backbone computes what it did
        again, _ = encode(model, replace(full, visible_BL=visible & (gates > 0)))
    torch.testing.assert_close(again[seen], hidden[seen], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("model_type", GATED)
def test_gates_under_autocast_give_the_gradients_of_float32(model_type: str) -> None:
    """llama's queries and values are of different types there."""
    model, rows = backbone(model_type), random_rows()
    probe = torch.randn(7, 32, generator=torch.Generator().manual_seed(1))
    gradients = []
    for enabled in (False, True):
        gates = rows.visible_BL.float().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            pooled = encode_pooled(model, replace(rows, gates_BL=gates), "last")
        wanted = [gates, *(parameter for parameter in model.parameters() if parameter.dim() > 1)]
        found = torch.autograd.grad((pooled.float() * probe).sum(), wanted, allow_unused=True)
        gradients.append(torch.cat([x.flatten().float() for x in found if x is not None]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.995


def test_attention_of_another_kind_is_refused() -> None:
    model = backbone("bert")
    model.config._attn_implementation = "flex_attention"
    with pytest.raises(ValueError, match="its attention is flex_attention, expected sdpa or eager"):
        take_gates(model)


@pytest.mark.parametrize("pooling", ["pooler", "first", "mean", "last"])
def test_perturbed_logits_are_the_same_with_and_without_gradient(pooling: str) -> None:
    model, rows = backbone("bert"), random_rows()
    rows = replace(rows, visible_BL=torch.arange(20) < torch.tensor([20, 18, 12, 20, 7, 9, 4])[:, None])
    selectable = rows.visible_BL & (torch.arange(20) > 0)
    words = torch.where(selectable, torch.arange(20), -1)
    scores = torch.randn(7, 20, requires_grad=True)
    fractions = (0.01, 0.05, 0.1, 0.2, 0.5)
    fill, none = FillTokens(mask_id=3, pad_id=1), torch.zeros(7, dtype=torch.int64)
    batch = Batch(
        rows=rows,
        words_BL=words,
        gold_BL=torch.zeros(7, 20),
        has_gold_B=none > 0,
        labels_I=none,
        n_choices=1,
        index_I=none,
    )
    hard = top_k_masks(scores, selectable, fractions)
    soft = relaxed_masks(scores, words, fractions, Relaxation(estimator="logistic"))

    def run(part: object) -> torch.Tensor:
        return encode_pooled(model, part, pooling)  # type: ignore[arg-type]

    plain = torch.cat(list(perturbed_logits(run, batch, hard, ("keep", "remove"), "attention", fill).values()))
    gated = torch.cat(list(perturbed_logits(run, batch, soft, ("keep", "remove"), "attention", fill).values()))
    torch.testing.assert_close(gated, plain, atol=3e-6, rtol=1e-5)
    (gradient,) = torch.autograd.grad((gated * torch.randn(gated.shape)).sum(), scores)
    assert (gradient[:-1][selectable[:-1]] != 0).all()

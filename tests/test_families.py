"""Every family is gated by exchanged attention or by its softmaxes, or refused in one line of ours; a table of them."""

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from test_backbone import SMALL
from unirex.data.collate import Rows
from unirex.data.tokenization import build_tokenizer
from unirex.encoder import gates, probe, softmax_gates
from unirex.encoder.backbone import bare_backbone, encode, encode_padded, encode_pooled
from unirex.encoder.families import longest_row, usual_pooling
from unirex.encoder.gates import NAME
from unirex.judging.saved import saved_from
from unirex.modeling import UnirexConfig, UnirexModel
from unirex.rationale.selection import relaxed_masks
from unirex.rationale.settings import Relaxation
from unirex.training.memory import checkpoint_layers

FEW_HEADS = {"num_key_value_heads": 2, "head_dim": 16}
EXCHANGED: dict[str, dict[str, Any]] = {
    "albert": {}, "bert": {}, "bert-generation": {}, "camembert": {}, "cohere": {}, "ctrl": {}, "data2vec-text": {},
    "distilbert": {}, "electra": {}, "ernie": {}, "esm": {}, "eurobert": {}, "gemma": FEW_HEADS, "gpt2": {},
    "gpt_neox": {}, "granite": {}, "llama": {}, "mistral": FEW_HEADS, "modernbert": {}, "nomic_bert": {}, "olmo2": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32}, "phi": {}, "qwen2": FEW_HEADS, "qwen3": FEW_HEADS,
    "roberta": {}, "roberta-prelayernorm": {}, "roc_bert": {}, "xlm-roberta": {}, "xlm-roberta-xl": {},
}  # fmt: skip
T5 = {"d_ff": 64, "d_kv": 16, "num_layers": 2}
SOFTMAX: dict[str, dict[str, Any]] = {
    "big_bird": {}, "deberta": {},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "flaubert": {"emb_dim": 32}, "gemma2": FEW_HEADS, "gptj": {"rotary_dim": 8}, "ibert": {}, "layoutlm": {},
    "luke": {"entity_vocab_size": 4, "entity_emb_size": 32}, "megatron-bert": {}, "mpnet": {}, "mpt": {}, "mt5": T5,
    "openai-gpt": {}, "rembert": {"input_embedding_size": 32}, "roformer": {}, "splinter": {}, "squeezebert": {},
    "t5": T5, "tapas": {}, "umt5": T5, "xlm": {"emb_dim": 32}, "xlnet": {"d_inner": 64, "d_head": 16},
}  # fmt: skip
UNGATED: dict[str, dict[str, Any]] = {
    "bloom": {},
    "longformer": {"attention_window": 8},
    "mra": {},
    "mamba": {},
    "falcon": {},
}
"""Hiding is exact by masks alone; the positions of bloom count visible tokens."""
PAIR = "a pair of encoder and decoder, expected an encoder, a decoder, or one of mt5, t5, umt5"
ACTS = r"hidden tokens change the output by \S+, expected no influence"
REFUSED: dict[str, str] = {
    "bart": PAIR, "bigbird_pegasus": PAIR, "fsmt": PAIR, "led": PAIR, "longt5": PAIR, "marian": PAIR, "mbart": PAIR,
    "pegasus": PAIR, "canine": ACTS, "convbert": ACTS, "fnet": ACTS, "mobilebert": ACTS, "nystromformer": ACTS,
    "rwkv": ACTS, "yoso": ACTS, "funnel": "it pools neighboring tokens, so that a hidden one acts",
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "canine": {"num_hash_buckets": 64, "local_transformer_stride": 4, "downsampling_rate": 2},
    "mobilebert": {"true_hidden_size": 32, "intra_bottleneck_size": 32, "embedding_size": 32},
}


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_passed", set())
    monkeypatch.setattr(gates, "_FORBIDDEN", {})


def settings_of(kind: str, **more: Any) -> dict[str, Any]:
    own = EXCHANGED.get(kind) or SOFTMAX.get(kind) or UNGATED.get(kind) or SHAPES.get(kind) or {}
    wanted = {**SMALL, **own, **more}
    if kind == "xlnet":
        del wanted["max_position_embeddings"]
    if kind == "funnel":
        wanted = {}
    return {"model_type": kind, **wanted}


def build(kind: str, **more: Any) -> Any:
    """With larger weights than a new model has, so that attention looks at something."""
    torch.manual_seed(0)
    model = bare_backbone(settings_of(kind, **more)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn_like(parameter) * (0.1 if kind == "ctrl" else 0.3))
    return model


def rows_of(width: int = 8) -> tuple[Rows, torch.Tensor]:
    """Two rows without padding, and gates of which the third and the sixth are closed."""
    ids = torch.randint(2, 60, (2, width), generator=torch.Generator().manual_seed(3))
    open_L = torch.ones(2, width)
    open_L[:, [2, 5]] = 0
    return Rows(input_ids_BL=ids, visible_BL=torch.ones(2, width, dtype=torch.bool), token_types_BL=ids * 0), open_L


def answer(model: Any, rows: Rows, gates_BL: torch.Tensor) -> torch.Tensor:
    """One number of a row's last hidden states at tokens whose gates are open."""
    hidden_BLD, _ = encode_padded(model, replace(rows, gates_BL=gates_BL))
    probe_LD = torch.randn(hidden_BLD.shape[1:], generator=torch.Generator().manual_seed(5)).to(hidden_BLD)
    probe_LD[[2, 5]] = 0
    return (hidden_BLD * probe_LD).sum()


@pytest.mark.parametrize("kind", [*EXCHANGED, *SOFTMAX])
def test_a_gated_family_hides_exactly_and_gives_the_derivative(kind: str) -> None:
    model, (rows, open_BL) = build(kind), rows_of()
    probe._check_backbone(model)
    other = replace(rows, input_ids_BL=torch.where(open_BL > 0, rows.input_ids_BL, 7))
    with torch.no_grad():
        masked = encode_padded(model, replace(rows, visible_BL=open_BL > 0))[0][:, [0, 1, 3, 4, 6, 7]]
        for tokens in (rows, other):
            gated = encode_padded(model, replace(tokens, gates_BL=open_BL))[0][:, [0, 1, 3, 4, 6, 7]]
            assert (gated - masked).abs().max() <= 1e-5 * masked.abs().max()
    assert model.config._attn_implementation == ("eager" if kind in SOFTMAX else NAME)
    model = model.double()
    part_BL = (torch.rand(2, 8, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.3).double()
    part_BL.requires_grad_()
    (found_BL,) = torch.autograd.grad(answer(model, rows, part_BL), part_BL)
    direction_BL = torch.randn(2, 8, generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        ends = [answer(model, rows, part_BL + step * direction_BL) for step in (1e-3, -1e-3)]
    torch.testing.assert_close((found_BL * direction_BL).sum(), (ends[0] - ends[1]) / 2e-3, rtol=5e-3, atol=2e-2)


@pytest.mark.parametrize("kind", SOFTMAX)
def test_a_closed_gate_gets_the_change_when_it_opens(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the weights of one layer, whose scores do not depend on gates."""
    model = build(kind, num_hidden_layers=1, n_layers=1, **({"num_layers": 1} if "t5" in kind else {}))
    rows, open_BL = rows_of()
    seen: list[torch.Tensor] = []
    plain = softmax_gates._Gating._softmax

    def recorded(*given: Any, **named: Any) -> torch.Tensor:
        seen.append(plain(*given, **named))
        if seen[-1].requires_grad:
            seen[-1].retain_grad()
        return seen[-1]

    monkeypatch.setattr(softmax_gates._Gating, "_softmax", recorded)
    closed_BL = open_BL.clone().requires_grad_()
    answer(model, rows, closed_BL).backward()
    opened_BL = open_BL.clone()
    opened_BL[:, 2] = 1
    with torch.no_grad():
        answer(model, rows, opened_BL)
    closed, opened = seen
    change_B = ((opened - closed) * closed.grad).sum((1, 2, 3))
    assert change_B.abs().min() > 1e-4
    torch.testing.assert_close(closed_BL.grad[:, 2], change_B, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", UNGATED)
def test_a_family_without_such_a_softmax_is_refused_for_gates_alone(kind: str) -> None:
    model, (rows, open_BL) = build(kind), rows_of()
    probe._check_backbone(model)
    with pytest.raises(ValueError, match=rf"^model type {kind}: attention cannot be gated, as [^\n]*\)$"):
        encode_padded(model, replace(rows, gates_BL=open_BL))


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refused_family_is_refused_in_one_line(kind: str) -> None:
    with pytest.raises(ValueError, match=f"^model type {kind}: {REFUSED[kind]}") as caught:
        probe._check_backbone(bare_backbone(settings_of(kind)))
    assert "\n" not in str(caught.value)


def test_softmaxes_give_what_exchanged_attention_gives() -> None:
    """Outputs and gradients, with half-open and closed gates, padding, dropout left out."""
    found = []
    for attention in ("sdpa", "eager"):
        model, (rows, open_BL) = build("bert"), rows_of()
        model.set_attn_implementation(attention)
        rows = replace(rows, visible_BL=torch.arange(8) < torch.tensor([[8], [7]]))
        part_BL = (open_BL * torch.linspace(0.5, 1, 8)).requires_grad_()
        output = answer(model, rows, part_BL)
        output.backward()
        found.append([output, part_BL.grad, *(p.grad for p in model.parameters() if p.grad is not None)])
    for exchanged, softmax in zip(*found, strict=True):
        torch.testing.assert_close(softmax, exchanged, atol=2e-4, rtol=1e-3)
    assert found[0][1][1, 7] == 0


@pytest.mark.parametrize("kind", ["deberta-v2", "roformer"])
def test_recomputed_layers_are_gated_again(kind: str) -> None:
    gradients = []
    for recomputes in (False, True):
        model, (rows, open_BL) = (
            build(kind, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, dropout_rate=0.0),
            rows_of(),
        )
        if recomputes:
            checkpoint_layers(model)
        model.train()
        gate_BL = open_BL.clone().requires_grad_()
        answers = [answer(model, rows, gates_BL) for gates_BL in (gate_BL, 1 - gate_BL / 2)]
        sum(answers).backward()  # two passes wait, with gates of their own
        gradients.append(
            torch.cat([gate_BL.grad.flatten(), *(p.grad.flatten() for p in model.parameters() if p.grad is not None)])
        )
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4, rtol=1e-4)


def test_t5_is_not_recomputed_with_gates() -> None:
    model, (rows, open_BL) = build("t5").train(), rows_of()
    checkpoint_layers(model)
    with pytest.raises(ValueError, match=r"expected false for model type t5 with gates"):
        answer(model, rows, open_BL)


@pytest.mark.parametrize("kind", ["deberta-v2", "mpt"])
def test_softmaxes_under_autocast_give_the_gradients_of_float32(kind: str) -> None:
    gradients = []
    for enabled in (False, True):
        model, (rows, open_BL) = bare_backbone(settings_of(kind, initializer_range=0.1)).eval(), rows_of()
        model.load_state_dict(copy.deepcopy(gradients[0][1])) if gradients else None
        gate_BL = open_BL.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            (found,) = torch.autograd.grad(answer(model, rows, gate_BL).float(), gate_BL)
        gradients.append((found.flatten(), model.state_dict()))
    assert torch.cosine_similarity(gradients[0][0], gradients[1][0], dim=0) > 0.99


@pytest.mark.parametrize("kind", SOFTMAX)
def test_a_newly_gated_family_trains_saves_and_answers_the_same(kind: str, tmp_path: Path) -> None:
    """Two steps through a logistic selection; saved and loaded it gives the same gated answers and gradients."""
    torch.manual_seed(0)
    backbone = AutoConfig.for_model(**settings_of(kind)).to_dict()
    model = UnirexModel(UnirexConfig(backbone=backbone, num_labels=2, pooling="mean"))
    (rows, _), optimizer = rows_of(), torch.optim.Adam(model.parameters(), 1e-2)
    words_BL = torch.arange(8).expand(2, 8)

    def loss_of(part: UnirexModel) -> torch.Tensor:
        hidden_BLD, _ = encode(part.backbone, rows)
        scores_BL = part.extractor(hidden_BLD).squeeze(-1)
        gate_BL = relaxed_masks(scores_BL, words_BL, (0.5,), Relaxation(estimator="logistic"))[0]
        pooled = encode_pooled(part.backbone, replace(rows, gates_BL=gate_BL), "mean")
        return torch.nn.functional.cross_entropy(part.classifier(pooled), torch.tensor([0, 1]))

    before = [p.detach().clone() for p in model.extractor.parameters()]
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    assert any(not torch.equal(p, q) for p, q in zip(before, model.extractor.parameters(), strict=True))
    model.eval().save_pretrained(tmp_path)
    again = UnirexModel.from_pretrained(tmp_path).eval()
    probe.check_model(again)
    torch.manual_seed(1)
    expected = loss_of(model)
    torch.manual_seed(1)
    torch.testing.assert_close(loss_of(again), expected, rtol=1e-6, atol=1e-6)


def test_xlnet_has_no_longest_row_and_answers_where_its_tokenizer_does() -> None:
    config = AutoConfig.for_model(**settings_of("xlnet"))
    assert longest_row(config) is None
    assert usual_pooling(config) == usual_pooling(AutoConfig.for_model("t5")) == "last"


@pytest.mark.parametrize("kind", ["deberta-v2", "big_bird", "mpnet", "xlnet"])
def test_classifiers_of_others_are_explained_through_gates(kind: str) -> None:
    config = AutoConfig.for_model(**settings_of(kind), num_labels=3)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    saved = saved_from(model, build_tokenizer(["a text"]), attribution="gate_ig")
    rows, open_BL = rows_of()
    gate_BL = open_BL.clone().requires_grad_()
    saved.method.perturbed(replace(rows, gates_BL=gate_BL), 1, None)[0].max().backward()
    assert (gate_BL.grad[0, [2, 5]] != 0).all()


def test_the_table_of_families_is_what_was_tried() -> None:
    """docs/methods.md names these families and no others."""
    page = (Path(__file__).parents[1] / "docs" / "methods.md").read_text()
    found = {kind: set(re.search(rf"^\| {kind} \|([^|]*)\|", page, re.MULTILINE)[1].replace(" ", "").split(","))
             for kind in ("exchanged attention", "softmax", "masks only", "refused")}  # fmt: skip
    assert found == {
        "exchanged attention": set(EXCHANGED), "softmax": set(SOFTMAX), "masks only": set(UNGATED),
        "refused": set(REFUSED),
    }  # fmt: skip

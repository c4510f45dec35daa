"""Hiding must be exact in every family, or the family is refused: a table over them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from test_backbone import SMALL, backbone, random_rows
from unirex import train
from unirex.data.tokenization import build_tokenizer
from unirex.encoder import probe
from unirex.encoder.backbone import bare_backbone, encode, encode_pooled
from unirex.encoder.gates import take_gates
from unirex.judging.saved import saved_from
from unirex.modeling import UnirexConfig, UnirexModel

EXACT = ["albert", "bert", "big_bird", "deberta-v2", "distilbert", "electra", "longformer", "modernbert", "mpnet",
         "roberta", "bloom", "gpt2", "llama", "opt"]  # fmt: skip
REFUSED = {
    "bart": r"hidden tokens change the output by \S+, expected no influence",
    "canine": r"hidden tokens change the output by \S+, expected no influence",
    "convbert": r"hidden tokens change the output by \S+, expected no influence",
    "fnet": r"hidden tokens change the output by \S+, expected no influence",
    "mobilebert": r"hidden tokens change the output by \S+, expected no influence",
    "nystromformer": r"hidden tokens change the output by \S+, expected no influence",
    "t5": r"cannot be run on a row with hidden tokens: You must specify",
}
SHAPES: dict[str, dict[str, object]] = {
    "longformer": {"attention_window": 8},
    "bart": {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
             "encoder_attention_heads": 2, "decoder_attention_heads": 2},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "canine": {"num_hash_buckets": 64, "local_transformer_stride": 4, "downsampling_rate": 2},
    "mobilebert": {"true_hidden_size": 32, "intra_bottleneck_size": 32, "embedding_size": 32},
    "t5": {"d_ff": 64, "d_kv": 16, "d_model": 32, "num_layers": 1, "num_heads": 2},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_passed", set())
    monkeypatch.setattr("unirex.encoder.gates._FORBIDDEN", {})


def model_of(kind: str) -> torch.nn.Module:
    return backbone(kind, **SHAPES.get(kind, {}))


@pytest.mark.parametrize("kind", EXACT)
def test_families_in_which_hiding_is_exact(kind: str) -> None:
    model = model_of(kind).train()
    attention = model.config._attn_implementation
    probe._check_backbone(model)
    assert model.training
    assert model.config._attn_implementation == attention


@pytest.mark.parametrize("kind", REFUSED)
def test_families_in_which_what_is_hidden_acts_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=f"model type {kind}:? {REFUSED[kind]}") as caught:
        probe._check_backbone(model_of(kind))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "classes"), [("bart", 3), ("convbert", 3), ("mobilebert", 3)])
def test_classifiers_of_those_families_are_refused(kind: str, classes: int) -> None:
    settings = {**SMALL, **SHAPES.get(kind, {})}
    config = AutoConfig.for_model(kind, **settings, num_labels=classes, eos_token_id=2)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with pytest.raises(ValueError, match=f"model type {kind}: hidden tokens change the output"):
        saved_from(model, build_tokenizer(["a text"]), attribution="grad")


def test_a_run_with_such_a_backbone_ends_before_it_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy = ["--data.toy.n_train=8", "--data.toy.n_val=4", "--data.toy.n_test=4"]
    run = tmp_path / "run"
    assert train.main([*toy, "--model.random.model_type=convbert", f"--output={run}"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: model type convbert: hidden tokens change the output by ")
    assert not (run / "log.jsonl").exists()


def test_a_configuration_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(probe, "_check", lambda *given: calls.append(given))
    for kind in ("bert", "bert", "gpt2"):
        probe._check_backbone(model_of(kind))
    assert len(calls) == 2


def test_both_backbones_of_a_model_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(probe, "_check_backbone", lambda part: tried.append(part.config.model_type))
    bert, gpt2 = (AutoConfig.for_model(kind, **SMALL).to_dict() for kind in ("bert", "gpt2"))
    probe.check_model(UnirexModel(UnirexConfig(backbone=bert, extractor="dual", extractor_backbone=gpt2)))
    assert tried == ["bert", "gpt2"]


def test_gates_that_are_not_masks_are_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where positions count visible tokens, gates, which leave all of them visible, perturb otherwise than masks."""
    monkeypatch.setattr("unirex.encoder.families._COUNT_VISIBLE", frozenset())
    model = model_of("opt")
    probe._check_backbone(model)
    with pytest.raises(ValueError, match=r"attention cannot be gated, .* \(it differs by \S+ from masking\)"):
        take_gates(model)


def test_dropping_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody had entered a decoder among the families whose rows are packed."""
    monkeypatch.setattr("unirex.encoder.families._COUNT_FROM_ZERO", frozenset({"gpt2"}))
    with pytest.raises(ValueError, match="model type gpt2: dropping tokens differs by"):
        probe._check_backbone(model_of("gpt2"))


def test_opt_gated_equals_opt_masked() -> None:
    model, rows = model_of("opt"), random_rows()
    visible = torch.arange(20) < torch.tensor([20, 18, 12, 20, 7, 9, 20])[:, None]
    seen = rows.visible_BL & visible
    with torch.no_grad():
        masked, _ = encode(model, replace(rows, visible_BL=seen))
        gated, _ = encode(model, replace(rows, visible_BL=visible, gates_BL=seen.float()))
    torch.testing.assert_close(gated[seen], masked[seen], atol=2e-6, rtol=1e-5)


def test_an_opt_classifier_may_be_gated() -> None:
    config = AutoConfig.for_model("opt", **SMALL, **SHAPES["opt"], num_labels=3)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    saved_from(model, build_tokenizer(["a text"]), attribution="gate_ig")
    take_gates(model)


def test_longformer_answers_from_more_than_its_window() -> None:
    model, rows = model_of("longformer"), random_rows(width=30)
    rows = replace(rows, visible_BL=torch.ones_like(rows.visible_BL))
    other = rows.input_ids_BL.clone()
    other[:, 29] = torch.where(other[:, 29] == 5, 6, 5)
    with torch.no_grad():
        answers = [encode_pooled(model, replace(rows, input_ids_BL=ids), "first") for ids in (rows.input_ids_BL, other)]
    assert (answers[0] - answers[1]).abs().amax(1).min() > 1e-4


@pytest.mark.parametrize("foreign", [False, True])
def test_big_bird_answers_the_same_after_a_short_batch(foreign: bool) -> None:
    """Two attention types, and the library turned from one to the other for good."""
    settings = {**SMALL, "max_position_embeddings": 160, "block_size": 4, "num_random_blocks": 1}
    config = AutoConfig.for_model("big_bird", **settings, num_labels=2, initializer_range=0.5)
    if foreign:
        model = AutoModelForSequenceClassification.from_config(config).eval()
        run = saved_from(model, build_tokenizer(["a text"]), attribution="grad").method.perturbed
    else:
        backbone = bare_backbone(config.to_dict()).eval()
        run = lambda rows, *_: encode_pooled(backbone, rows, "first")  # noqa: E731
    long = random_rows(width=120, n_rows=2)
    with torch.no_grad():
        before = run(long, 1, None)
        run(random_rows(), 1, None)
        assert torch.equal(run(long, 1, None), before)

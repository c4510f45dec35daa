"""Classifiers that others trained, with tokenizers of every kind: answers as the transformers library gives them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
)

from unirex import train
from unirex.data.collate import Batch, FillTokens, Rows
from unirex.data.tokenization import build_tokenizer
from unirex.explainer import Explainer
from unirex.extractors.settings import AttributionConfig
from unirex.judging.classifier import Classifier
from unirex.judging.saved import saved_from
from unirex.rationale.perturb import perturb


def decoder(folder: Path) -> Path:
    """A small GPT-2 whose tokenizer adds no token of its own."""
    tokenizer = build_tokenizer(["a truly wonderful film"], size=100)
    tokenizer.backend_tokenizer.post_processor = None
    tokenizer.eos_token = "[SEP]"
    torch.manual_seed(0)
    size = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "initializer_range": 0.5}
    GPT2ForSequenceClassification(GPT2Config(vocab_size=len(tokenizer), **size)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("attribution", ["input_x_grad", "occlusion", "lime"])
def test_with_nothing_in_view_a_decoder_sees_one_padding_token(attribution: Any, tmp_path: Path) -> None:
    asked = Explainer.from_pretrained(decoder(tmp_path), attribution=attribution)
    assert len(asked.saved.tools.tokenizer("film")["input_ids"]) == 1, "there is a token that is always in view"
    texts = ["a truly wonderful film", "", "film"]
    answers = asked(texts, faithfulness=True)
    nothing = asked("")
    assert answers[1].probabilities == pytest.approx(nothing.probabilities, abs=1e-5)
    assert nothing.words == ()
    model = GPT2ForSequenceClassification.from_pretrained(tmp_path).eval()
    pad = asked.saved.tools.fill.pad_id
    model.config.pad_token_id = pad
    expected = model(input_ids=torch.tensor([[pad]])).logits.softmax(-1)[0].tolist()
    assert [*nothing.probabilities.values()] == pytest.approx(expected, abs=1e-5)
    # Without its only word a text is nothing, whatever stands beside it.
    for answer in (answers[2], asked("film", faithfulness=True)):
        assert answer.faithfulness is not None
        assert answer.faithfulness.comprehensiveness == pytest.approx(
            answer.probability - nothing.probabilities[answer.label], abs=1e-5
        )


def test_a_row_without_words_has_no_occlusion(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=100, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    tokenizer = build_tokenizer(["a truly wonderful film"], size=100)
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    first, second = Explainer.from_pretrained(tmp_path, attribution="occlusion")(["a film", ""])
    assert len(first.words) == 2
    assert second.words == ()


def test_classes_of_one_name_are_refused() -> None:
    tokenizer = build_tokenizer(["a truly wonderful film"], size=100)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=len(tokenizer), id2label={0: "good", 1: "bad", 2: "good"}, **size)
    with pytest.raises(ValueError, match=r"config\.json: id2label names .*, expected each class once"):
        saved_from(BertForSequenceClassification(config), tokenizer)


@pytest.mark.parametrize("names", [["input_ids", "attention_mask"], ["input_ids", "token_type_ids", "attention_mask"]])
def test_a_foreign_model_is_told_the_texts_apart_as_its_tokenizer_tells_them(names: list[str]) -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["a truly wonderful film"], size=100)
    tokenizer.model_input_names = names
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        initializer_range=0.7,
    )  # fmt: skip
    bare = BertForSequenceClassification(config).eval()
    expected = bare(**tokenizer("a film", "wonderful", return_tensors="pt")).logits.softmax(-1)[0].tolist()
    asked = Explainer(saved_from(bare, tokenizer, attribution="input_x_grad"), folder="bare")
    found = asked(("a film", "wonderful"))
    assert [*found.probabilities.values()] == pytest.approx(expected, abs=1e-5)


FILL = FillTokens(mask_id=2, pad_id=0)
LAST = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32},
    "opt": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 32},
    "llama": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32},
}
"""Families whose classifiers answer from the last place of a row."""


def classifier(family: str, attribution: Any = None) -> Classifier:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        family, vocab_size=50, pad_token_id=0, bos_token_id=1, eos_token_id=1, num_labels=2, **LAST[family]
    )
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return Classifier(model, FILL, attribution, AttributionConfig()).eval()


def rows_of(*rows: list[int]) -> Rows:
    width = max(map(len, rows))
    ids_BL = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    visible_BL = torch.tensor([[place < len(row) for place in range(width)] for row in rows])
    return Rows(input_ids_BL=ids_BL, visible_BL=visible_BL, token_types_BL=torch.zeros_like(ids_BL))


@torch.no_grad()
@pytest.mark.parametrize("family", LAST)
def test_the_last_visible_token_answers_whatever_stands_behind_it(family: str) -> None:
    asked = classifier(family)
    own = asked.model(torch.tensor([[5, 7]])).logits
    for last in (8, 13):
        rows = rows_of([5, 6, 7, last], [9, 10, 11, 12, 3])
        hidden_BL = torch.zeros(rows.input_ids_BL.shape, dtype=torch.bool)
        hidden_BL[0, [1, 3]] = True
        deleted = asked.perturbed(perturb(rows, hidden_BL, "delete", FILL), 1, None)
        torch.testing.assert_close(deleted[:1], own, rtol=0, atol=1e-5)
        masked = asked.perturbed(perturb(rows, hidden_BL, "attention", FILL), 1, None)[:1]
        alone = asked.perturbed(
            perturb(rows_of([5, 6, 7]), torch.tensor([[False, True, False]]), "attention", FILL), 1, 4
        )
        torch.testing.assert_close(masked, alone, rtol=0, atol=1e-5)
    beside = asked.perturbed(rows_of([5, 6, 7], [9, 10, 11, 12, 3]), 1, None)
    torch.testing.assert_close(beside[:1], asked.model(torch.tensor([[5, 6, 7]])).logits, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_decoder_is_asked_at_the_padding_that_stands_for_its_last_word() -> None:
    asked = classifier("gpt2")
    replaced = perturb(rows_of([5, 6, 7]), torch.tensor([[False, False, True]]), "pad_token", FILL)
    hidden = asked.model.transformer(torch.tensor([[5, 6, 0]])).last_hidden_state
    torch.testing.assert_close(asked.perturbed(replaced, 1, None), asked.model.score(hidden[:, -1]), rtol=0, atol=1e-5)


@torch.no_grad()
def test_occlusion_of_a_decoders_last_token_asks_the_one_before() -> None:
    asked, ids = classifier("gpt2", "occlusion"), [5, 6, 7, 8]
    rows = rows_of(ids)
    batch = Batch(
        rows=rows,
        words_BL=torch.arange(4)[None],
        gold_BL=torch.zeros(1, 4),
        has_gold_B=torch.zeros(1, dtype=torch.bool),
        labels_I=torch.zeros(1, dtype=torch.int64),
        n_choices=1,
        index_I=torch.arange(1),
    )
    found = asked.explain(batch)
    answer = int(found.logits_IC[0].argmax())
    for place in range(4):
        kept = [other for other in range(4) if other != place]
        without = asked.model(rows.input_ids_BL[:, kept], position_ids=torch.tensor([kept])).logits[0, answer]
        assert found.scores_BL[0, place].item() == pytest.approx(
            (found.logits_IC[0, answer] - without).item(), abs=1e-5
        )


def batch_of(rows: Rows) -> Batch:
    """Every token a word."""
    n = len(rows.input_ids_BL)
    words_BL = torch.where(rows.visible_BL, rows.visible_BL.cumsum(1) - 1, -1)
    none_BL = torch.zeros(words_BL.shape)
    return Batch(
        rows=rows, words_BL=words_BL, gold_BL=none_BL, has_gold_B=none_BL[:, 0].bool(),
        labels_I=torch.zeros(n, dtype=torch.int64), n_choices=1, index_I=torch.arange(n),
    )  # fmt: skip


def test_a_decoder_looks_from_its_last_token() -> None:
    found = classifier("gpt2", "attention").explain(batch_of(rows_of([5, 6, 7, 8], [9, 10]))).scores_BL
    torch.testing.assert_close(found.sum(1), torch.ones(2))
    assert (found[0] > 1e-4).all()  # the first sees nothing but itself
    assert (found[1, :2] > 1e-4).all()


def test_each_row_of_a_foreign_model_has_its_own_gap_and_a_row_of_nothing_an_answer() -> None:
    asked, rows = classifier("gpt2", "ig"), ([5, 6, 7, 8], [9, 10], [], [11, 12, 13, 3])
    together = asked.explain(batch_of(rows_of(*rows)))
    assert together.gap_B is not None
    for i, row in enumerate(rows):
        if row:
            alone = asked.explain(batch_of(rows_of(row)))
            assert alone.gap_B is not None
            assert together.gap_B[i].item() == pytest.approx(alone.gap_B.item(), rel=1e-3, abs=1e-5)
    batch, sizes = batch_of(rows_of(*rows)), list[int]()
    whole = torch.ones(*batch.words_BL.shape, 16)
    asked.model.transformer.register_forward_pre_hook(
        lambda _, __, inputs: sizes.append(inputs["attention_mask"].numel()), with_kwargs=True
    )
    with torch.no_grad():
        found = asked.embedded(batch, whole, 4)
        assert max(sizes) <= 4
        torch.testing.assert_close(found, asked.answer(batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_a_backbone_saved_in_half_precision_is_trained_in_single(precision: torch.dtype, tmp_path: Path) -> None:
    tokenizer = build_tokenizer(["a truly wonderful film"], size=100)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    half = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **size)).to(precision)
    half.save_pretrained(tmp_path / "half")
    tokenizer.save_pretrained(tmp_path / "half")
    assert str(AutoConfig.from_pretrained(tmp_path / "half").dtype) == str(precision)
    toy = ["--data.toy.n_train=8", "--data.toy.n_val=4", "--data.toy.n_test=4", "--train.epochs=1"]
    run = [f"--model.backbone={tmp_path / 'half'}", *toy, "--eval.references=[]", f"--output={tmp_path / 'run'}"]
    assert train.main(run) == 0
    weights = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert {weight.dtype for weight in weights.values() if weight.is_floating_point()} == {torch.float32}

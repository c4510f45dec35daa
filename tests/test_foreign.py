"""Classifiers that others trained, with tokenizers of every kind: answers as the transformers library gives them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
)

from unirex.data.tokenization import build_tokenizer
from unirex.explainer import Explainer
from unirex.judging.saved import saved_from


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

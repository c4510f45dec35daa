"""The model as a citizen of the transformers library: saved, loaded, found by the Auto classes."""

import json
from collections.abc import Iterable
from pathlib import Path
from string import ascii_lowercase
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from unirex.data.align import Links
from unirex.data.collate import Batch, EncodedSet, FillTokens, Rows, _lent
from unirex.data.tokenization import build_tokenizer
from unirex.data.tools import Tools, mask_id
from unirex.encoder.backbone import pool
from unirex.extractors.settings import AttributionConfig
from unirex.modeling import UnirexConfig, UnirexModel
from unirex.schema import Example, Segment

TEXTS = ["a fine film with a poor end", "poor film", "what a fine , fine day it was in the end", "unbelievable"]
WORDS = [text.split() for text in TEXTS]


def small_bert(**settings: object) -> dict[str, object]:
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = AutoConfig.for_model("bert", **shape, max_position_embeddings=64, **settings)
    return config.to_dict()


def tools(**other: object) -> Tools:
    return Tools(tokenizer=build_tokenizer(TEXTS), extractor_tokenizer=None, max_length=32, **other)


def model_of(extractor: str, **settings: object) -> UnirexModel:
    torch.manual_seed(1)
    vocab = len(build_tokenizer(TEXTS))
    config = UnirexConfig(backbone=small_bert(vocab_size=vocab), extractor=extractor, num_labels=3, **settings)
    return UnirexModel(config).eval()


def data(choices: bool = False) -> EncodedSet:
    rng = np.random.default_rng(0)
    examples = [
        Example(
            id=str(i),
            segments=(Segment.from_words(words),),
            label="b",
            gold=None if i == 1 else rng.integers(0, 2, len(words)).astype(np.float32),
            choices=("fine", "poor day") if choices else (),
            choice_labels=("a", "b") if choices else (),
        )
        for i, words in enumerate(WORDS)
    ]
    return tools().encode(examples, ["a", "b", "c"])


def batch(choices: bool = False) -> Batch:
    return data(choices).collate(np.arange(len(WORDS)))


@pytest.mark.parametrize("extractor", ["shared", "dual", "none"])
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_round_trip_is_bit_equal(extractor: str, head: str, tmp_path: Path) -> None:
    model = model_of(extractor, head=head, head_width=16)
    model.save_pretrained(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    for kind in (UnirexModel, AutoModel, AutoModelForSequenceClassification):
        again = kind.from_pretrained(tmp_path).eval()
        assert isinstance(again, UnirexModel)
        before, after = model.state_dict(), again.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
        with torch.no_grad():
            for x, y in zip(model.full(batch()), again.full(batch()), strict=True):
                assert (x is None and y is None) or torch.equal(x, y)


@pytest.mark.parametrize(("extractor", "head"), [("shared", "mlp"), ("dual", "linear"), ("support", "linear")])
def test_classifiers_begin_small_and_heads_as_torch_draws_them(extractor: str, head: str) -> None:
    model = model_of(extractor, head=head, head_width=64)
    own = model.extractor.own_classifier  # type: ignore[union-attr]
    assert (own is None) == (extractor != "support")
    for layer in filter(None, (model.classifier, own)):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.35)
        assert not layer.bias.any()
    parts = [] if model.extractor.score_head is None else list(model.extractor.score_head.layers)  # type: ignore[union-attr]
    for layer in (part for part in parts if isinstance(part, torch.nn.Linear)):
        most = layer.in_features**-0.5
        assert layer.weight.abs().max().item() <= most
        assert layer.weight.std().item() == pytest.approx(most / 3**0.5, rel=0.35)
        assert layer.bias.any()


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    model_of("shared").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "checkpoint_version": 99}))
    with pytest.raises(
        ValueError, match=r"checkpoint_version is 99, expected 1: the checkpoint was written by another"
    ):
        UnirexModel.from_pretrained(tmp_path)


def test_forward_agrees_with_full() -> None:
    model, full = model_of("shared"), batch()
    with torch.no_grad():
        logits, scores = model.full(full)
        output = model(full.rows.input_ids_BL, full.rows.visible_BL, full.rows.token_types_BL, labels=full.labels_I)
    assert torch.equal(output.logits, logits)
    assert torch.equal(output.scores, scores)
    assert output.loss.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, full.labels_I).item())


def test_padding_on_the_left_changes_nothing() -> None:
    model, full = model_of("shared"), batch()
    lengths = full.rows.visible_BL.sum(1).tolist()
    assert len(set(lengths)) > 1
    turned = [
        torch.stack([part.roll(part.shape[0] - n) for part, n in zip(rows_BL, lengths, strict=True)])
        for rows_BL in (full.rows.input_ids_BL, full.rows.visible_BL, full.rows.token_types_BL)
    ]
    with torch.no_grad():
        right = model(full.rows.input_ids_BL, full.rows.visible_BL, full.rows.token_types_BL)
        left = model(*turned)
    torch.testing.assert_close(left.logits, right.logits, rtol=0, atol=1e-5)
    for of_left, of_right, n in zip(left.scores, right.scores, lengths, strict=True):
        torch.testing.assert_close(of_left[-n:], of_right[:n], rtol=0, atol=1e-5)


def word_pieces(pieces: Iterable[str]) -> PreTrainedTokenizerFast:
    vocabulary = {piece: i for i, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces])}
    backend = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="[MASK]", **names)


def test_a_token_that_the_extractor_does_not_see_has_the_score_of_its_word() -> None:
    letters = [prefix + letter for prefix in ("", "##") for letter in ascii_lowercase]
    # The row of letters ends within the last word.
    both = Tools(
        tokenizer=word_pieces(["a", "film", "un", "##believ", "##able"]),
        extractor_tokenizer=word_pieces(letters),
        max_length=10,
    )
    segment = Segment.from_words(["a", "film", "unbelievable"])
    one = Example(id="0", segments=(segment,), label="a", gold=np.zeros(3, np.float32))
    found = both.encode([one], ["a", "b"]).collate(np.arange(1))
    assert found.extractor is not None
    assert found.words_BL.tolist() == [[-1, 0, 1, 2, 2, 2, -1]]
    scores = torch.tensor([[0.0, -3.0, -1.0, -1.0, -1.0, -1.0, -4.0, -4.0, -5.0, 0.0]])
    found_L = found.extractor.transfer(scores, (1, 7))[0].tolist()
    assert found_L == pytest.approx([0.0, -3.0, -1.0, -4.0, -5.0, -5.0, 0.0])


@pytest.mark.parametrize(
    ("words", "linked", "lenders"),
    [
        ([-1, 0, 0, 0, 1, 1, -1], {2, 4}, [None, 2, 2, 2, 4, 4, None]),
        ([-1, 0, 0, 0, 0, 1, -1], {1, 4}, [None, 1, 1, 1, 4, None, None]),
        ([0, 0, 1, 0, 0, 1], {1, 5}, [1, 1, None, None, None, 5]),  # of two rows
    ],
)
def test_a_token_borrows_within_its_word_and_row(words: list[int], linked: set[int], lenders: list[int | None]) -> None:
    each = [2 if place in linked else 0 for place in range(len(words))]
    total = sum(each)
    links = Links(np.cumsum([0, *each]), np.arange(total, dtype=np.int32), np.linspace(0, 1, total, dtype=np.float32))
    rows = np.array([0, 3, 6] if len(words) == 6 else [0, len(words)])
    found = _lent(links, SimpleNamespace(token_words=np.array(words), row_offsets=rows))
    for place, lender in enumerate(lenders):
        own = found.sources[found.offsets[place] : found.offsets[place + 1]].tolist()
        expected = [] if lender is None else links.sources[links.offsets[lender] : links.offsets[lender + 1]].tolist()
        assert own == expected
    assert np.array_equal(found.weights, links.weights[found.sources])


def test_scores_come_from_the_shared_states_and_logits_from_the_same_pass() -> None:
    model, full = model_of("shared"), batch()
    calls = []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        model.full(full)
    assert len(calls) == 1


@pytest.mark.parametrize(("extractor", "passes"), [("shared", 1), ("dual", 0)])
def test_several_numbers_a_token_are_outputs_and_no_score(extractor: str, passes: int) -> None:
    model, full = model_of(extractor, extractor_outputs=2), batch()
    calls = []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        outputs = model.outputs(full)
        assert len(calls) == passes  # of the task model, which an extractor of its own does without
        assert (outputs.shape, outputs.dtype) == ((*full.words_BL.shape, 2), torch.float32)
        assert model.full(full)[1] is None
    with pytest.raises(ValueError, match="the extractor gives 2 numbers a token, expected one, its score"):
        model.scores(full)


def test_one_number_a_token_is_its_score() -> None:
    model, full = model_of("dual"), batch()
    with torch.no_grad():
        assert torch.equal(model.outputs(full)[..., 0], model.scores(full))
        assert torch.equal(model.scores(full), model.full(full)[1])


@pytest.mark.parametrize(("extractor", "settings"), [("none", {}), ("attribution", {"head": "mlp"}), ("support", {})])
def test_an_extractor_that_scores_by_nothing_it_sees_in_a_pass_says_so(extractor: str, settings: dict) -> None:
    model, full = model_of(extractor, **settings), batch()
    with torch.no_grad():
        assert model.full(full)[1] is None
        with pytest.raises(ValueError, match=f"model.extractor is '{extractor}', expected one that scores by itself"):
            model.outputs(full)


def test_an_extractor_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(
        ValueError, match="extractor is 'sharde', expected one of shared, dual, attribution, support, n"
    ):
        model_of("sharde")


def test_multiple_choice_is_one_softmax_over_rows() -> None:
    model, full = model_of("shared", choice=True), batch(choices=True)
    with torch.no_grad():
        logits, scores = model.full(full)
    assert logits.shape == (4, 2)
    assert scores is not None
    assert scores.shape == full.words_BL.shape
    assert len(full.words_BL) == 8
    # The words of an instance are the same in every choice's row, the choice itself is never selectable.
    for first, second in zip(full.words_BL[::2], full.words_BL[1::2], strict=True):
        assert first[first >= 0].tolist() == second[second >= 0].tolist()


def test_a_tokenizer_with_nothing_that_stands_for_a_hidden_word_is_refused() -> None:
    tokenizer = word_pieces(["a"])
    assert mask_id(tokenizer) == 4
    tokenizer.mask_token = None
    assert mask_id(tokenizer) == 1
    tokenizer.unk_token = None
    with pytest.raises(ValueError, match="has no mask token and no unknown one, expected one that stands for a hidden"):
        mask_id(tokenizer)


def test_a_decoder_pools_its_last_token() -> None:
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = AutoConfig.for_model("llama", vocab_size=60, max_position_embeddings=64, **shape)
    model = UnirexModel(UnirexConfig(backbone=config.to_dict(), pooling="last", num_labels=2)).eval()
    rows = batch().rows
    with torch.no_grad():
        alone = model.perturbed(
            Rows(
                input_ids_BL=rows.input_ids_BL[1:2, : int(rows.visible_BL[1].sum())],
                visible_BL=rows.visible_BL[1:2, : int(rows.visible_BL[1].sum())],
                token_types_BL=rows.token_types_BL[1:2, : int(rows.visible_BL[1].sum())],
            )
        )
        together = model.perturbed(rows)[1:2]
    torch.testing.assert_close(alone, together)
    assert pool(torch.eye(3)[None], None, torch.tensor([[True, True, False]]), "last").tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("how", ["grad", "input_x_grad", "ig"])
def test_attributions_of_a_model(how: str) -> None:
    model, full = model_of("none"), batch()
    with torch.no_grad():
        logits, none = model.full(full)
        assert none is None
        scores, gap = model.attributions(
            full, logits, how, AttributionConfig(ig_steps=200), FillTokens(mask_id=4, pad_id=0)
        )  # type: ignore[arg-type]
        blank = full.rows.input_ids_BL.masked_fill(full.selectable_BL, 0)
        baseline = model.perturbed(
            Rows(input_ids_BL=blank, visible_BL=full.rows.visible_BL, token_types_BL=full.rows.token_types_BL)
        )
    assert (gap is None) == (how != "ig")
    if how == "grad":
        assert (scores[full.rows.visible_BL] >= 0).all()
    if how == "ig":  # completeness: scores sum to the change of the predicted class's logit
        answer = logits.argmax(1, keepdim=True)
        change = (logits - baseline).gather(1, answer).squeeze(1)
        torch.testing.assert_close(scores.sum(1), change, atol=2e-4, rtol=1e-2)
        assert (scores[~full.selectable_BL] == 0).all()

"""A saved model of which a part is missing must not answer with random weights."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, BertConfig

from test_backbone import SMALL, backbone
from test_modeling import model_of
from unirex import evaluate, train
from unirex.data.tokenization import build_tokenizer
from unirex.explainer import Explainer
from unirex.judging.saved import _load_foreign
from unirex.modeling import UnirexConfig, UnirexModel, load_backbone, load_model

GOLDEN = Path(__file__).parent / "golden"
Change = Callable[[dict[str, Tensor]], object]


def changed(folder: Path, change: Change) -> Path:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


DAMAGES: list[tuple[Change, str]] = [
    (lambda w: w.pop("classifier.weight"), r"model\.safetensors: lacks classifier\.weight, expected every tensor"),
    (lambda w: w.pop("backbone.encoder.layer.1.output.dense.bias"), r"lacks backbone\.encoder\.layer\.1\.output"),
    (lambda w: w.update(stranger=torch.zeros(1)), r"holds stranger, expected the tensors of the model alone"),
    (lambda w: w.update({"classifier.bias": torch.zeros(5)}), r"classifier\.bias has the shape \[5\], expected \[3\]"),
    (lambda w: [w.pop(name) for name in list(w) if "backbone" in name], r"and \d+ more tensors, expected"),
]


@pytest.mark.parametrize(("change", "message"), DAMAGES)
@pytest.mark.parametrize("load", [load_model, AutoModel.from_pretrained, UnirexModel.from_pretrained])
def test_a_part_of_a_saved_model_is_refused(
    tmp_path: Path, change: Change, message: str, load: Callable[[Path], object]
) -> None:
    model_of("shared").save_pretrained(tmp_path)
    load(tmp_path)
    changed(tmp_path, change)
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(str(tmp_path)) == 1


def test_what_was_found_is_still_to_be_had(tmp_path: Path) -> None:
    model_of("dual").save_pretrained(tmp_path)
    _, found = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not found["missing_keys"]


@pytest.mark.parametrize("model_type", ["albert", "gpt2", "modernbert", "opt", "roberta"])
def test_every_saved_model_is_whole(tmp_path: Path, model_type: str) -> None:
    settings = AutoConfig.for_model(model_type, **SMALL).to_dict()
    model = UnirexModel(UnirexConfig(backbone=settings, extractor="dual", num_labels=2, pooling="first"))
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_golden_models_answer_and_a_part_of_one_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in GOLDEN.glob("v*/model"):
        Explainer.from_pretrained(folder)("a fine film")
        own = tmp_path / folder.parent.name
        shutil.copytree(folder, own)
        changed(own, lambda w: w.pop("backbone.embeddings.word_embeddings.weight"))
        message = r"model\.safetensors: lacks backbone\.embeddings\.word_embeddings\.weight, expected every tensor"
        with pytest.raises(ValueError, match=message):
            Explainer.from_pretrained(own)
        assert evaluate.main([f"--model={own}", f"--output={tmp_path / 'out'}"]) == 2
        assert re.search(message, capsys.readouterr().err)


def test_a_backbone_may_lack_a_pooler_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backbone("bert").save_pretrained(tmp_path)
    load_backbone(str(tmp_path))
    assert "note" not in capsys.readouterr().err
    changed(tmp_path, lambda w: [w.pop(name) for name in list(w) if "pooler" in name])
    load_backbone(str(tmp_path))
    note = f"note: {tmp_path} has no pooler.dense.bias, pooler.dense.weight: new, with random values\n"
    assert capsys.readouterr().err.endswith(note)
    changed(tmp_path, lambda w: w.pop("encoder.layer.0.output.dense.bias"))
    with pytest.raises(ValueError, match=r"lacks encoder\.layer\.0\.output\.dense\.bias, expected every tensor"):
        load_backbone(str(tmp_path))


def test_a_backbone_of_another_shape_is_refused(tmp_path: Path) -> None:
    backbone("bert").save_pretrained(tmp_path)
    changed(tmp_path, lambda w: w.update({"embeddings.word_embeddings.weight": torch.zeros(61, 32)}))
    with pytest.raises(ValueError, match=r"word_embeddings\.weight has the shape \[61, 32\], expected \[60, 32\]"):
        load_backbone(str(tmp_path))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (None, r": there is no tokenizer, expected its files \(tokenizer\.json\) beside the model"),
        (
            " ".join(map(str, range(100, 400))),
            r"the tokenizer has \d+ tokens, expected at most 60 for this (model|backbone)",
        ),
    ],
)
def test_a_tokenizer_is_there_and_the_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str | None, said: str
) -> None:
    """The library makes up a tokenizer that knows no word; ids that the model lacks would end in an IndexError."""
    foreign, plain, ours = tmp_path / "classifier", tmp_path / "backbone", tmp_path / "ours"
    AutoModelForSequenceClassification.from_config(BertConfig(**SMALL)).save_pretrained(foreign)
    backbone("bert").save_pretrained(plain)
    shutil.copytree(GOLDEN / "v1" / "model", ours)
    for file in ours.glob("*token*"):
        file.unlink()
    for folder in (foreign, plain, ours) if words else ():
        build_tokenizer([str(words)], size=1000).save_pretrained(folder)
    for folder in (foreign, ours):
        with pytest.raises(ValueError, match=said.replace(" 60 ", r" \d+ ")):
            Explainer.from_pretrained(folder)
    capsys.readouterr()
    assert train.main([f"--model.backbone={plain}", f"--output={tmp_path / 'run'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(said, line)


def test_a_pretraining_checkpoint_is_no_classifier(tmp_path: Path) -> None:
    backbone("bert").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks classifier\.bias, classifier\.weight, expected every tensor"):
        _load_foreign(str(tmp_path))
    own = tmp_path / "classifier"
    AutoModelForSequenceClassification.from_config(BertConfig(**SMALL)).save_pretrained(own)
    changed(own, lambda w: w.update(rest=torch.zeros(1)))
    _load_foreign(str(own))

"""The same words get the same scores and answers, wherever they are asked for and from whatever the scores come."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import RobertaConfig, RobertaForSequenceClassification

from reference.method_worlds import TEXTS, data, method_of
from unirex import evaluate, train
from unirex.data.collate import FillTokens, Rows, make_set
from unirex.data.tokenization import build_tokenizer
from unirex.data.tools import Tools
from unirex.encoder.backbone import pool
from unirex.explainer import Explainer
from unirex.judging.classifier import classify
from unirex.judging.predict import Judging, predict
from unirex.judging.settings import EvalConfig
from unirex.methods.joint import standardised
from unirex.metrics import score
from unirex.rationale.perturb import perturb
from unirex.rationale.selection import rationale_masks

TOY = ["--data.toy.n_train=48", "--data.toy.n_val=12", "--data.toy.n_test=9"]
TINY = [
    *TOY, "--model.random.hidden_size=16", "--model.random.num_attention_heads=2", "--train.lr=0.001",
    "--model.random.intermediate_size=32", "--train.batch_size=24", "--train.epochs=1", "--eval.references=[]",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "guided"
    assert train.main([*TINY, "--method.gradient_weight=0.3", f"--output={folder}"]) == 0
    return folder


def test_words_without_a_given_score_are_never_selected(run: Path, tmp_path: Path) -> None:
    rows = pq.read_table(run / "predictions.parquet").to_pylist()
    lines = [{"id": row["id"], "scores": [None, *row["scores"][1:-1], None]} for row in rows]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, lines)))
    how = ["--eval.how=[attention, soft]", "--eval.references=[]", "--eval.rationale_fraction=1.0"]
    arguments = [f"--model={run}", *TOY, f"--scores={tmp_path / 's.jsonl'}", *how, f"--output={tmp_path / 'out'}"]
    assert evaluate.main(arguments) == 0
    judged = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    for row in judged:
        assert [place for place, one in enumerate(row["scores"]) if one is None] == [0, len(row["words"]) - 1]
        assert row["rationale"] == [one is not None for one in row["scores"]]
    assert any(row["keep.soft.self"][0] != row["null.soft.self"] for row in judged)
    report = score(str(tmp_path / "out" / "predictions.parquet"))
    assert report["comprehensiveness"].n_undefined == report["comprehensiveness[soft]"].n_undefined == 0


@pytest.mark.parametrize("attribution", ["lime", "kernel_shap", "gradient_shap"])
def test_what_is_drawn_for_a_text_does_not_depend_on_its_place(run: Path, attribution: Any) -> None:
    asked = Explainer.from_pretrained(run, attribution=attribution)
    alone, (_, among) = asked(TEXTS[0]), asked(["another text", TEXTS[0]])
    assert [w.score for w in alone.words] == pytest.approx([w.score for w in among.words], abs=1e-5)


def test_a_gradient_leads_inside_inference_mode_too(run: Path) -> None:
    asked = Explainer.from_pretrained(run)
    expected = asked(TEXTS[0])
    with torch.inference_mode():
        found = asked(TEXTS[0])
    assert [w.score for w in found.words] == [w.score for w in expected.words]


def test_an_attribution_takes_the_place_of_a_learned_head(tmp_path: Path) -> None:
    head = ["--model.extractor=attribution", "--model.head=mlp", "--model.head_width=8", "--train.precision=no"]
    assert train.main([*TINY, *head, f"--output={tmp_path / 'run'}"]) == 0
    asked = Explainer.from_pretrained(tmp_path / "run", attribution="ig", steps=200)
    text = "a lovely film and a dull room"
    batch = asked.saved.tools.encode([asked.reader().example(text, 0)], asked.labels).collate(np.array([0]))
    found = asked.method.explain(batch)
    model = asked.saved.method.method.model  # type: ignore[union-attr]
    blank = replace(
        batch.rows, input_ids_BL=batch.rows.input_ids_BL.where(~batch.selectable_BL, asked.method.fill.pad_id)
    )
    with torch.no_grad():
        gained = (model.perturbed(batch.rows) - model.perturbed(blank))[0, int(found.logits_IC.argmax())].item()
    assert float(found.scores_BL.sum()) == pytest.approx(gained, abs=1e-3)


def test_scores_that_are_not_finite_are_not_replaced_by_a_gradient() -> None:
    selectable = torch.tensor([[True, True, True, False]] * 4)
    scores = torch.tensor([[1.0, 2.0, 3.0, torch.nan], [torch.nan, 2, 3, 0], [torch.inf, 2, 3, 0], [2.0, 2, 2, 0]])
    found = standardised(scores, selectable)
    assert found[0, :3].tolist() == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])
    assert found[1:3, :3].isnan().all()
    assert found[3].tolist() == [0, 0, 0, 0]
    assert (found[:, 3] == 0).all()


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("fresh", {"shape": "contiguous"}),
        ("fresh", {"rounding": "ceil"}),
        ("fresh_p", {}),
        ("a2r", {}),
        ("a2r_p", {}),
        ("mcd_p", {}),
    ],
)
def test_the_reading_by_construction_is_of_the_rationale_that_was_trained_on(
    case: str, changes: dict[str, Any]
) -> None:
    method = method_of(case)
    method.config = replace(method.config, **changes)
    rows = data()
    config = EvalConfig(fractions=(0.5,), how=("attention",), references=())
    sources = ("extractor", "select_then_predict")
    judging = Judging(  # of another fraction than the one it was trained with
        config=config, unit="token", word_score="max", rationale_fraction=0.7, labels=("a", "b", "c"), sources=sources
    )
    judged = dict(predict(method, rows, judging)["select_then_predict"])
    batch = rows.collate(np.arange(len(rows)))
    scores = method.explain(batch).scores_BL
    fraction = method.config.fraction or 0.25  # that of its run
    units = {name: getattr(method.config, name) for name in ("shape", "rounding") if case.startswith("fresh")}
    assert method.config.unit == "token"
    kept = rationale_masks(scores, batch.words_BL, fraction, unit="token", pooling="max", **units)
    assert not torch.equal(kept, rationale_masks(scores, batch.words_BL, 0.7, unit="token", pooling="max"))
    visible = batch.rows.visible_BL & (kept | ~batch.selectable_BL)
    with torch.no_grad():
        expected = method.perturbed(replace(batch.rows, visible_BL=visible), 1, None).double().softmax(-1)
    for place in range(len(rows)):
        assert judged[place].probabilities == pytest.approx(expected[place].numpy(), abs=1e-5)


def test_a_mean_over_gates_that_hardly_open_is_a_mean() -> None:
    hidden, visible = torch.randn(2, 3, 4), torch.tensor([[True, True, True], [False, False, False]])
    gates = torch.full((2, 3), 0.125)
    found = pool(hidden, None, visible, "mean", gates)
    torch.testing.assert_close(found[0], hidden[0].mean(0))
    assert (found[1] == 0).all()


def test_padding_in_place_of_words_moves_no_other_word() -> None:
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40, pad_token_id=1, initializer_range=0.5, num_labels=3,
    )  # fmt: skip
    model = RobertaForSequenceClassification(config).eval()
    ids = torch.randint(5, 50, (2, 9))
    rows = Rows(input_ids_BL=ids, visible_BL=torch.ones(2, 9).bool(), token_types_BL=torch.zeros_like(ids))
    hidden = torch.zeros(2, 9).bool()
    hidden[:, 2:4] = True
    blank = perturb(rows, hidden, "pad_token", FillTokens(mask_id=4, pad_id=1))
    with torch.no_grad():
        found = classify(model, blank)
        torch.testing.assert_close(found, classify(model, blank, model.get_input_embeddings()(blank.input_ids_BL)))
        assert not torch.allclose(found, model(input_ids=blank.input_ids_BL).logits, atol=1e-4)
        torch.testing.assert_close(classify(model, rows), model(input_ids=ids).logits)


def test_words_that_the_extractor_does_not_see_have_no_score() -> None:
    tokenizer = build_tokenizer(TEXTS)
    examples = data().examples
    tools = Tools(tokenizer=tokenizer, extractor_tokenizer=None, max_length=32)
    short = Tools(tokenizer=tokenizer, extractor_tokenizer=None, max_length=6)
    whole = tools.encode(examples, ["a", "b", "c"])
    cut = make_set(
        examples,
        whole.encoded,
        whole.label_ids,
        whole.pad_id,
        extractor=short.encode(examples, ["a", "b", "c"]).encoded,
    )
    both, alone = cut.collate(np.arange(len(cut))), short.encode(examples, ["a", "b", "c"]).collate(np.arange(len(cut)))
    assert whole.collate(np.arange(len(cut))).words_BL.max() > alone.words_BL.max()
    assert both.words_BL.amax(1).tolist() == alone.words_BL.amax(1).tolist()
    assert torch.equal(both.rows.visible_BL, whole.collate(np.arange(len(cut))).rows.visible_BL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data.toy.kind=choice"], "data toy: the instances are multiple choice, expected single texts or pairs for"),
        (["--scores={1: s.jsonl}"], "scores has the name 1, expected text, in quotes"),
        (["--checks={1: folder}"], "checks has the name 1, expected letters, digits and _"),
    ],
)
def test_evaluations_that_cannot_be_are_one_line(
    arguments: list[str], message: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([f"--model={run}", *TOY, *arguments, f"--output={tmp_path / 'out'}"]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_text_longer_than_the_model_reads_is_refused(run: Path) -> None:
    with pytest.raises(ValueError, match=r"max_length is 10000, expected at most [0-9]+ for this model"):
        Explainer.from_pretrained(run, max_length=10_000)

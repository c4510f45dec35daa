"""Asking models why: a trained one, a foreign one, a multiple choice; what people hand in and what they get."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    pipeline,
)

from unirex import train
from unirex.data.tokenization import build_tokenizer
from unirex.disk.predictions import Header, Prediction
from unirex.explainer import Columns, ExplainConfig, Explainer, explainer
from unirex.explainer.output import explanation_file
from unirex.extractors.settings import Attribution

TINY = [
    "--data.toy.n_train=72", "--data.toy.n_val=21", "--data.toy.n_test=17", "--model.random.hidden_size=32",
    "--train.lr=0.001", "--train.batch_size=24", "--train.epochs=1",
]  # fmt: skip
TEXTS = [
    "a truly wonderful film",
    "Dull; boring - and so very, very long a text that rows differ in length!",
    "",
    "fine",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "plain"
    assert train.main([*TINY, f"--output={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Explainer:
    return Explainer.from_pretrained(run)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT classifier of three classes that this package has not trained."""
    folder = tmp_path_factory.mktemp("foreign")
    tokenizer = build_tokenizer(["a truly wonderful film", "dull and boring text"], size=200)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, id2label={0: "no", 1: "yes", 2: "maybe"}, initializer_range=0.5,
    )  # fmt: skip
    BertForSequenceClassification(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_answers_are_those_of_the_model_called_by_hand(
    model: Explainer, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a gradient adds is not the model's alone: tests/methods/test_methods.py.
    monkeypatch.setattr(model.method, "config", replace(model.method.config, gradient_weight=0.0))  # type: ignore[type-var]
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    bare = model.method.model
    for text, answer in zip(TEXTS, model(TEXTS), strict=True):
        inputs = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        places = inputs.pop("offset_mapping")[0].tolist()
        with torch.no_grad():
            output = bare(**inputs)
        expected = output.logits.softmax(-1)[0]
        assert list(answer.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-5)
        assert answer.label == model.labels[int(expected.argmax())]
        for word in answer.words:
            inside = [
                s
                for (a, b), s in zip(places, output.scores[0].tolist(), strict=True)
                if word.start <= a < b <= word.end
            ]
            assert word.score == pytest.approx(max(inside), abs=1e-5)
            assert text[word.start : word.end] == word.text


def test_the_rationale_is_the_top_share_and_its_spans_are_merged(model: Explainer) -> None:
    answer = model("one two three four five six seven eight nine ten", fraction=0.5)
    chosen = [word for word in answer.words if word.selected]
    best = sorted(answer.words, key=lambda word: -float(word.score or 0))[:5]
    assert {word.start for word in chosen} == {word.start for word in best}
    assert " ".join(span.text for span in answer.rationale).split() == [word.text for word in chosen]
    for left, right in zip(answer.rationale, answer.rationale[1:], strict=False):
        assert right.start > left.end + 1, "neighbouring words are one span"
    everything = model("one two three", fraction=1.0)
    assert [(s.start, s.end) for s in everything.rationale] == [(0, 13)]


def test_a_threshold_takes_every_word_with_at_least_that_score(model: Explainer) -> None:
    answer = model(TEXTS[1])
    middle = sorted(float(word.score or 0) for word in answer.words)[4]
    cut = model(TEXTS[1], threshold=middle)
    assert [w.selected for w in cut.words] == [float(w.score or 0) >= middle for w in answer.words]
    assert cut.rule == f"score >= {middle:.4g}"
    assert model(TEXTS[1], threshold=1e9).rationale == ()


def test_one_gives_one_a_list_a_list_and_a_stream_a_stream(model: Explainer) -> None:
    read = []

    def source() -> Iterator[str]:
        for number in range(3000):
            read.append(number)
            yield f"text number {number} {'long ' * (number % 7)}"

    stream = model(source())
    first = next(stream)
    assert first.id == "0"
    assert len(read) <= explainer.WINDOW
    rest = list(stream)
    assert [answer.id for answer in rest] == [str(n) for n in range(1, 3000)]
    assert all(f"number {answer.id} " in answer.texts[0] for answer in rest)
    assert model([]) == []
    data = Dataset.from_dict({"sentence": TEXTS[:2], "text_pair": ["x y", "z"], "key": ["p", "q"]})
    rows = list(model(data, columns=Columns(text="sentence", pair="text_pair", id="key")))
    assert [row.id for row in rows] == ["p", "q"]
    assert rows[0].texts == (TEXTS[0], "x y")


def test_batches_do_not_change_an_answer(model: Explainer) -> None:
    alone = [model(text).to_dict() for text in TEXTS]
    together = [answer.to_dict() for answer in model(TEXTS, batch_size=3)]
    for number, (a, b) in enumerate(zip(alone, together, strict=True)):
        assert b["id"] == str(number)
        assert a["words"] == [{**w, "score": pytest.approx(w["score"], abs=1e-5)} for w in b["words"]]
        assert a["probability"] == pytest.approx(b["probability"], abs=1e-6)


def test_pairs_and_queries(model: Explainer) -> None:
    pair = model(("first text", "and a second one"), fraction=1.0)
    assert [(word.text, word.part) for word in pair.words][:3] == [("first", 0), ("text", 0), ("and", 1)]
    assert [(span.part, span.text) for span in pair.rationale] == [(0, "first text"), (1, "and a second one")]
    asked = model({"text": "a text", "query": "is it good?"}, fraction=1.0)
    assert asked.texts == ("is it good?", "a text")
    assert [(word.text, word.part) for word in asked.words] == [("a", 1), ("text", 1)]
    assert model({"text": ["pre", "cut", "o'clock..."]}).row.words == ["pre", "cut", "o'clock..."]
    assert pair.to_dict()["words"][2]["part"] == 1


def test_faithfulness_is_the_fall_of_the_probability_when_words_are_hidden(model: Explainer, run: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    known = [piece for piece in sorted(tokenizer.get_vocab()) if piece.isalpha() and len(piece) > 2][:4]
    answer = model(" ".join(known), faithfulness=True, fractions=(0.25, 0.5), how="delete")
    assert answer.faithfulness is not None
    best = max(answer.words, key=lambda word: float(word.score or 0))

    def fall(words: list[str]) -> float:
        with torch.no_grad():
            logits = model.method.model(**tokenizer(" ".join(words), return_tensors="pt")).logits
        return answer.probability - float(logits.softmax(-1)[0, model.labels.index(answer.label)])

    without = fall([word.text for word in answer.words if word is not best])
    assert answer.faithfulness.comprehensiveness_at[0] == pytest.approx(without, abs=1e-5)
    assert answer.faithfulness.sufficiency_at[0] == pytest.approx(fall([best.text]), abs=1e-5)
    assert answer.faithfulness.comprehensiveness == pytest.approx(np.mean(answer.faithfulness.comprehensiveness_at))
    assert answer.to_dict()["faithfulness"]["how"] == "delete"
    assert model("a film").faithfulness is None


def test_what_truncation_took_is_said(model: Explainer) -> None:
    answer = model("film " * 10_000)
    room = model.saved.tools.max_length - 2
    pieces = len(model.saved.tools.tokenizer.tokenize("film"))
    assert answer.tokens_cut == 10_000 * pieces - room
    assert answer.words_cut == 10_000 - -(-room // pieces)
    assert [w.score is None for w in answer.words].count(True) == answer.words_cut
    assert not any(w.selected for w in answer.words if w.score is None)
    assert "did not see" in answer.to_text()
    assert len(answer.to_text()) < 5000
    json.dumps(answer.to_dict(), allow_nan=False)


def test_nothing_in_the_data_reaches_a_terminal_or_a_page(model: Explainer) -> None:
    nasty = "\x1b[31m<script>alert('x')</script>\x9b2J \u202e & ok\r\x07 👩\u200d🚀"
    answer = model(nasty, fraction=1.0)
    for shown in (answer.to_text(), repr(answer), str(answer)):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)
        assert "\\u001b" in shown or shown == repr(answer)
    colored = re.sub(r"\x1b\[[\d;]+m", "", answer.to_text(color=True))
    assert "\x1b" not in colored
    page = answer._repr_html_()
    assert "<script" not in page
    assert "&lt;" in page
    assert "\x1b" not in page
    assert answer.texts == (nasty,), "what is handed back is what was handed in"
    assert "👩\u200d🚀" in [word.text for word in answer.words]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (7, "the input is 7, expected a text, a pair"),
        ([7], "input 0: the input is 7, expected a text, a pair of texts, or a row"),
        (("a", "b", "c"), "expected a pair of two texts"),
        ([{"text": None}], "input 0: text is null, expected text or a list of words"),
        ([{"txt": "a"}], "input 0: there is no column text, found txt"),
        (["fine", {"text": "a", "choices": ["b", "c"]}], "input 1: there are choices, expected none"),
        (["half \ud83d"], "instance 0: its text has '\\ud83d' at character 5, expected whole characters"),
        ([{"text": "a", "text_pair": "b", "query": "c"}], "expected one of them"),
        ([{"text": "a", "id": True}], "input 0: id is True, expected text or a whole number"),
    ],
)
def test_bad_input_is_one_line(model: Explainer, inputs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        model(inputs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fraction": 0.0}, "fraction is 0.0"),
        ({"fraction": 0.1, "threshold": 1.0}, "both given"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"fractions": (0.5, 0.1)}, "ascending"),
        ({"fraction": "0.2"}, "fraction is '0.2', expected a number, more than 0 and at most 1"),
        ({"fraction": True}, "fraction is True, expected a number"),
        ({"threshold": "x"}, "threshold is 'x', expected a finite number"),
        ({"batch_size": 2.5}, "batch_size is 2.5, expected a whole number, at least 1"),
        ({"fractions": 0.5}, "fractions is 0.5, expected ascending values"),
        ({"fractions": ["a"]}, "fractions holds 'a', expected a number"),
        ({"faithfulness": "no"}, "faithfulness is 'no', expected True or False"),
    ],
)
def test_bad_settings_are_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExplainConfig(**settings)


def test_an_unknown_setting_names_those_there_are(model: Explainer, run: Path) -> None:
    with pytest.raises(TypeError, match=r"'fractoin', expected fraction, threshold"):
        model("a", fractoin=0.1)
    assert model({"mine": "a fine film"}, columns={"text": "mine"}).texts == ("a fine film",)
    with pytest.raises(ValueError, match=r"^columns is 'mine', expected a dictionary"):
        model("a fine film", columns="mine")
    with pytest.raises(TypeError, match=r"^there is no setting 'attributions', expected attribution, steps, max_len"):
        Explainer.from_pretrained(run, attributions="ig")  # type: ignore[call-arg]
    for name, value in (("steps", 2.5), ("steps", 0), ("max_length", "64"), ("max_length", 7)):
        with pytest.raises(ValueError, match=f"^{name} is {value!r}, expected a whole number of at least "):
            Explainer.from_pretrained(run, **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("how", get_args(Attribution))
def test_any_classifier_is_explained_by_its_gradient(foreign: Path, how: Any) -> None:
    asked = Explainer.from_pretrained(foreign, attribution=how, steps=200)
    texts = ["a truly wonderful film", "dull", "boring film and text"]
    answers = asked(texts, batch_size=8)
    bare, tokenizer = (
        BertForSequenceClassification.from_pretrained(foreign).eval(),
        AutoTokenizer.from_pretrained(foreign),
    )
    for text, answer in zip(texts, answers, strict=True):
        inputs = tokenizer(text, return_tensors="pt")
        ids = inputs.pop("input_ids")
        embed = bare.get_input_embeddings()

        def logit(embeddings: torch.Tensor, inputs: Any = inputs) -> torch.Tensor:
            return bare(inputs_embeds=embeddings, **inputs).logits[0]

        point = embed(ids).detach().requires_grad_()
        logits = logit(point)
        target = int(logits.argmax())
        assert answer.label == {0: "no", 1: "yes", 2: "maybe"}[target]
        gradient = torch.autograd.grad(logits[target], point)[0]
        scores = np.array([word.score for word in answer.words])
        assert np.isfinite(scores).all()
        assert scores.any()
        if how == "ig":  # completeness: scores sum to the logit's difference to the baseline
            blank = ids.clone()
            blank[0, 1:-1] = tokenizer.pad_token_id
            difference = (logits - logit(embed(blank)))[target].item()
            batch = asked.saved.tools.encode([asked.reader().example(text, 0)], asked.labels).collate(np.array([0]))
            assert float(asked.method.explain(batch).scores_BL.sum()) == pytest.approx(difference, abs=0.02)
        elif how == "gate_ig":  # the same, to a text without a word in view; these weights make the way steep
            seen = inputs["attention_mask"].clone()
            seen[0, 1:-1] = 0
            nothing = bare(input_ids=ids, **{**inputs, "attention_mask": seen}).logits[0, target]
            batch = asked.saved.tools.encode([asked.reader().example(text, 0)], asked.labels).collate(np.array([0]))
            gained = (logits[target] - nothing).item()
            assert float(asked.method.explain(batch).scores_BL.sum()) == pytest.approx(gained, abs=0.1)
        elif how == "attention":  # shares of what the first token looks at, some of it at the special tokens
            assert all(0 < score < 1 for score in scores)
            assert scores.sum() < 1
        elif how == "occlusion":
            first = inputs["attention_mask"].clone()
            first[0, 1] = 0
            without = bare(input_ids=ids, **{**inputs, "attention_mask": first}).logits[0, target]
            batch = asked.saved.tools.encode([asked.reader().example(text, 0)], asked.labels).collate(np.array([0]))
            token_score = float(asked.method.explain(batch).scores_BL[0, 1])
            assert token_score == pytest.approx((logits[target] - without).item(), abs=1e-4)
        elif how in ("grad", "input_x_grad"):
            token_scores = (gradient.norm(dim=-1) if how == "grad" else (gradient * point).sum(-1))[0].tolist()
            words = tokenizer(text).word_ids()
            expected = [max(s for s, w in zip(token_scores, words, strict=True) if w == i) for i in range(len(scores))]
            assert scores == pytest.approx(np.array(expected), abs=1e-4)


def test_a_decoder_without_padding_gives_the_same_alone_and_in_a_batch(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(["a truly wonderful film"], size=100)
    tokenizer.pad_token = None
    tokenizer.eos_token = "[SEP]"
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.5
    )
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    asked = Explainer.from_pretrained(tmp_path, attribution="input_x_grad")
    texts = ["a truly wonderful film", "film", "wonderful film"]
    for text, answer in zip(texts, asked(texts), strict=True):
        alone = asked(text)
        assert alone.probability == pytest.approx(answer.probability, abs=1e-5)
        assert [w.score for w in alone.words] == pytest.approx([w.score for w in answer.words], abs=1e-4)


@pytest.mark.parametrize("made", [pd.DataFrame, pl.DataFrame, pa.Table.from_pylist])
def test_the_rows_of_a_table_are_explained_and_not_its_columns(made: Any, model: Explainer) -> None:
    rows = [{"text": text, "label": "x"} for text in TEXTS[:3]]
    assert [answer.words for answer in model(made(rows))] == [answer.words for answer in model(TEXTS[:3])]


def test_a_trained_model_can_be_explained_by_its_gradient_instead(run: Path, model: Explainer) -> None:
    other = Explainer.from_pretrained(run / "model", attribution="ig", steps=4)
    a, b = model(TEXTS[0]), other(TEXTS[0])
    assert a.probabilities == pytest.approx(b.probabilities, abs=1e-6)
    assert [w.score for w in a.words] != pytest.approx([w.score for w in b.words])
    assert "scores from ig" in repr(other)


def test_a_multiple_choice(tmp_path: Path) -> None:
    rows = [
        {"q": f"number {n} is even" if n % 2 else f"number {n} odd", "a": ["yes", "no", "hm"], "l": n % 3}
        for n in range(24)
    ]
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = [
        "--data.source=hub",
        f"--data.path={tmp_path}",
        "--data.hub.text=q",
        "--data.hub.label=l",
        "--data.hub.choices=[a]",
    ]
    small = ["--model.random.hidden_size=32", "--train.epochs=1", f"--output={tmp_path / 'run'}"]
    assert train.main([*columns, *small]) == 0
    asked = Explainer.from_pretrained(tmp_path / "run")
    three = asked({"text": "is 3 even", "choices": ["yes", "no", "hm"]})
    assert list(three.probabilities) == ["A", "B", "C"]
    assert sum(three.probabilities.values()) == pytest.approx(1)
    assert [w.text for w in three.words] == ["is", "3", "even"]
    assert f"answer: {three.choices[['A', 'B', 'C'].index(three.label)]}" in three.to_text()
    mixed = asked(
        [{"text": "is 3 even", "choices": ["yes", "no"]}, {"text": "is 3 even", "choices": ["yes", "no", "hm"]}]
    )
    assert [len(answer.probabilities) for answer in mixed] == [2, 3]
    assert mixed[1].probabilities == pytest.approx(three.probabilities, abs=1e-5)
    with pytest.raises(ValueError, match="choices has 0 entries, expected 2 to 3: the model chooses between answers"):
        asked("is 3 even")


def test_a_pipeline_gives_the_same(run: Path, model: Explainer, foreign: Path) -> None:
    pipe = pipeline("rationale-classification", model=str(run / "model"), device="cpu")
    expected = [answer.to_dict() for answer in model(TEXTS, fraction=0.5)]
    assert pipe(TEXTS, fraction=0.5) == expected
    assert pipe(TEXTS[0])["label"] == expected[0]["label"]
    stream = pipe(text for text in TEXTS)
    assert next(stream)["id"] == "0"
    one = pipeline("rationale-classification", model=str(foreign), attribution="grad", fraction=0.5, batch_size=2)
    assert sum(word["selected"] for word in one("a truly wonderful film")["words"]) == 2
    with pytest.raises(ValueError, match="no extractor, expected attribution 'ig'"):
        pipeline("rationale-classification", model=str(foreign))


def test_a_model_that_is_none_is_one_line(tmp_path: Path, run: Path, foreign: Path) -> None:
    with pytest.raises(ValueError, match="not found locally or on the Hub"):
        Explainer.from_pretrained("nobody/nothing")
    with pytest.raises(ValueError, match=r"there is no config\.json, expected a saved model"):
        Explainer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no extractor, expected attribution 'ig'"):
        Explainer.from_pretrained(foreign)
    with pytest.raises(ValueError, match="attribution is 'igg', expected one of grad"):
        Explainer.from_pretrained(foreign, attribution="igg")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="words is 'line', expected text or space"):
        Explainer.from_pretrained(foreign, attribution="ig", words="line")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_length is 1000, expected at most 64"):
        Explainer.from_pretrained(foreign, attribution="ig", max_length=1000)
    with pytest.raises(ValueError, match="device is 'tpu9'"):
        Explainer.from_pretrained(run, device="tpu9")
    for file in foreign.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"half of it")
    with pytest.raises(ValueError, match=re.escape(str(tmp_path))) as caught:
        Explainer.from_pretrained(tmp_path, attribution="ig")
    assert "\n" not in str(caught.value)


def test_no_code_comes_with_a_checkpoint(run: Path, tmp_path: Path) -> None:
    for unknown in (True, False):
        folder = tmp_path / str(unknown)
        folder.mkdir()
        for file in (run / "model").iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        settings = json.loads((folder / "config.json").read_text())
        classes = {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model"}
        settings |= {"auto_map": classes, "model_type": "evil" if unknown else "unirex"}
        (folder / "config.json").write_text(json.dumps(settings))
        mark = folder / "ran"
        (folder / "evil.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nclass Config: pass\n")
        if unknown:
            with pytest.raises(ValueError, match=r"evil|code"):
                Explainer.from_pretrained(folder)
        else:
            assert Explainer.from_pretrained(folder)("fine").label
        assert not mark.exists()


def test_hub_models_are_fetched_without_code(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def download(repo: str, **settings: Any) -> str:
        asked.update(settings, repo=repo)
        return str(run / "model")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert Explainer.from_pretrained("someone/model", revision="abc")("fine").label
    assert (asked["repo"], asked["revision"]) == ("someone/model", "abc")
    assert not any(re.search(r"py|bin|pkl|\*$", pattern) for pattern in asked["allow_patterns"])


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_files_say_where_the_second_text_begins(ending: str, tmp_path: Path) -> None:
    """Without it a span of the rationale runs from one text of a pair into the other."""
    row = Prediction(
        id="a", label=None, prediction="x", probabilities=np.array([1.0]), words=["u", "v", "w"], context=None,
        scores=np.ones(3, np.float32), rationale=np.ones(3, np.bool_), gold=None, words_cut=0, gold_cut=0,
        documents=[2, 1],
    )  # fmt: skip
    answer: Any = SimpleNamespace(
        id="a", row=row, probabilities={"x": 1.0}, texts=("u v", "w"), rationale=(), tokens_cut=0, faithfulness=None
    )
    path = tmp_path / f"out.{ending}"
    header = Header(labels=("x",), choice=False, headline="accuracy", unit="word", scores_from="y", rationale_rule="z")
    with explanation_file(path, header, fractions=(), model="m", data="d") as write:
        write(answer, {})
    if ending == "parquet":
        found = pq.read_table(path)["documents"].to_pylist()[0]
    elif ending == "csv":
        [cells] = csv.DictReader(path.read_text().splitlines())
        found = json.loads(cells["documents"])
    else:
        found = json.loads(path.read_text())["documents"]
    assert found == [2, 1]

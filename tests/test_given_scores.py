"""Scores of other units, put on our words by their characters; a twin does it letter by letter."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unirex.data.raw_text import find_words
from unirex.data.tokenization import build_tokenizer
from unirex.data.tools import Tools
from unirex.judging.given_scores import read_scores
from unirex.judging.predict import EvalConfig, Judging, predict
from unirex.methods import METHODS
from unirex.modeling import UnirexConfig, UnirexModel
from unirex.schema import Example, Segment

TEXT = "A well-made film, and dull."


def example(text: str = TEXT, other: str | None = None) -> Example:
    segments = (find_words(text, "space"), *(() if other is None else (find_words(other, "space"),)))
    return Example(id="a", segments=segments, label=None)


def scores(tmp_path: Path, row: dict[str, object], of: Example | None = None) -> list[float]:
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps({"id": "a", **row}) + "\n")
    return read_scores(str(path), [of or example()])["a"].tolist()


def test_words_of_their_own_are_found_in_the_text(tmp_path: Path) -> None:
    words = ["A", "well", "-", "made", "film", "and"]
    found = scores(tmp_path, {"words": words, "scores": [1, 2, 9, 3, 4, None]})
    assert found == [1, 9, 4, -np.inf, -np.inf]
    assert scores(tmp_path, {"words": TEXT.split(), "scores": [1, 2, 3, 4, 5]}) == [1, 2, 3, 4, 5]


def test_spans_count_characters_of_a_text(tmp_path: Path) -> None:
    assert scores(tmp_path, {"spans": [[18, 27], [0, 4]], "scores": [5, 7]}) == [7, 7, -np.inf, 5, 5]
    pair = example("one two", "three four")
    found = scores(tmp_path, {"spans": [[1, 6, 10], {"part": 0, "start": 0, "end": 3}], "scores": [5, 7]}, pair)
    assert found == [7, -np.inf, -np.inf, 5]
    turned = {"end": 3.0, "start": 0, "part": 0}  # whatever the order of its keys, and a table's whole floats
    assert scores(tmp_path, {"spans": [[1, 6, 10], turned], "scores": [5, 7]}, pair) == found


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"words": ["A", "good", "film"], "scores": [1, 2, 3]},
            "id 'a': words: entry 1 is 'good', expected what the t",
        ),
        (
            {"words": ["A", "film"], "scores": [1, 2]},
            "entry 1 is 'film', expected what the text goes on with: 'well-m",
        ),
        ({"words": ["A"], "scores": [1, 2]}, "id 'a': words: 1 entries, expected 2, one per score"),
        (
            {"spans": [[0, 28]], "scores": [1]},
            "entry 0 is [0, 28], expected [start, end] with 0 <= start <= end <= 27",
        ),
        ({"spans": [[1, 0, 2]], "scores": [1]}, "spans: entry 0 is [1, 0, 2], expected"),
        ({"spans": [["x", 0, 2]], "scores": [1]}, "spans: entry 0 is ['x', 0, 2], expected"),
        ({"spans": [[0, 2, None]], "scores": [1]}, "spans: entry 0 is [0, 2, None], expected"),
        ({"spans": [[0, 2.5]], "scores": [1]}, "spans: entry 0 is [0, 2.5], expected"),
        ({"spans": [{"part": 0, "end": 3}], "scores": [1]}, "spans: entry 0 is {'part': 0, 'end': 3}, expected"),
        (
            {"spans": [{"part": 1.0, "start": 0, "end": 3}], "scores": [1]},
            "'part': 1.0, 'start': 0, 'end': 3}, expected",
        ),
        ({"scores": [1, 2]}, "scores has 2 values, expected 5, one per word (scores of other units need their words"),
        ({"scores": [1, 1e39]}, "scores: entry 1 is 1e+39, expected a finite number or null"),
        ({"scores": [1, "x"]}, "scores: entry 1 is 'x', expected a finite number or null"),
        ({}, "scores: null, expected a list"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(row: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^\S+s.jsonl:1: ") as caught:
        scores(tmp_path, row)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ids_that_do_not_meet_are_shown(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text(json.dumps({"id": 0, "scores": [1, 2]}))
    with pytest.raises(ValueError, match=r"no scores for instance 'a', .* \(the file's first id is '0'\)$"):
        read_scores(str(tmp_path / "s.jsonl"), [example()])


def test_an_id_has_scores_once(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text(json.dumps({"id": "a", "scores": [1, 2, 3, 4, 5]}) + "\n" + '{"id": "a"}\n')
    with pytest.raises(ValueError, match=r"s\.jsonl:2: id 'a' is a duplicate, expected it once"):
        read_scores(str(tmp_path / "s.jsonl"), [example()])


@given(st.lists(st.integers(0, len(TEXT)), min_size=2, max_size=12))
def test_a_word_has_the_highest_score_of_what_it_shares_letters_with(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    spans = [sorted(pair) for pair in zip(cuts[::2], cuts[1::2], strict=False)]
    values = list(range(len(spans)))
    found = scores(tmp_path_factory.mktemp("given"), {"spans": spans, "scores": values})
    segment = example().segments[0]
    for word, (start, end) in enumerate(zip(segment.starts.tolist(), segment.ends.tolist(), strict=True)):
        letters = set(range(start, end))
        shared = [value for value, (a, b) in zip(values, spans, strict=True) if letters & set(range(a, b))]
        assert found[word] == max(shared, default=-np.inf)


def test_words_that_only_the_extractor_does_not_read_are_words_all_the_same() -> None:
    """A dual extractor with a tokenizer of its own ends sooner: scores from elsewhere may mark what the model reads."""
    texts = ["alpha beta gamma delta epsilon zeta eta theta", "theta eta zeta epsilon delta gamma beta alpha"]
    tokenizer, letters = build_tokenizer(texts), build_tokenizer(["abcdefghijklmnopqrstuvwxyz"], size=60)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    bert = {"model_type": "bert", "max_position_embeddings": 64, **small}
    config = UnirexConfig(
        backbone={**bert, "vocab_size": len(tokenizer)},
        extractor="dual",
        extractor_backbone={**bert, "vocab_size": len(letters)},
        num_labels=2,
        run={"rationale_fraction": 0.25},
    )
    tools = Tools(tokenizer=tokenizer, extractor_tokenizer=letters, max_length=20)
    method = METHODS["joint"](
        UnirexModel(config), METHODS["joint"].config_class(gradient_weight=0.0), tools.fill
    ).eval()
    gold = np.array([0] * 7 + [1], dtype=np.float32)
    rows = [
        Example(id=str(i), segments=(Segment.from_words(text.split()),), label="ab"[i], gold=gold)
        for i, text in enumerate(texts)
    ]
    world = tools.encode(rows, ["a", "b"])
    batch = world.collate(np.arange(2))
    read = int(batch.words_BL.max())
    assert read < 7 == int(batch.judged().words_BL.max())
    judging = Judging(
        config=EvalConfig(fractions=(0.125, 1.0)),
        unit="word",
        word_score="max",
        rationale_fraction=0.25,
        labels=["a", "b"],
        sources=("extractor", "file", "gold"),
        given={"file": {row.id: np.arange(8, dtype=np.float32) for row in rows}},
    )
    found = {source: dict(one) for source, one in predict(method, world, judging).items()}
    for place in (0, 1):
        own, file, marks = (found[source][place] for source in ("extractor", "file", "gold"))
        assert np.isnan(own.scores).tolist() == [word > read for word in range(8)]
        assert not own.rationale[read + 1 :].any()
        assert file.scores.tolist() == list(range(8))
        assert file.rationale.tolist() == [False] * 6 + [True] * 2
        assert marks.rationale[7]
        assert own.words_cut == 0
        for one in (own, file, marks):  # all words, whoever scored them
            assert np.array_equal(one.perturbed["null.attention.self"], file.perturbed["null.attention.self"])
        assert file.perturbed["remove.attention.self"][1] == pytest.approx(file.perturbed["null.attention.self"])

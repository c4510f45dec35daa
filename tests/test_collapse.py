"""Every sign of collapse is found where it is planted, and none in scores that follow the words."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unirex import evaluate, train
from unirex.judging.collapse import collapse_signs

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(5, 12, 60).tolist()
WORDS = [[f"w{RNG.integers(30)}" for _ in range(n)] for n in LENGTHS]


def signs(scores: list[list[float]]) -> list[str]:
    return collapse_signs(pa.table({"words": WORDS, "scores": scores}))


def test_scores_that_follow_the_words_are_no_collapse() -> None:
    weight = {f"w{i}": float(RNG.normal()) for i in range(30)}
    assert signs([[weight[w] for w in words] for words in WORDS]) == []
    assert signs([RNG.normal(size=n).tolist() for n in LENGTHS]) == []


def test_places_are_compared_within_their_row() -> None:
    words = [[f"{row}-{place}" for place in range(5)] for row in range(30)]
    scores = [[100.0 * row + place for place in (0.0, 3.0, -1.0, 2.0, -4.0)] for row in range(30)]
    found = collapse_signs(pa.table({"words": words, "scores": scores}))
    assert "its place alone explains 100 % of the variance of a word's score" in found


def test_a_word_that_was_not_seen_takes_no_other_words_place() -> None:
    words = [["gap", str(i), "film", "the"] for i in range(30)]
    scores = [[None, float(i % 2), 9.0, 0.5] for i in range(30)]
    assert "falls on 'film' in 100 %" in " ".join(collapse_signs(pa.table({"words": words, "scores": scores})))


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([[0.3] * n for n in LENGTHS], "all words have the same score in 100 % of 60 rows"),
        ([[*RNG.normal(size=n - 1), 9.0] for n in LENGTHS], "stands at word 1 from the end in 100 %"),
        ([[0.0, 9.0, *RNG.normal(size=n - 2)] for n in LENGTHS], "stands at word 2 in 100 %"),
        ([(np.sin(np.arange(n)) + 0.01 * RNG.normal(size=n)).tolist() for n in LENGTHS], "place alone explains"),
    ],
)
def test_planted_collapse_is_named(scores: list[list[float]], message: str) -> None:
    assert any(message in line for line in signs(scores)), signs(scores)


def test_one_word_everywhere_is_named() -> None:
    words = [[*row, "film"] for row in WORDS]
    order = [RNG.permutation(len(row)) for row in words]
    words = [[row[i] for i in places] for row, places in zip(words, order, strict=True)]
    scores = [[float(w == "film") + 0.1 * RNG.random() for w in row] for row in words]
    assert collapse_signs(pa.table({"words": words, "scores": scores})) == [
        "the highest score falls on 'film' in 100 % of 60 rows"
    ]


def test_few_or_short_rows_say_nothing() -> None:
    assert collapse_signs(pa.table({"words": WORDS[:5], "scores": [[0.0] * n for n in LENGTHS[:5]]})) == []
    assert collapse_signs(pa.table({"words": [["a", "b"]] * 50, "scores": [[0.1, None]] * 50})) == []


def test_twenty_rows_of_three_words_are_enough() -> None:
    def of(n_rows: int, n_words: int) -> list[str]:
        words = [[f"{row}-{place}" for place in range(n_words)] for row in range(n_rows)]
        return collapse_signs(pa.table({"words": words, "scores": [[0.5] * n_words] * n_rows}))

    assert of(20, 3) == ["all words have the same score in 100 % of 20 rows"]
    assert of(19, 3) == of(20, 2) == []


def test_places_that_few_rows_reach_say_nothing_of_the_others() -> None:
    """The mean of a place in one long row is that row's own score, and explains all of it."""
    draw = np.random.default_rng(1)
    short, long = [draw.normal(size=5).tolist() for _ in range(30)], (10 * draw.normal(size=300)).tolist()
    words = [[f"{row}-{place}" for place in range(len(scores))] for row, scores in enumerate([*short, long])]
    assert collapse_signs(pa.table({"words": words, "scores": [*short, long]})) == []
    # Without any variance at the others there is nothing to explain.
    flat = [[1.0, 1.0, 1.0]] * 28 + [[1.0, 1.0, 1.0, 0.0, 2.0]] * 2
    words = [[f"{row}-{place}" for place in range(len(scores))] for row, scores in enumerate(flat)]
    assert collapse_signs(pa.table({"words": words, "scores": flat})) == []
    # Nor do they hide what the others say.
    even = [[3.0, 1.0, -1.0, 0.0, -3.0]] * 100
    tail = [[3.0, 1.0, -1.0, 0.0, -3.0, *draw.permutation([9.0, -9.0] * 50).tolist()] for _ in range(10)]
    words = [[f"{row}-{place}" for place in range(len(scores))] for row, scores in enumerate([*even, *tail])]
    assert any(
        "place alone explains 100 %" in sign
        for sign in collapse_signs(pa.table({"words": words, "scores": [*even, *tail]}))
    )


def test_a_collapsed_model_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy = ["--data.toy.n_train=40", "--data.toy.n_val=30", "--data.toy.n_test=30", "--model.random.hidden_size=32"]
    assert train.main([*toy, "--train.epochs=1", f"--output={tmp_path / 'fine'}"]) == 0
    assert "collapsed" not in capsys.readouterr().err
    table = pq.read_table(tmp_path / "fine" / "predictions.parquet")
    scores = [[0.5] * len(words) for words in table["words"].to_pylist()]
    pq.write_table(pa.table({"id": table["id"], "scores": scores}), tmp_path / "constant.parquet")
    given = [f"--model={tmp_path / 'fine' / 'model'}", f"--scores={tmp_path / 'constant.parquet'}"]
    assert evaluate.main([*given, *toy[:3], f"--output={tmp_path / 'judged'}"]) == 0
    assert "warning: test: the scores may have collapsed: all words have the same score" in capsys.readouterr().err

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

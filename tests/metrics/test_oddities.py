"""What used to be taken in silence: refused by name, or scored and counted in a note."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference import predictions
from unirex.metrics import Resampling, aopc, iou_agreement, oddities, relative_gain, score, token_f1
from unirex.metrics.commands.cli import main
from unirex.metrics.commands.validate import prediction_problems
from unirex.metrics.ragged import Ragged

NO_DRAWS = Resampling(replicates=0)


def rows() -> list[dict[str, Any]]:
    """Two rows of two classes, sound in every way."""
    row = {
        "label": "neg",
        "prediction": "neg",
        "probabilities": [0.75, 0.25],
        "words": ["a", "b"],
        "scores": [0.5, 0.25],
        "rationale": [True, False],
        "gold": [1.0, 0.0],
        "fractions": [0.1, 0.5],
        "keep.attention.self": [[0.75, 0.25], [0.75, 0.25]],
        "remove.attention.self": [[0.5, 0.5], [0.25, 0.75]],
        "null.attention.self": [0.5, 0.5],
    }
    return [{"id": "r0", **row}, {"id": "r1", **row}]


def table(changes: dict[str, Any]) -> pa.Table:
    """The rows as a foreign table, the second one changed."""
    found = rows()
    found[1] |= changes
    return pa.Table.from_pylist(found)


def outcomes(changes: dict[str, Any]) -> tuple[str, tuple[str, ...], list[str]]:
    """What `strict` says, what `unirex` notes, and what validate lists."""
    system = table(changes)
    with pytest.raises(ValueError, match=r"^table: row id 'r1': ") as refused:
        score(system, labels=["neg", "pos"], resampling=NO_DRAWS)
    report = score(system, "paper", labels=["neg", "pos"], resampling=NO_DRAWS)
    return str(refused.value), report.odd, list(prediction_problems(system, labels=["neg", "pos"]))


def test_a_prediction_that_its_probabilities_do_not_prefer() -> None:
    error, notes, problems = outcomes({"prediction": "pos"})
    assert error == (
        "table: row id 'r1': prediction is 'pos' with probability 0.25, expected 'neg' with 0.75, or labels in the "
        "order of the probabilities"
    )
    assert notes == ("1 of 2 rows: the prediction is not the class with the highest probability",)
    assert problems == [error]


def test_givenin_the_wrong_order() -> None:
    # By this order comprehensiveness would have the wrong sign.
    assert score(table({}), labels=["neg", "pos"], resampling=NO_DRAWS)["comprehensiveness"].value == 0.375
    with pytest.raises(
        ValueError, match=r"'r0': prediction is 'neg' with probability 0\.25, expected 'pos' with 0\.75"
    ):
        score(table({}), labels=["pos", "neg"], resampling=NO_DRAWS)
    report = score(table({}), "paper", labels=["pos", "neg"], resampling=NO_DRAWS)
    assert report.odd == ("2 of 2 rows: the prediction is not the class with the highest probability",)
    assert f"note: {report.odd[0]}" in report.to_text()
    assert report.as_dict()["notes"] == report.notes


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("probabilities", [0.75, 0.75], "probabilities sums to 1.5, expected 1 (give or take 0.01)"),
        ("probabilities", [0.25, 0.125], "probabilities sums to 0.375, expected 1 (give or take 0.01)"),
        ("probabilities", [0.0, 0.0], "probabilities sums to 0, expected 1"),
        ("keep.attention.self", [[0.5, 0.5], [0.5, 0.25]], "keep.attention.self[1] sums to 0.75, expected 1"),
        ("remove.attention.self", [[0.5, 0.6], [0.5, 0.5]], "remove.attention.self[0] sums to 1.1, expected 1"),
        ("null.attention.self", [0.5, 0.25], "null.attention.self sums to 0.75, expected 1"),
    ],
)
def test_probabilities_that_do_not_sum_to_one(column: str, value: object, message: str) -> None:
    error, notes, problems = outcomes({column: value})
    assert message in error
    assert notes == ("1 of 2 rows: probabilities do not sum to 1",)
    assert problems == [error]


def test_the_full_probabilities_of_a_check_model_are_checked_but_prefer_what_they_like() -> None:
    changes = {column.replace("self", "judge"): value for column, value in rows()[0].items() if "self" in column}
    system = pa.Table.from_pylist([row | changes | {"full.judge": [0.25, 0.75]} for row in rows()])
    assert score(system, scorer="judge", labels=["neg", "pos"], resampling=NO_DRAWS).odd == ()
    system = pa.Table.from_pylist([row | changes | {"full.judge": [0.25, 0.5]} for row in rows()])
    with pytest.raises(ValueError, match=r"full\.judge sums to 0\.75"):
        score(system, scorer="judge", labels=["neg", "pos"], resampling=NO_DRAWS)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "two digits"])
def test_rounded_probabilities_and_ties_pass(precision: str) -> None:
    rng = np.random.default_rng(0)
    found = predictions.rows(1, 300, labels=tuple("abcdefg"))

    def rounded(value: Any) -> Any:
        if isinstance(value[0], list):
            return [rounded(inner) for inner in value]
        p = np.array(value)
        if precision == "two digits":
            return np.round(p, 2).tolist()
        single = p.astype(np.float32)
        if precision == "bfloat16":  # the upper half of the bits, rounded to the nearest
            single = ((single.view(np.uint32) + 0x8000) & 0xFFFF0000).view(np.float32)
        return single.astype(np.float64).tolist()

    for row in found:
        for name in row:
            if name == "probabilities" or name.endswith(".self"):
                row[name] = rounded(row[name])
        p = np.array(row["probabilities"])
        row["prediction"] = "abcdefg"[int(rng.choice(np.flatnonzero(p == p.max())))]
    system = predictions.as_table(found, labels=tuple("abcdefg"))
    assert not [note for note in score(system, resampling=NO_DRAWS).odd if "probabilit" in note]


def test_percent_are_named() -> None:
    percent = {"probabilities": [75.0, 25.0]}
    with pytest.raises(
        ValueError, match=r"probabilities\[0\] is 75\.0, expected a probability in \[0, 1\], not percent"
    ):
        score(table(percent), labels=["neg", "pos"])


def test_a_choice_that_the_row_does_not_have() -> None:
    found = predictions.rows(0, 3, hows=())
    found[1] |= {"prediction": "neutral", "probabilities": [0.5, 0.5]}
    with pytest.raises(ValueError, match="prediction is 'neutral', expected one of 2 choices"):
        score(predictions.as_table(found, hows=(), choice=True))


@pytest.mark.parametrize("value", [2.0, -1.0, math.nan, 0.75])
def test_a_rationale_of_other_numbers(value: float, tmp_path: Path) -> None:
    numbers = [{"id": "r", "rationale": [1.0, value], "gold": [1.0, 0.0]}]
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(numbers[0]) + "\n")
    for system in (pa.Table.from_pylist(numbers), path):
        with pytest.raises(ValueError, match=rf"'r': rationale\[1\] is {value}, expected 0 or 1"):
            score(system)
    with pytest.raises(ValueError, match=rf"rationale\[1\] is {value}, expected 0 or 1"):
        token_f1(np.array([[1.0, value]]), np.array([[1, 0]]))
    with pytest.raises(ValueError, match=rf"rationale\[1\] is {value}, expected 0 or 1"):
        iou_agreement(pa.array([[1.0, value]]), np.array([[1, 0]]))


def test_gold_outside_of_0_to_1_in_array_functions() -> None:
    assert token_f1(np.array([[1, 0]]), np.array([[0.75, 0.0]])).tolist() == [1.0]
    for gold in (np.array([[2.0, 0.0]]), pa.array([[-1.0, 0.0]])):
        with pytest.raises(ValueError, match=r"gold\[0\] is -?\d\.0, expected a number in \[0, 1\]"):
            token_f1(np.array([[1, 0]]), gold)


def test_words_of_another_length_than_scores() -> None:
    with pytest.raises(ValueError, match=r"'r1': words has 3 values, expected 2 \(as scores\)"):
        score(table({"words": ["a", "b", "c"]}), labels=["neg", "pos"])


def test_unknown_keys_of_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(table({}), path)
    assert main(["score", str(path), "--columns", '{"scors": "scores"}', "--labels", "neg", "pos"]) == 2
    error = capsys.readouterr().err
    assert "columns names 'scors', expected a column of prediction files (did you mean scores?)" in error
    score(
        table({}).rename_columns({"keep.attention.self": "K"}),
        columns={"keep.attention.self": "K"},
        labels=["neg", "pos"],
    )


def test_unknown_directions_and_conventions_of_array_functions() -> None:
    with pytest.raises(ValueError, match=r"direction is 'lowr', expected one of .* .did you mean lower"):
        relative_gain([0.1, 0.2], "lowr")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"convention is 'strickt', expected one of .* .did you mean strict"):
        aopc([[0.1, 0.2]], "strickt")  # type: ignore[arg-type]


def test_classes_that_are_spelled_otherwise() -> None:
    def task(labels: list[str], answers: list[str]) -> pa.Table:
        return pa.table({"id": list("ab"), "label": labels, "prediction": answers})

    with pytest.raises(ValueError, match="table: prediction 'neg' and label 'NEG', expected one spelling"):
        score(task(["NEG", "POS"], ["neg", "pos"]))
    with pytest.raises(
        ValueError, match=r"predictions are \['0', '1'\] and labels \['neg', 'pos'\], expected classes in"
    ):
        score(task(["neg", "pos"], ["0", "1"]))
    for given, answers in ((["neg", "pos"], ["x", "x"]), (["neg", "neg"], ["x", "y"])):
        with pytest.raises(ValueError, match="expected classes in common"):
            score(task(given, answers))
    assert score(task(["neg", "neg"], ["x", "x"]))["accuracy"].value == 0  # two classes, and always the wrong one
    for labels, found in {
        ("Pos", "pos"): "label 'pos' and label 'Pos'",
        ("pos", "pos "): "label 'pos ' and label 'pos'",
        ("caf\u00e9", "tea"): "prediction 'cafe\\u0301' and label 'caf\\xe9'",
    }.items():
        with pytest.raises(ValueError, match=re.escape(f"table: {found}, expected one spelling")):
            score(task([*labels], ["cafe\u0301" if labels[1] == "tea" else "pos", labels[1]]))
    with pytest.raises(ValueError, match=re.escape("table: labels are ['pos', 'pos'], expected each once")):
        score(task(["pos", "pos"], ["pos", "pos"]), labels=["pos", "pos"])
    assert score(task(["neg", "pos"], ["neu", "pos"]))["accuracy"].value == 0.5
    # Who names the classes means them.
    assert score(task(["NEG", "POS"], ["neg", "pos"]), labels=["neg", "pos", "NEG", "POS"])["accuracy"].value == 0.0


def test_scores_that_say_nothing_are_counted() -> None:
    scores = pa.array([[0.5, 0.5], [None, None], [0.5, 0.25], [0.5, None], [1.0]], pa.list_(pa.float64()))
    gold = [[1, 0], [1, 0], [1, 0], [1, 0], [1]]
    report = score(pa.table({"id": list("abcde"), "scores": scores, "gold": gold}), resampling=NO_DRAWS)
    assert report.odd == (
        "1 of 5 rows: all words have the same score",
        "1 of 5 rows: no word has a score, so that no ranking metric is defined",
    )
    # Undefined are the row without a score and the one without an unmarked word.
    assert (report["roc_auc"].n, report["roc_auc"].n_undefined) == (3, 2)
    assert report["roc_auc"].value == pytest.approx((0.5 + 1 + 1) / 3)


def test_rows_of_no_word_or_one_say_nothing_odd() -> None:
    found = oddities.of_scores(Ragged(np.array([0.5, 0.5, 1.0]), np.array([0, 0, 2, 3])))
    assert {kind: which.tolist() for kind, which in found.items()} == {
        "unseen": [False] * 3,
        "constant": [False, True, False],
    }
    without = Ragged(np.array([-np.inf]), np.array([0, 0, 1]))
    assert oddities.unseen(without).tolist() == [False, True]
    assert oddities.highest(without).tolist() == [-np.inf, -np.inf]


def test_counts_merge_like_sums() -> None:
    from unirex.metrics import plan

    system = table({"prediction": "pos"})
    made = plan(system, "paper", labels=["neg", "pos"], resampling=NO_DRAWS)
    whole, second = made.state(), made.state()
    batch = system.combine_chunks().to_batches()[0]
    whole.update(batch.slice(0, 1).select(whole.parser.columns()))
    second.update(batch.slice(1, 1).select(whole.parser.columns()))
    whole.merge_bytes(second.to_bytes())
    assert whole.compute().odd == ("1 of 2 rows: the prediction is not the class with the highest probability",)


def test_validate_takes_givenand_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(table({"prediction": "pos"}).rename_columns({"keep.attention.self": "K"}), path)
    columns = ["--columns", '{"keep.attention.self": "K"}']
    assert main(["validate", str(path), "--labels", "neg", "--labels", "pos", *columns]) == 2
    out = capsys.readouterr().out
    assert "row id 'r1': prediction is 'pos'" in out
    assert out.endswith("1 problem\n")
    assert main(["validate", str(path), "--labels", "pos", "--labels", "neg", *columns]) == 2
    assert "row id 'r0': prediction is 'neg'" in capsys.readouterr().out


def test_documents_are_kept_apart() -> None:
    found = {"id": ["a"], "scores": [[0.1] * 9], "rationale": [[False] * 5 + [True] * 4], "gold": [[0] * 4 + [1] * 5]}
    one = score(pa.table(found), resampling=NO_DRAWS)
    assert (one["iou_precision@0.5"].value, one["iou_recall@0.5"].value) == (1.0, 1.0)
    two = score(pa.table({**found, "documents": [[5, 4]]}), resampling=NO_DRAWS)
    assert (two["iou_precision@0.5"].value, two["iou_recall@0.5"].value) == (1.0, 0.5)
    assert two["token_f1"].value == one["token_f1"].value
    with pytest.raises(ValueError, match=r"'a': documents sum to 8, expected 9 \(words\)"):
        score(pa.table({**found, "documents": [[5, 3]]}))


def test_a_row_of_unknown_gold_moves_no_border() -> None:
    system = pa.table(
        {
            "id": ["a", "b", "c"],
            "rationale": [[True] * 2, [True] * 4, [True] * 4],
            "gold": [None, [1, 1, 1, 1], [1, 1, 1, 1]],
            "documents": [[1, 1], [2, 2], [4]],
        }
    )
    report = score(system, iou_thresholds=(0.9,), resampling=NO_DRAWS)
    assert (report["iou_f1@0.9"].value, report["iou_f1@0.9"].n) == (1.0, 2)

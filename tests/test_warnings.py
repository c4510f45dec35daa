"""What is wrong though nothing fails is said, in words that say what to do; and nothing where nothing is wrong."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from unirex import evaluate, train
from unirex.disk.run_folder import RunFolder
from unirex.judging.warnings import data_warnings, repeated, result_warnings
from unirex.report import build
from unirex.schema import Example, Segment
from unirex.training.run import _warn


def rows(labels: str, gold: list[float] | None = None) -> list[Example]:
    return [
        Example(id=str(i), segments=(), label=label, gold=None if gold is None else np.array(gold, dtype=np.float32))
        for i, label in enumerate(labels)
    ]


class TestData:
    def test_nothing_is_said_of_good_data(self) -> None:
        assert data_warnings({"train": rows("abab", [0, 1]), "val": rows("ab", [1, 0]), "test": []}, "ab") == []

    def test_one_class_is_named(self) -> None:
        (line,) = data_warnings({"train": rows("ab", [1]), "val": rows("aaa", [1])}, "ab")
        assert line.startswith("val: all 3 labels are 'a' of the classes a, b")

    def test_a_split_without_gold_is_named_and_none_at_all_is_one_line(self) -> None:
        (line,) = data_warnings({"train": rows("ab", [1]), "val": rows("ab")}, "ab")
        assert line.startswith("val has no gold: auprc and token_f1 are undefined there")
        (line,) = data_warnings({"train": rows("ab"), "val": rows("ab")}, "ab")
        assert line.startswith("no row has gold")

    def test_gold_of_zeros_in_half_of_the_rows_is_named(self) -> None:
        mostly = [*rows("ab", [0, 0]), *rows("ab", [0, 1])]
        (line,) = data_warnings({"train": mostly}, "ab")
        assert line.startswith("train: in 2 of 4 rows with gold no word is marked")
        assert data_warnings({"train": [*mostly, *rows("a", [1, 0])]}, "ab") == []

    def test_choices_are_no_classes(self) -> None:
        """The answer may well stand at the same place in all questions of a split."""
        asked = [replace(row, choices=("x", "y"), choice_labels=("a", "b")) for row in rows("aaa", [1])]
        assert data_warnings({"train": rows("ab", [1]), "val": asked}, "ab") == []


def texts(*rows: str) -> list[Example]:
    return [Example(id=row, segments=(Segment.from_words(row.split(" / ")),), label=None) for row in rows]


def test_rows_of_other_splits_whose_text_is_trained_on_are_counted() -> None:
    train = texts("a / film", "the / plot")
    other = [f"{n} / film" for n in range(98)]
    lines = repeated(train, {"val": texts(*other, "the / plot", "a / film"), "test": texts(*other), "none": []})
    (line,) = lines
    assert line.startswith("val: 2 of 100 rows have the text of a row that is trained on")
    assert repeated(train, {"val": texts(*other, *other, "a / film")}) == []
    asked = Segment.from_words(["a", "film"]), Segment.from_words(["why?"])
    assert repeated(train, {"val": [Example(id="q", segments=asked, label=None)]}) == []
    (chosen,) = texts("a / film")
    assert repeated(train, {"val": [replace(chosen, choices=("x", "y"), choice_labels=("a", "b"))]}) == []


def test_one_answer_for_all_rows_is_named() -> None:
    words = [[f"{n}", "b", "c"] for n in range(12)]
    labels = ["x", "y"] * 6
    same = pa.table({"words": words, "scores": [[0.1, 0.2, 0.3]] * 12, "label": labels, "prediction": ["x"] * 12})
    assert result_warnings(same)[0].startswith("the model answers 'x' for all 12 rows, whose labels are of 2 classes")
    place = same.column_names.index("prediction")
    assert result_warnings(same.set_column(place, "prediction", pa.array([*["x"] * 11, "y"]))) == []
    place = same.column_names.index("label")
    assert result_warnings(same.set_column(place, "label", pa.array(["x"] * 12))) == []
    assert len(result_warnings(same[:10])) == 1
    assert result_warnings(same[:9]) == []  # too few rows to say so


def test_advice_is_for_what_is_undefined() -> None:
    table = pa.table({"id": ["a", "b"], "gold": [[1.0, 0.0]] * 2, "prediction": ["x", "y"]})

    def said(**groups: Any) -> list[str]:
        metrics = [SimpleNamespace(name=name, group=group, main=True, value=np.nan) for name, group in groups.items()]
        return result_warnings(table, SimpleNamespace(metrics=metrics, n_rows=2))  # type: ignore[arg-type]

    (one,) = said(normalised_sufficiency="faithfulness")
    assert one == "normalised_sufficiency: undefined in all 2 rows (docs/metrics.md says when each is)"
    (both,) = said(normalised_sufficiency="faithfulness", auprc="plausibility")
    assert both.startswith("normalised_sufficiency, auprc: undefined in all 2 rows (")
    assert both.endswith("; for plausibility, rows must have marked and unmarked words")


def test_a_run_warns_in_terminal_log_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file without splits, its first rows alone with gold, one step that teaches nothing."""
    lines = [{"text": f"w{n} x y", "label": "ab"[n % 2], "gold": [0, 0, 0]} for n in range(80)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = ["--data.source=hub", f"--data.path={tmp_path / 'rows.jsonl'}", "--data.hub.gold=[gold]"]
    small = ["--model.random.hidden_size=16", "--train.epochs=1", "--train.lr=1e-7", "--eval.references=[]"]
    assert train.main([*data, *small, f"--output={tmp_path / 'run'}"]) == 0
    out, err = capsys.readouterr()
    assert "train 56 instances (56 with gold), val 12 instances (12 with gold), test 12 instances (12 with gold)" in out
    assert "val and test drawn from the data by class and gold" in out
    expected = ["data: train: in 56 of 56 rows with gold no word is marked", "test: the model answers"]
    logged = (tmp_path / "run" / "log.jsonl").read_text()
    shown = build(tmp_path / "run")
    for start in expected:
        assert f"warning: {start}" in err
        assert start in logged
        assert start in shown.to_html()
        assert start in shown.to_text(width=2000)
    capsys.readouterr()
    judged = [f"--model={tmp_path / 'run' / 'model'}", *data, f"--output={tmp_path / 'judged'}", "--eval.references=[]"]
    assert evaluate.main(judged) == 0
    assert "rows has no test split: 15% of its rows are judged" in capsys.readouterr().out
    assert expected[1] in build(tmp_path / "judged").to_text(width=2000)


def test_what_every_epoch_would_say_is_printed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run: Any = SimpleNamespace(folder=RunFolder(tmp_path), told=set())
    assert _warn(run, ["a"], "dev 1", epoch=1) == ["dev 1: a"]
    assert _warn(run, ["a", "b"], "dev 2", epoch=2) == ["dev 2: a", "dev 2: b"]
    assert _warn(run, ["a"], "test", epoch=None) == ["test: a"]
    assert capsys.readouterr().err == "warning: dev 1: a\nwarning: dev 2: b\nwarning: test: a\n"
    logged = [json.loads(entry)["text"] for entry in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged == ["dev 1: a", "dev 2: a", "dev 2: b", "test: a"]  # however often the run was resumed

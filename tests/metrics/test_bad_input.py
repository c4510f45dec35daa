"""Every fault is one line with file, row id and field; nothing is printed or written besides."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import predictions
from unirex.metrics import Report, Resampling, score
from unirex.metrics.commands.cli import main

Change = Callable[[list[dict[str, Any]]], None]


def put(row: int, field: str, value: object, *path: int) -> Change:
    def change(rows: list[dict[str, Any]]) -> None:
        if not path:
            rows[row][field] = value
            return
        inner = rows[row][field]
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value

    return change


CASES: dict[str, tuple[Change, str]] = {
    "scores too short": (put(3, "scores", [1.0]), "row id 'r3': scores has 1 values, expected 6 (as rationale)"),
    "gold too long": (put(2, "gold", [1.0] * 9), "row id 'r2': gold has 9 values, expected 6 (as scores)"),
    "NaN score": (put(1, "scores", float("nan"), 4), "row id 'r1': scores[4] is nan, expected a finite number"),
    "infinite score": (put(1, "scores", float("-inf"), 0), "row id 'r1': scores[0] is -inf, expected a finite number"),
    "probability above 1": (
        put(4, "probabilities", 1.5, 1),
        "row id 'r4': probabilities[1] is 1.5, expected a probability in [0, 1]",
    ),
    "probability NaN": (
        put(4, "null.attention.self", float("nan"), 0),
        "row id 'r4': null.attention.self[0] is nan, expected a probability in [0, 1]",
    ),
    "perturbed probability below 0": (
        put(5, "keep.attention.self", -0.25, 2, 1),
        "row id 'r5': keep.attention.self[2][1] is -0.25, expected a probability in [0, 1]",
    ),
    "classes missing": (
        put(0, "probabilities", [0.5, 0.5]),
        "row id 'r0': probabilities has 2 values, expected 3 (as labels)",
    ),
    "fraction missing": (
        put(0, "remove.attention.self", [[0.2, 0.3, 0.5]] * 4),
        "row id 'r0': remove.attention.self has 4 lists, expected 5 (as fractions)",
    ),
    "class missing in a perturbation": (
        put(7, "remove.attention.self", [[0.5, 0.5]] * 5),
        "row id 'r7': remove.attention.self has 10 probabilities, expected 15",
    ),
    "uneven lists": (
        put(7, "remove.attention.self", [0.5, 0.5], 1),
        "row id 'r7': remove.attention.self[1] has 2 values, expected one probability for each class, as many in each",
    ),
    "null among the lists": (
        put(7, "keep.attention.self", None, 3),
        "row id 'r7': keep.attention.self[3] is null, expected one probability for each class, as many in each list",
    ),
    "percent": (put(4, "probabilities", 99.0, 1), "expected a probability in [0, 1], not percent"),
    "infinite probability": (
        put(4, "probabilities", float("inf"), 1),
        "row id 'r4': probabilities[1] is inf, expected a probability in [0, 1]\n",
    ),
    "rationale of what was never seen": (
        put(3, "scores", None, 5),
        "row id 'r3': rationale[5] is true, expected false, since scores[5] is null",
    ),
    "other fractions": (
        put(6, "fractions", [0.01, 0.05, 0.1, 0.2, 0.4]),
        "row id 'r6': fractions are [0.01, 0.05, 0.1, 0.2, 0.4], expected [0.01, 0.05, 0.1, 0.2, 0.5] as in",
    ),
    "fraction above 1": (put(0, "fractions", 1.01, 4), "expected ascending numbers in (0, 1]"),
    "unknown prediction": (
        put(2, "prediction", "meh"),
        "row id 'r2': prediction is 'meh', expected one of ['neg', 'pos', 'neutral']",
    ),
    "no prediction": (put(2, "prediction", None), "row id 'r2': prediction is null, expected one of"),
    "unknown label": (put(2, "label", "meh"), "row id 'r2': label is 'meh', expected one of"),
    "no scores": (put(8, "scores", None), "row id 'r8': scores is null, expected a list"),
    "null rationale": (put(8, "rationale", None), "row id 'r8': rationale is null, expected a list"),
    "null in rationale": (put(8, "rationale", None, 2), "row id 'r8': rationale[2] is null, expected true or false"),
    "null in gold": (put(8, "gold", None, 2), "row id 'r8': gold[2] is null, expected a number in [0, 1]"),
    "gold above 1": (put(8, "gold", 2.0, 2), "row id 'r8': gold[2] is 2.0, expected a number in [0, 1]"),
    "negative count": (put(8, "words_cut", -1), "row id 'r8': words_cut is -1, expected a count of 0 or more"),
    "more cut than there is": (put(8, "words_cut", 7), "row id 'r8': words_cut is 7, expected at most 6 (words)"),
    "more gold cut than words": (put(8, "gold_cut", 6), "row id 'r8': gold_cut is 6, expected at most 0 (words_cut)"),
    "id null": (put(9, "id", None), "column 'id' is null in the row after id 'r8', expected an id in every row"),
    "first id null": (put(0, "id", None), "column 'id' is null in the row before id 'r1', expected an id in every row"),
    "id twice": (put(8, "id", "r1"), "row id 'r1' occurs 2 times in"),
}


def good_rows() -> list[dict[str, Any]]:
    rows = predictions.rows(0, 10, hows=("attention",))
    for i, row in enumerate(rows):
        row |= {
            "id": f"r{i}",
            "words": ["w"] * 6,
            "scores": [0.5, 0.1, 0.2, 0.9, 0.0, -1.0],
            "rationale": [False] * 5 + [True],
            "gold": [0.0] * 5 + [1.0],
            "label": "neg",
            "fractions": list(predictions.FRACTIONS),
            "words_cut": 0,
            "gold_cut": 0,
        }
    return rows


@pytest.mark.parametrize("case", CASES)
def test_one_line_names_file_row_and_field(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, message = CASES[case]
    rows = good_rows()
    change(rows)
    path, output = tmp_path / "p.parquet", tmp_path / "scores.json"
    pq.write_table(predictions.as_table(rows, hows=("attention",)), path, row_group_size=4)
    assert main(["score", str(path), "--output", str(output)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"unirex-metrics: error: {path}: ")
    assert message in err
    assert not output.exists()


def test_the_unchanged_rows_are_fine() -> None:
    score(predictions.as_table(good_rows(), hows=("attention",)))


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("scores", pa.array([["a"]] * 10), "column 'scores' holds list<element: string>, expected lists of numbers"),
        ("scores", pa.array([1.0] * 10), "column 'scores' holds double, expected lists of numbers"),
        ("rationale", pa.array([["a"]] * 10), "expected lists of numbers or of true and false"),
        ("prediction", pa.array([1.5] * 10), "column 'prediction' holds double, expected text"),
        ("keep.attention.self", pa.array([[0.5]] * 10), "expected lists of lists of numbers"),
        ("words_cut", pa.array(["1"] * 10), "column 'words_cut' holds string, expected integers"),
        ("fractions", pa.array(["1"] * 10), "expected ascending numbers in (0, 1]"),
    ],
)
def test_wrong_types(column: str, values: pa.Array, expected: str) -> None:
    table = predictions.as_table(good_rows(), hows=("attention",))
    position = table.schema.names.index(column)
    with pytest.raises(ValueError, match=r"expected") as error:
        score(table.set_column(position, column, values))
    assert expected.replace("element: ", "") in str(error.value).replace("item: ", "").replace("element: ", "")


@pytest.mark.parametrize("values", [[{"x": 1}] * 2, [["x"]] * 2, [b"\xff"] * 2])
def test_what_has_no_text_is_one_line(values: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.parquet"
    for column in ("id", "label"):
        columns = {"id": ["a", "b"], "label": ["p", "q"], "prediction": ["p", "q"], column: values}
        pq.write_table(pa.table(columns), path)
        kind = pq.read_schema(path).field(column).type
        for command in ("score", "validate"):
            assert main([command, str(path)]) == 2
            shown = capsys.readouterr()
            text = shown.out + shown.err
            assert text.count(f"{path}: column {column!r} holds {kind}, expected text\n") == 1
            assert text.count("\n") == (2 if command == "validate" else 1)


def test_a_label_that_is_not_scored_may_be_anything_with_a_text() -> None:
    columns = {"id": ["a"], "scores": [[0.5, 0.1]], "gold": [[1.0, 0.0]]}
    for label in (None, 1.5, True):
        assert score(pa.table({**columns, "label": [label]}), resampling=Resampling(replicates=0))["auprc"].value == 1


@pytest.mark.parametrize("system", [b"a.parquet", [3]])
def test_what_is_no_path_and_no_table_is_said(system: Any) -> None:
    with pytest.raises(ValueError, match=r"a system is .*, expected a path, several, or a table"):
        score(system)


@pytest.mark.parametrize("column", ["id", "prediction", "probabilities", "scores", "rationale", "fractions"])
def test_missing_columns(column: str) -> None:
    table = predictions.as_table(good_rows(), hows=("attention",)).drop_columns([column])
    with pytest.raises(ValueError, match=f"column '{column}' is missing"):
        score(table)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("{", "the header is not JSON"),
        ("[]", "the header is list, expected a JSON object"),
        ("{}", "header field 'labels' is None, expected a list of class names"),
        ('{"labels": [1]}', "expected a list of class names"),
        ('{"labels": ["a", "a"]}', "names a class twice"),
    ],
)
def test_broken_headers(header: str, expected: str) -> None:
    table = predictions.as_table(good_rows(), hows=("attention",)).replace_schema_metadata({"unirex": header})
    with pytest.raises(ValueError, match="header") as error:
        score(table)
    assert expected in str(error.value)


def test_shards_must_agree(tmp_path: Path) -> None:
    table = predictions.table(0, 10)
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(predictions.table(1, 10, headline="accuracy"), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"b\.parquet: headline is 'accuracy', not 'macro_f1', in its header"):
        score(tmp_path)
    pq.write_table(table.drop_columns(["gold"]), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"b\.parquet: column 'gold' is missing, .*a\.parquet has it"):
        score(tmp_path)
    (tmp_path / "b.parquet").rename(tmp_path / "0.parquet")  # first, with a column that only the later one has
    with pytest.raises(ValueError, match=r"0\.parquet: column 'gold' is missing, .*a\.parquet has it"):
        score(tmp_path)
    (tmp_path / "0.parquet").unlink()
    pq.write_table(table, tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"occurs 2 times in .*a\.parquet and .*b\.parquet"):
        score(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scor"], "no command 'scor', expected one of"),
        (["score"], "systems missing, expected with a value"),
        (["score", "nowhere.parquet"], "nowhere.parquet: no such file"),
        (["score", "{empty}"], "no *.parquet and no *.jsonl in this directory"),
        (["score", "{file}", "--convetion", "strict"], "did you mean --convention?"),
        (["score", "{file}", "--convention", "strikt"], "strikt"),
        (["score", "{file}", "--replicates", "-1"], "replicates is -1, expected 0, or 2 to 100000"),
        (["score", "{file}", "--replicates", "x"], "x"),
        (["score", "{file}", "--seed", "-1"], "seed is -1"),
        (["score", "{file}", "--confidence", "1"], "confidence is 1.0"),
        (["score", "{file}", "--iou-thresholds", "0"], "iou_thresholds has 0.0, expected numbers in (0, 1]"),
        (["score", "{file}", "--perturbation", "delet"], "did you mean delete?"),
        (
            ["score", "{file}", "--labels", "a", "b"],
            "labels are ['a', 'b'], expected ['neg', 'pos', 'neutral'] as in its header",
        ),
        (
            ["score", "{file}", "--iou-thresholds", ".5", ".5000001"],
            "two metrics are iou_precision@0.5, expected fractions",
        ),
        (["score", "{text}"], "not a readable file of predictions"),
        (["score", "{file}", "--output", "{empty}"], "is a directory"),
        (
            ["score", "{file}", "--output", "{empty}/no/such/o.json"],
            "no/such/o.json: no such file or directory",
        ),
    ],
)
def test_bad_commands(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(predictions.table(0, 5), tmp_path / "file")
    (tmp_path / "text").write_text("not parquet" * 10)
    (tmp_path / "empty").mkdir()
    names = {name: str(tmp_path / name) for name in ("file", "text", "empty")}
    assert main([argument.format(**names) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err


def test_an_empty_file_has_nothing_to_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(predictions.table(0, 5).slice(0, 0), tmp_path / "p.parquet")
    pq.write_table(
        pa.table({name: pa.array([], pa.string()) for name in ("id", "label", "prediction")}), tmp_path / "q.parquet"
    )
    for name in ("p.parquet", "q.parquet"):
        assert main(["validate", str(tmp_path / name)]) == 2
        assert f"{name}: no rows\n1 problem\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no rows"):
        score(tmp_path / "p.parquet")


def test_a_name_of_the_model_that_is_no_text_names_the_file(tmp_path: Path) -> None:
    table = predictions.table(0, 3)
    broken = pa.array([b"\xff\x80"] * 3).view(pa.string())
    place = table.column_names.index("model")
    pq.write_table(table.set_column(place, "model", broken), tmp_path / "p.parquet")
    with pytest.raises(ValueError, match=r"p\.parquet: broken content \('utf-8' codec can't decode"):
        score(tmp_path / "p.parquet")


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_files_fail_in_one_line_or_score_what_they_say(data: st.DataObject) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(predictions.table(0, 8), sink, compression="none", row_group_size=3)
    content = bytearray(sink.getvalue().to_pybytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        file.write(content)
        file.flush()
        message, report = outcome(file.name)
        if report is None:
            assert "\n" not in message
            assert file.name in message
        else:
            for metric in report.metrics:
                low, high = metric.range
                assert np.isnan(metric.value) or low - 1e-9 <= metric.value <= high + 1e-9
            json.loads(report.to_json())


def outcome(path: str) -> tuple[str, Report | None]:
    try:
        return "", score(path, resampling=Resampling(replicates=5))
    except ValueError as error:
        return str(error), None


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("/dev/full", "/dev/full: no space left on device"),
        ("{d}/no/x.json", "{d}/no/x.json: no such file or directory"),
    ],
)
def test_what_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, message: str
) -> None:
    if output == "/dev/full" and not Path(output).exists():
        pytest.skip("no /dev/full")
    path = tmp_path / "p.parquet"
    pq.write_table(predictions.table(0, 5), path)
    assert main(["score", str(path), "--replicates", "0", "--output", output.format(d=tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message.format(d=tmp_path) in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_options_of_several_values_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(predictions.table(0, 30), tmp_path / "p.parquet")
    words = ["score", str(tmp_path / "p.parquet"), "--replicates", "0", "--json"]
    more = ["--iou-thresholds", ".3", "--iou-thresholds", ".7", "--perturbation", "delete", "--perturbation", "delete"]
    assert main([*words, *more]) == 0
    names = {metric["name"] for metric in json.loads(capsys.readouterr().out)["metrics"]}
    assert {"iou_f1@0.3", "iou_f1@0.7", "comprehensiveness"} <= names
    assert "iou_f1@0.5" not in names

"""Files that are not as we write them: odd rows are noted and shown, what cannot be shown is named in one line."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unirex.metrics import score
from unirex.metrics.state import Resampling
from unirex.report import build, tables
from unirex.report.cli import main
from unirex.report.explanations import MEASURED
from unirex.report.notes import notes

FAST = Resampling(replicates=0)


def written(folder: Path, **changes: Any) -> Path:
    """A file of two texts with scores and gold, with these columns besides or instead."""
    columns: dict[str, Any] = {
        "id": ["a", "b"],
        "words": [["x", "y"], ["u", "v"]],
        "scores": [[0.5, 0.4], [0.1, 0.2]],
        "gold": [[1.0, 0.0], [1.0, 0.0]],
    }
    path = folder / "rows.parquet"
    pq.write_table(pa.table(columns | changes), path)
    return path


def test_odd_rows_are_noted_on_the_page_and_in_the_terminal(tmp_path: Path) -> None:
    path = written(tmp_path, scores=[[0.5, 0.5], [0.1, 0.2]])
    report = build(path, resampling=FAST)
    assert report.parts[0].report.odd == score(path, resampling=FAST).odd != ()
    assert "1 of 2 rows: all words have the same score" in report.to_text()
    assert "1 of 2 rows: all words have the same score" in report.to_html()


def test_odd_rows_of_each_class_are_noted(tmp_path: Path) -> None:
    path = written(tmp_path, scores=[[0.5, 0.5], [0.1, 0.2]], label=["p", "q"], prediction=["p", "q"])
    classes = build(path, resampling=FAST).parts[0].classes
    assert {name: one.odd for name, one in classes.items()} == {
        "p": ("1 of 1 rows: all words have the same score",),
        "q": (),
    }


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("context", [["q"], ["r"]], "text"),
        ("context", [{"q": 1}, {"q": 2}], "text"),
        ("label", [["q"], ["r"]], "text"),
        ("comprehensiveness", ["x", "y"], "numbers"),
        ("sufficiency", [[0.5], [0.5]], "numbers"),
    ],
)
def test_a_column_that_cannot_be_shown_is_one_line(
    column: str, values: list[Any], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, **{column: values})
    assert main([str(path), "--terminal", "--replicates", "0"]) == 2
    shown = capsys.readouterr()
    kind = pq.read_schema(path).field(column).type
    assert shown.out == ""
    assert shown.err == f"unirex-report: error: {path}: column {column!r} holds {kind}, expected {expected}\n"


def test_what_rows_measured_may_be_null_and_any_number(tmp_path: Path) -> None:
    path = written(tmp_path, comprehensiveness=[None, None], sufficiency=pa.array([1, None]))
    first, other = (one.views[0] for one in build(path, resampling=FAST).instances)
    assert first is not None
    assert other is not None
    assert first.values["sufficiency"] == 1
    assert np.isnan([first.values["comprehensiveness"], *map(other.values.get, MEASURED)]).all()


@pytest.mark.parametrize(
    ("scores", "levels"),
    [
        ([[1e308, -1e308], [1e308, 0.0]], [[8, 0], [8, 0]]),
        ([[1e308, 1e308], [1e308, 1e308]], [[0, 0], [0, 0]]),
        ([[-1.7e308, 1.7e308], [0.1, 0.2]], [[0, 8], [0, 8]]),
        ([[1e17, 1e17], [1e17, 1e17]], [[0, 0], [0, 0]]),
    ],
)
def test_the_largest_scores_are_shown(scores: list[list[float]], levels: list[list[int]], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = build(written(tmp_path, scores=scores), resampling=FAST)
        assert report.to_text()
        assert report.to_html()
    views = [view for one in report.instances for view in one.views if view is not None]
    assert [[word.level for word in view.words] for view in views] == levels
    assert report.parts[0].words.marked.n == report.parts[0].words.unmarked.n == 2


def in_a_run(folder: Path, name: str, content: str) -> Path:
    """A run's folder with this file in it."""
    run = folder / "run"
    run.mkdir()
    written(run, label=["p", "q"], prediction=["p", "p"]).rename(run / "predictions.parquet")
    (run / name).write_text(content)
    return run


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[" * 200_000, "nested more deeply than can be read"),
        ('{"metrics": [{"name": "accuracy", "value": "x"}]}', "metric 'accuracy' is 'x', expected a number or null"),
        ('{"metrics": [{"name": "accuracy", "value": true}]}', "metric 'accuracy' is True, expected a number or null"),
        (f'{{"metrics": [{{"name": "f1", "value": {10**400}}}]}}', "metric 'f1' is 1000"),
        ('{"metrics": 3}', "not metrics as train and evaluate write them"),
    ],
)
def test_saved_metrics_that_are_none_are_one_line(
    content: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = in_a_run(tmp_path, "metrics.json", content)
    assert main([str(run), "--terminal", "--replicates", "0"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"unirex-report: error: {run}/metrics.json: ")
    assert expected in error
    assert error.count("\n") == 1


def test_saved_metrics_may_be_null_or_nan(tmp_path: Path) -> None:
    run = in_a_run(tmp_path, "metrics.json", '{"metrics": [{"name": "accuracy", "value": NaN}]}')
    assert not any("metrics.json" in note for note in notes(build(run, resampling=FAST)))


def test_a_number_of_a_log_that_no_float_holds_is_a_dash(tmp_path: Path) -> None:
    lines = [{"event": "dev", "epoch": 1, "headline": 10**400}, {"event": "dev", "epoch": 2, "headline": 0.5}]
    run = in_a_run(tmp_path, "log.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    [part] = build(run, resampling=FAST).parts
    table = tables.epochs(part)
    assert table is not None
    assert [row.cells[0].value for row in table.rows] == ["–", "0.500"]


@pytest.mark.parametrize("width", [1, 4, 30])
def test_a_narrow_terminal_gets_lines_of_twenty(width: int, tmp_path: Path) -> None:
    text = build(written(tmp_path, context=["some context that is long", "x"]), resampling=FAST).to_text(width=width)
    assert "    also read: some\n" in text

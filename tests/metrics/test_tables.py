"""Tables in memory of whatever library, spans as gold, and how results show themselves."""

import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference import predictions
from unirex import metrics
from unirex.metrics import Resampling, compare, score
from unirex.metrics.report import Metric, Report

NONE = Resampling(replicates=0)
SCORES = [[0.9, 0.1, 0.2], [0.3, 0.4], [0.5, 0.7, 0.6, 0.1]]
GOLD = [[1, 0, 0], [1, 0], [0, 1, 1, 0]]
LABEL, PREDICTION = ["a", "b", "a"], ["a", "b", "b"]
# By hand: the gold words of rows 1 and 3 come first (1); row 2's gold comes second, so the curve falls from (0, 1) over
# (0, 0) to (1, 1/2): area 1/4.
AUPRC = (1 + 0.25 + 1) / 3
COLUMNS: dict[str, Any] = {"scores": SCORES, "gold": GOLD, "label": LABEL, "prediction": PREDICTION}
ROWS = [{name: column[i] for name, column in COLUMNS.items()} for i in range(3)]


def check(report: Report) -> None:
    assert report.n_rows == 3
    assert report["auprc"].value == pytest.approx(AUPRC, abs=1e-9)
    assert report["accuracy"].value == pytest.approx(2 / 3, abs=1e-9)


class Stream:
    """What speaks Arrow and nothing else."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def pandas_frame() -> Any:
    return pytest.importorskip("pandas", reason="pandas is not installed").DataFrame(COLUMNS)


def views_of_categories() -> pa.Table:
    """As polars hands over a Categorical or Enum, in two chunks, one of which lacks a class."""
    whole = pa.table(COLUMNS | {"unused": ["x", None, "y"]})
    for name in ("label", "prediction", "unused"):
        chunks = [whole[name].slice(start, 2).combine_chunks().dictionary_encode() for start in (0, 2)]
        views = [pa.DictionaryArray.from_arrays(c.indices, c.dictionary.cast(pa.string_view())) for c in chunks]
        whole = whole.set_column(whole.column_names.index(name), name, pa.chunked_array(views))
    return whole


def polars_frame() -> Any:
    return pytest.importorskip("polars", reason="polars is not installed").DataFrame(COLUMNS)


def data_set() -> Any:
    return pytest.importorskip("datasets", reason="datasets is not installed").Dataset.from_dict(COLUMNS)


TABLES: dict[str, Callable[[], Any]] = {
    "dictionary": lambda: COLUMNS,
    "dictionary of arrays": lambda: COLUMNS | {"scores": [np.array(row) for row in SCORES]},
    "rows": lambda: ROWS,
    "rows of tuples": lambda: [{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()} for row in ROWS],
    "Arrow table": lambda: pa.table(COLUMNS),
    "views of categories": views_of_categories,
    "Arrow stream": lambda: Stream(pa.table(COLUMNS)),
    "record batch": lambda: pa.table(COLUMNS).to_batches()[0],
    "batch reader": lambda: pa.table(COLUMNS).to_reader(),
    "pandas": pandas_frame,
    "pandas, rows chosen": lambda: pandas_frame().iloc[[2, 0, 1]],
    "polars": polars_frame,
    "polars, lazy": lambda: polars_frame().lazy(),
    "datasets": data_set,
    "datasets, rows chosen": lambda: data_set().select([2, 0, 1]),
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_of_table_is_scored(kind: str) -> None:
    check(score(TABLES[kind](), resampling=NONE))


def test_a_broken_column_is_told_in_a_line() -> None:
    broken = pa.DictionaryArray.from_arrays(pa.array([5, 0, 0]), ["a"], safe=False)
    with pytest.raises(ValueError, match=r"^table: broken content \(index with value of 5 is out-of-bounds"):
        score(pa.table(COLUMNS | {"model": broken}))


def test_tables_compare() -> None:
    worse = [{**row, "scores": [-s for s in row["scores"]]} for row in ROWS]
    found = compare([COLUMNS, worse], metrics=["auprc"], resampling=Resampling(replicates=100))
    [row] = found.differences[0]
    assert found.n_rows == 3
    assert row.first == pytest.approx(AUPRC, abs=1e-9)
    # Reversed: gold last of three (from precision 0 to 1/3: 1/6), gold first (1), gold at places 2.. worked out below.
    assert row.other == pytest.approx((1 / 6 + 1 + _area([0, 0, 1, 1])) / 3, abs=1e-9)


def _area(ranked: list[int]) -> float:
    """Trapezoids under the precision-recall curve of gold flags in the order of their scores."""
    area, before, hits = 0.0, 1.0, 0
    for place, flag in enumerate(ranked, start=1):
        hits += flag
        area += flag * (before + hits / place) / 2 / sum(ranked)
        before = hits / place
    return area


def test_a_row_without_an_id_is_known_by_its_number() -> None:
    bad = [*ROWS[:2], {**ROWS[2], "scores": [0.5, float("nan"), 0.6, 0.1]}]
    with pytest.raises(ValueError, match=r"table: row id '2': scores\[1\] is nan"):
        score(bad)
    assert score([{**row, "id": f"row {i}"} for i, row in enumerate(ROWS)], resampling=NONE).n_rows == 3


def test_a_pandas_index_called_id_names_the_rows() -> None:
    frame = pandas_frame()
    frame.index = ["x", "y", "z"]
    frame.index.name = "id"
    frame.at["y", "scores"] = [float("nan"), 0.1]
    with pytest.raises(ValueError, match=r"row id 'y': scores\[0\]"):
        score(frame)


@pytest.mark.parametrize("missing", ["nan", "NA", "float32", "None"])
def test_a_missing_cell_of_pandas_is_null(missing: str) -> None:
    frame = pandas_frame()
    cell = {"nan": float("nan"), "NA": sys.modules["pandas"].NA, "float32": np.float32("nan"), "None": None}[missing]
    frame.at[1, "gold"] = cell
    frame["label"] = frame["label"].astype(object)
    frame.at[1, "label"] = cell
    report = score(frame, resampling=NONE)
    assert (report["auprc"].value, report["auprc"].n_undefined) == (1.0, 1)
    assert (report["accuracy"].value, report["accuracy"].n_undefined) == (0.5, 1)


@pytest.mark.parametrize(
    ("system", "message"),
    [
        ({"scores": [[1.0]], "gold": [[1], [0]]}, "table: not a table .*'gold' has 2 rows, expected 1"),
        ({"scores": [[1.0], "x"], "gold": [[1], [0]]}, "table: not a table .*scores"),
        (7, "table: not a table .*int, expected a file, a table"),
        ([], "no prediction file given"),
    ],
)
def test_what_is_no_table_is_told_in_a_line(system: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        score(system)
    assert "\n" not in str(error.value)


TEXT = "Not good, not good at all."


@pytest.mark.parametrize(
    ("columns", "marks"),
    [
        ({"text": TEXT, "gold_char_spans": [[10, 18]]}, [0, 0, 1, 1, 0, 0]),
        ({"text": TEXT, "gold_char_spans": [[4, 5], [19, 19], [11, 11]]}, [0, 1, 0, 0, 0, 0]),
        ({"text": TEXT, "gold_char_spans": [{"start": 22, "end": 26}]}, [0, 0, 0, 0, 0, 1]),
        # Words of the file, whose fourth is the second "good".
        (
            {
                "text": TEXT,
                "words": ["Not", "good", "not", "good", "at", "all", "."],
                "gold_char_spans": [[14, 18], [25, 26]],
            },
            [0, 0, 0, 1, 0, 0, 1],
        ),
        ({"text": TEXT, "gold_word_spans": [[1, 3]]}, [0, 1, 1, 0, 0, 0]),
        ({"words": list("abcd"), "gold_word_spans": [[0, 1], [3, 4]]}, [1, 0, 0, 1]),
        ({"gold_word_spans": [[2, 4]]}, [0, 0, 1, 1, 0, 0]),
    ],
)
def test_spans_mark_the_words_they_touch(columns: dict[str, Any], marks: list[int]) -> None:
    scores = np.random.default_rng(0).normal(size=len(marks)).tolist()
    rationale = [bool(i % 2) for i in range(len(marks))]
    row = {"scores": scores, "rationale": rationale}
    found = score([{**row, **columns}], resampling=NONE)
    expected = score([{**row, "gold": marks}], resampling=NONE)
    assert found["auprc"].value == expected["auprc"].value
    assert found["token_f1"].value == expected["token_f1"].value


def test_null_spans_are_no_gold() -> None:
    rows = [{"scores": [0.5, 0.1], "gold_word_spans": spans} for spans in ([[0, 1]], None)]
    assert (score(rows, resampling=NONE)["auprc"].n, score(rows, resampling=NONE)["auprc"].n_undefined) == (1, 1)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"gold_word_spans": [[1, 3]]},
            r"row id '0': gold_word_spans\[0\] is \[1, 3\], expected 0 <= start",
        ),
        ({"gold_word_spans": [[1]]}, r"gold_word_spans\[0\] is \[1\], expected a pair of whole numbers"),
        ({"gold_char_spans": [[0, 1]]}, "column 'gold_char_spans' needs a column 'text'"),
        ({"text": "ab", "gold_char_spans": [[0, 3]]}, r"expected 0 <= start <= end <= 2 \(characters of text\)"),
        (
            {"text": "ab", "words": ["a", "c"], "gold_char_spans": []},
            r"words\[1\] is 'c', expected what text goes on with at character 1: 'b'",
        ),
        (
            {"text": "bad, a film", "words": ["a", "film"], "gold_char_spans": [[0, 3]]},
            r"words\[0\] is 'a', expected what text goes on with at character 0: 'bad, a film'",
        ),
    ],
)
def test_bad_spans_are_named(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score([{"id": "0", "scores": [0.5, 0.1], **columns}])


def test_array_functions_take_ragged_lists() -> None:
    assert metrics.auprc(SCORES, GOLD).mean() == pytest.approx(AUPRC)
    assert metrics.auprc([np.array(row) for row in SCORES], GOLD).mean() == pytest.approx(AUPRC)
    # Precision 1/2, recall 1: F1 2/3; nothing marked: undefined; nothing selected: 0.
    found = metrics.token_f1([[1, 1, 0], [1], [0, 0]], [[True, False, False], [False], [True, False]])
    np.testing.assert_allclose(found, [2 / 3, np.nan, 0.0])
    np.testing.assert_array_equal(metrics.auprc([[0.5, 0.1], None], [[1, 0], [0, 1]]), [1.0, np.nan])
    np.testing.assert_array_equal(metrics.auprc([[], []], [[], []]), [np.nan, np.nan])
    with pytest.raises(TypeError, match="scores"):
        metrics.auprc([[0.5], "x"], [[1], [0]])


def test_array_functions_take_columns_of_frames() -> None:
    frame = pandas_frame()
    assert metrics.auprc(frame["scores"], frame["gold"]).mean() == pytest.approx(AUPRC)


def test_array_functions_take_polars_columns() -> None:
    frame = polars_frame()
    assert metrics.auprc(frame["scores"], frame["gold"]).mean() == pytest.approx(AUPRC)


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64"])
def test_torch_tensors_of_every_type(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    full = torch.tensor([0.75], dtype=getattr(torch, kind), requires_grad=True)
    remove = torch.tensor([[0.5, 0.25]], dtype=getattr(torch, kind))
    assert metrics.comprehensiveness(full, remove).tolist() == [[0.25, 0.5]]
    scores = [torch.tensor(row).to(getattr(torch, kind)) for row in ([4.0, 1.0, 2.0], [3.0, 4.0])]
    assert metrics.auprc(scores, [torch.tensor([1, 0, 0]), torch.tensor([1, 0])]).tolist() == [1.0, 0.25]
    rectangle = torch.stack([scores[0], scores[0]])
    assert metrics.auprc(rectangle, torch.tensor([[True, False, False]] * 2)).tolist() == [1.0, 1.0]
    table = {"scores": scores, "gold": [[1, 0, 0], [1, 0]]}
    assert score(table, resampling=NONE)["auprc"].value == (1 + 0.25) / 2


def test_no_library_is_imported_that_the_table_is_not_of() -> None:
    # pyarrow itself looks for pandas when it makes an array of a list.
    code = (
        "import sys; from unirex.metrics import score\n"
        f"print(score({COLUMNS!r})); score({COLUMNS!r})._repr_html_()\n"
        "bad = {'polars', 'datasets', 'torch'} & set(sys.modules); assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "auprc" in done.stdout


def test_print_shows_a_small_table() -> None:
    lines = str(score(COLUMNS)).splitlines()
    [line] = [line for line in lines if line.split()[:1] == ["auprc"]]
    assert line.split()[1:3] == ["↑", "0.7500"]
    assert len(lines) < 30
    assert max(map(len, lines)) < 140


def test_to_pandas_has_a_row_for_each_metric() -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    report = score(COLUMNS)
    frame = report.to_pandas()
    assert list(frame["name"]) == [metric.name for metric in report.metrics]
    row = frame.set_index("name").loc["auprc"]
    assert (row["value"], row["n"], row["direction"]) == (report["auprc"].value, 3, "higher")
    found = compare([COLUMNS, COLUMNS], metrics=["auprc", "accuracy"], resampling=Resampling(replicates=10))
    assert list(found.to_pandas()["difference"]) == [0.0, 0.0]
    assert "p (Holm)" in str(found)


def test_without_pandas_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    report = score(COLUMNS, resampling=NONE)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^to_pandas needs pandas, which is not installed: pip install pandas$"):
        report.to_pandas()


class Cells(HTMLParser):
    """The tags of a page and the text of its cells."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.cells.append(data)


def test_html_is_escaped() -> None:
    hostile = "<script>alert(1)</script>"
    labels = {"label": [hostile, "b", "b"], "prediction": [hostile, "b", "b"]}
    page = Cells()
    page.feed(score(COLUMNS | labels, resampling=NONE)._repr_html_())
    assert page.tags == {"table", "thead", "tbody", "tr", "th", "td"}
    assert f"recall:{hostile}" in page.cells
    assert "0.7500" in page.cells


def test_a_report_without_metrics_shows_itself() -> None:
    empty = Report(metrics=(), n_rows=0, headline=None, convention="strict")
    assert empty._repr_html_().startswith("<table>")
    assert isinstance(Metric, type)


def test_gold_that_is_unknown_everywhere_may_have_no_type() -> None:
    rows = [{**row, "gold": None} for row in predictions.rows(0, 20)]
    table = predictions.as_table(rows)
    bare = table.set_column(table.schema.names.index("gold"), "gold", pa.nulls(20))
    assert repr(score(bare, resampling=NONE).metrics) == repr(score(table, resampling=NONE).metrics)


def test_text_views_and_fractions_in_single_precision_are_what_they_stand_for(tmp_path: Path) -> None:
    table = predictions.table(0, 20)
    place = table.column_names.index("fractions")
    single = table["fractions"].cast(pa.list_(pa.float32()))
    table = table.set_column(place, table.schema.field(place).with_type(single.type), single)
    ids = table["id"].cast(pa.string()).cast(pa.string_view())
    table = table.set_column(0, table.schema.field(0).with_type(ids.type), ids)
    assert table.column_names[0] == "id"
    pq.write_table(table, tmp_path / "p.parquet")
    found = score(tmp_path / "p.parquet")
    assert [*found.fractions] == predictions.FRACTIONS
    assert repr(found.metrics) == repr(score(predictions.table(0, 20)).metrics)

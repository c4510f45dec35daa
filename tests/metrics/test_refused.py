"""Input that is wrong and was once scored, or lost, without a word."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference import predictions
from unirex import _rust, metrics
from unirex.metrics.commands.cli import main
from unirex.report import cli as report


def said(capsys: pytest.CaptureFixture[str], *words: object, code: int = 2) -> str:
    """What the command prints, in all."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == code
    return "".join(capsys.readouterr())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "p.parquet"
    table = predictions.table(3, 12, hows=("attention",))
    table = table.append_column("full.judge", table["probabilities"])
    for kind in ("keep", "remove", "null"):
        table = table.append_column(f"{kind}.attention.judge", table[f"{kind}.attention.self"])
    pq.write_table(table, path)
    return path


def changed(file: Path, change: Callable[[dict[str, list[Any]], dict[str, Any]], None], name: str = "c") -> Path:
    """The file with other columns and another header."""
    table = pq.read_table(file)
    columns, head = table.to_pydict(), json.loads(table.schema.metadata[b"unirex"])
    change(columns, head)
    types = {key: table.schema.field(key).type for key in table.column_names}
    arrays = {
        key: value if isinstance(value, pa.Array) else pa.array(value, types.get(key)) for key, value in columns.items()
    }
    path = file.with_name(f"{name}.parquet")
    pq.write_table(pa.table(arrays).replace_schema_metadata({"unirex": json.dumps(head)}), path)
    return path


def test_more_gold_cut_than_there_is(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(columns: dict[str, list[Any]], _: Any) -> None:
        columns["words_cut"] = columns["gold_cut"] = [len(words) for words in columns["words"]]

    path = changed(file, change)
    assert "gold_cut is" in (found := said(capsys, "validate", path))
    assert "(words that gold marks)" in found


def test_what_has_no_name_is_no_file(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    for command in ("score", "validate"):
        assert "a system is '', expected a path, several, or a table" in said(capsys, command, "")
    assert said(capsys, "score", file, "--output", "").endswith("error: output is '', expected a file\n")
    near = said(capsys, "score", file, "--confidence", "0.9999999999999999")
    assert "confidence is 0.9999999999999999, expected a number between 0 and 1" in near
    unknown = said(capsys, "nrg", "{method}/{data}.parquet", "--iou_thresholds", "0.3")
    assert "unknown option --iou_thresholds" in unknown


def test_columns_of_a_check_model_are_validated(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(columns: dict[str, list[Any]], _: Any) -> None:
        columns["full.judge"][3] = [0.9, 0.9, 0.0]

    assert said(capsys, "validate", file, code=0).endswith("no problem\n")
    assert "full.judge sums to 1.8, expected 1" in (found := said(capsys, "validate", changed(file, change)))
    assert found.endswith("1 problem\n")


def test_columns_in_which_all_is_null(file: Path) -> None:
    """Arrow has a type of its own for them."""

    def change(columns: dict[str, Any], _: Any) -> None:
        n = len(columns["id"])
        columns["label"] = columns["null.attention.self"] = pa.nulls(n)
        columns["remove.attention.self"] = pa.nulls(n)
        columns["scores"] = pa.array([[None] * len(words) for words in columns["words"]])

    found = metrics.score(changed(file, change), resampling=metrics.Resampling(replicates=0))
    assert np.isnan(found["comprehensiveness"].value)
    assert not np.isnan(found["sufficiency"].value)


@pytest.mark.parametrize("kind", [pa.struct([("a", pa.int64())]), pa.list_(pa.int64(), 2)])
def test_ids_that_are_no_text(kind: pa.DataType, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(columns: dict[str, Any], _: Any) -> None:
        columns["id"] = pa.array([None] * len(columns["id"]), kind)

    assert "column 'id' holds" in said(capsys, "validate", changed(file, change))


def test_choice_is_true_or_false(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = changed(file, lambda _, head: head.update(choice="false"))
    assert "header field 'choice' is 'false', expected true or false" in said(capsys, "score", path)


def test_a_label_beyond_the_choices(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(columns: dict[str, list[Any]], head: dict[str, Any]) -> None:
        head.update(choice=True, labels=[*head["labels"], "last"])
        columns["label"][4] = "last"

    assert "label is 'last', expected one of 3 choices" in said(capsys, "score", changed(file, change))


def test_options_of_results_beside_predictions(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in (("--split", "dev"), ("--aopc-thresholds", "9")):
        assert "expected them with --data-dir" in said(capsys, "validate", file, *option)


def table_of(folder: Path) -> str:
    """A pattern of two methods."""
    table = predictions.table(0, 12)
    for place, name in enumerate(("a", "b")):
        (folder / name / "d").mkdir(parents=True)
        scores = [[None if one is None else one * (-1) ** place for one in row] for row in table["scores"].to_pylist()]
        at = table.column_names.index("scores")
        other = table.set_column(at, "scores", pa.array(scores, table.schema.field("scores").type))
        pq.write_table(other, folder / name / "d" / "p.parquet")
    return str(folder / "{method}" / "{data}" / "p.parquet")


def test_frozen_ends_are_finite_and_the_lower_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs, ends = table_of(tmp_path), tmp_path / "ends.json"
    said(capsys, "nrg", runs, "--freeze", ends, "--replicates", 0, code=0)
    content = json.loads(ends.read_text())
    (data,) = content["ends"]
    for low, high in ((0.5, 0.1), (float("nan"), 1.0), (0.0, float("inf"))):
        content["ends"][data]["auprc"] = {"low": low, "high": high}
        ends.write_text(json.dumps(content))
        assert "expected" in (found := said(capsys, "nrg", runs, "--frozen", ends, "--replicates", 0))
        assert found.count("\n") == 1


def test_ends_and_table_are_two_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs, place = table_of(tmp_path), tmp_path / "x.json"
    assert "expected another file than output" in said(capsys, "nrg", runs, "--freeze", place, "--output", place)
    assert not place.exists()


def test_a_relative_gain_between_ends_the_wrong_way_round() -> None:
    for low, high in ((1.0, 0.0), (0.0, np.inf)):
        with pytest.raises(ValueError, match="expected finite ends, the lower first"):
            metrics.relative_gain([0.2, 0.4], "higher", low=low, high=high)


def test_a_report_does_not_take_the_place_of_what_it_reads(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = file.read_bytes()
    page = file.with_name("x.html")
    for path in (file, page):
        assert report.main([str(file), "-o", str(page), "--json", str(path)]) == 2
        assert "expected another file than " in capsys.readouterr().err
    assert file.read_bytes() == before
    assert not page.exists()
    run = file.with_name("run")
    (run / "reference").mkdir(parents=True)
    for name in ("predictions", "reference/random"):
        (run / f"{name}.parquet").write_bytes(before)
    for name in ("metrics.json", "reference/random.parquet"):
        assert report.main([str(run), "--json", str(run / name)]) == 2
    for _ in range(2):  # its own file of the last time may be replaced
        assert report.main([str(run), "--json", str(run / "report.json"), "--replicates", "0"]) == 0


def test_arrays_of_other_shapes_are_no_rows() -> None:
    with pytest.raises(TypeError, match="offsets are float64, expected integers"):
        metrics.rationale_length((np.array([True, False, True]), np.array([0.0, 2.9])))
    with pytest.raises(TypeError, match=r"is a tuple of 3, expected a pair \(values, offsets\), or a list of rows"):
        metrics.complexity(([0.9, 0.1], [0.3, 0.4], [0.1, 0.2]))


def test_no_task_score_is_said_to_be_none(tmp_path: Path) -> None:
    rows = pa.table({"id": ["a", "b"], "scores": [[0.9, 0.1], [0.2, 0.3]], "gold": [[1.0, 0.0], [0.0, 1.0]]})
    with pytest.raises(ValueError, match="metrics has 'headline', expected others: these files have no task score"):
        metrics.compare([rows, rows], metrics=["headline"])


def test_a_late_field_whose_name_has_a_blank(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    row = {"id": "0", "scores": [0.5, 0.4], "gold": [1, 0], "more": "x" * 2000}
    rows = [{**row, "id": str(n)} for n in range(700)] + [{**row, "id": "last", "keep.my how.self": [[0.5, 0.5]]}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    with pytest.raises(ValueError, match=r"line 701: the first with 'keep.my how.self', expected it in the first MiB"):
        metrics.score(path)


def test_absurd_numbers_of_fractions_and_columns_are_no_panic() -> None:
    offsets, most = np.array([0, 2]), 2**62
    row, none = np.array([0.4, 0.6]), np.zeros(0)
    calls: list[Callable[[], Any]] = [
        lambda: _rust.class_probability(row, offsets, np.array([0]), most),
        lambda: _rust.decision_flip(np.array([0]), row, offsets, most),
        lambda: _rust.entropy_shift(row, offsets, row, offsets, most),
        lambda: _rust.kl_divergence(row, offsets, row, offsets, most),
        lambda: _rust.column_sums(none, most),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="expected"):
            call()


SCORES = {"classification_scores": {"yes": 0.8, "no": 0.2}}
MARKS = {"hard_rationale_predictions": [{"start_token": 0, "end_token": 1}]}
POINTS = {
    "thresholded_scores": [
        {
            "threshold": 0.1,
            "comprehensiveness_classification_scores": {"yes": 0.8, "no": 0.2},
            "sufficiency_classification_scores": {"yes": 0.8, "no": 0.2},
        }
    ]
}


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Writes two instances; `more` and `marks` stand in the second alone."""

    def write(
        more: dict[str, Any], marks: dict[str, Any], both: dict[str, Any] | None = None, classes: Any = ("yes", "no")
    ) -> tuple[Path, Path]:
        lines: dict[str, list[dict[str, Any]]] = {"docs": [], "test": [], "results": []}
        for n, name in enumerate(("a", "b")):
            evidence = {"docid": name, "start_token": 0, "end_token": 1, "text": "good"}
            lines["docs"].append({"docid": name, "document": "good film"})
            lines["test"].append(
                {"annotation_id": name, "query": "", "classification": ("yes", "no")[n], "evidences": [[evidence]]}
            )
            rationale = {"docid": name, "soft_rationale_predictions": [0.9, 0.1], **(marks if n else {})}
            answer = {"classification": classes[n]} if classes else {}
            row = {"annotation_id": name, "rationales": [rationale], **answer, **(both or {}), **(more if n else {})}
            lines["results"].append(row)
        for name, found in lines.items():
            (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, found)) + "\n")
        return tmp_path / "results.jsonl", tmp_path

    return write


@pytest.mark.parametrize(
    ("more", "marks", "both", "words", "said_so"),
    [
        (
            {},
            MARKS,
            {},
            (),
            "hard_rationale_predictions: found a list of spans, expected none as in the first instance",
        ),
        (SCORES, {}, {}, (), "classification_scores: found class scores, expected none as in the first instance"),
        (
            {},
            {},
            SCORES,
            ("--aopc-thresholds", "0.1"),
            "found none, expected the thresholds [0.1], which are asked for",
        ),
        (POINTS, {}, SCORES, ("--aopc-thresholds", "0.1"), "thresholded_scores: found none, expected the thresholds"),
    ],
)
def test_a_field_that_the_first_instance_lacks(
    more: dict[str, Any],
    marks: dict[str, Any],
    both: dict[str, Any],
    words: tuple[str, ...],
    said_so: str,
    results: Callable[..., tuple[Path, Path]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, folder = results(more, marks, both)
    assert said_so in said(capsys, "score", path, "--data-dir", folder, "--replicates", 0, *words)


def test_results_without_classes_are_refused_by_every_convention(
    results: Callable[..., tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = results({}, {}, MARKS, classes=None)
    for convention in ("strict", "paper", "eraser"):
        words = ("score", path, "--data-dir", folder, "--convention", convention)
        said(capsys, *words, code=0)
        assert "found none, expected a class, as --strict is given" in said(capsys, *words, "--strict")


def test_what_the_benchmark_does_not_read_is_noted(
    results: Callable[..., tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = results({}, {}, SCORES)
    found = said(
        capsys, "score", path, "--data-dir", folder, "--convention", "eraser", "--confidence", 7, "--seed", 1, code=0
    )
    for name in ("confidence", "seed"):
        assert f"note: --{name} is not read: convention eraser has no intervals" in found
    assert "--replicates" not in found


def test_the_annotations_that_are_read_are_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text("{}\n")
    (tmp_path / "docs").mkdir()
    for name in ("test.jsonl", "docs.jsonl", "docs/one", "docs/deeper/one"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}\n")
        for packed in ("", ".gz", ".zst") if name == "docs.jsonl" else ("",):
            path = tmp_path / f"{name}{packed}"
            path.write_text("{}\n")
            told = said(capsys, "score", results, "--data-dir", tmp_path, "--output", path)
            assert "expected another " in told
            assert path.read_text() == "{}\n"


def test_thresholds_are_numbers_under_every_convention(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results.jsonl").write_text("{}\n")
    words = ["score", tmp_path / "results.jsonl", "--data-dir", tmp_path, "--convention", "eraser"]
    assert "iou_thresholds has nan, expected numbers" in said(capsys, *words, "--iou-thresholds", "nan")


@pytest.mark.parametrize("field", ["method", "data", "seed"])
def test_names_that_act_on_a_table_are_refused(field: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [{"method": m, "data": "d", "seed": "0", "path": file.name} for m in ("a", "b")]
    runs[1][field] = "d\n\\input{x}"
    (file.parent / "runs.json").write_text(json.dumps(runs))
    told = said(capsys, "nrg", file.parent / "runs.json")
    assert f"{field} is 'd\\n" in told
    assert told.count("\n") == 1


def test_a_class_that_acts_on_a_terminal_stands_in_its_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = json.loads(pq.read_schema(file).metadata[b"unirex"])["labels"][0]
    name = "a\nb\x1b[2J"

    def rename(columns: dict[str, list[Any]], head: dict[str, Any]) -> None:
        head["labels"] = [name if label == old else label for label in head["labels"]]
        for column in ("label", "prediction"):
            columns[column] = [name if label == old else label for label in columns[column]]

    told = said(capsys, "score", changed(file, rename), "--all", "--replicates", "0", code=0)
    assert "\x1b" not in told
    (line,) = [line for line in told.splitlines() if line.strip().startswith("precision:a")]
    assert "↑" in line


def test_a_span_that_touches_no_word_is_refused() -> None:
    table = pa.table({"id": ["a"], "text": ["good  film"], "scores": [[1.0, 0.0]], "gold_char_spans": [[[4, 6]]]})
    with pytest.raises(ValueError, match=r"gold_char_spans\[0\] is \[4, 6\], expected a span that touches a word"):
        metrics.score(table)

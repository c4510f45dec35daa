"""What a report once took, lost or told wrongly without a word."""

import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from report.made_runs import FRACTIONS, rows
from unirex.disk.predictions import Header, to_table, write_table
from unirex.metrics.state import Resampling
from unirex.report import build
from unirex.report.cli import main
from unirex.report.document import Document
from unirex.report.figure import Axis, Figure, Series, linear_axis
from unirex.report.figures import trade_off
from unirex.report.verdict import verdict

Make = Callable[..., Path]
NONE = Resampling(replicates=0)
FEW = Resampling(replicates=20)


def test_nothing_that_is_read_is_written_over(
    make_run: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, shards = tmp_path / "runs", tmp_path / "shards"
    shutil.copytree(make_run("a"), runs / "a")
    shards.mkdir()
    shutil.copy(runs / "a" / "predictions.parquet", shards / "one.parquet")
    shutil.copy(runs / "a" / "predictions.parquet", tmp_path / "bare")
    for given, output in (
        (runs, ["--json", runs / "a" / "predictions.parquet"]),
        (shards, ["--json", shards / "one.parquet"]),
        (runs / "a", ["-o", runs / "a" / "metrics.json"]),
    ):
        before = Path(output[1]).read_bytes()
        assert main([str(given), *map(str, output), "--replicates", "0"]) == 2
        error = capsys.readouterr().err
        assert "expected another file than those that are read" in error or ".html" in error
        assert Path(output[1]).read_bytes() == before


def test_a_folder_of_runs_may_hold_other_files(make_run: Make, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(make_run(name), tmp_path / "runs" / name)
    (tmp_path / "runs" / "ledger.jsonl").write_text('{"suite": "s"}\n')
    assert [part.name for part in build(tmp_path / "runs", resampling=NONE).parts] == ["a", "b"]


def test_a_run_is_taken_once_however_it_is_spelled(make_run: Make) -> None:
    run = make_run("a")
    for other in (run / "predictions.parquet", f"{run}/../{run.name}/"):
        with pytest.raises(ValueError, match="given twice, expected different runs"):
            build(run, other, resampling=NONE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--names", ""], "names is [''], expected different names, none of them empty"),
        (["--formats", "png"], "formats is ['png'], expected --plots FOLDER with it"),
    ],
)
def test_options_that_say_nothing_are_refused(
    arguments: list[str], message: str, make_run: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(make_run("a")), "-o", str(tmp_path / "x.html"), *arguments, "--replicates", "0"]) == 2
    assert message in capsys.readouterr().err


def table(changes: Callable[[int], dict[str, object]], labels: tuple[str, ...] = ("no", "yes")) -> pa.Table:
    """Rows of a run, each changed."""
    made = rows(30)
    for i, row in enumerate(made):
        for name, value in changes(i).items():
            object.__setattr__(row, name, value)
    header = Header(labels=labels, choice=False, headline="accuracy", unit="token", scores_from="x", rationale_rule="2")
    return to_table(made, header, fractions=FRACTIONS, model="m", data="made")


def test_a_label_is_that_of_any_run(tmp_path: Path) -> None:
    write_table(table(lambda i: {"label": None} if i else {}), tmp_path / "without.parquet")
    write_table(table(lambda i: {}), tmp_path / "with.parquet")
    pair = tmp_path / "without.parquet", tmp_path / "with.parquet"
    for given in (pair, pair[::-1]):
        report = build(*given, resampling=NONE)
        assert {one.label for one in report.instances} == {"no", "yes"}


def test_classes_that_look_alike_are_not_one(tmp_path: Path) -> None:
    names = ("L" * 125 + "1", "L" * 125 + "2")
    answers = [int(row.prediction == "yes") for row in rows(30)]
    wrong = table(lambda i: {"label": names[1 - answers[i]], "prediction": names[answers[i]]}, names)
    write_table(wrong, tmp_path / "a.parquet")
    assert all(one.wrong for one in build(tmp_path / "a.parquet", resampling=NONE).instances)


def test_runs_on_other_texts_have_no_gains(make_run: Make, tmp_path: Path) -> None:
    one, other = make_run("a") / "predictions.parquet", make_run("b", seed=1) / "predictions.parquet"
    found = pq.read_table(other)
    words = pa.array([[f"{word}s" for word in each] for each in found["words"].to_pylist()], found["words"].type)
    at = found.schema.get_field_index("words")
    pq.write_table(found.set_column(at, found.schema.field(at), words), tmp_path / "b.parquet")
    report = build(one, tmp_path / "b.parquet", resampling=FEW)
    assert report.other_texts
    assert report.gains is None
    assert build(one, other, resampling=FEW).gains is not None


ROW = {"texts": ["a b"], "id": "0", "prediction": "p", "labels": ["p", "q"], "probabilities": [0.8, 0.2],
       "words": ["a", "b"], "scores": [1.0, 0.0], "rationale": [True, False]}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "q"}, r"x\.jsonl:2: label is 'q', expected none, as in the first row"),
        ({"words_cut": 1}, r"x\.jsonl:2: words_cut is 1, expected none, as in the first row"),
    ],
)
def test_columns_that_the_first_explanation_lacks_are_refused(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, "id": "1", **change}) + "\n")
    with pytest.raises(ValueError, match=message):
        build(path, resampling=NONE)


@pytest.mark.parametrize("value", [1.9, 10**30])
def test_a_count_is_a_whole_number_that_fits(value: float, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({**ROW, "words_cut": value}) + "\n")
    with pytest.raises(ValueError, match=r"x\.jsonl:1: words_cut is 1.*, expected int64"):
        build(path, resampling=NONE)


def test_explanations_without_rows_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,label,prediction\n")
    with pytest.raises(ValueError, match=r"x\.csv: no rows$"):
        build(tmp_path / "x.csv", resampling=NONE)


def test_words_of_a_kind_that_cannot_be_shown_are_named(make_run: Make, tmp_path: Path) -> None:
    found = pq.read_table(make_run("a") / "predictions.parquet")
    at = found.schema.get_field_index("words")
    views = found["words"].cast(pa.list_(pa.string_view()))
    pq.write_table(found.set_column(at, "words", views), tmp_path / "a.parquet")
    try:
        build(tmp_path / "a.parquet", resampling=NONE)
    except ValueError as error:
        assert "list<element: string_view>" in str(error)  # noqa: PT017 - a later Arrow may show them


def test_small_scores_are_told_apart_in_words_and_on_the_axis() -> None:
    axis = linear_axis("score", [1e-11, 6e-11])
    assert (axis.low, axis.high) == (pytest.approx(0.75e-11), pytest.approx(6.25e-11))
    assert [text for _, text in axis.ticks] == ["2e−11", "4e−11", "6e−11"]
    assert [text for _, text in linear_axis("csd", [-0.0004, 0.0002]).ticks][:3] == ["−0.0004", "−0.0002", "0.0000"]
    assert [text for _, text in linear_axis("csd", [-5e-6, 5e-6]).ticks] == ["−5e−6", "0", "5e−6"]
    steps = Series(label="words", kind="step", x=(1e-5, 2e-5, 3e-5), y=(0.2, 0.8))
    figure = Figure(key="k", title="t", x=axis, y=Axis(label="share", low=0, high=1, ticks=()), series=(steps,))
    assert "words: most between 2e−05 and 3e−05." in figure.description()


def test_runs_and_controls_of_one_name_have_an_entry_each(tmp_path: Path, make_run: Make) -> None:
    report = build(make_run("a"), names=["random"], resampling=FEW)
    [path] = [path for path in report.save_plots(tmp_path, ["svg"]) if path.stem == "comprehensiveness"]
    assert [*ET.parse(path).getroot().itertext()].count("random") == 2


def report_on(path: Path, headline: str) -> Document:
    header = Header(
        labels=("no", "yes"), choice=False, headline=headline, unit="token", scores_from="x", rationale_rule="2"
    )
    write_table(to_table(rows(30), header, fractions=FRACTIONS, model="m", data="made"), path)
    return build(path, resampling=FEW)


def test_an_axis_names_one_task_score_only_if_it_is_that_of_all_runs(tmp_path: Path) -> None:
    one, other = (report_on(tmp_path / f"{name}.parquet", name) for name in ("accuracy", "macro_f1"))
    for parts, label in (
        (one.parts, "accuracy ↑"),
        (other.parts, "macro f1 ↑"),
        ((*one.parts, *other.parts), "task score ↑"),
    ):
        assert [figure.x.label for figure in trade_off(parts) if figure.key == "trade-off-task"] == [label]


def test_of_too_many_classes_the_mean_is_told(tmp_path: Path) -> None:
    labels = ("no", "yes", *(f"c{i}" for i in range(25)))
    probabilities = {True: [0.9, 0.1], False: [0.1, 0.9]}

    def changes(i: int) -> dict[str, object]:
        import numpy as np

        full = np.array([*probabilities[i % 2 == 0], *[0.0] * 25])
        perturbed = {
            name: np.tile(full, (len(FRACTIONS), 1)) for name in ("keep.attention.self", "remove.attention.self")
        }
        return {
            "probabilities": full,
            "prediction": labels[i % 2],
            "perturbed": {**perturbed, "null.attention.self": full},
        }

    write_table(table(changes, labels), tmp_path / "a.parquet")
    (part,) = build(tmp_path / "a.parquet", resampling=FEW).parts
    told = " ".join(verdict(part))
    assert "matter for its answers on average." in told
    assert "every answer" not in told

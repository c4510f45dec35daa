"""What a report holds: the metrics of `unirex-metrics`, values of single instances, bounded in size."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import auc, precision_recall_curve

from report.made_runs import FRACTIONS, rows
from unirex.disk.predictions import Header, to_table, write_table
from unirex.metrics import score
from unirex.metrics.state import Resampling
from unirex.report import Limits, RunReport, build
from unirex.report import tables as report_tables
from unirex.report.figures import curves, distributions, trade_off
from unirex.report.found import _shown, different_ends, read_folders
from unirex.report.notes import notes as notes_of
from unirex.report.reading import SHOWN

FAST = Resampling(replicates=20)
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def one(make_run: Make) -> RunReport:
    return build(make_run(), resampling=FAST)


def test_metrics_are_those_of_the_metrics_command(make_run: Make, one: RunReport) -> None:
    assert one.parts[0].report == score(make_run() / "predictions.parquet", resampling=FAST)
    assert set(one.parts[0].references) == {"random", "gold"}
    assert one.parts[0].references["gold"] == score(make_run() / "reference/gold.parquet", resampling=FAST)


def test_values_of_single_instances(make_run: Make, one: RunReport) -> None:
    """Against the columns of the file, by hand and by scikit-learn."""
    table = {row["id"]: row for row in pq.read_table(make_run() / "predictions.parquet").to_pylist()}
    assert len(one.instances) == len(table) == 60
    n_auprc = 0
    for shown in one.instances:
        [view], row = shown.views, table[shown.id]
        assert view is not None
        answer = ["no", "yes"].index(row["prediction"])
        p = row["probabilities"][answer]
        comp = np.mean([p - row["remove.attention.self"][k][answer] for k in range(len(FRACTIONS))])
        suff = np.mean([p - row["keep.attention.self"][k][answer] for k in range(len(FRACTIONS))])
        assert view.confidence == pytest.approx(p)
        assert view.values["comprehensiveness"] == pytest.approx(comp)
        assert view.values["sufficiency"] == pytest.approx(suff)
        assert view.values["csd"] == pytest.approx(comp - suff)
        assert shown.wrong == (row["label"] != row["prediction"])
        assert [word.text for word in view.words] == row["words"]
        assert [word.rationale for word in view.words] == row["rationale"]
        assert [word.gold for word in view.words] == (row["gold"] or [None] * len(row["words"]))
        assert [word.seen for word in view.words] == [s is not None for s in row["scores"]]
        if row["gold"] and 0 < sum(row["gold"]) < len(row["gold"]) and None not in row["scores"]:
            precision, recall, _ = precision_recall_curve(row["gold"], row["scores"])
            assert view.values["auprc"] == pytest.approx(auc(recall, precision))
            n_auprc += 1
    assert n_auprc > 20


def test_shades_follow_the_order_of_scores(one: RunReport) -> None:
    for shown in one.instances:
        [view] = shown.views
        assert view is not None
        known = [(word.score, word.level) for word in view.words if word.score is not None]
        assert sorted(level for _, level in known) == [level for _, level in sorted(known)]
        assert {level for _, level in known} >= {0, 8}


def test_word_scores_are_counted_by_gold(make_run: Make, one: RunReport) -> None:
    words = one.parts[0].words
    table = pq.read_table(make_run() / "predictions.parquet").to_pylist()
    pairs = [
        (score, None if row["gold"] is None else row["gold"][i] > 0.5)
        for row in table
        for i, score in enumerate(row["scores"])
        if score is not None
    ]
    assert words.marked.n == sum(gold is True for _, gold in pairs)
    assert words.unmarked.n == sum(gold is False for _, gold in pairs)
    assert words.unknown.n == sum(gold is None for _, gold in pairs)


def test_runs_stand_side_by_side(make_run: Make) -> None:
    report = build(make_run("a"), make_run("b", seed=1), resampling=FAST)
    assert [part.name for part in report.parts] == ["a", "b"]
    assert all(len(one.views) == 2 and None not in one.views for one in report.instances)
    [(data, gains)] = report_tables.gains(report)
    assert data == "made"
    for column in range(4):
        values = {row.cells[column].value for row in gains.rows}
        assert gains.heads[column].text != "TNRG" or values == {"0.000", "1.000"}
    assert ("seed", ("0", "1")) in report_tables.differences(report)
    assert "train.epochs" not in [key for key, _ in report_tables.differences(report)]


def test_runs_that_differ_in_their_seed_alone_are_put_together(make_run: Make, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(make_run("c", seed=2), other)
    (other / "config.yaml").write_text("seed: 2\noutput: x\ntrain:\n  epochs: 3\n")
    report = build(make_run("a"), make_run("b", seed=1), other, resampling=FAST)
    [both] = report.seeds
    assert (both.name, both.runs) == ("mean of a, b", (0, 1))
    for metric in both.report.metrics:
        each = [part.report[metric.name].value for part in report.parts[:2]]
        assert metric.value == pytest.approx(np.mean(each), nan_ok=True)
    accuracy = both.report["accuracy"]
    assert accuracy.interval == "seeds_wilson_t"
    assert report.parts[0].report["accuracy"].interval == "wilson"
    row = next(row for row in report_tables.headline(report).rows if row.name == both.name)
    assert (row.run, row.control) == (None, False)
    assert row.cells[0].value == f"{accuracy.value:.3f}"
    [(_, gains)] = report_tables.gains(report)
    assert [row.name for row in gains.rows] == ["mean of a, b", "other"]
    notes = " ".join(notes_of(report))
    assert "over instances and seeds" in notes
    assert "one seed stands behind" in notes.lower()
    assert "ewer than 100 rows stand behind" in notes
    assert "mean of a, b" in report.to_html()
    assert "mean of a, b" in report.to_text()
    assert not build(make_run("a"), other, resampling=FAST).seeds


def test_instances_that_a_run_lacks(make_run: Make, tmp_path: Path) -> None:
    path = make_run("a") / "predictions.parquet"
    table = pq.read_table(path)
    pq.write_table(table[:40], tmp_path / "part.parquet")
    report = build(path, tmp_path / "part.parquet", names=["whole", "part"], resampling=FAST)
    assert sum(one.views[1] is None for one in report.instances) == 20
    assert report.gains is None
    assert "ids differ" in str(report.gains_missing)
    assert any("different numbers of rows" in note for note in notes_of(report))
    assert "not in this run" in report.to_html()


def test_size_is_bounded(tmp_path: Path) -> None:
    header = Header(
        labels=("no", "yes"), choice=False, headline="accuracy", unit="word", scores_from="x", rationale_rule="2"
    )
    sizes = []
    for n in (300, 1500):
        table = to_table(rows(n, words=60), header, fractions=FRACTIONS, model="m", data="d")
        write_table(table, tmp_path / f"{n}.parquet")
        report = build(
            tmp_path / f"{n}.parquet", resampling=FAST, limits=Limits(instances=50, words=600, words_each=20)
        )
        assert len(report.instances) + report.n_left_out == 50
        assert report.n_left_out > 0
        assert sum(len(view.words) for one in report.instances for view in one.views if view) <= 600
        assert max(len(view.words) for one in report.instances for view in one.views if view) == 20
        assert "more words" in report.to_html()
        sizes.append(len(report.to_html()))
    assert sizes[1] < 1.1 * sizes[0]


def test_a_report_without_instances(make_run: Make) -> None:
    report = build(make_run(), resampling=FAST, limits=Limits(instances=0))
    assert report.instances == ()
    assert "None is shown" in report.to_html()
    with pytest.raises(ValueError, match="instances is -1, expected 0 or more"):
        Limits(instances=-1)


@pytest.mark.parametrize(
    "columns",
    [
        {"scores": [[0.5, 0.1]], "gold": [[1.0, 0.0]]},
        {"scores": [[0.5, 0.1]], "gold": [[1.0, 0.0]], "words": [["a", "b"]]},
        {"label": ["x"], "prediction": ["y"]},
        {"rationale": [[True, False]], "gold": [[1.0, 0.0]], "words": [["a", "b"]]},
        {"scores": [[None, None]], "gold": [[1.0, 0.0]], "words": [["a", "b"]]},
        {"scores": [[]], "gold": [[]], "words": [[]]},
    ],
)
def test_bare_files(columns: dict[str, Any], tmp_path: Path) -> None:
    """Whatever a file has, there is a page, a text and what can be drawn."""
    types = {name: pa.list_(pa.float64()) for name in ("scores", "gold")} | {"words": pa.list_(pa.string())}
    table = pa.table({"id": ["r"], **{n: pa.array(v, types.get(n)) for n, v in columns.items()}})
    pq.write_table(table, tmp_path / "bare.parquet")
    report = build(tmp_path / "bare.parquet", resampling=FAST)
    assert "bare.parquet" in report.to_html()
    assert "bare.parquet" in report.to_text()
    report.save_plots(tmp_path / "plots", ["svg"])


def test_json_lines_bring_their_words(tmp_path: Path) -> None:
    line = {"id": 7, "words": ["fine", "film"], "context": "q", "scores": [0.9, 0.1], "gold": [1, 0]}
    (tmp_path / "x.jsonl").write_text(json.dumps(line) + "\n")
    [shown] = build(tmp_path / "x.jsonl", resampling=FAST).instances
    [view] = shown.views
    assert view is not None
    assert [word.text for word in view.words] == ["fine", "film"]
    assert view.context == "q"


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("words", [["a"]], "row id 'r': words has 1 values, expected 2 (as scores)"),
        ("words", [[1, 2]], "column 'words' holds list<"),
        ("id", ["r", "r"], "row id 'r' occurs 2 times"),
    ],
)
def test_bad_files_are_named(column: str, values: list[Any], message: str, tmp_path: Path) -> None:
    content = {"id": ["r"], "words": [["a", "b"]], "scores": [[0.5, 0.1]], "gold": [[1.0, 0.0]]}
    if column == "id":
        content = {name: value * 2 for name, value in content.items()}
    pq.write_table(pa.table({**content, column: values}), tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match=r"bad\.parquet") as caught:
        build(tmp_path / "bad.parquet", resampling=FAST)
    assert message in str(caught.value)


def test_notes_tell_what_does_not_fit(make_run: Make, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    shutil.copytree(make_run(), folder)
    content = json.loads((folder / "metrics.json").read_text())
    next(m for m in content["systems"][0]["metrics"] if m["name"] == "accuracy")["value"] = 0.123
    (folder / "metrics.json").write_text(json.dumps(content))
    notes = notes_of(build(folder, resampling=FAST))
    assert any("metrics.json says accuracy 0.123" in note for note in notes)
    assert any("not shown to be faithful" in note for note in notes)  # random scores are as good as random scores
    assert not any("metrics.json" in note for note in notes_of(build(make_run(), resampling=FAST)))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("log.jsonl", b'{"a": 1}\nnot json\n', "log.jsonl: line 2: not JSON"),
        ("log.jsonl", b"[1]\n", "log.jsonl: line 1: holds list, expected an object"),
        ("config.yaml", b"\xff\xfe", "config.yaml: not UTF-8 text"),
        ("metrics.json", b"{}", "metrics.json: not metrics"),
        ("metrics.json", b"{", "metrics.json: not metrics"),
    ],
)
def test_broken_files_of_a_run(file: str, content: bytes, message: str, make_run: Make, tmp_path: Path) -> None:
    shutil.copytree(make_run(), tmp_path / "a")
    (tmp_path / "a" / file).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_folders([tmp_path / "a"])


def test_a_log_that_is_being_written(make_run: Make, tmp_path: Path) -> None:
    shutil.copytree(make_run(), tmp_path / "a")
    with (tmp_path / "a" / "log.jsonl").open("a") as file:
        file.write('{"event": "dev", "epo')
    assert len(read_folders([tmp_path / "a"])[0].log.dev) == 2


def test_names_of_runs() -> None:
    assert different_ends(["r/a", "r/b/"]) == ["a", "b"]
    assert different_ends(["r/a/0", "r/b/0"]) == ["a/0", "b/0"]
    long = [f"{'x' * 85}{n}" for n in range(3)]
    shown = _shown([*long, "b"])
    assert len({*shown}) == 4  # a run is known by its name
    assert shown[1].endswith("(2)")
    assert different_ends(["x/predictions.parquet"]) == ["x"]
    for given, names, message in (
        ([], None, "no run given"),
        (["a", "a"], None, "given twice"),
        (["a", "b"], ["x"], "names has 1 values, expected 2"),
        (["a", "b"], ["x", "x"], "expected different names"),
    ):
        with pytest.raises(ValueError, match=message):
            read_folders(given, names)


def test_too_many_runs() -> None:
    with pytest.raises(ValueError, match="9 runs, expected at most 8"):
        build(*map(str, range(9)))


def test_figures_hold_the_numbers_of_the_report(one: RunReport) -> None:
    report = one.parts[0].report
    comp, suff = curves(one.parts)
    assert [series.label for series in comp.series] == ["a", "random", "gold"]
    assert comp.series[0].x == FRACTIONS
    assert comp.series[0].y == tuple(report[f"comprehensiveness@{f:g}"].value for f in FRACTIONS)
    assert suff.series[2].y == tuple(one.parts[0].references["gold"][f"sufficiency@{f:g}"].value for f in FRACTIONS)
    points, task = trade_off(one.parts)
    assert (points.series[0].x[0], points.series[0].y[0]) == (report["auprc"].value, report["csd"].value)
    assert task.series[0].x == (report["accuracy"].value,)
    for figure in distributions(one.parts):
        for series in figure.series:
            assert sum(series.y) == pytest.approx(1)
            assert len(series.x) == len(series.y) + 1 <= 25


def test_every_shown_metric_exists(one: RunReport) -> None:
    assert set(SHOWN) <= {metric.name for metric in one.parts[0].report.metrics}


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_systems_can_be_told_apart_without_color(names: list[str], make_run: Make) -> None:
    report = build(*(make_run(name, seed=seed) for seed, name in enumerate(names)), resampling=FAST)
    for figure in (*curves(report.parts), *trade_off(report.parts)):
        looks = [(one.color, one.marker, one.hollow) for one in figure.series]
        assert len(set(looks)) == len(looks)
        assert figure.key == "trade-off-task" or {"random", "gold"} <= {
            one.label.split(",")[0] for one in figure.series
        }

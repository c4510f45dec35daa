"""What a table of relative gains pairs, what it refuses to put on one scale, and what its frozen ends hold for."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from reference import predictions
from unirex.metrics import Resampling
from unirex.metrics.commands.cli import main
from unirex.metrics.intervals import interval, of_rows, of_seeds
from unirex.metrics.nrg import gain_table
from unirex.metrics.nrg_runs import score_run
from unirex.metrics.runs import read_runs
from unirex.metrics.seeds import draws_of

N = 80
LABELS = ("neg", "pos", "neutral")
Change = Callable[[list[dict[str, Any]]], None]
ANSWERS = ("prediction", "probabilities", "keep.attention.self", "remove.attention.self", "null.attention.self")


def write(path: Path, method: int, model: int, change: Change | None = None, **header: Any) -> None:
    """Scores of a method over rows that a model answered."""
    rows, answers = (predictions.rows(seed, N, hows=("attention",)) for seed in (7, 5000 + model))
    rng, right = np.random.default_rng(100 * method + model), np.random.default_rng(model)
    for row, other in zip(rows, answers, strict=True):
        row.update({name: other[name] for name in ANSWERS if name in other}, model=f"m{model}")
        row["scores"] = [None if s is None else float(rng.normal()) for s in row["scores"]]
        row["rationale"] = [s is not None and s > 0.5 for s in row["scores"]]
        if right.random() < 0.25 * model and row["label"]:  # models differ in how often they are right
            at, label = (LABELS.index(row[name]) for name in ("prediction", "label"))
            chances = list(row["probabilities"])
            chances[at], chances[label] = chances[label], chances[at]
            row.update(probabilities=chances, prediction=row["label"])
    if change is not None:
        change(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(predictions.as_table(rows, hows=("attention",), **header), path)


def test_seeds_that_are_one_model_are_paired(tmp_path: Path) -> None:
    for method in (1, 2):
        for model in (0, 1, 2):
            write(tmp_path / f"m{method}" / "d" / str(model) / "p.parquet", method, model)
    runs = read_runs(f"{tmp_path}/{{method}}/{{data}}/{{seed}}/p.parquet")
    resampling = Resampling(replicates=300)
    (paired,) = gain_table(runs, resampling=resampling).differences
    (listed,) = gain_table([*runs[:3], *runs[:2:-1]], resampling=resampling).differences
    assert (listed.low, listed.high) == pytest.approx((paired.low, paired.high))  # the other method's seeds backwards
    apart = [replace(run, model=f"{run.method} {run.seed}") for run in runs]
    (unpaired,) = gain_table(apart, resampling=resampling).differences
    assert paired.difference == pytest.approx(unpaired.difference)
    assert None not in (paired.low, paired.high, unpaired.low, unpaired.high)
    assert paired.high - paired.low < unpaired.high - unpaired.low  # type: ignore[operator]
    # By the definition: CNRG of each seed and replicate between the ends of the means, then their differences.
    table = gain_table(runs, resampling=resampling)
    parts = {"m1": {}, "m2": {}}  # type: dict[str, dict[str, Any]]
    for method, found in parts.items():
        scored = [score_run(run, resampling, {}) for run in runs if run.method == method]
        for name, (low, high) in table.ends["d"].items():
            draws = draws_of(scored[0].definitions[name], [one.state for one in scored])
            sign, start = (-1, high) if name == "sufficiency" else (1, low)
            both = draws.values, draws.replicates
            found[name] = [sign * (part - start) / (high - low) if low < high else 0 * part + 0.5 for part in both]
        found["n"] = draws.n
    gaps = []
    for place in (0, 1):
        (one, other) = (
            np.mean([(p["comprehensiveness"][place] + p["sufficiency"][place]) / 2,
                     (p["auprc"][place] + p["token_f1"][place]) / 2, p["task"][place]], axis=0)
            for p in parts.values()
        )  # fmt: skip
        gaps.append(one - other)
    n = min(cell.rows[name] for cell in table.cells.values() for name in cell.rows)
    variance = of_rows(gaps[1].mean(axis=0), n) + of_seeds(gaps[0])
    expected = interval(float(gaps[0].mean()), variance, n=n, confidence=0.95, seeds=3)
    assert (paired.low, paired.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


@pytest.mark.parametrize("control", ["aa", "zz"])
def test_the_name_of_a_control_does_not_change_which_metrics_there_are(control: str, tmp_path: Path) -> None:
    def without_scores(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["scores"] = [None] * len(row["words"])

    for number, name in enumerate(("m1", "m2", "m3")):
        write(tmp_path / name / "d.parquet", number, number)
    write(tmp_path / control / "d.parquet", 9, 1, without_scores)
    runs = read_runs(f"{tmp_path}/{{method}}/{{data}}.parquet")
    table = gain_table(runs, controls=[control], resampling=Resampling(replicates=0))
    alone = gain_table([run for run in runs if run.method != control], resampling=Resampling(replicates=0))
    assert "auprc" in table.ends["d"]
    for name in ("m1", "m2", "m3"):
        assert table.cells["d", name].composites == alone.cells["d", name].composites


def test_methods_of_other_classes_are_not_put_on_one_scale(tmp_path: Path) -> None:
    def renamed(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row.update({name: "neither" for name in ("label", "prediction") if row[name] == "neutral"})

    write(tmp_path / "a" / "d.parquet", 1, 1)
    write(tmp_path / "b" / "d.parquet", 2, 1, renamed, labels=("neg", "pos", "neither"))
    with pytest.raises(ValueError, match=r"b/d.parquet: labels \(.*\) differs from \(.*\) of .*a/d.parquet"):
        gain_table(read_runs(f"{tmp_path}/{{method}}/{{data}}.parquet"), resampling=Resampling(replicates=0))


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    for number, name in enumerate(("m1", "m2", "m3")):
        write(tmp_path / name / "d.parquet", number, number)
    words = [
        "nrg",
        f"{tmp_path}/{{method}}/{{data}}.parquet",
        "--replicates",
        "0",
        "--freeze",
        str(tmp_path / "ends.json"),
    ]
    assert main(words) == 0
    return tmp_path


def test_frozen_ends_are_those_of_their_settings(frozen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(frozen / "later" / "d.parquet", 5, 2, headline="accuracy")
    later = [f"{frozen}/late{{method}}/{{data}}.parquet", "--replicates", "0", "--frozen", str(frozen / "ends.json")]
    capsys.readouterr()
    assert main(["nrg", *later]) == 2
    assert "ends.json: ends of d for task_metric 'macro_f1', expected 'accuracy'" in capsys.readouterr().err
    write(frozen / "later" / "d.parquet", 5, 2)
    assert main(["nrg", *later]) == 0
    content = json.loads((frozen / "ends.json").read_text())
    content["settings"]["d"]["fractions"] = [0.3, 0.9]
    (frozen / "ends.json").write_text(json.dumps(content))
    capsys.readouterr()
    assert main(["nrg", *later]) == 2
    assert "ends of d for fractions [0.3, 0.9], expected [0.01, 0.05, 0.1, 0.2, 0.5]" in capsys.readouterr().err
    del content["settings"]  # a file of before they were kept
    (frozen / "ends.json").write_text(json.dumps(content))
    assert main(["nrg", *later]) == 0


def test_of_two_files_both_are_written_or_none(frozen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["nrg", f"{frozen}/{{method}}/{{data}}.parquet", "--replicates", "0"]
    for output, freeze in (("table.txt", "nowhere/ends"), ("nowhere/table.txt", "ends")):
        capsys.readouterr()
        assert main([*words, "--output", str(frozen / output), "--freeze", str(frozen / freeze)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.endswith("no such file or directory\n")
        assert sorted(file.name for file in frozen.iterdir()) == ["ends.json", "m1", "m2", "m3"]
    read = str(frozen / "m1" / "d.parquet")
    assert main([*words, "--freeze", read]) == 2
    assert f"freeze is '{read}', expected another file than those that are read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("settings", {"d": 3}),
        ("settings", []),
        ("methods", 3),
        ("ends", {"d": {"task": {"low": 0, "high": 10**400}}}),
        ("ends", {"d": 3}),
        ("convention", ["strict"]),
    ],
)
def test_a_file_of_frozen_ends_is_checked_whole(
    field: str, value: object, frozen: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((frozen / "ends.json").read_text())
    (frozen / "ends.json").write_text(json.dumps({**content, field: value}))
    words = ["--replicates", "0", "--frozen", str(frozen / "ends.json")]
    assert main(["nrg", f"{frozen}/{{method}}/{{data}}.parquet", *words]) == 2
    error = capsys.readouterr().err
    assert f"{frozen}/ends.json: not a file of frozen ends (" in error
    assert error.count("\n") == 1


def test_ends_that_are_frozen_again_keep_the_methods_that_set_them(frozen: Path) -> None:
    words = ["--replicates", "0", "--frozen", str(frozen / "ends.json"), "--freeze", str(frozen / "again.json")]
    assert main(["nrg", f"{frozen}/m{{method}}/{{data}}.parquet", *words]) == 0
    assert json.loads((frozen / "again.json").read_text()) == json.loads((frozen / "ends.json").read_text())


def test_equal_ends_are_no_scale_for_another_value(frozen: Path) -> None:
    content = json.loads((frozen / "ends.json").read_text())["ends"]
    ends = {name: (end["low"], end["high"]) for name, end in content["d"].items()}
    ends["task"] = (ends["task"][0],) * 2
    runs = read_runs(f"{frozen}/{{method}}/{{data}}.parquet")
    with pytest.raises(ValueError, match=r"frozen ends of data set 'd' for 'task' are both .*, which is no scale"):
        gain_table(runs, frozen={"d": ends}, resampling=Resampling(replicates=0))
    # One value, but for how it was rounded, is no other; one that can be told apart is.
    value = gain_table(runs[:1], resampling=Resampling(replicates=0)).cells["d", runs[0].method].values["task"]
    ends["task"] = (value * (1 + 1e-12),) * 2
    gain_table(runs[:1], frozen={"d": ends}, resampling=Resampling(replicates=0))
    ends["task"] = (value * (1 + 1e-6),) * 2
    with pytest.raises(ValueError, match="which is no scale for other values"):
        gain_table(runs[:1], frozen={"d": ends}, resampling=Resampling(replicates=0))


def test_a_listing_with_a_list_in_it_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for field in ("path", "seed"):
        entry = {"method": "a", "data": "d", "path": "x.parquet", field: ["x", "y"]}
        (tmp_path / "runs.yaml").write_text(yaml.safe_dump([entry]))
        assert main(["nrg", str(tmp_path / "runs.yaml")]) == 2
        assert f"runs.yaml: run 1: field {field!r} is ['x', 'y'], expected text" in capsys.readouterr().err


def without_gold(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["gold"] = None


@pytest.mark.parametrize("convention", ["strict", "paper"])
def test_where_no_gold_exists_plausibility_is_no_part_of_a_composite(convention: str, tmp_path: Path) -> None:
    """In `paper` such rows count as 0 in every metric of plausibility: the methods would all stand in its middle."""
    for method in (1, 2, 3):
        write(tmp_path / f"m{method}" / "d" / "0" / "p.parquet", method, method, without_gold)
    runs = read_runs(f"{tmp_path}/{{method}}/{{data}}/{{seed}}/p.parquet")
    table = gain_table(runs, resampling=Resampling(replicates=0), convention=convention)
    for method in ("m1", "m2", "m3"):
        cell = table.cells["d", method]
        assert cell.composites.keys() == {"FNRG", "TNRG", "CNRG"}
        assert cell.composites["CNRG"] == pytest.approx((cell.composites["FNRG"] + cell.composites["TNRG"]) / 2)
    assert table.ends["d"].keys() == {"comprehensiveness", "sufficiency", "task"}


def test_a_composite_of_the_task_score_alone_says_so(tmp_path: Path) -> None:
    for name, right in (("a", 10), ("b", 15)):
        answers = ["x"] * right + ["y"] * (20 - right)
        table = pa.table({"id": [*map(str, range(20))], "label": ["x"] * 19 + ["y"], "prediction": answers})
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "d.parquet")
    found = gain_table(read_runs(f"{tmp_path}/{{method}}/{{data}}.parquet"), resampling=Resampling(replicates=0))
    assert found.cells["d", "a"].composites.keys() == {"TNRG", "CNRG"}
    assert "note: d: CNRG is the mean of TNRG alone" in found.notes


def test_runs_that_define_nothing_are_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"id": ["x", "y"], "scores": [[0.1, 0.2]] * 2}), tmp_path / name / "d.parquet")
    assert main(["nrg", f"{tmp_path}/{{method}}/{{data}}.parquet"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "d: none of comprehensiveness, sufficiency, auprc, token_f1, task is defined in its runs, expected" in err

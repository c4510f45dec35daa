"""Relative gains against the definition in plain Python, and every format against the table it shows."""

import csv
import io
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
from unirex import _rust
from unirex.metrics import Resampling, row_values, score
from unirex.metrics.commands.cli import main
from unirex.metrics.nrg import gain_table
from unirex.metrics.nrg_table import GainTable
from unirex.metrics.runs import Run, read_runs

QUICK = Resampling(replicates=100)
MEASURES = ("scores", "rationale", "prediction", "probabilities", "keep.attention.self", "remove.attention.self")


def write_run(path: Path, data: int, system: int, *, gold: bool = True, headline: str = "macro_f1") -> None:
    """A system's predictions on a data set: ids, labels and gold follow from `data`, the rest from `system`."""
    rows = predictions.rows(data, 30, hows=("attention",))
    rng = np.random.default_rng(1000 + system)
    for row, other in zip(rows, predictions.rows(5000 + system, 30, hows=("attention",)), strict=True):
        row |= {name: other[name] for name in MEASURES[2:]}
        row["scores"] = [None if s is None else float(rng.normal()) for s in row["scores"]]
        row["rationale"] = [s is not None and s > 0.5 for s in row["scores"]]
        row["gold"] = row["gold"] if gold else None
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(predictions.as_table(rows, hows=("attention",), headline=headline), path)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 methods and a control, 2 data sets (one without gold), 2 seeds."""
    root = tmp_path_factory.mktemp("runs")
    for d, data in enumerate(("sst", "stf")):
        for m, method in enumerate(("aa", "dlm", "slm", "random")):
            for seed in (0, 1):
                path = root / method / data / str(seed) / "predictions.parquet"
                write_run(path, d, 100 * d + 10 * m + seed, gold=data == "sst")
    return root


def runs_of(suite: Path) -> list[Run]:
    return read_runs(f"{suite}/{{method}}/{{data}}/{{seed}}/predictions.parquet")


def slow_gains(suite: Path, data: str, methods: list[str], compared: list[str]) -> dict[str, dict[str, float]]:
    names = ["comprehensiveness", "sufficiency", "macro_f1"] + ["auprc", "token_f1"] * (data == "sst")
    values = {
        m: {
            n: (
                sum(
                    score(suite / m / data / s / "predictions.parquet", resampling=Resampling(replicates=0))[n].value
                    for s in "01"
                )
                / 2
            )
            for n in names
        }
        for m in methods
    }
    out: dict[str, dict[str, float]] = {}
    for m in methods:
        gain = {}
        for n in names:
            low, high = min(values[c][n] for c in compared), max(values[c][n] for c in compared)
            gain[n] = (values[m][n] - low) / (high - low)
            if n == "sufficiency":
                gain[n] = (high - values[m][n]) / (high - low)
        parts = {"FNRG": (gain["comprehensiveness"] + gain["sufficiency"]) / 2, "TNRG": gain["macro_f1"]}
        if data == "sst":
            parts["PNRG"] = (gain["auprc"] + gain["token_f1"]) / 2
        out[m] = {**parts, "CNRG": sum(parts.values()) / len(parts)}
    return out


def test_composites_follow_the_definition(suite: Path) -> None:
    table = gain_table(runs_of(suite), controls=["random"], resampling=QUICK)
    compared = ["aa", "dlm", "slm"]
    slow = {data: slow_gains(suite, data, [*compared, "random"], compared) for data in ("sst", "stf")}
    for (data, method), cell in table.cells.items():
        assert cell.composites == pytest.approx(slow[data][method], abs=1e-9)
        assert cell.seeds == ("0", "1")
    for method, mean in table.means.items():
        both = (slow["sst"][method]["CNRG"] + slow["stf"][method]["CNRG"]) / 2
        assert mean.composites["CNRG"] == pytest.approx(both, abs=1e-9)
        assert mean.composites["PNRG"] == pytest.approx(slow["sst"][method]["PNRG"], abs=1e-9)
    for method in compared:
        cell = table.cells["sst", method]
        assert all(0 <= gain <= 1 for gain in cell.gains.values())
        assert cell.low is not None
        assert cell.high is not None
        assert cell.low < cell.composites["CNRG"] < cell.high
        assert cell.methods["CNRG"] == "seeds_t"


def test_seeds_give_mean_and_deviation(suite: Path) -> None:
    cell = gain_table(runs_of(suite), resampling=QUICK).cells["sst", "aa"]
    auprc = [score(suite / "aa" / "sst" / s / "predictions.parquet")["auprc"].value for s in "01"]
    assert cell.values["auprc"] == pytest.approx(np.mean(auprc))
    assert cell.deviations["auprc"] == pytest.approx(np.std(auprc, ddof=1))


def test_a_control_never_moves_the_others(suite: Path) -> None:
    runs = runs_of(suite)
    with_control = gain_table(runs, controls=["random"], resampling=QUICK)
    without = gain_table([run for run in runs if run.method != "random"], resampling=QUICK)
    for key, cell in without.cells.items():
        assert repr(with_control.cells[key]) == repr(cell)
    assert with_control.ends == without.ends


def test_frozen_ends_give_the_same_numbers_for_fewer_methods(suite: Path, tmp_path: Path) -> None:
    pattern, ends = f"{suite}/{{method}}/{{data}}/{{seed}}/predictions.parquet", str(tmp_path / "ends.json")
    assert main(["nrg", pattern, "--controls", "random", "--freeze", ends, "--replicates", "5"]) == 0
    alone = tmp_path / "alone.yaml"
    entries = [
        {"method": "slm", "data": d, "seed": s, "path": str(suite / "slm" / d / str(s) / "predictions.parquet")}
        for d in ("sst", "stf")
        for s in (0, 1)
    ]
    alone.write_text(yaml.safe_dump(entries))
    whole, part = tmp_path / "whole.json", tmp_path / "part.json"
    assert main(["nrg", pattern, "--controls", "random", "--format", "json", "--output", str(whole)]) == 0
    assert main(["nrg", str(alone), "--frozen", ends, "--format", "json", "--output", str(part)]) == 0
    expected = {m["method"]: m["composites"] for m in json.loads(whole.read_text())["mean"]}
    found = json.loads(part.read_text())
    assert found["frozen"] is True
    assert found["mean"][0]["composites"] == pytest.approx(expected["slm"])


def test_equal_methods_stand_in_the_middle(tmp_path: Path) -> None:
    for method in ("a", "b"):
        write_run(tmp_path / method / "sst.parquet", 0, 7)
    table = gain_table(read_runs(f"{tmp_path}/{{method}}/{{data}}.parquet"), resampling=QUICK)
    for cell in table.cells.values():
        assert cell.seeds == ("0",)
        assert set(cell.gains.values()) == {0.5}
        assert (cell.composites["CNRG"], cell.low, cell.high) == (0.5, None, None)
        assert all(np.isnan(d) for d in cell.deviations.values())
    (told,) = (note for note in table.notes if "one value" in note)
    assert told.startswith("note: sst: all methods that are compared have one value of comprehensiveness, sufficiency,")
    assert set(table.means["a"].composites.values()) == {0.5}


def test_stored_row_values_stand_for_predictions(suite: Path, tmp_path: Path) -> None:
    """Also beside them, with the options that they were made by; others are refused."""
    runs = [run for run in runs_of(suite) if run.data == "sst"]
    stored = []
    for number, run in enumerate(runs):
        path = tmp_path / f"{number}.parquet"
        row_values.write(row_values.from_predictions(run.path), path)
        stored.append(replace(run, path=str(path)))
    quick = Resampling(replicates=0)
    expected = gain_table(runs, controls=["random"], resampling=quick)
    for some in (stored, [*stored[:3], *runs[3:]], [*runs[:3], *stored[3:]]):
        found = gain_table(some, controls=["random"], resampling=quick, perturbation=["attention"], scorer="self")
        for place, cell in expected.cells.items():
            assert found.cells[place].values == pytest.approx(dict(cell.values), abs=1e-6)
            assert found.cells[place].rows == cell.rows
    for name, value in (("perturbation", "other"), ("scorer", "check"), ("convention", "paper")):
        with pytest.raises(ValueError, match=rf"0\.parquet: {name} is '\w+', expected '{value}'"):
            gain_table(stored, resampling=quick, **{name: value})


@pytest.fixture(scope="module")
def table(suite: Path) -> GainTable:
    return gain_table(runs_of(suite), controls=["random"])


def shown(suite: Path, form: str, capsys: pytest.CaptureFixture[str]) -> str:
    pattern = f"{suite}/{{method}}/{{data}}/{{seed}}/predictions.parquet"
    assert main(["nrg", pattern, "--controls", "random", "--format", form]) == 0
    return capsys.readouterr().out


def test_csv_holds_full_precision(suite: Path, table: GainTable, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(shown(suite, "csv", capsys))))
    assert len(rows) == 2 * 4 + 4
    for row in rows[:8]:
        cell = table.cells[row["data"], row["method"]]
        assert row["control"] == str(row["method"] == "random").lower()
        assert float(row["sufficiency"]) == cell.values["sufficiency"]
        assert float(row["CNRG"]) == cell.composites["CNRG"]
        assert (row["auprc"] == "") == (row["data"] == "stf")
    assert rows[8]["data"] == "mean"


@pytest.mark.parametrize("form", ["text", "markdown", "latex"])
def test_tables_show_every_method(form: str, suite: Path, table: GainTable, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(suite, form, capsys)
    for (data, method), cell in table.cells.items():
        assert data in out
        line = [x for x in out.splitlines() if method in x and f"{cell.values['comprehensiveness']:.3f}" in x]
        assert len(line) == 1
        for composite in cell.composites.values():
            assert f"{composite:.3f}" in line[0]
    assert "random (control)" in out
    assert "worst and best of: aa, dlm, slm" in out
    if form == "markdown":
        lines = [line for line in out.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines[:6]}) == 1
    if form == "latex":
        assert out.count(r"\begin{tabular}") == out.count(r"\end{tabular}") == 3
        assert r"macro\_f1" in out


def test_json_is_strict_json(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    found = json.loads(shown(suite, "json", capsys), parse_constant=refuse)
    assert {d["data"] for d in found["data"]} == {"sst", "stf"}
    assert found["controls"] == ["random"]


LISTINGS = {
    "runs.csv": "method,data,seed,path\nm,d,3,p.parquet\nm,d,,q.parquet\n",
    "runs.json": json.dumps(
        [
            {"method": "m", "data": "d", "seed": 3, "path": "p.parquet"},
            {"method": "m", "data": "d", "path": "q.parquet"},
        ]
    ),
    "runs.yaml": "- {method: m, data: d, seed: 3, path: p.parquet}\n- {method: m, data: d, path: q.parquet}\n",
}


@pytest.mark.parametrize("name", LISTINGS)
def test_listings_name_paths_relative_to_themselves(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(LISTINGS[name])
    runs = read_runs(str(tmp_path / name))
    assert [(r.method, r.data, r.seed) for r in runs] == [("m", "d", "3"), ("m", "d", "0")]
    assert runs[1].path == str(tmp_path / "q.parquet")


def test_patterns_take_names_apart(tmp_path: Path) -> None:
    for name in ("a-b/sst/0", "a.b/sst/12", "a-b/sst/deep/0"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "p.parquet").touch()
    runs = read_runs(f"{tmp_path}/{{method}}/{{data}}/{{seed}}/p.parquet")
    assert [(r.method, r.data, r.seed) for r in runs] == [("a-b", "sst", "0"), ("a.b", "sst", "12")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- {method: m, data: d}", "run 1: field 'path' is missing"),
        ("- 3", "run 1 is int, expected fields"),
        ("a: b", "holds dict, expected a list of runs"),
        ("- {", "not a readable listing"),
        ("[]", "no run found"),
        ("- {method: m, data: d, path: a}\n- {method: m, data: d, path: b}", "expected one"),
    ],
)
def test_bad_listings(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "runs.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"runs\.yaml") as error:
        read_runs(str(tmp_path / "runs.yaml"))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("x/{method}/p.parquet", "placeholder {data} is missing"),
        ("x/{method}/{data}/{sed}", "placeholder {sed}, expected"),
        ("x/{method}/{data}", "no run found"),
        ("nowhere.txt", "o such file"),
    ],
)
def test_bad_patterns(pattern: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nrg", pattern]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_only_a_control_may_lack_instances(tmp_path: Path) -> None:
    for method in ("a", "b"):
        write_run(tmp_path / method / "sst.parquet", 0, ord(method))
    path = tmp_path / "b" / "sst.parquet"
    pq.write_table(pq.read_table(path).slice(3), path)
    runs = read_runs(f"{tmp_path}/{{method}}/{{data}}.parquet")
    with pytest.raises(ValueError, match="its ids differ"):
        gain_table(runs, resampling=QUICK)
    assert gain_table(runs, controls=["b"], resampling=QUICK).cells["sst", "b"].values["auprc"] > 0
    with pytest.raises(ValueError, match="its ids differ"):
        gain_table(runs, controls=["a"], resampling=QUICK)


def test_runs_of_a_data_set_must_fit_together(tmp_path: Path) -> None:
    write_run(tmp_path / "a/sst.parquet", 0, 1)
    pattern = f"{tmp_path}/{{method}}/{{data}}.parquet"
    write_run(tmp_path / "b/sst.parquet", 1, 1)
    with pytest.raises(ValueError, match="its ids differ from those of"):
        gain_table(read_runs(pattern), resampling=QUICK)
    write_run(tmp_path / "b/sst.parquet", 0, 1, headline="accuracy")
    with pytest.raises(ValueError, match="headline 'accuracy' differs from 'macro_f1'"):
        gain_table(read_runs(pattern), resampling=QUICK)
    write_run(tmp_path / "b/sst.parquet", 0, 1)
    with pytest.raises(ValueError, match="did you mean a"):
        gain_table(read_runs(pattern), controls=["aa"])
    with pytest.raises(ValueError, match="expected one more that is compared"):
        gain_table(read_runs(pattern), controls=["a", "b"])
    with pytest.raises(ValueError, match="no data set 'sst'"):
        gain_table(read_runs(pattern), frozen={}, resampling=QUICK)
    with pytest.raises(ValueError, match="lack 'comprehensiveness'"):
        gain_table(read_runs(pattern), frozen={"sst": {}}, resampling=QUICK)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"convention": "strict", "ends": {"sst": {"auprc": {"low": null}}}}']
)
def test_broken_files_of_ends(content: str, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ends.json").write_text(content)
    pattern = f"{suite}/{{method}}/{{data}}/{{seed}}/predictions.parquet"
    assert main(["nrg", pattern, "--frozen", str(tmp_path / "ends.json")]) == 2
    assert "not a file of frozen ends" in capsys.readouterr().err


def test_ends_of_another_convention_are_refused(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ends.json").write_text('{"convention": "paper", "ends": {}}')
    pattern = f"{suite}/{{method}}/{{data}}/{{seed}}/predictions.parquet"
    assert main(["nrg", pattern, "--frozen", str(tmp_path / "ends.json")]) == 2
    assert "ends of convention 'paper', expected 'strict'" in capsys.readouterr().err


def test_nan_is_left_out_of_the_ends() -> None:
    values = np.array([np.nan, 1.0, 3.0])
    low, high = _rust.extremes(values, np.array([True, True, True]))
    assert (low.tolist(), high.tolist()) == ([1.0], [3.0])
    gains = _rust.relative_gain(values, low, high, False)
    assert np.isnan(gains[0])
    assert gains[1:].tolist() == [0.0, 1.0]


def changed(path: Path, edit: Callable[[dict[str, Any]], None], at: int = 4) -> None:
    """Rewrites one row of a prediction file."""
    rows = pq.read_table(path).to_pylist()
    edit(rows[at])
    pq.write_table(predictions.as_table(rows, hows=("attention",)), path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda row: row.update(label="pos" if row["label"] == "neg" else "neg"), r"row id 'row-0-4': label is '"),
        (lambda row: row.update(gold=None if row["gold"] else [1.0] * len(row["scores"])), "row id 'row-0-4': gold"),
    ],
)
def test_runs_that_say_other_things_about_an_instance_are_refused(
    edit: Callable[[dict[str, Any]], None], message: str, tmp_path: Path
) -> None:
    for method in ("a", "b"):
        write_run(tmp_path / method / "sst.parquet", 0, ord(method))
    runs = read_runs(f"{tmp_path}/{{method}}/{{data}}.parquet")
    gain_table(runs, resampling=QUICK)
    changed(tmp_path / "b" / "sst.parquet", edit)
    with pytest.raises(ValueError, match=message) as error:
        gain_table(runs, resampling=QUICK)
    assert "\n" not in str(error.value)
    assert "as in" in str(error.value)


def test_rows_that_not_all_methods_define_are_left_out_for_all(tmp_path: Path) -> None:
    for method in ("a", "b", "random"):
        write_run(tmp_path / method / "sst.parquet", 0, ord(method[0]))
    runs = read_runs(f"{tmp_path}/{{method}}/{{data}}.parquet")
    changed(tmp_path / "b" / "sst.parquet", lambda row: row.update({"remove.attention.self": None}))
    changed(tmp_path / "random" / "sst.parquet", lambda row: row.update({"keep.attention.self": None}), at=5)
    table = gain_table(runs, controls=["random"], resampling=QUICK)
    assert table.n_partly == {"sst": {"comprehensiveness": 1}}
    assert "1 of sst for comprehensiveness" in table.notes[-1]
    rest = pq.read_table(tmp_path / "a" / "sst.parquet").filter(pa.array([i != 4 for i in range(30)]))
    alone = score(rest, resampling=Resampling(replicates=0))
    assert table.cells["sst", "a"].values["comprehensiveness"] == alone["comprehensiveness"].value
    assert [table.cells["sst", m].rows["comprehensiveness"] for m in ("a", "b", "random")] == [29, 29, 29]
    assert [table.cells["sst", m].rows["sufficiency"] for m in ("a", "b", "random")] == [30, 30, 29]


def test_gains_of_one_method_over_another_are_paired_and_shown(
    suite: Path, table: GainTable, capsys: pytest.CaptureFixture[str]
) -> None:
    for data in ("sst", "stf", None):
        rows = table.means if data is None else {m: table.cells[data, m] for m in table.methods}
        for method in table.methods:
            for other in table.methods:
                gain = table.over(data, method, other)
                if method == other:
                    assert gain is None
                    continue
                assert gain is not None
                expected = rows[method].composites["CNRG"] - rows[other].composites["CNRG"]
                assert gain.difference == pytest.approx(expected, abs=1e-12)
                assert gain.low is not None
                assert gain.low < gain.difference < gain.high  # type: ignore[operator]
    pattern = f"{suite}/{{method}}/{{data}}/{{seed}}/predictions.parquet"
    assert main(["nrg", pattern, "--controls", "random", "--against", "aa"]) == 0
    out = capsys.readouterr().out
    gain = table.over("sst", "slm", "aa")
    assert gain is not None
    assert "CNRG over aa" in out
    assert f"{gain.difference:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" in out
    assert main(["nrg", pattern, "--against", "ab"]) == 2
    assert "against is 'ab', expected one of" in capsys.readouterr().err
    found = json.loads(shown(suite, "json", capsys))
    assert {(g["data"], g["method"], g["other"]) for g in found["differences"]} >= {
        ("sst", "aa", "dlm"),
        (None, "aa", "dlm"),
    }
    assert found["notes"]


def test_an_interval_of_several_seeds_is_wider_than_that_of_the_rows(suite: Path) -> None:
    both = gain_table(runs_of(suite), resampling=QUICK)
    one = gain_table([run for run in runs_of(suite) if run.seed == "0"], resampling=QUICK)
    for method in ("aa", "dlm", "slm"):
        cell, single = both.cells["sst", method], one.cells["sst", method]
        assert {cell.methods[name] for name in cell.values} == {"seeds_wilson_t"}
        assert set(single.methods.values()) == {"wilson_t", "t"}
        low, high = cell.intervals["auprc"]
        assert low is not None
        assert high is not None
        assert high - low > 2 * cell.deviations["auprc"]


def test_one_data_set_is_its_own_mean(suite: Path) -> None:
    table = gain_table([run for run in runs_of(suite) if run.data == "sst"], controls=["random"], resampling=QUICK)
    for method, mean in table.means.items():
        cell = table.cells["sst", method]
        assert mean.composites == pytest.approx(cell.composites)
        assert (mean.low, mean.high) == pytest.approx((cell.low, cell.high))
        assert mean.interval == cell.methods["CNRG"] == "seeds_t"
    assert {gain.data for gain in table.differences} == {"sst"}
    assert table.over("sst", "aa", "dlm") is not None


def test_the_variance_of_a_mean_falls_with_the_data_sets(suite: Path) -> None:
    """Three times the same data set: the variance is a third of one's, and so is that of a difference."""
    runs = [run for run in runs_of(suite) if run.data == "sst"]
    one = gain_table(runs, resampling=QUICK)
    three = gain_table([replace(run, data=data) for data in "xyz" for run in runs], resampling=QUICK)
    draws = {(gain.method, gain.other): gain for gain in one.differences}
    means = {(gain.method, gain.other): gain for gain in three.differences if gain.data is None}
    assert means.keys() == draws.keys()
    narrower = [(one.means[method], three.means[method]) for method in one.methods]
    for single, mean in [*narrower, *((draws[pair], means[pair]) for pair in draws)]:
        # Three times the degrees of freedom narrow it further than the root of three.
        assert (mean.high - mean.low) * 3**0.5 <= single.high - single.low  # type: ignore[operator]
        assert (mean.high - mean.low) * 3**0.5 * 4 > single.high - single.low  # type: ignore[operator]
        assert mean.high + mean.low == pytest.approx(single.high + single.low)  # type: ignore[operator]


def test_one_run_without_labels_stands_in_the_middle(tmp_path: Path) -> None:
    write_run(tmp_path / "p.parquet", 0, 7)
    pq.write_table(pq.read_table(tmp_path / "p.parquet").drop_columns(["label"]), tmp_path / "p.parquet")
    table = gain_table([Run(method="a", data="d", seed="0", path=str(tmp_path / "p.parquet"))], resampling=QUICK)
    assert table.headlines == {"d": ""}
    assert set(table.cells["d", "a"].composites) == {"FNRG", "PNRG", "CNRG"}
    assert set(table.cells["d", "a"].gains.values()) == {0.5}
    assert table.differences == ()


def test_few_rows_and_seeds_are_said_but_not_those_of_a_control(suite: Path) -> None:
    runs = [run for run in runs_of(suite) if run.method != "random" or run.seed == "0"]
    for controls, seeds in ((["random"], "two seeds"), ([], "one seed")):
        table = gain_table(runs, controls=controls, resampling=Resampling(replicates=20, confidence=0.9))
        fewest = min(n for (_, method), cell in table.cells.items() if method != "random" for n in cell.rows.values())
        rows, said = [line for line in table.notes if "left out" not in line and "rows:" not in line]
        assert f"({fewest}) and 7 more: their 90 % intervals" in rows
        assert said.startswith(f"note: {seeds} stand")
    single = gain_table([run for run in runs if run.seed == "0"], resampling=QUICK).notes
    assert any("rows stand behind" in line for line in single)
    assert not any(" seed" in line for line in single)
    without = gain_table(runs, resampling=Resampling(replicates=0)).notes
    assert not any("behind" in line for line in without)


def test_progress_counts_runs(suite: Path) -> None:
    told: list[tuple[int, int]] = []
    gain_table(runs_of(suite)[:3], resampling=QUICK, progress=lambda *at: told.append(at))
    assert told == [(1, 3), (2, 3), (3, 3)]

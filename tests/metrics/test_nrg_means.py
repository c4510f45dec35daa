"""Means of a table of relative gains over some of its data sets."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from metrics.test_nrg import QUICK, changed, write_run
from unirex.metrics.nrg import gain_table
from unirex.metrics.runs import Run, read_runs


def test_means_may_be_over_some_of_the_data_sets(tmp_path: Path) -> None:
    for data, number in (("sst", 0), ("stf", 1)):
        for method, system in (("aa", 10), ("slm", 20)):
            write_run(tmp_path / method / f"{data}.parquet", number, 100 * number + system, gold=data == "sst")
    runs = read_runs(f"{tmp_path}/{{method}}/{{data}}.parquet")
    runs += [replace(run, data="third") for run in runs if run.data == "sst"]
    data = ["sst", "stf", "third"]
    table = gain_table(runs, resampling=QUICK, averaged=data[:2])
    fewer = gain_table([run for run in runs if run.data in data[:2]], resampling=QUICK)
    assert table.data == tuple(data)
    assert (table.averaged, table.means) == (fewer.averaged, fewer.means)
    assert [gain for gain in table.differences if gain.data is None] == [g for g in fewer.differences if g.data is None]
    assert "mean over 2 data sets" in table.to_text()
    assert gain_table(runs, resampling=QUICK, averaged=[]).means == {}


def test_rows_that_not_all_define_are_the_same_in_runs_of_several_files(tmp_path: Path) -> None:
    whole, parts = [], []
    for method in ("a", "b"):
        path = tmp_path / f"{method}.parquet"
        write_run(path, 0, ord(method))
        if method == "b":
            changed(path, lambda row: row.update({"remove.attention.self": None}), at=24)
        (tmp_path / method).mkdir()
        table = pq.read_table(path)
        for start in range(0, 30, 10):
            pq.write_table(table[start : start + 10], tmp_path / method / f"{start}.parquet")
        whole.append(Run(method=method, data="sst", seed="0", path=str(path)))
        parts.append(Run(method=method, data="sst", seed="0", path=str(tmp_path / method)))
    one, several = (gain_table(runs, resampling=QUICK) for runs in (whole, parts))
    assert one.cells["sst", "a"].rows["comprehensiveness"] == 29
    for key, cell in one.cells.items():
        other = several.cells[key]
        assert (other.values, other.intervals, other.composites) == (cell.values, cell.intervals, cell.composites)
        assert (other.rows, other.low, other.high) == (cell.rows, cell.low, cell.high)


def test_a_method_without_a_data_set_has_no_mean_and_a_control_comes_anywhere(tmp_path: Path) -> None:
    for data, number in (("sst", 0), ("stf", 1)):
        for method in ("a", "b", "random"):
            write_run(tmp_path / method / f"{data}.parquet", number, 10 * number + ord(method[0]))
    path = tmp_path / "random" / "sst.parquet"
    pq.write_table(pq.read_table(path).slice(3), path)  # a control may lack instances
    runs = [
        run for run in read_runs(f"{tmp_path}/{{method}}/{{data}}.parquet") if (run.method, run.data) != ("b", "stf")
    ]
    table = gain_table(runs, controls=["random"], resampling=QUICK)
    assert table.means.keys() == {"a", "random"}
    turned = gain_table(runs[::-1], controls=["random"], resampling=QUICK)
    assert {key: cell.values for key, cell in turned.cells.items()} == {
        key: cell.values for key, cell in table.cells.items()
    }

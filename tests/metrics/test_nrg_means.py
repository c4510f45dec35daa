"""Means of a table of relative gains over some of its data sets."""

from dataclasses import replace
from pathlib import Path

from metrics.test_nrg import QUICK, write_run
from unirex.metrics.nrg import gain_table
from unirex.metrics.runs import read_runs


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

"""Row values stand for predictions, and rows about one text can be drawn together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from reference import predictions
from unirex.metrics import Resampling, Run, State, gain_table, row_values, score
from unirex.metrics.paired import paired


def test_row_values_make_the_table_of_the_predictions(tmp_path: Path) -> None:
    rows = predictions.rows(7, 300, hows=("attention", "delete"))
    path = tmp_path / "p.parquet"
    pq.write_table(predictions.as_table(rows, hows=("attention", "delete")), path)
    kept = row_values.from_predictions(str(path))
    small = tmp_path / "rows" / "r.parquet"
    row_values.write(kept, small)
    assert small.stat().st_size < 20_000
    runs = [Run(method="m", data="d", seed="0", path=str(p)) for p in (path, small)]
    cells = [gain_table([run], resampling=Resampling(replicates=50)).cells["d", "m"] for run in runs]
    assert cells[0].values == pytest.approx(cells[1].values, abs=1e-7)
    for name in ("auprc", "task"):
        assert cells[0].intervals[name] == pytest.approx(cells[1].intervals[name], abs=1e-6)
    report, whole = row_values.read(str(small)).state(Resampling(replicates=0)).compute(), score(str(path))
    for name in ("normalised_sufficiency", "sufficiency"):
        assert report[name].n_undefined == whole[name].n_undefined
    with pytest.raises(ValueError, match="perturbation is 'attention', expected 'delete'"):
        gain_table(runs[1:], perturbation="delete")
    with pytest.raises(ValueError, match="not a file of row values"):
        row_values.read(str(path))


def test_rows_of_one_group_are_drawn_together(tmp_path: Path) -> None:
    base, several = predictions.rows(7, 60, hows=("attention",)), []
    for copy in range(4):
        several += [row | {"id": f"{row['id']}:{copy}"} for row in base]
    runs, found = [], {}
    for name, rows, pattern in (("base", base, None), ("alone", several, None), ("groups", several, r"[^:]+")):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(predictions.as_table(rows, hows=("attention",)), path)
        row_values.write(row_values.from_predictions(str(path), groups=pattern), tmp_path / "rows" / path.name)
        runs.append(Run(method="m", data="d", seed="0", path=str(tmp_path / "rows" / path.name)))
        found[name] = row_values.read(runs[-1].path)
    # What the copies of a row add is nothing: the interval is that of the rows themselves, and not half as wide.
    cells = [gain_table([run], resampling=Resampling(replicates=300)).cells["d", "m"] for run in runs]
    for name in ("auprc", "comprehensiveness"):
        widths = [high - low for low, high in (cell.intervals[name] for cell in cells)]
        assert cells[0].values[name] == pytest.approx(cells[2].values[name])
        assert widths[2] == pytest.approx(widths[0], rel=1e-6)
        assert widths[1] == pytest.approx(widths[0] / 2, rel=0.15)
    # The same beside a method that defines fewer rows, which both are then compared on.
    place = [column.name for column in found["base"].layout.columns].index("auprc")
    beside = {}
    for name, run in (("base", runs[0]), ("groups", runs[2])):
        less = found[name].values.copy()
        less[place, found[name].values[place] > 0.8] = np.nan
        other = tmp_path / "rows" / f"less-{name}.parquet"
        row_values.write(replace(found[name], values=less), other)
        both = gain_table([run, replace(run, method="less", path=str(other))], resampling=Resampling(replicates=300))
        beside[name] = both.cells["d", "m"]
        assert both.n_partly["d"]["auprc"] > 0
    for name in ("auprc", "comprehensiveness"):
        assert beside["groups"].intervals[name] == pytest.approx(beside["base"].intervals[name], rel=1e-6)
    made = row_values.from_predictions(str(tmp_path / "groups.parquet"), groups=r"[^:]+")  # in the order of the file
    assert not np.array_equal(made.hashes, found["groups"].hashes)
    kept = [column.name for column in made.layout.columns].index("auprc")
    assert kept > 0
    np.testing.assert_array_equal(made.among({"auprc"}).values, made.values[[kept]])
    assert made.grouped_by == found["groups"].grouped_by == r"[^:]+"
    assert len(np.unique(made.groups[10:50], axis=0)) > 5  # type: ignore[index]
    counts = [found[name].state(Resampling(replicates=0)).n_groups() for name in ("base", "alone", "groups")]
    assert counts == [None, None, 60]
    one, other = (State(made.layout, Resampling(replicates=100)) for _ in "ab")
    for state, part in ((one, slice(0, 30)), (other, slice(30, None))):
        state.add(made.hashes[part], made.values[:, part], made.groups[part])  # type: ignore[index]
    one.merge(other)
    assert one.n_groups() == 60
    report = found["groups"].state(Resampling(replicates=100)).compute()
    assert one.compute()["auprc"].low == pytest.approx(report["auprc"].low, abs=1e-6)
    assert report["macro_f1"].interval == "wilson_t"
    # A share of rows has an interval of its own only where the rows are independent.
    pq.write_table(predictions.as_table(several, hows=("attention",), headline="accuracy"), tmp_path / "share.parquet")
    for pattern, method in ((None, "wilson"), (r"[^:]+", "wilson_t")):
        share = row_values.from_predictions(str(tmp_path / "share.parquet"), groups=pattern)
        assert share.state(Resampling(replicates=50)).compute()["accuracy"].interval == method
    shift = {name: replace(one, values=one.values + 0.25) for name, one in found.items()}
    gaps = {name: paired([shift[name]], [one], Resampling(replicates=100)) for name, one in found.items()}
    assert [(one.low, one.high) for one in gaps["groups"]] == [
        (pytest.approx(one.low, rel=1e-6), pytest.approx(one.high, rel=1e-6)) for one in gaps["base"]
    ]
    with pytest.raises(ValueError, match="in other groups than those of the first"):
        paired([found["groups"]], [found["alone"]], Resampling(replicates=0))
    with pytest.raises(ValueError, match="not drawn in the same groups"):
        gain_table([replace(runs[1], method="n"), runs[2]], resampling=Resampling(replicates=0))
    for pattern in ("doc", "7", "x*"):  # of which the last two match, but not at the beginning or nothing
        with pytest.raises(ValueError, match=r"id 'row-7-0-é' does not begin with '.*', expected a group of rows"):
            row_values.from_predictions(str(tmp_path / "base.parquet"), groups=pattern)
    row_values.write(made, tmp_path / "once.parquet")
    row_values.write(made.ordered(), tmp_path / "again.parquet")
    assert (tmp_path / "once.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()
    with pytest.raises(ValueError, match="has groups of rows, expected none"):
        found["groups"].state(Resampling(replicates=0)).to_bytes()

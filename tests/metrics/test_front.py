"""The methods of a table of relative gains that no other one dominates."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from metrics.test_nrg import QUICK, write_run
from unirex.metrics.nrg import gain_table
from unirex.metrics.nrg_table import COMPOSITES, FRONT, Cell, GainTable, Mean
from unirex.metrics.nrg_text import FORMATS
from unirex.metrics.runs import read_runs

PARTS = COMPOSITES[:-1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> GainTable:
    folder = tmp_path_factory.mktemp("front")
    for data, method in product(("sst", "stf"), ("aa", "fresh", "slm", "random")):
        write_run(folder / method / f"{data}.parquet", len(data) + ord(data[1]), ord(method[0]), gold=data == "sst")
    return gain_table(read_runs(f"{folder}/{{method}}/{{data}}.parquet"), controls=["random"], resampling=QUICK)


def with_composites(table: GainTable, composites: dict[str, dict[str, float]]) -> GainTable:
    """A table of one data set that has these composites."""
    any_cell = next(iter(table.cells.values()))
    cells = {("sst", method): replace(any_cell, composites=found) for method, found in composites.items()}
    means = {method: Mean(composites=found, low=None, high=None, interval=None) for method, found in composites.items()}
    return replace(table, methods=tuple(composites), data=("sst",), cells=cells, means=means)


def dominates(one: Cell, other: Cell) -> bool:
    def value(cell: Cell, name: str) -> float:
        found = cell.composites.get(name, float("nan"))
        return -1e9 if np.isnan(found) else found

    pairs = [(value(one, name), value(other, name)) for name in PARTS]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_no_other_dominates(made: GainTable, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = PARTS[:: 1 + seed % 2]  # with and without gold
    methods = [f"m{i}" for i in range(rng.integers(2, 9))]
    # Few values, so that many are equal, and some undefined.
    values = rng.choice([0, 0.25, 0.5, 1, np.nan], (len(methods), len(parts)), p=[0.2, 0.25, 0.25, 0.2, 0.1])
    table = with_composites(
        made, {m: dict(zip(parts, map(float, v), strict=True)) for m, v in zip(methods, values, strict=True)}
    )
    table = replace(table, controls=("m1",))
    cells = {method: table.cells["sst", method] for method in methods if method != "m1"}
    expected = [m for m, cell in cells.items() if not any(dominates(other, cell) for other in cells.values())]
    assert expected
    assert table.front("sst") == table.front(None) == expected


def test_equal_methods_are_both_on_it_and_controls_where_there_is_no_other(made: GainTable) -> None:
    same = {"FNRG": 0.5, "PNRG": 0.5, "TNRG": 0.5}
    table = with_composites(made, {"a": same, "b": same, "c": {**same, "TNRG": 0.4}, "random": {**same, "FNRG": 1.0}})
    assert table.front("sst") == ["a", "b"]
    assert replace(table, controls=("a", "b", "c", "random")).front("sst") == ["random"]


def test_every_format_for_readers_has_it(made: GainTable) -> None:
    for form in ("text", "markdown", "latex"):
        told = FORMATS[form](made)
        assert [told.count(f"front: {', '.join(made.front(data))}\n") for data in ("sst", "stf", None)] == [1, 1, 1]
        assert told.count(FRONT) == 1
    found = json.loads(FORMATS["json"](made))
    assert [each["front"] for each in found["data"]] == [made.front("sst"), made.front("stf")]
    assert found["mean_front"] == made.front(None)
    assert json.loads(FORMATS["json"](made.without_means()))["mean_front"] == []


def test_a_table_is_made_of_a_pattern_as_of_its_runs(tmp_path: Path) -> None:
    for method in ("aa", "slm"):
        write_run(tmp_path / method / "sst.parquet", 0, len(method))
    pattern = f"{tmp_path}/{{method}}/{{data}}.parquet"
    assert repr(gain_table(pattern, resampling=QUICK)) == repr(gain_table(read_runs(pattern), resampling=QUICK))

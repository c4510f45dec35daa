"""Two runs side by side: the intervals of `unirex-metrics compare`, the texts found by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from unirex.metrics import compare
from unirex.metrics.state import Resampling
from unirex.report import RunReport, build, tables

SOME = Resampling(replicates=300)
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def two(make_run: Make) -> RunReport:
    return build(make_run("a"), make_run("b", seed=1), resampling=SOME)


def test_intervals_are_those_of_the_paired_comparison(make_run: Make, two: RunReport) -> None:
    assert two.apart is not None
    files = [make_run("a") / "predictions.parquet", make_run("b", seed=1) / "predictions.parquet"]
    [expected] = compare(files, resampling=SOME).differences
    assert (
        {"accuracy", "comprehensiveness", "auprc"}
        <= {one.metric for one in expected}
        <= two.apart.means.keys() | {one.metric for one in expected if one.metric.startswith("normalised")}
    )
    for one in expected:
        if not one.metric.startswith("normalised"):
            found = two.apart.means[one.metric]
            assert (found.difference, found.low, found.high) == pytest.approx((one.difference, one.low, one.high))


def test_the_texts_furthest_apart_are_those_of_the_files(make_run: Make, two: RunReport) -> None:
    sides = [
        pq.read_table(make_run(n, **o) / "predictions.parquet").to_pylist() for n, o in (("a", {}), ("b", {"seed": 1}))
    ]

    def csd(row: dict[str, list[list[float]]]) -> float:
        answer = ["no", "yes"].index(str(row["prediction"]))
        removed, kept = (np.mean([p[answer] for p in row[f"{kind}.attention.self"]]) for kind in ("remove", "keep"))
        return float(kept - removed)

    gaps = {str(a["id"]): csd(a) - csd(b) for a, b in zip(*sides, strict=True)}
    wanted = dict(sorted(gaps.items(), key=lambda pair: -abs(pair[1]))[:12])
    found = {one.id: one.apart for one in two.instances if one.apart is not None}
    assert found == {name: pytest.approx(gap) for name, gap in wanted.items()}
    page = two.to_html()
    part = page[page.index('id="apart"') : page.index('id="curves"')]
    assert [name for name in wanted if f"<bdi>{name}</bdi>" in part] == list(wanted)[:3]


def test_best_is_said_only_where_the_paired_interval_supports_it(make_run: Make, two: RunReport) -> None:
    assert two.apart is not None
    clear = {name for name, one in two.apart.means.items() if one.low is not None and one.low * (one.high or 0) > 0}
    assert set(two.leaders) == clear
    assert clear < two.apart.means.keys()
    table = tables.headline(two)
    best = [
        (row.name, head.text)
        for row in table.rows
        for head, cell in zip(table.heads, row.cells, strict=True)
        if cell.best
    ]
    assert len(best) == len([name for name in clear if name != "csd"])
    assert two.to_text().count(" *") == 2 * len(best)
    same = build(make_run("a"), make_run("c"), resampling=SOME)  # the same numbers under another name
    assert same.leaders == {}
    assert not any(cell.best for row in tables.headline(same).rows for cell in row.cells)
    assert "The difference may be chance in" in same.to_html()


def test_runs_are_compared_in_what_both_have(make_run: Make, two: RunReport, tmp_path: Path) -> None:
    """Columns that one run has more than the other say nothing about the others."""
    assert two.apart is not None
    table = pq.read_table(make_run("b", seed=1) / "predictions.parquet")
    for missing in ("null.attention.self", "keep.attention.self"):
        pq.write_table(table.drop_columns([missing]), tmp_path / "b.parquet")
        report = build(make_run("a"), tmp_path / "b.parquet", resampling=SOME)
        assert report.apart is not None
        assert report.apart.means["comprehensiveness"] == two.apart.means["comprehensiveness"]
        assert ("sufficiency" in report.apart.means) == (missing == "null.attention.self")
        assert report.leaders == {name: run for name, run in two.leaders.items() if name in report.apart.means}


def test_other_texts_are_not_compared(make_run: Make) -> None:
    report = build(make_run("a"), make_run("d", n=40), resampling=SOME)
    assert report.apart is None
    assert report.leaders == {}
    assert 'id="apart"' not in report.to_html()

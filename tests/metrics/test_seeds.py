"""Numbers over several seeds: what rows and seeds give their variance, and what the report on their means keeps."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from reference import predictions
from unirex.metrics import Report, Resampling, State, finish, plan
from unirex.metrics.intervals import NONE, UNBOUNDED, Variance, interval
from unirex.metrics.seeds import Draws, draws_of, metric_interval, over_seeds


def draws(values: list[float], replicates: list[list[float]], n: int) -> Draws:
    return Draws(values=np.array(values), replicates=np.array(replicates), n=n)


TWO = draws([0.2, 0.4], [[0.1, 0.3, 0.2], [0.3, 0.5, 0.1]], 10)
"""Their mean under the replicates is 0.2, 0.4, 0.15; three replicates tell a variance as three rows would."""
THREE = draws([0.5, 0.6, 1.0], [[0.5, 0.6, 0.9]] * 3, 7)
ROWS = np.var([0.2, 0.4, 0.15], ddof=1)
GAPS = np.var([0.2 - 0.5, 0.4 - 0.6, 0.15 - 0.9], ddof=1)


def test_the_variance_of_a_mean_is_that_of_rows_and_of_seeds() -> None:
    assert TWO.mean == pytest.approx(0.3)
    assert np.array(TWO.variance().parts) == pytest.approx(np.array([(ROWS, 2.0), (0.02 / 2, 1.0)]))


def test_a_difference_is_paired_by_rows_and_not_by_seeds() -> None:
    value, variance = TWO.minus(THREE)
    assert value == pytest.approx(0.3 - 0.7)
    seeds = [(0.02 / 2, 1.0), (np.var([0.5, 0.6, 1.0], ddof=1) / 3, 2.0)]
    assert np.array(variance.parts) == pytest.approx(np.array([(GAPS, 2.0), *seeds]))


@pytest.mark.parametrize(
    ("bounds", "widest"), [((0.0, 1.0), (-1.0, 1.0)), ((0.2, 1.0), (-0.8, 0.8)), ((0.0, math.inf), UNBOUNDED)]
)
def test_a_difference_lies_between_the_furthest_of_its_ends(
    bounds: tuple[float, float], widest: tuple[float, float]
) -> None:
    value, variance = TWO.minus(THREE)
    expected = interval(value, variance, n=7, confidence=0.9, bounds=widest, seeds=3)
    assert TWO.gap(THREE, 0.9, bounds) == expected
    assert expected.method == ("seeds_t" if widest is UNBOUNDED else "seeds_wilson_t")


def test_the_method_names_seeds_if_either_side_has_several() -> None:
    one = draws([0.5], [[0.5, 0.6, 0.9]], 7)
    assert TWO.gap(one, 0.9).method == one.gap(TWO, 0.9).method == "seeds_t"
    assert one.gap(one, 0.9, (0, 1)).method == "wilson_t"
    assert one.interval(0.9).method == "t"
    assert TWO.interval(0.9, (0, 1)) == interval(TWO.mean, TWO.variance(), n=10, confidence=0.9, bounds=(0, 1), seeds=2)


def test_the_fewer_rows_of_two_systems_count_where_no_row_differs() -> None:
    many, few = (draws([0.25], [[0.25, 0.25]], n) for n in (100, 10))
    expected = interval(0.0, Variance(((0.0, 9.0),)), n=10, confidence=0.95, bounds=(-1, 1))
    assert many.gap(few, 0.95, (0, 1)) == few.gap(many, 0.95, (0, 1)) == expected
    assert expected.low is not None
    many, few = (draws([0.25], [np.linspace(0, 1, 50).tolist()], n) for n in (100, 10))
    assert [one.minus(other)[1].parts[0][1] for one, other in ((many, few), (few, many), (many, many))] == [9, 9, 49]


def test_without_replicates_there_is_no_interval() -> None:
    bare = draws([0.2, 0.4], [[], []], 10)
    assert bare.interval(0.95, (0, 1)) == bare.gap(bare, 0.95, (0, 1)) == NONE


def scored(replicates: int = 30) -> tuple[list[State], list[Report]]:
    """Two seeds of a system: gold is unknown in one row more of the second, and there a word has no score."""
    states, reports = [], []
    for seed in (0, 1):
        rows = predictions.rows(0, 40, hows=("attention",))
        with_gold = [row for row in rows if row["gold"] is not None]
        for row in rows:
            row["scores"] = [None if s is None else s + seed * i for i, s in enumerate(row["scores"])]
        if seed:
            with_gold[0]["gold"] = None
            rows[-1]["scores"] = [1.0] * len(rows[-1]["scores"])
        table: pa.Table = predictions.as_table(rows, hows=("attention",))
        made = plan(table, resampling=Resampling(replicates=replicates))
        state = made.state()
        for batch in table.to_batches():
            state.update(batch)
        states.append(state)
        reports.append(finish(made, state))
    return states, reports


def test_a_report_on_two_seeds_has_their_means_and_the_fewer_rows() -> None:
    states, reports = scored()
    reports[1] = replace(reports[1], about={"source": "table", "model": "of the second seed"})
    report = over_seeds(reports, states, "{seed}.parquet")
    assert report.about == {**reports[0].about, "source": "{seed}.parquet", "seeds": "2"}
    for order in ([0, 1], [1, 0]):
        turned = over_seeds([reports[i] for i in order], [states[i] for i in order], "both")["token_f1"]
        first, second = (one["token_f1"] for one in reports)
        assert turned.value == pytest.approx((first.value + second.value) / 2)
        assert (turned.n, turned.n_undefined) == (first.n - 1, first.n_undefined + 1)
    definition = next(d for d in states[0].layout.definitions if d.name == "token_f1")
    both = draws_of(definition, states)
    assert both.n == draws_of(definition, states[::-1]).n == reports[1]["token_f1"].n
    found = report["token_f1"]
    assert (found.low, found.high, found.interval) == both.interval(0.95, (0, 1))
    assert found.interval == "seeds_wilson_t"


def test_a_report_on_one_seed_stays_as_it_is() -> None:
    states, reports = scored()
    assert over_seeds(reports[:1], states[:1], "other") is reports[0]
    definition = next(d for d in states[0].layout.definitions if d.name == "auprc")
    alone = reports[0]["auprc"]
    assert metric_interval(definition, states[:1]) == (alone.low, alone.high, alone.interval)
    assert alone.interval == "wilson_t"


def test_means_over_seeds_without_replicates_have_no_interval() -> None:
    states, reports = scored(replicates=0)
    report = over_seeds(reports, states, "both")
    assert {(metric.low, metric.high, metric.interval) for metric in report.metrics} == {NONE}
    assert report["accuracy"].value == reports[0]["accuracy"].value


def test_what_looks_wrong_in_any_seed_is_told() -> None:
    states, reports = scored()
    assert reports[0].odd != reports[1].odd
    told = over_seeds(reports, states, "both").odd
    assert set(told) == {*reports[0].odd, *reports[1].odd}
    assert len(told) == len(set(told))

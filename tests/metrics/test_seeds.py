"""Numbers over several seeds: what rows and seeds give their variance, and what the report on their means keeps."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference import predictions
from unirex.metrics import Report, Resampling, State, compare, finish, plan, row_values, score
from unirex.metrics.intervals import NONE, UNBOUNDED, Variance, interval
from unirex.metrics.layout import Layout
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


def of_a_rare_class(found: set[int], *, rare: int = 10) -> Any:
    """1,000 rows, the first of them `rare`; `found` are predicted to be."""
    ids = [f"{i % 500}:{i}" for i in range(1000)]
    label, prediction = ([("rare" if i in of else "other") for i in range(1000)] for of in (range(rare), found))
    probabilities = [[0.1, 0.9] if one == "rare" else [0.9, 0.1] for one in prediction]
    own = {"id": ids, "label": label, "prediction": prediction, "probabilities": probabilities}
    same: dict[str, Any] = {"words": ["a", "b"], "scores": [1.0, 0.0], "rationale": [True, False], "gold": [1.0, 0.0]}
    same |= {"fractions": [0.5], "words_cut": 0, "gold_cut": 0}
    header = {"schema_version": 1, "labels": ["other", "rare"], "choice": False, "headline": "f1:rare", "unit": "word"}
    table = pa.table(own | {name: [value] * 1000 for name, value in same.items()})
    return table.replace_schema_metadata({"unirex": json.dumps(header)})


@pytest.mark.parametrize(
    ("metric", "found", "trials"),
    [
        ("f1:rare", set(), 10),
        ("recall:rare", set(), 10),
        ("precision:rare", {1, 2, 3}, 3),
        ("precision:rare", {20, 21, 22}, 3),
        ("f1:rare", set(range(10)), 10),
    ],
)
def test_only_rows_that_count_stand_behind_a_class(metric: str, found: set[int], trials: int, tmp_path: Path) -> None:
    table = of_a_rare_class(found)
    alone = score(table)[metric]
    expected = pytest.approx((alone.low, alone.high))
    assert (alone.n, alone.n_undefined, alone.interval) == (trials, 0, "wilson")

    compared = compare([{"0": table, "1": table}, {"0": table, "1": table}], metrics=[metric])
    seeds, gap = compared.reports[0][metric], compared.differences[0][0]
    assert (seeds.low, seeds.high) == expected
    assert (seeds.n, seeds.interval, gap.n) == (trials, "seeds_wilson_t", trials)
    # What none of the rows shows of one system may be so of the other alone.
    assert (gap.high, gap.low) == pytest.approx((alone.high - alone.low, alone.low - alone.high))
    assert any(f"{metric} ({trials})" in note for note in compared.notes)


def test_the_system_with_fewer_rows_that_count_is_told() -> None:
    few, many = of_a_rare_class({1, 2, 3}), of_a_rare_class(set(range(200)))
    for systems in ([few, many], [many, few]):
        compared = compare(systems, metrics=["precision:rare"])
        assert compared.differences[0][0].n == 3
        assert any("precision:rare (3)" in note for note in compared.notes)


def test_fewer_rows_that_count_are_never_surer() -> None:
    rng = np.random.default_rng(0)
    others = [of_a_rare_class({*rng.choice(80, 60, replace=False).tolist()}, rare=40) for _ in range(2)]
    against = [of_a_rare_class({*rng.choice(80, 60, replace=False).tolist()}, rare=40) for _ in range(3)]
    widths, means = [], []
    for n in (1, 2, 6, 30):
        seeds = {str(i): table for i, table in enumerate([of_a_rare_class(set(range(n)), rare=40), *others])}
        found = compare([seeds, {str(i): table for i, table in enumerate(against)}], metrics=["precision:rare"])
        one, gap = found.reports[0]["precision:rare"], found.differences[0][0]
        means.append((one.high or 0) - (one.low or 0))
        widths.append((gap.high or 0) - (gap.low or 0))
    # The first seed is always right, so that the values are the same: only what is known of them is not.
    for found_widths in (means, widths):
        assert max(found_widths) <= 1.02 * min(found_widths)

    whole = []
    for n in (1, 2, 6, 30):
        seeds = dict.fromkeys("012", of_a_rare_class(set(range(n)), rare=40))
        gap = compare([seeds, dict(zip("012", against, strict=True))], metrics=["precision:rare"]).differences[0][0]
        whole.append((gap.high or 0) - (gap.low or 0))
    assert whole == sorted(whole, reverse=True)


@pytest.mark.parametrize("found", [set(), set(range(10))])
def test_groups_that_count_stand_behind_a_class(found: set[int], tmp_path: Path) -> None:
    table, path = of_a_rare_class(found), tmp_path / "rows.parquet"
    pq.write_table(table, path)
    alone = score(table)["f1:rare"]
    grouped = row_values.from_predictions(str(path), groups="[^:]+").state(Resampling()).compute()["f1:rare"]
    # No two of these rows are in one group.
    assert (grouped.n, grouped.low, grouped.high) == (10, pytest.approx(alone.low), pytest.approx(alone.high))
    assert grouped.interval == "wilson_t"


def test_rows_of_one_group_count_once_for_a_class() -> None:
    layout = Layout(labels=("other", "rare"), has_label=True, only=frozenset({"f1:rare", "accuracy"}))
    state = State(layout, Resampling(replicates=50))
    hit, true, predicted = (np.arange(40) < n for n in (0, 6, 0))
    columns = {"accuracy": ~true, "#hit:rare": hit, "#true:rare": true, "#predicted:rare": predicted}
    values = np.array([columns[column.name] for column in layout.columns], dtype=np.float64)
    hashes = np.array([[i, 0] for i in range(40)], dtype=np.uint64)
    state.add(hashes, values, hashes // np.uint64(2))
    f1 = next(one for one in layout.definitions if one.name == "f1:rare")
    assert (state.n_rows_of(f1), state.n_behind(f1), state.n_groups()) == (6, 3, 20)


def test_a_mean_over_classes_leaves_open_what_its_rarest_does() -> None:
    right = of_a_rare_class({1, 2, 3, 0}, rare=4)
    found = score(right)
    lows = [found[name].low or 0 for name in ("f1:other", "f1:rare")]
    macro = found["macro_f1"]
    assert macro.value == macro.high == 1
    assert lows[1] < (macro.low or 0) < lows[0]
    assert macro.low == pytest.approx(np.mean(lows), abs=0.05)

"""Intervals hold the truth as often as they say: every kind that the tool prints, in simulated worlds.

The worlds are those of benches/coverage.py, which measures more of them; docs/metrics.md has its table.
"""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from reference import predictions
from unirex.metrics import Report, Resampling, State, score
from unirex.metrics.intervals import (
    Variance,
    few_rows,
    few_seeds,
    interval,
    is_rounding,
    of_rows,
    of_seeds,
    t_quantile,
    t_tail,
    wilson_ends,
)
from unirex.metrics.layout import Layout


def bench() -> ModuleType:
    path = Path(__file__).parents[2] / "benches" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_bench", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WORLDS = bench()
ENOUGH = [name for name in WORLDS.CHEAP if " 20 rows" not in name]


@pytest.mark.parametrize("name", [name for name in ENOUGH if " 400 rows" not in name or "accuracy" in name])
def test_metrics_of_one_run(name: str) -> None:
    assert 0.92 <= WORLDS.measure_cheap(name, 400) <= 0.985


@pytest.mark.parametrize("name", [name for name in WORLDS.CHEAP if " 20 rows" in name])
def test_metrics_of_one_run_on_very_few_rows(name: str) -> None:
    assert 0.89 <= WORLDS.measure_cheap(name, 400) <= 0.99


def test_accuracies_from_middle_to_bound() -> None:
    rng = np.random.default_rng(0)
    for n in (20, 50, 100):
        held = [WORLDS.share(rng, n, p) for p in (0.5, 0.7, 0.8, 0.9, 0.95, 0.98) for _ in range(100)]
        assert 0.93 <= np.mean(held) <= 0.98


@pytest.fixture(scope="module")
def tables() -> dict[str, float]:
    found: dict[str, float] = WORLDS.measure_tables(40)
    return found


KINDS = [
    "paired difference, accuracy",
    "paired difference, comprehensiveness",
    *(
        f"{what}, {behind}"
        for behind in ("rows", "rows and 3 seeds")
        for what in ("task", "comprehensiveness", "CNRG", "CNRG of the best method", "CNRG over another's")
    ),
    "paired difference, accuracy, rows and 3 seeds",
    "paired difference, comprehensiveness, rows and 3 seeds",
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_comparisons_and_tables_of_several_runs(kind: str, tables: dict[str, float]) -> None:
    # Of 40 worlds; a method found by chance too good or bad tells little of the others, so the band is wide.
    assert tables[kind] >= 0.87


@pytest.mark.slow
def test_comparisons_and_tables_of_several_runs_are_not_too_wide_either(tables: dict[str, float]) -> None:
    assert 0.93 <= np.mean([tables[kind] for kind in KINDS]) <= 0.975


def test_wilson_is_that_of_scipy() -> None:
    for hits, n in ((0, 20), (19, 20), (20, 20), (49, 50), (1, 3), (500, 1000)):
        expected = stats.binomtest(hits, n).proportion_ci(0.9, method="wilson")
        assert wilson_ends(hits / n, n, stats.norm.ppf(0.95)) == pytest.approx((expected.low, expected.high), abs=1e-9)
        layout = Layout(labels=("a", "b"), has_label=True, only=frozenset({"accuracy", "recall:a", "f1:a"}))
        state = State(layout, Resampling(replicates=5, confidence=0.9))
        right = np.arange(n) < hits
        values = {"accuracy": right, "#hit:a": right, "#true:a": np.ones(n), "#predicted:a": right}
        state.add(
            np.arange(2 * n, dtype=np.uint64).reshape(n, 2), np.array([values[c.name] for c in layout.columns], float)
        )
        report = state.compute()
        for name in ("accuracy", "recall:a"):
            metric = report[name]
            assert metric.interval == "wilson"
            assert (metric.low, metric.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
        # All that are predicted are true, so F1 = 2 J / (1 + J) with J = recall.
        ends = [2 * end / (1 + end) for end in (expected.low, expected.high)]
        assert (report["f1:a"].low, report["f1:a"].high) == pytest.approx(ends, abs=1e-9)


def test_student_is_that_of_scipy() -> None:
    for freedom in (1, 1.3, 2, 2.7, 5, 30, 199.5, 200, 1e3, 1e7, math.inf):
        for confidence in (0.5, 0.9, 0.95, 0.999):
            expected = stats.t.ppf((1 + confidence) / 2, freedom)
            assert t_quantile(confidence, freedom) == pytest.approx(expected, rel=2e-6)
        for t in (0.0, 0.5, 2.0, -5.0):
            rightly = 2 * stats.t.sf(abs(t), freedom)
            assert t_tail(t, freedom) == pytest.approx(rightly, abs=2e-5)
            if freedom <= 10_000:
                assert t_tail(t, freedom) == pytest.approx(rightly, rel=1e-6)


@pytest.mark.parametrize(("confidence", "tolerance"), [(0.5, 2e-11), (0.7, 2e-11), (0.95, 1e-9), (0.999, 2e-8)])
def test_the_series_of_many_degrees_of_freedom_has_every_term(confidence: float, tolerance: float) -> None:
    for freedom in (200, 300):
        expected = stats.t.ppf((1 + confidence) / 2, freedom)
        assert t_quantile(confidence, freedom) == pytest.approx(expected, rel=tolerance, abs=0)


def test_a_share_at_a_bound_has_an_interval_that_ends_there() -> None:
    """To the last bit, for every number of rows."""
    for n in range(1, 100):
        for z in (1.28, 1.645, 1.96, 2.576):
            assert wilson_ends(1.0, n, z)[1] == 1
            assert wilson_ends(0.0, n, z)[0] == 0


def test_a_variance_needs_two_values() -> None:
    assert of_rows(np.array([0.2, np.nan, 0.4]), 10).parts[0] == pytest.approx((0.02, 1.0))
    assert of_rows(np.array([0.2, 0.4]), 2).parts[0] == pytest.approx((0.02, 1.0))
    assert of_rows(np.array([0.2, np.nan]), 10) == of_rows(np.array([0.2, 0.4]), 1) == Variance()
    assert of_seeds([0.2, 0.4]).parts[0] == pytest.approx((0.01, 1.0))
    assert of_seeds([0.2]) == Variance()


def test_rounding_is_small_beside_the_largest_number() -> None:
    assert is_rounding(1e-9, 0.1)
    assert not is_rounding(1.1e-9, 0.1)
    assert not is_rounding(-1.1e-9, 1.0)
    assert is_rounding(-3.9e-9, 4.0)
    assert not is_rounding(4.1e-9, 4.0)
    spread = np.array([1e-8, 1e6])
    for found in (of_rows(1e6 + spread * 1e-9, 5), of_seeds(1e6 + spread * 1e-9)):
        assert found.parts[0][0] == 0
    for found in (of_rows(spread - 1e6, 5), of_seeds(spread - 1e6)):
        assert found.total > 1e11


def test_an_interval_ends_where_the_metric_does() -> None:
    wide = Variance(((9.0, 4.0),))
    half_open = interval(1.0, wide, n=5, confidence=0.95, bounds=(0, math.inf))
    unbounded = interval(1.0, wide, n=5, confidence=0.95)
    assert half_open == (0, unbounded.high, "t")
    assert unbounded.low is not None
    assert unbounded.low < -7
    few = pa.table({"id": ["a", "b"], "rationale": [[0, 1, 1, 1], [1, 0]], "scores": [[0.1, 0.9, 0.2, 0], [0.1, 0.3]]})
    for metric in score(few).metrics:
        assert metric.low is None or metric.low >= metric.range[0], metric.name


def test_freedom_is_satterthwaites() -> None:
    both = Variance(((2.0, 3.0),)) + Variance(((0.5, 20.0),))
    assert both.freedom == pytest.approx(2.5**2 / (4 / 3 + 0.25 / 20))
    assert both.scaled(4.0).freedom == pytest.approx(both.freedom)
    assert both.scaled(4.0).total == 10


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_rows_that_all_agree_leave_an_interval(value: float) -> None:
    low, high, method = interval(value, Variance(((0.0, 19.0),)), n=20, confidence=0.95, bounds=(0, 1))
    assert method == "wilson_t"
    assert low is not None
    assert high is not None
    assert 0 <= low <= value <= high <= 1
    # Wilson's for 20 of 20.
    assert high - low == pytest.approx(1.96**2 / (20 + 1.96**2), abs=1e-4)
    assert interval(value, Variance(), n=20, confidence=0.95) == (None, None, None)


def test_every_interval_names_its_method_and_few_rows_are_said() -> None:
    few, many = (score(predictions.table(0, n), resampling=Resampling(replicates=50)) for n in (60, 400))
    methods = {metric.name: metric.interval for metric in few.metrics if metric.low is not None}
    assert methods["accuracy"] == methods["precision:pos"] == methods["f1:pos"] == "wilson"
    assert methods["macro_f1"] == methods["token_f1"] == methods["token_f1_micro"] == "wilson_t"
    assert methods["log_odds"] == methods["rationale_length"] == "t"
    assert None not in methods.values()
    for metric in few.metrics:
        if metric.low is not None and metric.high is not None:
            assert metric.range[0] - 1e-12 <= metric.low <= metric.value <= metric.high <= metric.range[1] + 1e-12
    assert few.as_dict()["notes"] == few.notes
    assert "fewer than 100 rows stand behind" in few.notes[-1]
    assert few.notes[-1] in few.to_text()
    assert not notes_about(many, "accuracy")
    without = score(predictions.table(0, 60), resampling=Resampling(replicates=0))
    assert without.notes == [f"note: {line}" for line in without.odd]


def test_few_rows_and_few_seeds_begin_where_they_say() -> None:
    assert few_rows([("auprc", 100)], 0.95) == few_rows([("auprc", 99)], None) == []
    assert "stand behind auprc (99): its 95 % interval may" in few_rows([("auprc", 99), ("roc_auc", 100)], 0.95)[0]
    assert "behind roc_auc (9) and 1 more: their 90 % intervals" in few_rows([("auprc", 99), ("roc_auc", 9)], 0.9)[0]
    assert few_seeds([1, 1]) == few_seeds([3, 3]) == []
    assert few_seeds([2, 3])[0].startswith("note: two seeds")
    assert few_seeds([3, 1])[0].startswith("note: one seed")


def notes_about(report: Report, name: str) -> list[str]:
    return [note for note in report.notes if name in note]

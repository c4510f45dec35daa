"""The array functions against slow twins, however the rows are handed over."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.metrics import f1_score

from reference.metrics import iou_prf, prf, ranking
from unirex import metrics

Row = tuple[list[float], list[bool], list[float]]


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    found = []
    for _ in range(draw(st.integers(1, 6))):
        n = draw(st.integers(0, 9))
        scores = draw(
            st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.1 + 0.2, 0.3, 1e300, 5e-324]), min_size=n, max_size=n)
        )
        rationale = draw(st.lists(st.booleans(), min_size=n, max_size=n))
        gold = draw(st.lists(st.sampled_from([0.0, 0.5, 0.51, 1.0]), min_size=n, max_size=n))
        found.append((scores, rationale, gold))
    return found


def pair(column: list[list[Any]], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, column)])
    return np.array([x for row in column for x in row], dtype=dtype), offsets


def padded_slice(column: list[list[Any]], inner: pa.DataType) -> pa.Array:
    """A slice in the middle of a longer array, with values before and after it."""
    junk = [[pa.types.is_boolean(inner) or 1.0] * 3]
    return pa.array(junk + column + junk, pa.list_(inner)).slice(1, len(column))


def test_no_rows_have_no_values() -> None:
    for found in (metrics.auprc([], []), metrics.token_f1([], []), metrics.complexity([]), *metrics.rank_rows([], [])):
        assert found.tolist() == []


def test_marks_are_read_as_marks_whatever_their_bytes() -> None:
    """A bool array may hold any byte, as a view of another array does."""
    scores, gold, offsets = np.array([0.9, 0.1, 0.8, 0.3, 0.2, 0.7]), np.array([1, 0, 0, 1, 0, 0], np.uint8), [0, 6]
    expected = [float(metric[0]) for metric in metrics.rank_rows((scores, offsets), (gold.astype(bool), offsets))]
    for byte in (2, 128, 255):
        found = metrics.rank_rows((scores, offsets), ((gold * byte).view(bool), offsets))
        assert [float(metric[0]) for metric in found] == expected


FORMS: dict[str, Callable[[list[list[Any]], type, pa.DataType], Any]] = {
    "values and offsets": lambda column, dtype, _: pair(column, dtype),
    "arrow": lambda column, _, inner: pa.array(column, pa.large_list(inner)),
    "sliced arrow": lambda column, _, inner: padded_slice(column, inner),
    "chunked arrow": lambda column, _, inner: pa.chunked_array(
        [pa.array(column[:1], pa.list_(inner)), pa.array(column[1:], pa.list_(inner))]
    ),
}


@pytest.mark.parametrize("form", FORMS)
@given(rows=rows())
@settings(max_examples=25, deadline=None)
def test_plausibility_agrees_with_its_slow_twin(form: str, rows: list[Row]) -> None:
    scores, rationale, gold = (list(column) for column in zip(*rows, strict=True))
    as_scores = FORMS[form](scores, float, pa.float64())
    as_rationale = FORMS[form](rationale, bool, pa.bool_())
    as_gold = FORMS[form](gold, float, pa.float64())
    expected = np.array([ranking(s, g) for s, g in zip(scores, gold, strict=True)])
    np.testing.assert_allclose(np.array(metrics.rank_rows(as_scores, as_gold)).T, expected, atol=1e-12)
    np.testing.assert_allclose(metrics.auprc(as_scores, as_gold), expected[:, 0], atol=1e-12)
    np.testing.assert_allclose(metrics.average_precision(as_scores, as_gold), expected[:, 1], atol=1e-12)
    np.testing.assert_allclose(metrics.roc_auc(as_scores, as_gold), expected[:, 2], atol=1e-12)
    tokens = np.array([prf(r, g) for r, g in zip(rationale, gold, strict=True)])
    for i, function in enumerate((metrics.token_precision, metrics.token_recall, metrics.token_f1)):
        np.testing.assert_allclose(function(as_rationale, as_gold), tokens[:, i], atol=1e-12)
    spans = np.array([iou_prf(r, g, 0.4) for r, g in zip(rationale, gold, strict=True)])
    np.testing.assert_allclose(np.array(metrics.iou_agreement(as_rationale, as_gold, 0.4)).T, spans, atol=1e-12)
    both = [
        f1_score([x > 0.5 for x in g], r, average="macro") if any(x > 0.5 for x in g) else 0.0
        for r, g in zip(rationale, gold, strict=True)
    ]
    np.testing.assert_allclose(metrics.token_f1_both_classes(as_rationale, as_gold), both, atol=1e-12)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = [entropy(np.abs(s) / np.max(np.abs(s))) if np.any(s) else np.nan for s in scores]
    np.testing.assert_allclose(metrics.complexity(as_scores), spread, atol=1e-12)
    assert metrics.rationale_length(as_rationale).tolist() == [sum(r) for r in rationale]


def test_null_rows_are_undefined_and_null_scores_rank_last() -> None:
    scores = pa.array([[0.1, None, None], None, [-5.0, None], [1.0]])
    gold = pa.array([[0, 1, 0], [1], [0, 1], None])
    found = metrics.auprc(scores, gold)
    expected = ranking([0.1, -9.0, -9.0], [0, 1, 0])[0], ranking([-5.0, -9.0], [0, 1])[0]
    assert found[[0, 2]] == pytest.approx(expected)
    assert np.isnan(found[[1, 3]]).all()


def test_a_null_row_may_hide_values() -> None:
    hidden = pa.ListArray.from_arrays(
        pa.array([0, 2, 4, 6], pa.int32()),
        pa.array([1.0, 0.0, 9.0, 9.0, 0.0, 1.0]),
        mask=pa.array([False, True, False]),
    )
    found = metrics.auprc(hidden, pa.array([[1, 0], [1, 0], [1, 0]]))
    assert found[0] == 1.0
    assert np.isnan(found[1])
    assert found[2] < 1.0
    # Nor do values in front of the first row become those of a row.
    behind = (np.array([9.0, 1.0, 0.0, 9.0, 0.0, 1.0]), np.array([1, 3, 4, 6]))
    again = metrics.auprc(behind, pa.array([[1, 0], None, [1, 0]]))
    np.testing.assert_array_equal(again, found)


@given(
    st.integers(1, 5).flatmap(
        lambda c: st.lists(
            st.tuples(
                st.lists(st.floats(0, 1), min_size=c, max_size=c).filter(lambda p: sum(p) > 1e-6),
                st.lists(st.floats(0, 1), min_size=c, max_size=c).filter(lambda p: sum(p) > 1e-6),
                st.lists(st.floats(0, 1), min_size=c, max_size=c).filter(lambda p: sum(p) > 1e-6),
            ),
            min_size=1,
            max_size=5,
        )
    )
)
@settings(max_examples=60, deadline=None)
def test_distributions_agree_with_scipy(rows: list[tuple[list[float], list[float], list[float]]]) -> None:
    full = np.array([row[0] for row in rows])
    other = np.array([row[1:] for row in rows])
    shift, divergence = metrics.entropy_shift(full, other), metrics.kl_divergence(full, other)
    for i, (p, *perturbed) in enumerate(rows):
        for k, q in enumerate(perturbed):
            assert shift[i, k] == pytest.approx(entropy(p) - entropy(q), abs=1e-9)
            kl = entropy(q, p)
            if np.isfinite(kl):
                assert divergence[i, k] == pytest.approx(kl, abs=1e-9)
            else:
                assert np.isnan(divergence[i, k]) or kl > 600


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=9))
def test_faithfulness_by_its_formulas(rows: list[tuple[float, float, float, float]]) -> None:
    full, null = np.array([r[0] for r in rows]), np.array([r[3] for r in rows])
    other = np.array([r[1:3] for r in rows])
    assert (metrics.comprehensiveness(full, other) == full[:, None] - other).all()
    assert (metrics.sufficiency(full, other) == metrics.comprehensiveness(full, other)).all()
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = np.log(other) - np.log(full[:, None])
        share = np.clip(np.maximum(0, full[:, None] - other) / np.maximum(0, full - null)[:, None], 0, 1)
    np.testing.assert_allclose(metrics.log_odds(full, other), np.where(np.isfinite(odds), odds, np.nan), atol=1e-12)
    share[full <= null] = np.nan
    np.testing.assert_allclose(metrics.normalised_comprehensiveness(full, other, null), share, atol=1e-12)
    np.testing.assert_allclose(metrics.normalised_sufficiency(full, other, null), 1 - share, atol=1e-12)
    np.testing.assert_allclose(metrics.aopc(other), other.mean(axis=1), atol=1e-15)
    np.testing.assert_allclose(metrics.aopc(other, "paper"), other.sum(axis=1) / 3, atol=1e-15)


@given(
    st.integers(1, 4).flatmap(
        lambda c: st.lists(
            st.tuples(
                st.integers(0, c - 1),
                st.lists(
                    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=c, max_size=c), min_size=3, max_size=3
                ),
            ),
            min_size=1,
            max_size=6,
        )
    )
)
def test_a_decision_flips_where_argmax_is_another_class(rows: list[tuple[int, list[list[float]]]]) -> None:
    """`np.argmax` takes the first of equals, too."""
    prediction, removed = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    expected = (removed.argmax(axis=2) != prediction[:, None]).astype(float)
    assert metrics.decision_flip(prediction, removed).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("prediction", "removed", "message"),
    [
        ([2], [[[0.5, 0.5]]], r"row 0: prediction\[0\] is 2, expected the position of a class"),
        ([0], [[0.5, 0.5]], r"prediction has shape \(1,\) and removed \(1, 2\), expected \[N\] and \[N, K, C\]"),
        ([0, 1], [[[0.5, 0.5]]], r"prediction has shape \(2,\) and removed \(1, 1, 2\)"),
        ([0], [[[1.5, 0.5]]], r"perturbed\[0\] is 1.5, expected a probability"),
        ([0.5], [[[0.5, 0.5]]], "prediction holds float64, expected integers"),
    ],
)
def test_a_decision_is_a_class_and_its_probabilities(prediction: Any, removed: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        metrics.decision_flip(prediction, removed)


def test_complexity_is_undefined_without_shares_and_leaves_out_what_was_never_seen() -> None:
    scores = pa.array([[0.0, 0.0], [], None, [None], [None, 1.0, -1.0], [3.0, 0.0, None]])
    expected = [np.nan] * 4 + [np.log(2), 0.0]
    assert metrics.complexity(scores) == pytest.approx(expected, nan_ok=True)
    infinite = np.array([[1.0, np.inf], [np.nan, 1.0], [1.0, 1.0]])
    assert metrics.complexity(infinite) == pytest.approx([np.nan, np.nan, np.log(2)], nan_ok=True)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=6), st.floats(0.1, 9))
def test_complexity_knows_no_sign_and_no_scale_but_another_kind_of_scores(scores: list[float], factor: float) -> None:
    found = metrics.complexity([scores])
    other = metrics.complexity([[-factor * s for s in scores]])
    if max(map(abs, scores)) > 1e-100:
        assert other == pytest.approx(found, abs=1e-9, nan_ok=True)
    assert metrics.complexity([[1.0, 2.0]])[0] > metrics.complexity([[1.0, 4.0]])[0] + 0.1


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6))
def test_relative_gain_is_antisymmetric(values: list[float]) -> None:
    up, down = metrics.relative_gain(values, "higher"), metrics.relative_gain(values, "lower")
    np.testing.assert_allclose(up + down, 1.0)
    if max(values) - min(values) > 1e-9:
        assert (up.min(), up.max()) == (0, 1)


BAD: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "p out of range": (lambda: metrics.comprehensiveness([0.5], [[1.5]]), ValueError, r"p_remove\[0\] is 1.5"),
    "p NaN": (lambda: metrics.sufficiency([np.nan], [[0.5]]), ValueError, r"p_full\[0\] is NaN"),
    "shape": (lambda: metrics.comprehensiveness([0.5], [0.5]), ValueError, r"expected \[N\] and \[N, K\]"),
    "null shape": (lambda: metrics.normalised_sufficiency([0.5], [[0.5]], [0.1, 0.2]), ValueError, "p_null"),
    "classes": (lambda: metrics.kl_divergence([[0.5, 0.5]], [[[1.0]]]), ValueError, r"expected \[N, C\]"),
    "rows": (lambda: metrics.auprc(np.zeros((2, 3)), np.zeros((1, 3))), ValueError, "gold has 1 rows, expected 2"),
    "lengths": (
        lambda: metrics.auprc(pa.array([[1.0], [1.0, 2.0]]), pa.array([[1], [1]])),
        ValueError,
        "row 1: gold has 1 values, expected 2",
    ),
    "token lengths": (
        lambda: metrics.token_f1(pa.array([[1], [1, 0]]), pa.array([[1], [1]])),
        ValueError,
        "row 1: gold has 1 values, expected 2",
    ),
    "NaN score": (
        lambda: metrics.auprc(np.array([[np.nan, 1]]), np.array([[0, 1]])),
        ValueError,
        r"scores\[0\] is NaN",
    ),
    "NaN gold": (lambda: metrics.token_f1(np.array([[1]]), np.array([[np.nan]])), ValueError, "gold.* is nan"),
    "null in gold": (
        lambda: metrics.auprc(pa.array([[1.0]]), pa.array([[None]], pa.list_(pa.int8()))),
        ValueError,
        "null",
    ),
    "text": (lambda: metrics.auprc(pa.array([["a"]]), pa.array([[1]])), TypeError, "expected lists of numbers"),
    "one dimension": (lambda: metrics.auprc(np.zeros(3), np.zeros(3)), TypeError, "has 1 dimensions"),
    "offsets": (lambda: metrics.auprc((np.zeros(3), [0, 4]), (np.zeros(3), [0, 3])), ValueError, "scores: offsets"),
    "descending": (lambda: metrics.rationale_length((np.zeros(3), [0, 3, 2])), ValueError, "rationale: offsets"),
    "no offsets": (lambda: metrics.rationale_length((np.zeros(3), [])), ValueError, "rationale: offsets"),
    "threshold": (
        lambda: metrics.iou_agreement(np.ones((1, 1)), np.ones((1, 1)), 0.0),
        ValueError,
        "iou_thresholds is 0",
    ),
    "aopc": (lambda: metrics.aopc([0.1]), TypeError, "expected 2"),
    "pair of tables": (
        lambda: metrics.rationale_length((np.zeros((2, 2)), [0, 2])),
        TypeError,
        "rationale is a pair of arrays of 2 and 1 dimensions, expected 1 and 1",
    ),
    "table of offsets": (
        lambda: metrics.rationale_length((np.zeros(2), [[0, 2]])),
        TypeError,
        "rationale is a pair of arrays of 1 and 2 dimensions, expected 1 and 1",
    ),
    "complex": (lambda: metrics.auprc(np.zeros((1, 2), complex), np.zeros((1, 2))), TypeError, "scores holds complex"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_say_what_is_expected(case: str) -> None:
    call, error, message = BAD[case]
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("gold", [-0.5, 1.5])
@pytest.mark.parametrize("form", [np.array, pa.array])
def test_gold_lies_between_0_and_1(form: Callable[..., Any], gold: float) -> None:
    with pytest.raises(ValueError, match=rf"^gold\[1\] is {gold}, expected a number in \[0, 1\]$"):
        metrics.auprc(np.zeros((1, 2)), form([[0.0, gold]]))


@pytest.mark.parametrize("function", [metrics.token_f1, metrics.token_f1_both_classes, metrics.iou_agreement])
@pytest.mark.parametrize("form", [np.array, pa.array])
def test_a_rationale_is_hard(form: Callable[..., Any], function: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match=r"^rationale\[1\] is 0.5, expected 0 or 1$"):
        function(form([[1.0, 0.5]]), np.ones((1, 2)))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (metrics.comprehensiveness, "p_remove"),
        (metrics.sufficiency, "p_keep"),
        (metrics.log_odds, "p_remove"),
        (lambda full, other: metrics.normalised_comprehensiveness(full, other, [0.5]), "p_remove"),
        (lambda full, other: metrics.normalised_sufficiency(full, other, [0.5]), "p_keep"),
    ],
)
def test_probabilities_of_other_shapes_are_named(function: Callable[..., object], name: str) -> None:
    for full, shape in (([0.5, 0.5], "(2,)"), ([[0.5]], "(1, 1)")):
        expected = f"p_full has shape {shape} and {name} (1, 1), expected [N] and [N, K]"
        with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
            function(full, [[0.5]])


def test_every_public_name_can_be_imported() -> None:
    for name in metrics.__all__:
        assert getattr(metrics, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        metrics.nope  # noqa: B018
    assert dir(metrics) == sorted(metrics.__all__)

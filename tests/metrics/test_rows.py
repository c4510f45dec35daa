"""Values of single rows: documents inside a row, words that were cut, and what is missing."""

from typing import Any

import numpy as np
import pytest

from unirex.metrics import Resampling, score
from unirex.metrics.batch import Batch, Known
from unirex.metrics.layout import Layout
from unirex.metrics.ragged import Ragged
from unirex.metrics.rows import row_values

NAN = float("nan")


def ragged(rows: list[list[float]], dtype: type = float) -> Ragged:
    offsets = np.cumsum([0, *map(len, rows)])
    return Ragged(np.array([x for row in rows for x in row], dtype=dtype), offsets)


def gold(rows: list[list[float] | None]) -> Known:
    known = np.array([row is not None for row in rows])
    return Known(rows=ragged([row or [] for row in rows]), known=known)


def values(layout: Layout, n: int, **fields: Any) -> dict[str, list[float]]:
    found = row_values(Batch(hashes=np.zeros((n, 2), np.uint64), **fields), layout)
    assert found.shape == (len(layout.columns), n)
    return {column.name: found[i].tolist() for i, column in enumerate(layout.columns)}


@pytest.mark.parametrize("unknown", [None, [0.0, 1.0, 1.0]])
def test_no_span_runs_from_one_document_into_the_next(unknown: list[float] | None) -> None:
    layout = Layout(has_gold=True, has_rationale=True, has_documents=True)
    fields = {
        "rationale": ragged([[1, 1, 1], [0, 1, 1], [0, 1, 1, 1], []], bool),
        "gold": gold([[1, 0, 0], unknown, [0, 0, 1, 1], None]),
    }
    # Documents begin at place 1 of the first row, 2 of the second, 2 of the third, and at the third row's own start.
    found = values(layout, 4, **fields, borders=np.array([1, 5, 6, 8]))
    middle = NAN if unknown is None else 1.0
    assert found["iou_precision@0.5"] == pytest.approx([0.5, middle, 0.5, NAN], nan_ok=True)
    assert found["iou_recall@0.5"] == pytest.approx([1.0, middle, 1.0, NAN], nan_ok=True)
    for borders in (None, np.zeros(0, np.int64)):
        whole = values(layout, 4, **fields, borders=borders)
        assert whole["iou_recall@0.5"] == pytest.approx([0.0, middle, 1.0, NAN], nan_ok=True)
        assert whole["token_f1"] == pytest.approx(found["token_f1"], nan_ok=True)


def test_words_that_were_cut_are_counted_with_all_words() -> None:
    layout = Layout(has_gold=True, has_scores=True, has_rationale=True, has_cuts=True)
    found = values(
        layout,
        3,
        scores=ragged([[1, 2, -np.inf], [], [3, 4]]),
        rationale=ragged([[1, 0, 0], [], [1, 1]], bool),
        gold=gold([[1, 0, 0.6], [], None]),
        words_cut=np.array([1, 0, 0]),
        gold_cut=np.array([1, 0, 0]),
    )
    assert (found["#words_cut"], found["#words"]) == ([1, 0, 0], [3, 0, 2])
    assert found["#gold_cut"] == pytest.approx([1, 0, NAN], nan_ok=True)
    assert found["#gold_words"] == pytest.approx([2, 0, NAN], nan_ok=True)
    assert found["gold_available"] == [1, 1, 0]
    assert found["rationale_length"] == [1, 0, 2]
    assert found["rationale_share"] == pytest.approx([1 / 3, NAN, 1], nan_ok=True)


def test_words_cut_without_gold_have_no_count_of_gold() -> None:
    fields = {"words_cut": np.array([1, 0]), "gold_cut": np.array([0, 0])}
    found = values(Layout(has_rationale=True, has_cuts=True), 2, rationale=ragged([[1, 0], [1]], bool), **fields)
    assert (found["#words_cut"], found["#words"]) == ([1, 0], [2, 1])
    found = values(Layout(has_scores=True, has_cuts=True), 2, scores=ragged([[1, 0], [1]]), **fields)
    assert (found["#words_cut"], found["#words"]) == ([1, 0], [2, 1])


def test_words_cut_are_no_metric_without_the_number_of_words() -> None:
    table = {"id": ["a", "b"], "label": ["x", "y"], "prediction": ["x", "x"], "words_cut": [1, 0], "gold_cut": [0, 0]}
    report = score(table, resampling=Resampling(replicates=0))
    assert "words_cut" not in report
    assert report["accuracy"].value == 0.5
    assert score({**table, "scores": [[0.5], [0.1]]}, resampling=Resampling(replicates=0))["words_cut"].value == 0.5


def test_the_paper_gives_0_to_a_row_without_a_marked_word() -> None:
    rows: dict[str, Any] = {
        "scores": ragged([[-1, 2], [1, 2], [1, 0]]),
        "rationale": ragged([[0, 1], [0, 1], [1, 0]], bool),
        "gold": gold([[0, 1], [0, 0.5], None]),
    }
    have = {"has_gold": True, "has_scores": True, "has_rationale": True}
    strict, unirex = (values(Layout(**have, convention=c), 3, **rows) for c in ("strict", "paper"))  # type: ignore[arg-type]
    for name in ("auprc", "token_precision", "token_f1", "iou_f1@0.5"):
        assert strict[name] == pytest.approx([1, NAN, NAN], nan_ok=True), name
        assert unirex[name] == [1, 0, 0], name
    assert strict["#gold"] == pytest.approx([1, 0, NAN], nan_ok=True)
    assert strict["#both"] == pytest.approx([1, 0, NAN], nan_ok=True)
    assert strict["#selected"] == pytest.approx([1, 1, NAN], nan_ok=True)

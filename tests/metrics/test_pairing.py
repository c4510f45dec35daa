"""The rows that systems share, what they say about an instance, and the columns that all of them define."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from unirex.metrics import plan
from unirex.metrics.layout import Layout
from unirex.metrics.pairing import (
    Rows,
    Seen,
    allowed,
    check_same_instances,
    joint_bits,
    partly_defined,
    shared,
    survey,
)
from unirex.metrics.scoring import Plan

NAN = float("nan")
IDS = ["a", "b", "c", "d", "e", "f"]
GOLD = [[0.5, 0.6, 1.0], [1.0, 0.0], [0.0, 1.0], None, [0.4, 0.6, 0.0], [1.0, 0.0]]


def system(
    gold: list[Any] = GOLD, *, words: dict[str, int] | None = None, first: int = 0, **columns: list[Any]
) -> Plan:
    """Six instances in two batches, from `first` on; gold, or other columns, as given."""
    lengths = [(words or {}).get(i, 2 if g is None else len(g)) for i, g in zip(IDS, gold, strict=True)]
    found = {"id": IDS, "scores": [[float(i) for i in range(n)] for n in lengths], "gold": gold, **columns}
    table = pa.table({name: values for name, values in found.items() if values is not None})
    turned = pa.concat_tables([table[first:], table[:first]]).combine_chunks()
    return plan(pa.concat_tables([turned[:2], turned[2:]]), labels=["x", "y"] if columns else None)


def seen(hashes: list[list[int]], values: list[list[float]]) -> Rows:
    """Rows with these hashes and values, [columns, N]."""
    found = Seen()
    found.add_values(np.array(hashes, dtype=np.uint64), np.array(values))
    return found.rows()


def test_rows_are_sorted_by_both_halves_of_the_hash() -> None:
    values = [[0.5, NAN, 0.5, NAN]]
    rows = seen([[3, 1], [1, 9], [3, 0], [2, 1]], values)
    assert rows.order.tolist() == [1, 3, 2, 0]
    assert rows.hashes.tolist() == [[1, 9], [2, 1], [3, 0], [3, 1]]
    assert np.unpackbits(rows.defined, axis=1, count=1)[:, 0].tolist() == [0, 0, 1, 1]
    part = rows.among(np.array([True, False, True, False]))
    assert (part.order.tolist(), part.hashes.tolist()) == ([1, 2], [[1, 9], [3, 0]])
    nothing = Seen().rows()
    assert (nothing.hashes.shape, len(nothing.order), nothing.defined.shape) == ((0, 2), 0, (0, 0))


def test_a_pass_sees_facts_by_instance_and_tells_its_progress() -> None:
    told: list[tuple[int, int]] = []
    rows = survey(system(label=["x", None, "y", "x", "x", "y"], prediction=["x"] * 6), lambda *at: told.append(at))
    assert told == [(2, 0), (6, 0)]
    back = np.argsort(rows.order)
    assert {*rows.facts} == {"label", "gold", "number of words"}
    assert rows.facts["number of words"][back].tolist() == [3, 2, 2, 2, 3, 2]
    label, gold = rows.facts["label"][back], rows.facts["gold"][back]
    assert label.astype(np.int64).tolist() == [0, -1, 1, 0, 0, 1]
    # Marked above 0.5: b and f alike, c and e otherwise, d unknown.
    assert gold[1] == gold[5]
    assert gold[3] == 0
    assert len(set(gold.tolist())) == 5


def test_an_id_that_occurs_twice_is_named() -> None:
    table = pa.table({"id": ["a", "b", "c", "b"], "scores": [[1.0]] * 4, "gold": [[1.0]] * 4})
    with pytest.raises(ValueError, match="id 'b'"):
        survey(plan(table))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"e": [0.4, 0.5, 0.0]}, "row id 'e': gold[1] is 0.5, expected 0.6 as in table"),
        ({"e": [0.5, 0.6, 0.7]}, "row id 'e': gold[2] is 0.7, expected 0.0 as in table"),
        ({"e": None}, "row id 'e': gold is null, expected a list of 3 as in table"),
        ({"d": [1.0, 0.0]}, "row id 'd': gold is a list of 2, expected null as in table"),
        ({"a": [1.0, 0.6, 1.0]}, "row id 'a': gold[0] is 1.0, expected 0.5 as in table"),
    ],
)
def test_other_gold_is_shown_where_it_differs(edit: dict[str, Any], message: str) -> None:
    words = {i: 2 if g is None else len(g) for i, g in zip(IDS, GOLD, strict=True)}
    other = [edit.get(i, g) for i, g in zip(IDS, GOLD, strict=True)]
    for first in (0, 3):
        plans = [system(), system(first=first), system(other, words=words, first=first)]
        rows = [survey(made) for made in plans]
        check_same_instances(plans[:2], rows[:2])
        with pytest.raises(ValueError, match=f"table: {re.escape(message)}$"):
            check_same_instances(plans, rows)


def test_the_first_of_several_rows_that_differ_is_shown() -> None:
    labels = ["x", "y", "y", "x", None, "y"]
    others = ["x", "y", "x", "x", "x", "y"]
    plans = [system(label=names, prediction=["x"] * 6) for names in (labels, others)]
    with pytest.raises(ValueError, match=r"'c': label is 'x', expected 'y'|'e': label is 'x', expected null") as error:
        check_same_instances(plans, [survey(made) for made in plans])
    assert str(error.value).endswith("as in table (2 rows differ)")


def test_another_number_of_words_is_told_by_its_column() -> None:
    plans = [system(words={"d": n}) for n in (4, 5)]
    with pytest.raises(ValueError, match=r"row id 'd': number of words is 5, expected 4 as in table$"):
        check_same_instances(plans, [survey(made) for made in plans])
    bare = {"id": IDS, "gold": GOLD, "rationale": [[True] * (2 if g is None else len(g)) for g in GOLD]}
    rows = survey(plan(pa.table(bare)))
    assert rows.facts["number of words"][np.argsort(rows.order)].tolist() == [3, 2, 2, 2, 3, 2]


def test_rows_that_all_have_are_shared() -> None:
    first = seen([[1, 1], [2, 1], [2, 2], [4, 0]], [[0.0] * 4])
    second = seen([[4, 0], [2, 2], [1, 1]], [[0.0] * 3])
    third = seen([[2, 2], [4, 0], [5, 5], [1, 2]], [[0.0] * 4])
    for given in ([first, second, third], [third, second, first], [second, third, first]):
        for one in shared(given):
            assert one.hashes.tolist() == [[2, 2], [4, 0]]
    assert shared([first, second])[0].order.tolist() == [0, 2, 3]
    assert shared([first, second])[1].order.tolist() == [2, 1, 0]
    assert shared([first, first])[1] is first
    other = seen([[1, 1], [2, 1], [2, 3], [4, 0]], [[0.0] * 4])
    assert shared([first, other])[1].hashes.tolist() == [[1, 1], [2, 1], [4, 0]]


def test_columns_are_left_out_of_rows_where_one_system_lacks_them() -> None:
    names = ["auprc", "average_precision", "gold_available", "roc_auc"]
    layout = Layout(has_gold=True, has_scores=True, only=frozenset(names))
    assert [column.name for column in layout.columns] == names
    values = np.array([[0.1, 0.2, NAN, NAN], [0.5, NAN, 0.5, 0.5], [0.3] * 4, [1.0] * 4])
    others = np.array([[0.1, NAN, 0.2, NAN], [0.5, 0.5, 0.5, 0.5], [0.3] * 4, [NAN] * 4])
    hashes = np.array([[4, 0], [1, 0], [3, 0], [2, 0]], dtype=np.uint64)
    # The second system has the same rows in the same order, after one that is its own.
    mine = seen(hashes.tolist(), values.tolist())
    theirs = seen([[9, 9], *hashes.tolist()], np.insert(others, 0, 0.7, axis=1).tolist())
    rows = shared([mine, theirs])
    joint = joint_bits(rows)
    assert partly_defined(layout, rows, joint) == {
        "auprc": 2, "average_precision": 1, "gold_available": 0, "roc_auc": 4
    }  # fmt: skip
    first, second = allowed(rows, joint, [4, 5])
    both = np.where(np.isnan(values) | np.isnan(others), NAN, others)
    kept, left = second.narrowed(0, np.insert(others, 0, 0.7, axis=1)[:, :2])
    assert kept.tolist() == [False, True]
    np.testing.assert_array_equal(left[:, kept], both[:, :1])
    kept, left = second.narrowed(2, others[:, 1:])
    assert kept.tolist() == [True] * 3
    np.testing.assert_array_equal(left, both[:, 1:])
    np.testing.assert_array_equal(
        first.narrowed(2, values[:, 2:])[1], np.where(np.isnan(both[:, 2:]), NAN, values[:, 2:])
    )
    assert first.inside.tolist() == [True] * 4
    assert second.inside.tolist() == [False, *[True] * 4]

"""What people hand to an explainer, read without a model: their columns, ids and labels."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unirex.explainer import Columns
from unirex.explainer.inputs import InputReader, rows_of


def reader(labels: tuple[str, ...] = ("neg", "pos"), columns: Any = None) -> InputReader:
    return InputReader(labels=labels, choice=False, columns=Columns.read(columns))


FRAME = pd.DataFrame({"review": ["a fine film", "a poor one"], "n": np.arange(2), "stars": ["pos", float("nan")]})


@pytest.mark.parametrize(
    "items",
    [FRAME, FRAME.to_dict("records"), FRAME.assign(stars=["pos", pd.NA]).to_dict("records")],
    ids=["table", "rows with nan", "rows with pandas' NA"],
)
def test_columns_are_those_that_training_takes(items: Any) -> None:
    read = reader(columns={"text": "review", "id": "n", "label": "stars"})
    found = [read.example(item, number) for number, item in enumerate(rows_of(items))]
    assert [(one.id, one.label, one.words) for one in found] == [
        ("0", "pos", ["a", "fine", "film"]),
        ("1", None, ["a", "poor", "one"]),
    ]


def test_the_second_text_may_be_called_as_in_training() -> None:
    pair = {"one": "a fine film", "two": "it was good"}
    for name in ("pair", "text_pair"):
        found = reader(columns={"text": "one", name: "two"}).example(pair, 0)
        assert [segment.text for segment in found.segments] == ["a fine film", "it was good"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("text", "columns is 'text', expected a dictionary of text, pair, query, choices, id, label to columns"),
        ({"txt": "one"}, "columns: 'txt', expected one of text, pair, query, choices, id, label"),
        ({"text": 3}, "columns: 3, expected a column's name"),
    ],
)
def test_columns_that_are_none_are_one_line(columns: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        reader(columns=columns)


def test_a_number_that_is_no_class_is_not_counted_where_classes_are_numbers() -> None:
    stars = reader(("1", "2", "3"), {"label": "stars"})
    assert [stars.example({"text": "a", "stars": n}, 0).label for n in (1, 3.0, "2", -1)] == ["1", "3", "2", None]
    with pytest.raises(ValueError, match=r"stars is '0', expected one of 1, 2, 3$"):
        stars.example({"text": "a", "stars": 0}, 0)
    named = reader(columns={"label": "y"})
    assert named.example({"text": "a", "y": 1}, 0).label == "pos"
    with pytest.raises(ValueError, match=r"y is '2', expected one of neg, pos, or their number from 0$"):
        named.example({"text": "a", "y": 2}, 0)
    assert named.example({"text": "a", "y": np.float32(1)}, 0).label == "pos"


def test_a_number_means_the_class_of_its_value() -> None:
    """As names are read from a column of numbers with nulls, where 1 is written 1.0."""
    for names in (("1.0", "2.0"), ("-1.0", "1.0"), ("0.5", "1.0", "1.5")):
        halves = reader(names, {"label": "y"})
        assert [halves.example({"text": "a", "y": n}, 0).label for n in (1, 1.0, "1", "1.0", "+1")] == ["1.0"] * 5
    assert halves.example({"text": "a", "y": 0.50}, 0).label == "0.5"
    assert reader(("-1.0", "1.0"), {"label": "y"}).example({"text": "a", "y": -1}, 0).label == "-1.0"
    with pytest.raises(ValueError, match=r"y is '1', expected one of 1\.0, 1\.00$"):
        reader(("1.0", "1.00"), {"label": "y"}).example({"text": "a", "y": 1}, 0)


def test_ids_of_a_column_with_missing_ones() -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "id": [7, None]})
    assert [reader().example(row, n).id for n, row in enumerate(rows_of(frame))] == ["7", "1"]
    assert [reader().example(row, n).id for n, row in enumerate(frame.to_dict("records"))] == ["7", "1"]
    with pytest.raises(ValueError, match=r"id is 7\.5, expected text or a whole number"):
        reader().example({"text": "a", "id": 7.5}, 0)


@pytest.mark.parametrize("values", [[1, "x"], [1, pd.NA], [True, "x"], [None, 0.5, "y"][1:]])
def test_a_column_that_nobody_reads_may_be_mixed(values: list[Any]) -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "user": pd.Series(values, dtype=object)})
    assert [reader().example(row, n).words for n, row in enumerate(rows_of(frame))] == [["a"], ["b"]]


def test_a_column_that_no_table_holds_is_named() -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "user": [1j, 2]})
    with pytest.raises(ValueError, match=r"table: not a table .*'user'"):
        rows_of(frame)

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

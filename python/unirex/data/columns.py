"""Which columns of a table hold what, where nobody has said so: by their usual names and what is in them."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

USUAL_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "review", "post", "comment", "tweet", "message", "document"),
    "label": ("label", "class", "category", "sentiment"),
    "gold": ("gold", "rationale", "rationales", "evidence", "marked", "marks", "highlights"),
    "text_pair": ("text_pair",),
    "query": ("query",),
    "choices": ("choices",),
    "id": ("id",),
}
"""What a column holds -> its usual names, whatever their case."""

_SEVERAL = ("gold", "choices")
"""Settings that name one column or more."""


def usual_columns(
    cells: Mapping[str, Any], given: Mapping[str, Any], needed: Sequence[str] = ("text", "label")
) -> dict[str, Any]:
    """The settings of `data.hub` for a table: those given, and for the others the columns of usual names.

    How words and gold are written follows from a cell: a list of words, or a text; the text with marks in it, a list of
    [start, end], or (any other list) one number for each word.

    Args:
        cells: each column, and a cell of it that holds something, None where there is none.
        given: settings of `data.hub`; None where there is no such column.
        needed: what there must be a column for.

    Raises:
        ValueError: one line: no column, or more than one, has a usual name for what is needed.

    >>> usual_columns({"Review": "a fine film", "label": "pos", "rationale": [0, 1, 1], "stars": 4}, {})
    {'text': 'Review', 'label': 'label', 'gold': ['rationale'], 'gold_format': 'mask'}
    >>> usual_columns({"body": "a *fine* film", "label": 1}, {"text": "body", "gold": "body"})
    {'text': 'body', 'gold': ['body'], 'label': 'label', 'gold_format': 'marked'}
    """
    found: dict[str, Any] = {
        key: [value] if key in _SEVERAL and isinstance(value, str) else value for key, value in given.items()
    }
    for key, names in USUAL_COLUMNS.items():
        there = [column for column in cells if column.lower() in names]
        if key in found or (key == "query" and "choices" in found):
            continue
        if len(there) > 1:
            raise ValueError(f"columns {' and '.join(there)} may both be the {key}, expected columns={{{key!r}: NAME}}")
        if there:
            found[key] = there if key in _SEVERAL else there[0]
        elif key in needed:
            raise ValueError(f"no column is called {key}, found {', '.join(cells)}; expected columns={{{key!r}: NAME}}")
    found.setdefault("label", None)
    if isinstance(cells.get(found["text"]), list):
        found.setdefault("words", "list")
    if found.get("gold"):
        column = found["gold"][0]
        found.setdefault("gold_format", "marked" if column == found["text"] else _format(cells.get(column)))
    return found


def _format(cell: Any) -> str:
    """How a cell writes gold."""
    if isinstance(cell, str):
        if not re.fullmatch(r"\[.*\]|[\d\s.,]+", cell.strip(), re.DOTALL):
            return "marked"
        try:
            cell = json.loads(cell)
        except ValueError:
            return "mask"
    return "char_spans" if isinstance(cell, list) and cell and isinstance(cell[0], list) else "mask"

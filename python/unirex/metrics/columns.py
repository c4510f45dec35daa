"""Which columns prediction files have, under which names, and what their header says (docs/predictions.md)."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from unirex.disk.predictions import Header
from unirex.disk.untrusted import read_json
from unirex.schema import PREDICTIONS_KEY
from unirex.text import shown, suggest

REQUIRED = ("id", "prediction", "probabilities", "scores", "rationale", "fractions")
"""Columns that a file with our header must have."""


KNOWN = (
    *REQUIRED,
    "label",
    "words",
    "context",
    "gold",
    "documents",
    "words_cut",
    "gold_cut",
    "completeness_gap",
    "model",
    "data",
)
"""Columns of docs/predictions.md; those of perturbations are known by their kind."""
KINDS = ("keep", "remove", "null", "orders", "full")


def mapping_of(columns: Mapping[str, str], schema: pa.Schema, name: str) -> dict[str, str]:
    """Our column -> its name in the file; fails if either is none."""
    for ours, theirs in columns.items():
        if not is_known(ours):
            raise ValueError(
                f"columns names {shown(ours)}, expected a column of prediction files{suggest(ours, KNOWN)}"
            )
        if theirs not in schema.names:
            hint = suggest(theirs, schema.names)
            raise ValueError(f"{name}: column {theirs!r} (for {ours!r}) is missing{hint}")
        first = next(one for one, other in columns.items() if other == theirs)
        if first != ours:
            raise ValueError(f"columns has {theirs!r} for {first!r} and for {ours!r}, expected a column for each")
    return dict(columns)


def is_known(column: str) -> bool:
    """Whether docs/predictions.md has such a column.

    >>> is_known("scores"), is_known("keep.attention.self"), is_known("score")
    (True, True, False)
    """
    kind, dot, _ = column.partition(".")
    return column in KNOWN or bool(dot and kind in KINDS)


def refuse_twice(name: str, schema: pa.Schema, mapping: Mapping[str, str]) -> None:
    """Fails if a column that is read occurs twice."""
    names = schema.names
    for column in names if len(set(names)) < len(names) else ():
        if names.count(column) > 1 and (is_known(column) or column in mapping.values()):
            raise ValueError(f"{name}: column {shown(column)} occurs {names.count(column)} times, expected once")


def header_of(name: str, schema: pa.Schema) -> Header | None:
    """The header of a file, None where there is none; fails if it does not name the classes."""
    raw = (schema.metadata or {}).get(PREDICTIONS_KEY)
    if raw is None:
        return None
    try:
        fields: Any = read_json(raw)
    except ValueError as error:
        raise ValueError(f"{name}: the header is not JSON ({error})") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{name}: the header is {type(fields).__name__}, expected a JSON object")
    labels = fields.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels) or not labels:
        raise ValueError(f"{name}: header field 'labels' is {labels!r}, expected a list of class names")
    if len(set(labels)) != len(labels):
        raise ValueError(f"{name}: header field 'labels' names a class twice: {labels!r}")
    choice = fields.get("choice", False)
    if not isinstance(choice, bool):
        raise ValueError(f"{name}: header field 'choice' is {choice!r}, expected true or false")
    text = {key: None if fields.get(key) is None else str(fields[key]) for key in _TEXT_FIELDS}
    return Header(labels=tuple(labels), choice=choice, **text)


_TEXT_FIELDS = ("headline", "unit", "scores_from", "rationale_rule")

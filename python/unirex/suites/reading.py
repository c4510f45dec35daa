"""Readers of the small parts of a suite's file, which refuse what is no such part in one line."""

from collections.abc import Sequence
from typing import Any

from unirex.text import suggest


def read_mapping(content: Any, where: str, known: Sequence[str]) -> dict[str, Any]:
    """The entries of a mapping that has no other keys than those known."""
    if not isinstance(content, dict):
        raise ValueError(f"{where}: holds {type(content).__name__}, expected the keys {', '.join(known)}")
    for key in content:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}{suggest(str(key), known)}, expected {', '.join(known)}")
    return content


def read_settings(content: Any, where: str, within: str = "") -> dict[str, Any]:
    """Nested or dotted keys, as dotted ones.

    Args:
        content: of the file.
        where: as errors name it.
        within: the key that the content stands under, with a dot.

    >>> read_settings({"data": {"limit": 8, "rename_labels": {"U.S.": "us"}}, "train.lr": 1e-4}, "set")
    {'data.limit': 8, 'data.rename_labels': {'U.S.': 'us'}, 'train.lr': 0.0001}
    """
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{where} holds {type(content).__name__}, expected keys and values")
    flat: dict[str, Any] = {}
    for name, value in content.items():
        key = f"{within}{name}"
        if isinstance(value, dict) and key != "data.rename_labels":  # whose keys are classes
            flat |= read_settings(value, where, f"{key}.")
        else:
            flat[key] = value
    return flat


def read_different(values: Any, where: str) -> tuple[Any, ...]:
    """A list of values none of which comes twice."""
    if not isinstance(values, list) or not values or len({str(value) for value in values}) != len(values):
        raise ValueError(f"{where} is {values!r}, expected a list of different values")
    return tuple(values)

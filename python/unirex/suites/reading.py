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


def read_settings(content: Any, where: str) -> dict[str, Any]:
    """Nested or dotted keys, as dotted ones."""
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{where} holds {type(content).__name__}, expected keys and values")
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict) and key != "data.rename_labels":
            flat |= {f"{key}.{name}": inner for name, inner in read_settings(value, where).items()}
        else:
            flat[str(key)] = value
    return flat


def read_different(values: Any, where: str) -> tuple[Any, ...]:
    """A list of values none of which comes twice."""
    if not isinstance(values, list) or not values or len({str(value) for value in values}) != len(values):
        raise ValueError(f"{where} is {values!r}, expected a list of different values")
    return tuple(values)

"""Readers of the small parts of a suite's file, which refuse what is no such part in one line."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from unirex.config.identity import FREE
from unirex.text import suggest


def read_mapping(content: Any, where: str, known: Sequence[str]) -> dict[str, Any]:
    """The entries of a mapping that has no other keys than those known."""
    if not isinstance(content, dict):
        raise ValueError(f"{where}: holds {type(content).__name__}, expected the keys {', '.join(known)}")
    for key in content:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}{suggest(str(key), known)}, expected {', '.join(known)}")
    return content


def read_settings(content: Any, where: str, within: str = "", *, of_runs: bool = False) -> dict[str, Any]:
    """Nested or dotted keys, as dotted ones.

    Args:
        content: of the file.
        where: as errors name it.
        within: the key that the content stands under, with a dot.
        of_runs: whether they are what a suite sets for its runs (`check_key`).

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
            found = read_settings(value, where, f"{key}.")
        else:
            found = {key: value}
        for one in found:
            if one in flat:
                raise ValueError(f"{where}: key {one!r} again, expected it once")
            if of_runs:
                check_key(one, where)
        flat |= found
    return flat


def check_key(key: str, where: str) -> None:
    """Refuses a setting that a suite gives each of its runs itself.

    Raises:
        ValueError: one line.
    """
    if key in ("seed", *FREE):
        what = "seeds" if key == "seed" else "what the suite itself gives each run"
        raise ValueError(f"{where} has {key!r}, expected settings of a run ({what})")


def read_different(values: Any, where: str) -> tuple[Any, ...]:
    """A list of values none of which comes twice, in whatever spelling: 1 is 1.0."""
    if not isinstance(values, list) or not values or len({_spelled(value) for value in values}) != len(values):
        raise ValueError(f"{where} is {values!r}, expected a list of different values")
    return tuple(values)


def _spelled(value: Any) -> str:
    """A value as text, numbers alike whether or not YAML takes them for text (`1e-3`)."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            return str(float(value))
    return str(value)

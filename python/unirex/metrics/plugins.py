"""Metrics of other installed packages, found by the entry points `unirex.metrics`: each is a `Family`."""

import functools
import os
import sys
from collections.abc import Collection
from typing import Any

from unirex.metrics.definitions import Family

GROUP = "unirex.metrics"


@functools.cache
def installed() -> tuple[Family, ...]:
    """The rows of other packages, by name; looked for once.

    Raises:
        ValueError: an entry point that cannot be loaded, is no `Family` or has the name of another, in one line.
    """
    if not any(_offers(folder) for folder in sys.path):
        return ()
    # Its import takes longer than the scoring of a small file.
    from importlib.metadata import entry_points

    found: dict[str, Family] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        whose = f"{point.name} = {point.value}" + (f" of {point.dist.name}" if point.dist is not None else "")
        family = _loaded(point, whose)
        if family.name != point.name or family.name in found:
            raise ValueError(f"metric {whose} is called {family.name!r}, expected the entry point's name, used once")
        found[family.name] = family
    return tuple(found.values())


def without_clashes(families: tuple[Family, ...], ours: Collection[str]) -> tuple[Family, ...]:
    """Rows of other packages, none of which has the name of one of ours."""
    for family in families:
        if family.name in ours:
            raise ValueError(f"metric {family.name!r} of an installed package is one of ours, expected another name")
    return families


def _loaded(point: Any, whose: str) -> Family:
    try:
        family = point.load()
    except Exception as error:  # whatever the code of another package raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"metric {whose} cannot be loaded ({reason})") from error
    if not isinstance(family, Family):
        raise ValueError(f"metric {whose} is of type {type(family).__name__}, expected Family (unirex.metrics)")
    return family


def _offers(folder: str) -> bool:
    """Whether a package in this folder of the search path has such entry points: a look at the files alone."""
    try:
        about = [entry.path for entry in os.scandir(folder or ".") if entry.name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return False
    return any(f"[{GROUP}]".encode() in _content(f"{path}/entry_points.txt") for path in about)


def _content(path: str) -> bytes:
    """What is in the file, nothing if there is none; without the buffers and decoders of `open`."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(file, os.fstat(file).st_size)
    except OSError:
        return b""
    finally:
        os.close(file)

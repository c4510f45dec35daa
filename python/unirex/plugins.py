"""What other installed packages add (found by their entry points, imported when asked for), and the user's own code."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from unirex.text import line, suggest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Registry(Generic[T]):
    """Things by name: of this package, of own code (`add`), and those that installed packages name by entry points.

    A package's `pyproject.toml` holds, under `[project.entry-points."unirex.methods"]`, a line
    `name = "module:object"`. It is read when a name is looked for, and imported when it is that name.

    Args:
        key: what messages call the name, such as `method.name`.
        group: of the entry points.
        built_in: what this package has; as `module:object`, imported when it is asked for.
        fits: whether an object of another package is one of these.
        expected: what it has to be, for the message.
        renamed: what names that are no more are called now, for the message.

    >>> shapes = Registry("shape", "doctest.shapes", {"circle": 0, "square": 4}, lambda it: isinstance(it, int), "int")
    >>> shapes.find("square"), "circle" in shapes, list(shapes)
    (4, True, ['circle', 'square'])
    >>> shapes.find("sqare")
    Traceback (most recent call last):
    ValueError: shape is 'sqare', expected one of circle, square (did you mean square?)
    """

    def __init__(
        self,
        key: str,
        group: str,
        built_in: Mapping[str, T | str],
        fits: Callable[[object], bool],
        expected: str,
        renamed: Mapping[str, str] | None = None,
    ) -> None:
        self.key = key
        self.group = group
        self.built_in = built_in
        self._fits = fits
        self._expected = expected
        self._renamed = renamed or {}
        self._added: dict[str, T] = {}

    def __iter__(self) -> Iterator[str]:
        yield from self.built_in
        yield from self._added
        yield from sorted(_entry_points(self.group).keys() - self.built_in.keys() - self._added.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in self._added or name in _entry_points(self.group)

    def add(self, name: str, found: T) -> None:
        """Adds a thing of the user's own code to this process, in place of one that was added under this name.

        Raises:
            ValueError: it is none of these things, or this package or an installed one has the name.
        """
        if not self._fits(found):
            raise ValueError(f"{self.key} {name!r} is a {type(found).__name__}, expected {self._expected}")
        owners = ["unirex"] if name in self.built_in else [_package(p) for p in _entry_points(self.group).get(name, ())]
        if owners:
            raise ValueError(f"{self.key} {name!r} is part of {owners[0]}, expected another name")
        self._added[name] = found

    def __getitem__(self, name: str) -> T:
        return self.find(name)

    def check(self, name: str) -> None:
        """Refuses a name that there is none of, and one that two packages claim; imports nothing.

        Raises:
            ValueError: one line with the names that exist, or the packages that claim this one.
        """
        owners = [_package(point) for point in _entry_points(self.group).get(name, ())]
        if name in self.built_in and owners:
            raise ValueError(
                f"{self.key} {name!r} is part of unirex, and the package {owners[0]} claims it too (entry point of "
                f"{self.group}), expected another name there"
            )
        if len(owners) > 1:
            raise ValueError(
                f"{self.key} {name!r} is claimed by the packages {' and '.join(owners)} (entry points of "
                f"{self.group}), expected one of them"
            )
        if name not in self:
            now = self._renamed.get(name)
            hint = suggest(name, self) if now is None else f" ({name} is now {now})"
            raise ValueError(f"{self.key} is {name!r}, expected one of {', '.join(self)}{hint}")

    def find(self, name: str) -> T:
        """The thing of a name.

        Raises:
            ValueError: as `check`; or the package that names it cannot be imported, or names something else.
        """
        self.check(name)
        ours = {**self._added, **self.built_in}
        if name in ours:
            return self._own(ours[name])
        return self._load(name, _entry_points(self.group)[name][0])

    @staticmethod
    def _own(found: T | str) -> T:
        if not isinstance(found, str):
            return found
        module, _, name = found.partition(":")
        named: T = getattr(importlib.import_module(module), name)
        return named

    def _load(self, name: str, point: "EntryPoint") -> T:
        where = f"{self.key} {name!r}: the package {_package(point)} (entry point {point.value} of {self.group})"
        try:
            found: T = point.load()
        except Exception as error:  # whatever another package's code does when it is imported
            raise ValueError(line(f"{where} cannot be imported ({type(error).__name__}: {error})")) from error
        if not self._fits(found):
            raise ValueError(f"{where} holds a {type(found).__name__}, expected {self._expected}")
        return found


def _package(point: "EntryPoint") -> str:
    return "?" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _entry_points(group: str) -> "dict[str, tuple[EntryPoint, ...]]":
    return _entry_points_on(group, tuple(sys.path))


@lru_cache
def _entry_points_on(group: str, path: tuple[str, ...]) -> "dict[str, tuple[EntryPoint, ...]]":
    """The entry points of a group by name; `path` is where packages are looked for. Read once: it takes a while."""
    if not any(_offers(folder, f"[{group}]".encode()) for folder in path):
        return {}
    # Its import takes longer than scoring a small file.
    from importlib import metadata

    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in metadata.entry_points(group=group):
        found[point.name] = (*found.get(point.name, ()), point)
    return found


def _offers(folder: str, group: bytes) -> bool:
    """Whether the files of packages in this folder name the group; an archive may hold any package."""
    try:
        about = [entry.path for entry in os.scandir(folder or ".") if entry.name.endswith((".dist-info", ".egg-info"))]
    except NotADirectoryError:
        return True
    except OSError:
        return False
    return any(group in _content(f"{path}/entry_points.txt") for path in about)


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""

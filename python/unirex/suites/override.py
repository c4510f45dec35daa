"""Settings from the command line of a suite, for all its runs or for some."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from unirex.disk.untrusted import parse_yaml


@dataclass(frozen=True, kw_only=True)
class Override:
    """A setting from the command line.

    Attributes:
        who: pattern of the methods or data sets that get it.
        key: dotted.
        value: of it.
    """

    who: str
    key: str
    value: Any

    def holds_for(self, *names: str) -> bool:
        """Whether one of the names (of a run's data set and method) is meant."""
        return any(fnmatchcase(name, self.who) for name in names)


def read_override(text: str) -> Override:
    """`KEY=VALUE` for all runs, or `NAME:KEY=VALUE` for those of a method or data set; NAME may have `*` in it.

    >>> override = read_override("slm-*:train.epochs=1")
    >>> override.key, override.value, override.holds_for("sst", "slm-fp"), override.holds_for("sst", "sgt")
    ('train.epochs', 1, True, False)
    """
    left, equals, value = text.partition("=")
    who, colon, key = left.rpartition(":")
    if not equals or not key.strip() or (colon and not who.strip()):
        raise ValueError(f"--set {text}: expected KEY=VALUE or NAME:KEY=VALUE, such as train.epochs=1")
    try:
        return Override(who=who.strip() or "*", key=key.strip(), value=parse_yaml(value))
    except ValueError:
        raise ValueError(f"--set {text}: the value is not YAML, expected one such as in train.epochs=1") from None

"""Settings from the command line of a suite, for all its runs or for some."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from unirex.disk.untrusted import parse_yaml
from unirex.suites.reading import check_key

_KEY = r"\s*(?P<key>[A-Za-z_][\w.-]*)\s*=(?P<value>.*)"
_SETTING, _FOR_SOME = (re.compile(pattern, re.DOTALL) for pattern in (_KEY, rf"(?P<who>.*?\S.*?):{_KEY}"))
"""KEY=VALUE, and the same behind a name, which may have an equals sign too."""


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
        return self.who in names or any(fnmatchcase(name, self.who) for name in names)


def read_override(text: str) -> Override:
    """`KEY=VALUE` for all runs, or `NAME:KEY=VALUE` for those of a method or data set; NAME may have `*` in it.

    >>> override = read_override("slm-*:train.epochs=1")
    >>> override.key, override.value, override.holds_for("sst", "slm-fp"), override.holds_for("sst", "sgt")
    ('train.epochs', 1, True, False)
    >>> read_override("slm-fp K=0.5:train.lr=0.1").who
    'slm-fp K=0.5'
    >>> read_override("data.name=a:b=c").value
    'a:b=c'
    """
    found = _SETTING.fullmatch(text) or _FOR_SOME.fullmatch(text)  # a value may hold what looks like a setting
    if found is None:
        raise ValueError(f"--set {text}: expected KEY=VALUE or NAME:KEY=VALUE, such as train.epochs=1")
    key, value, who = found["key"], found["value"], found.groupdict().get("who")
    check_key(key, f"--set {text}:")
    try:
        return Override(who="*" if who is None else who.strip(), key=key, value=parse_yaml(value))
    except ValueError:
        raise ValueError(f"--set {text}: the value is not YAML, expected one such as in train.epochs=1") from None

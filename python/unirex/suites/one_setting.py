"""Whether the results of a table are those of one suite, and not some of it as it was before an edit."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unirex.config.identity import renamed
from unirex.disk.untrusted import read_yaml
from unirex.suites.ledger import Entries, Entry
from unirex.suites.reading import read_settings
from unirex.suites.recipe import Suite


def check_one_setting(suite: Suite, entries: Entries, ledger: Path) -> None:
    """Refuses entries that differ in what all runs of a data set have in common, or all seeds of a method on it.

    A setting that only one has came after the other was written.

    Raises:
        ValueError: the first such setting, with both values.
    """
    by_seed = _by_seed(suite)
    common = _common(suite) - by_seed
    first: dict[tuple[str, ...], tuple[Entry, Mapping[str, Any]]] = {}
    for (data, method, _), entry in entries.items():
        found = dict(_flat(renamed(entry.config)))
        for group, keys in (((data,), common), ((data, method), found.keys() - by_seed)):
            other, theirs = first.setdefault(group, (entry, found))
            for key in sorted(keys & found.keys() & theirs.keys()):
                if found[key] != theirs[key]:
                    raise ValueError(
                        f"{ledger}: {key} is {found[key]} of {_name(entry)} and {theirs[key]} of {_name(other)}, "
                        f"expected one value: results of two versions of {suite.path} (run it again, or take lines out)"
                    )


def _name(entry: Entry) -> str:
    return "/".join(map(str, entry.name[1:]))


def _common(suite: Suite) -> set[str]:
    """The suite's settings that no data set and no method has another value of."""
    recipes = [*suite.data.values(), *suite.methods.values()]
    own = {key for one in recipes for key in one.settings}
    own |= {key for one in recipes for file in one.configs for key in read_settings(read_yaml(file), str(file))}
    return suite.settings.keys() - own - ({suite.sweep.key} if suite.sweep else set())


def _by_seed(suite: Suite) -> set[str]:
    """The settings that each seed has a value of its own of."""
    own = [("", one) for one in (suite.settings, *(data.settings for data in suite.data.values()))]
    own += [("", method.settings) for method in suite.methods.values()]
    own += [("transfer.", data.settings) for data in suite.transfer.values()]
    found = {f"{where}{key}" for where, one in own for key, value in one.items() if "{seed}" in str(value)} | {"seed"}
    return found | {f"grid.scores.{key}" for key in found}


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Dotted key and value as JSON."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{before}{key}.")
        else:
            yield f"{before}{key}", json.dumps(inner)

"""What a sweep decides for the suite that follows it: one value for each method and data set, chosen on dev."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unirex.disk.atomic import atomic_write
from unirex.disk.untrusted import read_json
from unirex.metrics import Resampling, Run, gain_table
from unirex.suites.ledger import Entry, Ledger, newest
from unirex.suites.recipe import Suite
from unirex.text import say

Trials = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen, and from what.

    Attributes:
        suite: the suite of the trials.
        key: the setting that was chosen, dotted.
        values: data set -> method -> value.
        trials: data set -> method -> value, as text -> CNRG on dev, in [0, 1], higher is better; only of data sets
            whose trials are all there.
    """

    suite: str
    key: str
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trials: Trials = field(default_factory=dict)


def choose(suite: Suite, ledger: Ledger) -> Choice:
    """The value of the sweep with each method's highest CNRG, for each data set whose trials are all in the ledger.

    The CNRG's 0 and 1 are the worst and best of all trials of the data set. Of equal values the first in the order of
    the sweep is chosen. Data sets that lack a trial are left out, but those of one value, which no trial decides.

    Raises:
        ValueError: a suite without a sweep, or a trial that was not judged on dev.
    """
    if suite.sweep is None:
        raise ValueError(f"{suite.path}: no sweep, expected one whose values are compared")
    entries = newest(ledger.entries(), suite.path.stem)
    values: dict[str, dict[str, Any]] = {}
    trials: dict[str, dict[str, dict[str, float]]] = {}
    for data in suite.data:
        points = suite.points_of(data)
        methods = [method for method in suite.methods if suite.seeds_of(method, data)]
        found = _trials(suite, entries, data)
        if not found:
            if len(points) == 1:
                values[data] = dict.fromkeys(methods, points[0])
            continue
        runs = [
            Run(method=trial, data=data, seed=str(entry.seed), path=str(ledger.rows(entry)))
            for trial, group in found.items()
            for entry in group
        ]
        table = gain_table(
            runs,
            resampling=Resampling(replicates=0),
            convention=suite.table.convention,
            perturbation=suite.table.perturbation,
            controls=[f"{m}@{p}" for m in methods if suite.methods[m].control for p in points],
        )
        gains = {m: [table.cells[data, f"{m}@{p}"].composites["CNRG"] for p in points] for m in methods}
        values[data] = {m: points[each.index(max(each))] for m, each in gains.items()}
        trials[data] = {
            m: {str(p): round(gain, 6) for p, gain in zip(points, each, strict=True)} for m, each in gains.items()
        }
    return Choice(suite=suite.path.stem, key=suite.sweep.key, values=values, trials=trials)


def _trials(suite: Suite, entries: Mapping[tuple[str, str, int], Entry], data: str) -> dict[str, list[Entry]] | None:
    """METHOD@VALUE -> its entries, None where one is missing."""
    found: dict[str, list[Entry]] = {}
    for point in suite.points_of(data):
        for method in suite.methods:
            for seed in suite.seeds_of(method, data):
                entry = entries.get((suite.label(data, point), method, seed))
                if entry is None:
                    return None
                if entry.split != "val":
                    where = "/".join(map(str, entry.name))
                    raise ValueError(f"{suite.ledger}: {where} was judged on {entry.split}, expected val")
                found.setdefault(f"{method}@{point}", []).append(entry)
    return found


def write_choice(suite: Suite, path: Path) -> int:
    """Writes what the ledger of a suite decides as JSON; returns the exit code, 1 where that is nothing.

    What was decided before stays as it is, since runs have followed it: only methods new to a data set are added there.
    With them the CNRGs of all its trials are new, since their ends are the worst and best of all.

    Raises:
        ValueError: a suite without ledger or sweep, or a file that holds the choice of another one.
    """
    if suite.ledger is None:
        raise ValueError(f"{suite.path}: no ledger, expected one with the results of the trials")
    found = choose(suite, Ledger(path=suite.ledger))
    if path.exists():
        before = read_choice(path)
        if (before.suite, before.key) != (found.suite, found.key):
            raise ValueError(
                f"{path}: holds {before.key} chosen by suite {before.suite}, expected {found.key} by {found.suite}"
            )
        values = {d: {**found.values.get(d, {}), **before.values.get(d, {})} for d in [*before.values, *found.values]}
        new = {d: t for d, t in found.trials.items() if not t.keys() <= before.trials.get(d, {}).keys()}
        found = replace(found, values=values, trials={**before.trials, **new})
    missing = [data for data in suite.data if data not in found.trials]
    if not found.values:
        say(f"nothing is chosen: every data set lacks trials ({', '.join(missing)})", error=True)
        return 1
    with atomic_write(path, "w") as file:
        json.dump(vars(found), file, indent=1)
        file.write("\n")
    left = f"; trials are missing for {', '.join(missing)}" if missing else ""
    say(f"{path}: {found.key} chosen for {', '.join(found.values)}{left}")
    return 0


def read_choice(path: Path) -> Choice:
    """What was chosen; nothing where there is no such file.

    Raises:
        ValueError: a file that holds something else.
    """
    if not path.exists():
        return Choice(suite="", key="")
    try:
        found = Choice(**read_json(path.read_text(encoding="utf-8")))
        for methods in (*found.values.values(), *found.trials.values()):
            methods.items()
        for points in (points for methods in found.trials.values() for points in methods.values()):
            points.items()
        for name in (found.suite, found.key):
            if not isinstance(name, str):
                raise TypeError(f"{name!r}, expected the names of a suite and a setting")
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a choice of `unirex.suite --choose` ({' '.join(str(error).split())})") from None
    return found

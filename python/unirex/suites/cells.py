"""The cells of a suite's table: which it asks for, and how many of them are in its ledger."""

from collections.abc import Mapping

from unirex.suites.ledger import Entries
from unirex.suites.recipe import Suite

Wanted = Mapping[str, Mapping[str, tuple[int, ...]]]
"""Data set of the table -> method -> seeds."""


def on(label: str, model: str) -> str:
    """What the table calls a data set on a method's model.

    >>> on("sst", "slm-fp")
    'sst on slm-fp'
    """
    return f"{label} on {model}"


def wanted(suite: Suite) -> Wanted:
    """All runs that the suite asks for; of one with a grid, its cells."""
    own = [(suite.label(data, point), data) for data, point in suite.points]
    if suite.grid is not None:
        return {
            on(label, model): {
                m: tuple(s for s in suite.seeds_of(m, data) if s in suite.seeds_of(model, data))
                for m in suite.grid.of(data).scores
            }
            for label, data in own
            for model in suite.grid.of(data).models
        }
    far = [(f"{label} to {name}", data) for name in suite.transfer for label, data in own if name != data]
    return {label: {m: s for m in suite.methods if (s := suite.seeds_of(m, data))} for label, data in [*own, *far]}


def counted(cells: Wanted, entries: Entries) -> tuple[int, int]:
    """How many of some cells are there, and how many they are."""
    keys = [(data, method, seed) for data, ms in cells.items() for method, seeds in ms.items() for seed in seeds]
    return sum(key in entries for key in keys), len(keys)


def done_of(suite: Suite, label: str, entries: Entries) -> tuple[int, int]:
    """The same of all cells of a data set, on whatever model: nothing is claimed of one that lacks any."""
    labels = [label] if suite.grid is None else [on(label, model) for model in suite.grid.every_model]
    cells = wanted(suite)
    return counted({name: cells[name] for name in labels if name in cells}, entries)

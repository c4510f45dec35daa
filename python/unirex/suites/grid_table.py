"""The tables of a grid from its ledger: whose scores on whose models."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from unirex.disk.run_folder import CONTROLS
from unirex.metrics.nrg_text import markdown_table
from unirex.suites.cells import on
from unirex.suites.differences import differences
from unirex.suites.grid_config import Grid
from unirex.suites.ledger import Entries, Entry, Ledger
from unirex.suites.recipe import Suite

_SHOWN = {
    "csd": "CSD ↑",
    "normalised_comprehensiveness": "normalised comprehensiveness ↑",
    "normalised_sufficiency": "normalised sufficiency ↑",
    "naopc_comprehensiveness": "NAOPC of comprehensiveness ↑",
    "naopc_sufficiency": "NAOPC of sufficiency ↓",
    "normalised_comprehensiveness[soft]": "Soft-NC ↑",
    "normalised_sufficiency[soft]": "Soft-NS ↑",
}
_NOTE = (
    "Rows: whose scores; columns: whose model, the same seed of both. Means over the instances that define a metric, "
    "in round brackets how many, where that is not all. A column compares words on one model, a row models by one "
    "method's words."
)


def grid_markdown(suite: Suite, ledger: Ledger, entries: Entries) -> str:
    """The grid of each data set as tables, one for each metric, and the paired differences on each model."""
    assert suite.grid is not None
    blocks: list[str] = []
    own: dict[tuple[str, str, int], Entry] = {}
    for data, point in suite.points:
        label, grid = suite.label(data, point), suite.grid.of(data)
        cells, several = _cells(grid, label, entries)
        for metric, title in _SHOWN.items():
            if any(metric in found for found in cells.values()):
                names = dict.fromkeys(name for name, _ in cells)
                rows = [
                    [name, *(cells.get((name, model), {}).get(metric, "—") for model in grid.models)] for name in names
                ]
                table = markdown_table(["scores of", *(f"on {model}" for model in grid.models)], rows)
                blocks.append(f"**{label}: {title}**{several}\n\n{table}")
        own |= {
            (f"{label}, each on its own model", method, seed): entry
            for (where, method, seed), entry in entries.items()
            if where == on(label, grid.model_of(method))
        }
    return "\n\n".join([*blocks, _NOTE, *differences(suite, ledger, {**own, **entries})]) if blocks else ""


def _cells(grid: Grid, label: str, entries: Entries) -> tuple[dict[tuple[str, str], dict[str, str]], str]:
    """(whose scores, whose model) -> metric -> as shown, control scores last; and which seeds, where that is not one.

    Seeds are those that all cells have, else the first of those that most have.
    """
    found: dict[tuple[str, str], dict[int, Entry]] = {}
    for model in grid.models:
        for name in grid.scores:
            of_cell = {
                seed: one for (where, who, seed), one in entries.items() if (where, who) == (on(label, model), name)
            }
            if of_cell:
                found[name, model] = of_cell
    times = Counter(seed for of_cell in found.values() for seed in of_cell)
    most = max(times.values(), default=0)
    seeds = sorted(seed for seed, n in times.items() if n == most)[: None if most == len(found) else 1]
    shown: dict[tuple[str, str], dict[str, str]] = {}
    controls: dict[tuple[str, str], dict[str, str]] = {}
    for (name, model), of_cell in found.items():
        here = [of_cell[seed] for seed in seeds if seed in of_cell]
        shown[name, model] = _shown([one.metrics for one in here], here[0].rows) if here else {}
        for control in CONTROLS if name == grid.scores[0] else ():
            if here and all(control in one.references for one in here):
                controls[f"{control} (control)", model] = _shown(
                    [one.references[control] for one in here], here[0].rows
                )
    several = len({seed for of_cell in found.values() for seed in of_cell}) > 1
    told = f", seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if several else ""
    return {**shown, **controls}, told


def _shown(several: Sequence[Mapping[str, Sequence[Any]]], rows: int) -> dict[str, str]:
    """Each metric in the mean of entries of so many rows, and how many define it at least, where that is not all."""
    found = {}
    for name in several[0]:
        pairs = [one.get(name, (None, rows)) for one in several]
        known = all(value is not None for value, _ in pairs)
        least = rows - max(undefined for _, undefined in pairs)
        found[name] = f"{fmean(v for v, _ in pairs):.3f}" + (f" ({least})" if least < rows else "") if known else "—"
    return found

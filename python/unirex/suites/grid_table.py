"""The tables of a grid from its ledger: whose scores on whose models."""

from collections.abc import Mapping, Sequence
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
        cells = _cells(grid, label, entries)
        for metric, title in _SHOWN.items():
            if any(metric in found for found in cells.values()):
                names = dict.fromkeys(name for name, _ in cells)
                rows = [
                    [name, *(cells.get((name, model), {}).get(metric, "—") for model in grid.models)] for name in names
                ]
                table = markdown_table(["scores of", *(f"on {model}" for model in grid.models)], rows)
                blocks.append(f"**{label}: {title}**\n\n{table}")
        own |= {
            (f"{label}, each on its own model", method, seed): entry
            for (where, method, seed), entry in entries.items()
            if where == on(label, grid.model_of(method))
        }
    return "\n\n".join([*blocks, _NOTE, *differences(suite, ledger, {**own, **entries})]) if blocks else ""


def _cells(grid: Grid, label: str, entries: Entries) -> dict[tuple[str, str], dict[str, str]]:
    """(whose scores, whose model) -> metric -> as shown, of the first seed that has an entry; control scores last."""
    first: dict[tuple[str, str], Entry] = {}
    for model in grid.models:
        for name in grid.scores:
            seeds = [entry for key, entry in entries.items() if key[:2] == (on(label, model), name)]
            if seeds:
                first[name, model] = min(seeds, key=lambda entry: entry.seed)
    found = {key: _shown(entry.metrics, entry.rows) for key, entry in first.items()}
    for control in CONTROLS:
        found |= {
            (f"{control} (control)", model): _shown(entry.references[control], entry.rows)
            for (name, model), entry in first.items()
            if name == grid.scores[0] and control in entry.references
        }
    return found


def _shown(metrics: Mapping[str, Sequence[Any]], rows: int) -> dict[str, str]:
    """Each metric of an entry of so many rows, and how many define it where that is not all."""
    return {
        name: "—" if value is None else f"{value:.3f}" + (f" ({rows - undefined})" if undefined else "")
        for name, (value, undefined) in metrics.items()
    }

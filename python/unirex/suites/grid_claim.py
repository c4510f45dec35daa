"""What a grid adds to the claim of docs/protocol.md: words on a neutral model, and pairs of words and model."""

from collections.abc import Mapping, Sequence

from unirex.metrics import Resampling
from unirex.metrics.nrg_text import markdown_table
from unirex.metrics.paired import Paired
from unirex.suites.cells import done_of, on
from unirex.suites.choice import read_choice
from unirex.suites.claim import apart, best, better_on, mean, partly, run_on, verdict
from unirex.suites.differences import HEADS, between, shown
from unirex.suites.ledger import Entries, Ledger
from unirex.suites.recipe import Suite

NEUTRAL = "csd"
"""What is compared on the neutral model."""
OWN = ("naopc_comprehensiveness", "naopc_sufficiency")
"""What is compared with each method on its own model."""


def grid_claim(suite: Suite, ledger: Ledger, entries: Entries) -> list[str]:
    """Markdown: each data set against the rival that dev chose; none without `table.rivals`.

    With a neutral model, the words of both on it; without one, the pairs of words and model: each on its own. A data
    set whose rival is not in the grid, or that lacks a cell, has a row that says so, and is not judged.
    """
    grid, table = suite.grid, suite.table
    if grid is None or not table.rivals or suite.chosen is None:
        return []
    choice = read_choice(suite.chosen)
    measures = OWN if grid.neutral is None else (NEUTRAL,)
    rows: list[list[str]] = []
    found: dict[str, list[Paired]] = {}
    for data, point in suite.points:
        if data not in choice.trials:
            continue
        rival, label = best(choice, data, run_on(suite, [data], table.rivals)), suite.label(data, point)
        done, wanted = done_of(suite, label, entries)
        own = grid.of(data)
        if rival not in own.scores or (grid.neutral or grid.model_of(rival)) not in own.models:
            rows.append([label, rival, *["not in the grid"] * len(measures)])
        elif 0 < done < wanted:
            rows.append([label, rival, f"{done} of {wanted} cells done", *["—"] * (len(measures) - 1)])
        elif done and (parts := _parts(suite, ledger, entries, (label, rival), measures)):
            found[data] = [part for part, _ in parts]
            rows.append([label, rival, *(f"{shown(part, of)} {verdict(part)}" for part, of in parts)])
        elif done:
            rows.append([label, rival, *["a seed or metric is missing"] * len(measures)])
    if not rows:
        return []
    if len(found) > 1:
        means = [mean(column) for column in zip(*found.values(), strict=True)]
        rows.append([f"mean of {len(found)}", "", *(f"{shown(part)} {verdict(part)}" for part in means)])
    where = "each on its own model" if grid.neutral is None else f"words on {grid.neutral}"
    heads = [HEADS[name] for name in measures]
    block = markdown_table(["data set", "best rival on dev", *heads], rows)
    title = f"**{table.against[0]} minus the best rival on dev: {where}**"
    return [f"{title}\n\n{block}", *([_lines(suite, found, heads)] if found else [])]


def _lines(suite: Suite, found: Mapping[str, Sequence[Paired]], heads: Sequence[str]) -> str:
    def told(parts: Sequence[Sequence[Paired]], which: str) -> list[str]:
        columns = zip(*parts, strict=True)
        return [better_on(column, head.rstrip(" ↑↓"), which) for head, column in zip(heads, columns, strict=True)]

    rest = [parts for data, parts in found.items() if data not in suite.table.shaped]
    return (
        f"Lines of the claim: {'; '.join(told([*found.values()], 'all but one'))}."
        f"{apart(suite, told(rest, 'each') if rest else [])}{partly(len(found), len(suite.data))} Intervals of 95 %, "
        "over instances and, where there are several, seeds; that of a mean by the normal approximation; in round "
        "brackets how many instances define it, where that is not all."
    )


def _parts(
    suite: Suite, ledger: Ledger, entries: Entries, row: tuple[str, str], measures: Sequence[str]
) -> list[tuple[Paired, int]] | None:
    """The differences that count, each with the instances of its data set; None where a metric or seed is missing."""
    assert suite.grid is not None
    (ours,), grid, (label, rival) = suite.table.against, suite.grid, row
    models = [grid.neutral or grid.model_of(method) for method in (ours, rival)]
    first, other = ((on(label, model), method) for model, method in zip(models, (ours, rival), strict=True))
    seeds = sorted(seed for d, m, seed in entries if (d, m) == first and (*other, seed) in entries)
    if not seeds:
        return None
    ours_there, theirs = ([entries[*key, seed] for seed in seeds] for key in (first, other))
    found = between(ledger, ours_there, theirs, Resampling(replicates=suite.table.replicates))
    if not set(measures) <= found.keys():
        return None
    return [(found[name], theirs[0].rows) for name in measures]

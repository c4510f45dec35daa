"""Paired differences of one method from all others, over seeds and rows, from the row values of a ledger."""

from collections.abc import Mapping, Sequence

from unirex.metrics import Resampling, row_values
from unirex.metrics.nrg_table import Gain, GainTable
from unirex.metrics.nrg_text import markdown_table
from unirex.metrics.paired import Paired, paired
from unirex.suites.ledger import Entries, Entry, Ledger, one_model
from unirex.suites.recipe import Suite

HEADS = {
    "csd": "CSD ↑",
    "normalised_comprehensiveness": "norm. comp ↑",
    "normalised_sufficiency": "norm. suff ↑",
    "naopc_comprehensiveness": "NAOPC comp ↑",
    "naopc_sufficiency": "NAOPC suff ↓",
    "auprc": "AUPRC ↑",
    "token_f1": "token F1 ↑",
}


def differences(suite: Suite, ledger: Ledger, entries: Entries, table: GainTable | None = None) -> list[str]:
    """A Markdown block for each data set on which a method of the suite's `table.against` has run.

    Its last column compares the composites of `table`, where there is one.
    """
    blocks = [
        block
        for data in dict.fromkeys(data for data, _, _ in entries)
        for ours in suite.table.against
        if (block := _block(suite, ledger, entries, table, (data, ours)))
    ]
    if blocks:
        composite = "" if table is None else " CNRG: over all seeds that each of the two has."
        blocks.append(
            "Differences of the means over the seeds that both have, in square brackets the interval of 95 % over "
            "instances and, where there are several, seeds, paired where each is one model in both. Each metric: over "
            "the instances for which all these runs define it; in round brackets how many, where that is not all."
            f"{composite}"
        )
    return blocks


def _block(suite: Suite, ledger: Ledger, entries: Entries, table: GainTable | None, of: tuple[str, str]) -> str | None:
    data, ours = of
    known = {seed: entry for (d, m, seed), entry in entries.items() if (d, m) == (data, ours)}
    if not known:
        return None
    layout = row_values.read(str(ledger.rows(next(iter(known.values()))))).layout
    names = [str(layout.headline), *(name for name in HEADS if name in {d.name for d in layout.definitions})]
    rows = [
        [*row, *([] if table is None else [shown(table.over(data, ours, method))])]
        for method in suite.methods
        if method != ours and (row := _row(suite, ledger, entries, (data, method), known, names))
    ]
    composite = [] if table is None else ["CNRG ↑"]
    titles = ["method", "seeds", *(HEADS.get(name, f"{name} ↑") for name in names), *composite]
    return f"**{data}: {ours} minus the method of the row**\n\n{markdown_table(titles, rows)}" if rows else None


def _row(
    suite: Suite,
    ledger: Ledger,
    entries: Entries,
    row: tuple[str, str],
    known: Mapping[int, Entry],
    names: Sequence[str],
) -> list[str] | None:
    """The row of a data set and method, None where it has no seed in common."""
    seeds = [seed for seed in known if (*row, seed) in entries]
    if not seeds:
        return None
    first, other = [known[seed] for seed in seeds], [entries[*row, seed] for seed in seeds]
    found = between(ledger, first, other, Resampling(replicates=suite.table.replicates))
    return [row[1], str(len(seeds)), *(shown(found.get(name), other[0].rows) for name in names)]


def between(
    ledger: Ledger, first: Sequence[Entry], other: Sequence[Entry], resampling: Resampling
) -> dict[str, Paired]:
    """Differences of the seeds of two methods, by metric; seeds are paired where both have one model for each."""
    ours, theirs = ([row_values.read(str(ledger.rows(entry))) for entry in side] for side in (first, other))
    shared = all(one_model(one, two) for one, two in zip(first, other, strict=True))
    return {one.metric: one for one in paired(ours, theirs, resampling, shared=shared)}


def shown(one: Paired | Gain | None, of: int = 0) -> str:
    """A difference, its interval, and behind how many instances it holds where they are `of`; a dash without one."""
    if one is None or one.low is None or one.high is None:
        return "—"
    fewer = f" ({one.rows})" if isinstance(one, Paired) and one.rows < of else ""
    return f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]{fewer}"

"""Paired differences of one method from all others, over seeds and rows, from the row values of a ledger."""

from collections.abc import Mapping

from unirex.metrics import Resampling, row_values
from unirex.metrics.paired import Paired, paired
from unirex.metrics.row_values import RowValues
from unirex.suites.ledger import Entries, Ledger
from unirex.suites.recipe import Suite
from unirex.suites.table import markdown_table

_HEADS = {
    "csd": "CSD ↑",
    "normalised_comprehensiveness": "norm. comp ↑",
    "normalised_sufficiency": "norm. suff ↑",
    "auprc": "AUPRC ↑",
    "token_f1": "token F1 ↑",
}


def differences(suite: Suite, ledger: Ledger, entries: Entries) -> list[str]:
    """A Markdown block for each data set on which the suite's `table.against` has run; none without it."""
    ours = suite.table.against
    if ours is None:
        return []
    blocks = []
    for data in dict.fromkeys(data for data, method, _ in entries if method == ours):
        known = {
            seed: row_values.read(str(ledger.rows(e))) for (d, m, seed), e in entries.items() if (d, m) == (data, ours)
        }
        rows = [
            row
            for method in suite.methods
            if method != ours and (row := _row(suite, ledger, entries, data, method, known))
        ]
        if rows:
            head = next(iter(known.values())).layout.headline
            titles = ["method", "seeds", f"{head} ↑", *_HEADS.values()]
            blocks.append(f"**{data}: {ours} minus the method of the row**\n\n{markdown_table(titles, rows)}")
    if blocks:
        blocks.append(
            "Differences of the means over the seeds that both have, in brackets the interval of 95 % over instances "
            "and, where there are several, seeds. Each metric: over the instances for which both define it."
        )
    return blocks


def _row(
    suite: Suite, ledger: Ledger, entries: Entries, data: str, method: str, known: Mapping[int, RowValues]
) -> list[str] | None:
    """One method's row, None where it has no seed in common."""
    seeds = [seed for seed in known if (data, method, seed) in entries]
    if not seeds:
        return None
    others = [row_values.read(str(ledger.rows(entries[data, method, seed]))) for seed in seeds]
    resampling = Resampling(replicates=suite.table.replicates)
    found = {one.metric: one for one in paired([known[seed] for seed in seeds], others, resampling)}
    headline = str(others[0].layout.headline)
    return [method, str(len(seeds)), *(_shown(found.get(name)) for name in (headline, *_HEADS))]


def _shown(one: Paired | None) -> str:
    if one is None or one.low is None or one.high is None:
        return "—"
    return f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"

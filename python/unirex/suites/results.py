"""The table of a suite from its ledger: nothing is trained, and no torch is needed."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from unirex.disk.atomic import atomic_write
from unirex.disk.run_folder import CONTROLS
from unirex.metrics import Resampling, Run, row_values
from unirex.metrics.nrg_table import COMPOSITES, FRONT, LOWER, TASK, Cell, Columns, GainTable, Mean, front_of
from unirex.metrics.nrg_text import markdown_table
from unirex.suites.cells import Wanted, counted, done_of, wanted
from unirex.suites.claim import claim, finding
from unirex.suites.differences import differences
from unirex.suites.grid_claim import grid_claim
from unirex.suites.grid_table import grid_markdown
from unirex.suites.ledger import Entries, Entry, Ledger, newest, one_model
from unirex.suites.one_setting import check_one_setting
from unirex.suites.recipe import Suite
from unirex.suites.table import Finished, table_path, write_page, write_table
from unirex.text import say

NOTHING = "—"
_SPLITS = {"val": "dev"}
_SHORT = {TASK: "task", "comprehensiveness": "comp", "sufficiency": "suff", "auprc": "AUPRC", "token_f1": "token F1"}
_ORDER = (TASK, "comprehensiveness", "sufficiency", "csd", "auprc", "token_f1")
_SHOWN = {"train_seconds": "train s", "explain_seconds": "explain s", "run_minutes": "run min"}
_NOTE = (
    "CSD: comprehensiveness - sufficiency. train s: wall time of the optimizer steps per instance and pass; explain s: "
    "of scoring an instance; run min: of training and judging. A model that several rows share was trained once, and "
    "each of them shows what it cost."
)


def write_results(suite: Suite, page: Path | None = None, counts: Callable[[Entry], bool] | None = None) -> int:
    """Writes the table of a suite's ledger in every format, and into a page; returns the exit code.

    Args:
        suite: with a ledger.
        page: into which the table is put.
        counts: whether an entry has the settings that the suite has now; None = they are not known.

    Raises:
        ValueError: a ledger that cannot be read, an entry without its row values, or results of several settings.
    """
    assert suite.ledger is not None
    ledger = Ledger(path=suite.ledger)
    cells = wanted(suite)
    found = {
        (data, method, seed): entry
        for (data, method, seed), entry in newest(ledger.entries(), suite.path.stem).items()
        if seed in cells.get(data, {}).get(method, ())
    }
    if counts is None:
        check_one_setting(suite, found, suite.ledger)
    entries = {key: entry for key, entry in found.items() if counts is None or counts(entry)}
    if lost := ["/".join(map(str, key)) for key in found if key not in entries]:
        say(f"not in the table, since the ledger has them with other settings: {', '.join(lost)}", error=True)

    def markdown(table: GainTable | None, columns: Columns) -> str:
        more = [
            *claim(suite, ledger, entries),
            *finding(suite, table, entries),
            *differences(suite, ledger, entries, table),
        ]
        note = [*_grouped(suite, ledger, entries), *([] if suite.table.note is None else [suite.table.note])]
        return "\n\n".join([_to_markdown(cells, entries, table, columns), *note, *more])

    progress = _progress(cells, entries, "runs" if suite.grid is None else "cells")
    if suite.grid is not None:
        grid, claims = grid_markdown(suite, ledger, entries), grid_claim(suite, ledger, entries)
        blocks = [f"{progress}; {NOTHING} = not judged.", *claims, grid, *_grouped(suite, ledger, entries)]
        text = "\n\n".join(filter(None, blocks))
        paths = _write(suite, text)
    else:
        paths, text = write_table(suite, _from_ledger(suite, ledger, entries), markdown)
        if not paths:
            text = markdown(None, {})
            paths = _write(suite, text)
    if page is not None:
        write_page(page, suite, text)
    say(f"{progress}; written: {', '.join(map(str, paths))}")
    return 0


def _grouped(suite: Suite, ledger: Ledger, entries: Entries) -> list[str]:
    """A sentence for each data set whose rows are drawn in groups."""
    found = []
    for data, recipe in suite.data.items():
        entry = next((one for (name, _, _), one in entries.items() if re.split("@| on ", name)[0] == data), None)
        if entry is None:
            continue
        rows = row_values.read(str(ledger.rows(entry)))
        if rows.grouped_by != recipe.groups:
            raise ValueError(
                f"{ledger.rows(entry)}: rows are grouped by {rows.grouped_by!r}, expected {recipe.groups!r} as in "
                f"{suite.path} (a ledger of its own takes other groups)"
            )
        if recipe.groups is not None:
            n = rows.state(Resampling(replicates=0)).n_groups() or len(rows.hashes)
            found.append(f"{data}: {len(rows.hashes)} rows in {n} groups; intervals draw the rows of a group together.")
    return found


def _write(suite: Suite, text: str) -> list[Path]:
    suite.output.mkdir(parents=True, exist_ok=True)
    path = table_path(suite, "markdown")
    with atomic_write(path, "w") as file:
        file.write(text + "\n")
    return [path]


def _from_ledger(suite: Suite, ledger: Ledger, entries: Entries) -> Finished:
    """What the ledger has of a suite, with the control scores on the models of `references`."""
    found = Finished(controls=[name for name, part in suite.methods.items() if part.control])
    models: list[Entry] = []  # one of each

    def run(entry: Entry, method: str, source: str = "") -> Run:
        key = entry.data, entry.seed
        alike = (n for n, m in enumerate(models) if (m.data, m.seed) == key and one_model(m, entry))
        number = next(alike, len(models))
        if number == len(models):
            models.append(entry)
        return replace(_run(ledger, entry, method, source), model=str(number))

    for data, methods in wanted(suite).items():
        for method, seeds in methods.items():
            for entry in (entries[key] for seed in seeds if (key := (data, method, seed)) in entries):
                found.add(run(entry, method), entry.cost["columns"])
                for control in CONTROLS if method == suite.references else ():
                    if control not in entry.references or control in suite.methods:
                        continue
                    if ledger.rows(entry, control).is_file():
                        found.add_control(run(entry, control, control))
                    else:  # it was recorded when another method was the reference
                        say(f"no {control} control of {data}: {ledger.rows(entry, control)} is not there", error=True)
    shares = {data: done_of(suite, data, entries) for data in wanted(suite)}
    return replace(found.ordered(), averaged=[data for data, (done, of) in shares.items() if done == of])


def _progress(cells: Wanted, entries: Entries, of: str = "runs") -> str:
    done, all_of_them = counted(cells, entries)
    return f"{done} of {all_of_them} {of} done"


def _to_markdown(cells: Wanted, entries: Entries, table: GainTable | None, columns: Columns) -> str:
    """A block for each data set with runs, missing cells as a dash, and one of the means over the data sets."""
    begun = [data for data in cells if table is not None and data in table.data]
    left = ", ".join(data for data in cells if data not in begun)
    blocks = [f"{_progress(cells, entries)}; {NOTHING} = no run." + (f" None of {left}." if left else "")]
    if table is None:
        return blocks[0]
    for data in begun:
        done = _progress({data: cells[data]}, entries)
        blocks.append(f"**{data}** ({done})\n\n{_block(data, cells[data], table, columns)}\n\n{front_of(table, data)}")
    if len(table.averaged) > 1 and table.means:
        means = [[table.label(method), *_composites(table.means.get(method))] for method in table.methods]
        title = f"**mean over {len(table.averaged)} data sets, of methods run on all of them**"
        blocks.append(f"{title}\n\n{markdown_table(['method', *COMPOSITES], means)}\n\n{front_of(table, None)}")
    split = " and ".join(sorted({_SPLITS.get(entry.split, entry.split) for entry in entries.values()}))
    return "\n\n".join([*blocks, _ends(table, split), _NOTE, *table.notes])


def _block(data: str, methods: Mapping[str, Sequence[int]], table: GainTable, columns: Columns) -> str:
    """A row for each method of the suite, then those of the controls."""
    ends = table.ends[data]
    names = [n for n in _ORDER if n in ends or (n == "csd" and {"comprehensiveness", "sufficiency"} <= set(ends))]
    heads = [table.headlines[data] if n == TASK else _SHORT.get(n, n.upper()) for n in names]
    arrows = [f"{head} {'↓' if name in LOWER else '↑'}" for name, head in zip(names, heads, strict=True)]
    head = ["method", "seeds", *arrows, *COMPOSITES, *_SHOWN.values()]
    extra = [m for m in table.methods if m not in methods and (data, m) in table.cells]
    rows = []
    for method in [*methods, *extra]:
        cell = table.cells.get((data, method))
        seeds = methods.get(method)
        if cell is None:
            rows.append([method, f"0 of {len(seeds or ())}", *[NOTHING] * (len(head) - 2)])
            continue
        n = len(cell.seeds)
        done = str(n) if seeds is None or n == len(seeds) else f"{n} of {len(seeds)}"
        costs = [_cost(columns.get(name, {}).get((data, method))) for name in _SHOWN]
        values = [_value(cell, name) for name in names]
        rows.append([table.label(method), done, *values, *_composites(cell), *costs])
    return markdown_table(head, rows)


def _value(cell: Cell, name: str) -> str:
    if name == "csd":
        return f"{cell.values['comprehensiveness'] - cell.values['sufficiency']:.3f}"
    low, high = cell.intervals[name]
    spread = f" ± {cell.deviations[name]:.3f}" if len(cell.seeds) > 1 else ""
    return f"{cell.values[name]:.3f}{spread} {_interval(low, high)}".strip()


def _ends(table: GainTable, split: str) -> str:
    methods = ", ".join(method for method in table.methods if method not in table.controls)
    several = any(len(cell.seeds) > 1 for cell in table.cells.values())
    behind = f"{split} rows and seeds" if several else f"{split} rows"
    return (
        f"convention {table.convention}; per data set 0 and 1 are the worst and best of those run on it among: "
        f"{methods}; ± standard deviation over seeds; intervals: of {behind}; {FRONT}"
    )


def _composites(row: Cell | Mean | None) -> list[str]:
    """The composites, and the interval of the last of them."""
    if row is None:
        return [NOTHING] * len(COMPOSITES)
    values = (row.composites.get(name) for name in COMPOSITES)
    shown = [NOTHING if value is None else f"{value:.3f}" for value in values]
    return [*shown[:-1], f"{shown[-1]} {_interval(row.low, row.high)}".strip()]


def _cost(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"


def _run(ledger: Ledger, entry: Entry, method: str, source: str = "") -> Run:
    path = ledger.rows(entry, source)
    if not path.is_file():
        raise ValueError(f"{path}: no such file, expected the row values of {'/'.join(map(str, entry.name))}")
    return Run(method=method, data=entry.data, seed=str(entry.seed), path=str(path))

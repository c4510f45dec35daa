"""The table of a suite from its ledger: nothing is trained, and no torch is needed."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from unirex.disk.atomic import atomic_write
from unirex.metrics import Run
from unirex.metrics.nrg_table import COMPOSITES, LOWER, TASK, Cell, Columns, GainTable
from unirex.suites.differences import differences
from unirex.suites.ledger import Entry, Ledger, current
from unirex.suites.recipe import Suite
from unirex.suites.table import CONTROLS, Found, write_page, write_table
from unirex.text import say

NOTHING = "—"
_SHORT = {TASK: "task", "comprehensiveness": "comp", "sufficiency": "suff", "auprc": "AUPRC", "token_f1": "token F1"}
_ORDER = (TASK, "comprehensiveness", "sufficiency", "csd", "auprc", "token_f1")
_SHOWN = {"train_seconds": "train s", "explain_seconds": "explain s", "run_minutes": "run min"}
_NOTE = (
    "CSD: comprehensiveness - sufficiency. train s: wall time of the optimizer steps per instance and pass; explain s: "
    "of scoring an instance; run min: of training and judging. A model that several rows share was trained once, and "
    "each of them shows what it cost."
)
Cells = Mapping[str, Mapping[str, tuple[int, ...]]]


def write_results(suite: Suite, page: Path | None = None) -> int:
    """Writes the table of a suite's ledger in every format, and into a page; returns the exit code.

    Raises:
        ValueError: a ledger that cannot be read, or an entry without its row values.
    """
    ledger = Ledger(path=_required(suite))
    entries = current(ledger.entries(), suite.path.stem)
    found = from_ledger(suite, ledger, entries)
    expected = cells(suite)

    def markdown(table: GainTable | None, columns: Columns) -> str:
        return "\n\n".join([to_markdown(expected, entries, table, columns), *differences(suite, ledger, entries)])

    paths = write_table(suite, found, markdown)
    if not paths:
        suite.output.mkdir(parents=True, exist_ok=True)
        paths = [suite.output / "table.md"]
        with atomic_write(paths[0], "w") as file:
            file.write(markdown(None, {}) + "\n")
    if page is not None:
        write_page(page, suite)
    say(f"{progress(expected, entries)}; written: {', '.join(map(str, paths))}")
    return 0


def cells(suite: Suite) -> Cells:
    """Data set of the table -> method -> its seeds: all that the suite asks for."""
    own = [(suite.label(data, point), data) for point in suite.points for data in suite.data]
    far = [(f"{label} to {name}", name) for name in suite.transfer for label, data in own if name != data]
    return {label: {m: seeds for m in suite.methods if (seeds := suite.seeds_of(m))} for label, _ in [*own, *far]}


def from_ledger(suite: Suite, ledger: Ledger, entries: Mapping[tuple[str, str, int], Entry]) -> Found:
    """What the ledger has of a suite, with the control scores on the models of `references`."""
    found = Found(controls=[name for name, part in suite.methods.items() if part.control])
    for data, methods in cells(suite).items():
        for method, seeds in methods.items():
            for entry in (entries[key] for seed in seeds if (key := (data, method, seed)) in entries):
                found.add(_run(ledger, entry, method), entry.cost["columns"])
                for control in CONTROLS if method == suite.references else ():
                    if control in entry.references and control not in suite.methods:
                        found.add_control(_run(ledger, entry, control, control))
    return found.ordered()


def progress(expected: Cells, entries: Mapping[tuple[str, str, int], Entry]) -> str:
    """How many of the runs are done, in words."""
    wanted = [(data, method, seed) for data, ms in expected.items() for method, seeds in ms.items() for seed in seeds]
    return f"{sum(key in entries for key in wanted)} of {len(wanted)} runs done"


def to_markdown(
    expected: Cells, entries: Mapping[tuple[str, str, int], Entry], table: GainTable | None, columns: Columns
) -> str:
    """A block for each data set, missing cells as a dash, and one of the means over the data sets."""
    blocks = [f"{progress(expected, entries)}; {NOTHING} = not run yet."]
    for data, methods in expected.items():
        done = progress({data: methods}, entries)
        rows = [f"| {' | '.join(row)} |" for row in _rows(data, methods, table, columns)]
        blocks.append(f"**{data}** ({done})\n\n" + "\n".join(rows))
    if table is not None and len(table.data) > 1 and table.means:
        rows = ["| method | FNRG | PNRG | TNRG | CNRG |  |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
        for method in table.methods:
            mean = table.means.get(method)
            values = [_number(mean.composites.get(c)) if mean else NOTHING for c in COMPOSITES]
            interval = _interval(mean.low, mean.high) if mean else NOTHING
            rows.append(f"| {_label(table, method)} | {' | '.join([*values, interval])} |")
        blocks.append(f"**mean over {len(table.data)} data sets, of methods run on all of them**\n\n" + "\n".join(rows))
    ends = [] if table is None else [_ends(table)]
    return "\n\n".join([*blocks, *ends, _NOTE])


def _rows(
    data: str, methods: Mapping[str, Sequence[int]], table: GainTable | None, columns: Columns
) -> Iterator[list[str]]:
    """The head, the line below it, and a row for each method of the suite, then those of the controls."""
    known = table if table is not None and data in table.data else None
    names = [n for n in _ORDER if known is None or n == "csd" or n in known.ends[data]]
    heads = [known.headlines[data] if known and n == TASK else _SHORT.get(n, n.upper()) for n in names]
    arrows = [f"{head} {'↓' if name in LOWER else '↑'}" for name, head in zip(names, heads, strict=True)]
    head = ["method", "seeds", *arrows, *COMPOSITES, "", *_SHOWN.values()]
    yield head
    yield ["---", *["---:"] * (len(head) - 1)]
    extra = [m for m in known.methods if m not in methods and (data, m) in known.cells] if known else []
    for method in [*methods, *extra]:
        cell = known.cells.get((data, method)) if known else None
        wanted = methods.get(method)
        if cell is None or known is None:
            yield [method, f"0 of {len(wanted or ())}", *[NOTHING] * (len(head) - 2)]
            continue
        seeds = (
            str(len(cell.seeds))
            if wanted is None or len(cell.seeds) == len(wanted)
            else (f"{len(cell.seeds)} of {len(wanted)}")
        )
        costs = [_cost(columns.get(name, {}).get((data, method))) for name in _SHOWN]
        composites = [_number(cell.composites.get(c)) for c in COMPOSITES]
        values = [_value(cell, name) for name in names]
        yield [_label(known, method), seeds, *values, *composites, _interval(cell.low, cell.high), *costs]


def _value(cell: Cell, name: str) -> str:
    if name == "csd":
        return f"{cell.values['comprehensiveness'] - cell.values['sufficiency']:.3f}"
    low, high = cell.intervals[name]
    spread = f" ± {cell.deviations[name]:.3f}" if len(cell.seeds) > 1 else ""
    return f"{cell.values[name]:.3f}{spread} {_interval(low, high)}".strip()


def _ends(table: GainTable) -> str:
    methods = ", ".join(method for method in table.methods if method not in table.controls)
    several = any(len(cell.seeds) > 1 for cell in table.cells.values())
    behind = "test rows and seeds" if several else "test rows"
    return (
        f"convention {table.convention}; per data set 0 and 1 are the worst and best of those run on it among: "
        f"{methods}; ± standard deviation over seeds; intervals: of {behind}, the last of CNRG"
    )


def _label(table: GainTable, method: str) -> str:
    return f"{method} (control)" if method in table.controls else method


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _cost(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"


def _run(ledger: Ledger, entry: Entry, method: str, source: str = "") -> Run:
    path = ledger.rows(entry, source)
    if not path.is_file():
        raise ValueError(f"{path}: no such file, expected the row values of {'/'.join(map(str, entry.name))}")
    return Run(method=method, data=entry.data, seed=str(entry.seed), path=str(path))


def _required(suite: Suite) -> Path:
    if suite.ledger is None:
        raise ValueError(f"{suite.path}: ledger is null, expected the name of a .jsonl file")
    return suite.ledger

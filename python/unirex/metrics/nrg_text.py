"""A table of relative gains as text, Markdown, LaTeX, CSV and JSON, and the file of its ends."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unirex.metrics.nrg_table import COMPOSITES, METRICS, TASK, Cell, Ends, GainTable, Mean
from unirex.metrics.report import aligned, finite
from unirex.untrusted import read_json

LOWER = frozenset({"sufficiency"})
Rows = list[list[str]]
Columns = Mapping[str, Mapping[tuple[str, str], float]]
"""Columns beside the metrics, such as a cost: name -> (data set, method) -> value."""


def to_text(table: GainTable, columns: Columns | None = None, against: str | None = None) -> str:
    """Plain text: a block per data set, one for the means, and what the set of methods is.

    Args:
        table: what to show.
        columns: more of them.
        against: the method that the others' CNRG is compared with; None = the best of each block.
    """
    made = _blocks(table, columns or {}, "↑", "↓", " ± ", against)
    blocks = [f"{title}\n" + "\n".join(aligned(_padded(rows))) for title, rows in made]
    return "\n\n".join([*blocks, "\n".join([_note(table), *table.notes])])


def to_markdown(table: GainTable, columns: Columns | None = None, against: str | None = None) -> str:
    """Markdown tables; the arguments are those of `to_text`."""
    blocks = []
    for title, (head, *rows) in _blocks(table, columns or {}, "↑", "↓", " ± ", against):
        lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
        cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
        blocks.append(f"**{title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in cells))
    return "\n\n".join([*blocks, _note(table), *table.notes])


def to_latex(table: GainTable, columns: Columns | None = None, against: str | None = None) -> str:
    """LaTeX `tabular`s, with booktabs rules; the arguments are those of `to_text`."""
    blocks = []
    for title, (head, *rows) in _blocks(table, columns or {}, r"$\uparrow$", r"$\downarrow$", r" $\pm$ ", against):
        lines = [" & ".join(map(_escaped, row)) + r" \\" for row in (head, *rows)]
        body = [lines[0], r"\midrule", *lines[1:]]
        places = "l" + "r" * (len(head) - 1)
        blocks.append(
            "\n".join(
                [f"% {title}", rf"\begin{{tabular}}{{{places}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}"]
            )
        )
    return "\n\n".join([*blocks, *(f"% {note}" for note in (_note(table), *table.notes))])


def to_csv(table: GainTable, columns: Columns | None = None, against: str | None = None) -> str:
    """One line per data set and method, `mean` for the means over data sets; full precision, empty = not available.

    The arguments are those of `to_text`.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = columns or {}
    raw = [f"{name}{end}" for name in METRICS for end in ("", "_sd", "_low", "_high", "_nrg")]
    composites = [*COMPOSITES, "CNRG_low", "CNRG_high", "over", "over_CNRG", "over_low", "over_high"]
    writer.writerow(["data", "method", "control", "seeds", "task_metric", *raw, *composites, *columns])
    for data, method, cell in _cells(table):
        numbers = [number for name in METRICS for number in _metric_cells(cell, name)]
        start = [data, method, str(method in table.controls).lower(), " ".join(cell.seeds), table.headlines[data]]
        more = [_number(values.get((data, method))) for values in columns.values()]
        writer.writerow([*start, *numbers, *_composite_cells(cell), *_over_cells(table, data, method, against), *more])
    for method, mean in table.means.items():
        start = ["mean", method, str(method in table.controls).lower(), "", ""]
        over = _over_cells(table, None, method, against)
        writer.writerow([*start, *[""] * len(raw), *_composite_cells(mean), *over, *[""] * len(columns)])
    return out.getvalue().rstrip("\n")


def to_json(table: GainTable, columns: Columns | None = None, against: str | None = None) -> str:
    """Everything, with null for what is undefined; `against` has no part in it: every pair is there."""

    def more(data: str, method: str) -> dict[str, float | None]:
        return {name: values.get((data, method)) for name, values in (columns or {}).items()}

    content = {
        "convention": table.convention,
        "methods": list(table.methods),
        "controls": list(table.controls),
        "frozen": table.frozen,
        "ends": ends_as_dict(table.ends),
        "data": [
            {
                "data": data,
                "task_metric": table.headlines[data],
                "methods": [{"method": m, **_plain(asdict(c)), **more(d, m)} for d, m, c in _cells(table) if d == data],
            }
            for data in table.data
        ],
        "mean": [{"method": method, **_plain(asdict(mean))} for method, mean in table.means.items()],
        "differences": [_plain(asdict(gain)) for gain in table.differences],
        "n_partly": {data: dict(each) for data, each in table.n_partly.items()},
        "notes": list(table.notes),
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


FORMATS: Mapping[str, Callable[..., str]] = {
    "text": to_text,
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "json": to_json,
}


def ends_as_dict(ends: Ends) -> dict[str, dict[str, dict[str, float | None]]]:
    """The ends as plain JSON content."""
    return {
        data: {name: {"low": finite(low), "high": finite(high)} for name, (low, high) in metrics.items()}
        for data, metrics in ends.items()
    }


def ends_to_json(table: GainTable) -> str:
    """The file that freezes this table's ends: they, the convention, and the methods that set them."""
    methods = [method for method in table.methods if method not in table.controls]
    content = {"convention": table.convention, "methods": methods, "ends": ends_as_dict(table.ends)}
    return json.dumps(content, indent=2, ensure_ascii=False)


def read_ends(path: str, convention: str) -> Ends:
    """The ends from a file that `ends_to_json` wrote, for the same convention."""
    try:
        content: Any = read_json(Path(path).read_bytes())
        ends = {
            str(data): {str(name): (float(end["low"]), float(end["high"])) for name, end in metrics.items()}
            for data, metrics in content["ends"].items()
        }
        frozen_for = content["convention"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: not a file of frozen ends ({reason})") from error
    if frozen_for != convention:
        raise ValueError(f"{path}: ends of convention {frozen_for!r}, expected {convention!r}")
    return ends


def _blocks(
    table: GainTable, columns: Columns, up: str, down: str, pm: str, against: str | None
) -> list[tuple[str, Rows]]:
    """Title and rows of each block: first the head, then a row per method."""
    blocks = []
    for data in table.data:
        reference = _reference(table, data, against)
        names = [name for name in METRICS if name in table.ends[data]]
        composites = [c for c in COMPOSITES if any(c in cell.composites for d, _, cell in _cells(table) if d == data)]
        shown = [table.headlines[data] if name == TASK else name for name in names]
        head = [
            "method",
            *(f"{s} {down if n in LOWER else up}" for s, n in zip(shown, names, strict=True)),
            *composites,
            "",
            f"CNRG over {reference}",
            *columns,
        ]
        rows: Rows = [head]
        for d, method, cell in _cells(table):
            if d == data:
                raw = [_spread(cell, n, pm) for n in names]
                more = [_rounded(values.get((d, method))) for values in columns.values()]
                over = _over(table, data, method, reference)
                rows.append([_label(table, method), *raw, *_shown(cell, composites), over, *more])
        blocks.append((data, rows))
    if len(table.data) > 1 and table.means:
        composites = [c for c in COMPOSITES if any(c in mean.composites for mean in table.means.values())]
        reference = _reference(table, None, against)
        rows = [["method", *composites, "", f"CNRG over {reference}"]]
        for method, mean in table.means.items():
            rows.append([_label(table, method), *_shown(mean, composites), _over(table, None, method, reference)])
        blocks.append((f"mean over {len(table.data)} data sets", rows))
    return blocks


def _cells(table: GainTable) -> list[tuple[str, str, Cell]]:
    return [
        (data, method, table.cells[data, method])
        for data in table.data
        for method in table.methods
        if (data, method) in table.cells
    ]


def _label(table: GainTable, method: str) -> str:
    return f"{method} (control)" if method in table.controls else method


def _spread(cell: Cell, name: str, pm: str) -> str:
    """Mean and deviation over seeds, and the interval of the mean."""
    value, deviation, (low, high) = cell.values[name], cell.deviations[name], cell.intervals[name]
    return (
        f"{value:.3f}"
        + ("" if math.isnan(deviation) else f"{pm}{deviation:.3f}")
        + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")
    )


def _metric_cells(cell: Cell, name: str) -> list[str]:
    low, high = cell.intervals.get(name, (None, None))
    return [_number(v) for v in (cell.values.get(name), cell.deviations.get(name), low, high, cell.gains.get(name))]


def _rounded(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.2g}"


def _shown(row: Cell | Mean, composites: Sequence[str]) -> list[str]:
    interval = "" if row.low is None or row.high is None else f"[{row.low:.3f}, {row.high:.3f}]"
    return [*(f"{row.composites[c]:.3f}" if c in row.composites else "-" for c in composites), interval]


def _reference(table: GainTable, data: str | None, against: str | None) -> str:
    """The method that the others are compared with: the one asked for where it is there, else the best."""
    there = against in table.means if data is None else (data, against) in table.cells
    return against if against is not None and there else table.best(data)


def _over(table: GainTable, data: str | None, method: str, reference: str) -> str:
    """By how much a method's CNRG is above that of the reference, and the paired interval."""
    gain = table.over(data, method, reference)
    if gain is None:
        return "-"
    interval = "" if gain.low is None or gain.high is None else f" [{gain.low:+.3f}, {gain.high:+.3f}]"
    return f"{gain.difference:+.3f}{interval}"


def _over_cells(table: GainTable, data: str | None, method: str, against: str | None) -> list[str]:
    reference = _reference(table, data, against)
    gain = table.over(data, method, reference)
    numbers = (None, None, None) if gain is None else (gain.difference, gain.low, gain.high)
    return [reference, *map(_number, numbers)]


def _composite_cells(row: Cell | Mean) -> list[str]:
    return [*(_number(row.composites.get(c)) for c in COMPOSITES), _number(row.low), _number(row.high)]


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else repr(float(value))


def _plain(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    return finite(content) if isinstance(content, float) else content


def _padded(rows: Rows) -> Rows:
    """An empty second column, which `aligned` keeps for arrows."""
    return [[row[0], "", *row[1:]] for row in rows]


def _escaped(cell: str) -> str:
    return cell.replace("_", r"\_").replace("%", r"\%").replace("&", r"\&").replace("#", r"\#")


def _note(table: GainTable) -> str:
    methods = ", ".join(method for method in table.methods if method not in table.controls)
    whose = "frozen ends of an earlier table" if table.frozen else f"0 and 1 are the worst and best of: {methods}"
    several = any(len(cell.seeds) > 1 for cell in table.cells.values())
    behind = "test rows and seeds" if several else "test rows"
    spread = f"± standard deviation over seeds; intervals: of {behind}, the ends of the scale as they are"
    return f"convention {table.convention}; {whose}; {spread}; CNRG over: paired difference"

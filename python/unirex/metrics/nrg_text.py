"""A table of relative gains as Markdown, LaTeX, CSV and JSON, and the file of its ends."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unirex.disk.untrusted import read_json
from unirex.metrics.nrg_table import (
    COMPOSITES,
    METRICS,
    Cell,
    Columns,
    Ends,
    GainTable,
    Mean,
    blocks_of,
    cells_of,
    note_of,
    reference_of,
    to_text,
)
from unirex.metrics.shown import as_json
from unirex.text import current


def to_markdown(table: GainTable, columns: Columns | None = None, against: str | None = None) -> str:
    """Markdown tables; the arguments are those of `to_text`."""
    blocks = []
    for title, (head, *rows), end in blocks_of(table, columns or {}, against):
        blocks.append(f"**{title}**\n\n{markdown_table(head, rows)}\n\n{end}")
    return "\n\n".join([*blocks, note_of(table), *table.notes])


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A table whose columns are numbers, the first apart.

    >>> print(markdown_table(["method"], [["a|b"]]).splitlines()[-1])
    | a\|b |
    """
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def to_latex(table: GainTable, columns: Columns | None = None, against: str | None = None) -> str:
    """LaTeX `tabular`s, with booktabs rules; the arguments are those of `to_text`."""
    blocks = []
    for title, (head, *rows), end in blocks_of(table, columns or {}, against):
        lines = [" & ".join(map(_escaped, row)) + r" \\" for row in (head, *rows)]
        body = [lines[0], r"\midrule", *lines[1:]]
        places = "l" + "r" * (len(head) - 1)
        table_of = [rf"\begin{{tabular}}{{{places}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}"]
        blocks.append("\n".join([f"% {title}; {end}", *table_of]))
    return "\n\n".join([*blocks, *(f"% {note}" for note in (note_of(table), *table.notes))])


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
    for data, method, cell in cells_of(table):
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
    """Everything, with null for what is undefined; `against` is ignored, since every pair is there."""

    def more(data: str, method: str) -> dict[str, float | None]:
        return {name: values.get((data, method)) for name, values in (columns or {}).items()}

    content = {
        "convention": table.convention,
        "methods": table.methods,
        "controls": table.controls,
        "frozen": table.frozen,
        "ends": _named(table.ends),
        "data": [
            {
                "data": data,
                "task_metric": table.headlines[data],
                "front": table.front(data),
                "methods": [{"method": m, **asdict(c), **more(d, m)} for d, m, c in cells_of(table) if d == data],
            }
            for data in table.data
        ],
        "mean": [{"method": method, **asdict(mean)} for method, mean in table.means.items()],
        "mean_front": table.front(None),
        "differences": [asdict(gain) for gain in table.differences],
        "n_partly": table.n_partly,
        "notes": table.notes,
    }
    return as_json(content)


FORMATS: Mapping[str, Callable[..., str]] = {
    "text": to_text,
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "json": to_json,
}


def _named(ends: Ends) -> dict[str, dict[str, dict[str, float]]]:
    return {
        data: {name: {"low": low, "high": high} for name, (low, high) in metrics.items()}
        for data, metrics in ends.items()
    }


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A file of frozen ends.

    Attributes:
        path: of the file.
        ends: data set -> metric -> what 0 and 1 stand for.
        settings: data set -> what its ends hold for, as far as the file says.
        methods: those that set the ends.
    """

    path: str
    ends: Ends
    settings: Mapping[str, Mapping[str, Any]]
    methods: Sequence[str]


def ends_to_json(table: GainTable, frozen: Frozen | None = None) -> str:
    """The file that freezes this table's ends: they, what they hold for, and the methods that set them.

    Args:
        table: whose.
        frozen: what its ends were taken from, whose methods set them.
    """
    methods = [method for method in table.methods if method not in table.controls]
    content = {
        "convention": table.convention,
        "methods": methods if frozen is None else frozen.methods,
        "settings": table.settings,
        "ends": _named(table.ends),
    }
    return as_json(content)


def check_frozen(frozen: Frozen, table: GainTable) -> None:
    """Refuses ends that hold for other settings than those of the table, as far as their file says.

    Raises:
        ValueError: data set and setting, what the file has and what the table has.
    """
    for data, settings in table.settings.items():
        there = frozen.settings.get(data, {})
        for name, value in settings.items():
            if name in there and there[name] != value and None not in (there[name], value):
                raise ValueError(f"{frozen.path}: ends of {data} for {name} {there[name]!r}, expected {value!r}")


def read_frozen(path: str, convention: str) -> Frozen:
    """What a file holds that `ends_to_json` wrote, for the same convention.

    Raises:
        ValueError: another file, or ends of another convention.
    """
    try:
        content = read_json(Path(path).read_bytes())
        ends = {
            str(data): {str(name): (float(end["low"]), float(end["high"])) for name, end in metrics.items()}
            for data, metrics in content["ends"].items()
        }
        settings = {str(data): dict(found.items()) for data, found in content.get("settings", {}).items()}
        methods = [str(method) for method in content.get("methods", [])]
        frozen_for = current("convention", content["convention"])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: not a file of frozen ends ({reason})") from error
    for data, metrics in ends.items():
        for name, (low, high) in metrics.items():
            if not -math.inf < low <= high < math.inf:
                raise ValueError(
                    f"{path}: ends.{data}.{name} is {low:g} to {high:g}, expected finite numbers, the lower first"
                )
    if frozen_for != convention:
        raise ValueError(f"{path}: ends of convention {frozen_for!r}, expected {convention!r}")
    return Frozen(path=path, ends=ends, settings=settings, methods=methods)


def _metric_cells(cell: Cell, name: str) -> list[str]:
    low, high = cell.intervals.get(name, (None, None))
    return [_number(v) for v in (cell.values.get(name), cell.deviations.get(name), low, high, cell.gains.get(name))]


def _over_cells(table: GainTable, data: str | None, method: str, against: str | None) -> list[str]:
    reference = reference_of(table, data, against)
    gain = table.over(data, method, reference)
    numbers = (None, None, None) if gain is None else (gain.difference, gain.low, gain.high)
    return [reference, *map(_number, numbers)]


def _composite_cells(row: Cell | Mean) -> list[str]:
    return [*(_number(row.composites.get(c)) for c in COMPOSITES), _number(row.low), _number(row.high)]


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else repr(float(value))


_LATEX = str.maketrans(
    {character: rf"\{character}" for character in "_%&#${}"}
    | {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
    | {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$"}
)


def _escaped(cell: str) -> str:
    r"""A cell for LaTeX, whatever a method is called.

    >>> print(_escaped(r"slm_fp ~2^n {a\b} $5"), _escaped("suff ↓"))
    slm\_fp \textasciitilde{}2\textasciicircum{}n \{a\textbackslash{}b\} \$5 suff $\downarrow$
    """
    return cell.translate(_LATEX)

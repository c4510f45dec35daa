"""Plots of a suite: relative gains by method, or curves along a sweep, in colors that are easy to tell apart."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unirex.disk.atomic import atomic_write
from unirex.metrics.nrg_table import COMPOSITES, TASK, Cell, GainTable, Mean
from unirex.suites.recipe import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette; markers repeat what colors say.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_COLUMNS = 3
_EDGE = 0.25


def draw(suite: Suite, table: GainTable, points: Mapping[str, tuple[str, Any]]) -> list[Path]:
    """Writes the plot as PNG and SVG and returns the paths; none where matplotlib is not installed.

    Args:
        suite: with its folder, its sweep and the metrics of its plot.
        table: what is shown.
        points: data set of the table -> data set of the suite and value of the sweep.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        return []
    paths = []
    with mpl.rc_context({"svg.hashsalt": "unirex", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(layout="constrained")
        if suite.sweep is None:
            _gains(figure, table)
        else:
            _curves(figure, suite, table, points)
        for kind in ("png", "svg"):
            paths.append(suite.output / f"table.{kind}")
            with atomic_write(paths[-1]) as file:
                figure.savefig(file, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return paths


def _gains(figure: "Figure", table: GainTable) -> None:
    """A panel for each data set and one for the means: methods below each other, gains from 0 to 1.

    Controls may lie outside; what is far outside is an arrow at the edge.
    """
    from matplotlib.lines import Line2D

    panels: list[tuple[str, dict[str, Cell | Mean]]] = [
        (data, {m: table.cells[data, m] for m in table.methods if (data, m) in table.cells}) for data in table.data
    ]
    if len(table.data) > 1 and table.means:
        panels.append((f"mean over {len(table.data)} data sets", dict(table.means)))
    width = min(_COLUMNS, len(panels))
    height = math.ceil(len(panels) / width)
    figure.set_size_inches(1.5 + 3.2 * width, height * (1.2 + 0.24 * len(table.methods)))
    axes = figure.subplots(height, width, sharey=True, squeeze=False).reshape(-1).tolist()
    for axis, (title, rows) in zip(axes, panels, strict=False):
        _gain_panel(axis, title, rows, table)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    handles = [Line2D([], [], label=name, **_gain_style(number)) for number, name in enumerate(COMPOSITES)]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)


def _gain_panel(axis: "Axes", title: str, rows: Mapping[str, Cell | Mean], table: GainTable) -> None:
    for place, method in enumerate(table.methods):
        row = rows.get(method)
        if row is None:
            continue
        for number, name in enumerate(COMPOSITES):
            if name not in row.composites:
                continue
            main = name == "CNRG"
            if main and row.low is not None and row.high is not None:
                axis.plot([row.low, row.high], [place, place], color=_COLORS[number], linewidth=1.2)
            value = row.composites[name]
            beyond = "<" if value < -_EDGE else ">" if value > 1 + _EDGE else None
            axis.plot(min(max(value, -_EDGE), 1 + _EDGE), place, **_gain_style(number, beyond))
    axis.set_title(title)
    axis.set_xlim(-_EDGE - 0.05, 1 + _EDGE + 0.05)
    axis.set_yticks(range(len(table.methods)), [f"{m} (control)" if m in table.controls else m for m in table.methods])
    axis.set_ylim(len(table.methods) - 0.5, -0.5)
    axis.grid(axis="x", linewidth=0.3)


def _gain_style(number: int, beyond: str | None = None) -> dict[str, Any]:
    """How the composite of this number is drawn; an arrow where it lies beyond the axis."""
    main = COMPOSITES[number] == "CNRG"
    return {
        "linestyle": "none",
        "marker": beyond or _MARKERS[number],
        "markersize": 7 if main else 4,
        "color": _COLORS[number],
        "markerfacecolor": _COLORS[number] if main else "white",
    }


def _curves(figure: "Figure", suite: Suite, table: GainTable, points: Mapping[str, tuple[str, Any]]) -> None:
    """A row for each data set and a panel for each metric: the sweep's values to the right, a line for each method."""
    assert suite.sweep is not None
    data = list(dict.fromkeys(points[label][0] for label in table.data if label in points))
    metrics = [m for m in suite.table.plot if any(m in cell.values for cell in table.cells.values())]
    figure.set_size_inches(3.4 * len(metrics) + 0.6, 2.9 * len(data) + 0.7)
    axes = figure.subplots(len(data), len(metrics), squeeze=False)
    methods = [m for m in table.methods if m not in table.controls]
    for i, name in enumerate(data):
        for j, metric in enumerate(metrics):
            by_value = {points[label][1]: label for label in table.data if label in points and points[label][0] == name}
            shown = [value for value in suite.sweep.values if value in by_value]
            _curve_panel(axes[i][j], shown, [by_value[value] for value in shown], metric, methods, table)
            axes[i][j].set_xlabel(suite.sweep.key)
            headline = table.headlines[by_value[shown[0]]] if metric == TASK else metric
            axes[i][j].set_title(f"{name}: {headline}{' (lower is better)' if metric == 'sufficiency' else ''}")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)


def _curve_panel(
    axis: "Axes", values: Sequence[Any], labels: Sequence[str], metric: str, methods: Sequence[str], table: GainTable
) -> None:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    numeric = len(numbers) == len(values)
    places = numbers if numeric else list(range(len(values)))
    for number, method in enumerate(methods):
        cells = [table.cells.get((label, method)) for label in labels]
        known = [(x, cell) for x, cell in zip(places, cells, strict=True) if cell is not None and metric in cell.values]
        if not known:
            continue
        color = _COLORS[number % len(_COLORS)]
        xs, ys = [x for x, _ in known], [cell.values[metric] for _, cell in known]
        line = "-" if number < len(_COLORS) else "--"
        marker = _MARKERS[number % len(_MARKERS)]
        axis.plot(xs, ys, color=color, linestyle=line, marker=marker, markersize=4, label=method)
        bounds = [(low, high) for low, high in (cell.intervals[metric] for _, cell in known) if None not in (low, high)]
        if len(bounds) == len(xs):
            lows, highs = np.array(bounds, dtype=np.float64).T
            axis.fill_between(xs, lows, highs, color=color, alpha=0.12, linewidth=0)
    if numeric and min(numbers) > 0 and max(numbers) >= 20 * min(numbers):
        axis.set_xscale("log")
    axis.set_xticks(places, [str(value) for value in values])
    axis.minorticks_off()
    axis.grid(linewidth=0.3)

"""The plot of a suite: relative gains by method, or curves along a sweep."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unirex.metrics.nrg_table import COMPOSITES, TASK, Cell, GainTable, Mean
from unirex.report.figure import N_COLORS, Axis, Figure, Series, linear_axis, ticked_axis
from unirex.report.plots import LEFT, RIGHT, save_figure
from unirex.suites.recipe import Suite

_COLUMNS = 3
_LOW, _HIGH = -0.25, 1.25


def draw(suite: Suite, table: GainTable, points: Mapping[str, tuple[str, Any]]) -> list[Path]:
    """Writes the plot as PNG and SVG and returns the paths; none where matplotlib is not installed.

    Args:
        suite: with its folder, its sweep and the metrics of its plot.
        table: what is shown.
        points: data set of the table -> data set of the suite and value of the sweep.
    """
    if find_spec("matplotlib") is None:
        return []
    if suite.sweep is None:
        panels = list(_gains(table))
        columns, size = min(_COLUMNS, len(panels)), (3.7, 1.2 + 0.24 * len(table.methods))
    else:
        metrics = [m for m in suite.table.plot if any(m in cell.values for cell in table.cells.values())]
        panels = list(_curves(suite.sweep.key, metrics, table, points))
        columns, size = len(metrics), (3.4, 2.9)
    if not panels:
        return []
    return save_figure(panels, suite.output / suite.table_stem, ("png", "svg"), columns=columns, size=size)


def _gains(table: GainTable) -> Iterator[Figure]:
    """A panel for each data set and one for the means: methods below each other, gains from 0 to 1."""
    panels: list[tuple[str, Mapping[str, Cell | Mean]]] = [
        (data, {m: table.cells[data, m] for m in table.methods if (data, m) in table.cells}) for data in table.data
    ]
    if len(table.averaged) > 1 and table.means:
        panels.append((f"mean over {len(table.averaged)} data sets", table.means))
    names = [table.label(method) for method in table.methods]
    for number, (title, rows) in enumerate(panels):
        ticks = tuple((float(place), "" if number % _COLUMNS else name) for place, name in enumerate(names))
        yield Figure(
            key="gains",
            title=title,
            x=Axis(label="", low=_LOW, high=_HIGH, ticks=((0.0, "0"), (0.5, "0.5"), (1.0, "1"))),
            y=Axis(label="", low=len(names) - 0.5, high=-0.5, ticks=ticks),
            series=tuple(
                _gain(composite, rows[method], place)
                for place, method in enumerate(table.methods)
                for composite in COMPOSITES
                if method in rows and composite in rows[method].composites
            ),
        )


def _gain(composite: str, row: Cell | Mean, place: int) -> Series:
    """One gain of a method. Controls may lie far outside of 0 to 1: they are arrows at the edge."""
    value, number, main = row.composites[composite], COMPOSITES.index(composite), composite == "CNRG"
    beyond = LEFT if value < _LOW else RIGHT if value > _HIGH else None
    return Series(
        label=composite if beyond is None else "",
        kind="point",
        x=(min(max(value, _LOW), _HIGH),),
        y=(float(place),),
        x_low=row.low if main else None,
        x_high=row.high if main else None,
        color=number,
        marker=number if beyond is None else beyond,
        hollow=not main,
    )


def _curves(
    key: str, metrics: Sequence[str], table: GainTable, points: Mapping[str, tuple[str, Any]]
) -> Iterator[Figure]:
    """A row for each data set and a panel for each metric: the sweep's values to the right, a line for each method."""
    for data in dict.fromkeys(points[label][0] for label in table.data if label in points):
        labels = {label: value for label, (name, value) in points.items() if name == data and label in table.data}
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in labels.values())
        places = [float(value) if numeric else float(i) for i, value in enumerate(labels.values())]
        for metric in metrics:
            lines = [
                _curve(
                    number,
                    method,
                    metric,
                    [(x, table.cells.get((label, method))) for x, label in zip(places, labels, strict=True)],
                )
                for number, method in enumerate(m for m in table.methods if m not in table.controls)
            ]
            series = tuple(line for line in lines if line.x)
            name = table.headlines[next(iter(labels))] if metric == TASK else metric
            yield Figure(
                key="sweep",
                title=f"{data}: {name}{' (lower is better)' if metric == 'sufficiency' else ''}",
                x=ticked_axis(key, [(x, str(value)) for x, value in zip(places, labels.values(), strict=True)]),
                y=linear_axis("", [y for one in series for y in (*one.y, *one.low, *one.high)]),
                series=series,
            )


def _curve(number: int, method: str, metric: str, cells: Sequence[tuple[float, Cell | None]]) -> Series:
    known = [(x, cell) for x, cell in cells if cell is not None and metric in cell.values]
    bounds = [
        (low, high)
        for _, cell in known
        for low, high in (cell.intervals[metric],)
        if low is not None and high is not None
    ]
    whole = len(bounds) == len(known)
    return Series(
        label=method,
        kind="line",
        x=tuple(x for x, _ in known),
        y=tuple(cell.values[metric] for _, cell in known),
        low=tuple(low for low, _ in bounds) if whole else (),
        high=tuple(high for _, high in bounds) if whole else (),
        color=number,
        dash=number // N_COLORS,
        marker=number,
    )

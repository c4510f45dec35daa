"""The figures as PNG and SVG files, for papers and slides (matplotlib, extra `report`)."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unirex.disk.atomic import atomic_write
from unirex.report import figures
from unirex.report.document import Document
from unirex.report.figure import Axis, Figure, Series

FORMATS = ("png", "svg", "pdf")
_COLORS = ("#0a6ab4", "#c2570c", "#00806a", "#93438b", "#5b6b00", "#b0305c", "#3f7f9e", "#7a5230")
_NEUTRAL = "#6b6f79"
_MARKERS = ("o", "s", "^", "D", "x", "+")
_DASHES: tuple[Any, ...] = ("-", (0, (1, 2)), (0, (5, 2)), (0, (5, 2, 1, 2)))


def save_plots(report: Document, folder: str | os.PathLike[str], formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """The paths of the figures, each in each format, in a folder that is made where it does not exist.

    Raises:
        ValueError: an unknown format, or matplotlib is not installed.
    """
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"format is {name!r}, expected one of {list(FORMATS)}")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure as Canvas
    except ImportError as error:
        raise ValueError("matplotlib is not installed, expected the extra: pip install 'unirex[report]'") from error
    found = [*figures.curves(report.parts), *figures.trade_off(report.parts), *figures.distributions(report.parts)]
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    # Text stays text in SVG; the salt and the missing date make the same report the same bytes.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "unirex", "font.size": 10, "text.parse_math": False}):
        for figure in found:
            canvas = Canvas(figsize=(5.2, 3.9), layout="constrained")
            _draw(canvas.add_subplot(), figure)
            for name in formats:
                path = target / f"{figure.key}.{name}"
                metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(name)
                with atomic_write(path) as file:
                    canvas.savefig(file, format=name, dpi=200, metadata=metadata)
                paths.append(path)
    return paths


def _draw(axes: Any, figure: Figure) -> None:
    axes.set_title(figure.title, loc="left", fontweight="bold", fontsize=11)
    axes.set_xscale("log" if figure.x.log else "linear")
    axes.set_xlim(*_room(figure.x))
    axes.set_ylim(figure.y.low, figure.y.high)
    for axis, one in ((axes.xaxis, figure.x), (axes.yaxis, figure.y)):
        axis.set_ticks([place for place, _ in one.ticks], [text for _, text in one.ticks], minor=False)
        axis.set_ticks([], minor=True)
        axis.set_label_text(one.label)
    axes.grid(axis="y", color="#e6e3dc", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for series in figure.series:
        _DRAW[series.kind](axes, series)
    if figure.direct:  # names stand where no point can be
        axes.figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=3)
    elif len(figure.series) > 1:
        axes.legend(frameon=False, fontsize=9)


def _room(axis: Axis) -> tuple[float, float]:
    """The ends, with room for a marker."""
    room = 0.02 * (axis.high - axis.low)
    return (axis.low / 1.08, axis.high * 1.08) if axis.log else (axis.low - room, axis.high + room)


def _color(series: Series) -> str:
    return _NEUTRAL if series.color < 0 else _COLORS[series.color % len(_COLORS)]


def _face(series: Series) -> str:
    return "white" if series.hollow and _MARKERS[series.marker % 6] not in "x+" else _color(series)


def _line(axes: Any, series: Series) -> None:
    color = _color(series)
    if series.low:
        axes.fill_between(series.x, series.low, series.high, color=color, alpha=0.15, linewidth=0)
    axes.plot(
        series.x,
        series.y,
        color=color,
        linestyle=_DASHES[series.dash % 4],
        marker=_MARKERS[series.marker % 6],
        markerfacecolor=_face(series),
        label=series.label,
    )


def _step(axes: Any, series: Series) -> None:
    axes.stairs(series.y, series.x, color=_color(series), alpha=0.15, fill=True)
    axes.stairs(
        series.y, series.x, color=_color(series), linestyle=_DASHES[series.dash % 4], linewidth=1.6, label=series.label
    )


def _point(axes: Any, series: Series) -> None:
    x, y = series.x[0], series.y[0]
    across = None if series.x_low is None or series.x_high is None else [[x - series.x_low], [series.x_high - x]]
    along = [[y - series.low[0]], [series.high[0] - y]] if series.low else None
    axes.errorbar(
        x,
        y,
        xerr=None if across is None else [[max(0.0, side[0])] for side in across],
        yerr=None if along is None else [[max(0.0, side[0])] for side in along],
        color=_color(series),
        marker=_MARKERS[series.marker % 6],
        markerfacecolor=_face(series),
        linestyle="none",
        linewidth=1,
        label=series.label,
    )


_DRAW = {"line": _line, "step": _step, "point": _point}

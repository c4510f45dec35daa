"""Figures as PNG, SVG and PDF files, for papers and slides (matplotlib, extra `report`)."""

import os
import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unirex.disk.atomic import atomic_write
from unirex.extras import install
from unirex.report import figures
from unirex.report.document import Document
from unirex.report.figure import Axis, Figure, Series
from unirex.report.training_figures import training

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

FORMATS = ("png", "svg", "pdf")
STYLE_SHEET = Path(__file__).parent / "templates" / "page.css"
_MARKERS = ("o", "s", "^", "D", "x", "+", "<", ">")
LEFT, RIGHT = 6, 7
"""Markers that point to a value beyond the axis."""
_DASHES: tuple[Any, ...] = ("-", (0, (1, 2)), (0, (5, 2)), (0, (5, 2, 1, 2)))
# Text stays text in SVG, and a name with a dollar sign is no formula; with a fixed salt and no date, the same figure
# gives the same bytes.
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "unirex",
    "font.size": 10,
    "text.parse_math": False,
}
_METADATA = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def save_plots(report: Document, folder: str | os.PathLike[str], formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """The paths of the figures, each in each format, in a folder that is made where it does not exist.

    Raises:
        ValueError: an unknown format, or matplotlib is not installed.
    """
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"format is {name!r}, expected one of {list(FORMATS)}")
    found = [*figures.curves(report.parts), *figures.trade_off(report.parts), *figures.distributions(report.parts)]
    found += training(report.trained)
    Path(folder).mkdir(parents=True, exist_ok=True)
    return [path for figure in found for path in save_figure([figure], Path(folder) / figure.key, formats)]


def save_figure(
    panels: Sequence[Figure],
    stem: Path,
    formats: Sequence[str],
    *,
    columns: int = 1,
    size: tuple[float, float] = (5.2, 3.9),
) -> list[Path]:
    """Draws panels into one figure with one legend; returns the paths of its files, one for each format.

    Args:
        panels: row by row.
        stem: the paths without their endings.
        formats: of `FORMATS`.
        columns: panels in a row.
        size: width and height of a panel in inches.

    Raises:
        ValueError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure as Canvas
    except ImportError as error:
        raise ValueError(f"matplotlib is not installed, expected the extra: {install('report')}") from error
    rows = -(-len(panels) // columns)
    paths = [stem.with_name(f"{stem.name}.{form}") for form in formats]
    with mpl.rc_context(_SETTINGS):
        canvas = Canvas(figsize=(columns * size[0], rows * size[1]), layout="constrained")
        handles: dict[_Entry, Artist] = {}  # matplotlib's own list leaves out names that begin with an underscore
        for axes, panel in zip_longest(canvas.subplots(rows, columns, squeeze=False).flat, panels):
            if panel is None:
                axes.set_visible(False)
            else:
                handles |= _draw(axes, panel)
        if len(handles) > 1:
            canvas.legend(
                handles.values(),
                [label for label, _ in handles],
                loc="outside lower center",
                ncols=2 + columns,
                frameon=False,
                fontsize=9,
            )
        for path, form in zip(paths, formats, strict=True):
            with atomic_write(path) as file:
                canvas.savefig(file, format=form, dpi=200, metadata=_METADATA.get(form))
    return paths


_Entry = tuple[str, tuple[object, ...]]
"""Of a legend: the name of a series, and what it looks like."""


def _draw(axes: "Axes", figure: Figure) -> "dict[_Entry, Artist]":
    """Draws one panel; returns the entries of its legend."""
    axes.set_title(figure.title, loc="left", fontweight="bold", fontsize=11)
    axes.set_xscale("log" if figure.x.log else "linear")
    axes.set_xlim(*_room(figure.x))
    axes.set_ylim(figure.y.low, figure.y.high)
    for axis, one in ((axes.xaxis, figure.x), (axes.yaxis, figure.y)):
        axis.set_ticks([place for place, _ in one.ticks], [text for _, text in one.ticks], minor=False)
        axis.set_ticks([], minor=True)
        axis.set_label_text(one.label)
    palette = _palette()
    axes.grid(axis="y", color=palette["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    drawn = [(series, _DRAW[series.kind](axes, series, palette[series.hue])) for series in figure.series]
    return {
        (one.label, (one.hue, one.dash, one.marker, one.hollow)): artist
        for one, artist in drawn
        if one.label and one.in_legend
    }


def _palette() -> dict[str, str]:
    """The colors of the page's light theme, by name."""
    light = STYLE_SHEET.read_text(encoding="utf-8").partition("}")[0]
    return dict(re.findall(r"--(c\w|grid): (#\w{6});", light))


def _room(axis: Axis) -> tuple[float, float]:
    """The ends, with room for a marker."""
    room = 0.02 * (axis.high - axis.low)
    return (axis.low / 1.08, axis.high * 1.08) if axis.log else (axis.low - room, axis.high + room)


def _style(series: Series, color: str) -> dict[str, Any]:
    """How lines and points look; the markers x and + have no face."""
    marker = _MARKERS[series.marker % len(_MARKERS)]
    face = "white" if series.hollow and marker not in "x+" else color
    return {"color": color, "marker": marker, "markerfacecolor": face}


def _line(axes: "Axes", series: Series, color: str) -> "Artist":
    if series.low:
        axes.fill_between(series.x, series.low, series.high, color=color, alpha=0.15, linewidth=0)
    dash = _DASHES[series.dash % 4]
    return axes.plot(series.x, series.y, linestyle=dash, markevery=series.marked, **_style(series, color))[0]


def _step(axes: "Axes", series: Series, color: str) -> "Artist":
    axes.stairs(series.y, series.x, color=color, alpha=0.15, fill=True)
    return axes.stairs(series.y, series.x, color=color, linestyle=_DASHES[series.dash % 4], linewidth=1.6)


def _point(axes: "Axes", series: Series, color: str) -> "Artist":
    x, y = series.x[0], series.y[0]
    across = None if series.x_low is None or series.x_high is None else (x - series.x_low, series.x_high - x)
    along = (y - series.low[0], series.high[0] - y) if series.low else None
    xerr, yerr = ([[max(0.0, side)] for side in sides] if sides else None for sides in (across, along))
    axes.errorbar(x, y, xerr=xerr, yerr=yerr, fmt="none", ecolor=color, elinewidth=1)
    return axes.plot(x, y, linestyle="none", **_style(series, color))[0]


_DRAW = {"line": _line, "step": _step, "point": _point}

"""Figures as SVG: no script, no image, colors by class so that the page's theme holds."""

import math
from collections.abc import Iterator
from html import escape

from unirex.report.figure import Axis, Figure, Series, number

WIDTH, HEIGHT = 352, 270
LEFT, RIGHT, TOP, BOTTOM = 46, 18, 30, 42
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


def to_svg(figure: Figure) -> str:
    """The figure as an `svg` element with a title and a description for those who do not see it."""
    name = f"fig-{figure.key}"
    return "".join(
        [
            f'<svg class="figure" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-t {name}-d">',
            f'<title id="{name}-t">{escape(figure.title)}</title>',
            f'<desc id="{name}-d">{escape(figure.description())}</desc>',
            *_axes(figure),
            *(piece for one in figure.series for piece in _band(figure, one)),
            *(piece for one in figure.series for piece in _DRAW[one.kind](figure, one)),
            "</svg>",
        ]
    )


def swatch(series: Series) -> str:
    """A small sample of a series, for the legend."""
    head = '<svg class="swatch" viewBox="0 0 34 14" aria-hidden="true">'
    line = f'<path class="line {_classes(series)}" d="M1 7H33"/>'
    mark = "" if series.kind == "step" else _marker(series, 17, 7)
    return f"{head}{line}{mark}</svg>"


def _x(figure: Figure, value: float) -> float:
    return LEFT + _PLOT_WIDTH * figure.x.place(value)


def _y(figure: Figure, value: float) -> float:
    return TOP + _PLOT_HEIGHT * (1 - figure.y.place(value))


def _classes(series: Series) -> str:
    return f"{series.hue} d{series.dash % 4}"


def _axes(figure: Figure) -> Iterator[str]:
    bottom = TOP + _PLOT_HEIGHT
    for value, text in figure.y.ticks:
        y = _y(figure, value)
        kind = "zero" if abs(value) < 1e-9 and figure.y.low < 0 else "grid"
        yield f'<path class="{kind}" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
    for value, text in _spaced(figure.x):
        x = _x(figure, value)
        yield f'<path class="zero" d="M{x:.1f} {bottom}v5"/>'
        yield f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(text)}</text>'
    yield f'<path class="zero" d="M{LEFT} {bottom}H{WIDTH - RIGHT}"/>'
    middle = LEFT + _PLOT_WIDTH / 2
    yield f'<text class="axis" x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(figure.x.label)}</text>'
    yield f'<text class="axis" x="0" y="13">{escape(figure.y.label)}</text>'


def _spaced(axis: Axis) -> list[tuple[float, str]]:
    """The ticks that leave room for their texts, from the right."""
    found: list[tuple[float, str]] = []
    edge = math.inf
    for value, text in reversed(axis.ticks):
        half = 3.4 * len(text)
        place = _PLOT_WIDTH * axis.place(value)
        if place + half < edge:
            found.append((value, text))
            edge = place - half - 4
    return found


def _band(figure: Figure, series: Series) -> Iterator[str]:
    if series.kind != "line" or not series.low:
        return
    there = [f"{_x(figure, x):.1f} {_y(figure, high):.1f}" for x, high in zip(series.x, series.high, strict=True)]
    back = [f"{_x(figure, x):.1f} {_y(figure, low):.1f}" for x, low in zip(series.x, series.low, strict=True)]
    yield f'<path class="band {_classes(series)}" d="M{"L".join([*there, *reversed(back)])}Z"/>'


def _line(figure: Figure, series: Series) -> Iterator[str]:
    places = [(_x(figure, x), _y(figure, y)) for x, y in zip(series.x, series.y, strict=True)]
    yield f'<path class="line {_classes(series)}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in places)}"/>'
    named = dict(figure.x.ticks)
    for i in series.marked:
        x, y = places[i]
        interval = f" [{number(series.low[i])}, {number(series.high[i])}]" if series.low else ""
        at = named.get(series.x[i], number(series.x[i]))
        yield _marker(series, x, y, f"{series.label}, {at}: {number(series.y[i])}{interval}")


def _steps(figure: Figure, series: Series) -> Iterator[str]:
    path = f"M{_x(figure, series.x[0]):.1f} {_y(figure, 0):.1f}"
    for right, height in zip(series.x[1:], series.y, strict=True):
        path += f"V{_y(figure, height):.1f}H{_x(figure, right):.1f}"
    path += f"V{_y(figure, 0):.1f}"
    yield f'<path class="area {_classes(series)}" d="{path}"/><path class="line {_classes(series)}" d="{path}"/>'


def _point(figure: Figure, series: Series) -> Iterator[str]:
    x, y = _x(figure, series.x[0]), _y(figure, series.y[0])
    if series.low:
        ends = f"{_y(figure, series.low[0]):.1f}V{_y(figure, series.high[0]):.1f}"
        yield f'<path class="whisker {_classes(series)}" d="M{x:.1f} {ends}"/>'
    if series.x_low is not None and series.x_high is not None:
        ends = f"{_x(figure, series.x_low):.1f} {y:.1f}H{_x(figure, series.x_high):.1f}"
        yield f'<path class="whisker {_classes(series)}" d="M{ends}"/>'
    about = f"{series.label}: {figure.x.label} {number(series.x[0])}, {figure.y.label} {number(series.y[0])}"
    yield _marker(series, x, y, about, size=5.0)


_DRAW = {"line": _line, "step": _steps, "point": _point}

_SHAPES = (
    lambda x, y, s: f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{s:.1f}"',
    lambda x, y, s: f'<path d="M{x - s:.1f} {y - s:.1f}h{2 * s:.1f}v{2 * s:.1f}h{-2 * s:.1f}z"',
    lambda x, y, s: f'<path d="M{x:.1f} {y - 1.3 * s:.1f}l{1.3 * s:.1f} {2.2 * s:.1f}h{-2.6 * s:.1f}z"',
    lambda x, y, s: (
        f'<path d="M{x:.1f} {y - 1.4 * s:.1f}l{1.4 * s:.1f} {1.4 * s:.1f}l{-1.4 * s:.1f} {1.4 * s:.1f}'
        f'l{-1.4 * s:.1f} {-1.4 * s:.1f}z"'
    ),
    lambda x, y, s: (
        f'<path d="M{x - s:.1f} {y - s:.1f}l{2 * s:.1f} {2 * s:.1f}m0 {-2 * s:.1f}l{-2 * s:.1f} {2 * s:.1f}"'
    ),
    lambda x, y, s: f'<path d="M{x - 1.2 * s:.1f} {y:.1f}h{2.4 * s:.1f}m{-1.2 * s:.1f} {-1.2 * s:.1f}v{2.4 * s:.1f}"',
)
"""Circle, square, triangle, diamond, cross and plus."""


def _marker(series: Series, x: float, y: float, about: str = "", *, size: float = 3.6) -> str:
    shape = _SHAPES[series.marker % len(_SHAPES)](x, y, size)
    kind = "mark hollow" if series.hollow else "mark"
    title = f"<title>{escape(about)}</title>" if about else ""
    tag = shape[1 : shape.index(" ")]
    return f'{shape} class="{kind} {_classes(series)}">{title}</{tag}>'

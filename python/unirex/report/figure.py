"""What a figure shows: series, axes, ticks. `svg.py` draws it for the page, `plots.py` for files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unirex.text import plain

Kind = Literal["line", "point", "step"]
OWN_DASH = 0
NEUTRAL = -1
"""The color of a series that belongs to no run."""
N_COLORS = 8
FEW_POINTS = 24
"""A line of at most so many points has a marker at each, and is told point by point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Numbers that belong together.

    Attributes:
        label: what they are called; without one they are not in the legend.
        kind: a line through points with an interval, a single point with one or two intervals, or steps of a histogram
            (`x` then holds one edge more than `y`).
        x, y: of each point.
        low, high: ends of the interval of y, empty if there are none.
        x_low, x_high: ends of the interval of x, of a point.
        color: 0, 1 and so on for runs, or `NEUTRAL`.
        dash, marker: 0, 1 and so on, so that color is never the only sign; dash 0 is a whole line.
        hollow: draw the marker as an outline.
        in_legend: whether the legend has it.
    """

    label: str
    kind: Kind
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    x_low: float | None = None
    x_high: float | None = None
    color: int = NEUTRAL
    dash: int = OWN_DASH
    marker: int = 0
    hollow: bool = False
    in_legend: bool = True

    @property
    def marked(self) -> list[int]:
        """The points of a line that have a marker: all of them, or six of many, the last among them."""
        n = len(self.x)
        return list(range(n)) if n <= FEW_POINTS else [round((n - 1) * (i + 1) / 6) for i in range(6)]

    @property
    def hue(self) -> str:
        """The name of the color in the page's style sheet."""
        return "cn" if self.color == NEUTRAL else f"c{self.color % N_COLORS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis: what it measures, where it ends, where its ticks are and what they say."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one.

        >>> Axis(label="", low=0.01, high=1.0, ticks=(), log=True).place(0.1)
        0.5
        """
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure.

    Attributes:
        key: a name for files and anchors.
        title: what is seen.
        x, y: the axes.
        series: in the order of the legend.
        caption: how to read it.
    """

    key: str
    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    caption: str = ""

    def description(self) -> str:
        """The figure in words and numbers, for those who do not see it."""
        parts = [f"{self.y.label} over {self.x.label}."]
        for one in self.series:
            if one.kind == "step":
                top = max(range(len(one.y)), key=lambda i: one.y[i])
                parts.append(f"{one.label}: most between {_place(one.x[top])} and {_place(one.x[top + 1])}.")
            elif len(one.x) > FEW_POINTS:
                ends = {"first": 0, "lowest": one.y.index(min(one.y)), "highest": one.y.index(max(one.y)), "last": -1}
                told = (f"{name} {number(one.y[i])} at {self.x.label} {_place(one.x[i])}" for name, i in ends.items())
                parts.append(f"{one.label}: {', '.join(told)}.")
            else:
                named = dict(self.x.ticks)
                pairs = (f"{named.get(x, _place(x))}: {number(y)}" for x, y in zip(one.x, one.y, strict=True))
                parts.append(f"{one.label}: {', '.join(pairs)}.")
        return " ".join(parts)


def task_name(name: str) -> str:
    """A task score as a report shows it; the class in it, which is the data's, as it is but for control characters."""
    kind, colon, of_class = name.partition(":")
    return f"{kind.replace('_', ' ')}{colon}{plain(of_class, longest=80, lines=False)}"


def number(value: float | None, digits: int = 3) -> str:
    """The number as it is printed, with a minus sign, and a dash where it is undefined.

    >>> number(-0.12345), number(float("nan")), number(-0.0001)
    ('−0.123', '–', '0.000')
    """
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.replace("-", "") if float(text) == 0 else text.replace("-", "−")


def _place(x: float) -> str:
    """Where a point lies: whole numbers, as of steps, without digits, small ones with two that count."""
    if 0 < abs(x) < 0.01:
        return f"{x:.2g}".replace("-", "−")
    return number(x, 0 if x == round(x) and abs(x) >= 1 else 3)


def percent(fraction: float) -> str:
    """A fraction in per cent.

    >>> percent(0.05), percent(0.125)
    ('5 %', '12.5 %')
    """
    return f"{100 * fraction:g} %"


def linear_axis(
    label: str,
    values: Sequence[float],
    *,
    floor: float = -math.inf,
    ceiling: float = math.inf,
    ticks: int = 5,
    margin: float = 0.05,
) -> Axis:
    """An axis around the values that are finite, with ticks at round numbers.

    Args:
        label: what it measures.
        values: what shall be on it.
        floor: the margin does not go below it.
        ceiling: nor above it.
        ticks: about how many.
        margin: room at both ends, as a share of the width.

    >>> axis = linear_axis("p", [0.0, 0.37], floor=0.0)
    >>> axis.low, round(axis.high, 4), [text for _, text in axis.ticks]
    (0.0, 0.3885, ['0.0', '0.1', '0.2', '0.3'])
    """
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - 0.05, high + 0.05
    room = margin * (high - low)
    low, high = min(low, max(low - room, floor)), max(high, min(high + room, ceiling))
    step = _round_step((high - low) / ticks)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    places = [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    return Axis(label=label, low=low, high=high, ticks=tuple((place, _tick(place, digits)) for place in places))


_MOST_DIGITS = 4


def _tick(place: float, digits: int) -> str:
    """A tick's text, in few characters however small the step: the axis has no room for more.

    >>> _tick(-0.05, 2), _tick(-0.000012, 6), _tick(0.0, 6)
    ('−0.05', '−12e−6', '0')
    """
    if digits <= _MOST_DIGITS:
        return number(place, digits)
    return f"{number(place * 10**digits, 0)}e−{digits}" if place else "0"


def whole_axis(label: str, values: Sequence[float]) -> Axis:
    """An axis from the lowest to the highest of whole numbers, with ticks at some of them.

    >>> axis = whole_axis("epoch", [1, 2, 3])
    >>> axis.low, axis.high, axis.ticks
    (1.0, 3.0, ((1, '1'), (2, '2'), (3, '3')))
    """
    low, high = min(values), max(values)
    step = max(1, math.ceil(_round_step((high - low) / 6))) if high > low else 1
    places = range(math.ceil(low / step) * step, math.floor(high) + 1, step)
    room = 0.5 if low == high else 0.0
    return Axis(label=label, low=low - room, high=high + room, ticks=tuple((place, str(place)) for place in places))


def _round_step(width: float) -> float:
    """The next of 1, 2, 2.5 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= width * (1 - 1e-9))


def ticked_axis(label: str, ticks: Sequence[tuple[float, str]]) -> Axis:
    """An axis from the first to the last of its ticks, logarithmic if they spread wide.

    >>> axis = ticked_axis("share", [(0.05, "5 %"), (0.5, "50 %")])
    >>> axis.log, axis.low, axis.high
    (True, 0.05, 0.5)
    """
    places = [place for place, _ in ticks]
    low, high = min(places), max(places)
    room = (low / 2 or 0.5) if low == high else 0.0
    log = low > 0 and high / low > 5
    return Axis(label=label, low=low - room, high=high + room, ticks=tuple(ticks), log=log)

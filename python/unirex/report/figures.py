"""The figures of a report: curves over fractions, the trade-off, and where scores lie."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from unirex.metrics.report import ARROWS, Report
from unirex.report.document import Part
from unirex.report.figure import NEUTRAL, Figure, Series, linear_axis, percent, task_name, ticked_axis
from unirex.report.histogram import Histogram

MOST_BINS = 24
_LOOKS = {
    "random": {"dash": 1, "marker": 4, "hollow": True},
    "gold": {"dash": 2, "marker": 3, "hollow": True},
    "inverse": {"dash": 3, "marker": 5, "hollow": True},
}
_CSD = "comprehensiveness − sufficiency"
_TITLES = {
    "comprehensiveness": ("Remove the words with the highest scores", "how far p falls"),
    "sufficiency": ("Keep only the words with the highest scores", "how far p falls"),
    "csd": ("Faithfulness of single instances", _CSD),
    "auprc": ("Plausibility of single instances", "AUPRC"),
    "token_f1": ("Plausibility of single instances", "token F1"),
}
_ARROW = {"comprehensiveness": ARROWS["higher"], "sufficiency": ARROWS["lower"]}
_CAPTIONS = {
    "comprehensiveness": "Higher is better: without these words the prediction should lose its ground.",
    "sufficiency": "Lower is better: these words alone should carry the prediction.",
}


@dataclass(frozen=True, kw_only=True)
class _System:
    """A run or a control on its model, and the color, dash and marker that it has in every figure."""

    label: str
    report: Report
    control: str | None = None
    style: Mapping[str, Any] = field(default_factory=dict)


def _systems(parts: Sequence[Part]) -> Iterator[_System]:
    """The runs, each before its controls; of three runs or more, only the first one's controls."""
    single = len(parts) == 1
    for number, part in enumerate(parts):
        yield _System(label=part.name, report=part.report, style={"color": number, "marker": number})
        for control, report in part.references.items() if len(parts) <= 2 or number == 0 else ():
            style = {"color": NEUTRAL if single else number, **_LOOKS[control]}
            label = control if single else f"{control}, {part.name}"
            yield _System(label=label, report=report, control=control, style=style)


def curves(parts: Sequence[Part]) -> tuple[Figure, ...]:
    """Comprehensiveness and sufficiency over the fractions, with the random and gold rows."""
    return tuple(figure for name in _CAPTIONS if (figure := _curve(name, parts)) is not None)


def _curve(name: str, parts: Sequence[Part]) -> Figure | None:
    systems = [system for system in _systems(parts) if system.control != "inverse"]
    series = tuple(
        line for one in systems if (line := _line(name, one, bands=len(parts) <= 3 and one.control is None)) is not None
    )
    if not series:
        return None
    title, what = _TITLES[name]
    fractions = sorted({x for one in series for x in one.x})
    heights = [value for one in series for value in (*one.y, *one.low, *one.high)]
    return Figure(
        key=name,
        title=title,
        caption=_CAPTIONS[name],
        x=ticked_axis("share of the words", [(fraction, percent(fraction)) for fraction in fractions]),
        y=linear_axis(f"{name} {_ARROW[name]}: {what}", [0, *heights], floor=0.0),
        series=series,
    )


def _line(name: str, system: _System, *, bands: bool) -> Series | None:
    report = system.report
    found = [(f, report[at]) for f in report.fractions if (at := f"{name}@{f:g}") in report and report[at].n]
    if not found:
        return None
    intervals = bands and all(metric.low is not None for _, metric in found)
    return Series(
        label=system.label,
        kind="line",
        x=tuple(f for f, _ in found),
        y=tuple(metric.value for _, metric in found),
        low=tuple(metric.low or 0.0 for _, metric in found) if intervals else (),
        high=tuple(metric.high or 0.0 for _, metric in found) if intervals else (),
        **system.style,
    )


def trade_off(parts: Sequence[Part]) -> tuple[Figure, ...]:
    """Faithfulness against plausibility, and against the task score."""
    plausibility = next((name for name in ("auprc", "token_f1") if _all_have(name, parts)), None)
    task = "headline" if _all_have("headline", parts) else None
    if not parts or not _all_have("csd", parts):
        return ()
    found = []
    # A control has the task score of its run.
    for key, title, metric, controls in (
        ("plausibility", "Faithful and plausible?", plausibility, True),
        ("task", "Faithful and right?", task, len(parts) == 1),
    ):
        if metric is None:
            continue
        systems = [one for one in _systems(parts) if controls or one.control is None]
        points = tuple(point for one in systems if (point := _point(metric, one)) is not None)
        names = {part.report[metric].name for part in parts}
        name = names.pop() if len(names) == 1 else "task score"  # of several kinds
        label = {"auprc": "AUPRC", "token_f1": "token F1"}.get(name, task_name(name))
        across = [value for one in points for value in (*one.x, one.x_low, one.x_high) if value is not None]
        along = [value for one in points for value in (*one.y, *one.low, *one.high)]
        found.append(
            Figure(
                key=f"trade-off-{key}",
                title=title,
                caption="Up and to the right is better. Lines are intervals"
                + ("; hollow and crossed signs are controls." if controls else "."),
                x=linear_axis(f"{label} ↑", across, margin=0.08, floor=0.0, ceiling=1.0),
                y=linear_axis(f"{_CSD} ↑", along, margin=0.08),
                series=points,
            )
        )
    return tuple(found)


def _all_have(metric: str, parts: Sequence[Part]) -> bool:
    return all(_has(metric, part.report) for part in parts)


def _has(metric: str, report: Report) -> bool:
    return metric in report and report[metric].n > 0


def _point(metric: str, system: _System) -> Series | None:
    report = system.report
    if not (_has(metric, report) and _has("csd", report)):
        return None
    x, y = report[metric], report["csd"]
    return Series(
        label=system.label,
        kind="point",
        x=(x.value,),
        y=(y.value,),
        low=() if y.low is None else (y.low,),
        high=() if y.high is None else (y.high,),
        x_low=x.low,
        x_high=x.high,
        **system.style,
    )


def distributions(parts: Sequence[Part]) -> tuple[Figure, ...]:
    """Where the scores of words lie, run by run, and where the single instances lie."""
    found = []
    for number, part in enumerate(parts):
        words = [
            _steps("marked by humans", part.words.marked, 1, 0),
            _steps("not marked", part.words.unmarked, NEUTRAL, 1),
        ]
        if not part.words.marked.n:
            words = [_steps("words", part.words.unknown, NEUTRAL, 0)]
        found.append(_histogram(f"scores-{number}", f"Scores of words, {part.name}", "score", words))
    for name in ("csd", "auprc", "token_f1"):
        rows = [_steps(part.name, part.rows[name], k, k) for k, part in enumerate(parts) if name in part.rows]
        found.append(_histogram(name, *_TITLES[name], rows))
    return tuple(figure for figure in found if figure is not None)


def _steps(label: str, histogram: Histogram, color: int, dash: int) -> Series | None:
    if not histogram.n:
        return None
    edges, shares = tuple(histogram.edges.tolist()), tuple(histogram.shares().tolist())
    return Series(label=label, kind="step", x=edges, y=shares, color=color, dash=dash)


def _histogram(key: str, title: str, label: str, steps: Sequence[Series | None]) -> Figure | None:
    series = _trimmed([one for one in steps if one is not None])
    if not series:
        return None
    what = "words" if label == "score" else "instances"
    caption = f"Share of the {what} in each bin."
    if what == "words" and len(series) > 1:
        caption = "The further the two lie apart, the better the scores find what humans marked."
    return Figure(
        key=key,
        title=title,
        caption=caption,
        x=linear_axis(label, [x for one in series for x in one.x], margin=0.0),
        y=linear_axis(f"share of the {what}", [0, *(y for one in series for y in one.y)], floor=0.0, ticks=4),
        series=series,
    )


def _trimmed(series: Sequence[Series]) -> tuple[Series, ...]:
    """Without the bins at either end that are empty in all series, the others joined until few are left."""
    if not series:
        return ()
    edges, n = series[0].x, len(series[0].y)
    filled = [i for i in range(n) if any(one.y[i] for one in series)]
    first, last = filled[0], filled[-1] + 1
    width = -(-(last - first) // MOST_BINS)
    starts = range(first, last, width)
    x = (*(edges[i] for i in starts), edges[min(starts[-1] + width, n)])
    return tuple(replace(one, x=x, y=tuple(sum(one.y[i : i + width]) for i in starts)) for one in series)

"""The figures of a report: curves over fractions, the trade-off, and where scores lie."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from unirex.metrics.report import ARROWS, Report
from unirex.report.document import Part
from unirex.report.figure import (
    GOLD_DASH,
    NEUTRAL,
    OWN_DASH,
    RANDOM_DASH,
    Axis,
    Figure,
    Series,
    fraction_axis,
    linear_axis,
)
from unirex.report.histogram import Histogram

MOST_BINS = 24
_DASHES = {"random": RANDOM_DASH, "gold": GOLD_DASH}
_TITLES = {
    "comprehensiveness": ("Remove the words with the highest scores", "how far p falls"),
    "sufficiency": ("Keep only the words with the highest scores", "how far p falls"),
    "csd": ("Faithfulness of single instances", "comprehensiveness − sufficiency"),
    "auprc": ("Plausibility of single instances", "AUPRC"),
    "token_f1": ("Plausibility of single instances", "token F1"),
}
_ARROW = {"comprehensiveness": ARROWS["higher"], "sufficiency": ARROWS["lower"]}
_CAPTIONS = {
    "comprehensiveness": "Higher is better: without these words the prediction should lose its ground.",
    "sufficiency": "Lower is better: these words alone should carry the prediction.",
}


def curves(parts: Sequence[Part]) -> tuple[Figure, ...]:
    """Comprehensiveness and sufficiency over the fractions, with the random and gold rows."""
    return tuple(figure for name in _CAPTIONS if (figure := _curve(name, parts)) is not None)


def _curve(name: str, parts: Sequence[Part]) -> Figure | None:
    series = []
    for number, part in enumerate(parts):
        series.append(_line(name, part.report, part.name, number, OWN_DASH, bands=len(parts) <= 3))
        for control in _DASHES if len(parts) <= 2 or number == 0 else ():
            if control in part.references:
                label = control if len(parts) == 1 else f"{control}, {part.name}"
                color = NEUTRAL if len(parts) == 1 else number
                line = _line(name, part.references[control], label, color, _DASHES[control], bands=False)
                series.append(line)
    shown = tuple(one for one in series if one is not None)
    if not shown:
        return None
    title, what = _TITLES[name]
    fractions = sorted({x for one in shown for x in one.x})
    heights = [value for one in shown for value in (*one.y, *one.low, *one.high)]
    return Figure(
        key=name,
        title=title,
        caption=_CAPTIONS[name],
        x=fraction_axis("share of the words", fractions),
        y=linear_axis(f"{name} {_ARROW[name]}: {what}", [0, *heights], floor=0.0),
        series=shown,
    )


def _line(name: str, report: Report, label: str, color: int, dash: int, *, bands: bool) -> Series | None:
    found = [(f, report[at]) for f in report.fractions if (at := f"{name}@{f:g}") in report]
    found = [(f, metric) for f, metric in found if metric.n]
    if not found:
        return None
    intervals = bands and all(metric.low is not None for _, metric in found)
    return Series(
        label=label,
        kind="line",
        x=tuple(f for f, _ in found),
        y=tuple(metric.value for _, metric in found),
        low=tuple(metric.low or 0.0 for _, metric in found) if intervals else (),
        high=tuple(metric.high or 0.0 for _, metric in found) if intervals else (),
        color=color,
        dash=dash,
        marker=max(color, 0) if dash == OWN_DASH else 3 + dash,
        hollow=dash != OWN_DASH,
    )


def trade_off(parts: Sequence[Part]) -> tuple[Figure, ...]:
    """Faithfulness against plausibility, and against the task score."""
    found = []
    for key, title, metric in (
        ("plausibility", "Faithful and plausible?", next((m for m in ("auprc", "token_f1") if _all(parts, m)), None)),
        ("task", "Faithful and right?", "headline" if _all(parts, "headline") else None),
    ):
        if metric is None or not _all(parts, "csd"):
            continue
        controls = key == "plausibility" or len(parts) == 1  # a control has the task score of its run
        points = tuple(_points(metric, parts, controls=controls))
        found.append(
            Figure(
                key=f"trade-off-{key}",
                title=title,
                caption="Up and to the right is better. Lines are intervals"
                + ("; hollow signs are controls." if controls else "."),
                x=_axis(
                    _label(metric, parts[0].report), [v for p in points for v in (*p.x, p.x_low, p.x_high)], share=True
                ),
                y=_axis("comprehensiveness − sufficiency ↑", [v for p in points for v in (*p.y, *p.low, *p.high)]),
                series=points,
                direct=True,
            )
        )
    return tuple(found)


def _all(parts: Sequence[Part], metric: str) -> bool:
    return all(metric in part.report and part.report[metric].n for part in parts)


def _label(metric: str, report: Report) -> str:
    name = report[metric].name
    return {"auprc": "AUPRC", "token_f1": "token F1"}.get(name, name.replace("_", " ")) + " ↑"


def _axis(label: str, values: Sequence[float | None], *, share: bool = False) -> Axis:
    known = [value for value in values if value is not None]
    if share:
        return linear_axis(label, known, margin=0.08, floor=0.0, ceiling=1.0)
    return linear_axis(label, known, margin=0.08)


def _points(metric: str, parts: Sequence[Part], *, controls: bool) -> Iterator[Series]:
    for number, part in enumerate(parts):
        systems = [(part.name, part.report, False)]
        if controls and len(parts) <= 2:
            systems += [
                (c if len(parts) == 1 else f"{c}, {part.name}", report, True) for c, report in part.references.items()
            ]
        for label, report, control in systems:
            if metric not in report or "csd" not in report or not (report[metric].n and report["csd"].n):
                continue
            x, y = report[metric], report["csd"]
            yield Series(
                label=label,
                kind="point",
                x=(x.value,),
                y=(y.value,),
                low=() if y.low is None else (y.low,),
                high=() if y.high is None else (y.high,),
                x_low=x.low,
                x_high=x.high,
                color=NEUTRAL if control and len(parts) == 1 else number,
                marker=number,
                hollow=control,
            )


def distributions(parts: Sequence[Part]) -> tuple[Figure, ...]:
    """Where the scores of words lie, run by run, and where the single instances lie."""
    found = []
    for number, part in enumerate(parts):
        kinds: tuple[tuple[str, Histogram], ...] = (
            ("marked by humans", part.words.marked),
            ("not marked", part.words.unmarked),
        )
        if not part.words.marked.n:
            kinds = (("words", part.words.unknown),)
        series = tuple(
            _steps(label, histogram, 1 if label == "marked by humans" else NEUTRAL, i)
            for i, (label, histogram) in enumerate(kinds)
            if histogram.n
        )
        if series:
            found.append(_histogram(f"scores-{number}", f"Scores of words, {part.name}", "score", series))
    for name in ("csd", "auprc", "token_f1"):
        steps = [
            _steps(part.name, part.rows[name], number, number)
            for number, part in enumerate(parts)
            if name in part.rows and part.rows[name].n
        ]
        if steps:
            title, label = _TITLES[name]
            found.append(_histogram(name, title, label, tuple(steps)))
    return tuple(found)


def _steps(label: str, histogram: Histogram, color: int, dash: int) -> Series:
    edges = tuple(histogram.edges.tolist())
    return Series(
        label=label, kind="step", x=edges, y=tuple(histogram.shares().tolist()), color=color, dash=dash, marker=dash
    )


def _histogram(key: str, title: str, label: str, series: tuple[Series, ...]) -> Figure:
    words = label == "score"
    what = "words" if words else "instances"
    shown = _trimmed(series)
    caption = (
        "The further the two lie apart, the better the scores find what humans marked."
        if words and len(series) > 1
        else f"Share of the {what} in each bin."
    )
    return Figure(
        key=key,
        title=title,
        caption=caption,
        x=linear_axis(label, [x for one in shown for x in one.x], margin=0.0),
        y=linear_axis(f"share of the {what}", [0, *(y for one in shown for y in one.y)], floor=0.0, ticks=4),
        series=shown,
    )


def _trimmed(series: tuple[Series, ...]) -> tuple[Series, ...]:
    """Without the bins at either end that are empty in all series, the others joined until few are left."""
    edges, n = series[0].x, len(series[0].y)
    if any(one.x != edges for one in series):
        return series
    filled = [i for i in range(n) if any(one.y[i] for one in series)]
    first, last = (filled[0], filled[-1] + 1) if filled else (0, n)
    width = -(-(last - first) // MOST_BINS)
    starts = range(first, last, width)
    x = (*(edges[i] for i in starts), edges[min(starts[-1] + width, n)])
    return tuple(replace(one, x=x, y=tuple(sum(one.y[i : i + width]) for i in starts)) for one in series)

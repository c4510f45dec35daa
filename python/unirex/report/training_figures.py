"""What logs show of training: losses, dev metrics, learning rate and speed as figures, and costs in sentences."""

import math
from collections.abc import Iterator, Mapping, Sequence

from unirex.report.figure import N_COLORS, Figure, Series, linear_axis, number, whole_axis
from unirex.report.found import RunFiles
from unirex.text import plain

MOST_POINTS = 200
"""Points of a line; of longer logs, means of neighboring lines."""
_METRICS = {
    "headline": "task score",
    "comprehensiveness": "comprehensiveness",
    "sufficiency": "sufficiency",
    "auprc": "AUPRC",
}
"""Dev metrics of the figure about one run, as many as there are signs that can be filled."""
_PARTS = {
    "wait": "waiting for data",
    "full": "full inputs",
    "extractor": "extractor",
    "perturbed": "kept and removed rows",
    "backward": "gradients",
    "optimizer": "optimizer",
    "other": "other",
}
"""Parts of a step in words."""


def training(runs: Sequence[RunFiles]) -> tuple[Figure, ...]:
    """The figures of the logs; of several runs, a line for each."""
    found = (_losses(runs), _dev(runs), _learning_rate(runs), _speed(runs))
    return tuple(figure for figure in found if figure is not None)


def _losses(runs: Sequence[RunFiles]) -> Figure | None:
    single = len(runs) == 1
    lines = [
        (plain(name, longest=40, lines=False) if single else run.name, place if single else i, _steps(run, name))
        for i, run in enumerate(runs)
        for place, name in enumerate(run.log.terms[:N_COLORS] if single else ["loss"])
    ]
    caption = "The loss and its terms, before their weights." if single else "The weighted sum of all terms."
    return _over_steps("loss", "Training loss", f"{caption} Means since the line of the log before.", "loss", lines)


def _learning_rate(runs: Sequence[RunFiles]) -> Figure | None:
    lines = [(run.name, i, _steps(run, "lr")) for i, run in enumerate(runs)]
    top = max((y for _, _, points in lines for _, y in points), default=0.0)
    power = math.floor(math.log10(top)) if top > 0 else 0
    scaled = [(name, color, [(x, y / 10.0**power) for x, y in points]) for name, color, points in lines]
    label = f"learning rate, in 1e{power}"
    return _over_steps("learning-rate", "Learning rate", "Of the optimizer, at each line.", label, scaled)


def _speed(runs: Sequence[RunFiles]) -> Figure | None:
    lines = [(run.name, i, _steps(run, "tokens_per_second")) for i, run in enumerate(runs)]
    top = max((y for _, _, points in lines for _, y in points), default=0.0)
    unit, label = (1000.0, "thousand tokens per second") if top >= 1000 else (1.0, "tokens per second")
    scaled = [(name, color, [(x, y / unit) for x, y in points]) for name, color, points in lines]
    caption = "Of the full inputs, padding left out; perturbed rows come on top."
    return _over_steps("speed", "Speed", caption, label, scaled)


def _steps(run: RunFiles, name: str) -> list[tuple[float, float]]:
    """Step and value, joined until few are left."""
    points = [(line["step"], line[name]) for line in run.log.steps if name in line]
    width = -(-len(points) // MOST_POINTS) or 1
    groups = [points[i : i + width] for i in range(0, len(points), width)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _over_steps(
    key: str, title: str, caption: str, label: str, lines: Sequence[tuple[str, int, Sequence[tuple[float, float]]]]
) -> Figure | None:
    series = tuple(_line(name, color, points) for name, color, points in lines if points)
    if not series:
        return None
    return Figure(
        key=key,
        title=title,
        caption=caption,
        x=whole_axis("step", [x for one in series for x in one.x]),
        y=linear_axis(label, [0, *(y for one in series for y in one.y)], floor=0.0),
        series=series,
    )


def _dev(runs: Sequence[RunFiles]) -> Figure | None:
    """Dev metrics of one run, or of several what picks their models; the kept epoch has a filled sign."""
    single = len(runs) == 1
    named: Mapping[str, str] = _METRICS if single else {"best": ""}
    series: list[Series] = []
    for i, run in enumerate(runs):
        for place, (metric, name) in enumerate(named.items()):
            points = run.log.by_epoch(metric)
            if not points:
                continue
            line = _line(name if single else run.name, place if single else i, points, hollow=True)
            kept = [(x, y) for x, y in points if x == run.log.best_epoch]
            series += [line, *(_kept(line, point) for point in kept)]
    if not series:
        return None
    if single:
        kept_epoch = f": {runs[0].log.best_epoch}" if runs[0].log.best_epoch else ""
        caption = f"On the dev split after each epoch. A filled sign is the epoch whose model is kept{kept_epoch}."
    else:
        caption = "What picks the model, after each epoch. A filled sign is the epoch that is kept."
    return Figure(
        key="dev",
        title="Dev metrics",
        caption=caption,
        x=whole_axis("epoch", [x for one in series for x in one.x]),
        y=linear_axis("value", [y for one in series for y in one.y]),
        series=tuple(series),
    )


def _line(name: str, color: int, points: Sequence[tuple[float, float]], *, hollow: bool = False) -> Series:
    x, y = zip(*points, strict=True)
    return Series(label=name, kind="line", x=x, y=y, color=color, marker=color, hollow=hollow)


def _kept(line: Series, point: tuple[float, float]) -> Series:
    x, y = point
    name = f"{line.label}, kept"
    return Series(label=name, kind="point", x=(x,), y=(y,), color=line.color, marker=line.marker, in_legend=False)


def summary(run: RunFiles) -> list[str]:
    """How far a run came and what it cost, in sentences; empty where its log has no steps."""
    log = run.log
    if not log.steps:
        return []
    last = log.steps[-1]
    steps, epochs = round(last["step"]), len(log.dev)
    plural = "" if steps == 1 else "s", "" if epochs == 1 else "s"
    reached = f"{steps} step{plural[0]} and {epochs} evaluation{plural[1]} on the dev split"
    if log.end:
        state = "the run has ended"
    elif log.stopped:
        state = f"stopped ({plain(str(log.stopped.get('cause')), longest=80, lines=False)})"
    else:
        state = "no end: it runs, or was cut off"
    return [f"{reached}; {state}.", *_shares(log.steps), *_cost(run)]


def _shares(steps: Sequence[Mapping[str, float]]) -> Iterator[str]:
    """What the steps' time went into, most first."""
    spent: dict[str, float] = {}
    total = 0.0
    for line in steps:
        shares = {name.partition("/")[2]: share for name, share in line.items() if name.startswith("share/")}
        seconds = line.get("seconds", 0.0) * line.get("steps", 1.0) if shares else 0.0
        total += seconds
        for name, share in shares.items():
            spent[name] = spent.get(name, 0.0) + share * seconds
    if total > 0:
        spent["other"] = max(0.0, total - sum(spent.values()))
        parts = sorted(spent.items(), key=lambda part: -part[1])
        words = {name: _PARTS.get(name) or plain(name, longest=40, lines=False) for name in spent}
        told = ", ".join(f"{words[name]} {100 * seconds / total:.0f}\u00a0%" for name, seconds in parts)
        yield f"Of the steps’ time: {told}."


def _cost(run: RunFiles) -> Iterator[str]:
    """Seconds of steps and evaluations, and memory."""
    steps = sum(line.get("seconds", 0.0) * line.get("steps", 1.0) for line in run.log.steps)
    judged = sum(seconds for _, seconds in run.log.by_epoch("judge_seconds"))
    if steps > 0:
        evaluations = f", evaluations {number(judged, 0)}\u00a0s" if judged else ""
        yield f"Steps took {number(steps, 0)}\u00a0s{evaluations}."
    memory = [
        f"{number(run.log.steps[-1][key] / 2**30, 1)}\u00a0GiB {what}"
        for key, what in (("peak_memory", "resident"), ("peak_device_memory", "of the GPU"))
        if key in run.log.steps[-1]
    ]
    if memory:
        yield f"Memory: at most {', '.join(memory)}."

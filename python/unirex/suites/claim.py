"""Whether one method is better than the best of its rivals, line by line, as docs/protocol.md says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import NormalDist, fmean

from unirex.metrics import Resampling, row_values
from unirex.metrics.nrg_table import Gain, GainTable
from unirex.metrics.nrg_text import markdown_table
from unirex.metrics.paired import Paired
from unirex.suites.cells import done_of
from unirex.suites.choice import Choice, read_choice
from unirex.suites.differences import HEADS, between, shown
from unirex.suites.ledger import Entries, Ledger
from unirex.suites.recipe import Suite

EQUIVALENCE = 0.90
"""Confidence of the interval that shows equivalence: two tests at 5 % (Schuirmann 1987)."""
BETTER = ("normalised_comprehensiveness", "normalised_sufficiency")
"""What must be better, in the mean of the data sets and on all of them but one."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One method beside its rival on one data set.

    Attributes:
        data: the data set.
        seeds: that both have.
        of: instances of the data set.
        task: the difference in task score, at 95 %.
        near: the same at 90 %, for equivalence.
        others: of AUPRC and what must be better, by metric; those that both define.
    """

    data: str
    seeds: int
    of: int
    task: Paired
    near: Paired
    others: Mapping[str, Paired]


def claim(suite: Suite, ledger: Ledger, entries: Entries) -> list[str]:
    """Markdown: each data set against its rival, and which line of the claim holds; none without `table.rivals`.

    A data set of which any run is missing, of whatever method, has a row that says so, and is not judged.

    Raises:
        ValueError: a rival that has no trials.
    """
    table = suite.table
    if not table.rivals or suite.chosen is None:
        return []
    choice = read_choice(suite.chosen)
    names = ("auprc", *BETTER)
    lines, rows = [], []
    for data in suite.data:
        done, wanted = done_of(suite, data, entries)
        if data not in choice.trials or not done:
            continue
        rival = best(choice, data, run_on(suite, [data], table.rivals))
        line = _line(suite, ledger, entries, data, rival) if done == wanted else None
        if line is None:
            why = f"{done} of {wanted} runs done" if done < wanted else "no seed in common"
            rows.append([data, rival, "", why, *["—"] * len(names)])
            continue
        lines.append(line)
        told = (f"{shown(one, line.of)} {verdict(one)}" for one in map(line.others.get, names))
        task = f"{shown(line.task, line.of)} {of_task(line.task, line.near, table.margin)}"
        rows.append([data, rival, str(line.seeds), task, *told])
    if not rows:
        return []
    if len(lines) > 1:
        task_mean, near = mean([line.task for line in lines]), mean([line.near for line in lines], EQUIVALENCE)
        told = (f"{shown(one)} {verdict(one)}" for one in (mean([line.others.get(n) for line in lines]) for n in names))
        task = f"{shown(task_mean)} {of_task(task_mean, near, table.margin)}"
        rows.append([f"mean of {len(lines)}", "", "", task, *told])
    heads = ["data set", "best rival on dev", "seeds", f"task ↑ (equivalent: ±{table.margin:g})"]
    title = f"**{table.against[0]} minus the best rival on dev, and what is shown**"
    found = markdown_table([*heads, *(HEADS[name] for name in names)], rows)
    return [f"{title}\n\n{found}", _judged(suite, lines) if lines else partly(0, len(suite.data)).strip()]


def run_on(suite: Suite, data: Sequence[str], names: Sequence[str]) -> list[str]:
    """Those of the methods that the suite runs on all of these data sets; of a grid also those that have only trials.

    Raises:
        ValueError: none is left.
    """
    found = [name for name in names if name not in suite.methods or all(suite.seeds_of(name, one) for one in data)]
    if not found:
        raise ValueError(f"{suite.path}: none of {', '.join(names)} runs on {' and '.join(data)}, expected one or more")
    return found


def best(choice: Choice, data: str, rivals: Sequence[str]) -> str:
    """The rival with the highest CNRG on dev, at its chosen setting; of equals the first."""
    return max(rivals, key=lambda method: _on_dev(choice, data, method))


def _on_dev(choice: Choice, data: str, method: str) -> float:
    """CNRG on dev of a method at its chosen setting."""
    try:
        return choice.trials[data][method][str(choice.values[data][method])]
    except KeyError:
        raise ValueError(
            f"the choice of suite {choice.suite} has no {method} on {data}, expected its trials and what they chose"
        ) from None


def finding(suite: Suite, table: GainTable | None, entries: Entries) -> list[str]:
    """Markdown: the best of `table.variants` over the best of the other rivals; none without variants or their runs.

    Each is the one with the highest mean of CNRG on dev over the data sets of which all runs are there (as in the
    paper's abstract, where the best variant is compared with the best baseline by their means).
    """
    others = [name for name in suite.table.rivals if name not in suite.table.variants]
    if table is None or not suite.table.variants or suite.chosen is None:
        return []
    choice = read_choice(suite.chosen)
    judged = [d for d in suite.data if d in choice.trials and len(set(done_of(suite, d, entries))) == 1]
    if not judged:
        return []
    both = (run_on(suite, judged, names) for names in (suite.table.variants, others))
    first, other = (best_in_mean(choice, judged, names) for names in both)
    rows, gains, levels = [], [], []
    for data in judged:
        gain = table.over(data, first, other)
        if gain is None:  # none of its runs has row values
            return []
        gains.append(gain)
        levels.append(table.cells[data, other].composites["CNRG"])
        seeds = "; ".join(str(len(table.cells[data, name].seeds)) for name in (first, other))
        rows.append([data, seeds, f"{levels[-1] + gain.difference:.3f}", f"{levels[-1]:.3f}", shown(gain)])
    value, low, high = _mean_of(gains)
    last, level = replace(gains[0], data=None, difference=value, low=low, high=high), fmean(levels)
    if len(judged) > 1:
        rows.append([f"mean of {len(judged)}", "", f"{level + value:.3f}", f"{level:.3f}", shown(last)])
    else:
        last = gains[0]
    words = {"better": "shown", "worse": "contradicted"}.get(verdict(last), "not shown")
    share = f" ({last.difference / level:+.1%})" if level > 0 else ""
    head = markdown_table(["data set", "seeds", f"{first} CNRG ↑", f"{other} CNRG ↑", "difference"], rows)
    return [
        f"**The paper's finding: its best variant over the best of its other systems, both picked on dev**\n\n{head}",
        f"{'On these' if len(judged) < len(suite.data) else 'Here'} the finding is {words}: {shown(last)}{share}."
        f"{partly(len(judged), len(suite.data))} Intervals of 95 %, over instances and, where there are several, "
        "seeds (what another seed would do to a method of one seed is not in them); that of a mean by the normal "
        "approximation.",
    ]


def best_in_mean(choice: Choice, data: Sequence[str], names: Sequence[str]) -> str:
    """The method with the highest mean of CNRG on dev over data sets, at its chosen settings; of equals the first."""
    return max(names, key=lambda method: sum(_on_dev(choice, one, method) for one in data))


def _line(suite: Suite, ledger: Ledger, entries: Entries, data: str, rival: str) -> Line | None:
    """None where they have no seed in common."""
    (ours,) = suite.table.against
    seeds = [seed for d, m, seed in entries if (d, m) == (data, ours) and (data, rival, seed) in entries]
    if not seeds:
        return None
    first, other = ([entries[data, m, seed] for seed in seeds] for m in (ours, rival))
    resampling = Resampling(replicates=suite.table.replicates)
    found = between(ledger, first, other, resampling)
    near = between(ledger, first, other, replace(resampling, confidence=EQUIVALENCE))
    headline = str(row_values.read(str(ledger.rows(first[0]))).layout.headline)
    return Line(
        data=data,
        seeds=len(seeds),
        of=first[0].rows,
        task=found[headline],
        near=near[headline],
        others={name: found[name] for name in ("auprc", *BETTER) if name in found},
    )


def verdict(one: Paired | Gain | None) -> str:
    """What an interval shows: `better`, `worse`, or `not shown` where 0 lies in it or there is none."""
    if one is None or one.low is None or one.high is None or one.low <= 0 <= one.high:
        return "not shown"
    lower = isinstance(one, Paired) and one.direction == "lower"
    return "better" if (one.low > 0) != lower else "worse"


def better_on(parts: Sequence[Paired | None], title: str, which: str = "all but one") -> str:
    """On how many data sets a line of the claim is better, and what its mean shows."""
    wins = sum(verdict(part) == "better" for part in parts)
    return f"{title} better on {which}: {wins} of {len(parts)}, in the mean {verdict(mean(parts))}"


def apart(suite: Suite, told: Sequence[str]) -> str:
    """A sentence of the lines on the data sets that did not shape the method; none where all count alike."""
    if not suite.table.shaped:
        return ""
    without = f"{' and '.join(suite.table.shaped)}, which shaped {suite.table.against[0]}"
    return f" Without {without}: {'; '.join(told)}." if told else f" None is judged yet without {without}."


def of_task(task: Paired | None, near: Paired | None, margin: float) -> str:
    """The same of a task score, which may also be `equivalent`: `near`, its 90 % interval, lies within the margin."""
    if verdict(task) == "better" or near is None:
        return verdict(task)
    inside = near.low is not None and near.high is not None and -margin <= near.low and near.high <= margin
    return "equivalent" if inside else verdict(task)


def mean(parts: Sequence[Paired | None], confidence: float = 0.95) -> Paired | None:
    """The mean of differences on independent data sets, its interval by the normal approximation; None if one lacks.

    `confidence` is that of the intervals of the parts and of the mean's.
    """
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    value, low, high = _mean_of(known, confidence)
    return replace(known[0], difference=value, low=low, high=high, rows=sum(part.rows for part in known))


def _mean_of(
    parts: Sequence[Paired] | Sequence[Gain], confidence: float = 0.95
) -> tuple[float, float | None, float | None]:
    """Mean and interval of independent differences, from their intervals; no interval where one has none."""
    half = NormalDist().inv_cdf((1 + confidence) / 2)
    widths = [(part.high - part.low) / 2 / half for part in parts if part.low is not None and part.high is not None]
    value = fmean(part.difference for part in parts)
    if len(widths) < len(parts):
        return value, None, None
    spread = half * sqrt(sum(width**2 for width in widths)) / len(parts)
    return value, value - spread, value + spread


def _judged(suite: Suite, lines: Sequence[Line]) -> str:
    """A sentence for each line of the claim; there is no claim before all data sets are there."""
    rest = [line for line in lines if line.data not in suite.table.shaped]
    return (
        f"Lines of the claim: {'; '.join(_told(suite, lines, 'all but one'))}."
        f"{apart(suite, _told(suite, rest, 'each') if rest else [])}{partly(len(lines), len(suite.data))} Intervals of "
        "95 %, over instances and, where there are several, seeds; that of equivalence 90 %; that of a mean by the "
        "normal approximation; of the task score [0, 0] where both are one model for each seed and answer alike; in "
        "round brackets how many instances define it, where that is not all."
    )


def _told(suite: Suite, lines: Sequence[Line], which: str) -> list[str]:
    """What each line of the claim says of some data sets."""
    n = len(lines)
    margin = suite.table.margin
    task = sum(of_task(line.task, line.near, margin) in ("better", "equivalent") for line in lines)
    known = [one for line in lines if (one := line.others.get("auprc")) is not None and one.low is not None]
    plausible = sum(verdict(one) != "worse" for one in known)
    unknown = f", unknown on {n - len(known)}" if len(known) < n else ""
    return [
        f"task score equivalent or better on each: {task} of {n}",
        f"AUPRC not shown lower on any: {plausible} of {len(known)}{unknown}",
        *(better_on([x.others.get(name) for x in lines], HEADS[name].removesuffix(" ↑"), which) for name in BETTER),
    ]


def partly(judged: int, planned: int) -> str:
    """A sentence where data sets are missing."""
    return "" if judged == planned else f" {judged} of {planned} data sets are judged, so nothing is claimed yet."

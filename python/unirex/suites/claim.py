"""Whether one method is better than the best of its rivals, line by line, as docs/protocol.md says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from unirex.metrics import Resampling, row_values
from unirex.metrics.nrg_table import Gain, GainTable
from unirex.metrics.paired import Paired, paired
from unirex.suites.choice import Choice, read_choice
from unirex.suites.differences import HEADS, shown
from unirex.suites.ledger import Entries, Ledger
from unirex.suites.recipe import Suite
from unirex.suites.table import markdown_table

EQUIVALENCE = 0.90
"""Confidence of the interval that shows equivalence: two tests at 5 % (Schuirmann 1987)."""
BETTER = ("normalised_comprehensiveness", "normalised_sufficiency")
"""What must be better, in the mean of the data sets and on all of them but one."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One method beside its rival on one data set.

    Attributes:
        data: the data set.
        rival: the method that dev chose.
        seeds: that both have.
        task: the difference in task score, at 95 %.
        near: the same at 90 %, for equivalence.
        others: of AUPRC and what must be better, by metric.
    """

    data: str
    rival: str
    seeds: int
    task: Paired
    near: Paired
    others: Mapping[str, Paired]


def claim(suite: Suite, ledger: Ledger, entries: Entries) -> list[str]:
    """Markdown: each data set against its rival, and which line of the claim holds; none without `table.rivals`."""
    table = suite.table
    if not table.rivals or table.against is None or suite.chosen is None or not suite.chosen.exists():
        return []
    choice = read_choice(suite.chosen)
    lines = [
        line
        for data in suite.data
        if data in choice.values and (line := _line(suite, ledger, entries, data, best(choice, data, table.rivals)))
    ]
    if not lines:
        return []
    heads = ["data set", "best rival on dev", "seeds", f"task ↑ (equivalent: ±{table.margin:g})"]
    rows = [
        [
            line.data,
            line.rival,
            str(line.seeds),
            f"{shown(line.task)} {of_task(line, table.margin)}",
            *(f"{shown(line.others[name])} {verdict(line.others[name])}" for name in ("auprc", *BETTER)),
        ]
        for line in lines
    ]
    if len(lines) > 1:
        names = ("auprc", *BETTER)
        means = [mean([line.task for line in lines]), *(mean([line.others[name] for line in lines]) for name in names)]
        rows.append([f"mean of {len(lines)}", "", "", *(f"{shown(one)} {verdict(one)}" for one in means)])
    title = f"**{table.against} minus the best rival on dev, and what is shown**"
    found = markdown_table([*heads, *(HEADS[name] for name in ("auprc", *BETTER))], rows)
    return [f"{title}\n\n{found}", _judged(suite, lines)]


def best(choice: Choice, data: str, rivals: Sequence[str]) -> str:
    """The rival with the highest CNRG on dev, at its chosen setting; of equals the first."""
    trials, values = choice.trials[data], choice.values[data]
    return max(rivals, key=lambda method: trials[method][str(values[method])])


def finding(suite: Suite, table: GainTable | None) -> list[str]:
    """Markdown: the best of `table.variants` over the best of the other rivals; none without variants or their runs.

    Each is the one with the highest mean of CNRG on dev over the data sets that the table has (as in the paper's
    abstract, where the best variant is compared with the best baseline by their means).
    """
    others = [name for name in suite.table.rivals if name not in suite.table.variants]
    if table is None or not suite.table.variants or suite.chosen is None or not suite.chosen.exists():
        return []
    choice = read_choice(suite.chosen)
    judged = [data for data in table.data if data in choice.values]
    if not judged:
        return []
    first, other = (best_in_mean(choice, judged, names) for names in (suite.table.variants, others))
    rows = []
    for data in [*judged, *([None] if len(judged) > 1 else [])]:
        gain = table.over(data, first, other)
        if gain is None:  # a run is missing
            return []
        level = (table.means[other] if data is None else table.cells[data, other]).composites["CNRG"]
        name = f"mean of {len(judged)}" if data is None else data
        rows.append([name, f"{level + gain.difference:.3f}", f"{level:.3f}", shown(gain)])
    last = table.over(None if len(judged) > 1 else judged[0], first, other)
    assert last is not None
    words = {"better": "shown", "worse": "contradicted"}.get(verdict(last), "not shown")
    share = f" ({last.difference / level:+.1%})" if level > 0 else ""
    so_far = f", with {len(judged)} of {len(suite.data)} data sets judged" if len(judged) < len(suite.data) else ""
    head = markdown_table(["data set", f"{first} CNRG ↑", f"{other} CNRG ↑", "difference"], rows)
    return [
        f"**The paper's finding: its best variant over the best of its other systems, both picked on dev**\n\n{head}",
        f"Here the finding is {words}{so_far}: {shown(last)}{share}. Intervals of 95 %, over instances and, where "
        "there are several, seeds.",
    ]


def best_in_mean(choice: Choice, data: Sequence[str], names: Sequence[str]) -> str:
    """The method with the highest mean of CNRG on dev over data sets, at its chosen settings; of equals the first."""
    return max(names, key=lambda m: sum(choice.trials[d][m][str(choice.values[d][m])] for d in data))


def _line(suite: Suite, ledger: Ledger, entries: Entries, data: str, rival: str) -> Line | None:
    """None where one of the two has no run, or they have no seed in common."""
    ours = str(suite.table.against)
    seeds = [seed for d, m, seed in entries if (d, m) == (data, ours) and (data, rival, seed) in entries]
    if not seeds:
        return None
    first, other = (
        [row_values.read(str(ledger.rows(entries[data, m, seed]))) for seed in seeds] for m in (ours, rival)
    )
    replicates = suite.table.replicates
    found = {one.metric: one for one in paired(first, other, Resampling(replicates=replicates))}
    near = paired(first, other, Resampling(replicates=replicates, confidence=EQUIVALENCE))
    headline = str(first[0].layout.headline)
    return Line(
        data=data,
        rival=rival,
        seeds=len(seeds),
        task=found[headline],
        near=next(one for one in near if one.metric == headline),
        others={name: found[name] for name in ("auprc", *BETTER)},
    )


def verdict(one: Paired | Gain) -> str:
    """What an interval shows: `better`, `worse`, or `not shown` where 0 lies in it."""
    if one.low is None or one.high is None or one.low <= 0 <= one.high:
        return "not shown"
    lower = isinstance(one, Paired) and one.direction == "lower"
    return "better" if (one.low > 0) != lower else "worse"


def all_but_one(parts: Sequence[Paired], title: str) -> str:
    """On how many data sets a line of the claim is better, and what its mean shows."""
    wins = sum(verdict(part) == "better" for part in parts)
    return f"{title} better on all but one: {wins} of {len(parts)}, in the mean {verdict(mean(parts))}"


def of_task(line: Line, margin: float) -> str:
    """The same of a task score, which may also be `equivalent`: the 90 % interval lies within the margin."""
    if verdict(line.task) == "better":
        return "better"
    near = line.near
    inside = near.low is not None and near.high is not None and -margin <= near.low and near.high <= margin
    return "equivalent" if inside else verdict(line.task)


def mean(parts: Sequence[Paired]) -> Paired:
    """The mean of differences on independent data sets, its interval by the normal approximation from theirs."""
    half = NormalDist().inv_cdf(0.975)
    widths = [None if p.low is None or p.high is None else (p.high - p.low) / 2 / half for p in parts]
    known = [width for width in widths if width is not None]
    value = sum(part.difference for part in parts) / len(parts)
    spread = half * sqrt(sum(width**2 for width in known)) / len(parts)
    whole = len(known) == len(parts)
    return Paired(
        metric=parts[0].metric,
        direction=parts[0].direction,
        difference=value,
        low=value - spread if whole else None,
        high=value + spread if whole else None,
        rows=sum(part.rows for part in parts),
    )


def _judged(suite: Suite, lines: Sequence[Line]) -> str:
    """A sentence for each line of the claim; there is no claim before all data sets are there."""
    n, planned = len(lines), len(suite.data)
    task = sum(of_task(line, suite.table.margin) in ("better", "equivalent") for line in lines)
    plausible = sum(verdict(line.others["auprc"]) != "worse" for line in lines)
    told = [
        f"task score equivalent or better on each: {task} of {n}",
        f"AUPRC not shown lower on any: {plausible} of {n}",
    ]
    told += [all_but_one([line.others[name] for line in lines], HEADS[name].removesuffix(" ↑")) for name in BETTER]
    return (
        f"Lines of the claim: {'; '.join(told)}.{partly(n, planned)} Intervals of 95 %, over instances and, where "
        "there are several, seeds; that of equivalence 90 %; that of a mean by the normal approximation."
    )


def partly(judged: int, planned: int) -> str:
    """A sentence where data sets are missing."""
    return "" if judged == planned else f" {judged} of {planned} data sets are judged, so nothing is claimed yet."

"""What a comparison of systems found, and how it is shown."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from unirex.metrics.definitions import Direction
from unirex.metrics.intervals import few_rows, few_seeds
from unirex.metrics.report import ARROWS, Report, across_models, aligned, heads
from unirex.metrics.shown import Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One metric of two systems.

    Attributes:
        metric: its name.
        direction: which way is better.
        first, other: the systems' values, of several seeds their means.
        difference: first minus other.
        low, high: its paired interval.
        p: two-sided p-value, NaN if the metric is undefined for one of them.
        p_holm: the same after Holm's correction over all tests of the comparison.
        n: rows behind it: of those where all systems define the metric the ones that count, for the one with fewer.
        n_partly: rows that only some of the systems define, which are left out.
        interval: the method behind the interval.
        test: the method behind p: `randomization`; in a comparison with several seeds of some system `t`, or `paired t`
            where each seed is one model of both.
    """

    metric: str
    direction: Direction
    first: float
    other: float
    difference: float
    low: float | None
    high: float | None
    p: float
    p_holm: float
    n: int
    n_partly: int
    interval: str | None
    test: str


@dataclass(frozen=True, kw_only=True)
class Comparison(Shown):
    """The first system against each of the others.

    Attributes:
        reports: of all systems, the first one first, on the instances that were compared.
        differences: for each other system, one entry per metric.
        n_rows: instances compared.
        left_out: for each system, how many of its instances the others lack (only with `intersect`).
        seeds: how many each system has.
    """

    reports: tuple[Report, ...]
    differences: tuple[tuple[Difference, ...], ...]
    n_rows: int
    left_out: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def notes(self) -> list[str]:
        """What a reader should know before believing the numbers."""
        rows = ((row.metric, row.n) for rows in self.differences for row in rows if row.low is not None)
        resampling = self.reports[0].resampling
        odd = [f"note: {report.about['source']}: {line}" for report in self.reports for line in report.odd]
        few = few_rows(rows, None if resampling is None else resampling["confidence"])
        tested = [row.metric for rows in self.differences for row in rows]
        return [*across_models(self.reports, tested), *odd, *few, *few_seeds(self.seeds)]

    def records(self) -> list[dict[str, Any]]:
        """One dictionary for each other system and metric."""
        names = heads(self.reports)[1:]
        return [
            {"system": name, **asdict(row)} for name, rows in zip(names, self.differences, strict=True) for row in rows
        ]

    def to_text(self) -> str:
        """A table for each other system, and what the p-values are."""
        names = heads(self.reports)
        lines = [f"{self.n_rows} instances" + _left_out(self, names) + _seeds(self, names)]
        for name, rows in zip(names[1:], self.differences, strict=True):
            table = [["", "", names[0], name, "difference", "interval", "rows", "p", "p (Holm)", ""]]
            for row in rows:
                interval = "" if row.low is None or row.high is None else f"[{row.low:+.4f}, {row.high:+.4f}]"
                values = [f"{row.first:.4f}", f"{row.other:.4f}", f"{row.difference:+.4f}", interval]
                rows_behind = f"{row.n}" + (f" ({row.n_partly} out)" if row.n_partly else "")
                cells = [*values, rows_behind, f"{row.p:.4f}", f"{row.p_holm:.4f}", _verdict(row)]
                table.append([row.metric, ARROWS[row.direction], *cells])
            lines += ["", *aligned(table)]
        first = self.reports[0]
        count = 0 if first.resampling is None else first.resampling["replicates"]
        several = max(self.seeds) > 1
        pairs = any(row.test == "paired t" for rows in self.differences for row in rows)
        seeds = "seeds, paired where each is one model of both" if pairs else "seeds"
        test = f"t test over rows and {seeds}" if several else f"approximate randomization, {count} swaps"
        behind = "test rows and seeds" if several else "test rows"
        lines += ["", f"convention {first.convention}; intervals: of {behind}; p: {test}, Holm over all lines"]
        if any(row.n_partly for rows in self.differences for row in rows):
            lines.append(
                "(n out): n rows that only some of the systems define; a metric is compared where all define it"
            )
        lines += self.notes
        return "\n".join(lines)


def _left_out(found: Comparison, names: Sequence[str]) -> str:
    parts = [f"{n} of {name}" for name, n in zip(names, found.left_out, strict=True) if n]
    return f" (left out: {', '.join(parts)})" if parts else ""


def _seeds(found: Comparison, names: Sequence[str]) -> str:
    parts = [f"{n} of {name}" for name, n in zip(names, found.seeds, strict=True)]
    return f", seeds: {', '.join(parts)}" if max(found.seeds) > 1 else ""


def _verdict(row: Difference) -> str:
    if not row.p_holm < 0.05 or row.direction == "none":
        return ""
    return "better" if (row.difference > 0) == (row.direction == "higher") else "worse"

"""What a report on one or several runs holds, whether it is shown as page, text or plots."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from unirex.metrics.nrg_table import GainTable
from unirex.metrics.report import Report
from unirex.report.found import RunFiles
from unirex.report.histogram import Histogram
from unirex.report.instances import Instance
from unirex.report.reading import WordScores
from unirex.report.several_seeds import SeveralSeeds

MOST_RUNS = 8
"""Runs that colors and markers can tell apart."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What bounds the size of a report, however large the files are.

    Attributes:
        instances: most instances shown.
        words: most words shown, over all instances and runs.
        words_each: most words of one instance in one run.
    """

    instances: int = 120
    words: int = 60_000
    words_each: int = 600

    def __post_init__(self) -> None:
        """Checks the numbers."""
        for name in ("instances", "words", "words_each"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One run in a report.

    Attributes:
        folder: its files.
        report: its metrics.
        references: control -> metrics.
        words: where the scores of words lie.
        rows: metric -> where its values of single instances lie.
        n_wrong: rows whose prediction is wrong.
    """

    folder: RunFiles
    report: Report
    references: Mapping[str, Report]
    words: WordScores
    rows: Mapping[str, Histogram]
    n_wrong: int

    @property
    def name(self) -> str:
        """The run's name in the report."""
        return self.folder.name

    @property
    def data(self) -> str:
        """The data set, as the predictions name it."""
        return self.report.about.get("data") or "data"


@dataclass(frozen=True, kw_only=True)
class Document:
    """Everything that is shown about one or several runs.

    Attributes:
        parts: the runs.
        instances: those shown, side by side in all runs.
        seeds: groups of runs that differ only in their seed.
        n_left_out: instances that were chosen and did not fit into the limit of words.
        gains: relative gains, where several runs were judged on the same data.
        gains_missing: why there are none.
        limits: what bounds the size.
    """

    parts: tuple[Part, ...]
    instances: tuple[Instance, ...]
    seeds: tuple[SeveralSeeds, ...] = ()
    n_left_out: int = 0
    gains: GainTable | None = None
    gains_missing: str | None = None
    limits: Limits = field(default_factory=Limits)


def defined(value: float | None) -> bool:
    """Whether a value is a number."""
    return value is not None and bool(np.isfinite(value))

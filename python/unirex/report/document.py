"""What a report on one or several runs holds, whether it is shown as page, text or plots."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from unirex.metrics.nrg_table import GainTable
from unirex.metrics.report import Report
from unirex.report.apart import Apart
from unirex.report.found import RunFiles
from unirex.report.histogram import Histogram
from unirex.report.instances import Instance
from unirex.report.reading import WordScores
from unirex.report.several_seeds import SeveralSeeds

FEW_WORDS = 60_000
"""Words of a report on runs; one on explanations holds six times as many."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What bounds the size of a report, however large the files are.

    Attributes:
        instances: most instances shown; None: 120, of explanations 10,000.
        words: most words shown, over all instances and runs; None: 60,000, of explanations 360,000.
        words_each: most words of one instance in one run.
    """

    instances: int | None = None
    words: int | None = None
    words_each: int = 600

    def __post_init__(self) -> None:
        """Checks the numbers."""
        for name in ("instances", "words", "words_each"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")

    def resolved(self, *, explained: bool) -> tuple[int, int]:
        """Most instances and most words of a report on explanations or on runs.

        >>> Limits(words=9).resolved(explained=True)
        (10000, 9)
        """
        instances, words = (10_000, FEW_WORDS * 6) if explained else (120, FEW_WORDS)
        return (
            instances if self.instances is None else self.instances,
            words if self.words is None else self.words,
        )


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
        n_labeled: rows whose true class is known.
        explained: whether these are explanations of texts, not the predictions of a run.
        measured_alone: whether each text says what its marked words do, and nothing tells it for all together.
        classes: predicted class -> metrics of the rows with this answer.
        reference_classes: control -> the same.
        most_common: the most common true class and its share.
    """

    folder: RunFiles
    report: Report
    references: Mapping[str, Report]
    words: WordScores
    rows: Mapping[str, Histogram]
    n_wrong: int
    n_labeled: int
    explained: bool = False
    measured_alone: bool = False
    classes: Mapping[str, Report] = field(default_factory=dict)
    reference_classes: Mapping[str, Mapping[str, Report]] = field(default_factory=dict)
    most_common: tuple[str, float] | None = None

    @property
    def name(self) -> str:
        """The run's name in the report."""
        return self.folder.name

    @property
    def data(self) -> str:
        """The data set, as the predictions name it."""
        return self.report.about.get("data") or "data"


Others = Literal["texts", "labels", "gold"] | None
"""How rows of one id differ between runs."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """Everything that is shown about one or several runs.

    Attributes:
        parts: the runs that have ended.
        trained: the files of the same runs, where the log of any has steps; without `parts`, of runs that have not
            ended.
        instances: those shown, side by side in all runs.
        seeds: groups of runs that differ only in their seed.
        n_left_out: instances that were chosen and did not fit into the limit of words.
        gains: relative gains, where several runs were judged on the same data.
        gains_missing: why there are none.
        most_words: the limit of words.
        leaders: metric -> the run that is better than each other one by more than chance.
        apart: how far two runs on the same texts are apart.
        other_texts: whether rows of one id are different `texts`, or texts with different `labels` or `gold`, so that
            nothing is paired; None if they are the same.
    """

    parts: tuple[Part, ...]
    trained: tuple[RunFiles, ...] = ()
    instances: tuple[Instance, ...] = ()
    seeds: tuple[SeveralSeeds, ...] = ()
    n_left_out: int = 0
    gains: GainTable | None = None
    gains_missing: str | None = None
    most_words: int = FEW_WORDS
    leaders: Mapping[str, int] = field(default_factory=dict)
    apart: Apart | None = None
    other_texts: Others = None

    @property
    def explained(self) -> bool:
        """Whether all parts are explanations of texts, which the page shows before any number."""
        return bool(self.parts) and all(part.explained for part in self.parts)

    @property
    def absent(self) -> str:
        """What is said of a run beside an instance that it does not show."""
        return "not in this run" if self.other_texts is None else "not paired with this run"


def defined(value: float | None) -> bool:
    """Whether a value is a number."""
    return value is not None and bool(np.isfinite(value))

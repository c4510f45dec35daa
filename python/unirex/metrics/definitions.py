"""What an evaluation consists of: for each metric its name, direction and range, and how sums over rows make it.

A row of a prediction file gives one number per *column* (NaN = undefined there); a metric is a function of the
columns' sums and of the numbers of rows where they are defined. Sums merge, so a metric can be computed over shards in
any order, and under the weights of a bootstrap replicate as under weights of one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Direction = Literal["higher", "lower", "none"]
Group = Literal["task", "faithfulness", "plausibility", "rationale"]
Convention = Literal["strict", "paper"]

SHARE_STEP = 2.0**-30
"""Precision of shares under resampling; point estimates are exact."""
LOG_STEP = 2.0**-20
"""Precision of logarithms and lengths under resampling."""
COUNT_STEP = 1.0


@dataclass(frozen=True, slots=True)
class Column:
    """One number per row.

    Attributes:
        name: the name of the metric whose row values these are; a count that is only pooled begins with `#`.
        step: the precision to which resampling rounds it.
    """

    name: str
    step: float = SHARE_STEP


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sums of columns, each a float64 array of one shape: `()` for the data, `[replicates]` for resamples."""

    sums: dict[str, NDArray[np.float64]]
    counts: dict[str, NDArray[np.float64]]

    def mean(self, name: str) -> NDArray[np.float64]:
        """The mean over the rows where the column is defined, NaN if there are none."""
        return ratio(self.sums[name], self.counts[name])


def ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    """`top / bottom`, NaN where `bottom` is 0.

    >>> ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    out = np.full(np.shape(bottom), np.nan)
    np.divide(top, bottom, out=out, where=np.asarray(bottom) != 0)
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A metric.

    Attributes:
        name: as printed, with the perturbation in brackets unless it is the default one.
        group: the heading under which it stands.
        direction: which way is better; `none` for a description.
        range: lowest and highest possible value.
        columns: what it is computed from; the rows that count are those where the first is defined.
        value: the metric from the sums.
        main: whether it belongs into a short table.
        perturbation: how tokens were removed or kept, for faithfulness.
        share: where each row is a hit, a miss or left out: hits and trials from the sums.
        from_share: the metric from that share, rising with it.
    """

    name: str
    group: Group
    direction: Direction
    range: tuple[float, float]
    columns: tuple[Column, ...]
    value: Callable[[Sums], NDArray[np.float64]]
    main: bool = True
    perturbation: str | None = None
    share: Callable[[Sums], tuple[float, float]] | None = None
    from_share: Callable[[float], float] = float

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range, where it is that of shares or probabilities and tells something about single rows."""
        return self.range if self.range[1] - self.range[0] <= _WIDEST else None


_WIDEST = 4.0
"""The widest range of differences between probabilities: that of `csd`."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the files of a system offer and how they are read: all that fixes the list of metrics.

    Attributes:
        labels: class names in the order of the probabilities; empty if the files have none.
        headline: the name of the task metric that the data set is judged by.
        fractions: shares of the units kept or removed; empty without perturbations.
        perturbations: the perturbation columns of each way to perturb, the default way first: the kinds (`keep`,
            `remove`, `null`) that exist.
        has_label, has_gold, has_scores, has_rationale, has_cuts: which other columns exist.
        has_probabilities, has_words: which further columns exist that rows are checked by.
        has_documents: whether there is a column that says where documents end, which no span of a rationale crosses.
        iou_thresholds: for span precision, recall and F1.
        convention: `strict` or `paper`.
        only: names of the metrics to compute; None = all.
        definitions: the metrics that follow from all this.
    """

    labels: tuple[str, ...] = ()
    headline: str | None = None
    fractions: tuple[float, ...] = ()
    perturbations: tuple[tuple[str, frozenset[str]], ...] = ()
    has_label: bool = False
    has_gold: bool = False
    has_scores: bool = False
    has_rationale: bool = False
    has_cuts: bool = False
    has_probabilities: bool = False
    has_words: bool = False
    has_documents: bool = False
    iou_thresholds: tuple[float, ...] = (0.5,)
    convention: Convention = "strict"
    only: frozenset[str] | None = None
    definitions: tuple[Definition, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Lists the metrics once."""
        found = (*_task(self), *_faithfulness(self), *_plausibility(self), *_rationale(self))
        wanted = tuple(d for d in found if self.only is None or d.name in self.only)
        object.__setattr__(self, "definitions", wanted)

    def __reduce__(self) -> tuple[Callable[..., "Layout"], tuple[dict[str, object]]]:
        """Pickles what was given; the definitions hold functions and are listed again."""
        given = {name: value for name, value in vars(self).items() if name != "definitions"}
        return _layout, (given,)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every column that some metric needs, once."""
        return tuple({column.name: column for d in self.definitions for column in d.columns}.values())

    def name(self, family: str, perturbation: str, fraction: float | None = None) -> str:
        """The name of a faithfulness metric: `family@fraction[perturbation]`, the default perturbation unnamed."""
        at = "" if fraction is None else f"@{fraction:g}"
        default, _ = self.perturbations[0]
        return f"{family}{at}" if perturbation == default else f"{family}{at}[{perturbation}]"


def _layout(given: dict[str, object]) -> Layout:
    return Layout(**given)  # type: ignore[arg-type]


def _mean(
    name: str,
    group: Group,
    direction: Direction,
    value_range: tuple[float, float] = (0, 1),
    *,
    step: float = SHARE_STEP,
    main: bool = True,
    perturbation: str | None = None,
    hits: bool = False,
) -> Definition:
    """The mean of the column of the same name; `hits`: its values are 0 and 1."""
    return Definition(
        name=name,
        group=group,
        direction=direction,
        range=value_range,
        columns=(Column(name, step),),
        value=lambda sums: sums.mean(name),
        main=main,
        perturbation=perturbation,
        share=(lambda sums: (float(sums.sums[name]), float(sums.counts[name]))) if hits else None,
    )


def _pooled(
    name: str,
    group: Group,
    direction: Direction,
    top: str,
    bottom: tuple[str, ...],
    *,
    times: float = 1.0,
    rows: bool = False,
) -> Definition:
    """`times` the sum of one count over the sum of others; `rows`: each row counts at most once in each."""

    def share(sums: Sums) -> tuple[float, float]:
        # Of the rows that any of the others holds: one that is in two of them is a hit.
        hits = float(sums.sums[top])
        return hits, float(sum(sums.sums[b] for b in bottom)) - (len(bottom) - 1) * hits

    def value(sums: Sums) -> NDArray[np.float64]:
        return ratio(times * sums.sums[top], np.sum([sums.sums[b] for b in bottom], axis=0))

    columns = tuple(Column(c, COUNT_STEP) for c in (top, *bottom))
    return Definition(
        name=name,
        group=group,
        direction=direction,
        range=(0, 1),
        columns=columns,
        value=value,
        main=False,
        share=share if rows else None,
        from_share=float if len(bottom) == 1 else _f1_of_jaccard,
    )


def _f1_of_jaccard(share: float) -> float:
    """F1 from the hits' share of the rows that are predicted or true.

    >>> _f1_of_jaccard(0.5)
    0.6666666666666666
    """
    return 2 * share / (1 + share)


def _task(layout: Layout) -> list[Definition]:
    if not layout.has_label:
        return []
    per_class = []
    for label in layout.labels:
        hit, predicted, true = (f"#{what}:{label}" for what in ("hit", "predicted", "true"))
        per_class += [
            _pooled(f"precision:{label}", "task", "higher", hit, (predicted,), rows=True),
            _pooled(f"recall:{label}", "task", "higher", hit, (true,), rows=True),
            _pooled(f"f1:{label}", "task", "higher", hit, (predicted, true), times=2.0, rows=True),
        ]
    f1s = per_class[2::3]

    def macro_f1(sums: Sums) -> NDArray[np.float64]:
        values = np.array([f1.value(sums) for f1 in f1s])
        return ratio(np.nansum(values, axis=0), np.sum(~np.isnan(values), axis=0).astype(np.float64))

    macro = Definition(
        name="macro_f1",
        group="task",
        direction="higher",
        range=(0, 1),
        columns=tuple(column for f1 in f1s for column in f1.columns),
        value=macro_f1,
    )
    return [_mean("accuracy", "task", "higher", hits=True), macro, *per_class]


_LOG_RANGE = (-745.2, 745.2)
"""No logarithm of a positive double is further from 0."""

FAMILIES: dict[str, tuple[Direction, tuple[float, float], float]] = {
    "comprehensiveness": ("higher", (-1, 1), SHARE_STEP),
    "sufficiency": ("lower", (-1, 1), SHARE_STEP),
    "csd": ("higher", (-2, 2), SHARE_STEP),
    "log_odds": ("lower", _LOG_RANGE, LOG_STEP),
    "normalised_comprehensiveness": ("higher", (0, 1), SHARE_STEP),
    "normalised_sufficiency": ("higher", (0, 1), SHARE_STEP),
    "comprehensiveness_entropy": ("none", _LOG_RANGE, LOG_STEP),
    "sufficiency_entropy": ("none", _LOG_RANGE, LOG_STEP),
    "comprehensiveness_kl": ("higher", (0, _LOG_RANGE[1]), LOG_STEP),
    "sufficiency_kl": ("lower", (0, _LOG_RANGE[1]), LOG_STEP),
}
"""Faithfulness metrics: direction, range, precision under resampling."""

NEEDS: dict[str, frozenset[str]] = {
    **dict.fromkeys(FAMILIES, frozenset({"remove"})),
    **dict.fromkeys(("sufficiency", "sufficiency_entropy", "sufficiency_kl"), frozenset({"keep"})),
    "csd": frozenset({"remove", "keep"}),
    "normalised_comprehensiveness": frozenset({"remove", "null"}),
    "normalised_sufficiency": frozenset({"keep", "null"}),
}
"""The kinds of perturbation columns that each needs."""


def _faithfulness(layout: Layout) -> list[Definition]:
    found = []
    for how, kinds in layout.perturbations:
        for family, (direction, value_range, step) in FAMILIES.items():
            if NEEDS[family] <= kinds:
                for fraction in (None, *layout.fractions):
                    name = layout.name(family, how, fraction)
                    main = fraction is None and step == SHARE_STEP
                    found.append(
                        _mean(name, "faithfulness", direction, value_range, step=step, main=main, perturbation=how)
                    )
    return found


def _plausibility(layout: Layout) -> list[Definition]:
    def means(*names: str) -> list[Definition]:
        return [_mean(name, "plausibility", "higher") for name in names]

    def pooled(name: str, *bottom: str, times: float = 1.0) -> Definition:
        return _pooled(name, "plausibility", "higher", "#both", bottom, times=times)

    found: list[Definition] = []
    if layout.has_gold and layout.has_scores:
        found += means("auprc", "average_precision", "roc_auc")
    if layout.has_gold and layout.has_rationale:
        found += means("token_precision", "token_recall", "token_f1")
        found += [
            pooled("token_precision_micro", "#selected"),
            pooled("token_recall_micro", "#gold"),
            pooled("token_f1_micro", "#selected", "#gold", times=2.0),
        ]
        for t in layout.iou_thresholds:
            found += means(f"iou_precision@{t:g}", f"iou_recall@{t:g}", f"iou_f1@{t:g}")
    return found


def _rationale(layout: Layout) -> list[Definition]:
    found = []
    if layout.has_rationale:
        found.append(_mean("rationale_share", "rationale", "none"))
        found.append(_mean("rationale_length", "rationale", "none", (0, np.inf), step=2.0**-6))
    if layout.has_cuts:
        found.append(_pooled("words_cut", "rationale", "lower", "#words_cut", ("#words",)))
        if layout.has_gold:
            found.append(_pooled("gold_cut", "rationale", "lower", "#gold_cut", ("#gold_words",)))
    if layout.has_gold:
        found.append(_mean("gold_available", "rationale", "none", hits=True))
    return found

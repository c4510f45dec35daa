"""What the files of a system offer, and the metrics that follow from it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unirex.metrics.definitions import (
    COUNT_STEP,
    NEEDS,
    OF_PERTURBED,
    Column,
    Convention,
    Count,
    Definition,
    Family,
    Per,
    Pooled,
    Sums,
    ratio,
)
from unirex.metrics.families import families


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the files of a system offer and how they are read: all that fixes the list of metrics.

    Attributes:
        labels: class names in the order of the probabilities; empty if the files have none.
        headline: the name of the task metric that the data set is judged by.
        fractions: shares of the units kept or removed; empty without perturbations.
        perturbations: the perturbation columns of each way to perturb, the default way first: the kinds (`keep`,
            `remove`, `null`, `orders`) that exist.
        has_label, has_gold, has_scores, has_rationale, has_cuts: which other columns exist.
        has_probabilities, has_words: which further columns exist that rows are checked by.
        has_documents: whether there is a column that says where documents end, which no span of a rationale crosses.
        iou_thresholds: for span precision, recall and F1.
        convention: `strict` or `paper`.
        only: names of the metrics to compute; None = all.
        families: the rows of the table of metrics whose columns exist, under some perturbation at least.
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
    families: tuple[Family, ...] = field(init=False, compare=False, repr=False)
    definitions: tuple[Definition, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Lists the metrics once."""
        object.__setattr__(self, "families", _offered(self, families()))
        object.__setattr__(self, "definitions", _wanted(self, self.families))

    def __reduce__(self) -> tuple[Callable[[], "Layout"], tuple[()]]:
        """Pickles what was given; the definitions hold functions and are listed again."""
        return partial(Layout, **self.given()), ()

    def given(self) -> dict[str, Any]:
        """What the layout was made from."""
        return {name: value for name, value in vars(self).items() if name not in ("families", "definitions")}

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every column that some metric needs, once, by name: two systems with the same metrics have the same order.

        The order of the metrics themselves follows that of the perturbations in the files.
        """
        needed = {column.name: column for d in self.definitions for column in d.columns}
        return tuple(needed[name] for name in sorted(needed))

    def offers(self, family: Family, kinds: frozenset[str] | None = None) -> bool:
        """Whether a family's columns exist, of `kinds` of perturbed inputs; None: those of some perturbation."""
        if family.per in OF_PERTURBED and kinds is None:
            return any(self.offers(family, found) for _, found in self.perturbations)
        has = {name for name in NEEDS if getattr(self, f"has_{name}")}
        return family.needs <= has | (kinds or frozenset())

    def name(self, family: str, perturbation: str, fraction: float | None = None) -> str:
        """The name of a faithfulness metric: `family@fraction[perturbation]`, the default perturbation unnamed."""
        at = "" if fraction is None else f"@{fraction:g}"
        default, _ = self.perturbations[0]
        return f"{family}{at}" if perturbation == default else f"{family}{at}[{perturbation}]"

    def names(self, per: Per, name: str) -> list[str]:
        """The name of a metric or a count for each class or threshold; the name itself where it is per row."""
        if per == "class":
            return [f"{name}:{label}" for label in self.labels]
        return [f"{name}@{t:g}" for t in self.iou_thresholds] if per == "threshold" else [name]


# The files of a table have few layouts between them, and are many.
@lru_cache(maxsize=256)
def _offered(layout: Layout, known: tuple[Family, ...]) -> tuple[Family, ...]:
    return tuple(family for family in known if layout.offers(family))


@lru_cache(maxsize=256)
def _wanted(layout: Layout, _: tuple[Family, ...]) -> tuple[Definition, ...]:
    return tuple(d for d in _definitions(layout) if layout.only is None or d.name in layout.only)


def _definitions(layout: Layout) -> Iterator[Definition]:
    """Every metric; neighbors in the table that are taken per class or threshold are listed class by class."""
    for (_, per), block in groupby(layout.families, key=lambda family: (family.group, family.per)):
        rows = list(block)
        if per in OF_PERTURBED:
            for perturbation, kinds in layout.perturbations:
                for family in rows:
                    if layout.offers(family, kinds):
                        yield from _at_fractions(layout, family, perturbation)
        else:
            members = [[_member(layout, family, i, name) for i, name in _numbered(layout, family)] for family in rows]
            yield from (definition for one in zip(*members, strict=True) for definition in one)


def _numbered(layout: Layout, family: Family) -> Iterator[tuple[int, str]]:
    return enumerate(layout.names(family.per, family.name))


def _at_fractions(layout: Layout, family: Family, perturbation: str) -> Iterator[Definition]:
    """A metric of perturbed inputs over the fractions, and at each where it is taken per fraction."""
    for fraction in (None, *(layout.fractions if family.per == "fraction" else ())):
        main, hits = family.main and fraction is None, family.hits and fraction is not None
        yield _mean(
            family, layout.name(family.name, perturbation, fraction), main=main, hits=hits, perturbation=perturbation
        )


def _member(layout: Layout, family: Family, place: int, name: str) -> Definition:
    """The metric per row, or for the class or threshold at this place."""
    if family.mean_of is not None:
        return _mean_of(layout, family)
    if family.pooled is None:
        return _mean(family, name, main=family.main, hits=family.hits)
    pooled = family.pooled
    return _pooled(family, name, pooled, lambda count: layout.names(family.per, count.name)[place])


def _mean(family: Family, name: str, *, main: bool, hits: bool, perturbation: str | None = None) -> Definition:
    """The mean of the column of the same name; `hits`: its values are 0 and 1."""
    return Definition(
        name=name,
        family=family,
        columns=(Column(name, family.step),),
        value=lambda sums: sums.mean(name),
        main=main,
        perturbation=perturbation,
        share=(lambda sums: (float(sums.sums[name]), float(sums.counts[name]))) if hits else None,
    )


def _pooled(family: Family, name: str, pooled: Pooled, column: Callable[[Count], str]) -> Definition:
    """The ratio of the sums of counts, whose columns are named by `column`."""
    top, bottom = column(pooled.top), [column(count) for count in pooled.bottom]

    def share(sums: Sums) -> tuple[float, float]:
        # Of the rows that any of the others holds: one that is in two of them is a hit.
        hits = float(sums.sums[top])
        return hits, float(sum(sums.sums[b] for b in bottom)) - (len(bottom) - 1) * hits

    def value(sums: Sums) -> NDArray[np.float64]:
        return ratio(pooled.times * sums.sums[top], np.sum([sums.sums[b] for b in bottom], axis=0))

    return Definition(
        name=name,
        family=family,
        columns=tuple(Column(c, COUNT_STEP) for c in (top, *bottom)),
        value=value,
        main=family.main,
        share=share if pooled.rows else None,
        from_share=float if len(bottom) == 1 else _f1_of_jaccard,
        counted=tuple(bottom),
    )


def _mean_of(layout: Layout, family: Family) -> Definition:
    """The mean of another family over the classes where it is defined."""
    other = next(one for one in layout.families if one.name == family.mean_of)
    members = [_member(layout, other, place, name) for place, name in _numbered(layout, other)]

    def value(sums: Sums) -> NDArray[np.float64]:
        values = np.array([member.value(sums) for member in members])
        return ratio(np.nansum(values, axis=0), np.sum(~np.isnan(values), axis=0).astype(np.float64))

    columns = tuple(column for member in members for column in member.columns)
    return Definition(
        name=family.name, family=family, columns=columns, value=value, main=family.main, members=tuple(members)
    )


def _f1_of_jaccard(share: float) -> float:
    """F1 from the hits' share of the rows that are predicted or true.

    >>> _f1_of_jaccard(0.5)
    0.6666666666666666
    """
    return 2 * share / (1 + share)

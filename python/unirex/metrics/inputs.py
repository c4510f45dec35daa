"""What metrics are computed from: the rows of a batch, and what several metrics share, found once if it is wanted."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from unirex import _rust
from unirex.metrics import oddities
from unirex.metrics.batch import Batch
from unirex.metrics.ragged import Ragged, select, spread, where
from unirex.schema import ORDERS

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Triple = tuple[Floats, Floats, Floats]
Given = TypeVar("Given")


@dataclass(eq=False, repr=False)
class Inputs:
    """N rows.

    Attributes:
        batch: the rows.
        n_classes: how many labels there are.
        n_fractions: shares of the units kept or removed.
        thresholds: of spans.
        paper: whether the conventions of Chan et al. 2022 hold.
    """

    batch: Batch
    n_classes: int
    n_fractions: int
    thresholds: tuple[float, ...]
    paper: bool
    _perturbed: "dict[tuple[str, frozenset[str]], Perturbed]" = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.batch)

    # The task.

    @cached_property
    def labelled(self) -> Flags:
        """Which rows have a label, bool [N]."""
        return given("label", self.batch.label) >= 0

    @property
    def accuracy(self) -> Floats:
        """Whether the prediction is the label."""
        label, prediction = given("label", self.batch.label), given("prediction", self.batch.prediction)
        return where(self.labelled, label == prediction)

    @cached_property
    def of_classes(self) -> Triple:
        """For each class whether a row is predicted as it, labelled with it, and both, [N, C] each."""
        label, prediction = given("label", self.batch.label), given("prediction", self.batch.prediction)
        classes = np.arange(self.n_classes)
        predicted, true = prediction[:, None] == classes, label[:, None] == classes
        known = self.labelled[:, None]
        return where(known, predicted), where(known, true), where(known, predicted & true)

    # The rationale.

    @property
    def scores(self) -> Ragged:
        """One score per word, minus infinity where the model never saw the word."""
        return given("scores", self.batch.scores)

    @property
    def rationale(self) -> Ragged:
        """One flag per word."""
        return given("rationale", self.batch.rationale)

    @property
    def words(self) -> Floats:
        """Number of words."""
        rows = self.batch.scores if self.batch.rationale is None else self.batch.rationale
        return given("scores", rows).lengths.astype(np.float64)

    @cached_property
    def rationale_length(self) -> Floats:
        """Number of words selected."""
        return _rust.rationale_length(*self.rationale.parts).astype(np.float64)

    # Agreement with gold.

    @cached_property
    def has_gold(self) -> Flags:
        """Which rows have a human rationale, bool [N]."""
        return given("gold", self.batch.gold).known

    @cached_property
    def gold(self) -> Ragged:
        """The human rationale as flags, for the rows that have one: n of N."""
        rows = select(given("gold", self.batch.gold).rows, self.has_gold)
        return Ragged(rows.values > 0.5, rows.offsets)

    def against_gold(self, values: Floats) -> Floats:
        """Values of the rows with gold, [n] or [n, …], as those of all rows.

        Elsewhere they are undefined; in `paper` they are 0 where gold marks nothing or is not known.
        """
        found = spread(values, self.has_gold)
        if self.paper:
            found[np.nan_to_num(self.gold_words) == 0] = 0.0
        return found

    @cached_property
    def ranked(self) -> Triple:
        """AUPRC, average precision and ROC AUC."""
        scores = select(self.scores, self.has_gold)
        unseen = oddities.unseen(scores)
        first, second, third = (
            self.against_gold(np.where(unseen, np.nan, values))
            for values in _rust.rank_rows(*scores.parts, *self.gold.parts)
        )
        return first, second, third

    @cached_property
    def _pair(self) -> tuple[Ragged, Ragged]:
        """Rationale and gold of the rows with gold."""
        return select(self.rationale, self.has_gold), self.gold

    @cached_property
    def counts(self) -> Triple:
        """Words that are selected and gold, that are selected, and that are gold."""
        rationale, gold = self._pair
        found = _rust.token_counts(*rationale.parts, *gold.parts)
        both, selected, marked = (spread(column, self.has_gold) for column in found)
        return both, selected, marked

    @cached_property
    def agreement(self) -> Triple:
        """Token precision, recall and F1."""
        marked, gold = self._pair
        precision, recall, f1 = _rust.token_agreement(*marked.parts, *gold.parts)
        if self.paper:
            if self.batch.scores is not None:
                scores = select(self.scores, self.has_gold)
                marked = Ragged(scores.values > 0, scores.offsets)
            f1 = _rust.token_f1_both_classes(*marked.parts, *gold.parts)
        return self.against_gold(precision), self.against_gold(recall), self.against_gold(f1)

    @cached_property
    def spans(self) -> Triple:
        """Precision, recall and F1 of spans, [N, thresholds] each."""
        borders = _borders(self.batch.borders, self.rationale, self.has_gold)
        rationale, gold = (_apart(rows, borders) for rows in self._pair)
        thresholds = np.array(self.thresholds, dtype=np.float64)
        found = _rust.iou_agreement(*rationale.parts, *gold.parts, thresholds)
        shape = (-1, len(self.thresholds))
        precision, recall, f1 = (self.against_gold(values.reshape(shape)) for values in found)
        return precision, recall, f1

    @property
    def gold_words(self) -> Floats:
        """Number of words that gold marks."""
        return spread(_rust.rationale_length(*self.gold.parts), self.has_gold)

    # Perturbed inputs.

    def perturbed(self, perturbation: str, kinds: frozenset[str]) -> "Perturbed":
        """The rows that have the columns of these kinds under a perturbation."""
        known = np.logical_and.reduce([self.batch.perturbed[kind, perturbation].known for kind in sorted(kinds)])
        # Where no row lacks a column, families with other needs share what is found.
        key = perturbation, frozenset() if known.all() else kinds
        if key not in self._perturbed:
            self._perturbed[key] = Perturbed(self.batch, perturbation, known, self.n_fractions)
        return self._perturbed[key]


@dataclass(eq=False, repr=False)
class Perturbed:
    """The n of N rows that have what a metric of perturbed inputs needs: probabilities, and those of one class.

    Attributes:
        batch: N rows.
        perturbation: its name.
        known: which of them, bool [N].
        n_fractions: K.
    """

    batch: Batch
    perturbation: str
    known: Flags
    n_fractions: int

    @cached_property
    def prediction(self) -> NDArray[np.int64]:
        """The class predicted on the full input, by position, int64 [n]."""
        return np.ascontiguousarray(given("prediction", self.batch.prediction)[self.known])

    @cached_property
    def full(self) -> Ragged:
        """Probabilities of all classes on the full input."""
        return select(given("probabilities", self.batch.probabilities), self.known)

    @cached_property
    def keep(self) -> Ragged:
        """Probabilities of all classes with the rationale alone, fraction after fraction."""
        return self._rows("keep")

    @cached_property
    def remove(self) -> Ragged:
        """Probabilities of all classes without the rationale, fraction after fraction."""
        return self._rows("remove")

    @cached_property
    def p_full(self) -> Floats:
        """The probability of the predicted class on the full input, [n]."""
        return self._p(self.full, 1)

    @cached_property
    def p_keep(self) -> Floats:
        """The same with the rationale alone, [n, K]."""
        return self._p(self.keep, self.n_fractions).reshape(-1, self.n_fractions)

    @cached_property
    def p_remove(self) -> Floats:
        """The same without the rationale, [n, K]."""
        return self._p(self.remove, self.n_fractions).reshape(-1, self.n_fractions)

    @cached_property
    def p_null(self) -> Floats:
        """The same with every selectable unit removed, [n]."""
        return self._p(self._rows("null"), 1)

    @property
    def orders(self) -> Floats:
        """The outcomes of orders (`unirex.schema.ORDERS`), [n, 4]."""
        return self._rows("orders").values.reshape(-1, len(ORDERS))

    def _rows(self, kind: str) -> Ragged:
        return select(self.batch.perturbed[kind, self.perturbation].rows, self.known)

    def _p(self, rows: Ragged, blocks: int) -> Floats:
        return _rust.class_probability(*rows.parts, self.prediction, blocks)


def given(name: str, value: Given | None) -> Given:
    """The value, which the rows have."""
    if value is None:
        raise ValueError(f"the rows have no {name}, expected it (a metric says what it needs)")
    return value


def _borders(borders: NDArray[np.int64] | None, rows: Ragged, known: Flags) -> NDArray[np.int64]:
    """Where a document ends inside a row, as places in `select(rows, known)`."""
    if borders is None or not len(borders):
        return np.zeros(0, dtype=np.int64)
    inside = np.setdiff1d(borders, rows.offsets)
    row = np.searchsorted(rows.offsets, inside, side="right") - 1
    starts = np.cumsum(rows.lengths * known) - rows.lengths * known
    return (inside - rows.offsets[row] + starts[row])[known[row]]


def _apart(rows: Ragged, borders: NDArray[np.int64]) -> Ragged:
    """The rows with an unmarked place between two documents, so that no span runs from one into the other.

    >>> _apart(Ragged(np.array([True, True, True]), np.array([0, 2, 3])), np.array([1])).values.tolist()
    [True, False, True, True]
    """
    if not len(borders):
        return rows
    return Ragged(np.insert(rows.values, borders, 0), rows.offsets + np.searchsorted(borders, rows.offsets))

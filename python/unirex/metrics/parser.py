"""Rows of a prediction file read and checked: every fault is named by file, row id and field."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from unirex.metrics import oddities
from unirex.metrics.batch import Batch, Known, hash_ids
from unirex.metrics.checked_rows import CheckedRows
from unirex.metrics.layout import Layout
from unirex.metrics.ragged import Ragged
from unirex.schema import perturbed_column


def full_column(scorer: str) -> str:
    """The column of a scorer's probabilities on the full input."""
    return "probabilities" if scorer == "self" else f"full.{scorer}"


class Parser:
    """Turns record batches into `Batch`es.

    Args:
        layout: what the rows offer.
        scorer: the model that gave the perturbed probabilities.
        choice: whether a row may have fewer probabilities than there are labels.
    """

    def __init__(self, layout: Layout, *, scorer: str = "self", choice: bool = False) -> None:
        self.layout = layout
        self.scorer = scorer
        self.choice = choice
        self.labels = {label: position for position, label in enumerate(layout.labels)}

    def columns(self) -> list[str]:
        """The columns that `parse` needs."""
        layout = self.layout
        names = ["id"]
        names += ["label"] * layout.has_label
        names += ["prediction"] * (layout.has_label or layout.has_probabilities or bool(layout.perturbations))
        names += ["probabilities"] * layout.has_probabilities + ["words"] * layout.has_words
        if layout.perturbations:
            names += [full_column(self.scorer)] * (full_column(self.scorer) not in names) + ["fractions"]
        names += [
            perturbed_column(kind, perturbation, self.scorer)
            for perturbation, kinds in layout.perturbations
            for kind in sorted(kinds)
        ]
        names += ["scores"] * layout.has_scores + ["rationale"] * layout.has_rationale + ["gold"] * layout.has_gold
        names += ["documents"] * layout.has_documents
        return names + ["words_cut", "gold_cut"] * layout.has_cuts

    def parse(self, batch: pa.RecordBatch, where: str) -> Batch:
        """The rows of a record batch that has the columns of `columns()`; `where` is the file, for messages."""
        layout = self.layout
        rows = CheckedRows(batch, where, strict=layout.convention == "strict")
        prediction = rows.classes("prediction", self.labels) if "prediction" in rows.names else None
        own = self._probabilities(rows, "probabilities") if layout.has_probabilities else None
        if own is not None and prediction is not None:
            rows.preferred(prediction, own, layout.labels)
        full = own
        if layout.perturbations and (own is None or self.scorer != "self"):
            full = self._probabilities(rows, full_column(self.scorer))
        rationale = rows.rationale() if layout.has_rationale else None
        parsed = Batch(
            hashes=hash_ids(rows.ids),
            label=rows.classes("label", self.labels, nulls=True) if layout.has_label else None,
            prediction=prediction,
            probabilities=full,
            perturbed=self._perturbed(rows, full) if layout.perturbations and full is not None else {},
            scores=rows.scores() if layout.has_scores else None,
            rationale=rationale,
            gold=rows.gold() if layout.has_gold else None,
            words_cut=rows.integers("words_cut") if layout.has_cuts else None,
            gold_cut=rows.integers("gold_cut") if layout.has_cuts else None,
            borders=rows.borders(rationale) if layout.has_documents and rationale is not None else None,
            odd=rows.odd,
        )
        if own is not None and parsed.label is not None:
            rows.within("label", parsed.label, own.lengths, layout.labels)
        _check_lengths(rows, parsed)
        if parsed.scores is not None:
            rows.odd |= oddities.of_scores(parsed.scores)
            if rationale is not None:
                _check_seen(rows, parsed.scores, rationale)
        if parsed.words_cut is not None and parsed.gold_cut is not None and parsed.scores is not None:
            rows.at_most("words_cut", parsed.words_cut, "words", parsed.scores.lengths)
            rows.at_most("gold_cut", parsed.gold_cut, "words_cut", parsed.words_cut)
            if parsed.gold is not None:
                words = parsed.gold.rows
                marked = oddities.sums(Ragged((words.values > 0).astype(np.float64), words.offsets)).astype(np.int64)
                limit = np.where(parsed.gold.known, marked, parsed.gold_cut)
                rows.at_most("gold_cut", parsed.gold_cut, "words that gold marks", limit)
        return parsed

    def _probabilities(self, rows: CheckedRows, name: str) -> Ragged:
        known = rows.probabilities(name, depth=1)
        rows.all_known(name, known.known)
        found, classes = known.rows.lengths, len(self.layout.labels)
        fits = (found >= 1) & (found <= classes) if self.choice else found == classes
        rows.require(fits, lambda i: f"{name} has {found[i]} values, expected {classes} (as labels)")
        rows.sums(name, known.rows, 1)
        return known.rows

    def _perturbed(self, rows: CheckedRows, full: Ragged) -> dict[tuple[str, str], Known]:
        rows.fractions(self.layout.fractions)
        found = {}
        for perturbation, kinds in self.layout.perturbations:
            for kind in kinds:
                name = perturbed_column(kind, perturbation, self.scorer)
                if kind == "orders":
                    found[kind, perturbation] = rows.orders(name)
                    continue
                blocks = 1 if kind == "null" else len(self.layout.fractions)
                known = rows.probabilities(name, depth=1 if kind == "null" else 2, blocks=blocks)
                lengths, expected = known.rows.lengths, full.lengths * blocks
                fits = ~known.known | (lengths == expected)
                rows.require(
                    fits, lambda i, n=name, a=lengths, b=expected: f"{n} has {a[i]} probabilities, expected {b[i]}"
                )
                rows.sums(name, known.rows, blocks)
                found[kind, perturbation] = known
        return found


def _check_lengths(rows: CheckedRows, batch: Batch) -> None:
    """Scores, rationale, words and gold of a row have one length."""
    found = {name: r.lengths for name, r in (("scores", batch.scores), ("rationale", batch.rationale)) if r is not None}
    if "words" in rows.names:
        found["words"] = rows.words().lengths
    if batch.gold is not None:
        lengths = batch.gold.rows.lengths
        found["gold"] = np.where(batch.gold.known, lengths, next(iter(found.values()), lengths))
    for lengths in found.values():
        fits = lengths == next(iter(found.values()))
        rows.require(fits, lambda i: _odd_one({name: int(of_row[i]) for name, of_row in found.items()}))


def _check_seen(rows: CheckedRows, scores: Ragged, rationale: Ragged) -> None:
    """No word of a rationale is one that the model never saw, whose score is null where other words have one."""
    unseen = np.isneginf(scores.values)
    wrong = unseen & rationale.values
    if wrong.any():
        scored = oddities.sums(Ragged((~unseen).astype(np.float64), scores.offsets)) > 0
        wrong &= np.repeat(scored, scores.lengths)
    if wrong.any():
        at = int(np.argmax(wrong))
        row = int(np.searchsorted(scores.offsets, at, side="right")) - 1
        word = at - int(scores.offsets[row])
        raise rows.fail(row, f"rationale[{word}] is true, expected false, since scores[{word}] is null")


def _odd_one(lengths: Mapping[str, int]) -> str:
    """Of lists that should be of one length the first that is not as most are.

    >>> _odd_one({"scores": 1, "rationale": 13, "gold": 13})
    'scores has 1 values, expected 13 (as rationale)'
    """
    (usual, _), *_ = Counter(lengths.values()).most_common(1)
    odd = next(name for name, length in lengths.items() if length != usual)
    like = next(name for name, length in lengths.items() if length == usual)
    return f"{odd} has {lengths[odd]} values, expected {usual} (as {like})"

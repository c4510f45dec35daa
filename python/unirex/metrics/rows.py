"""One number per row and column: what the metrics of each convention say about single instances."""

import numpy as np
from numpy.typing import NDArray

from unirex import _rust
from unirex.metrics import oddities
from unirex.metrics.arrays import aopc
from unirex.metrics.batch import Batch, Known
from unirex.metrics.definitions import FAMILIES, NEEDS, Layout
from unirex.metrics.ragged import Ragged

Floats = NDArray[np.float64]


def row_values(batch: Batch, layout: Layout) -> Floats:
    """The columns of the layout for each row, float64 [columns, N], NaN where undefined."""
    found = {**_task(batch, layout), **_faithfulness(batch, layout), **_plausibility(batch, layout)}
    found |= _rationale(batch, layout)
    return np.array([found[column.name] for column in layout.columns]).reshape(-1, len(batch))


def _task(batch: Batch, layout: Layout) -> dict[str, Floats]:
    if not layout.has_label or batch.label is None or batch.prediction is None:
        return {}
    known = batch.label >= 0
    found = {"accuracy": _where(known, batch.label == batch.prediction)}
    for position, label in enumerate(layout.labels):
        predicted, true = batch.prediction == position, batch.label == position
        found[f"#predicted:{label}"] = _where(known, predicted)
        found[f"#true:{label}"] = _where(known, true)
        found[f"#hit:{label}"] = _where(known, predicted & true)
    return found


def _faithfulness(batch: Batch, layout: Layout) -> dict[str, Floats]:
    if batch.probabilities is None or batch.prediction is None:
        return {}
    found = {}
    for how, kinds in layout.perturbations:
        known = {kind: batch.perturbed[kind, how] for kind in kinds}
        for family in FAMILIES:
            if NEEDS[family] <= kinds:
                values = _family(family, batch.probabilities, batch.prediction, known, len(layout.fractions))
                found[layout.name(family, how)] = aopc(values, layout.convention)
                for column, fraction in zip(values.T, layout.fractions, strict=True):
                    found[layout.name(family, how, fraction)] = column
    return found


def _family(
    family: str, full: Ragged, prediction: NDArray[np.int64], perturbed: dict[str, Known], fractions: int
) -> Floats:
    """One faithfulness metric, [N, fractions]; NaN in rows where a column it needs is null."""
    needed = [perturbed[kind].known for kind in sorted(NEEDS[family])]
    known = np.logical_and.reduce(needed)
    classes = np.ascontiguousarray(prediction[known])
    part = {kind: select(perturbed[kind].rows, known) for kind in NEEDS[family]}
    whole = select(full, known)

    def p(rows: Ragged, blocks: int = fractions) -> Floats:
        return _rust.class_probability(rows.values, rows.offsets, classes, blocks)

    p_full = p(whole, 1)
    match family:
        case "comprehensiveness":
            values = _rust.comprehensiveness(p_full, p(part["remove"]))
        case "sufficiency":
            values = _rust.sufficiency(p_full, p(part["keep"]))
        case "csd":
            values = _rust.comprehensiveness(p_full, p(part["remove"])) - _rust.sufficiency(p_full, p(part["keep"]))
        case "log_odds":
            values = _rust.log_odds(p_full, p(part["remove"]))
        case "normalised_comprehensiveness":
            values = _rust.normalised_comprehensiveness(p_full, p(part["remove"]), p(part["null"], 1))
        case "normalised_sufficiency":
            values = _rust.normalised_sufficiency(p_full, p(part["keep"]), p(part["null"], 1))
        case _:
            rows = part["keep" if family.startswith("sufficiency") else "remove"]
            shift = _rust.entropy_shift if family.endswith("entropy") else _rust.kl_divergence
            values = shift(whole.values, whole.offsets, rows.values, rows.offsets, fractions)
    out = np.full((len(known), fractions), np.nan)
    out[known] = values.reshape(-1, fractions)
    return out


def _plausibility(batch: Batch, layout: Layout) -> dict[str, Floats]:
    if batch.gold is None:
        return {}
    known = batch.gold.known
    gold = select(batch.gold.rows, known)
    gold = Ragged(gold.values > 0.5, gold.offsets)
    found: dict[str, Floats] = {}
    if batch.scores is not None:
        scores = select(batch.scores, known)
        ranked = _rust.rank_rows(scores.values, gold.values, scores.offsets)
        unseen = oddities.unseen(scores)
        for name, values in zip(("auprc", "average_precision", "roc_auc"), ranked, strict=True):
            found[name] = np.where(unseen, np.nan, values)
    if batch.rationale is not None:
        rationale = select(batch.rationale, known)
        found |= _agreement(rationale, gold)
        borders = _borders(batch.borders, batch.rationale, known)
        found |= _spans(_apart(rationale, borders), _apart(gold, borders), layout.iou_thresholds)
        if layout.convention == "paper" and batch.scores is not None:
            positive = Ragged(scores.values > 0, scores.offsets)
            found["token_f1"] = _rust.token_f1_both_classes(
                positive.values, positive.offsets, gold.values, gold.offsets
            )
    spread = {name: _spread(values, known) for name, values in found.items()}
    if layout.convention == "paper":
        marked = np.zeros(len(known))
        marked[known] = _rust.rationale_length(gold.values, gold.offsets)
        for name, values in spread.items():
            if not name.startswith("#"):
                values[marked == 0] = 0.0
    return spread


def _borders(borders: NDArray[np.int64] | None, rows: Ragged, known: NDArray[np.bool_]) -> NDArray[np.int64]:
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


def _agreement(rationale: Ragged, gold: Ragged) -> dict[str, Floats]:
    pair = (rationale.values, rationale.offsets, gold.values, gold.offsets)
    counts = (column.astype(np.float64) for column in _rust.token_counts(*pair))
    found = dict(zip(("#both", "#selected", "#gold"), counts, strict=True))
    found |= dict(zip(("token_precision", "token_recall", "token_f1"), _rust.token_agreement(*pair), strict=True))
    return found


def _spans(rationale: Ragged, gold: Ragged, thresholds: tuple[float, ...]) -> dict[str, Floats]:
    pair = (rationale.values, rationale.offsets, gold.values, gold.offsets)
    found: dict[str, Floats] = {}
    spans = _rust.iou_agreement(*pair, np.array(thresholds, dtype=np.float64))
    for what, values in zip(("precision", "recall", "f1"), spans, strict=True):
        for threshold, column in zip(thresholds, values.reshape(-1, len(thresholds)).T, strict=True):
            found[f"iou_{what}@{threshold:g}"] = column
    return found


def _rationale(batch: Batch, layout: Layout) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    words = None
    for rows in (batch.scores, batch.rationale):
        words = rows.lengths.astype(np.float64) if rows is not None else words
    if batch.rationale is not None and words is not None:
        length = _rust.rationale_length(batch.rationale.values, batch.rationale.offsets).astype(np.float64)
        found["rationale_length"] = length
        found["rationale_share"] = np.divide(length, words, out=np.full(len(words), np.nan), where=words > 0)
    if batch.gold is not None:
        found["gold_available"] = batch.gold.known.astype(np.float64)
    if batch.words_cut is not None and batch.gold_cut is not None and words is not None:
        found["#words_cut"], found["#words"] = batch.words_cut.astype(np.float64), words
        if batch.gold is not None:
            gold = batch.gold.rows
            marked = _rust.rationale_length(gold.values > 0.5, gold.offsets).astype(np.float64)
            found["#gold_cut"] = _where(batch.gold.known, batch.gold_cut)
            found["#gold_words"] = _where(batch.gold.known, marked)
    return found


def select(rows: Ragged, known: NDArray[np.bool_]) -> Ragged:
    """The rows marked in `known`.

    >>> select(Ragged(np.arange(4), np.array([0, 2, 3, 4])), np.array([True, False, True])).values.tolist()
    [0, 1, 3]
    """
    if known.all():
        return rows
    offsets = np.zeros(int(known.sum()) + 1, dtype=np.int64)
    np.cumsum(rows.lengths[known], out=offsets[1:])
    inner = rows.values[rows.offsets[0] : rows.offsets[-1]]
    return Ragged(inner[np.repeat(known, rows.lengths)], offsets)


def _where(known: NDArray[np.bool_], values: NDArray[np.generic]) -> Floats:
    return np.where(known, values.astype(np.float64), np.nan)


def _spread(values: Floats, known: NDArray[np.bool_]) -> Floats:
    out = np.full(len(known), np.nan)
    out[known] = values
    return out

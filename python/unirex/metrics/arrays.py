"""The metrics as functions on arrays: one value per row, NaN where undefined.

Ragged arguments (`scores`, `rationale`, `gold`) are any of: a list of rows (lists, arrays, tensors) of any length; a
pair `(values, offsets)` of arrays, where row `i` is `values[offsets[i]:offsets[i + 1]]`; an Arrow list array, also
sliced or chunked, or a column of pandas or polars; a two-dimensional array. Torch tensors work like arrays everywhere,
whatever their type and device. A row that is None, or null in Arrow, is undefined. Gold may be soft: in [0, 1],
above 0.5 counts as marked. A rationale is hard: 0 or 1.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from unirex import _rust
from unirex.metrics import oddities
from unirex.metrics.definitions import Convention, Direction, as_convention
from unirex.metrics.ragged import (
    Ragged,
    bool_values,
    float_values,
    is_number,
    list_offsets,
    offsets_of,
    select,
    valid,
    value_type,
)
from unirex.metrics.tensors import arrow_column, as_lists, as_numpy
from unirex.text import shown, suggest

Rows: TypeAlias = Sequence[Any] | tuple[ArrayLike, ArrayLike] | pa.Array | pa.ChunkedArray | NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]


def comprehensiveness(p_full: ArrayLike, p_remove: ArrayLike) -> Floats:
    """p(full) - p(remove), float64 [N, K]; higher is better, in [-1, 1] (DeYoung et al. 2020).

    `p_full` is [N], `p_remove` [N, K]: the probability of the predicted class, on the full input and without the top
    fraction, for each of K fractions.

    >>> comprehensiveness([0.75], [[0.5, 0.25]]).tolist()
    [[0.25, 0.5]]
    """
    return _at_fractions(_rust.comprehensiveness, p_full, p_remove, "p_remove")


def sufficiency(p_full: ArrayLike, p_keep: ArrayLike) -> Floats:
    """p(full) - p(keep), float64 [N, K]; lower is better, in [-1, 1] (DeYoung et al. 2020).

    >>> sufficiency([0.75], [[0.5, 0.75]]).tolist()
    [[0.25, 0.0]]
    """
    return _at_fractions(_rust.sufficiency, p_full, p_keep, "p_keep")


def log_odds(p_full: ArrayLike, p_remove: ArrayLike) -> Floats:
    """Log p(remove) - log p(full), float64 [N, K]; lower is better; undefined where either probability is 0.

    >>> log_odds([0.5], [[0.5, 0.0]]).tolist()
    [[0.0, nan]]
    """
    return _at_fractions(_rust.log_odds, p_full, p_remove, "p_remove")


def normalised_comprehensiveness(p_full: ArrayLike, p_remove: ArrayLike, p_null: ArrayLike) -> Floats:
    """Comprehensiveness as a share of what removing everything does, [N, K]; higher is better, in [0, 1].

    `p_null` is [N], the probability with every selectable token removed; undefined where that is not below `p_full`
    (Carton et al. 2020).

    >>> normalised_comprehensiveness([0.75, 0.5], [[0.5], [0.25]], [0.25, 0.5]).tolist()
    [[0.5], [nan]]
    """
    return _at_fractions(_rust.normalised_comprehensiveness, p_full, p_remove, "p_remove", p_null)


def normalised_sufficiency(p_full: ArrayLike, p_keep: ArrayLike, p_null: ArrayLike) -> Floats:
    """One minus sufficiency as a share of what removing everything does, [N, K]; higher is better, in [0, 1].

    Undefined where removing everything does not lower the probability (Carton et al. 2020).

    >>> normalised_sufficiency([0.75], [[0.625]], [0.25]).tolist()
    [[0.75]]
    """
    return _at_fractions(_rust.normalised_sufficiency, p_full, p_keep, "p_keep", p_null)


def decision_flip(prediction: ArrayLike, removed: ArrayLike) -> Floats:
    """1 where the prediction changes without the rationale, else 0, [N, K]; higher is better (Serrano & Smith 2019).

    `prediction` is [N], the position of the class predicted on the full input; `removed` [N, K, C] the probabilities
    of all classes without the top fraction. The prediction then is the highest, the first of equals.

    >>> decision_flip([0], [[[0.6, 0.4], [0.5, 0.5], [0.2, 0.8]]]).tolist()
    [[0.0, 0.0, 1.0]]
    """
    classes, other = np.asarray(as_numpy(prediction)), _floats(removed)
    if classes.ndim != 1 or other.ndim != 3 or len(classes) != len(other) or not other.size:
        shapes = f"prediction has shape {classes.shape} and removed {other.shape}"
        raise ValueError(f"{shapes}, expected [N] and [N, K, C], all at least 1")
    if classes.dtype.kind not in "iu":
        raise TypeError(f"prediction holds {classes.dtype}, expected integers, the positions of classes")
    n, k, c = other.shape
    ends = np.arange(n + 1, dtype=np.int64) * (k * c)
    return _rust.decision_flip(classes.astype(np.int64), other.reshape(-1), ends, k).reshape(n, k)


def entropy_shift(full: ArrayLike, perturbed: ArrayLike) -> Floats:
    """Entropy of the full distribution minus that of the perturbed one in nats, [N, K].

    `full` is [N, C], `perturbed` [N, K, C]; both are normalised to sum 1.

    >>> entropy_shift([[0.5, 0.5]], [[[1.0, 0.0], [0.5, 0.5]]]).round(4).tolist()
    [[0.6931, 0.0]]
    """
    return _shift(_rust.entropy_shift, full, perturbed)


def kl_divergence(full: ArrayLike, perturbed: ArrayLike) -> Floats:
    """KL(perturbed || full) in nats, [N, K], at least 0.

    `full` is [N, C], `perturbed` [N, K, C]; both are normalised to sum 1; undefined (infinite) where the full
    distribution gives 0 to a class that the perturbed one does not.

    >>> kl_divergence([[0.5, 0.5]], [[[1.0, 0.0], [0.5, 0.5]]]).round(4).tolist()
    [[0.6931, 0.0]]
    """
    return _shift(_rust.kl_divergence, full, perturbed)


def aopc(values: ArrayLike, convention: Convention = "strict") -> Floats:
    """One value per row, [N], from its values at K fractions, [N, K]; undefined where one of them is.

    `strict` takes the mean (DeYoung et al. 2020); `paper` divides the sum by K + 1 (Chan et al. 2022).

    >>> aopc([[0.25, 0.5]]).tolist(), aopc([[0.25, 0.5]], "paper").tolist()
    ([0.375], [0.25])
    """
    convention = as_convention(convention)
    array = _floats(values)
    if array.ndim != 2:
        raise TypeError(f"values has {array.ndim} dimensions, expected 2")
    return _rust.aopc(array.reshape(-1), array.shape[1], convention == "paper")


def auprc(scores: Rows, gold: Rows) -> Floats:
    """Area under the precision-recall curve by trapezoids, [N]; higher is better, in [0, 1].

    The curve starts at recall 0, precision 1; equal scores are one point. Undefined without a marked or without an
    unmarked token. A null score (a word the model never saw) ranks below all others.

    >>> auprc((np.array([0.9, 0.8, 0.1]), [0, 3]), (np.array([True, False, True]), [0, 3])).round(4).tolist()
    [0.7917]
    """
    return rank_rows(scores, gold)[0]


def average_precision(scores: Rows, gold: Rows) -> Floats:
    """Average precision (the step sum under the precision-recall curve), [N]; higher is better, in [0, 1].

    >>> average_precision(np.array([[0.9, 0.8, 0.1]]), np.array([[1, 0, 1]])).round(4).tolist()
    [0.8333]
    """
    return rank_rows(scores, gold)[1]


def roc_auc(scores: Rows, gold: Rows) -> Floats:
    """Share of pairs of a marked and an unmarked token that the scores order rightly, ties half, [N]; in [0, 1].

    >>> roc_auc(np.array([[0.9, 0.8, 0.1]]), np.array([[1, 0, 1]])).tolist()
    [0.5]
    """
    return rank_rows(scores, gold)[2]


def rank_rows(scores: Rows, gold: Rows) -> tuple[Floats, Floats, Floats]:
    """AUPRC, average precision and ROC AUC of every row, found together.

    All undefined where there is a score for no word.

    >>> [round(float(m[0]), 4) for m in rank_rows(np.array([[3.0, 2.0, 1.0]]), np.array([[0, 1, 1]]))]
    [0.4167, 0.5833, 0.0]
    >>> [float(m[0]) for m in rank_rows([[None, None]], [[1, 0]])]
    [nan, nan, nan]
    """
    first, second = _pair(scores, "scores", gold, flags=False)
    unseen = oddities.unseen(first)
    found = _rust.rank_rows(*first.parts, *second.parts)
    one, two, three = (np.where(unseen, np.nan, numbers) for numbers in found)
    return one, two, three


def token_precision(rationale: Rows, gold: Rows) -> Floats:
    """Share of the selected tokens that gold marks, [N]; undefined without a selected or without a marked token.

    >>> token_precision(np.array([[1, 1, 0]]), np.array([[1, 0, 1]])).tolist()
    [0.5]
    """
    return _agreement(rationale, gold)[0]


def token_recall(rationale: Rows, gold: Rows) -> Floats:
    """Share of the marked tokens that are selected, [N]; undefined without a marked token.

    >>> token_recall(np.array([[0, 0, 0]]), np.array([[1, 0, 1]])).tolist()
    [0.0]
    """
    return _agreement(rationale, gold)[1]


def token_f1(rationale: Rows, gold: Rows) -> Floats:
    """Harmonic mean of token precision and recall, [N]; 0 if nothing is selected, undefined without a marked token.

    >>> token_f1(np.array([[1, 1, 0]]), np.array([[1, 0, 0]])).round(4).tolist()
    [0.6667]
    """
    return _agreement(rationale, gold)[2]


def token_f1_both_classes(rationale: Rows, gold: Rows) -> Floats:
    """Token F1 averaged over the classes "in" and "out" that occur, [N]; 0 without a marked token (Chan et al. 2022).

    >>> token_f1_both_classes(np.array([[1, 1, 0]]), np.array([[1, 0, 0]])).round(4).tolist()
    [0.6667]
    """
    first, second = _pair(rationale, "rationale", gold, flags=True)
    return _rust.token_f1_both_classes(*first.parts, *second.parts)


def iou_agreement(rationale: Rows, gold: Rows, threshold: float = 0.5) -> tuple[Floats, Floats, Floats]:
    """Span precision, recall and F1, [N] each, in [0, 1]; undefined like their token counterparts.

    Spans are maximal runs; a span matches if its best intersection over union with a span of the other side is at
    least `threshold`.

    >>> [m.tolist() for m in iou_agreement(np.array([[1, 1, 0, 1]]), np.array([[1, 1, 1, 0]]))]
    [[0.5], [1.0], [0.6666666666666666]]
    """
    first, second = _pair(rationale, "rationale", gold, flags=True)
    return _rust.iou_agreement(*first.parts, *second.parts, np.array([threshold], dtype=np.float64))


def rationale_length(rationale: Rows) -> NDArray[np.int64]:
    """Number of selected tokens, int64 [N].

    >>> rationale_length(np.array([[1, 1, 0], [0, 0, 0]])).tolist()
    [2, 0]
    """
    rows, _ = _ragged("rationale", rationale, flags=True)
    return _rust.rationale_length(*rows.parts)


def complexity(scores: Rows) -> Floats:
    """Entropy of each unit's share of the scores' sizes in nats, [N]; lower is better, at least 0 (Bhatt et al. 2020).

    A share is `abs(s) / sum(abs(s))`: 0 where one unit has all, log n where n have the same. A null score (a word
    the model never saw) is left out. Undefined without a score, where all are 0, and where one is NaN or infinite. Only
    scores of one kind compare: their logarithms or squares rank the units alike and have another complexity.

    >>> complexity(np.array([[0.5, -0.25, 0.25], [0.0, 2.0, 0.0]])).round(4).tolist()
    [1.0397, 0.0]
    """
    rows, _ = _ragged("scores", scores, flags=False)
    return _rust.complexity(*rows.parts)


def relative_gain(
    values: ArrayLike, direction: Direction, *, low: float | None = None, high: float | None = None
) -> Floats:
    """Where each method's value, [M], stands between the worst (0) and the best (1); 0.5 for all if those are equal.

    `low` and `high` replace the lowest and highest of the values (Chan et al. 2022).

    >>> relative_gain([0.1, 0.3, 0.2], "lower").round(4).tolist()
    [1.0, 0.0, 0.5]
    """
    known = ["higher", "lower"]
    if direction not in known:  # a misspelled one must not mean the default
        raise ValueError(f"direction is {shown(direction)}, expected one of {known}{suggest(str(direction), known)}")
    array = _floats(values)
    ends = _rust.extremes(array, np.ones(len(array), dtype=np.bool_))
    bottom, top = (e if given is None else np.array([float(given)]) for e, given in zip(ends, (low, high), strict=True))
    return _rust.relative_gain(array, bottom, top, direction == "lower")


def _at_fractions(function: Any, p_full: ArrayLike, perturbed: ArrayLike, name: str, *p_null: ArrayLike) -> Floats:
    """What a kernel makes of the full probability, [N], and the perturbed ones, [N, K]: float64 [N, K]."""
    full, other = _floats(p_full), _floats(perturbed)
    if full.ndim != 1 or other.ndim != 2 or len(full) != len(other):
        raise ValueError(f"p_full has shape {full.shape} and {name} {other.shape}, expected [N] and [N, K]")
    found: Floats = function(full, other.reshape(-1), *map(_floats, p_null))
    return found.reshape(other.shape)


def _shift(function: Any, full: ArrayLike, perturbed: ArrayLike) -> Floats:
    whole, other = _floats(full), _floats(perturbed)
    if whole.ndim != 2 or other.ndim != 3 or (whole.shape[0], whole.shape[1]) != (other.shape[0], other.shape[2]):
        raise ValueError(f"full has shape {whole.shape} and perturbed {other.shape}, expected [N, C] and [N, K, C]")
    n, k, c = other.shape
    ends = np.arange(n + 1, dtype=np.int64)
    found: Floats = function(whole.reshape(-1), ends * c, other.reshape(-1), ends * k * c, k)
    return found.reshape(n, k)


def _agreement(rationale: Rows, gold: Rows) -> tuple[Floats, Floats, Floats]:
    first, second = _pair(rationale, "rationale", gold, flags=True)
    return _rust.token_agreement(*first.parts, *second.parts)


def _pair(rows: Rows, name: str, gold: Rows, *, flags: bool) -> tuple[Ragged, Ragged]:
    """Both sides; a row that is null on one is empty on both, hence undefined."""
    first, known_first = _ragged(name, rows, flags=flags)
    second, known_second = _ragged("gold", gold, flags=True)
    if len(known_first) != len(known_second):
        raise ValueError(f"gold has {len(known_second)} rows, expected {len(known_first)} (as {name})")
    known = known_first & known_second
    return (first, second) if known.all() else (_emptied(first, known), _emptied(second, known))


def _emptied(rows: Ragged, known: NDArray[np.bool_]) -> Ragged:
    return Ragged(select(rows, known).values, offsets_of(rows.lengths * known))


def _ragged(name: str, rows: Rows, *, flags: bool) -> tuple[Ragged, NDArray[np.bool_]]:
    """Values as float64 or bool with int64 offsets, and which rows are known."""
    arrow = as_lists(name, rows) if isinstance(rows, list) else arrow_column(rows)
    if isinstance(arrow, pa.ChunkedArray):
        arrow = arrow.combine_chunks()
    if arrow is not None:
        return _from_arrow(name, arrow, flags=flags)
    if isinstance(rows, tuple):
        if len(rows) != 2:
            raise TypeError(f"{name} is a tuple of {len(rows)}, expected a pair (values, offsets), or a list of rows")
        values, offsets = np.asarray(as_numpy(rows[0])), np.asarray(as_numpy(rows[1]))
        if offsets.size and offsets.dtype.kind not in "iu":
            raise TypeError(f"{name}: offsets are {offsets.dtype}, expected integers")
        offsets = np.ascontiguousarray(offsets, dtype=np.int64)
        if values.ndim != 1 or offsets.ndim != 1:
            dimensions = f"{values.ndim} and {offsets.ndim}"
            raise TypeError(f"{name} is a pair of arrays of {dimensions} dimensions, expected 1 and 1")
        return _numpy(name, values, offsets, flags=flags)
    array = np.asarray(as_numpy(rows))
    if array.ndim != 2:
        expected = "2, a pair (values, offsets) or an Arrow list array"
        raise TypeError(f"{name} has {array.ndim} dimensions, expected {expected}")
    offsets = np.arange(len(array) + 1, dtype=np.int64) * array.shape[1]
    return _numpy(name, array.reshape(-1), offsets, flags=flags)


def _numpy(
    name: str, values: NDArray[Any], offsets: NDArray[np.int64], *, flags: bool
) -> tuple[Ragged, NDArray[np.bool_]]:
    if not len(offsets) or offsets[0] < 0 or offsets[-1] > len(values) or (np.diff(offsets) < 0).any():
        raise ValueError(f"{name}: offsets do not ascend from 0 or more to at most {len(values)} (number of values)")
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} holds {values.dtype}, expected numbers" + (" or booleans" if flags else ""))
    values = _as_flags(name, values) if flags else np.ascontiguousarray(values, dtype=np.float64)
    return Ragged(values, offsets), np.ones(len(offsets) - 1, dtype=np.bool_)


def _as_flags(name: str, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are marked; fails for gold outside of [0, 1], and for a rationale of anything but 0 and 1."""
    if values.dtype == np.bool_:
        return np.ascontiguousarray(values)
    hard = name != "gold"
    fits = (values == 0) | (values == 1) if hard else (values >= 0) & (values <= 1)
    if not fits.all():
        at = int(np.argmin(fits))
        raise ValueError(f"{name}[{at}] is {values[at]}, expected {'0 or 1' if hard else 'a number in [0, 1]'}")
    return values > 0.5


def _from_arrow(name: str, array: pa.Array, *, flags: bool) -> tuple[Ragged, NDArray[np.bool_]]:
    inner = value_type(array.type)
    if not (is_number(inner) or (flags and inner is not None and pa.types.is_boolean(inner))):
        raise TypeError(f"{name} holds {array.type}, expected lists of numbers" + (" or booleans" if flags else ""))
    content = array.flatten()
    if flags and content.null_count:
        raise ValueError(f"{name} has {content.null_count} nulls inside lists, expected none")
    if flags:
        values = bool_values(content) if pa.types.is_boolean(content.type) else float_values(content)
        return Ragged(_as_flags(name, values), list_offsets(array)), valid(array)
    values = float_values(content)
    if content.null_count:
        if np.isnan(values[valid(content)]).any():
            raise ValueError(f"{name} holds nan, expected numbers, or null for a word never seen")
        values = np.where(valid(content), values, -np.inf)
    return Ragged(values, list_offsets(array)), valid(array)


def _floats(values: ArrayLike) -> Floats:
    if isinstance(values, list):
        values = [as_numpy(row) for row in values]
    return np.ascontiguousarray(as_numpy(values), dtype=np.float64)

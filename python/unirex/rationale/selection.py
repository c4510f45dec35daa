"""Hard rationales from scores: the top fractions of the selectable units of each row, all fractions at once.

Two backends give the same rationales, ties, infinities and -0.0 included: the Rust kernel for tensors on a CPU, torch
for tensors elsewhere. `relaxed_masks` gives the same rationales with an estimated gradient to the scores.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict, Unpack, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unirex import _rust
from unirex.rationale.adaptive_step import AdaptiveStep
from unirex.rationale.relaxation import relax
from unirex.rationale.settings import Relaxation, Rounding
from unirex.schema import WordScore

Backend = Literal["auto", "rust", "torch"]


def top_k_masks(
    scores_BL: Tensor, selectable_BL: Tensor, fractions: Sequence[float], *, backend: Backend = "auto"
) -> Tensor:
    """Rationales as a bool tensor [K, B, L], one per fraction, on the device of the scores; without gradient.

    For each row with n selectable tokens and each fraction f the `max(1, round_half_even(f * n))` tokens with the
    highest scores are marked, none if n = 0. Of equal scores (0.0 and -0.0 are equal) the earlier wins.

    Args:
        scores_BL: any floats, infinities included, ranked as float32 (which half precisions become exactly). A NaN on a
            selectable token is a ValueError, elsewhere it is ignored.
        selectable_BL: bool; what may be marked.
        fractions: in (0, 1].
        backend: `auto` takes `rust` for tensors on a CPU and `torch` elsewhere.

    >>> scores = torch.tensor([[9.0, 1.0, 3.0, 3.0, 2.0]])
    >>> selectable = torch.tensor([[False, True, True, True, True]])
    >>> top_k_masks(scores, selectable, [0.25, 0.5])[:, 0].int().tolist()
    [[0, 0, 1, 0, 0], [0, 0, 1, 1, 0]]
    """
    if _is_rust(scores_BL, backend):
        marks = _rust.rationales(
            _float32(scores_BL), _contiguous(selectable_BL.bool()), list(fractions), threads=_threads()
        )
        return torch.from_numpy(marks).to(scores_BL.device)
    _same_shape("selectable", selectable_BL, scores_BL)
    scores_BL, selectable_BL = scores_BL.detach().float(), selectable_BL.bool()
    _refuse_first(scores_BL.isnan() & selectable_BL)
    return _rank(scores_BL, selectable_BL) < _counts(selectable_BL.sum(1), fractions)[:, :, None]


def top_k_word_masks(
    scores_BL: Tensor,
    words_BL: Tensor,
    fractions: Sequence[float],
    *,
    pooling: WordScore = "max",
    backend: Backend = "auto",
) -> Tensor:
    """Rationales whose units are words, as a bool tensor [K, B, L] over tokens; without gradient.

    All tokens of a word are marked, or none. Counts, ties and errors are those of `top_k_masks`, with the words of
    the row as units and `pool_words` for their scores.

    Args:
        scores_BL: any floats; those of tokens that belong to no word are ignored.
        words_BL: int32 or int64, the word of each token; negative = none. In a row ids never go down.
        fractions: in (0, 1].
        pooling: how the scores of a word's tokens become the word's: `max`, `mean`, `sum`, or that of the `first`.
        backend: `auto` takes `rust` for tensors on a CPU and `torch` elsewhere.

    >>> scores, words = torch.tensor([[9.0, 1.0, 3.0, 3.0, 2.0]]), torch.tensor([[-1, 0, 0, 1, 2]])
    >>> top_k_word_masks(scores, words, [0.3, 0.6]).int().tolist()
    [[[0, 1, 1, 0, 0]], [[0, 1, 1, 1, 0]]]
    """
    if _is_rust(scores_BL, backend):
        words = _contiguous(words_BL)
        marks = _rust.word_rationales(_float32(scores_BL), words, pooling, list(fractions), threads=_threads())
        return torch.from_numpy(marks).to(scores_BL.device)
    _same_shape("words", words_BL, scores_BL)
    scores_BL, inside_BL = scores_BL.detach().float(), words_BL >= 0
    _refuse_first(scores_BL.isnan() & inside_BL)
    dense_BL = _dense_words(words_BL)
    scores_BW = pool_words(scores_BL, dense_BL, scores_BL.shape[1], pooling)
    word_BW = torch.arange(scores_BL.shape[1], device=scores_BL.device) < _n_words(dense_BL)
    _refuse_first(_of_tokens((scores_BW.isnan() & word_BW)[None], dense_BL)[0])
    return _of_tokens(top_k_masks(scores_BW, word_BW, fractions, backend="torch"), dense_BL)


def select(
    scores_BL: Tensor,
    words_BL: Tensor,
    fractions: tuple[float, ...],
    unit: Literal["token", "word"],
    word_score: WordScore,
) -> Tensor:
    """The rationale at each fraction, bool [K, B, L], without gradient."""
    if unit == "word":
        return top_k_word_masks(scores_BL, words_BL, fractions, pooling=word_score)
    return top_k_masks(scores_BL, words_BL >= 0, fractions)


class Units(TypedDict, total=False):
    """What is selected: tokens (the default), or words by a score pooled from their tokens (by default the highest)."""

    unit: Literal["token", "word"]
    pooling: WordScore


def rationale_masks(
    scores_BL: Tensor,
    words_BL: Tensor,
    fraction: float,
    *,
    rounding: Rounding = "half_even",
    shape: Literal["top_k", "contiguous"] = "top_k",
    **units: Unpack[Units],
) -> Tensor:
    """One rationale per row as a bool tensor [B, L] over tokens; without gradient.

    Of n units max(1, fraction * n rounded) are marked, none if n = 0: the highest scores (`top_k`), or the run of
    neighbours with the highest sum of scores (`contiguous`; units that are not selectable do not part neighbours). Of
    equal ones the earlier wins. Source of the other rounding and shape: FRESH (Jain et al. 2020).

    Args:
        scores_BL: any floats, as in `top_k_masks`.
        words_BL: the word of each token; negative = not selectable.
        fraction: in (0, 1].
        rounding: `half_even`, `ceil` (the public code of FRESH) or `floor` (that of UNIREX).
        shape: see above.
        units: what is counted and marked.

    >>> scores, words = torch.tensor([[9.0, 3.0, 1.0, 2.5, 2.0]]), torch.tensor([[-1, 0, 1, 2, 3]])
    >>> rationale_masks(scores, words, 0.5, shape="contiguous").int().tolist()
    [[0, 0, 0, 1, 1]]
    """
    unit, pooling = units.get("unit", "token"), units.get("pooling", "max")
    if rounding == "half_even" and shape == "top_k":
        return select(scores_BL, words_BL, (fraction,), unit, pooling)[0]
    scores_BL, inside_BL = scores_BL.detach().float(), words_BL >= 0
    _refuse_first(scores_BL.isnan() & inside_BL)
    dense_BL = _dense_words(words_BL) if unit == "word" else torch.where(inside_BL, inside_BL.cumsum(1) - 1, -1)
    scores_BU = pool_words(scores_BL, dense_BL, scores_BL.shape[1], pooling)
    n_B1 = _n_words(dense_BL)
    places_U = torch.arange(scores_BU.shape[1], device=scores_BU.device)
    count_B1 = _counts(n_B1[:, 0], [fraction], rounding)[0][:, None]
    if shape == "top_k":
        marks_BU = _rank(scores_BU, places_U < n_B1) < count_B1
    else:
        # Each run by itself: differences of a running sum would be NaN behind the first infinite score.
        sums_BU = torch.full_like(scores_BU, -torch.inf, dtype=torch.float64)
        for count in count_B1[count_B1 > 0].unique().tolist():
            of_count_B = count_B1[:, 0] == count
            sums_BU[of_count_B, : scores_BU.shape[1] - count + 1] = (
                scores_BU[of_count_B].double().unfold(1, count, 1).sum(-1)
            )
        impossible_BU = sums_BU.isnan() | (places_U + count_B1 > n_B1)
        start_B1 = sums_BU.masked_fill(impossible_BU, -torch.inf).argmax(1, keepdim=True)
        marks_BU = (places_U >= start_B1) & (places_U < start_B1 + count_B1)
    return _of_tokens(marks_BU[None], dense_BL)[0]


def relaxed_masks(
    scores_BL: Tensor,
    words_BL: Tensor,
    fractions: Sequence[float],
    relaxation: Relaxation,
    *,
    step: AdaptiveStep | None = None,
    **units: Unpack[Units],
) -> Tensor:
    """Rationales as float32 [K, B, L], 0 or 1, with a gradient to the scores; see `unirex.rationale.relaxation.relax`.

    Without noise they are those of `top_k_masks` (unit token) or `top_k_word_masks` (unit word).

    Args:
        scores_BL: any floats.
        words_BL: int64, the word of each token; negative = not selectable.
        fractions: in (0, 1].
        relaxation: the estimator.
        step: of estimator aimle.
        units: what is selected.
    """
    unit, pooling = units.get("unit", "token"), units.get("pooling", "max")
    inside_BL = words_BL >= 0
    _refuse_first(scores_BL.isnan() & inside_BL)
    if unit == "token":
        count_KB = _counts(inside_BL.sum(1), fractions)
        return relax(torch.where(inside_BL, scores_BL.float(), 0.0), inside_BL, count_KB, relaxation, step)
    dense_BL = _dense_words(words_BL)
    n_words_B1 = _n_words(dense_BL)
    width = max(1, int(n_words_B1.amax()))
    valid_BW = torch.arange(width, device=words_BL.device) < n_words_B1
    scores_BW = pool_words(scores_BL, dense_BL, width, pooling)
    marks_KBW = relax(scores_BW, valid_BW, _counts(n_words_B1[:, 0], fractions), relaxation, step)
    return _of_tokens(marks_KBW, dense_BL)


def pool_words(scores_BL: Tensor, words_BL: Tensor, n_words: int, pooling: WordScore) -> Tensor:
    """Word scores as a float32 tensor [B, W] with gradient; 0 where a word has no token.

    Sums are taken in float64 and in the order of the tokens, so that every device gives the same scores.

    Args:
        scores_BL: any floats.
        words_BL: int32 or int64, the word of each token, below `n_words`; negative = none. In a row ids never go down.
        n_words: W.
        pooling: `max` (equal tokens share the gradient), `mean`, `sum`, or the `first` token's.

    >>> pool_words(torch.tensor([[9.0, 1.0, 3.0, 5.0]]), torch.tensor([[-1, 0, 0, 2]]), 3, "mean").tolist()
    [[2.0, 0.0, 5.0]]
    """
    if pooling not in get_args(WordScore):
        raise ValueError(f"pooling is {pooling!r}, expected max, mean, sum or first")
    inside_BL = words_BL >= 0
    # Tokens of no word go to a column of their own, as zeros: a NaN among them must not reach a gradient.
    scores_BL = torch.where(inside_BL, scores_BL.float(), 0.0)
    column_BL = torch.where(inside_BL, words_BL, n_words).long()
    zeros_BW = torch.zeros(len(scores_BL), n_words + 1, device=scores_BL.device)
    if pooling == "max":
        return zeros_BW.scatter_reduce(1, column_BL, scores_BL, "amax", include_self=False)[:, :n_words]
    # Of a word's tokens, the first has place 1.
    nth_BL = inside_BL.cumsum(1)
    before_BW = torch.full_like(zeros_BW, scores_BL.shape[1], dtype=torch.int64).scatter_reduce(
        1, column_BL, nth_BL - 1, "amin"
    )
    place_BL = torch.where(inside_BL, nth_BL - before_BW.gather(1, column_BL), 0)
    last = 1 if pooling == "first" else int(place_BL.amax()) if place_BL.numel() else 0
    total_BW = zeros_BW.double()
    for place in range(1, last + 1):
        total_BW = total_BW.scatter_add(1, column_BL, torch.where(place_BL == place, scores_BL, 0.0).double())
    if pooling == "mean":
        total_BW = total_BW / zeros_BW.double().scatter_add(1, column_BL, inside_BL.double()).clamp(min=1)
    return total_BW[:, :n_words].float()


def _rank(scores_BL: Tensor, selectable_BL: Tensor) -> Tensor:
    """Place of each token in its row by score, 0 = highest; tokens that are not selectable come last."""
    bits_BL = torch.where(scores_BL == 0, 0.0, scores_BL).view(torch.int32)
    # Integers that sort like the floats; the smallest is no number's.
    keys_BL = torch.where(bits_BL < 0, bits_BL ^ 0x7FFFFFFF, bits_BL)
    keys_BL = torch.where(selectable_BL, keys_BL, torch.iinfo(torch.int32).min)
    order_BL = keys_BL.argsort(dim=1, descending=True, stable=True)
    places_BL = torch.arange(keys_BL.shape[1], device=keys_BL.device).expand_as(keys_BL)
    return torch.empty_like(order_BL).scatter_(1, order_BL, places_BL)


def _counts(n_B: Tensor, fractions: Sequence[float], rounding: Rounding = "half_even") -> Tensor:
    """How many of n units each fraction takes, [K, B]."""
    for fraction in fractions:
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction is {fraction}, expected above 0 and at most 1")
    share_K1 = torch.tensor(list(fractions), dtype=torch.float64, device=n_B.device)[:, None]
    share_KB = share_K1 * n_B.double()
    if rounding == "half_even":
        whole_KB = share_KB.round()
    else:
        # A share that is a whole number in decimals (0.2 of 15) must not fall short of it in binary, or exceed it.
        whole_KB = (share_KB + 1e-9).floor() if rounding == "floor" else (share_KB - 1e-9).ceil()
    return torch.minimum(whole_KB.long().clamp(min=1), n_B)


def _dense_words(words_BL: Tensor) -> Tensor:
    """The ids of the words made 0, 1, 2, ... in each row; -1 for no word."""
    inside_BL = words_BL >= 0
    so_far_BL = torch.nn.functional.pad(words_BL, (1, 0), value=-1).clamp(min=-1).cummax(1).values[:, :-1]
    if bool((down_BL := inside_BL & (words_BL < so_far_BL)).any()):
        row, index = down_BL.nonzero()[0].tolist()
        found, expected = int(words_BL[row, index]), "an id no lower than that of the word before"
        raise ValueError(f"row {row}: words[{index}] is {found}, expected {expected}")
    return torch.where(inside_BL, (inside_BL & (words_BL > so_far_BL)).cumsum(1) - 1, -1)


def _n_words(dense_BL: Tensor) -> Tensor:
    """Number of words of each row, [B, 1]."""
    return torch.nn.functional.pad(dense_BL, (1, 0), value=-1).amax(1, keepdim=True) + 1


def _of_tokens(marks_KBW: Tensor, dense_BL: Tensor) -> Tensor:
    """Marks of words as marks of their tokens; false or 0 for tokens of no word."""
    column_KBL = dense_BL.clamp(min=0).expand(len(marks_KBW), *dense_BL.shape)
    return marks_KBW.gather(2, column_KBL) * (dense_BL >= 0)


def _refuse_first(bad_BL: Tensor) -> None:
    if bool(bad_BL.any()):
        row, index = bad_BL.nonzero()[0].tolist()
        raise ValueError(f"row {row}: scores[{index}] is NaN, expected a number")


def _same_shape(name: str, tensor: Tensor, scores_BL: Tensor) -> None:
    if tensor.shape != scores_BL.shape:
        raise ValueError(f"{name} has shape {list(tensor.shape)}, expected {list(scores_BL.shape)} (as scores)")


def _is_rust(scores_BL: Tensor, backend: Backend) -> bool:
    return backend == "rust" or (backend == "auto" and scores_BL.device.type == "cpu")


def _float32(scores_BL: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = _contiguous(scores_BL.detach().float())
    return array


def _contiguous(tensor: Tensor) -> Any:
    return tensor.cpu().contiguous().numpy()


def _threads() -> int | None:
    # Data-loader workers and processes that share a machine are told so through torch.
    return 1 if torch.get_num_threads() == 1 else None

"""The losses: pure functions from logits and scores to one number per instance, fraction or token.

They do not average: the caller divides by counts over the whole global batch (all processes and all accumulated
micro-batches), so that a mean does not depend on how the batch was cut.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unirex.methods.settings.contract import CompCriterion, Divergence, PlausCriterion, SuffCriterion


def task_loss(logits_BC: Tensor, labels_B: Tensor) -> Tensor:
    """Cross-entropy of the labels in nats, float [..., B], at least 0.

    Args:
        logits_BC: float [..., B, C]; leading dimensions (fractions) share the labels.
        labels_B: int64 [B].

    >>> round(task_loss(torch.zeros(1, 2), torch.tensor([1])).item(), 4)
    0.6931
    """
    log_probs = torch.log_softmax(logits_BC.float(), dim=-1)
    labels = labels_B.expand(log_probs.shape[:-1]).unsqueeze(-1)
    return -log_probs.gather(-1, labels).squeeze(-1)


def comprehensiveness_loss(
    ce_full_B: Tensor, ce_remove_KB: Tensor, *, criterion: CompCriterion = "margin", margin: float = 1.0
) -> Tensor:
    """How little the cross-entropy rises when the rationale is removed, float [K, B]; lower = more comprehensive.

    `diff` is CE(full) - CE(remove); `margin` is max(-m, diff) + m, at least 0, which stops pushing once removing the
    rationale costs m nats. Source: UNIREX (Chan et al. 2022).

    >>> full, removed = torch.tensor([0.5]), torch.tensor([[0.7], [2.5]])
    >>> comprehensiveness_loss(full, removed, margin=1.0).tolist()
    [[0.800000011920929], [0.0]]
    """
    diff_KB = ce_full_B - ce_remove_KB
    if criterion == "diff":
        return diff_KB
    if criterion == "margin":
        return diff_KB.clamp(min=-margin) + margin
    raise ValueError(f"comprehensiveness criterion is {criterion!r}, expected margin or diff")


def complement_loss(
    logits_remove_KBC: Tensor, labels_B: Tensor, criterion: CompCriterion, target: float | None = None
) -> Tensor:
    """How much the rationale's complement predicts by itself, float [K, B], at least 0; lower = more comprehensive.

    The full input is not compared with, so nothing is gained by making its prediction worse.

    `prior` is KL(q || p(remove)), summed over classes, q uniform: without its rationale an input predicts nothing. With
    a `target` q gives the label that probability and shares the rest evenly; below 1/C it asks for more.
    `unlikelihood` is -log(1 - p(remove)) of the label (Welleck et al. 2020): it keeps pushing past the uniform
    distribution, less and less. `probability` is p(remove) of the label itself: bounded, and flat where the complement
    is sure of the label, so it asks little of inputs that cannot be changed (the mean absolute error of Ghosh et al.
    2017, robust to wrong labels). With a `target` it is what p(remove) exceeds that by.

    Args:
        logits_remove_KBC: without the rationale, per fraction.
        labels_B: gold classes.
        criterion: see above.
        target: for `prior` and `probability`, in (0, 1).

    Raises:
        ValueError: no such criterion, or a single class.

    >>> even, label = torch.zeros(1, 1, 2), torch.tensor([1])
    >>> complement_loss(even, label, "prior").item(), round(complement_loss(even, label, "unlikelihood").item(), 4)
    (0.0, 0.6931)
    """
    logits_KBC = logits_remove_KBC.float()
    n_classes = logits_KBC.shape[-1]
    if n_classes == 1:
        raise ValueError("logits_remove_KBC has one class, expected two or more")
    if criterion == "prior":
        own = 1 / n_classes if target is None else target
        rest = (1 - own) / (n_classes - 1)
        log_probs_KBC = torch.log_softmax(logits_KBC, -1)
        log_own_KB = -task_loss(logits_KBC, labels_B)
        entropy = -own * math.log(own) - (1 - own) * math.log(rest)
        return -(own - rest) * log_own_KB - rest * log_probs_KBC.sum(-1) - entropy
    if criterion == "unlikelihood":
        own_BC = torch.arange(logits_KBC.shape[-1], device=labels_B.device) == labels_B[:, None]
        rest_KB = torch.logsumexp(logits_KBC.masked_fill(own_BC, -torch.inf), -1)
        return torch.logsumexp(logits_KBC, -1) - rest_KB
    if criterion == "probability":
        return ((-task_loss(logits_KBC, labels_B)).exp() - (target or 0.0)).clamp(min=0)
    raise ValueError(f"complement criterion is {criterion!r}, expected prior, unlikelihood or probability")


def sufficiency_loss(
    logits_full_BC: Tensor,
    logits_keep_KBC: Tensor,
    labels_B: Tensor,
    *,
    criterion: SuffCriterion = "margin",
    margin: float = 0.1,
    ce_full_B: Tensor | None = None,
) -> Tensor:
    """How much worse the prediction gets when only the rationale is kept, float [K, B]; lower = more sufficient.

    `diff` is CE(keep) - CE(full); `margin` is max(-m, diff) + m, at least 0; `mae` and `mse` compare the two
    cross-entropies; `kl` is KL(full || keep) summed over classes with the full side detached; `kl_mean_reversed` is
    KL(keep || full) averaged over classes, which the paper's code minimizes. Source: UNIREX (Chan et al. 2022).

    Args:
        logits_full_BC: on the full input.
        logits_keep_KBC: on the rationale alone, per fraction.
        labels_B: gold classes.
        criterion: see above.
        margin: m, in nats.
        ce_full_B: the cross-entropy on the full input, perhaps detached; None = computed here.
    """
    if criterion in ("kl", "kl_mean_reversed"):
        log_full_BC = torch.log_softmax(logits_full_BC.float(), dim=-1)
        log_keep_KBC = torch.log_softmax(logits_keep_KBC.float(), dim=-1)
        if criterion == "kl":
            return _kl(log_full_BC.detach(), log_keep_KBC)
        return (log_keep_KBC.exp() * (log_keep_KBC - log_full_BC)).mean(-1)
    full_B = task_loss(logits_full_BC, labels_B) if ce_full_B is None else ce_full_B
    diff_KB = task_loss(logits_keep_KBC, labels_B) - full_B
    if criterion == "diff":
        return diff_KB
    if criterion == "margin":
        return diff_KB.clamp(min=-margin) + margin
    if criterion == "mae":
        return diff_KB.abs()
    if criterion == "mse":
        return diff_KB.square()
    raise ValueError(f"sufficiency criterion is {criterion!r}, expected margin, diff, mae, mse, kl or kl_mean_reversed")


def jensen_shannon(logits_a_BC: Tensor, logits_b_BC: Tensor, criterion: Divergence = "jensen_shannon") -> Tensor:
    """Divergence of two predictions in nats, float [..., B], 0 where they are equal; both carry gradient.

    `jensen_shannon` is the mean of KL(a || m) and KL(b || m), m the middle of both: at most ln 2.
    `jensen_shannon_reversed` is that of KL(m || a) and KL(m || b), which has no bound and is what the public code of
    UNIREX takes. Source: the gap between the two predictors of A2R (Yu et al. 2021).

    >>> round(jensen_shannon(torch.tensor([[50.0, 0.0]]), torch.tensor([[0.0, 50.0]])).item(), 4)
    0.6931
    """
    log_a_BC, log_b_BC = (torch.log_softmax(logits.float(), dim=-1) for logits in (logits_a_BC, logits_b_BC))
    middle_BC = torch.logaddexp(log_a_BC, log_b_BC) - math.log(2)
    if criterion == "jensen_shannon_reversed":
        return (_kl(middle_BC, log_a_BC) + _kl(middle_BC, log_b_BC)) / 2
    return (_kl(log_a_BC, middle_BC) + _kl(log_b_BC, middle_BC)) / 2


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) from log-probabilities, over the last axis."""
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def unevenness(values_BL: Tensor, selectable_BL: Tensor) -> Tensor:
    """Mean absolute change between neighbouring selectable tokens, float [B]; 0 in a row without any.

    Of marks it is the share of neighbours of which one is marked, in [0, 1]; lower = longer runs. Source: the
    coherence of rationales (Lei et al. 2016).

    >>> unevenness(torch.tensor([[1.0, 1.0, 0.0, 0.0, 1.0]]), torch.tensor([[True, True, True, True, False]])).item()
    0.3333333432674408
    """
    both_BL = selectable_BL[:, :-1] & selectable_BL[:, 1:]
    change_BL = (values_BL[:, 1:] - values_BL[:, :-1]).abs()
    return torch.where(both_BL, change_BL, 0.0).sum(1) / both_BL.sum(1).clamp(min=1)


def plausibility_loss(
    scores_BL: Tensor,
    gold_BL: Tensor,
    counts_BL: Tensor,
    *,
    criterion: PlausCriterion = "bce",
    pos_weight: float = 1.0,
    margin: float = 1.0,
) -> Tensor:
    """Disagreement of scores with the human rationale, float [B, L], 0 where `counts_BL` is false.

    Per token, with s the score and g the gold value in [0, 1]: `bce` is the cross-entropy of sigmoid(s) with weight
    `pos_weight` on the marked side; `mse` and `mae` compare sigmoid(s) with g; `margin` is the hinge
    max(0, m - (2g - 1) s). `kl` compares distributions over the row, KL(g / sum g || softmax s); each token has its
    summand, so that a row's sum is the divergence; a row without any marked token gives 0.
    Source: UNIREX (Chan et al. 2022). `ranking` is the mean of log(1 + exp(s_j - s_i)) over the pairs of a marked token
    i and an unmarked token j of a row (RankNet, Burges et al. 2005), at the marked tokens; a row with one kind only
    gives 0.

    Args:
        scores_BL: the extractor's scores (logits).
        gold_BL: float, 1 = marked.
        counts_BL: bool, the selectable tokens of instances with gold.
        criterion: see above.
        pos_weight: weight of marked tokens, #negative / #positive of the global batch.
        margin: m of the hinge.
    """
    scores_BL = scores_BL.float()
    if criterion == "bce":
        weight = torch.as_tensor(pos_weight, dtype=scores_BL.dtype, device=scores_BL.device)
        loss_BL = F.binary_cross_entropy_with_logits(scores_BL, gold_BL, reduction="none", pos_weight=weight)
    elif criterion == "mse":
        loss_BL = (scores_BL.sigmoid() - gold_BL).square()
    elif criterion == "mae":
        loss_BL = (scores_BL.sigmoid() - gold_BL).abs()
    elif criterion == "margin":
        loss_BL = (margin - (2 * gold_BL - 1) * scores_BL).clamp(min=0)
    elif criterion == "kl":
        log_share_BL = torch.log_softmax(scores_BL.masked_fill(~counts_BL, -1e30), dim=-1)
        gold_share_BL = gold_BL * counts_BL
        gold_share_BL = gold_share_BL / gold_share_BL.sum(-1, keepdim=True).clamp(min=1e-12)
        loss_BL = torch.xlogy(gold_share_BL, gold_share_BL) - gold_share_BL * log_share_BL
    elif criterion == "ranking":
        loss_BL = _ranking(scores_BL, (gold_BL > 0.5) & counts_BL, (gold_BL <= 0.5) & counts_BL)
    else:
        raise ValueError(f"plausibility criterion is {criterion!r}, expected bce, kl, mse, mae, margin or ranking")
    return loss_BL.masked_fill(~counts_BL, 0.0)


def _ranking(scores_BL: Tensor, marked_BL: Tensor, unmarked_BL: Tensor) -> Tensor:
    scores_BL = scores_BL.where(marked_BL | unmarked_BL, torch.zeros_like(scores_BL))
    pairs_BLL = F.softplus(scores_BL[:, None, :] - scores_BL[:, :, None]) * unmarked_BL[:, None, :]
    n_pairs_B1 = marked_BL.sum(1, keepdim=True) * unmarked_BL.sum(1, keepdim=True)
    return pairs_BLL.sum(-1) * marked_BL / n_pairs_B1.clamp(min=1)

"""Selections that carry gradient: forward an exact top-k, backward one of several estimators.

The paper's selection is hard and detached, so comprehensiveness and sufficiency never train the extractor. The
estimators here mark exactly `count` units in the forward pass and, but for `hard`, send a gradient to all scores.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unirex.rationale.adaptive_step import AdaptiveStep
from unirex.rationale.settings import ESTIMATORS, Relaxation

_FAR = -1e30  # minus infinity that can be subtracted from itself
_SHORTEST = 1e-6  # step of I-MLE, a divisor
_LARGE = 1e9  # soft selections cut scores here; the hard selection does not


def relax(
    scores_BU: Tensor, valid_BU: Tensor, count_KB: Tensor, relaxation: Relaxation, step: AdaptiveStep | None = None
) -> Tensor:
    """Rationales as floats, 0 or 1, [K, B, U], with a gradient to the scores; `count_KB` of each row are 1.

    - `hard`: the top units; no gradient.
    - `logistic`, `laplace`: the top units; the gradient of p_u = F((s_u - t) / temperature), F the logistic (Laplace)
      distribution function and t such that p sums to the count: a straight-through soft top-k (LapSum,
      Struski et al. 2025).
    - `gumbel`: the top units of scores plus Gumbel noise, which is drawing without replacement (Kool et al. 2019); the
      gradient of `logistic` at the noisy scores.
    - `perturbed`: the top units; the gradient of the mean selection under Gaussian noise (Berthet et al. 2020), the
      noiseless selection as control variate.
    - `imle`: the top units; the gradient is the difference of the selections before and after a step of length
      `imle_step` against the incoming gradient, under the same Gumbel noise (I-MLE, Niepert et al. 2021).
    - `aimle`: the same under one step for all rows that adapts to how many marks it moves (Minervini et al. 2023), in
      shares of the length of a row's centred scores: `step`.
    - `subset`: the top units; the gradient of the marginals of the distribution of k-subsets, P(S) ~ exp(sum of
      s_u / temperature) (SIMPLE, Ahmed et al. 2023), exact by dynamic programming.
    - `capped_simplex`: the top units; the gradient of the Euclidean projection of s / temperature on the vectors with
      entries in [0, 1] that sum to the count (sparse top-k, Sander et al. 2023): only units between 0 and 1 have one.

    Ties go to the earlier unit. There is no gradient in a row whose count is 0 or all its units, nor, in a soft
    selection, to a score beyond +-1e9 (infinities included).

    Args:
        scores_BU: float.
        valid_BU: bool, the units that exist.
        count_KB: int64, at most the number of valid units of the row.
        relaxation: estimator and settings.
        step: of `aimle`, counts the marks that it moves; None = the step that training starts with.

    >>> scores = torch.tensor([[2.0, 1.0, 0.0]], requires_grad=True)
    >>> marks = relax(scores, torch.ones(1, 3).bool(), torch.tensor([[1]]), Relaxation(estimator="logistic"))
    >>> marks.tolist(), bool(torch.autograd.grad(marks[0, 0, 1], scores)[0][0, 1] > 0)
    ([[[1.0, 0.0, 0.0]]], True)
    """
    marks_KBU: Tensor = ESTIMATORS.find(relaxation.estimator)(scores_BU, valid_BU, count_KB, relaxation, step)
    return marks_KBU


def hard(scores_BU: Tensor, valid_BU: Tensor, count_KB: Tensor, *_: object) -> Tensor:
    """The top units, without gradient (estimator `hard` of `relax`)."""
    return top(scores_BU, valid_BU, count_KB)


def sampled(
    scores_BU: Tensor, valid_BU: Tensor, count_KB: Tensor, relaxation: Relaxation, step: AdaptiveStep | None
) -> Tensor:
    """The top units, and a gradient from draws (`perturbed`, `imle` and `aimle` of `relax`)."""
    if relaxation.estimator == "aimle" and step is None:
        step = AdaptiveStep(relaxation.aimle_target, relaxation.aimle_rate)
    function: Callable[..., Tensor] = (_Perturbed if relaxation.estimator == "perturbed" else _Imle).apply
    return function(scores_BU.double(), valid_BU, count_KB, relaxation, step).float()


def straight_through(
    scores_BU: Tensor, valid_BU: Tensor, count_KB: Tensor, relaxation: Relaxation, step: AdaptiveStep | None
) -> Tensor:
    """The top units, and the gradient of a soft selection (the other estimators of `relax`)."""
    scores_BU = scores_BU.double()
    if relaxation.estimator == "gumbel":
        scores_BU = scores_BU + relaxation.noise * gumbel(scores_BU)
    scaled_BU = scores_BU.clamp(-_LARGE, _LARGE) / relaxation.temperature
    if relaxation.estimator == "subset":
        soft_KBU = subset_marginals(scaled_BU, valid_BU, count_KB)
    else:
        soft: Callable[..., Tensor] = _SoftTopK.apply
        soft_KBU = soft(scaled_BU, valid_BU, count_KB, _SHAPES.get(relaxation.estimator, "logistic"))
    hard_KBU = top(scores_BU, valid_BU, count_KB)
    return hard_KBU + (soft_KBU - soft_KBU.detach()).float()


def top(scores_BU: Tensor, valid_BU: Tensor, count_KB: Tensor) -> Tensor:
    """The `count_KB` highest valid units of each row as float32 [K, B, U], 0 or 1; ties go to the earlier."""
    # Stable in two passes, so that an invalid unit never precedes a valid one, whatever its score.
    order_BU = scores_BU.detach().argsort(dim=1, descending=True, stable=True)
    order_BU = order_BU.gather(1, (~valid_BU).gather(1, order_BU).long().argsort(dim=1, stable=True))
    places_U = torch.arange(order_BU.shape[1], device=order_BU.device)
    rank_BU = torch.empty_like(order_BU).scatter_(1, order_BU, places_U.expand_as(order_BU))
    return (rank_BU < count_KB[:, :, None]).float()


def gumbel(like: Tensor) -> Tensor:
    """Independent draws from the standard Gumbel distribution, of the shape and type of `like`."""
    return -torch.empty_like(like).exponential_().clamp(min=1e-30).log()


def _free(valid_BU: Tensor, count_KB: Tensor) -> Tensor:
    """Which rows have a choice to make, bool [K, B]: neither none nor all of their units are taken."""
    return (count_KB > 0) & (count_KB < valid_BU.sum(1))


class _SoftTopK(torch.autograd.Function):
    """F(x_u - t) over the valid units, t such that a row sums to its count; implicit derivative.

    With F uniform on [0, 1] it is the projection on {0 <= p <= 1, sum p = count}: its optimality conditions say
    p = clip(x - t, 0, 1).
    """

    @staticmethod
    def forward(ctx: Any, x_BU: Tensor, valid_BU: Tensor, count_KB: Tensor, kind: str) -> Tensor:
        low = x_BU.masked_fill(~valid_BU, torch.inf).amin(1).expand(count_KB.shape) - 50.0
        high = x_BU.masked_fill(~valid_BU, -torch.inf).amax(1).expand(count_KB.shape) + 50.0
        free_KB = _free(valid_BU, count_KB)
        for _ in range(60):
            middle = (low + high) / 2
            over = (_cdf(x_BU - middle[:, :, None], kind) * valid_BU).sum(-1) > count_KB
            low, high = torch.where(over, middle, low), torch.where(over, high, middle)
        distance = x_BU - ((low + high) / 2).where(free_KB, torch.zeros_like(low))[:, :, None]
        soft_KBU = _cdf(distance, kind) * valid_BU
        density_KBU = _density(distance, kind) * valid_BU * free_KB[:, :, None]
        ctx.save_for_backward(density_KBU)
        return soft_KBU

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (density_KBU,) = ctx.saved_tensors
        mean = (density_KBU * grads[0]).sum(-1, keepdim=True) / density_KBU.sum(-1, keepdim=True).clamp(min=1e-30)
        return (density_KBU * (grads[0] - mean)).sum(0), None, None, None


_SHAPES = {"laplace": "laplace", "capped_simplex": "uniform"}
"""The distribution F of an estimator, if it is not logistic."""


def _cdf(x: Tensor, kind: str) -> Tensor:
    if kind == "logistic":
        return torch.sigmoid(x)
    if kind == "uniform":
        return x.clamp(0, 1)
    half = 0.5 * torch.exp(-x.abs())
    return torch.where(x < 0, half, 1 - half)


def _density(x: Tensor, kind: str) -> Tensor:
    if kind == "logistic":
        p = torch.sigmoid(x)
        return p * (1 - p)
    if kind == "uniform":
        return ((x > 0) & (x < 1)).to(x)
    return 0.5 * torch.exp(-x.abs())


def subset_marginals(x_BU: Tensor, valid_BU: Tensor, count_KB: Tensor) -> Tensor:
    """The probability of each unit to be in a subset of the given size drawn with P(S) ~ exp(sum of x), [K, B, U].

    Differentiable twice over. A row whose count is 0 or all its units has constant marginals.

    >>> both = subset_marginals(torch.zeros(1, 4, dtype=torch.float64), torch.ones(1, 4).bool(), torch.tensor([[2]]))
    >>> both.flatten().tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    with torch.enable_grad():
        x_BU = x_BU if x_BU.requires_grad else x_BU.detach().requires_grad_()
        most = int(count_KB.max())
        # log Z of the units so far, for every size up to the largest.
        sizes = x_BU.new_full((len(x_BU), most + 1), _FAR)
        sizes[:, 0] = 0.0
        for unit in range(x_BU.shape[1]):
            taken = torch.cat([sizes[:, :1] + _FAR, sizes[:, :-1] + x_BU[:, unit, None]], 1)
            sizes = torch.where(valid_BU[:, unit, None], _log_sum(sizes, taken), sizes)
        marginals = []
        for count_B, free_B in zip(count_KB, _free(valid_BU, count_KB), strict=True):
            log_z = sizes.gather(1, count_B[:, None])[:, 0]
            log_z = log_z.where(free_B, torch.zeros_like(log_z)).sum()
            marginals.append(torch.autograd.grad(log_z, x_BU, create_graph=True)[0])
        return torch.stack(marginals)


def _log_sum(a: Tensor, b: Tensor) -> Tensor:
    """log(e^a + e^b) whose second derivative is finite where one of them is far below the other."""
    highest = torch.maximum(a, b).detach()
    return highest + (torch.exp(a - highest) + torch.exp(b - highest)).log()


class _Perturbed(torch.autograd.Function):
    """The top units; backward the Jacobian of their mean under Gaussian noise, by samples."""

    @staticmethod
    def forward(
        ctx: Any, scores_BU: Tensor, valid_BU: Tensor, count_KB: Tensor, relaxation: Relaxation, _: None
    ) -> Tensor:
        hard_KBU = top(scores_BU, valid_BU, count_KB)
        ctx.save_for_backward(scores_BU, valid_BU, count_KB, hard_KBU)
        ctx.relaxation = relaxation
        return hard_KBU

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scores_BU, valid_BU, count_KB, hard_KBU = ctx.saved_tensors
        relaxation: Relaxation = ctx.relaxation
        scale, n, rows = relaxation.noise, relaxation.samples, len(scores_BU)
        noise_SBU = torch.randn(n, *scores_BU.shape, dtype=scores_BU.dtype, device=scores_BU.device)
        noisy = (scores_BU + scale * noise_SBU).flatten(0, 1)
        drawn = top(noisy, valid_BU.repeat(n, 1), count_KB.repeat(1, n)).unflatten(1, (n, rows))
        value_SB = ((drawn - hard_KBU[:, None]) * grads[0][:, None]).sum(-1).sum(0)
        gradient_BU = (value_SB[:, :, None] * noise_SBU).mean(0) / scale
        return gradient_BU * valid_BU, None, None, None, None


class _Imle(torch.autograd.Function):
    """The top units; backward (selection now - selection after a step against the gradient) / step.

    The step is a length in the space of scores, so that the gradient keeps its own length: one for all rows, or with
    an `AdaptiveStep` a share of each row's scores. A row of equal scores has none then, and no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        scores_BU: Tensor,
        valid_BU: Tensor,
        count_KB: Tensor,
        relaxation: Relaxation,
        step: AdaptiveStep | None,
    ) -> Tensor:
        ctx.save_for_backward(scores_BU, valid_BU, count_KB)
        ctx.relaxation, ctx.step = relaxation, step
        return top(scores_BU, valid_BU, count_KB)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scores_BU, valid_BU, count_KB = ctx.saved_tensors
        relaxation: Relaxation = ctx.relaxation
        grad_KBU = grads[0].double() * valid_BU
        length_KB1 = torch.linalg.vector_norm(grad_KBU, dim=-1, keepdim=True)
        direction_KBU = grad_KBU / length_KB1.clamp(min=1e-30)
        step_B1 = torch.full_like(scores_BU[:, :1], relaxation.imle_step)
        if ctx.step is not None:
            spread_B1 = _spread(scores_BU, valid_BU)
            step_B1 = ctx.step.size.double() * spread_B1
            length_KB1 = length_KB1 * (spread_B1 >= _SHORTEST)
        step_B1 = step_B1.clamp(min=_SHORTEST)
        # Rows without a choice or without a gradient do not count for the step.
        asked_KB = _free(valid_BU, count_KB) & (length_KB1[..., 0] > 0)
        total = torch.zeros_like(scores_BU)
        for _ in range(relaxation.samples):
            noisy_BU = scores_BU + relaxation.noise * gumbel(scores_BU)
            now_KBU = top(noisy_BU, valid_BU, count_KB)
            after_KBU = torch.stack(
                [
                    top(noisy_BU - step_B1 * direction_BU, valid_BU, count_B[None])[0]
                    for count_B, direction_BU in zip(count_KB, direction_KBU, strict=True)
                ]
            )
            total += ((now_KBU - after_KBU) * length_KB1 / step_B1).sum(0)
            if ctx.step is not None:
                ctx.step.count((now_KBU != after_KBU).sum(-1)[asked_KB])
        return total / relaxation.samples, None, None, None, None


def _spread(scores_BU: Tensor, valid_BU: Tensor) -> Tensor:
    """The length of each row's scores about their mean, which no shift of them changes, [B, 1]; infinities cut."""
    scores_BU = scores_BU.clamp(-_LARGE, _LARGE) * valid_BU
    mean_B1 = scores_BU.sum(1, keepdim=True) / valid_BU.sum(1, keepdim=True).clamp(min=1)
    spread_B1: Tensor = torch.linalg.vector_norm((scores_BU - mean_B1) * valid_BU, dim=1, keepdim=True)
    return spread_B1

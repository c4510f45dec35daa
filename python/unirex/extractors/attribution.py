"""Attribution: scores of tokens from the gradient of the task model itself."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Attribution = Literal["grad", "input_x_grad", "ig"]


def attribute(
    logit: Callable[[Tensor], Tensor],
    embeddings_BLD: Tensor,
    baseline_BLD: Tensor,
    how: Attribution = "input_x_grad",
    steps: int = 50,
) -> Tensor:
    """Scores float [B, L]: how much each token speaks for what `logit` measures; higher = more.

    `grad` is the length of the gradient by the token's embedding (Simonyan et al. 2014), at least 0. `input_x_grad` is
    the product of embedding and gradient (Shrikumar et al. 2016). `ig` is integrated gradients (Sundararajan et al.
    2017) by the midpoint rule: (embedding - baseline) times the mean gradient on the way from the baseline; a row's
    scores sum to logit(embeddings) - logit(baseline) as the steps grow.

    Args:
        logit: embeddings [B, L, D] to one number per row, float [B].
        embeddings_BLD: of the input.
        baseline_BLD: of an input that says nothing; for `ig`.
        how: see above.
        steps: points on the way, for `ig`.

    >>> weight = torch.tensor([[[2.0], [0.5]]])
    >>> attribute(lambda e: (e * weight).sum((1, 2)), torch.ones(1, 2, 1), torch.zeros(1, 2, 1), "ig", 3).tolist()
    [[2.0, 0.5]]
    """
    embeddings_BLD, baseline_BLD = embeddings_BLD.detach(), baseline_BLD.detach()
    if how == "ig":
        total_BLD = torch.zeros_like(embeddings_BLD)
        for step in range(steps):
            share = (step + 0.5) / steps
            total_BLD += _gradient(logit, baseline_BLD + share * (embeddings_BLD - baseline_BLD))
        return ((embeddings_BLD - baseline_BLD) * total_BLD / steps).sum(-1)
    gradient_BLD = _gradient(logit, embeddings_BLD)
    if how == "grad":
        return gradient_BLD.norm(dim=-1)
    return (embeddings_BLD * gradient_BLD).sum(-1)


def _gradient(logit: Callable[[Tensor], Tensor], point_BLD: Tensor) -> Tensor:
    with torch.enable_grad():
        point_BLD = point_BLD.requires_grad_()
        return torch.autograd.grad(logit(point_BLD).sum(), point_BLD)[0]

"""Attribution from gradients by the input embeddings: one vector per token, to be pooled into a score.

All of it is plain autograd. Where a second derivative is wanted (`create_graph`), the backbone must run under
`second_order`, since the fused attention kernels have no derivative of their backward pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from unirex.data.collate import text_seeds
from unirex.encoder.backbone import embedding_width
from unirex.extractors.settings import Rule
from unirex.extractors.target import Target


@contextmanager
def second_order() -> Iterator[None]:
    """Attention by plain matrix products inside, which can be differentiated twice."""
    with sdpa_kernel([SDPBackend.MATH]):
        yield


def gradient(target: Target, points_PLD: Tensor, index_P: Tensor, *, first: int | None = None) -> Tensor:
    """The gradient of the explained logit at embedded rows, float [P, L, D], without a graph.

    With `first` only the logits of that many rows count: the others are baselines of the same pass.
    """
    with torch.enable_grad():
        points_PLD = points_PLD.detach().requires_grad_()
        found_PLD: Tensor = torch.autograd.grad(target.logit(points_PLD, index_P)[:first].sum(), points_PLD)[0]
        return found_PLD


def quadrature(rule: Rule, steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places in (0, 1) and weights that sum to 1, `steps` each.

    `midpoint` is the middle Riemann sum; `gauss_legendre` is exact for polynomials of degree 2 * steps - 1 and is
    what the paper's code used (3 steps).

    >>> [values.round(4).tolist() for values in quadrature("midpoint", 2)]
    [[0.25, 0.75], [0.5, 0.5]]
    >>> [values.round(4).tolist() for values in quadrature("gauss_legendre", 2)]
    [[0.2113, 0.7887], [0.5, 0.5]]
    """
    if rule == "midpoint":
        return (np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)
    places, weights = np.polynomial.legendre.leggauss(steps)
    return (places + 1) / 2, weights / 2


@torch.no_grad()
def integrated_gradients(target: Target, steps: int, rule: Rule) -> Tensor:
    """(input - baseline) times the mean gradient on the straight way between them, float [B, L, D].

    A row's entries sum to logit(input) - logit(baseline) as the steps grow (Sundararajan et al. 2017, completeness).
    """
    input_BLD, baseline_BLD = target.embeddings_BLD, target.baseline_BLD
    places, weights = (torch.from_numpy(values).to(input_BLD) for values in quadrature(rule, steps))
    delta_BLD = input_BLD - baseline_BLD
    total_BLD = torch.zeros_like(delta_BLD)
    for step_P, row_P in target.chunks(steps):
        points_PLD = baseline_BLD[row_P] + places[step_P, None, None] * delta_BLD[row_P]
        total_BLD.index_add_(0, row_P, gradient(target, points_PLD, row_P) * weights[step_P, None, None])
    return delta_BLD * total_BLD


@torch.no_grad()
def completeness_gap(target: Target, vectors_BLD: Tensor) -> Tensor:
    """|sum of a row's attributions - (logit(input) - logit(baseline))| as a share of that difference, float [B].

    0 = nothing is lost in the quadrature. Infinite where input and baseline have the same logit but attributions do
    not sum to 0. Source: the completeness axiom of Sundararajan et al. 2017.
    """
    every_B = torch.arange(len(vectors_BLD), device=vectors_BLD.device)
    parts = [
        target.logit(target.embeddings_BLD[row_P], row_P) - target.logit(target.baseline_BLD[row_P], row_P)
        for row_P in every_B.split(max(1, target.max_tokens // vectors_BLD.shape[1]))
    ]
    change_B = torch.cat(parts)
    return missed_share(vectors_BLD.double().sum((1, 2)), change_B)


def missed_share(total_B: Tensor, change_B: Tensor) -> Tensor:
    """How far sums are from the changes they should be, as a share of these, float64; 0 where they agree."""
    off_B = (total_B.double() - change_B.double()).abs()
    return torch.where(off_B == 0, 0.0, off_B / change_B.double().abs())


def draw_shap(target: Target, samples: int, stdev: float, seed: int) -> tuple[Tensor, Tensor | None]:
    """What `gradient_shap` draws: places float [S, B] in [0, 1), and noise float [S, B, L, D] where stdev > 0.

    A row's draws depend on `seed` and its visible tokens, not on its place or the batch around it.
    """
    n, width = target.rows.input_ids_BL.shape
    depth = embedding_width(target.backbone)
    lengths = target.rows.visible_BL.sum(1).tolist()
    places_SB = torch.zeros(samples, n)
    noise_SBLD = torch.zeros(samples, n, width, depth) if stdev > 0 else None
    for row, (own, length) in enumerate(zip(text_seeds(target.rows), lengths, strict=True)):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + own)
        places_SB[:, row] = torch.rand(samples, generator=generator)
        if noise_SBLD is not None:
            noise_SBLD[:, row, :length] = torch.randn(samples, length, depth, generator=generator) * stdev
    device = target.class_B.device
    return places_SB.to(device), None if noise_SBLD is None else noise_SBLD.to(device)


@torch.no_grad()
def gradient_shap(target: Target, places_SB: Tensor, noise_SBLD: Tensor | None = None) -> Tensor:
    """Mean over samples of (noisy input - baseline) times the gradient at a random place between, float [B, L, D].

    Expected gradients (Erion et al. 2021; Lundberg & Lee 2017), with the row's own baseline as the only reference.

    Args:
        target: what is explained.
        places_SB: where on the way from the baseline (0) to the input (1) each sample of each row lies.
        noise_SBLD: added to the input, or None.
    """
    input_BLD, baseline_BLD = target.embeddings_BLD, target.baseline_BLD
    total_BLD = torch.zeros_like(input_BLD)
    for sample_P, row_P in target.chunks(len(places_SB)):
        noisy_PLD = input_BLD[row_P]
        if noise_SBLD is not None:
            noisy_PLD = noisy_PLD + noise_SBLD[sample_P, row_P].to(noisy_PLD)
        delta_PLD = noisy_PLD - baseline_BLD[row_P]
        place_P11 = places_SB.to(delta_PLD)[sample_P, row_P][:, None, None]
        points_PLD = baseline_BLD[row_P] + place_P11 * delta_PLD
        total_BLD.index_add_(0, row_P, delta_PLD * gradient(target, points_PLD, row_P))
    return total_BLD / len(places_SB)

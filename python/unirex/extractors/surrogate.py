"""Scores as the weights of a linear model of the logit on which units are in view: KernelSHAP and LIME."""

from itertools import product
from math import comb
from typing import Literal

import torch
from torch import Tensor

from unirex.data.collate import text_seeds
from unirex.extractors.occlusion import first_of_units, units
from unirex.extractors.settings import AttributionConfig
from unirex.extractors.target import Target
from unirex.rationale.perturb import perturb

_WIDTH = 0.25
"""Of LIME's kernel, in cosine distance: its default for text."""
_RIDGE = 1.0


@torch.no_grad()
def surrogate(
    target: Target, words_BL: Tensor, kind: Literal["kernel_shap", "lime"], config: AttributionConfig
) -> Tensor:
    """Scores float32 [B, L], 0 at tokens that are not selectable; the tokens of a word share its score.

    `kernel_shap` (Lundberg & Lee 2017): the Shapley values of the units, exactly where all subsets are no more than
    `surrogate_samples`, else estimated from as many (an even number), in pairs of a subset and what it leaves out; they
    always sum to logit(full) - logit(no unit). `lime` (Ribeiro et al. 2016): ridge regression on inputs with a random
    number of units hidden, near inputs first. What is drawn for a row does not depend on its batch.

    Args:
        target: what is explained.
        words_BL: int64, the word of each token, -1 = not selectable.
        kind: see above.
        config: `surrogate_samples`, `surrogate_seed`; `occlusion_unit` and `occlusion_how` say what is hidden, and how.
    """
    unit_BL = units(words_BL, config.occlusion_unit)
    number_BL = (first_of_units(unit_BL).cumsum(1) - 1).masked_fill(unit_BL < 0, -1)
    scores_BL = torch.zeros(words_BL.shape, device=words_BL.device)
    for row, (own, n) in enumerate(zip(text_seeds(target.rows), (number_BL.amax(1) + 1).tolist(), strict=True)):
        if not n:
            continue
        generator = torch.Generator().manual_seed(config.surrogate_seed * 1_000_003 + own)
        draw, solve = (_coalitions, _shapley) if kind == "kernel_shap" else (_neighbours, _ridge)
        seen_SU, weight_S = draw(n, config.surrogate_samples, generator)
        values_U = solve(seen_SU, weight_S, _logits(target, row, number_BL[row], seen_SU, config))
        scores_BL[row] = torch.where(number_BL[row] >= 0, values_U.to(scores_BL)[number_BL[row].clamp(min=0)], 0.0)
    return scores_BL


def _logits(target: Target, row: int, number_L: Tensor, seen_SU: Tensor, config: AttributionConfig) -> Tensor:
    """The explained logit with only some units in view, float64 [S] on the CPU."""
    hidden_SL = (number_L >= 0) & ~seen_SU.to(number_L.device)[:, number_L.clamp(min=0)]
    row_S = torch.full((len(hidden_SL),), row, device=number_L.device)
    parts = torch.arange(len(hidden_SL), device=number_L.device).split(max(1, target.max_tokens // len(number_L)))
    found = [
        target.logit_of_rows(
            perturb(target.rows.take(row_S[part]), hidden_SL[part], config.occlusion_how, target.fill), row_S[part]
        )
        for part in parts
    ]
    return torch.cat(found).double().cpu()


def _coalitions(n: int, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Subsets bool [S, n], the empty and the full one first, and their weights in the regression, float64 [S]."""
    ends_SU = torch.tensor([[False], [True]]).expand(2, n)
    if n < 31 and 2**n - 2 <= samples:
        seen_SU = torch.tensor(list(product((False, True), repeat=n)))[1:-1]
        weights = [(n - 1) / (comb(n, size) * size * (n - size)) for size in seen_SU.sum(1).tolist()]
    else:
        sizes = torch.arange(1, n, dtype=torch.float64)
        drawn_S = torch.multinomial(1 / (sizes * (n - sizes)), max(1, samples // 2), True, generator=generator) + 1
        half_SU = _random_subsets(n, drawn_S, generator)
        seen_SU = torch.cat([half_SU, ~half_SU])
        weights = [1.0] * len(seen_SU)
    return torch.cat([ends_SU, seen_SU]), torch.tensor([0.0, 0.0, *weights], dtype=torch.float64)


def _neighbours(n: int, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """LIME's inputs bool [S, n], the full one first, and their weights by cosine distance to it, float64 [S]."""
    hidden_S = torch.randint(1, n + 1, (samples,), generator=generator)
    seen_SU = torch.cat([torch.ones(1, n, dtype=torch.bool), ~_random_subsets(n, hidden_S, generator)])
    distance_S = 1 - (seen_SU.sum(1).double() / n).sqrt()
    return seen_SU, torch.exp(-(distance_S**2) / (2 * _WIDTH**2))


def _random_subsets(n: int, size_S: Tensor, generator: torch.Generator) -> Tensor:
    """Random subsets of these sizes, bool [S, n]."""
    rank_SU = torch.rand(len(size_S), n, generator=generator).argsort(1).argsort(1)
    return rank_SU < size_S[:, None]


def _shapley(seen_SU: Tensor, weight_S: Tensor, logits_S: Tensor) -> Tensor:
    """Weighted least squares whose weights sum to what all units add: each has an equal share, and what it differs by.

    Where subsets are too few, what they differ by is the shortest of all solutions.
    """
    seen_SU, added = seen_SU.double(), logits_S[1] - logits_S[0]
    share_S1, root_S1 = seen_SU.mean(1, keepdim=True), weight_S.sqrt()[:, None]
    left_S1 = logits_S[:, None] - logits_S[0] - share_S1 * added
    differ_U1 = torch.linalg.lstsq(root_S1 * (seen_SU - share_S1), root_S1 * left_S1, driver="gelsd").solution
    values_U: Tensor = differ_U1[:, 0] + added / seen_SU.shape[1]
    return values_U


def _ridge(seen_SU: Tensor, weight_S: Tensor, logits_S: Tensor) -> Tensor:
    """Weighted ridge regression with a free constant."""
    seen_SU, share_S = seen_SU.double(), weight_S / weight_S.sum()
    centred_SU, centred_S = seen_SU - share_S @ seen_SU, logits_S - share_S @ logits_S
    weighted_US = (centred_SU * weight_S[:, None]).T
    square_UU = weighted_US @ centred_SU + _RIDGE * torch.eye(seen_SU.shape[1], dtype=torch.float64)
    values_U: Tensor = torch.linalg.solve(square_UU, weighted_US @ centred_S)
    return values_U

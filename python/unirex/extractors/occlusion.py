"""Occlusion: the logit's fall when one unit is hidden (Zeiler & Fergus 2014; leave-one-out, Li et al. 2016)."""

from typing import Literal

import torch
from torch import Tensor

from unirex.extractors.target import Target
from unirex.rationale.perturb import perturb
from unirex.schema import Perturbation


@torch.no_grad()
def occlusion(target: Target, words_BL: Tensor, unit: Literal["token", "word"], perturbation: Perturbation) -> Tensor:
    """Scores float32 [B, L]: logit(full) - logit(without the unit), 0 at tokens that are not selectable.

    Costs one pass per unit. The passes are cut into micro-batches, so that the expanded rows never stand together.

    Args:
        target: what is explained.
        words_BL: int64, the word of each token, -1 = not selectable.
        unit: what is hidden at once; the tokens of a word share its score.
        perturbation: how it is hidden, as in `unirex.rationale.perturb`.
    """
    width, unit_BL = words_BL.shape[1], units(words_BL, unit)
    row_U, token_U = first_of_units(unit_BL).nonzero(as_tuple=True)
    every_B = torch.arange(len(words_BL), device=words_BL.device)
    full_B = target.logit_of_rows(target.rows, every_B)
    fall_BL = torch.zeros(words_BL.shape, device=words_BL.device)
    if not len(row_U):
        return fall_BL
    for part in torch.arange(len(row_U), device=row_U.device).split(max(1, target.max_tokens // width)):
        row_P, token_P = row_U[part], token_U[part]
        hidden_PL = unit_BL[row_P] == unit_BL[row_P, token_P][:, None]
        without_P = target.logit_of_rows(perturb(target.rows.take(row_P), hidden_PL, perturbation, target.fill), row_P)
        fall_PL = hidden_PL * (full_B[row_P] - without_P)[:, None]
        fall_BL.index_add_(0, row_P, fall_PL)
    return fall_BL


def units(words_BL: Tensor, unit: Literal["token", "word"]) -> Tensor:
    """The unit that each token belongs to, int64 [B, L], -1 = not selectable; they rise along a row."""
    if unit == "word":
        return words_BL
    return torch.where(words_BL >= 0, torch.arange(words_BL.shape[1], device=words_BL.device), -1)


def first_of_units(unit_BL: Tensor) -> Tensor:
    """Whether a token is the first of its unit, bool [B, L]."""
    before_BL = torch.nn.functional.pad(unit_BL, (1, 0), value=-1)[:, :-1].cummax(1).values
    return (unit_BL >= 0) & (unit_BL > before_BL)

"""Attribution from gradients by the attention gates: what an answer gains as each token comes into view."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from unirex.data.collate import Rows
from unirex.extractors.gradients import missed_share, quadrature
from unirex.extractors.settings import Rule
from unirex.extractors.target import Target

_LEAST = 1e-9
"""What a smaller opening is raised to: at 0 a gate's gradient is no derivative."""
_ONE_STEP = 0.125
"""Where the rule of `integrated_gates` with one step has its point."""


def gate_gradient(value: Callable[[Rows], Tensor], rows: Rows, selectable_BL: Tensor, opening_B: Tensor) -> Tensor:
    """The derivative of a value by each selectable token's gate, float [B, L], without a graph; 0 at other tokens.

    The gates of a row's selectable tokens stand equally open meanwhile, all others fully.

    Args:
        value: of rows with gates, one number a row (or an instance); see `unirex.encoder.gates`.
        rows: the full input.
        selectable_BL: bool.
        opening_B: float in [0, 1], how far open.
    """
    with torch.enable_grad():
        gates_BL = torch.where(selectable_BL, opening_B.clamp(min=_LEAST)[:, None], 1.0).requires_grad_()
        explained = value(replace(rows, gates_BL=gates_BL)).sum()
        with torch.autocast(gates_BL.device.type, enabled=False):  # is for the way there alone
            gradient_BL = torch.autograd.grad(explained, gates_BL)[0]
    return gradient_BL * selectable_BL


def gate_gradients(target: Target) -> Tensor:
    """The gradient of the explained logit by each token's gate, float32 [B, L], where all are equally open.

    The point of `integrated_gates` with one step; it needs no token besides the selectable ones.
    """
    scores_BL = torch.zeros(target.selectable_BL.shape, device=target.selectable_BL.device)
    # What the way back needs is kept: rows in quarters, which takes a tenth of the memory and no more time.
    for _, row_P in target.chunks(1, tokens_each=4 * scores_BL.shape[1]):
        scores_BL[row_P] = _gradient_of_rows(target, row_P, torch.full(row_P.shape, _ONE_STEP, device=scores_BL.device))
    return scores_BL


def _gradient_of_rows(target: Target, row_P: Tensor, opening_P: Tensor) -> Tensor:
    def explained(rows: Rows) -> Tensor:
        return target.logit_of_rows(rows, row_P)

    return gate_gradient(explained, target.rows.take(row_P), target.selectable_BL[row_P], opening_P).float()


@torch.no_grad()
def integrated_gates(target: Target, steps: int, rule: Rule) -> tuple[Tensor, Tensor]:
    """The mean gradient by each token's gate on the way from no selectable token in view to all, float32 [B, L].

    Integrated gradients (Sundararajan et al. 2017) whose path hides tokens the way `how: attention` does, where that of
    the embeddings leads through inputs that are no text. A row's scores sum to logit(input) - logit(nothing selectable)
    as the steps grow, both read where the input is read (pooling `last`: from its last token, hidden or not). Most
    happens while the gates have hardly opened, so the rule's steps are those of its third root. Beside them the share
    of that difference that they miss, float64 [B]; see `completeness_gap`.

    Raises:
        ValueError: the backbone's attention cannot be gated; or a row has no token besides the selectable ones
            (nothing is then left to look at, and equal gates cancel out in attention).
    """
    shape, device = target.selectable_BL.shape, target.selectable_BL.device
    bare_B = target.selectable_BL.any(1) & ~(target.rows.visible_BL & ~target.selectable_BL).any(1)
    if bare_B.any():
        raise ValueError("attribution gate_ig: the tokenizer adds no special tokens, expected one that does")
    scores_BL = torch.zeros(shape, device=device)
    root_S, width_S = (torch.from_numpy(values).float().to(device) for values in quadrature(rule, steps))
    opening_S, weight_S = root_S**3, 3 * root_S**2 * width_S
    for step_P, row_P in target.chunks(steps):
        found_PL = _gradient_of_rows(target, row_P, opening_S[step_P])
        scores_BL.index_add_(0, row_P, found_PL * weight_S[step_P, None])
    every_B = torch.arange(shape[0], device=device)
    nothing = replace(target.rows, gates_BL=torch.where(target.selectable_BL, _LEAST, 1.0))
    change_B = target.logit_of_rows(target.rows, every_B) - target.logit_of_rows(nothing, every_B)
    return scores_BL, missed_share(scores_BL.double().sum(1), change_B)

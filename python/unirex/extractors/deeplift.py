"""DeepLIFT: attribution from differences to a baseline instead of slopes (Shrikumar et al. 2017), Rescale rule."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import ACT2CLS

from unirex.encoder.families import is_own_activation, rows_axis
from unirex.extractors.gradients import gradient
from unirex.extractors.target import Target

_NEAR = 1e-10
"""Inputs closer than this have no quotient of differences; the slope stands in."""

_TORCH = (
    nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Softplus, nn.Hardswish, nn.Mish, nn.ReLU6,
    nn.CELU, nn.SELU, nn.Softsign, nn.LogSigmoid,
)  # fmt: skip
ELEMENTWISE: tuple[type[nn.Module], ...] = (
    *_TORCH,
    *cast("set[type[nn.Module]]", {entry[0] if isinstance(entry, tuple) else entry for entry in ACT2CLS.values()}),
)
"""Modules with one input and one output per number, which get the Rescale rule."""


@torch.no_grad()
def deeplift(target: Target) -> Tensor:
    """(input - baseline) times the multiplier of each number, float [B, L, D].

    In every activation module (GELU, tanh, SiLU, ReLU, …: `ELEMENTWISE`) the multiplier is the quotient of the
    differences of output and input between the row and its baseline. Everything else passes its gradient at the row:
    exact for linear maps; for attention's softmax and products, gated units' products and layer norms, which are calls
    and not activation modules, it is the usual approximation (that of captum's DeepLift). So a row's scores sum to the
    change of the logit only as far as those parts are linear.
    """
    input_BLD, baseline_BLD = target.embeddings_BLD, target.baseline_BLD
    total_BLD = torch.zeros_like(input_BLD)
    for _, row_P in target.chunks(1, tokens_each=2 * input_BLD.shape[1]):
        points = torch.cat([input_BLD[row_P], baseline_BLD[row_P]])
        with _rescaled(target.backbone):
            multiplier = gradient(target, points, torch.cat([row_P, row_P]), first=len(row_P))
        delta_PLD = input_BLD[row_P] - baseline_BLD[row_P]
        total_BLD[row_P] = delta_PLD * multiplier[: len(row_P)]
    return total_BLD


@contextmanager
def _rescaled(backbone: PreTrainedModel) -> Iterator[None]:
    """Gives every activation module inside the Rescale rule, for batches of rows with their baselines behind them."""
    rule = partial(_rescale, axis=rows_axis(backbone.config))
    modules = [m for m in backbone.modules() if isinstance(m, ELEMENTWISE) or is_own_activation(m)]
    hooks = [module.register_forward_hook(rule) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _rescale(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, *, axis: int) -> Any:
    """The output with the same values, and as gradient the quotient of the differences of the rows' two halves."""
    value = inputs[0]
    # A pooler's activation has no axis of tokens.
    axis = min(axis, value.ndim - 2)
    delta_in, delta_out = (torch.sub(*part.detach().chunk(2, axis)) for part in (value, output))
    near = delta_in.abs() < _NEAR
    slope = torch.where(near, 0.0, delta_out / torch.where(near, 1.0, delta_in))
    slope, near = torch.cat([slope, slope], axis), torch.cat([near, near], axis)
    # Two terms that are zero in value: the quotient's gradient, and the activation's own where there is no quotient.
    zero_by_quotient = slope * (value - value.detach())
    zero_by_slope = torch.where(near, output - output.detach(), 0.0)
    return output.detach() + zero_by_quotient + zero_by_slope

"""Linear layers of a gated pass, whose backward pass leaves out hidden tokens.

Nothing reads the output of a hidden token: its attention weights are 0, and a row's vector is taken from visible
tokens. So its gradient is 0 everywhere, and the largest part of the backward pass would multiply zeros.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

_running: ContextVar["VisibleLinear | None"] = ContextVar("running", default=None)


def running_linear() -> "VisibleLinear | None":
    """The one that is entered: layers that are recomputed in the backward pass need it again."""
    return _running.get()


class VisibleLinear(TorchFunctionMode):
    """Inside, `F.linear` of a batch of rows has the same output, and a gradient from the visible tokens alone.

    Whoever reads the output of a hidden token inside a `with` of this loses the gradient of it. The first token of a
    row, which may be what a row's vector is made of, counts as visible.
    """

    def __init__(self, gate_BL: Tensor) -> None:
        super().__init__()
        shown_BL = gate_BL.detach() > 0
        shown_BL[:, :1] = True
        self.shape = gate_BL.shape
        self.places_T = shown_BL.flatten().nonzero()[:, 0]

    def __enter__(self) -> Self:
        self.token = _running.set(self)
        entered: Self = super().__enter__()
        return entered

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        _running.reset(self.token)

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """What the function returns; of linear layers on all tokens, with the shorter backward pass."""
        settings: Mapping[str, Any] = kwargs or {}
        if func is F.linear and args[0].dim() == 3 and args[0].shape[:2] == self.shape:
            states, weight, bias = (*args, settings.get("bias"))[:3]
            device = states.device.type
            if torch.is_autocast_enabled(device):
                dtype = torch.get_autocast_dtype(device)
                states, weight, bias = (None if x is None else x.to(dtype) for x in (states, weight, bias))
            return _Linear.apply(states, weight, bias, self.places_T)
        return func(*args, **settings)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, places_T: Tensor) -> Tensor:
        # A wide input is kept by this layer alone, so that only what is visible of it need be; others share theirs.
        ctx.kept = states.shape[-1] > weight.shape[0]
        ctx.save_for_backward(states.flatten(0, 1)[places_T] if ctx.kept else states, weight, places_T)
        ctx.shape = states.shape
        return F.linear(states, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, places_T = ctx.saved_tensors
        grad_TD = grads[0].flatten(0, 1)[places_T]
        by_states = by_weight = by_bias = None
        if ctx.needs_input_grad[0]:
            by_states = states.new_zeros(ctx.shape)
            by_states.view(-1, ctx.shape[-1])[places_T] = grad_TD @ weight
        if ctx.needs_input_grad[1]:
            by_weight = grad_TD.T @ (states if ctx.kept else states.flatten(0, 1)[places_T])
        if ctx.needs_input_grad[2]:
            by_bias = grad_TD.sum(0)
        return by_states, by_weight, by_bias, None

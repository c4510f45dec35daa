"""Gates for attention that cannot be exchanged: the softmaxes of its weights are replaced while a backbone runs.

Families without an exchangeable attention (DeBERTa, MPNet, BigBird, T5, XLNet and more) may add positions of their own
to the scores, but all of them take a softmax of [B, heads, L, L] over the tokens attended to. There a gate acts.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from unirex.encoder.families import recomputes_gates
from unirex.encoder.gates import Gate, take_gates
from unirex.encoder.visible_linear import VisibleLinear, running_linear

_SOFTMAXES = frozenset({torch.softmax, F.softmax, Tensor.softmax})
_running: ContextVar[Gate | None] = ContextVar("running", default=None)
"""The gate of the pass that is running."""
_MASKED = -5000.0
"""Scores below are those of tokens that a family masks: by -10000, the least number of the type, or infinity."""


class _GatedSoftmax(torch.autograd.Function):
    """g * exp(score), normalized over the last dimension, with the gradients of `unirex.encoder.gates`."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, gate: Tensor) -> Tensor:
        wide = torch.promote_types(scores.dtype, torch.float32)
        gated = scores.to(wide).masked_fill(scores < _MASKED, -torch.inf) + gate.to(wide).log()
        total = torch.logsumexp(gated, -1, keepdim=True)
        total = total.masked_fill(total == -torch.inf, 0.0)  # a row that sees nothing gives zeros
        ctx.save_for_backward(scores, gate, total)
        return torch.exp(gated - total)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        scores, gate, total = ctx.saved_tensors
        apart = scores.to(total.dtype).masked_fill(scores < _MASKED, -torch.inf) - total
        wide = gate.to(total.dtype)
        weight = torch.exp(apart + wide.log())
        centred = grads[0] - (weight * grads[0]).sum(-1, keepdim=True)
        per_gate = torch.where(wide > 0, weight / wide.clamp(min=1e-30), torch.sigmoid(apart))
        return (weight * centred).to(scores.dtype), (per_gate * centred).sum_to_size(gate.shape).to(gate.dtype)


class _Gating(TorchFunctionMode):
    """While it is entered, softmaxes over the tokens of every row are gated, and counted in the gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate

    def __enter__(self) -> Self:
        self.token = _running.set(self.gate)
        entered: Self = super().__enter__()
        return entered

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        _running.reset(self.token)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _SOFTMAXES:
            gate = self._broadcast(*args, **kwargs)
            if gate is not None:
                return self._softmax(gate, *args, **kwargs)
        return func(*args, **kwargs)

    def _broadcast(self, input: Tensor, dim: int | None = None, *_: Any, **__: Any) -> Tensor | None:  # noqa: A002
        """The gates as they multiply a softmax's weights; None where it is not one of attention in these rows."""
        rows, width = self.gate.values_BL.shape
        if dim not in (-1, input.dim() - 1) or input.shape[-2:] != (width, width):
            return None
        if input.dim() == 4 and input.shape[0] == rows:
            return self.gate.values_BL[:, None, None]
        return None

    def _softmax(
        self,
        gate: Tensor,
        input: Tensor,  # noqa: A002
        dim: int,
        _stacklevel: int = 3,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        self.gate.layers += 1
        if dtype is None:
            dtype = torch.float32 if torch.is_autocast_enabled(input.device.type) else input.dtype
        apply: Callable[..., Tensor] = _GatedSoftmax.apply
        return apply(input, gate).to(dtype)


def recomputing() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """What `torch.utils.checkpoint` runs a layer under at first, and when it is recomputed: what its pass ran under."""
    return nullcontext(), _again(_running.get(), running_linear())


@contextmanager
def _again(gate: Gate | None, linear: VisibleLinear | None) -> Iterator[None]:
    with linear or nullcontext(), nullcontext() if gate is None else _Gating(gate):
        yield


def run_gated(backbone: PreTrainedModel, gates_BL: Tensor, inputs: dict[str, Any]) -> Any:
    """The output of a backbone every attention layer of which is gated; `inputs` are what it is called with otherwise.

    Raises:
        ValueError: its attention cannot be gated.
    """
    take_gates(backbone)
    kind = backbone.config.model_type
    recomputes = any(getattr(module, "gradient_checkpointing", False) for module in backbone.modules())
    if backbone.training and recomputes and not recomputes_gates(kind):
        raise ValueError(f"train.gradient_checkpointing is true, expected false for model type {kind} with gates")
    gate = Gate(gates_BL)
    if backbone.config._attn_implementation == "eager":
        with _Gating(gate):
            output = backbone(**inputs)
    else:
        output = backbone(**inputs, gate=gate)
    gate.check_used(backbone)
    return output

"""Attention with a gate on every token: hiding is exact, and a hidden token still tells how it would matter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from unirex.encoder.dropout import kept_values
from unirex.encoder.families import gates_by_softmax
from unirex.encoder.fused_gates import Visible, fused_gated_attention, visible

NAME = "unirex_gated"
"""The attention implementation under which the transformers library knows `attention` below."""


class Gate:
    """The gates of a batch of rows, on their way through a backbone.

    Attributes:
        values_BL: float32 in [0, 1]: 1 = visible, 0 = hidden.
        layers: how many attention layers have used them; 0 after a pass means that the backbone ignores gates.
    """

    def __init__(self, values_BL: Tensor) -> None:
        self.values_BL = values_BL
        self.layers = 0
        self._known: list[tuple[Tensor | None, Tensor | None, Sequence[Visible]]] = []

    def seen_through(self, mask: Tensor | None) -> "Seen":
        """The gates and what a mask forbids besides; what that shows is worked out once for each mask of a pass.

        The product with a mask is not kept: a recomputed layer must save as many tensors as it did at first.
        """
        found = next((known for known in self._known if known[0] is mask), None)
        if found is None:
            shown_BL = _shown(mask)
            gate_BL = self.values_BL.detach()
            open_BL = gate_BL if shown_BL is None else gate_BL * shown_BL
            found = (mask, shown_BL, visible(open_BL) if mask is None or shown_BL is not None else ())
            self._known.append(found)
        _, shown_BL, tokens = found
        if shown_BL is None:
            return Seen(gate_BL=self.values_BL, mask=mask, visible=tokens)
        return Seen(gate_BL=self.values_BL * shown_BL, mask=None, visible=tokens)

    def check_used(self, backbone: PreTrainedModel) -> None:
        """Raises ValueError where no attention layer has used the gates."""
        if self.layers == 0:
            raise ValueError(f"{_refusal(backbone)} (no layer of it weighs tokens by a softmax over a whole row)")


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What a query sees.

    Attributes:
        gate_BL: float, at least 0.
        mask: bool, broadcasting to [B, H, L, L]; None = nothing is hidden but by the gates.
        visible: which tokens the gates show; empty where the fused kernels do not serve.
    """

    gate_BL: Tensor
    mask: Tensor | None
    visible: Sequence[Visible]


def _shown(mask: Tensor | None) -> Tensor | None:
    """The tokens, bool [B, L], that a mask shows; None where it does not treat all queries alike, as padding does."""
    if mask is None or mask.dtype != torch.bool or mask.dim() != 4 or mask.shape[1] != 1:
        return None
    first = mask[:, :, :1]
    return first[:, 0, 0] if mask.shape[2] == 1 or bool((mask == first).all()) else None


class _GatedAttention(torch.autograd.Function):
    """softmax over g * exp(score), with the exact derivative by q, k, v and g.

    With w_ij = g_j e_ij / Z_i, Z_i = sum_l g_l e_il, the derivative of output o_i by g_j is (e_ij / Z_i) (v_j - o_i).
    At g_j = 0 that weight has no bound. There the derivative is replaced by what o_i changes by when the gate opens,
    e_ij / (Z_i + e_ij) (v_j - o_i): at most 1 in weight.
    """

    @staticmethod
    def forward(  # noqa: PLR0913 (torch's way of calling)
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        gate_BL: Tensor,
        mask: Tensor | None,
        scale: float,
        dropout: float,
    ) -> Tensor:
        scores = (query @ key.transpose(-1, -2)).float() * scale
        if mask is not None:
            scores.masked_fill_(~mask, -torch.inf)
        gated = scores + gate_BL.float().log()[:, None, None]
        total = torch.logsumexp(gated, -1, keepdim=True)
        total = total.masked_fill(total == -torch.inf, 0.0)  # a row that sees nothing gives zeros
        weight = torch.exp(gated - total)
        kept = None
        if dropout > 0:
            kept = kept_values(weight, dropout)
            weight = weight * kept / (1 - dropout)
        ctx.save_for_backward(query, key, value, gate_BL, mask, total, kept)
        ctx.scale, ctx.dropout = scale, dropout
        return weight.to(value.dtype) @ value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, gate_BL, mask, total, kept = ctx.saved_tensors
        grad = grads[0]
        scores = (query @ key.transpose(-1, -2)).float() * ctx.scale
        if mask is not None:
            scores.masked_fill_(~mask, -torch.inf)
        scores -= total
        gate = gate_BL.float()[:, None, None]
        weight = torch.exp(scores + gate.log())
        by_weight = (grad @ value.transpose(-1, -2)).float()
        dropped = weight
        if kept is not None:
            by_weight = by_weight * kept / (1 - ctx.dropout)
            dropped = weight * kept / (1 - ctx.dropout)
        centred = by_weight - (weight * by_weight).sum(-1, keepdim=True)
        by_score = (weight * centred).to(query.dtype) * ctx.scale
        per_gate = torch.where(gate > 0, weight / gate.clamp(min=1e-30), torch.sigmoid(scores))
        by_gate_BL = (per_gate * centred).sum((1, 2)).to(gate_BL.dtype) if ctx.needs_input_grad[3] else None
        return (
            by_score @ key,
            by_score.transpose(-1, -2) @ query,
            dropped.to(value.dtype).transpose(-1, -2) @ grad,
            by_gate_BL,
            None,
            None,
            None,
        )


def gated_attention(query: Tensor, key: Tensor, value: Tensor, seen: Seen, scale: float, dropout: float) -> Tensor:
    """Attention whose weights are multiplied by the gate of the token attended to, then normalised; [B, H, L, D].

    A gate of 0 hides a token exactly: the output is that of attention without it. Its gate still gets a gradient: the
    change of the output if the token came into view by itself. Elsewhere the gradient is the derivative.

    Args:
        query: [B, H, L, D].
        key: [B, H, L, D].
        value: [B, H, L, D].
        seen: the gates and the mask.
        scale: of the scores.
        dropout: probability with which a weight is dropped.

    Under autocast all three are taken to its type, and without it to that of the query: some backbones (llama) bring
    values of another type than their queries.

    >>> query = key = torch.zeros(1, 1, 2, 1)
    >>> value = torch.tensor([[[[1.0], [3.0]]]])
    >>> seen = Gate(torch.tensor([[1.0, 0.0]])).seen_through(None)
    >>> gated_attention(query, key, value, seen, 1.0, 0.0).flatten().tolist()
    [1.0, 1.0]
    """
    device = query.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else query.dtype
    states = query.to(dtype), key.to(dtype), value.to(dtype)
    width = query.shape[-1]
    narrow = device == "cpu" or width % 8 == 0  # CUDA loads eight at once
    if seen.visible and dropout == 0 and dtype != torch.float64 and narrow and trusted(device, dtype, width):
        return fused_gated_attention(*states, seen.gate_BL, seen.visible, scale)
    apply: Callable[..., Tensor] = _GatedAttention.apply
    return apply(*states, seen.gate_BL, seen.mask, scale, dropout)


@cache
def trusted(device: str, dtype: torch.dtype, width: int) -> bool:
    """Whether the fused kernels for heads of this type and width give what plain operations give, gradients included.

    Those of the CPU are tested; those of CUDA cannot be where no GPU is at hand, so each process tries them once.
    """
    if device == "cpu":
        return True
    # Whatever it stands in: inference, a layer that is recomputed and counts what is saved, half precision.
    own_hooks = torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x)
    with torch.inference_mode(False), torch.enable_grad(), own_hooks, torch.autocast(device, enabled=False):
        generator = torch.Generator().manual_seed(0)
        query, key, value = (
            torch.randn(2, 2, 200, width, generator=generator).to(device, dtype).requires_grad_() for _ in range(3)
        )
        hidden_BL = torch.stack([torch.arange(200) % 3 == 0, torch.arange(200) % 5 > 0])  # few, and most
        gate_BL = torch.rand(2, 200, generator=generator).masked_fill(hidden_BL, 0.0).to(device).requires_grad_()
        found = []
        try:
            for output in (
                fused_gated_attention(query, key, value, gate_BL, visible(gate_BL), width**-0.5),
                _GatedAttention.apply(query, key, value, gate_BL, None, width**-0.5, 0.0),
            ):
                loss = (output.float() * output.detach().float().cos()).sum()
                found.append([output.detach(), *torch.autograd.grad(loss, (query, key, value, gate_BL))])
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # a kernel that this GPU does not have
            return False
    # Products of a GPU in float32 may be rounded to 10 bits.
    most = 1e-2 if dtype == torch.float32 else 5e-2
    return all(bool((x - y).norm() <= most * y.norm()) for x, y in zip(*found, strict=True))


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, Tensor | None]:
    """Attention as the transformers library calls it: `sdpa`, or gated where a `Gate` comes along as `gate`."""
    gate: Gate | None = settings.pop("gate", None)
    if gate is None:
        plain: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
        return plain
    gate.layers += 1
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    causal = settings.get("is_causal")
    if attention_mask is None and (getattr(module, "is_causal", False) if causal is None else causal):
        attention_mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
    scale = settings.get("scaling") or query.shape[-1] ** -0.5
    output = gated_attention(query, key, value, gate.seen_through(attention_mask), scale, settings.get("dropout", 0.0))
    return output.transpose(1, 2).contiguous(), None


_FORBIDDEN: dict[str, str] = {}


def forbid_gates(backbone: PreTrainedModel, reason: str) -> None:
    """Makes `take_gates` refuse this model type in this process."""
    _FORBIDDEN[backbone.config.model_type] = reason


def exchanges_attention(backbone: PreTrainedModel) -> bool:
    """Whether the attention of a backbone is, or can be, exchanged for a gated one."""
    return backbone.config._attn_implementation in ("sdpa", NAME) and not gates_by_softmax(backbone.config)


def take_gates(backbone: PreTrainedModel) -> None:
    """Makes a backbone use `attention` from here on; without a gate it computes what it did before.

    Eager attention stays: `unirex.encoder.softmax_gates` gates its softmaxes.

    Raises:
        ValueError: its attention is of another kind, or gates are forbidden.
    """
    if reason := _FORBIDDEN.get(backbone.config.model_type):
        raise ValueError(f"{_refusal(backbone)} ({reason})")
    kind = backbone.config._attn_implementation
    if kind in (NAME, "eager"):
        return
    if kind != "sdpa":
        raise ValueError(f"{_refusal(backbone)} (its attention is {kind}, expected sdpa or eager)")
    wanted = "eager" if gates_by_softmax(backbone.config) else NAME
    backbone.set_attn_implementation(wanted)
    if backbone.config._attn_implementation != wanted:
        raise ValueError(f"{_refusal(backbone)} (it cannot be exchanged)")


def _refusal(backbone: PreTrainedModel) -> str:
    return (
        f"model type {backbone.config.model_type}: attention cannot be gated, as attribution gate_ig, a "
        "method.gradient_weight above 0, every method.estimator but hard, and the methods rtp, mcd and n2r need"
    )


ALL_ATTENTION_FUNCTIONS.register(NAME, attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)

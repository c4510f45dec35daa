"""Gated attention at the price of attention to what is visible, by torch's fused kernels for a CPU and for CUDA.

Forward, a gate is a bias log g of the scores, and hidden tokens are left out as keys. Backward, the derivative by an
open gate g_j is (sum_i w_ij (dO_i . v_j) - sum_i w_ij d_i) / g_j, where d_i = dO_i . o_i. The first sum is v_j . dV_j,
and the second comes from the same kernel, as one more channel of dV whose gradient is d and whose value is 0. Only for
hidden tokens the weights are computed, in blocks of queries.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_BLOCK = 512
"""Queries whose weights to hidden tokens are held at once."""
_EXTRA = 8
"""Channels added to a head in the backward pass, a multiple of the vectors that kernels work with."""
_BIASES, _SUMS = 16, 32
"""On CUDA, biases of a query begin at multiples of so many, and the logarithms of sums fill up a multiple."""


@dataclass(frozen=True, kw_only=True)
class Kernels:
    """A device's fused attention without dropout.

    Attributes:
        forward: of query [B, H, L, D], key and value [B, H, N, D], bias [B, 1, 1, N] and scale, the output [B, H, L, D]
            and the logarithms of the sums [B, H, L].
        backward: of the output's gradient, these three, bias, output, logarithms and scale, the gradients of the three.
    """

    forward: Callable[..., tuple[Tensor, Tensor]]
    backward: Callable[..., tuple[Tensor, Tensor, Tensor]]


def _on_cpu() -> Kernels:
    run, run_back = (
        getattr(torch.ops.aten, f"_scaled_dot_product_flash_attention_for_cpu{name}") for name in ("", "_backward")
    )

    def forward(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        output, total = run(query, key, value, 0.0, False, attn_mask=bias, scale=scale)
        return output, total

    def backward(  # noqa: PLR0913 (what the kernel takes)
        grad: Tensor, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, output: Tensor, total: Tensor,
        scale: float,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        found = run_back(grad, query, key, value, output, total, 0.0, False, attn_mask=bias, scale=scale)
        return found[0], found[1], found[2]

    return Kernels(forward=forward, backward=backward)


def _on_cuda() -> Kernels:
    run, run_back = (
        getattr(torch.ops.aten, f"_scaled_dot_product_efficient_attention{name}") for name in ("", "_backward")
    )

    def aligned(bias: Tensor, query: Tensor) -> Tensor:
        n_keys = bias.shape[-1]
        padded = F.pad(bias, (0, -n_keys % _BIASES))[..., :n_keys]
        return padded.expand(-1, query.shape[1], query.shape[2], -1)

    def forward(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        output, total, *_ = run(query, key, value, aligned(bias, query), True, 0.0, False, scale=scale)
        return output, total[..., : query.shape[2]]

    def backward(  # noqa: PLR0913 (what the kernel takes)
        grad: Tensor, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, output: Tensor, total: Tensor,
        scale: float,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        total = F.pad(total, (0, -total.shape[-1] % _SUMS), value=torch.inf)
        seed = torch.zeros((), dtype=torch.int64, device=grad.device)  # of dropout, of which there is none
        found = run_back(
            grad, query, key, value, aligned(bias, query), output, total, seed, seed, 0.0, [True, True, True, False],
            False, scale=scale,
        )  # fmt: skip
        return found[0], found[1], found[2]

    return Kernels(forward=forward, backward=backward)


def _kernels() -> dict[str, Kernels]:
    """By type of device; those that this version of torch lacks are left out."""
    found = {}
    for device, make in (("cpu", _on_cpu), ("cuda", _on_cuda)):
        with suppress(AttributeError):
            found[device] = make()
    return found


KERNELS = _kernels()


@dataclass(frozen=True, kw_only=True, eq=False)
class Visible:
    """Which tokens are visible in the rows of a batch that have about as many of them.

    Attributes:
        rows_B: int64, places of the rows in the batch.
        first_BL: int64, the places of each row, those of visible tokens first.
        hidden_BL: bool.
        most: visible tokens of the row that has most.
        most_hidden: hidden tokens of the row that has most.
    """

    rows_B: Tensor
    first_BL: Tensor
    hidden_BL: Tensor
    most: int
    most_hidden: int

    @property
    def seen_BN(self) -> Tensor:
        """Places of the visible tokens, filled up with hidden ones; all in order where a row has nothing else."""
        if self.most == self.first_BL.shape[1]:
            return torch.arange(self.most, device=self.first_BL.device).expand_as(self.first_BL)
        return self.first_BL[:, : self.most]

    @property
    def unseen_BN(self) -> Tensor:
        """Places of the hidden tokens, filled up with visible ones."""
        return self.first_BL[:, self.first_BL.shape[1] - self.most_hidden :]


def visible(gate_BL: Tensor) -> list[Visible]:
    """The rows of which more, and of which less than half is visible: of the rationale removed, and of it kept.

    Empty where the fused kernels do not serve: on another device, or with a row that sees nothing.
    """
    if gate_BL.device.type not in KERNELS:
        return []
    hidden_BL = gate_BL.detach() <= 0
    width, n_hidden_B = hidden_BL.shape[1], hidden_BL.sum(1)
    if not len(hidden_BL) or int(n_hidden_B.max()) == width:
        return []
    first_BL = torch.argsort(hidden_BL.byte(), dim=1, stable=True)
    parts = ((2 * n_hidden_B >= width) == side for side in (False, True))
    return [
        Visible(
            rows_B=rows_B,
            first_BL=first_BL[rows_B],
            hidden_BL=hidden_BL[rows_B],
            most=width - int(n_hidden_B[rows_B].min()),
            most_hidden=int(n_hidden_B[rows_B].max()),
        )
        for part_B in parts
        if len(rows_B := part_B.nonzero()[:, 0])
    ]


def fused_gated_attention(
    query: Tensor, key: Tensor, value: Tensor, gate_BL: Tensor, parts: Sequence[Visible], scale: float
) -> Tensor:
    """What `unirex.encoder.gates.gated_attention` gives without mask and dropout; [B, H, L, D].

    Args:
        query: [B, H, L, D].
        key: [B, H, L, D].
        value: [B, H, L, D].
        gate_BL: float, at least 0.
        parts: of the gates, from `visible`.
        scale: of the scores.
    """
    apply: Callable[..., Tensor] = _Fused.apply
    if len(parts) == 1:
        return apply(query, key, value, gate_BL, parts[0], scale)
    found = [apply(*(x[part.rows_B] for x in (query, key, value, gate_BL)), part, scale) for part in parts]
    return torch.cat(found)[torch.cat([part.rows_B for part in parts]).argsort()]


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0913 (torch's way of calling)
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, gate_BL: Tensor, seen: Visible, scale: float
    ) -> Tensor:
        places_BN = seen.seen_BN
        bias = gate_BL.gather(1, places_BN).log()[:, None, None].to(query.dtype)
        forward = KERNELS[query.device.type].forward
        output, total = forward(query, _at(key, places_BN), _at(value, places_BN), bias, scale)
        ctx.save_for_backward(query, key, value, gate_BL, output, total)
        ctx.seen, ctx.scale = seen, scale
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, gate_BL, output, total = ctx.saved_tensors
        seen: Visible = ctx.seen
        places_BN, width, dtype = seen.seen_BN, query.shape[-1], query.dtype
        # What nothing reads of hidden tokens has no gradient, so their queries can be left out.
        unread = seen.most < query.shape[2] and not _any(grads[0], seen.hidden_BL)
        rows_BN = places_BN if unread else None
        # The difference of two sums is taken below, which half precision would not bear.
        grad, query, output = (_at(x, rows_BN).float() for x in (grads[0], query, output))
        total = _at(total[..., None], rows_BN)[..., 0].contiguous()
        seen_key, seen_value = (_at(x, places_BN).float() for x in (key, value))
        gate_BN = gate_BL.gather(1, places_BN).float()
        drift = (grad * output).sum(-1, keepdim=True)
        wide = map(_wider, (query, seen_key, seen_value))
        by_query, by_key, by_value = KERNELS[query.device.type].backward(
            _wider(grad, drift), *wide, gate_BN.log()[:, None, None], _wider(output), total, ctx.scale
        )
        by_gate_BL = None
        if ctx.needs_input_grad[3]:
            opened_BN = ((seen_value * by_value[..., :width]).sum(-1) - by_value[..., width]).sum(1)
            opened_BN = torch.where(gate_BN > 0, opened_BN / gate_BN.clamp(min=1e-30), 0.0)
            by_gate_BL = torch.zeros_like(gate_BL, dtype=torch.float32).scatter_(1, places_BN, opened_BN)
            if seen.most_hidden:
                hidden_BN = seen.unseen_BN
                hidden_key, hidden_value = (_at(x, hidden_BN).float() for x in (key, value))
                closed_BN = _closed(query, grad, drift, total, hidden_key, hidden_value, ctx.scale)
                by_gate_BL.scatter_add_(1, hidden_BN, closed_BN * seen.hidden_BL.gather(1, hidden_BN))
            by_gate_BL = by_gate_BL.to(gate_BL.dtype)
        length = gate_BL.shape[1]
        return (
            _back(by_query[..., :width], rows_BN, length).to(dtype),
            _back(by_key[..., :width], places_BN, length).to(dtype),
            _back(by_value[..., :width], places_BN, length).to(dtype),
            by_gate_BL,
            None,
            None,
        )


def _closed(  # noqa: PLR0913 (one sum, over what stands in the backward pass)
    query: Tensor, grad: Tensor, drift: Tensor, total: Tensor, key: Tensor, value: Tensor, scale: float
) -> Tensor:
    """What the loss changes by when hidden tokens open, [B, N]: sum_i e_ij / (Z_i + e_ij) (dO_i . v_j - d_i)."""
    n_rows, n_heads, length, width = query.shape
    sums = query.new_zeros(n_rows * n_heads, key.shape[2], width + 1)
    flat_query, flat_key = query.flatten(0, 1), key.flatten(0, 1)
    flat_grad, flat_total = torch.cat([grad, drift], -1).flatten(0, 1), total.flatten(0, 1)[:, None]
    for start in range(0, length, _BLOCK):
        block = slice(start, start + _BLOCK)
        scores = torch.baddbmm(
            flat_total[..., block], flat_key, flat_query[:, block].transpose(1, 2), beta=-1, alpha=scale
        )
        sums.baddbmm_(scores.sigmoid_(), flat_grad[:, block])
    sums = sums.unflatten(0, (n_rows, n_heads))
    by_head: Tensor = (value * sums[..., :width]).sum(-1) - sums[..., width]
    return by_head.sum(1)


def _at(states: Tensor, places_BN: Tensor | None) -> Tensor:
    """The states [B, H, N, D] at some places of each row, or all."""
    if places_BN is None or places_BN.shape[1] == states.shape[2]:
        return states
    return states.gather(2, places_BN[:, None, :, None].expand(-1, states.shape[1], -1, states.shape[3]))


def _back(states: Tensor, places_BN: Tensor | None, length: int) -> Tensor:
    """The states at their places of rows of this length, [B, H, L, D]; zeros elsewhere."""
    if places_BN is None or places_BN.shape[1] == length:
        return states
    whole = states.new_zeros(*states.shape[:2], length, states.shape[3])
    return whole.scatter_(2, places_BN[:, None, :, None].expand(-1, states.shape[1], -1, states.shape[3]), states)


def _wider(states: Tensor, channel: Tensor | None = None) -> Tensor:
    """The states with more channels: the one given, and zeros."""
    wide = states.new_zeros(*states.shape[:-1], states.shape[-1] + _EXTRA)
    wide[..., : states.shape[-1]] = states
    if channel is not None:
        wide[..., states.shape[-1] :][..., :1] = channel
    return wide


def _any(states: Tensor, rows_BL: Tensor) -> bool:
    """Whether the states [B, H, L, D] of one of the tokens are not all zero."""
    return bool((states.abs().amax((1, 3)) * rows_BL).any())

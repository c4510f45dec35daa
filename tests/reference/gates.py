"""Gated attention called as torch's own is."""

from torch import Tensor

from unirex.encoder import gates


def gated_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    gate_BL: Tensor,
    mask: Tensor | None = None,
    scale: float = 1.0,
    dropout: float = 0.0,
) -> Tensor:
    """With a mask bool, broadcasting to [B, H, L, L]; false = never attended to, whatever the gate."""
    return gates.gated_attention(query, key, value, gates.Gate(gate_BL).seen_through(mask), scale, dropout)

"""Rows of unequal length as one sequence without padding, and the attention that keeps each row to itself.

Everything in an encoder but attention treats tokens one by one, so rows laid end to end cost what their visible tokens
cost, in one pass however many there are. Attention gets the layout through the `packing` argument that the transformers
library hands down to it, and does one of three things, all equal (tests/test_packing.py):

- blocks: rows of like length form a rectangle, padded to its longest row, with dense attention inside each: CPUs, and
  wherever the other two are missing;
- varlen: `torch.nn.attention.varlen`, CUDA in half precision without attention dropout (it has none);
- jagged: scaled dot-product attention on a nested tensor, which has dropout and float32: CUDA otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from unirex.data.collate import Rows
from unirex.encoder.dropout import drop
from unirex.encoder.gates import NAME, attention, take_gates

# Up to this width the CPU is faster with attention in separate steps than with the fused kernel, which counts on long
# rows (and in bfloat16 is five times slower on short ones).
_NARROW = 128


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Block:
    """Neighbouring rows of a packed sequence as a rectangle.

    Attributes:
        rows, width: its shape.
        visible: bool [rows, 1, 1, width], which places are tokens; None = all.
    """

    rows: int
    width: int
    visible: Tensor | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Packing:
    """Which tokens of a packed sequence form rows.

    Attributes:
        blocks: rectangles that follow one another; empty = ragged rows by `offsets`.
        offsets: int32, one more than there are ragged rows.
        longest, shortest: length of a ragged row.
    """

    blocks: tuple[Block, ...] = ()
    offsets: Tensor | None = None
    longest: int = 0
    shortest: int = 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Packed:
    """The visible tokens of B rows as one row.

    Attributes:
        rows: [1, T], their positions kept.
        packing: for attention.
        places_T: int64, where each of the T tokens stood in the flattened [B x L]; without the tokens at the end that
            round T up. Distinct.
        first_B, last_B: int64, the places in T of each row's first and last visible token.
        shape: B and L.
    """

    rows: Rows
    packing: Packing
    places_T: Tensor
    first_B: Tensor
    last_B: Tensor
    shape: tuple[int, int]

    def unpack(self, hidden_TD: Tensor) -> Tensor:
        """Float [B, L, D], 0 at places that are not visible (or anything, where a block had padding)."""
        n_rows, width = self.shape
        flat = hidden_TD.new_zeros(n_rows * width, hidden_TD.shape[1])
        return flat.index_copy(0, self.places_T, hidden_TD[: len(self.places_T)]).view(n_rows, width, -1)

    def mean(self, hidden_TD: Tensor) -> Tensor:
        """Float [B, D], the mean over each row's visible tokens."""
        n_rows, width = self.shape
        row_T = torch.div(self.places_T, width, rounding_mode="floor")
        weight_T1 = self.rows.visible_BL[0, : len(row_T), None].float()
        total_BD = torch.zeros(n_rows, hidden_TD.shape[1], device=hidden_TD.device)
        total_BD = total_BD.index_add(0, row_T, hidden_TD[: len(row_T)].float() * weight_T1)
        return (total_BD / (self.last_B - self.first_B + 1)[:, None]).to(hidden_TD.dtype)


def pack(
    rows: Rows, groups: list[NDArray[np.int64]] | None, lengths: NDArray[np.int64], *, round_to: int = 1
) -> Packed:
    """The rows as one sequence of their visible tokens.

    Args:
        rows: at least one; a row without a visible token keeps its first.
        groups: which rows form a block (see `unirex.encoder.backbone.plan_passes`); None = ragged, padded nowhere.
        lengths: visible tokens of each row.
        round_to: ragged rows are followed by meaningless tokens, so that their number is a multiple of this.
    """
    lengths = np.maximum(lengths, 1)
    # A stable sort brings the visible tokens to the front in their order.
    front_BL = torch.argsort(~rows.visible_BL, dim=1, stable=True)
    shape, device = (front_BL.shape[0], front_BL.shape[1]), front_BL.device
    if groups is None:
        places_T, first, packing, extra = _ragged(front_BL, lengths, round_to)
        visible_T = torch.ones(len(places_T), dtype=torch.bool, device=device)
    else:
        places_T, first, packing, visible_T = _rectangles(front_BL, lengths, groups)
        extra = 0
    position_BL = torch.arange(shape[1], device=device) if rows.positions_BL is None else rows.positions_BL

    def gather(values_BL: Tensor) -> Tensor:
        return F.pad(values_BL.expand(shape).reshape(-1)[places_T], (0, extra))[None]

    first_B = torch.from_numpy(first).to(device)
    return Packed(
        rows=Rows(
            input_ids_BL=gather(rows.input_ids_BL),
            visible_BL=F.pad(visible_T, (0, extra))[None],
            token_types_BL=gather(rows.token_types_BL),
            positions_BL=gather(position_BL),
        ),
        packing=packing,
        places_T=places_T,
        first_B=first_B,
        last_B=first_B + torch.from_numpy(lengths).to(device) - 1,
        shape=shape,
    )


def _ragged(
    front_BL: Tensor, lengths: NDArray[np.int64], round_to: int
) -> tuple[Tensor, NDArray[np.int64], Packing, int]:
    device = front_BL.device
    ends = np.cumsum(lengths)
    extra = int(-ends[-1] % round_to)
    offsets = np.concatenate(([0], ends, [ends[-1] + extra] if extra else []))
    lengths_B = torch.from_numpy(lengths).to(device)
    inside_BL = torch.arange(front_BL.shape[1], device=device) < lengths_B[:, None]
    starts_B1 = torch.arange(len(front_BL), device=device)[:, None] * front_BL.shape[1]
    sizes = np.diff(offsets)
    packing = Packing(
        offsets=torch.from_numpy(offsets.astype(np.int32)).to(device),
        longest=int(sizes.max()),
        shortest=int(sizes.min()),
    )
    return (front_BL + starts_B1)[inside_BL], ends - lengths, packing, extra


def _rectangles(
    front_BL: Tensor, lengths: NDArray[np.int64], groups: list[NDArray[np.int64]]
) -> tuple[Tensor, NDArray[np.int64], Packing, Tensor]:
    device = front_BL.device
    first, start = np.zeros(len(lengths), dtype=np.int64), 0
    places, visible, blocks = [], [], []
    for group in groups:
        width = int(lengths[group].max())
        index_P1 = torch.from_numpy(group).to(device)[:, None]
        places.append((front_BL[index_P1[:, 0], :width] + index_P1 * front_BL.shape[1]).view(-1))
        inside_PW = torch.arange(width, device=device) < torch.from_numpy(lengths[group]).to(device)[:, None]
        visible.append(inside_PW.view(-1))
        full = int(lengths[group].min()) == width
        blocks.append(Block(rows=len(group), width=width, visible=None if full else inside_PW[:, None, None]))
        first[group] = start + width * np.arange(len(group))
        start += width * len(group)
    return torch.cat(places), first, Packing(blocks=tuple(blocks)), torch.cat(visible)


def packed_attention(  # noqa: PLR0913 (the arguments that transformers passes)
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packing: Packing | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention output [1, T, H, d] of a packed sequence [1, H, T, d], each row attending to itself alone.

    The signature is that of the transformers library's attention functions; without `packing` it is that of
    `unirex.encoder.gates`.
    """
    if packing is None:
        return attention(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)
    q_THd, k_THd, v_THd = (x[0].transpose(0, 1) for x in (query, key, value))
    if packing.blocks:
        return _in_blocks(q_THd, k_THd, v_THd, packing.blocks, dropout, scaling)[None], None
    fused = _varlen() if query.is_cuda and dropout == 0 and query.dtype in (torch.float16, torch.bfloat16) else None
    if fused is not None and scaling in (None, query.shape[-1] ** -0.5):
        return fused(q_THd, k_THd, v_THd, packing)[None], None
    return _jagged(q_THd, k_THd, v_THd, packing, dropout, scaling)[None], None


def _in_blocks(
    q_THd: Tensor, k_THd: Tensor, v_THd: Tensor, blocks: tuple[Block, ...], dropout: float, scaling: float | None
) -> Tensor:
    sizes = [block.rows * block.width for block in blocks]
    outputs = []
    for block, *parts in zip(blocks, *(x_THd.split_with_sizes(sizes) for x_THd in (q_THd, k_THd, v_THd)), strict=True):
        q, k, v = (part.unflatten(0, (block.rows, block.width)).transpose(1, 2) for part in parts)
        if q.device.type == "cpu" and block.width <= _NARROW:
            found = _dense(q, k, v, block.visible, dropout, scaling)
        else:
            found = F.scaled_dot_product_attention(q, k, v, attn_mask=block.visible, dropout_p=dropout, scale=scaling)
        outputs.append(found.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)


def _dense(
    query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None, dropout: float, scaling: float | None
) -> Tensor:
    scores = torch.matmul(query * (scaling or query.shape[-1] ** -0.5), key.transpose(-1, -2))
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    weights = torch.softmax(scores, dim=-1)
    return torch.matmul(drop(weights, dropout), value)


@cache
def _varlen() -> Callable[[Tensor, Tensor, Tensor, Packing], Tensor] | None:
    """Torch's attention over ragged rows, where this version of torch has it."""
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None

    def run(q_THd: Tensor, k_THd: Tensor, v_THd: Tensor, packing: Packing) -> Tensor:
        # cuDNN would make a new plan for every new shape, and each step has one.
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            offsets, longest = packing.offsets, packing.longest
            assert offsets is not None
            found = varlen_attn(q_THd, k_THd, v_THd, offsets, offsets, longest, longest)
            assert isinstance(found, Tensor)
            return found

    return run


def _jagged(
    q_THd: Tensor, k_THd: Tensor, v_THd: Tensor, packing: Packing, dropout: float, scaling: float | None
) -> Tensor:
    assert packing.offsets is not None
    offsets = packing.offsets.long()

    def ragged(x_THd: Tensor) -> Tensor:
        nested: Tensor = torch.nested.nested_tensor_from_jagged(
            x_THd, offsets, min_seqlen=packing.shortest, max_seqlen=packing.longest
        )
        return nested.transpose(1, 2)

    found = F.scaled_dot_product_attention(
        ragged(q_THd), ragged(k_THd), ragged(v_THd), dropout_p=dropout, scale=scaling
    )
    return found.transpose(1, 2).values()


# One name for both, so that a backbone is never switched between two passes of one step.
ALL_ATTENTION_FUNCTIONS.register(NAME, packed_attention)


def run_packed(backbone: PreTrainedModel, packed: Packed, offset: int) -> tuple[Tensor, Tensor | None]:
    """The last hidden states float [T, D] of a packed sequence and, where the backbone has a pooler, its output [B, D].

    Args:
        backbone: one that `packs`.
        packed: the rows.
        offset: position id of a row's first token.
    """
    take_gates(backbone)
    rows = packed.rows
    assert rows.positions_BL is not None
    inputs = {"input_ids": rows.input_ids_BL, "position_ids": rows.positions_BL + offset}
    if getattr(backbone.config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = rows.token_types_BL
    hidden_TD = backbone(**inputs, packing=packed.packing).last_hidden_state[0]
    pooler = getattr(backbone, "pooler", None)
    if pooler is None:
        return hidden_TD, None
    # A pooler looks at the first token of each row. ALBERT's is a linear layer; its activation is another.
    first_BD = hidden_TD[packed.first_B]
    if isinstance(pooler, nn.Linear):
        return hidden_TD, backbone.get_submodule("pooler_activation")(pooler(first_BD))
    return hidden_TD, pooler(first_BD[:, None])


def packs(backbone: PreTrainedModel) -> bool:
    """Whether this backbone runs on the library's `sdpa`, which packing can stand in for, or does so already."""
    return backbone.config._attn_implementation in ("sdpa", NAME)

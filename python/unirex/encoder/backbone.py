"""Run rows of tokens through a backbone at the price of their visible tokens.

Hiding a token by attention and dropping it while the others keep their position ids give the same output in an
encoder in which every token attends to every other and positions enter by `position_ids` alone. Only there hidden
tokens are dropped, and the rows packed into one sequence; elsewhere they are masked in place.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel

from unirex.data.collate import Rows, drop_padding
from unirex.disk.untrusted import refuse_code
from unirex.encoder.dropout import take_dropout
from unirex.encoder.families import (
    auto_class,
    can_drop,
    family_inputs,
    first_position,
    fix_attention,
    position_offset,
    positions_of,
)
from unirex.encoder.gates import exchanges_attention
from unirex.encoder.packing import Packed, pack, packs, run_packed
from unirex.encoder.softmax_gates import run_gated
from unirex.encoder.visible_linear import VisibleLinear

Pooling = Literal["pooler", "first", "mean", "last"]
"""How a row becomes one vector: by the backbone's pooler, its first token, the mean of the visible, or the last."""

# Price of one more pass in tokens of width: launching kernels on an accelerator costs as much as many tokens.
_PASS_OVERHEAD = {"cpu": 128, "cuda": 16384}
# The same of one more block in a packed pass, where attention alone is launched again.
_BLOCK_OVERHEAD = 8
# On accelerators the number of tokens is rounded up, so that memory blocks of one step fit the next.
_ROUND_TO = 256


def encode(backbone: PreTrainedModel, rows: Rows, embeddings_BLD: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """The last hidden states float [B, L, D] and, where the backbone has a pooler, its output [B, D].

    Values at tokens that are not visible are meaningless. `embeddings_BLD`, where given, stand in for those of the
    rows' ids. Gates of the rows act on every attention weight.
    """
    if embeddings_BLD is None and rows.gates_BL is None and can_pack(backbone) and len(rows.input_ids_BL):
        lengths = rows.visible_BL.sum(1).cpu().numpy()
        packed = _pack(rows, lengths)
        hidden_TD, pooler_BD = run_packed(backbone, packed, position_offset(backbone.config) or 0)
        return packed.unpack(hidden_TD), pooler_BD
    return encode_padded(backbone, rows, embeddings_BLD)


def encode_padded(
    backbone: PreTrainedModel, rows: Rows, embeddings_BLD: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """What `encode` gives, hidden tokens masked in place."""
    inputs = model_inputs(backbone, rows, embeddings_BLD)
    output = backbone(**inputs) if rows.gates_BL is None else run_gated(backbone, rows.gates_BL, inputs)
    return output.last_hidden_state, getattr(output, "pooler_output", None)


def bare_backbone(settings: dict[str, Any]) -> PreTrainedModel:
    """A backbone with new float32 weights from its configuration as a dict; no code from it runs."""
    refuse_code(settings, "backbone")
    config = AutoConfig.for_model(**settings)
    fix_attention(config)
    model: PreTrainedModel = auto_class(config).from_config(config, dtype=torch.float32, trust_remote_code=False)
    take_dropout(model)
    return model


def freeze_pooler(backbone: nn.Module) -> None:
    """Freezes a pooler that no output depends on, for which data-parallel training would wait in vain."""
    pooler = getattr(backbone, "pooler", None)
    if pooler is not None:
        pooler.requires_grad_(False)


def embedding_width(backbone: PreTrainedModel) -> int:
    """D of the input embeddings, which some backbones (ELECTRA, ALBERT) have narrower than their hidden states."""
    table: Any = backbone.get_input_embeddings()
    return int(table.embedding_dim)


def encode_attentions(backbone: PreTrainedModel, rows: Rows) -> tuple[Tensor, ...]:
    """The attention weights of every layer, float [B, heads, L, L], from queries to keys; needs eager attention."""
    output = backbone(**model_inputs(backbone, rows), output_attentions=True)
    weights: tuple[Tensor, ...] | None = output.attentions
    if not weights:
        raise ValueError(f"a {backbone.config.model_type} backbone gives no attention weights, expected one that does")
    width = rows.visible_BL.shape[1]
    if any(layer.shape[-2:] != (width, width) for layer in weights):
        raise ValueError(
            f"a {backbone.config.model_type} backbone gives attention weights of shape {tuple(weights[-1].shape)}, "
            f"expected one from each of {width} tokens to each"
        )
    return weights


def model_inputs(model: PreTrainedModel, rows: Rows, embeddings_BLD: Tensor | None = None) -> dict[str, Any]:
    """The arguments of the call of a backbone, or of a classifier that has one."""
    inputs: dict[str, Any] = {"attention_mask": rows.visible_BL.long()}
    if embeddings_BLD is None:
        inputs["input_ids"] = rows.input_ids_BL
    else:
        inputs["inputs_embeds"] = embeddings_BLD
    offset = first_position(model.config)
    if offset is not None:  # by itself a model may count the tokens that are no padding, which `pad_token` changes
        inputs["position_ids"] = positions_of(rows) + offset
    if getattr(model.config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = rows.token_types_BL
    return inputs | family_inputs(model.config, rows)


def pool(
    hidden_BLD: Tensor,
    pooler_BD: Tensor | None,
    visible_BL: Tensor,
    pooling: Pooling,
    gates_BL: Tensor | None = None,
) -> Tensor:
    """One vector a row, float [B, D]; a mean lets gradient through to the gates of the tokens it is taken over.

    A row of which nothing is visible (a tokenizer that adds no special tokens, every word hidden) has zeros: whatever
    its tokens' hidden states hold of the text must not be read.
    """
    weight_BL = visible_BL if gates_BL is None else visible_BL * gates_BL
    visible_BL = weight_BL > 0
    if pooling == "pooler":
        if pooler_BD is None:
            raise ValueError("pooling is 'pooler', but the backbone has no pooler; expected first, mean or last")
        return _zero_unseen(pooler_BD, visible_BL)
    every_B = torch.arange(len(visible_BL), device=visible_BL.device)
    if pooling == "first":
        return _zero_unseen(hidden_BLD[every_B, visible_BL.int().argmax(1)], visible_BL)
    if pooling == "mean":
        if gates_BL is not None:
            # Of a closed gate, what the mean changes by when it opens: (h - mean) / (n + 1) in place of (h - mean) / n.
            total_B1 = weight_BL.detach().sum(1, keepdim=True)
            weight_BL = weight_BL * torch.where(visible_BL, 1.0, total_B1 / (total_B1 + 1))
        weight_BL1 = weight_BL.to(hidden_BLD.dtype).unsqueeze(-1)
        return (hidden_BLD * weight_BL1).sum(1) / weight_BL1.sum(1).clamp(min=torch.finfo(hidden_BLD.dtype).tiny)
    last_B = torch.arange(visible_BL.shape[1], device=visible_BL.device).expand_as(visible_BL)
    last_B = last_B.masked_fill(~visible_BL, 0).amax(1)
    return _zero_unseen(hidden_BLD[every_B, last_B], visible_BL)


def _zero_unseen(pooled_BD: Tensor, visible_BL: Tensor) -> Tensor:
    return pooled_BD.masked_fill(~visible_BL.any(1, keepdim=True), 0.0)


def encode_pooled(backbone: PreTrainedModel, rows: Rows, pooling: Pooling, *, max_tokens: int | None = None) -> Tensor:
    """One vector a row, float [B, D]: packed in one pass, or in passes over rows of like length.

    Args:
        backbone: any encoder or decoder that `AutoModel` loads.
        rows: B rows. Gates need every token, so rows that have them are run at full length. A row of which nothing is
            visible becomes zeros.
        pooling: how a row becomes a vector.
        max_tokens: most tokens in one pass (but at least one row); None = no bound.
    """
    if len(rows.input_ids_BL) == 0:
        return torch.zeros(0, backbone.config.hidden_size, device=rows.input_ids_BL.device)
    if rows.gates_BL is None and can_pack(backbone):
        return _zero_unseen(_pooled_packed(backbone, rows, pooling, max_tokens), rows.visible_BL)
    lengths = reach(rows.visible_BL).cpu().numpy()
    passes = plan_passes(lengths, _PASS_OVERHEAD.get(rows.input_ids_BL.device.type, 128), max_tokens)
    pooled = []
    for index in passes:
        part = drop_padding(rows.take(_on(rows, index)), max(1, int(lengths[index].max())))
        with nullcontext() if part.gates_BL is None else _shorter(backbone, part.visible_BL * part.gates_BL):
            hidden_BLD, pooler_BD = encode_padded(backbone, part)
        pooled.append(pool(hidden_BLD, pooler_BD, part.visible_BL, pooling, part.gates_BL))
    return torch.cat(pooled)[_on(rows, np.argsort(np.concatenate(passes)))]


def _shorter(backbone: PreTrainedModel, gate_BL: Tensor) -> AbstractContextManager[object]:
    """A backward pass without hidden tokens: a row's vector is made of visible ones, or of the first.

    Not where softmaxes are gated: such families have linear layers on other things than tokens (relative positions),
    which may be of the shape of a batch of rows.
    """
    return VisibleLinear(gate_BL) if exchanges_attention(backbone) else nullcontext()


def can_pack(backbone: PreTrainedModel) -> bool:
    """Whether rows of this backbone can be laid end to end, hidden tokens left out."""
    return can_drop(backbone.config) and packs(backbone)


def _pooled_packed(backbone: PreTrainedModel, rows: Rows, pooling: Pooling, max_tokens: int | None) -> Tensor:
    lengths = rows.visible_BL.sum(1).cpu().numpy()
    offset = position_offset(backbone.config) or 0
    passes = _shares(lengths, max_tokens)
    pooled = []
    for index in passes:
        part = rows if len(passes) == 1 else rows.take(_on(rows, index))
        packed = _pack(part, lengths[index])
        hidden_TD, pooler_BD = run_packed(backbone, packed, offset)
        pooled.append(_pool_packed(hidden_TD, pooler_BD, packed, pooling))
    if len(passes) == 1:
        return pooled[0]
    return torch.cat(pooled)[_on(rows, np.argsort(np.concatenate(passes)))]


def _pool_packed(hidden_TD: Tensor, pooler_BD: Tensor | None, packed: Packed, pooling: Pooling) -> Tensor:
    if pooling == "mean":
        return packed.mean(hidden_TD)
    if pooling == "pooler":
        return pool(hidden_TD[None], pooler_BD, packed.rows.visible_BL, pooling)
    return hidden_TD[packed.first_B if pooling == "first" else packed.last_B]


def _pack(rows: Rows, lengths: NDArray[np.int64]) -> Packed:
    """Ragged where attention has kernels for it, in rectangles of like length elsewhere."""
    if rows.input_ids_BL.device.type == "cuda":
        return pack(rows, None, lengths, round_to=_ROUND_TO)
    return pack(rows, plan_passes(lengths, _BLOCK_OVERHEAD, None, step=1), lengths)


def _shares(lengths: NDArray[np.int64], max_tokens: int | None) -> list[NDArray[np.int64]]:
    """The rows in passes of at most `max_tokens` tokens (but at least one row), rows of like length together."""
    if max_tokens is None or lengths.sum() <= max_tokens:
        return [np.arange(len(lengths))]
    order = np.argsort(-lengths, kind="stable")
    shares, start, total = [], 0, 0
    for place, length in enumerate(lengths[order].tolist()):
        if place > start and total + length > max_tokens:
            shares.append(order[start:place])
            start, total = place, 0
        total += length
    return [*shares, order[start:]]


def _on(rows: Rows, index: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(index).to(rows.input_ids_BL.device)


def plan_passes(
    lengths: NDArray[np.int64], overhead: int, max_tokens: int | None, *, step: int = 8
) -> list[NDArray[np.int64]]:
    """The rows of each pass (indices, longest rows first) at the least padding plus `overhead` tokens a pass.

    Widths are rounded up to multiples of `step` for the planning, so that it stays cheap. Exact by dynamic programming
    over those widths.

    >>> [rows.tolist() for rows in plan_passes(np.array([3, 40, 4, 41]), overhead=16, max_tokens=None)]
    [[3, 1], [2, 0]]
    """
    order = np.argsort(-lengths, kind="stable")
    widths = -(-np.maximum(lengths[order], 1) // step) * step
    starts = np.flatnonzero(np.concatenate(([True], widths[1:] != widths[:-1])))
    bounds = np.append(starts, len(order))
    cost, cut = np.full(len(bounds), np.inf), np.zeros(len(bounds), dtype=np.int64)
    cost[0] = 0
    for end in range(1, len(bounds)):
        price = cost[:end] + widths[starts[:end]] * (bounds[end] - bounds[:end]) + overhead
        cut[end] = int(np.argmin(price))
        cost[end] = price[cut[end]]
    passes: list[NDArray[np.int64]] = []
    end = len(bounds) - 1
    while end > 0:
        rows = order[bounds[cut[end]] : bounds[end]]
        most = len(rows) if max_tokens is None else max(1, max_tokens // int(widths[bounds[cut[end]]]))
        passes[:0] = [rows[i : i + most] for i in range(0, len(rows), most)]
        end = int(cut[end])
    return passes


def reach(visible_BL: Tensor) -> Tensor:
    """One past the last visible token of each row, 0 where there is none."""
    if visible_BL.shape[1] == 0:
        return visible_BL.new_zeros(len(visible_BL), dtype=torch.int64)
    places_L = torch.arange(1, visible_BL.shape[1] + 1, device=visible_BL.device)
    return (visible_BL * places_L).amax(1)

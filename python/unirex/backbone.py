"""Run rows of tokens through a backbone at the price of their visible tokens.

Hiding a token by attention and dropping it while the others keep their position ids give the same output in an
encoder in which every token attends to every other and positions enter by `position_ids` alone. Only there hidden
tokens are dropped; elsewhere they are masked in place.
"""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from unirex.data.collate import Rows, drop_padding
from unirex.gates import Gate, take_gates
from unirex.perturb import drop_hidden

Pooling = Literal["pooler", "first", "mean", "last"]
"""How a row becomes one vector: by the backbone's pooler, its first token, the mean of the visible, or the last."""

# Full attention, learned absolute positions given by `position_ids`; the number is where positions start
# (RoBERTa-like models count from the padding id + 1). Checked against masking in tests for every entry.
_COUNT_FROM_ZERO = frozenset({"bert", "electra", "distilbert", "albert", "ernie"})
_COUNT_FROM_PADDING = frozenset({"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "data2vec-text"})

# Price of one more pass in tokens of width: launching kernels on an accelerator costs as much as many tokens.
_PASS_OVERHEAD = {"cpu": 128, "cuda": 16384}


def position_offset(config: PretrainedConfig) -> int | None:
    """The position id of the first token, or None where the backbone is not known to take absolute position ids."""
    if config.model_type in _COUNT_FROM_ZERO:
        return 0
    if config.model_type in _COUNT_FROM_PADDING:
        return int(config.pad_token_id) + 1
    return None


def can_drop(config: PretrainedConfig) -> bool:
    """Whether dropping hidden tokens at kept position ids equals hiding them from attention in this backbone."""
    return position_offset(config) is not None and not getattr(config, "is_decoder", False)


def encode(backbone: PreTrainedModel, rows: Rows, embeddings_BLD: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """The last hidden states float [B, L, D] and, where the backbone has a pooler, its output [B, D].

    Values at tokens that are not visible are meaningless. `embeddings_BLD`, where given, stand in for those of the
    rows' ids. Gates of the rows act on every attention weight.
    """
    inputs = _inputs(backbone, rows, embeddings_BLD)
    if rows.gates_BL is None:
        output = backbone(**inputs)
    else:
        take_gates(backbone)
        gate = inputs["gate"] = Gate(rows.gates_BL)
        output = backbone(**inputs)
        gate.check_used(backbone)
    return output.last_hidden_state, getattr(output, "pooler_output", None)


def embedding_width(backbone: PreTrainedModel) -> int:
    """D of the input embeddings, which some backbones (ELECTRA, ALBERT) have narrower than their hidden states."""
    table: Any = backbone.get_input_embeddings()
    return int(table.embedding_dim)


def encode_attentions(backbone: PreTrainedModel, rows: Rows) -> tuple[Tensor, ...]:
    """The attention weights of every layer, float [B, heads, L, L], from queries to keys; needs eager attention."""
    output = backbone(**_inputs(backbone, rows, None), output_attentions=True)
    weights: tuple[Tensor, ...] | None = output.attentions
    if not weights:
        raise ValueError(f"a {backbone.config.model_type} backbone gives no attention weights, expected one that does")
    return weights


def _inputs(backbone: PreTrainedModel, rows: Rows, embeddings_BLD: Tensor | None) -> dict[str, Any]:
    """The arguments of the backbone's call."""
    inputs: dict[str, Any] = {"attention_mask": rows.visible_BL.long()}
    if embeddings_BLD is None:
        inputs["input_ids"] = rows.input_ids_BL
    else:
        inputs["inputs_embeds"] = embeddings_BLD
    offset = position_offset(backbone.config)
    if offset is not None:
        positions_BL = rows.positions_BL
        if positions_BL is None:
            positions_BL = torch.arange(rows.input_ids_BL.shape[1], device=rows.input_ids_BL.device)[None]
        inputs["position_ids"] = (positions_BL + offset).expand_as(rows.input_ids_BL)
    if getattr(backbone.config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = rows.token_types_BL
    return inputs


def pool(hidden_BLD: Tensor, pooler_BD: Tensor | None, visible_BL: Tensor, pooling: Pooling) -> Tensor:
    """One vector a row, float [B, D]."""
    if pooling == "pooler":
        if pooler_BD is None:
            message = "pooling is 'pooler', but the backbone has no pooler; expected first, mean or last"
            raise ValueError(message)
        return pooler_BD
    if pooling == "first":
        return hidden_BLD[:, 0]
    if pooling == "mean":
        weight_BL1 = visible_BL.to(hidden_BLD.dtype).unsqueeze(-1)
        return (hidden_BLD * weight_BL1).sum(1) / weight_BL1.sum(1).clamp(min=1)
    last_B = torch.arange(visible_BL.shape[1], device=visible_BL.device).expand_as(visible_BL)
    last_B = last_B.masked_fill(~visible_BL, 0).amax(1)
    return hidden_BLD[torch.arange(len(last_B), device=last_B.device), last_B]


def encode_pooled(backbone: PreTrainedModel, rows: Rows, pooling: Pooling, *, max_tokens: int | None = None) -> Tensor:
    """One vector a row, float [B, D], computed in passes over rows of like length.

    Args:
        backbone: any encoder or decoder that `AutoModel` loads.
        rows: B rows.
        pooling: how a row becomes a vector.
        max_tokens: most tokens, padding included, in one pass; None = no bound.
    """
    if len(rows.input_ids_BL) == 0:
        return torch.zeros(0, backbone.config.hidden_size, device=rows.input_ids_BL.device)
    drop = rows.gates_BL is None and can_drop(backbone.config)
    lengths = (rows.visible_BL.sum(1) if drop else reach(rows.visible_BL)).cpu().numpy()
    passes = plan_passes(lengths, _PASS_OVERHEAD.get(rows.input_ids_BL.device.type, 128), max_tokens)
    pooled, order = [], []
    for index in passes:
        index_P = torch.from_numpy(index).to(rows.input_ids_BL.device)
        part = rows.take(index_P)
        part = drop_hidden(part, keep_positions=True) if drop else drop_padding(part, int(lengths[index].max()))
        hidden_BLD, pooler_BD = encode(backbone, part)
        visible_BL = part.visible_BL if part.gates_BL is None else part.visible_BL & (part.gates_BL > 0)
        pooled.append(pool(hidden_BLD, pooler_BD, visible_BL, pooling))
        order.append(index_P)
    return torch.cat(pooled)[torch.cat(order).argsort()]


def plan_passes(lengths: NDArray[np.int64], overhead: int, max_tokens: int | None) -> list[NDArray[np.int64]]:
    """The rows of each pass (indices, longest rows first) at the least padding plus `overhead` tokens a pass.

    Widths are rounded up to multiples of 8 for the planning, so that it stays cheap. Exact by dynamic programming
    over those widths.

    >>> [rows.tolist() for rows in plan_passes(np.array([3, 40, 4, 41]), overhead=16, max_tokens=None)]
    [[3, 1], [2, 0]]
    """
    order = np.argsort(-lengths, kind="stable")
    widths = -(-np.maximum(lengths[order], 1) // 8) * 8
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
    """One past the last visible token of each row."""
    places_L = torch.arange(1, visible_BL.shape[1] + 1, device=visible_BL.device)
    return (visible_BL * places_L).amax(1)

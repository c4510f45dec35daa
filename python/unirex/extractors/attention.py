"""Scores from attention weights: how much the pooled token looks at each token."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedModel

from unirex.encoder.backbone import encode_attentions
from unirex.extractors.settings import AttentionKind
from unirex.extractors.target import Target


@torch.no_grad()
def attention_scores(target: Target, kind: AttentionKind) -> Tensor:
    """Scores float32 [B, L], at least 0: attention from the token the prediction is read from, mean over heads.

    `last_layer` takes the last layer's weights (what FRESH extracts by). `rollout` follows attention through all
    layers, half of each layer being the residual connection (Abnar & Zuidema 2020). The token it starts from is the
    first, or for pooling `last` the last visible, or for `mean` all visible tokens alike. Explains no class.
    """
    found = []
    every_B = torch.arange(len(target.class_B), device=target.class_B.device)
    with eager(target.backbone):
        for row_P in every_B.split(max(1, target.max_tokens // target.selectable_BL.shape[1])):
            rows = target.rows.take(row_P)
            layers = encode_attentions(target.backbone, rows)
            start_PL = _start(rows.visible_BL, target.pooling)
            if kind == "last_layer":
                flow_PL = _step(start_PL, layers[-1])
            else:
                flow_PL = start_PL
                for layer_PHLL in reversed(layers):
                    flow_PL = 0.5 * flow_PL + 0.5 * _step(flow_PL, layer_PHLL)
            found.append(flow_PL)
    return torch.cat(found)


def _start(visible_BL: Tensor, pooling: str) -> Tensor:
    """The share of each token in what the prediction is read from, float [B, L]."""
    visible = visible_BL.float()
    if pooling == "mean":
        return visible / visible.sum(1, keepdim=True).clamp(min=1)
    start_BL = torch.zeros_like(visible)
    place_B = (visible.cumsum(1) * visible).argmax(1) if pooling == "last" else torch.zeros_like(visible[:, 0]).long()
    return start_BL.scatter_(1, place_B[:, None], 1.0)


def _step(flow_BL: Tensor, weights_BHLL: Tensor) -> Tensor:
    """The flow after one layer towards the input, float [B, L]."""
    flow: Tensor = torch.einsum("bq,bqk->bk", flow_BL, weights_BHLL.float().mean(1))
    return flow


@contextmanager
def eager(backbone: PreTrainedModel) -> Iterator[None]:
    """Attention that gives its weights, inside."""
    before = backbone.config._attn_implementation
    backbone.set_attn_implementation("eager")
    try:
        yield
    finally:
        backbone.set_attn_implementation(before)

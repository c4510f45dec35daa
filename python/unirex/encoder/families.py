"""What is known of the families of models, by their model type; the only place that names one."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from unirex.data.collate import Rows

LONGEST = 512
"""Most tokens of a row, where nothing else is said."""

# Full attention, learned absolute positions given by `position_ids`; the number is where positions start
# (RoBERTa-like models count from the padding id + 1). Checked against masking in tests for every entry.
_COUNT_FROM_ZERO = frozenset({"bert", "electra", "distilbert", "albert", "ernie"})
_COUNT_FROM_PADDING = frozenset({"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "data2vec-text"})
# Decoders that count the visible tokens unless they are given positions: what is hidden would move the others.
_COUNT_VISIBLE = frozenset({"opt"})

_WITH_POOLER = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "albert", "ernie", "big_bird"})


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


def turns_to_full_attention(config: PretrainedConfig) -> bool:
    """Whether the model takes up full attention by itself after the first short batch, and keeps it (BigBird)."""
    return config.model_type == "big_bird"


def fix_attention(config: PretrainedConfig) -> None:
    """Gives a model full attention from the start, if it would turn to it by itself."""
    if turns_to_full_attention(config):
        config.attention_type = "original_full"


def family_inputs(config: PretrainedConfig, rows: Rows) -> dict[str, Tensor]:
    """What some families must be told with every call, so that hiding a token does nothing else to the row."""
    inputs: dict[str, Tensor] = {}
    if config.model_type in _COUNT_VISIBLE:
        inputs["position_ids"] = positions_of(rows)
    if config.model_type == "longformer":  # the first token answers, and must see further than its window
        inputs["global_attention_mask"] = F.one_hot(
            torch.zeros(len(rows.input_ids_BL), dtype=torch.int64, device=rows.input_ids_BL.device),
            rows.input_ids_BL.shape[1],
        )
    return inputs


def positions_of(rows: Rows) -> Tensor:
    """Position of every token in its row, int64 [B, L]."""
    positions_BL = rows.positions_BL
    if positions_BL is None:
        positions_BL = torch.arange(rows.input_ids_BL.shape[1], device=rows.input_ids_BL.device)[None]
    return positions_BL.expand_as(rows.input_ids_BL)


def longest_row(config: PretrainedConfig) -> int | None:
    """Most tokens that the backbone's positions allow; None = any number."""
    positions: int | None = getattr(config, "max_position_embeddings", None)
    return None if not positions else positions - (position_offset(config) or 0)


def is_causal(config: PretrainedConfig) -> bool:
    """Whether a token sees only those before it, so that the last one answers."""
    name = config.model_type
    return bool(
        getattr(config, "is_decoder", False)
        or (name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and name not in MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    )


def usual_pooling(config: PretrainedConfig) -> Literal["pooler", "first", "last"]:
    """How a row becomes one vector by default: the pooler if there is one, a decoder's last token, else the first."""
    if config.model_type in _WITH_POOLER:
        return "pooler"
    return "last" if is_causal(config) else "first"

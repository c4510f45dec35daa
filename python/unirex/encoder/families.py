"""What is known of the families of models, by their model type; the only place that names one."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModel, AutoModelForTextEncoding, PretrainedConfig, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from unirex.data.collate import Rows

LONGEST = 512
"""Most tokens of a row, where nothing else is said."""

# Full attention, learned absolute positions given by `position_ids`; the number is where positions start
# (RoBERTa-like models count from the padding id + 1). Checked against masking in tests for every entry.
_COUNT_FROM_ZERO = frozenset({"bert", "electra", "distilbert", "albert", "ernie"})
_COUNT_FROM_PADDING = frozenset({"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "data2vec-text"})
# These too number the tokens that are no padding, unless they are given positions: what `pad_token` replaces would move
# those behind it. Not all of them can drop tokens.
_NUMBER_FROM_PADDING = frozenset({"esm", "ibert", "longformer", "luke", "mpnet", "roberta-prelayernorm", "xmod"})
# Decoders that count the visible tokens unless they are given positions: what is hidden would move the others.
_COUNT_VISIBLE = frozenset({"opt"})

# Pairs of encoder and decoder whose encoder the library loads by itself.
_ENCODER_ALONE = frozenset({"t5", "mt5", "umt5"})
# Tokenizers of these put nothing before a text, but a token of their own after it.
_END_ANSWERS = _ENCODER_ALONE | {"xlnet"}
# Relative positions only; their configuration refuses a longest row, and their layers have the tokens before the rows.
_ANY_LENGTH = _TOKENS_FIRST = frozenset({"xlnet"})
# Activations that are modules of the family's own.
_OWN_ACTIVATIONS = frozenset({"BloomGelu"})
# They add masks or positions of their own to the scores, which an exchanged attention does not expect.
_ADD_TO_SCORES = _ENCODER_ALONE | {"layoutlm"}
_NEVER_EXACT = {"funnel": "it pools neighboring tokens, so that a hidden one acts"}

_WITH_POOLER = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "albert", "ernie", "big_bird"})


def check_family(model_type: str) -> None:
    """Raises ValueError for a family in which hiding cannot be exact, whatever the configuration."""
    if reason := _NEVER_EXACT.get(model_type):
        raise ValueError(f"model type {model_type}: {reason}; expected an encoder in which only attention mixes tokens")


def auto_class(config: PretrainedConfig) -> Any:
    """The class that loads a backbone: of t5 and its like the encoder alone.

    Raises:
        ValueError: a family that is refused, or a pair of encoder and decoder.
    """
    check_family(config.model_type)
    if config.model_type in _ENCODER_ALONE:
        return AutoModelForTextEncoding
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(
            f"model type {config.model_type}: a pair of encoder and decoder, expected an encoder, a decoder, or one of "
            f"{', '.join(sorted(_ENCODER_ALONE))}, whose encoder is used alone"
        )
    return AutoModel


def gates_by_softmax(config: PretrainedConfig) -> bool:
    """Whether the attention cannot be exchanged for a gated one, although the library says so."""
    return config.model_type in _ADD_TO_SCORES


def recomputes_gates(model_type: str) -> bool:
    """Whether layers that are recomputed can have gates; those of t5 save other tensors the second time."""
    return model_type not in _ENCODER_ALONE


def shape_of(model_type: str, longest: int, head_width: int) -> dict[str, int]:
    """The settings of a new backbone by which the family says how long a row may be, or how wide a head is."""
    return {"d_head": head_width} if model_type in _ANY_LENGTH else {"max_position_embeddings": longest}


def position_offset(config: PretrainedConfig) -> int | None:
    """The position id of the first token, or None where the backbone is not known to take absolute position ids."""
    if config.model_type in _COUNT_FROM_ZERO:
        return 0
    if config.model_type in _COUNT_FROM_PADDING:
        return int(config.pad_token_id) + 1
    return None


def first_position(config: PretrainedConfig) -> int | None:
    """The position id of the first token, or None where the model finds the right ones by itself, or takes none."""
    if config.model_type in _NUMBER_FROM_PADDING:
        return int(config.pad_token_id) + 1
    return position_offset(config)


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
    return None if not positions or positions < 0 else positions - (first_position(config) or 0)


def check_tokens(config: PretrainedConfig, tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    """Refuses a tokenizer with tokens that the model has no embedding of.

    Raises:
        ValueError: such a tokenizer; `name` is the model's in the message.
    """
    has: int | None = getattr(config.get_text_config(), "vocab_size", None)
    needs = max(tokenizer.get_vocab().values(), default=-1) + 1
    if has is not None and needs > has:
        raise ValueError(f"the tokenizer has {needs} tokens, expected at most {has} for {name}")


def is_causal(config: PretrainedConfig) -> bool:
    """Whether a token sees only those before it, so that the last one answers."""
    name = config.model_type
    return bool(
        getattr(config, "is_decoder", False)
        or (name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and name not in MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    )


def reads_last(config: PretrainedConfig) -> bool:
    """Whether the library's classifier of this family answers from the last place of a row."""
    return config.model_type == "xlnet" or is_causal(config)


def rows_axis(config: PretrainedConfig) -> int:
    """Which axis of a layer's input the rows are on."""
    return 1 if config.model_type in _TOKENS_FIRST else 0


def is_own_activation(module: object) -> bool:
    """Whether a module of a family's own is an activation, one number in and one out."""
    return type(module).__name__ in _OWN_ACTIVATIONS


def usual_pooling(config: PretrainedConfig) -> Literal["pooler", "first", "last"]:
    """How a row becomes one vector the pooler if there is one, else the last token where it answers, or the first.

    The last token answers in a decoder, and where the tokenizer has a token of its own only there.
    """
    if config.model_type in _WITH_POOLER:
        return "pooler"
    return "last" if config.model_type in _END_ANSWERS or is_causal(config) else "first"

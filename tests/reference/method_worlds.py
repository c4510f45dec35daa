"""Small data sets and models for the tests of methods."""

from functools import cache
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig

from unirex.data.collate import Batch, EncodedSet
from unirex.data.tokenization import build_tokenizer
from unirex.data.tools import Tools
from unirex.methods import METHODS
from unirex.methods.method import Counts
from unirex.modeling import UnirexConfig, UnirexModel
from unirex.schema import Example, Segment

TEXTS = [
    "a fine film with a poor end", "poor film", "what a fine , fine day it was in the end", "unbelievable",
    "the day was poor and the film was fine", "in the end a day",
]  # fmt: skip
SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "aa": ("joint", "none", {"attribution": "ig"}),
    "aa_f": ("joint", "attribution", {"plaus_weight": 0.0}),
    "aa_f_ig": ("joint", "attribution", {"plaus_weight": 0.0, "attribution": "ig"}),
    "aa_fp": ("joint", "attribution", {}),
    "aa_fp_mlp": ("joint", "attribution", {"attribution": "grad"}),
    "aa_f_relaxed": ("joint", "attribution", {"plaus_weight": 0.0, "estimator": "logistic", "noise": 0.0}),
    "slm_fp_logistic": ("joint", "shared", {"estimator": "logistic"}),
    "dlm_fp_logistic": ("joint", "dual", {"estimator": "logistic"}),
    "slm_fp_apart": ("joint", "shared", {"estimator": "logistic", "comp_trains": "extractor"}),
    "dlm_fp_apart": ("joint", "dual", {"estimator": "logistic", "comp_trains": "extractor"}),
    "slm_fp_aimle": ("joint", "shared", {"estimator": "aimle", "noise": 0.0, "samples": 1, "fractions": (0.2, 0.5)}),
    "slm_fp_ranking": ("joint", "shared", {"estimator": "logistic", "plaus_criterion": "ranking"}),
    "slm_fp_guided": ("joint", "shared", {"gradient_weight": 0.3}),
    "dlm_fp_guided": ("joint", "dual", {"gradient_weight": 0.3, "unit": "word"}),
    "dlm_p": ("joint", "dual", {"comp_weight": 0.0, "suff_weight": 0.0}),
    "dlm_fp": ("joint", "dual", {}),
    "slm_p": ("joint", "shared", {"comp_weight": 0.0, "suff_weight": 0.0}),
    "slm_fp": ("joint", "shared", {"unit": "word"}),
    "sgt": ("sgt", "attribution", {}),
    "sgt_p": ("sgt", "attribution", {"plaus_weight": 0.5}),
    "fresh": ("fresh", "support", {"fraction": 0.3}),
    "fresh_contiguous": ("fresh", "support", {"fraction": 0.3, "shape": "contiguous", "attribution": "input_x_grad"}),
    "fresh_p": ("fresh", "support", {"plaus_weight": 0.5, "rounding": "floor"}),
    "a2r": ("a2r", "dual", {"fraction": 0.3}),
    "a2r_shared": ("a2r", "shared", {"unit": "word"}),
    "a2r_paper": (
        "a2r", "dual",
        {"fractions": (0.01, 0.05, 0.1, 0.2, 0.5), "soft_weight": 0.0, "gap_weight": 0.5,
         "gap_criterion": "jensen_shannon_reversed"},
    ),
    "a2r_p": ("a2r", "dual", {"plaus_weight": 0.5}),
    "mcd": ("mcd", "dual", {"fraction": 0.3}),
    "mcd_shared": ("mcd", "shared", {"unit": "word"}),
    "mcd_p": ("mcd", "dual", {"plaus_weight": 0.5, "estimator": "aimle", "noise": 0.0, "samples": 1}),
    "n2r": ("n2r", "dual", {"fraction": 0.3}),
    "n2r_p": ("n2r", "shared", {"plaus_weight": 0.5, "unit": "word"}),
    "rtp": ("rtp", "shared", {}),
    "rtp_p": ("rtp", "shared", {"plaus_weight": 0.5}),
    "l2e": ("l2e", "dual", {}),
    "l2e_class": ("l2e", "dual", {"score": "class", "attribution": "input_x_grad"}),
}  # fmt: skip
"""Every training mode: method, extractor, settings."""


@cache
def data(*, choices: bool = False) -> EncodedSet:
    """Six instances, the second without gold."""
    rng = np.random.default_rng(0)
    examples = [
        Example(
            id=str(i),
            segments=(Segment.from_words(text.split()),),
            label="ab"[i % 2],
            gold=None if i == 1 else rng.integers(0, 2, len(text.split())).astype(np.float32),
            choices=("fine", "poor day") if choices else (),
            choice_labels=("a", "b") if choices else (),
        )
        for i, text in enumerate(TEXTS)
    ]
    tools = Tools(tokenizer=build_tokenizer(TEXTS), extractor_tokenizer=None, max_length=32)
    return tools.encode(examples, ["a", "b", "c"])


def method_of(case: str, *, choices: bool = False, dropout: float = 0.0) -> Any:
    """A method around a model with random weights and no dropout."""
    name, extractor, settings = CASES[case]
    torch.manual_seed(1)
    tokenizer = build_tokenizer(TEXTS)
    shape = {**SHAPE, "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    backbone = AutoConfig.for_model("bert", vocab_size=len(tokenizer), max_position_embeddings=64, **shape)
    kind = METHODS[name]
    config = kind.config_class(**settings)
    model = UnirexModel(
        UnirexConfig(
            backbone=backbone.to_dict(),
            extractor=extractor,
            num_labels=3,
            choice=choices,
            dropout=dropout,
            head="mlp" if case.endswith("_mlp") else "linear",
            head_width=8,
            run={"rationale_fraction": 0.25},
            **kind.model_settings(config),
        )
    )
    with torch.no_grad():  # away from the symmetric start, where all attributions are alike
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    tools = Tools(tokenizer=tokenizer, extractor_tokenizer=None, max_length=32)
    return kind(model, config, tools.fill)


def stages_of(method: Any) -> list[str | None]:
    """Names of a method's stages, or one None where there is nothing to enter."""
    return [stage.name for stage in method.stages] if len(method.stages) > 1 else [None]


def counts_of(*batches: Batch) -> Counts:
    """The counts of a global batch that is cut into these."""
    instances, tokens, positive, rows = sum(Counts.of(batch) for batch in batches).tolist()  # type: ignore[union-attr]
    return Counts(instances=instances, gold_tokens=tokens, gold_positive=positive, gold_rows=rows)

"""Presets: other defaults for the configuration of a run, below what files and the command line say."""

from typing import Any, Literal

from unirex.schema import FRACTIONS

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # The published conventions of UNIREX (Chan et al. 2022, appendix, and its code); docs/methods.md compares them with
    # ours. Lengths, class weights and headline metrics belong to data sets and stand in their recipes.
    "paper": {
        "train.epochs": 10,
        "train.batch_size": 32,
        "train.lr": 2e-5,
        "train.betas": [0.9, 0.98],
        "train.bias_correction": False,
        "train.weight_decay": 0.0,
        "train.warmup": 0.1,
        "train.clip": 0.0,
        "train.patience": 5,
        "train.best_metric": "headline",
        "train.gold_half": True,
        "eval.how": ["delete"],
    },
}
"""Defaults by dotted key."""

# Attributions in its public code: captum's, with the sum of absolute values for the gradient (Saliency).
_PAPER_EXPLAINER = {
    "attribution_settings.ig_steps": 3,
    "attribution_settings.ig_rule": "gauss_legendre",
    "attribution_settings.grad_pooling": "abs_sum",
}
METHOD_PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "default": {},
    "paper": {
        "joint": _PAPER_EXPLAINER,
        "sgt": {"suff_criterion": "kl_mean_reversed", **_PAPER_EXPLAINER},
        "fresh": {"rounding": "floor", **_PAPER_EXPLAINER},
        "l2e": {"score": "class", **_PAPER_EXPLAINER},
        "a2r": {
            "fractions": list(FRACTIONS),
            "soft_weight": 0.0,
            "gap_weight": 0.5,
            "gap_criterion": "jensen_shannon_reversed",
        },
    },
}
"""Defaults of each method by dotted key inside `method`."""

HEADS: dict[str, dict[tuple[str, str], Literal["linear", "mlp"]]] = {
    "default": {},
    "paper": {("joint", "shared"): "mlp", ("joint", "dual"): "mlp"},
}
"""The head of an extractor by method and kind of extractor, where it is not linear; `model.head` wins."""


def preset_defaults(preset: str, method: str) -> dict[str, Any]:
    """The defaults of a preset for a method, by dotted key.

    >>> preset_defaults("paper", "fresh")["method.rounding"]
    'floor'
    """
    own = METHOD_PRESETS[preset].get(method, {})
    return {**PRESETS[preset], **{f"method.{key}": value for key, value in own.items()}}


def preset_head(preset: str, method: str, extractor: str) -> Literal["linear", "mlp"]:
    """The head that a preset gives an extractor.

    >>> preset_head("paper", "joint", "dual"), preset_head("paper", "joint", "attribution")
    ('mlp', 'linear')
    """
    return HEADS[preset].get((method, extractor), "linear")

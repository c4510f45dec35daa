"""Presets: other defaults for the configuration of a run, below what files and the command line say."""

from typing import Any

from unirex.methods import find_facts

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
"""Defaults by dotted key; those of a method stand in `MethodFacts.presets`."""


def preset_defaults(preset: str, method: str) -> dict[str, Any]:
    """The defaults of a preset for a method, by dotted key.

    >>> preset_defaults("paper", "fresh")["method.rounding"]
    'floor'
    """
    own = find_facts(method).presets.get(preset, {})
    return {**PRESETS[preset], **{f"method.{key}": value for key, value in own.items()}}

"""Presets: other defaults for the configuration of a run, below what files and the command line say."""

from inspect import get_annotations
from typing import Any

from unirex.methods import find_facts
from unirex.methods.settings.contract import MethodFacts

PRESETS: dict[str, dict[str, Any]] = {
    # What suits a pretrained encoder and some hundred to some thousand rows (docs/methods.md, "Defaults").
    "default": {
        "model.backbone_dropout": 0.0,
        "train.epochs": None,
        "train.batch_size": 16,
        "train.lr": 1e-4,
        "train.precision": "auto",
        "train.best_metric": "composite",
    },
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


def preset_defaults(
    preset: str, method: str, extractor: str | None = None, backbone: str | None = ""
) -> dict[str, Any]:
    """The defaults of a preset for a method, its extractor and its backbone, by dotted key.

    Args:
        preset: its name.
        method: its name.
        extractor: None = the method's first.
        backbone: None = one with random weights, which learn at a higher rate, and are too small to gain from 16 bits.

    >>> preset_defaults("paper", "fresh")["method.rounding"]
    'floor'
    """
    facts = find_facts(method)
    restated = _restated(facts)
    own = {key: value for key, value in facts.presets.get(preset, {}).items() if key.split(".")[0] not in restated}
    learned = ("shared", "dual")
    if preset == "default" and facts.extractors[0] in learned and (extractor or facts.extractors[0]) not in learned:
        own = {}  # the default recipe of a method is that of an extractor that learns
    of_backbone = {"train.lr": 1e-3, "train.precision": None} if preset == "default" and backbone is None else {}
    return {**PRESETS[preset], **of_backbone, **{f"method.{key}": value for key, value in own.items()}}


def _restated(facts: type[MethodFacts]) -> set[str]:
    """The settings that a method has defaults of its own for, where its presets are those of its parent."""
    maker: Any = next(kind for kind in facts.__mro__ if "presets" in vars(kind))
    older = getattr(maker, "config_class", object).__mro__
    return {name for kind in facts.config_class.__mro__ if kind not in older for name in get_annotations(kind)}

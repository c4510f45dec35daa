"""The settings of L2E, which need no torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from unirex.extractors.settings import Attribution
from unirex.methods.settings.contract import (
    PAPER_ATTRIBUTION,
    AttributingConfig,
    MethodFacts,
    Presets,
)
from unirex.ranges import Count
from unirex.schema import Perturbation


@dataclass(frozen=True, kw_only=True)
class L2eConfig(AttributingConfig):
    """Settings of L2E.

    Attributes:
        name: of the method.
        how: the headline perturbation of training; L2E perturbs nothing.
        attribution: what is distilled.
        score: a token's score from its five classes: the `expected` class, or the likeliest `class` as a whole number
            from -2 to 2 (the UNIREX code; many ties).
        task_epochs: most epochs of the task model; None = `train.epochs`.
    """

    name: str = "l2e"
    how: Perturbation = "attention"
    attribution: Attribution = "ig"
    score: Literal["expected", "class"] = "expected"
    task_epochs: Count | None = None


class L2eFacts(MethodFacts):
    """A task model is trained and frozen; then an extractor learns to predict its attributions."""

    config_class = L2eConfig
    extractors = ("dual",)
    presets: ClassVar[Presets] = {"paper": {"score": "class", **PAPER_ATTRIBUTION}}

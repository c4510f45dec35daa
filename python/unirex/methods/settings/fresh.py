"""The settings of FRESH, which need no torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from unirex.extractors.settings import Attribution
from unirex.methods.settings.contract import (
    PAPER_ATTRIBUTION,
    AttributingConfig,
    MethodFacts,
    PlausCriterion,
    Presets,
    of_zero_weights,
    without_attribution,
)
from unirex.ranges import Count, Fraction, NotNegative
from unirex.rationale.settings import Rounding
from unirex.schema import Perturbation


@dataclass(frozen=True, kw_only=True)
class FreshConfig(AttributingConfig):
    """Settings of FRESH.

    Attributes:
        name: of the method.
        how: how tokens outside the rationale are hidden from the predictor in training.
        fraction: share of the units in the rationale; None = the run's f*, the mean gold share of the training set.
        shape: `top_k` units, or one `contiguous` run of them.
        rounding: of fraction * n: `half_even`, `ceil` as in the FRESH code, or `floor` as in the UNIREX code.
        attribution: what the support classifier is explained by; the paper's default is attention.
        support_epochs: most epochs of the support classifier; None = `train.epochs`.
        plaus_weight: above 0 (FRESH+P) the support classifier has a score head, trained on human rationales and the
            task, and rationales come from the head's scores.
        plaus_criterion: see `unirex.methods.objectives`.
    """

    name: str = "fresh"
    how: Perturbation = "attention"
    fraction: Fraction | None = None
    shape: Literal["top_k", "contiguous"] = "top_k"
    rounding: Rounding = "half_even"
    attribution: Attribution = "attention"
    support_epochs: Count | None = None
    plaus_weight: NotNegative = 0.0
    plaus_criterion: PlausCriterion = "bce"

    def unread(self, extractor: str | None) -> dict[str, str]:
        """The attribution, where a score head explains, else what it and a weight of 0 do not read."""
        if self.plaus_weight == 0:
            return of_zero_weights(self) | super().unread(extractor)
        return without_attribution("method.plaus_weight above 0, whose score head explains,")


class FreshFacts(MethodFacts):
    """A support classifier is trained and explained; a predictor is trained on its rationales alone."""

    config_class = FreshConfig
    extractors = ("support",)
    presets: ClassVar[Presets] = {"paper": {"rounding": "floor", **PAPER_ATTRIBUTION}}

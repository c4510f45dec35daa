"""The settings of A2R, which need no torch."""

from dataclasses import dataclass
from typing import ClassVar

from unirex.methods.settings.contract import (
    Divergence,
    MethodConfig,
    MethodFacts,
    PlausCriterion,
    Presets,
    check_ascending,
    of_zero_weights,
)
from unirex.ranges import Fraction, NotNegative
from unirex.schema import FRACTIONS, Perturbation


@dataclass(frozen=True, kw_only=True)
class A2rConfig(MethodConfig):
    """Settings of A2R.

    Attributes:
        name: of the method.
        how: how tokens outside the rationale are hidden from the hard predictor in training.
        fraction: share of the units in the rationale; None = the run's f*, the mean gold share of the training set.
        fractions: several shares to train the hard predictor at, each with the same weight; None = `fraction` alone.
        soft_weight: weight of the soft predictor's task loss; 0 in the public code of UNIREX, where the gap alone
            trains the soft predictor.
        gap_weight: weight of the divergence between the two predictions.
        gap_criterion: that divergence; see `unirex.methods.objectives.jensen_shannon`.
        plaus_weight: weight of the plausibility of the scores (A2R+P above 0).
        plaus_criterion: see `unirex.methods.objectives`.
    """

    name: str = "a2r"
    how: Perturbation = "attention"
    fraction: Fraction | None = None
    fractions: tuple[Fraction, ...] | None = None
    soft_weight: NotNegative = 1.0
    gap_weight: NotNegative = 1.0
    gap_criterion: Divergence = "jensen_shannon"
    plaus_weight: NotNegative = 0.0
    plaus_criterion: PlausCriterion = "bce"

    def __post_init__(self) -> None:
        """Checks the ranges."""
        super().__post_init__()
        if self.fractions is not None:
            check_ascending(self.fractions)
        if self.soft_weight == 0 and self.gap_weight == 0:
            raise ValueError("method.soft_weight and method.gap_weight are 0, expected one of them to train the scores")

    def unread(self, extractor: str | None) -> dict[str, str]:
        """One share beside several, and what losses of weight 0 would read."""
        return of_zero_weights(self) | ({} if self.fractions is None else {"method.fraction": "method.fractions"})


class A2rFacts(MethodFacts):
    """Two predictors: one sees the hard rationale, one pools its hidden states by a softmax over the same scores."""

    config_class = A2rConfig
    extractors = ("dual", "shared")
    presets: ClassVar[Presets] = {
        "paper": {
            "fractions": list(FRACTIONS),
            "soft_weight": 0.0,
            "gap_weight": 0.5,
            "gap_criterion": "jensen_shannon_reversed",
        }
    }

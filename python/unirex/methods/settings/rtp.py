"""The settings of RTP, which need no torch."""

from dataclasses import dataclass

from unirex.methods.settings.contract import MethodConfig, MethodFacts, PlausCriterion, of_zero_weights
from unirex.ranges import Fraction, NotNegative


@dataclass(frozen=True, kw_only=True)
class RtpConfig(MethodConfig):
    """Settings of RTP. Masks are of tokens; `unit` is what is selected where the model is judged.

    Attributes:
        name: of the method.
        fraction: what the mean of a row's mask is held at; None = the run's f*, the mean gold share of the training
            set.
        keep_weight: weight of the cross-entropy through the mask.
        remove_weight: weight of KL(uniform || p) through what the mask leaves out.
        size_weight: weight of the distance between the mean of a row's mask and `fraction`.
        coherence_weight: weight of the mean change of the mask from a selectable token to the next.
        plaus_weight: weight of the plausibility of the scores.
        plaus_criterion: see `unirex.methods.objectives`.
    """

    name: str = "rtp"
    fraction: Fraction | None = None
    keep_weight: NotNegative = 1.0
    remove_weight: NotNegative = 1.0
    size_weight: NotNegative = 1.0
    coherence_weight: NotNegative = 0.1
    plaus_weight: NotNegative = 0.0
    plaus_criterion: PlausCriterion = "bce"

    def __post_init__(self) -> None:
        """Checks the ranges."""
        super().__post_init__()
        if self.keep_weight == 0 and self.remove_weight == 0:
            raise ValueError(
                "method.keep_weight and method.remove_weight are 0, expected one of them to train the mask"
            )

    def unread(self, extractor: str | None) -> dict[str, str]:
        """What losses of weight 0 would read."""
        return of_zero_weights(self)


class RtpFacts(MethodFacts):
    """One model answers and masks, and reads its own masked inputs, and what they leave out."""

    config_class = RtpConfig
    extractors = ("shared",)

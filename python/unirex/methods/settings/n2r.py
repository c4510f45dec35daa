"""The settings of N2R, which need no torch."""

from dataclasses import dataclass

from unirex.methods.settings.contract import MethodFacts
from unirex.methods.settings.selecting import SelectingConfig
from unirex.ranges import NotNegative


@dataclass(frozen=True, kw_only=True)
class N2rConfig(SelectingConfig):
    """Settings of N2R.

    Attributes:
        name: of the method.
        select_weight: weight of the predictor's cross-entropy on the rationale as a loss of the extractor; 0 leaves it
            to the norm.
        norm_weight: weight of 1 - norm of Enc(rationale) / norm of Enc(input).
    """

    name: str = "n2r"
    select_weight: NotNegative = 1.0
    norm_weight: NotNegative = 1.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        super().__post_init__()
        if self.select_weight == 0 and self.norm_weight == 0:
            raise ValueError("method.select_weight and method.norm_weight are 0, expected one of them to train scores")


class N2rFacts(MethodFacts):
    """The predictor reads inputs and rationales; the extractor selects what it can make use of."""

    config_class = N2rConfig
    extractors = ("dual", "shared")

"""The settings of MCD, which need no torch."""

from dataclasses import dataclass

from unirex.methods.settings.contract import MethodFacts
from unirex.methods.settings.selecting import SelectingConfig
from unirex.ranges import NotNegative


@dataclass(frozen=True, kw_only=True)
class McdConfig(SelectingConfig):
    """Settings of MCD.

    Attributes:
        name: of the method.
        dependence_weight: weight of KL(p(full) || p(rationale)), which trains the extractor alone.
    """

    name: str = "mcd"
    dependence_weight: NotNegative = 1.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        super().__post_init__()
        if self.dependence_weight == 0 and self.plaus_weight == 0:
            raise ValueError(
                "method.dependence_weight is 0, expected more, or a method.plaus_weight that trains scores"
            )


class McdFacts(MethodFacts):
    """The predictor reads inputs and rationales; the extractor makes its answers to both alike."""

    config_class = McdConfig
    extractors = ("dual", "shared")

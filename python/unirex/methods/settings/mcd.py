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


class McdFacts(MethodFacts):
    """The predictor reads inputs and rationales; the extractor makes its answers to both alike."""

    config_class = McdConfig
    extractors = ("dual", "shared")

"""The settings of SGT, which need no torch."""

from dataclasses import dataclass
from typing import ClassVar

from unirex.methods.settings.contract import (
    PAPER_ATTRIBUTION,
    Presets,
    SuffCriterion,
)
from unirex.methods.settings.joint import JointConfig, JointFacts
from unirex.ranges import NotNegative


@dataclass(frozen=True, kw_only=True)
class SgtConfig(JointConfig):
    """Settings of SGT: those of joint without comprehensiveness, with KL as the sufficiency criterion.

    With `plaus_weight` above 0 it is SGT+P: attributions learn to agree with human rationales.
    """

    name: str = "sgt"
    comp_weight: NotNegative = 0.0
    suff_criterion: SuffCriterion = "kl"
    plaus_weight: NotNegative = 0.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        super().__post_init__()
        if self.comp_weight != 0:
            raise ValueError(f"method.comp_weight is {self.comp_weight}, expected 0 for sgt (joint has the term)")

    def unread(self, extractor: str | None) -> dict[str, str]:
        """Besides, what comprehensiveness alone would read."""
        found = super().unread(extractor)
        names = ["comp_criterion", "comp_margin", "comp_target", "comp_trains"]
        if self.suff_criterion == "kl":
            names.append("detach_full")
        return found | {f"method.{name}": "method.name sgt" for name in names}


class SgtFacts(JointFacts):
    """The task model is taught to answer alike when the tokens of low attribution are hidden."""

    config_class = SgtConfig
    extractors = ("attribution",)
    presets: ClassVar[Presets] = {"paper": {"suff_criterion": "kl_mean_reversed", **PAPER_ATTRIBUTION}}

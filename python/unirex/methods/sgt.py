"""SGT: Improving Deep Learning Interpretability by Saliency Guided Training (Ismail et al., NeurIPS 2021)."""

from dataclasses import dataclass
from typing import ClassVar

from unirex.methods.joint import Joint, JointConfig
from unirex.methods.method import PAPER_ATTRIBUTION, Presets
from unirex.methods.objectives import SuffCriterion
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


class Sgt(Joint):
    """The task model is taught to answer alike when the tokens of low attribution are hidden.

    Each step keeps the top fractions by the model's own attribution; the loss is the task's and KL(full || kept). The
    original replaces one share of low-gradient features by random values of the same feature; here, as in the UNIREX
    paper, tokens are hidden, at every fraction.
    """

    config_class = SgtConfig
    extractors = ("attribution",)
    presets: ClassVar[Presets] = {"paper": {"suff_criterion": "kl_mean_reversed", **PAPER_ATTRIBUTION}}

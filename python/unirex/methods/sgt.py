"""SGT: Improving Deep Learning Interpretability by Saliency Guided Training (Ismail et al., NeurIPS 2021)."""

from dataclasses import dataclass
from typing import ClassVar

from unirex.methods.joint import Joint, JointConfig
from unirex.methods.method import PAPER_EXPLAINER, Presets
from unirex.methods.objectives import SuffCriterion


@dataclass(frozen=True, kw_only=True)
class SgtConfig(JointConfig):
    """Settings of SGT: those of UNIREX without comprehensiveness, with KL as the sufficiency criterion.

    With `plaus_weight` above 0 it is SGT+P: attributions learn to agree with human rationales.
    """

    name: str = "sgt"
    comp_weight: float = 0.0
    suff_criterion: SuffCriterion = "kl"
    plaus_weight: float = 0.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        JointConfig.__post_init__(self)
        if self.comp_weight != 0:
            raise ValueError(f"method.comp_weight is {self.comp_weight}, expected 0 for sgt (unirex has the term)")


class Sgt(Joint):
    """The task model is taught to answer alike when the tokens of low attribution are hidden.

    The tokens that keep their place at each step are the top fractions by the model's own attribution; the loss beside
    the task's is KL(full || kept). The original replaces low-gradient features by random values of the same feature
    and masks one share; the form here is the UNIREX paper's: tokens are hidden, at every fraction.
    """

    config_class = SgtConfig
    extractors = ("attribution",)
    presets: ClassVar[Presets] = {"paper": {"suff_criterion": "kl_mean_reversed", **PAPER_EXPLAINER}}

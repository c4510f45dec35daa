"""The settings of UNIREX joint training, which need no torch."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from unirex.extractors.settings import Attribution
from unirex.methods.settings.contract import (
    PAPER_ATTRIBUTION,
    AttributingConfig,
    CompCriterion,
    MethodFacts,
    PlausCriterion,
    Presets,
    SuffCriterion,
    check_ascending,
    of_losses,
    of_zero_weights,
    without_attribution,
)
from unirex.ranges import Fraction, NotNegative, Range, Share
from unirex.rationale.settings import Relaxation, unread_settings
from unirex.schema import FRACTIONS, Perturbation
from unirex.text import current


@dataclass(frozen=True, kw_only=True)
class JointConfig(Relaxation, AttributingConfig):
    """Settings of the UNIREX losses. A weight of 0 switches off a term and the passes it needs.

    Attributes:
        name: of the method.
        fractions: shares of the selectable units that a rationale holds, in (0, 1].
        fractions_per_step: how many of them each step draws, without replacement; the mean over the drawn is an
            unbiased estimate of the mean over all. None = all, as in the paper.
        how: how hidden tokens are hidden.
        comp_weight: weight of comprehensiveness, added to the task loss.
        suff_weight: weight of sufficiency.
        plaus_weight: weight of plausibility.
        comp_target: what the label's probability should fall to without the rationale; None = 1 / classes for
            comp_criterion `prior`, 0 for `probability`. Refused with the others.
        comp_criterion: how comprehensiveness is measured in training: `margin` and `diff` by the rise of the
            cross-entropy, the others by what the complement predicts (`unirex.methods.objectives`).
        comp_margin: nats of that rise after which `margin` asks for no more.
        suff_criterion: how sufficiency is measured in training: `margin`, `diff`, `mae` and `mse` by
            cross-entropies, `kl` and `kl_mean_reversed` by all classes (`unirex.methods.objectives`).
        suff_margin: nats by which the rationale alone must be better before `margin` asks for no more.
        plaus_criterion: how scores are held against gold (`unirex.methods.objectives`).
        comp_trains: what comprehensiveness trains: `both` the task model and the extractor, or the `extractor` alone,
            to find the words that the unchanged task model cannot do without (not with estimator `hard`, through which
            nothing reaches the extractor). A shared extractor is head and encoder: the encoder is then trained through
            the scores and not through the answer.
        detach_full: whether the full-input cross-entropy inside the comprehensiveness and sufficiency terms is a
            constant. In the paper it carries gradient. With suff_criterion `kl` it is always constant; the
            comp_criteria `prior`, `unlikelihood` and `probability` don't read the full input.
        attribution: where scores come from without a learned extractor; with model.extractor `attribution` in training
            too, which explains the gold class.
        gradient_weight: how much a learned extractor's scores are led by the task model's own where a model explains:
            the weight of the gradient of the predicted class by the attention gates (`gate_gradients`), both
            standardised within the row; 0 = not at all. Training does not see it.
        estimator: how faithfulness trains the extractor through the selection (`unirex.rationale.relaxation.relax`);
            `hard` = not at all, as in the paper; the others need `how: attention`. Its settings are `Relaxation`'s.
        mask_weight: weight of the cross-entropy on inputs with a random share of the selectable tokens hidden, which
            teaches the task model to read perturbed inputs.
        ramp: share of training over which the weights of comprehensiveness and sufficiency rise linearly from 0.
    """

    name: str = "joint"
    fractions: tuple[Fraction, ...] = FRACTIONS
    fractions_per_step: int | None = None
    how: Perturbation = "attention"
    comp_weight: NotNegative = 0.5
    suff_weight: NotNegative = 0.5
    plaus_weight: NotNegative = 0.5
    comp_criterion: CompCriterion = "margin"
    comp_margin: NotNegative = 1.0
    comp_target: Annotated[float, Range("a probability above 0 and below 1", lambda p: 0 < p < 1)] | None = None
    suff_criterion: SuffCriterion = "margin"
    suff_margin: NotNegative = 0.1
    plaus_criterion: PlausCriterion = "bce"
    comp_trains: Literal["both", "extractor"] = "both"
    detach_full: bool = False
    attribution: Attribution = "input_x_grad"
    gradient_weight: NotNegative = 0.0
    mask_weight: NotNegative = 0.0
    ramp: Share = 0.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        object.__setattr__(self, "name", current("method.name", self.name))
        Relaxation.__post_init__(self)
        check_ascending(self.fractions)
        if self.fractions_per_step is not None and not 1 <= self.fractions_per_step <= len(self.fractions):
            raise ValueError(
                f"method.fractions_per_step is {self.fractions_per_step}, expected 1 to {len(self.fractions)} or null"
            )
        self._check_together()

    def _check_together(self) -> None:
        """Raises ValueError for a setting that another one rules out or leaves without effect."""
        if self.estimator != "hard" and self.how != "attention":
            raise ValueError(f"method.how is {self.how!r}, expected attention with estimator {self.estimator}")
        if self.comp_trains == "extractor" and (self.estimator == "hard" or self.comp_weight == 0):
            cause = "estimator hard" if self.estimator == "hard" else "comp_weight 0"
            raise ValueError(f"method.comp_trains is 'extractor', expected 'both' with {cause}")
        if self.comp_target is not None and self.comp_criterion not in ("prior", "probability"):
            raise ValueError(
                f"method.comp_target is {self.comp_target}, expected null with comp_criterion {self.comp_criterion}"
            )
        if self.ramp > 0 and not self.faithful:
            raise ValueError(f"method.ramp is {self.ramp}, expected 0 with comp_weight and suff_weight 0")

    def unread(self, extractor: str | None) -> dict[str, str]:
        """What the estimator and the criteria do not read, and the attribution where an extractor scores."""
        settings = sorted(unread_settings(self.estimator))
        found = dict.fromkeys((f"method.{name}" for name in settings), f"method.estimator {self.estimator}")
        for kind, criterion in (("comp", self.comp_criterion), ("suff", self.suff_criterion)):
            if criterion != "margin":
                found[f"method.{kind}_margin"] = f"method.{kind}_criterion {criterion}"
        if self.comp_criterion not in ("margin", "diff") and self.suff_criterion == "kl":
            found["method.detach_full"] = f"method.comp_criterion {self.comp_criterion} and suff_criterion kl"
        found |= of_zero_weights(self)
        cause = f"model.extractor {extractor}"
        if not self.faithful or extractor == "none":
            names = {*_OF_FAITHFULNESS, *(() if self.mask_weight else ("how",))}
            why = cause if extractor == "none" else "method.comp_weight and suff_weight 0"
            found |= {f"method.{name}": why for name in sorted(names)}
        if extractor == "none":  # nothing scores while it trains; 0 says so
            weights = ("comp_weight", "suff_weight", "plaus_weight")
            found |= {f"method.{name}": cause for name in weights if getattr(self, name) > 0}
            found |= dict.fromkeys(of_losses(self), cause)
        if extractor in ("shared", "dual"):
            return found | without_attribution(cause)
        return found | super().unread(extractor) | {"method.gradient_weight": cause}

    @property
    def forbids_recomputing(self) -> str | None:
        """Layers computed again in the backward pass, when nothing is frozen anymore, would train the task model."""
        return "method.comp_trains extractor" if self.comp_trains == "extractor" else None

    @property
    def faithful(self) -> bool:
        """Whether comprehensiveness or sufficiency is trained."""
        return self.comp_weight > 0 or self.suff_weight > 0


_OF_FAITHFULNESS = (
    *("estimator", *unread_settings("hard")),
    *("fractions", "fractions_per_step", "detach_full", "ramp"),
)
"""Settings that comprehensiveness and sufficiency share."""

RELAXED = {
    "fractions_per_step": 1,
    "estimator": "logistic",
    "suff_criterion": "kl",
    "comp_criterion": "probability",
    "plaus_criterion": "ranking",
    "plaus_weight": 1.5,
    "gradient_weight": 0.3,
}
"""The recipe `slm-fp-guided`: what a learned extractor has when nothing says otherwise."""


class JointFacts(MethodFacts):
    """The paper's joint training of a task model and a learned extractor (DLM, SLM; F, P and FP by the weights)."""

    config_class: ClassVar[type[JointConfig]] = JointConfig
    extractors: ClassVar[tuple[str, ...]] = ("shared", "dual", "attribution", "none")
    presets: ClassVar[Presets] = {"default": RELAXED, "paper": PAPER_ATTRIBUTION}
    preset_heads: ClassVar[Presets] = {"paper": {"shared": "mlp", "dual": "mlp"}}

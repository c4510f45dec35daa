"""MCD: D-Separation for Causal Self-Explanation (Liu et al., NeurIPS 2023)."""

from collections.abc import Mapping

from torch import Tensor

from unirex.data.collate import Batch, FillTokens
from unirex.methods.joint import frozen
from unirex.methods.method import (
    Counts,
    Method,
    Total,
    plausibility_term,
    rationale_fraction,
    task_term,
)
from unirex.methods.objectives import sufficiency_loss, task_loss, unevenness
from unirex.methods.settings.mcd import McdConfig, McdFacts
from unirex.modeling import UnirexModel
from unirex.rationale.adaptive_step import AdaptiveStep
from unirex.rationale.perturb import perturbed_logits
from unirex.rationale.selection import relaxed_masks


class Mcd(McdFacts, Method):
    """Minimum conditional dependence: given its rationale, the rest of an input should tell no more about the label.

    The predictor is trained on whole inputs and on rationales, which are constants to it; the extractor by the
    divergence of its two answers, in which the predictor is a constant. A shared extractor is head and encoder: the
    encoder is then trained through the scores as well.
    """

    selects_then_predicts = True
    config: McdConfig

    def __init__(self, model: UnirexModel, config: McdConfig, fill: FillTokens) -> None:
        super().__init__(model, config, fill)
        self.fraction = rationale_fraction(model, config.fraction)
        if not config.reads_shift:
            model.hold_score_bias()
        self.step = AdaptiveStep(config.aimle_target, config.aimle_rate) if config.estimator == "aimle" else None

    @property
    def weights(self) -> dict[str, float]:
        """What each term counts for in the total."""
        c = self.config
        return {
            "task": 1.0,
            "keep": c.keep_weight,
            "dependence": c.dependence_weight,
            "coherence": c.coherence_weight,
            "plaus": c.plaus_weight,
        }

    def forward(self, batch: Batch, counts: Counts, seed: int) -> dict[str, Tensor]:
        """This batch's share of every term's mean over the global batch (a scalar each)."""
        c = self.config
        logits_IC, scores_BL = self.model.full(batch)
        assert scores_BL is not None  # of a shared or dual extractor
        rationale_1BL = relaxed_masks(
            scores_BL, batch.words_BL, (self.fraction,), c, unit=c.unit, pooling=c.word_score, step=self.step
        )
        keep_IC = self._kept(batch, rationale_1BL.detach())
        with frozen(self.model):
            judged_IC = self._kept(batch, rationale_1BL)
        uneven_B = unevenness(rationale_1BL[0], batch.selectable_BL)
        return {
            "task": task_term(task_loss(logits_IC, batch.labels_I), batch, counts, self.class_weights),
            "keep": task_term(task_loss(keep_IC, batch.labels_I), batch, counts, self.class_weights),
            "dependence": sufficiency_loss(logits_IC, judged_IC, batch.labels_I, criterion="kl").sum()
            / counts.instances,
            "coherence": uneven_B.sum() / (batch.n_choices * counts.instances),
            "plaus": plausibility_term(scores_BL, batch, counts, c.plaus_criterion),
        }

    def _kept(self, batch: Batch, rationale_1BL: Tensor) -> Tensor:
        """The predictor's logits [instances, C] on the rationale, with the gradient that this has."""
        return perturbed_logits(
            lambda rows: self.model.perturbed(rows, batch.n_choices),
            batch,
            rationale_1BL,
            ["keep"],
            "attention",
            self.fill,
        )["keep"][0]

    def after_step(self, terms: Mapping[str, Tensor], total: Total) -> None:
        """Adapts the step of `aimle` to the marks that it moved."""
        if self.step is not None:
            self.step.update(total)

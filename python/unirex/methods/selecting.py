"""A predictor of inputs and rationales, and an extractor with losses of its own: what MCD and N2R share."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from unirex.data.collate import Batch, FillTokens, Rows
from unirex.methods.joint import frozen
from unirex.methods.method import (
    Counts,
    Method,
    Total,
    plausibility_term,
    rationale_fraction,
    task_term,
)
from unirex.methods.objectives import task_loss, unevenness
from unirex.methods.settings.selecting import SelectingConfig
from unirex.modeling import UnirexModel
from unirex.rationale.adaptive_step import AdaptiveStep
from unirex.rationale.perturb import gate_tokens, hidden_tokens, perturb
from unirex.rationale.selection import relaxed_masks


class Selecting(Method):
    """The predictor is trained on whole inputs and on rationales, which are constants to it.

    The extractor is trained by `judge`, in which the predictor is a constant, by coherence and by plausibility. A
    shared extractor is head and encoder: the encoder is then trained through the scores as well.
    """

    selects_then_predicts = True
    config: SelectingConfig

    def __init__(self, model: UnirexModel, config: SelectingConfig, fill: FillTokens) -> None:
        super().__init__(model, config, fill)
        self.fraction = rationale_fraction(model, config.fraction)
        if not config.reads_shift:
            model.hold_score_bias()
        self.step = AdaptiveStep(config.aimle_target, config.aimle_rate) if config.estimator == "aimle" else None

    @abstractmethod
    def judge(self, batch: Batch, counts: Counts, logits_IC: Tensor, rationale: Rows) -> dict[str, Tensor]:
        """The extractor's own terms, as those of `forward`; no weight of the model gets a gradient.

        Args:
            batch: the full input.
            counts: of the global batch.
            logits_IC: on the full input.
            rationale: the rows of which the rationale alone is seen, through gates with a gradient to the scores.
        """

    @property
    def weights(self) -> dict[str, float]:
        """What each term counts for in the total, without those of `judge`."""
        c = self.config
        return {"task": 1.0, "keep": c.keep_weight, "coherence": c.coherence_weight, "plaus": c.plaus_weight}

    def forward(self, batch: Batch, counts: Counts, seed: int) -> dict[str, Tensor]:
        """This batch's share of every term's mean over the global batch (a scalar each)."""
        c = self.config
        logits_IC, scores_BL = self.model.full(batch)
        assert scores_BL is not None  # of a shared or dual extractor
        (rationale_BL,) = relaxed_masks(
            scores_BL, batch.words_BL, (self.fraction,), c, unit=c.unit, pooling=c.word_score, step=self.step
        )
        hidden_BL = hidden_tokens(rationale_BL > 0, batch.selectable_BL, "keep")
        keep_IC = self.model.perturbed(perturb(batch.rows, hidden_BL, "attention", self.fill), batch.n_choices)
        uneven_B = unevenness(rationale_BL, batch.selectable_BL)
        terms = {
            "task": task_term(task_loss(logits_IC, batch.labels_I), batch, counts, self.class_weights),
            "keep": task_term(task_loss(keep_IC, batch.labels_I), batch, counts, self.class_weights),
            "coherence": uneven_B.sum() / (batch.n_choices * counts.instances),
            "plaus": plausibility_term(scores_BL, batch, counts, c.plaus_criterion),
        }
        gates_BL = gate_tokens(rationale_BL, batch.selectable_BL, "keep")
        with frozen(self.model):
            return terms | self.judge(batch, counts, logits_IC, replace(batch.rows, gates_BL=gates_BL))

    def after_step(self, terms: Mapping[str, Tensor], total: Total) -> None:
        """Adapts the step of `aimle` to the marks that it moved."""
        if self.step is not None:
            self.step.update(total)

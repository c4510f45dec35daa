"""FRESH: Learning to Faithfully Rationalize by Construction (Jain et al., ACL 2020)."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unirex.data.collate import Batch, FillTokens
from unirex.extractors.row_classifier import RowClassifier
from unirex.extractors.support import SupportClassifier
from unirex.methods.method import (
    Counts,
    Explanation,
    Method,
    Stage,
    explained,
    plausibility_term,
    rationale_fraction,
    task_term,
)
from unirex.methods.objectives import task_loss
from unirex.methods.remembered import Remembered
from unirex.methods.settings.contract import BY_ROW
from unirex.methods.settings.fresh import FreshConfig, FreshFacts
from unirex.modeling import UnirexModel
from unirex.rationale.perturb import hidden_tokens, perturb
from unirex.rationale.selection import rationale_masks
from unirex.timing import part


class Fresh(FreshFacts, Method):
    """A support classifier is trained and explained; a predictor is trained on its rationales alone.

    Judged like every model: p(full) is the predictor's on the whole input, and a rationale's complement is the true
    one. A second report judges it by construction, where the predictor sees nothing but the rationale.
    """

    selects_then_predicts = True
    config: FreshConfig

    def __init__(self, model: UnirexModel, config: FreshConfig, fill: FillTokens) -> None:
        super().__init__(model, config, fill)
        self.fraction = rationale_fraction(model, config.fraction)
        if config.plaus_criterion in BY_ROW:
            model.hold_score_bias()
        self._stage = "predictor"
        self._remembered = Remembered()

    @classmethod
    def model_settings(cls, config: FreshConfig) -> dict[str, Any]:
        """A score head for FRESH+P."""
        return {"support_head": config.plaus_weight > 0}

    @property
    def support(self) -> SupportClassifier:
        """The second model."""
        support = self.model.extractor
        if not isinstance(support, SupportClassifier):
            raise ValueError(f"model.extractor is {self.model.config.extractor!r}, expected 'support'")
        return support

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Support classifier first, then the predictor."""
        return (Stage(name="support", epochs=self.config.support_epochs), Stage(name="predictor"))

    def enter(self, stage: str) -> None:
        """Frees the weights of the stage's classifier, which answers from here on, and freezes the other's."""
        self._stage = stage
        self._remembered = Remembered()
        for parameter in self.model.parameters():
            parameter.requires_grad_(stage == "predictor")
        self.support.requires_grad_(stage == "support")
        self.model.freeze_unused()
        self.train(self.training)

    def train(self, mode: bool = True) -> "Fresh":
        """Training mode, but for the frozen support classifier, which explains without dropout."""
        super().train(mode)
        if self._stage == "predictor":
            self.support.eval()
        return self

    @property
    def weights(self) -> dict[str, float]:
        """What each term counts for in the total."""
        return {"task": 1.0, "plaus": self.config.plaus_weight}

    def forward(self, batch: Batch, counts: Counts, seed: int) -> dict[str, Tensor]:
        """This batch's share of every term's mean over the global batch (a scalar each)."""
        if self._stage == "support":
            logits_IC, scores_BL = self.support.full(batch)
            terms = {"task": task_term(task_loss(logits_IC, batch.labels_I), batch, counts, self.class_weights)}
            if scores_BL is not None:
                terms["plaus"] = plausibility_term(scores_BL, batch, counts, self.config.plaus_criterion)
            return terms
        rationale_BL = self._remembered(batch, lambda: self._of_support(batch))
        hidden_BL = hidden_tokens(rationale_BL, batch.selectable_BL, "keep")
        logits_IC = self.model.perturbed(perturb(batch.rows, hidden_BL, self.config.how, self.fill), batch.n_choices)
        return {"task": task_term(task_loss(logits_IC, batch.labels_I), batch, counts, self.class_weights)}

    @part("extractor")
    @torch.no_grad()
    def _of_support(self, batch: Batch) -> Tensor:
        return self.rationale(batch, explained(self.support, batch, self.config, self.fill).scores_BL, self.fraction)

    def rationale(self, batch: Batch, scores_BL: Tensor, fraction: float) -> Tensor:
        """The hard rationale of scores, in the settings' rounding and shape; see `Method.rationale`."""
        c = self.config
        return rationale_masks(
            scores_BL,
            batch.words_BL,
            self.fraction,
            unit=c.unit,
            pooling=c.word_score,
            rounding=c.rounding,
            shape=c.shape,
        )

    def explain(self, batch: Batch) -> Explanation:
        """Logits on the full input, of the stage's classifier, and the support classifier's scores."""
        support = explained(self.support, batch, self.config, self.fill)
        return support if self._stage == "support" else replace(support, logits_IC=self.model.full(batch)[0])

    def answer(self, batch: Batch) -> Tensor:
        """The logits of `explain`, without the support classifier's attribution."""
        return self.answering.full(batch)[0]

    @property
    def attributes(self) -> bool:
        """Where the support classifier has no score head."""
        return self.support.score_head is None

    @property
    def answering(self) -> RowClassifier:
        """The classifier of the stage."""
        return self.support if self._stage == "support" else self.model

"""L2E: Learning to Explain: Generating Stable Explanations Fast (Situ et al., ACL 2021)."""

from typing import Any

import torch
from torch import Tensor, nn

from unirex.data.collate import Batch, FillTokens
from unirex.methods.method import (
    Counts,
    Explanation,
    Method,
    Stage,
    task_term,
)
from unirex.methods.objectives import task_loss
from unirex.methods.remembered import Remembered
from unirex.methods.settings.l2e import L2eConfig, L2eFacts
from unirex.modeling import UnirexModel
from unirex.timing import part

CLASSES = 5
"""Strongly against, against, neutral, for, strongly for the prediction."""


def importance_classes(scores_BL: Tensor, selectable_BL: Tensor) -> Tensor:
    """Attributions as five classes by sign and mean magnitude, int64 [B, L], 2 at tokens that are not selectable.

    Of a row's positive scores those above their mean are 4, the others 3; of its negative scores those below their
    mean are 0, the others 1; 0 is 2.

    >>> importance_classes(torch.tensor([[3.0, 1.0, 0.0, -1.0, -5.0]]), torch.ones(1, 5, dtype=torch.bool)).tolist()
    [[4, 3, 2, 1, 0]]
    """
    classes_BL = torch.full(scores_BL.shape, 2, dtype=torch.int64, device=scores_BL.device)
    for sign in (1, -1):
        inside_BL = selectable_BL & (scores_BL * sign > 0)
        total_B1 = (scores_BL * sign).masked_fill(~inside_BL, 0.0).double().sum(1, keepdim=True)
        mean_B1 = total_B1 / inside_BL.sum(1, keepdim=True).clamp(min=1)
        # Equal scores are their own mean, which rounding must not put below them.
        strong_BL = inside_BL & (scores_BL * sign > mean_B1 * (1 + 1e-6))
        classes_BL += sign * (inside_BL.long() + strong_BL.long())
    return classes_BL


def expected_class(logits: Tensor) -> Tensor:
    """The expected class counted from the middle one, float [...], of logits [..., classes].

    >>> expected_class(torch.tensor([[0.0, 0.0, 100.0], [0.0, 0.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    n = logits.shape[-1]
    places = torch.arange(n, device=logits.device, dtype=torch.float32) - (n - 1) / 2
    return (torch.softmax(logits.float(), -1) * places).sum(-1)


class L2e(L2eFacts, Method):
    """A task model is trained and frozen; then an extractor learns to predict its attributions."""

    config: L2eConfig

    def __init__(self, model: UnirexModel, config: L2eConfig, fill: FillTokens) -> None:
        super().__init__(model, config, fill)
        self._stage = "explainer"
        self._remembered = Remembered()

    @classmethod
    def model_settings(cls, config: L2eConfig) -> dict[str, Any]:
        """A number for each class."""
        return {"extractor_outputs": CLASSES}

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Task model first, then the explainer."""
        return (Stage(name="task", epochs=self.config.task_epochs), Stage(name="explainer", latest=True))

    def enter(self, stage: str) -> None:
        """Frees the weights of the stage and freezes the others; scores come from attribution in the first."""
        self._stage = stage
        self._remembered = Remembered()
        assert self.model.extractor is not None
        self.model.requires_grad_(stage == "task")
        self.model.extractor.requires_grad_(stage == "explainer")
        self.model.freeze_unused()
        self.train(self.training)

    def train(self, mode: bool = True) -> "L2e":
        """Training mode, but for the frozen task model, whose attributions are taken without dropout."""
        super().train(mode)
        if self._stage == "explainer":
            self.model.backbone.eval()
            self.model.dropout.eval()
        return self

    @property
    def weights(self) -> dict[str, float]:
        """What each term counts for in the total."""
        return {"task": 1.0, "distil": 1.0}

    def forward(self, batch: Batch, counts: Counts, seed: int) -> dict[str, Tensor]:
        """This batch's share of the term's mean over the global batch.

        `task` in the first stage; then `distil`: the cross-entropy of the five classes, mean over a row's selectable
        tokens, the rows of an instance and the instances.
        """
        if self._stage == "task":
            with part("full"):
                logits_IC = self.model.perturbed(batch.rows, batch.n_choices)
            return {"task": task_term(task_loss(logits_IC, batch.labels_I), batch, counts, self.class_weights)}
        classes_BL = self._remembered(batch, lambda: self._classes(batch))
        loss_BL = nn.functional.cross_entropy(
            self.model.outputs(batch).transpose(1, 2), classes_BL.long(), reduction="none"
        )
        selectable_BL = batch.selectable_BL
        loss_B = loss_BL.masked_fill(~selectable_BL, 0.0).sum(1) / selectable_BL.sum(1).clamp(min=1)
        return {"distil": loss_B.sum() / (batch.n_choices * counts.instances)}

    @part("extractor")
    @torch.no_grad()
    def _classes(self, batch: Batch) -> Tensor:
        return importance_classes(self._attributed(batch).scores_BL, batch.selectable_BL).to(torch.int8)

    def _attributed(self, batch: Batch) -> Explanation:
        c = self.config
        logits_IC = self.answer(batch)
        scores_BL, gap_B = self.model.attributions(batch, logits_IC, c.attribution, c.attribution_settings, self.fill)
        return Explanation(logits_IC=logits_IC, scores_BL=scores_BL, gap_B=gap_B)

    def explain(self, batch: Batch) -> Explanation:
        """The task model's logits on the full input and the explainer's scores (in the first stage, attributions)."""
        if self._stage == "task":
            return self._attributed(batch)
        outputs_BLC = self.model.outputs(batch)
        scores_BL = expected_class(outputs_BLC)
        if self.config.score == "class":
            scores_BL = outputs_BLC.argmax(-1).float() - CLASSES // 2
        return Explanation(logits_IC=self.answer(batch), scores_BL=scores_BL)

    def answer(self, batch: Batch) -> Tensor:
        """The task model's logits on the full input."""
        return self.model.perturbed(batch.rows, batch.n_choices)

    @property
    def attributes(self) -> bool:
        """In the first stage."""
        return self._stage == "task"

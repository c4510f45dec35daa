"""A2R: Understanding Interlocking Dynamics of Cooperative Rationalization (Yu et al., NeurIPS 2021)."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from unirex.data.collate import Batch, FillTokens
from unirex.encoder.backbone import encode, freeze_pooler
from unirex.methods.method import (
    Counts,
    Method,
    plausibility_term,
    rationale_fraction,
    task_term,
)
from unirex.methods.objectives import jensen_shannon, task_loss
from unirex.methods.settings.a2r import A2rConfig, A2rFacts
from unirex.methods.settings.contract import BY_ROW
from unirex.modeling import UnirexModel
from unirex.rationale.perturb import perturbed_logits
from unirex.rationale.selection import rationale_masks
from unirex.timing import part


class A2r(A2rFacts, Method):
    """Two predictors: one is given the hard rationale, one pools its hidden states by a softmax over the same scores.

    The soft one passes its gradient to the extractor; the divergence between both ties the hard one to it. The
    extractor and the hard predictor are saved and judged: on the whole input, on rationales and on true complements,
    and in a second report by construction.
    """

    selects_then_predicts = True
    config: A2rConfig

    def __init__(self, model: UnirexModel, config: A2rConfig, fill: FillTokens) -> None:
        super().__init__(model, config, fill)
        self.fraction = rationale_fraction(model, config.fraction)
        self.soft = nn.ModuleDict(
            {name: copy.deepcopy(getattr(model, name)) for name in ("backbone", "dropout", "classifier")}
        )
        freeze_pooler(self.soft["backbone"])  # attention pools in its place
        if config.plaus_weight == 0 or config.plaus_criterion in BY_ROW:
            model.hold_score_bias()

    @property
    def weights(self) -> dict[str, float]:
        """What each term counts for in the total."""
        c = self.config
        return {"task": 1.0, "soft": c.soft_weight, "gap": c.gap_weight, "plaus": c.plaus_weight}

    def forward(self, batch: Batch, counts: Counts, seed: int) -> dict[str, Tensor]:
        """This batch's share of every term's mean over the global batch (a scalar each)."""
        c = self.config
        scores_BL = self.model.scores(batch)
        rationale_KBL = torch.stack(
            [
                rationale_masks(scores_BL, batch.words_BL, fraction, unit=c.unit, pooling=c.word_score)
                for fraction in c.fractions or (self.fraction,)
            ]
        )
        hard_KIC = perturbed_logits(
            lambda rows: self.model.perturbed(rows, batch.n_choices), batch, rationale_KBL, ["keep"], c.how, self.fill
        )["keep"]
        soft_IC = self._soft_logits(batch, attention(scores_BL, batch.selectable_BL, batch.rows.visible_BL))
        task_I, soft_I = task_loss(hard_KIC, batch.labels_I).mean(0), task_loss(soft_IC, batch.labels_I)
        return {
            "task": task_term(task_I, batch, counts, self.class_weights),
            "soft": task_term(soft_I, batch, counts, self.class_weights),
            "gap": jensen_shannon(hard_KIC, soft_IC, c.gap_criterion).mean(0).sum() / counts.instances,
            "plaus": plausibility_term(scores_BL, batch, counts, c.plaus_criterion),
        }

    @part("full")
    def _soft_logits(self, batch: Batch, attention_BL: Tensor) -> Tensor:
        """The soft predictor's logits float32 [instances, C]: its hidden states' mean, weighted by attention."""
        backbone: Any = self.soft["backbone"]
        hidden_BLD = encode(backbone, batch.rows)[0]
        hidden_BLD = hidden_BLD.masked_fill(~batch.rows.visible_BL.unsqueeze(-1), 0.0)  # padding holds no values
        pooled_BD = (hidden_BLD * attention_BL.unsqueeze(-1)).sum(1)
        logits: Tensor = self.soft["classifier"](self.soft["dropout"](pooled_BD)).float()
        return self.model.by_instance(logits, batch.n_choices)


def attention(scores_BL: Tensor, selectable_BL: Tensor, visible_BL: Tensor) -> Tensor:
    """The share of each token in what the soft predictor reads, float [B, L], summing to 1 in each row, with gradient.

    The softmax of the scores of the selectable tokens; in a row without any, all visible tokens have equal shares, and
    in one without any of those (an empty text whose tokenizer adds nothing) all are 0.

    >>> scores, selectable = torch.tensor([[9.0, 0.0, 0.0]]), torch.tensor([[False, True, True]])
    >>> attention(scores, selectable, torch.ones(1, 3).bool()).tolist()
    [[0.0, 0.5, 0.5]]
    >>> attention(scores, torch.zeros(1, 3).bool(), torch.zeros(1, 3).bool()).tolist()
    [[0.0, 0.0, 0.0]]
    """
    some_B1 = selectable_BL.any(1, keepdim=True)
    inside_BL = torch.where(some_B1, selectable_BL, visible_BL)
    # Filled before the softmax: scores of other tokens must not reach a gradient.
    none_BL = ~inside_BL & inside_BL.any(1, keepdim=True)
    return torch.where(selectable_BL, scores_BL, 0.0).masked_fill(none_BL, -torch.inf).softmax(1) * inside_BL

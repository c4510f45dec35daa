"""A2R: Understanding Interlocking Dynamics of Cooperative Rationalization (Yu et al., NeurIPS 2021)."""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from unirex.backbone import encode, pool
from unirex.data.collate import Batch, Rows
from unirex.methods.method import Counts, Explanation, plausibility_term, task_term
from unirex.modeling import UnirexModel
from unirex.objectives import PlausCriterion, jensen_shannon, task_loss
from unirex.perturb import FillTokens, How, hidden_tokens, perturb
from unirex.selection import Pooling, rationale_masks


@dataclass(frozen=True, kw_only=True)
class A2rConfig:
    """Settings of A2R.

    Attributes:
        name: of the method.
        unit: what is selected, `token` or `word`.
        word_score: score of a word from its tokens.
        how: how tokens outside the rationale are hidden from the hard predictor in training.
        fraction: share of the units in the rationale; None = the run's f*, the mean gold share of the training set.
        soft_weight: weight of the soft predictor's task loss.
        gap_weight: weight of the Jensen-Shannon divergence between the two predictions.
        plaus_weight: weight of the plausibility of the scores (A2R+P above 0).
        plaus_criterion: see `unirex.objectives`.
        class_weights: weight of each class in the task terms; None = all 1.
    """

    name: str = "a2r"
    unit: Literal["token", "word"] = "token"
    word_score: Pooling = "max"
    how: How = "attention"
    fraction: float | None = None
    soft_weight: float = 1.0
    gap_weight: float = 1.0
    plaus_weight: float = 0.0
    plaus_criterion: PlausCriterion = "bce"
    class_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ValueError(f"method.fraction is {self.fraction}, expected a value in (0, 1] or null")
        for name in ("soft_weight", "gap_weight", "plaus_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"method.{name} is {getattr(self, name)}, expected a finite number of at least 0")
        if self.soft_weight == 0 and self.gap_weight == 0:
            raise ValueError("method.soft_weight and method.gap_weight are 0, expected one of them to train the scores")


class A2r(nn.Module):
    """Two predictors: one is given the hard rationale, one the whole input softly weighted by the same scores.

    The soft one passes its gradient to the extractor; the divergence between both ties the hard one to it. What is
    saved and judged is the extractor and the hard predictor: on the whole input, on rationales and on true complements,
    with the reading by construction reported beside it.
    """

    config_class: ClassVar[type[A2rConfig]] = A2rConfig
    extractors: ClassVar[tuple[str, ...]] = ("dual", "shared")
    selects_then_predicts: ClassVar[bool] = True

    def __init__(self, model: UnirexModel, config: A2rConfig, fill: FillTokens) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.fill = fill
        self.class_weights = None if config.class_weights is None else torch.tensor(config.class_weights)
        self.fraction = float(config.fraction or (model.config.run or {}).get("rationale_fraction", 0.2))
        self.soft = nn.ModuleDict(
            {name: copy.deepcopy(getattr(model, name)) for name in ("backbone", "dropout", "classifier")}
        )

    @staticmethod
    def model_settings(config: A2rConfig) -> dict[str, Any]:
        """What the method wants of the model beside what `model` says."""
        return {}

    @property
    def weights(self) -> dict[str, float]:
        """What each term counts for in the total."""
        c = self.config
        return {"task": 1.0, "soft": c.soft_weight, "gap": c.gap_weight, "plaus": c.plaus_weight}

    def forward(self, batch: Batch, counts: Counts, seed: int) -> dict[str, Tensor]:
        """This batch's share of every term's mean over the global batch (a scalar each)."""
        c = self.config
        scores_BL = self.model.scores(batch)
        rationale_BL = rationale_masks(scores_BL, batch.words_BL, self.fraction, unit=c.unit, pooling=c.word_score)
        hidden_BL = hidden_tokens(rationale_BL, batch.selectable_BL, "keep")
        hard_IC = self.model.perturbed(perturb(batch.rows, hidden_BL, c.how, self.fill), batch.n_choices)
        soft_IC = self._soft_logits(batch, attention(scores_BL, batch.selectable_BL))
        task_I, soft_I = task_loss(hard_IC, batch.labels_I), task_loss(soft_IC, batch.labels_I)
        return {
            "task": task_term(task_I, batch, counts, self.class_weights),
            "soft": task_term(soft_I, batch, counts, self.class_weights),
            "gap": jensen_shannon(hard_IC, soft_IC).sum() / counts.instances,
            "plaus": plausibility_term(scores_BL, batch, counts, c.plaus_criterion),
        }

    def _soft_logits(self, batch: Batch, attention_BL: Tensor) -> Tensor:
        """The soft predictor's logits float32 [instances, C]: every embedding is weighted by its attention."""
        backbone: Any = self.soft["backbone"]
        embeddings_BLD = backbone.get_input_embeddings()(batch.rows.input_ids_BL) * attention_BL.unsqueeze(-1)
        hidden_BLD, pooler_BD = encode(backbone, batch.rows, embeddings_BLD)
        pooled_BD = pool(hidden_BLD, pooler_BD, batch.rows.visible_BL, self.model.pooling)
        logits: Tensor = self.soft["classifier"](self.soft["dropout"](pooled_BD)).float()
        return logits.view(-1, batch.n_choices) if self.model.config.choice else logits

    def explain(self, batch: Batch) -> Explanation:
        """The hard predictor's logits on the full input and the extractor's scores."""
        logits_IC, scores_BL = self.model.full(batch)
        assert scores_BL is not None
        return Explanation(logits_IC=logits_IC, scores_BL=scores_BL)

    def perturbed(self, rows: Rows, n_choices: int, max_tokens: int | None) -> Tensor:
        """Logits float32 [instances, C] of rows in which tokens may be hidden."""
        return self.model.perturbed(rows, n_choices, max_tokens)


def attention(scores_BL: Tensor, selectable_BL: Tensor) -> Tensor:
    """How much of each token's embedding the soft predictor is given, float [B, L] in (0, 1], with gradient.

    The softmax over the selectable tokens, relative to its largest value, so that a text's length does not matter: the
    token of the highest score is passed whole. Tokens that are not selectable are passed whole.

    >>> scores, selectable = torch.tensor([[9.0, 0.0, 0.0]]), torch.tensor([[False, True, True]])
    >>> attention(scores, selectable).tolist()
    [[1.0, 1.0, 1.0]]
    """
    highest_B1 = scores_BL.masked_fill(~selectable_BL, -torch.inf).amax(1, keepdim=True)
    highest_B1 = torch.where(highest_B1.isinf(), 0.0, highest_B1)
    # Filled before the exponential: an overflow at a token that is not selectable must not reach a gradient.
    return (scores_BL - highest_B1).masked_fill(~selectable_BL, 0.0).exp()

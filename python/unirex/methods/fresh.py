"""FRESH: Learning to Faithfully Rationalize by Construction (Jain et al., ACL 2020)."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from unirex.data.collate import Batch, FillTokens, Rows
from unirex.extractors.attribution import Attribution, AttributionConfig
from unirex.methods.method import Counts, Explanation, Stage, plausibility_term, task_term
from unirex.methods.objectives import BY_ROW, PlausCriterion, task_loss
from unirex.methods.remembered import Remembered
from unirex.modeling import UnirexModel
from unirex.rationale.perturb import How, hidden_tokens, perturb
from unirex.rationale.selection import Pooling, Rounding, rationale_masks

StageName = Literal["support", "predictor"]


@dataclass(frozen=True, kw_only=True)
class FreshConfig:
    """Settings of FRESH.

    Attributes:
        name: of the method.
        unit: what is selected, `token` or `word`.
        word_score: score of a word from its tokens.
        how: how tokens outside the rationale are hidden from the predictor in training.
        fraction: share of the units in the rationale; None = the run's f*, the mean gold share of the training set.
        shape: `top_k` units, or one `contiguous` run of them.
        rounding: of fraction * n: `half_even`, `ceil` as in the FRESH code, or `floor` as in the UNIREX code.
        attribution: what the support classifier is explained by; the paper's default is attention.
        explainer: settings of that attribution.
        support_epochs: most epochs of the support classifier; None = `train.epochs`.
        plaus_weight: above 0 (FRESH+P) the support classifier has a score head, trained on human rationales beside
            the task, and it is the head's scores that rationales come from.
        plaus_criterion: see `unirex.methods.objectives`.
        class_weights: weight of each class in the task terms; None = all 1.
    """

    name: str = "fresh"
    unit: Literal["token", "word"] = "token"
    word_score: Pooling = "max"
    how: How = "attention"
    fraction: float | None = None
    shape: Literal["top_k", "contiguous"] = "top_k"
    rounding: Rounding = "half_even"
    attribution: Attribution = "attention"
    explainer: AttributionConfig = field(default_factory=AttributionConfig)
    support_epochs: int | None = None
    plaus_weight: float = 0.0
    plaus_criterion: PlausCriterion = "bce"
    class_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ValueError(f"method.fraction is {self.fraction}, expected a value in (0, 1] or null")
        if not 0 <= self.plaus_weight < float("inf"):
            raise ValueError(f"method.plaus_weight is {self.plaus_weight}, expected a finite number of at least 0")
        if self.support_epochs is not None and self.support_epochs < 1:
            raise ValueError(f"method.support_epochs is {self.support_epochs}, expected at least 1 or null")


class Fresh(nn.Module):
    """A support classifier is trained and explained; a predictor is trained on its rationales alone.

    Judged like every model: p(full) is the predictor's on the whole input, and a rationale's complement is the true
    one. The reading by construction (the rationale is all the predictor is ever asked about) is reported beside it.
    """

    config_class: ClassVar[type[FreshConfig]] = FreshConfig
    extractors: ClassVar[tuple[str, ...]] = ("support",)
    selects_then_predicts: ClassVar[bool] = True

    def __init__(self, model: UnirexModel, config: FreshConfig, fill: FillTokens) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.fill = fill
        self.class_weights = None if config.class_weights is None else torch.tensor(config.class_weights)
        self.fraction = float(config.fraction or (model.config.run or {}).get("rationale_fraction", 0.2))
        if config.plaus_criterion in BY_ROW:
            model.hold_score_bias()
        self._stage: StageName = "predictor"
        self._remembered = Remembered()

    @staticmethod
    def model_settings(config: FreshConfig) -> dict[str, Any]:
        """What the method wants of the model beside what `model` says."""
        return {"support_head": config.plaus_weight > 0}

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Support classifier first, then the predictor."""
        return (Stage(name="support", epochs=self.config.support_epochs), Stage(name="predictor"))

    def enter(self, stage: StageName) -> None:
        """Frees the weights of the stage's classifier and freezes the other's; answers are the stage's from here on."""
        self._stage = stage
        self._remembered = Remembered()
        support = self.model.extractor
        assert support is not None
        for parameter in self.model.parameters():
            parameter.requires_grad_(stage == "predictor")
        support.requires_grad_(stage == "support")
        self.model.freeze_unused()
        self.train(self.training)

    def train(self, mode: bool = True) -> "Fresh":
        """Training mode, but for the frozen support classifier, which explains without dropout."""
        super().train(mode)
        if self._stage == "predictor" and self.model.extractor is not None:
            self.model.extractor.eval()
        return self

    @property
    def weights(self) -> dict[str, float]:
        """What each term counts for in the total."""
        return {"task": 1.0, "plaus": self.config.plaus_weight}

    def forward(self, batch: Batch, counts: Counts, seed: int) -> dict[str, Tensor]:
        """This batch's share of every term's mean over the global batch (a scalar each)."""
        if self._stage == "support":
            logits_IC, scores_BL = self.model.support(batch)
            terms = {"task": task_term(task_loss(logits_IC, batch.labels_I), batch, counts, self.class_weights)}
            if scores_BL is not None:
                terms["plaus"] = plausibility_term(scores_BL, batch, counts, self.config.plaus_criterion)
            return terms
        rationale_BL = self._remembered(batch, lambda: self._rationale(batch))
        hidden_BL = hidden_tokens(rationale_BL, batch.selectable_BL, "keep")
        logits_IC = self.model.perturbed(perturb(batch.rows, hidden_BL, self.config.how, self.fill), batch.n_choices)
        return {"task": task_term(task_loss(logits_IC, batch.labels_I), batch, counts, self.class_weights)}

    @torch.no_grad()
    def _rationale(self, batch: Batch) -> Tensor:
        c = self.config
        return rationale_masks(
            self._explain_support(batch).scores_BL,
            batch.words_BL,
            self.fraction,
            unit=c.unit,
            pooling=c.word_score,
            rounding=c.rounding,
            shape=c.shape,
        )

    def _explain_support(self, batch: Batch) -> Explanation:
        """The support classifier's logits and scores."""
        logits_IC, scores_BL = self.model.support(batch)
        gap_B = None
        if scores_BL is None:
            c = self.config
            scores_BL, gap_B = self.model.attributions(batch, logits_IC, c.attribution, c.explainer, self.fill)
        return Explanation(logits_IC=logits_IC, scores_BL=scores_BL, gap_B=gap_B)

    def explain(self, batch: Batch) -> Explanation:
        """Logits on the full input, of the predictor once it is its turn, and the support classifier's scores."""
        support = self._explain_support(batch)
        if self._stage == "support":
            return support
        return replace(support, logits_IC=self.model.full(batch)[0])

    def perturbed(self, rows: Rows, n_choices: int, max_tokens: int | None) -> Tensor:
        """Logits float32 [instances, C] of rows in which tokens may be hidden."""
        if self._stage == "support":
            return self.model.support_perturbed(rows, n_choices, max_tokens)
        return self.model.perturbed(rows, n_choices, max_tokens)

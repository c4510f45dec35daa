"""Classifiers of rows that attribution can explain: the task model, and FRESH's support classifier."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from unirex.data.collate import Batch, FillTokens, Rows
from unirex.encoder.backbone import Pooling, encode, encode_pooled, pool
from unirex.extractors.attribution import attribute, with_logits
from unirex.extractors.settings import IN_TRAINING, Attribution, AttributionConfig
from unirex.extractors.target import Target
from unirex.timing import part


@contextmanager
def _without_dropout(model: "RowClassifier") -> Iterator[None]:
    was = model.backbone.training, model.dropout.training
    model.backbone.eval()
    model.dropout.eval()
    try:
        yield
    finally:
        model.backbone.train(was[0])
        model.dropout.train(was[1])


class RowClassifier:
    """A backbone, dropout and a linear map from a row's vector to logits, as a part of a module that holds them.

    Attributes:
        backbone, dropout, classifier: what it is made of.
        pooling: how a row becomes a vector.
        choice: multiple choice, one logit a row and one softmax over the rows of an instance.
    """

    backbone: PreTrainedModel
    dropout: nn.Dropout
    classifier: nn.Linear
    pooling: Pooling
    choice: bool

    @property
    def vector_head(self) -> nn.Module | None:
        """What turns attribution vectors into scores instead of their sum or length."""
        return None

    def classify(self, pooled_BD: Tensor) -> Tensor:
        """Row logits float32 [B, C] of pooled rows; one column with multiple choice."""
        logits_BC: Tensor = self.classifier(self.dropout(pooled_BD))
        return logits_BC.float()

    @part("full")
    def full(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Logits float32 [instances, C] on the full input and scores float32 [B, L], in one pass where shared.

        No scores where they do not come from such a pass.
        """
        hidden_BLD, pooler_BD = encode(self.backbone, batch.rows)
        pooled_BD = pool(hidden_BLD, pooler_BD, batch.rows.visible_BL, self.pooling)
        return self.by_instance(self.classify(pooled_BD), batch.n_choices), self.own_scores(batch, hidden_BLD)

    def own_scores(self, batch: Batch, hidden_BLD: Tensor) -> Tensor | None:
        """Scores float32 [B, L] that are no attributions; None where there are none."""
        return None

    def by_instance(self, logits_BC: Tensor, n_choices: int) -> Tensor:
        """Row logits as logits of instances, whose choices are the columns."""
        return logits_BC.view(-1, n_choices) if self.choice else logits_BC

    @part("perturbed")
    def perturbed(self, rows: Rows, n_choices: int = 1, max_tokens: int | None = None) -> Tensor:
        """Logits float32 [instances, C] of rows in which tokens may be hidden."""
        pooled_BD = encode_pooled(self.backbone, rows, self.pooling, max_tokens=max_tokens)
        return self.by_instance(self.classify(pooled_BD), n_choices)

    def target(self, batch: Batch, class_I: Tensor, max_tokens: int, fill: FillTokens) -> Target:
        """What attribution explains: the logits of `class_I`."""
        return Target(
            backbone=self.backbone,
            classify=self.classify,
            pooling=self.pooling,
            rows=batch.rows,
            selectable_BL=batch.selectable_BL,
            class_B=torch.zeros_like(batch.words_BL[:, 0]) if self.choice else class_I,
            fill=fill,
            max_tokens=max_tokens,
        )

    def embedded(self, batch: Batch, factors_BLD: Tensor, max_tokens: int, fill: FillTokens) -> Tensor:
        """Logits float32 [instances, C] of the full input whose embeddings are multiplied by factors."""
        target = self.target(batch, torch.zeros_like(batch.labels_I), max_tokens, fill)
        return self.by_instance(target.scaled(factors_BLD), batch.n_choices)

    def attributions(
        self,
        batch: Batch,
        logits_IC: Tensor,
        attribution: Attribution,
        config: AttributionConfig,
        fill: FillTokens,
        *,
        head: nn.Module | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Scores float32 [B, L] of the predicted class's logit (multiple choice: of each row's own), without gradient.

        Second, what they miss of completeness, where that means something; see `attribute`. Vectors become scores by
        `head`, which only the attribution it was trained with has (`vector_head`); by their sum or length without it.
        """
        target = self.target(batch, logits_IC.argmax(1), config.max_tokens, fill)
        return attribute(target, batch.words_BL, attribution, config, head)

    @part("extractor")
    def attributed(
        self,
        batch: Batch,
        class_I: Tensor,
        attribution: Attribution,
        config: AttributionConfig,
        fill: FillTokens,
        *,
        train_scores: bool,
    ) -> tuple[Tensor, Tensor]:
        """Logits float32 [instances, C], and as scores attributions of `class_I` (choices: of each row's logit).

        With `train_scores` the scores carry gradient to every weight of the classifier, a second derivative.
        """
        target = self.target(batch, class_I, config.max_tokens, fill)
        if not train_scores and attribution not in IN_TRAINING:
            logits_IC = self.perturbed(batch.rows, batch.n_choices)
            with _without_dropout(self):  # each of its passes would hide other parts
                scores_BL, _ = attribute(target, batch.words_BL, attribution, config, self.vector_head)
            return logits_IC, scores_BL
        logits_BC, scores_BL = with_logits(
            target, attribution, config.pooling_of(attribution), self.vector_head, train_scores=train_scores
        )
        return self.by_instance(logits_BC, batch.n_choices), scores_BL

"""What attribution explains: one logit per row, as a function of the row's embeddings or of its tokens."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from unirex.data.collate import FillTokens, Rows
from unirex.encoder.backbone import Pooling, encode, encode_pooled, pool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Target:
    """A classifier, B rows and the class of each that is to be explained.

    Expanded passes (a row repeated for steps, samples or hidden tokens) say by an index which row each repeat belongs
    to; `chunks` cuts them so that only one expanded micro-batch lives.

    Attributes:
        backbone: of the classifier.
        classify: pooled rows [P, D] to logits [P, C].
        pooling: how a row becomes a vector.
        rows: the input.
        selectable_BL: bool, the tokens that scores are wanted of.
        class_B: int64, the explained class (column of the logits) of each row.
        fill: ids that stand for nothing.
        max_tokens: most tokens of one expanded micro-batch, padding included.
    """

    backbone: PreTrainedModel
    classify: Callable[[Tensor], Tensor]
    pooling: Pooling
    rows: Rows
    selectable_BL: Tensor
    class_B: Tensor
    fill: FillTokens
    max_tokens: int

    @property
    def embeddings_BLD(self) -> Tensor:
        """The input embeddings of the rows' tokens, with gradient to the embedding table."""
        embedded: Tensor = self.backbone.get_input_embeddings()(self.rows.input_ids_BL)
        return embedded

    @property
    def baseline_BLD(self) -> Tensor:
        """The embeddings of an input that says nothing: padding at every selectable token, all others kept."""
        blank_BL = self.rows.input_ids_BL.masked_fill(self.selectable_BL, self.fill.pad_id)
        embedded: Tensor = self.backbone.get_input_embeddings()(blank_BL)
        return embedded

    def logits(self, embeddings_PLD: Tensor, index_P: Tensor | None = None) -> Tensor:
        """Logits float32 [P, C] of embedded rows; `index_P` says which row each one is, by default each row once."""
        rows = self.rows if index_P is None else self.rows.take(index_P)
        hidden_PLD, pooler_PD = encode(self.backbone, rows, embeddings_PLD)
        return self.classify(pool(hidden_PLD, pooler_PD, rows.visible_BL, self.pooling)).float()

    def scaled(self, factors_BLD: Tensor) -> Tensor:
        """Logits float32 [B, C] of the rows whose embeddings are multiplied by factors."""
        embeddings_BLD = self.embeddings_BLD
        return torch.cat(
            [self.logits(embeddings_BLD[row_P] * factors_BLD[row_P], row_P) for _, row_P in self.chunks(1)]
        )

    def logit(self, embeddings_PLD: Tensor, index_P: Tensor) -> Tensor:
        """The explained logit of embedded rows, float32 [P]."""
        return self.of_class(self.logits(embeddings_PLD, index_P), index_P)

    def logit_of_rows(self, rows: Rows, index_P: Tensor) -> Tensor:
        """The explained logit of rows in which tokens may be hidden, float32 [P]."""
        pooled_PD = encode_pooled(self.backbone, rows, self.pooling, max_tokens=self.max_tokens)
        return self.of_class(self.classify(pooled_PD).float(), index_P)

    def of_class(self, logits_PC: Tensor, index_P: Tensor | None = None) -> Tensor:
        """The column of the explained class, [P]."""
        class_P = self.class_B if index_P is None else self.class_B[index_P]
        return logits_PC.gather(1, class_P[:, None]).squeeze(1)

    def chunks(self, copies: int, tokens_each: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs (copy, row) in micro-batches, int64 [P] each: all rows of copy 0, then of copy 1, and so on.

        Args:
            copies: how often each row is repeated.
            tokens_each: tokens that one pair costs; by default the width of the rows.
        """
        n, width = self.rows.input_ids_BL.shape
        size = max(1, self.max_tokens // max(1, tokens_each or width))
        for start in range(0, copies * n, size):
            pair_P = torch.arange(start, min(start + size, copies * n), device=self.rows.input_ids_BL.device)
            yield pair_P // n, pair_P % n

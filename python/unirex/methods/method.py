"""What every method gets and gives."""

from dataclasses import dataclass

import torch
from torch import Tensor

from unirex.data.collate import Batch


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What a loss term is divided by: sums over the global batch (all processes, all accumulated micro-batches).

    Attributes:
        instances: labelled instances.
        gold_tokens: selectable tokens of rows with a human rationale.
        gold_positive: the gold mass among them (the number of marked tokens, where gold is 0 or 1).
        gold_rows: rows with a human rationale.
        progress: share of the training's steps that are done, in [0, 1).
    """

    instances: float
    gold_tokens: float
    gold_positive: float
    gold_rows: float
    progress: float = 0.0

    @classmethod
    def of(cls, batch: Batch) -> Tensor:
        """The counts of one batch as a float64 tensor [4], in the order of the fields, to be summed."""
        counted_BL = batch.selectable_BL & batch.has_gold_B[:, None]
        return torch.stack(
            [
                torch.tensor(float(len(batch.labels_I)), dtype=torch.float64, device=batch.labels_I.device),
                counted_BL.sum().double(),
                (batch.gold_BL * counted_BL).sum().double(),
                batch.has_gold_B.sum().double(),
            ]
        )

    @property
    def pos_weight(self) -> float:
        """#negative / #positive tokens; 1 where there is nothing to balance."""
        negative = self.gold_tokens - self.gold_positive
        return negative / self.gold_positive if self.gold_positive > 0 and negative > 0 else 1.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Explanation:
    """A method's answer for a batch.

    Attributes:
        logits_IC: float32, on the full input.
        scores_BL: float32, one per token, higher = more important; of no meaning at tokens that are not selectable.
    """

    logits_IC: Tensor
    scores_BL: Tensor

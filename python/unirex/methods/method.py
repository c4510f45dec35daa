"""What every method gets and gives."""

from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any, get_type_hints

import torch
from torch import Tensor

from unirex.data.collate import Batch
from unirex.methods.objectives import BY_ROW, PlausCriterion, plausibility_loss


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
        gap_B: of attributions that should sum to a change of the logit: the share of it that they miss.
    """

    logits_IC: Tensor
    scores_BL: Tensor
    gap_B: Tensor | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A part of training that begins with the best model of the part before.

    A method with several has `stages` (their order) and `enter(name)`, which freezes and frees weights; what it
    answers (`explain`, `perturbed`) is then that part's model.

    Attributes:
        name: also the folder of its checkpoints.
        epochs: most passes over the training set; None = `train.epochs`.
    """

    name: str
    epochs: int | None = None


def plausibility_term(scores_BL: Tensor, batch: Batch, counts: Counts, criterion: PlausCriterion = "bce") -> Tensor:
    """This batch's share of the mean plausibility loss over the gold of the global batch (`kl`, `ranking`: its rows).

    A batch without gold gives a zero that still has a gradient, which data-parallel training waits for.
    """
    counted_BL = batch.selectable_BL & batch.has_gold_B[:, None]
    loss_BL = plausibility_loss(scores_BL, batch.gold_BL, counted_BL, criterion=criterion, pos_weight=counts.pos_weight)
    return loss_BL.sum() / max(counts.gold_rows if criterion in BY_ROW else counts.gold_tokens, 1.0)


def task_term(loss_I: Tensor, batch: Batch, counts: Counts, class_weights: Tensor | None) -> Tensor:
    """This batch's share of the mean task loss over the global batch, each instance weighted by its class."""
    if class_weights is not None:
        loss_I = loss_I * class_weights.to(loss_I.device)[batch.labels_I]
    return loss_I.sum() / counts.instances


def saved_config(kind: Any, settings: Mapping[str, Any]) -> Any:
    """A method's configuration from its settings as a saved model holds them (lists for tuples, dicts for parts)."""
    hints = get_type_hints(kind)
    values = {}
    for name, value in settings.items():
        if isinstance(value, dict) and is_dataclass(hints.get(name)):
            values[name] = saved_config(hints[name], value)
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)

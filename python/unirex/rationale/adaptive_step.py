"""The step of adaptive I-MLE: one number for all rows, learned while training."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

_START, _DECAY = 0.5, 0.9


class AdaptiveStep(nn.Module):
    """How far `aimle` moves scores against a gradient, as a share of the length of a row's centred scores.

    A step that moves no mark gives no gradient, and one that moves many gives a biased one. After each optimizer step
    the size goes up by `rate` where the moving average of the marks moved per selection is below `target`, and down by
    `rate` where it is not (Minervini et al. 2023, adaptive I-MLE, section 3). Differences from the public code: lengths
    are those of a row and not of a batch, so that the result does not depend on how a batch is cut; selections without
    a choice or without a gradient are not counted; and the start (0.5) and the rate suit a few hundred steps.

    `size` and `moved` are buffers, so that a checkpoint holds them. What a step counts is summed over its micro-batches
    and, by `update`, over processes; all of them work with the size that the step began with. A step that is done
    again because memory ran out counts the selections of the failed attempt, too.

    Args:
        target: marks moved per selection, above 0.
        rate: by how much the size changes after a step, above 0.
    """

    size: Tensor
    moved: Tensor

    def __init__(self, target: float, rate: float) -> None:
        super().__init__()
        self.target = target
        self.rate = rate
        self.register_buffer("size", torch.tensor(_START))
        self.register_buffer("moved", torch.tensor(target))
        # Not a buffer: data-parallel training would copy the first process's to the others.
        self._tally: Tensor | None = None

    def count(self, moved_N: Tensor) -> None:
        """Adds selections of this step by how many marks moved in each, int64 [N]."""
        found = torch.stack([moved_N.sum().double(), torch.tensor(float(len(moved_N)), device=moved_N.device).double()])
        self._tally = found if self._tally is None else self._tally + found

    @torch.no_grad()
    def update(self, total: Callable[[Tensor], Tensor]) -> None:
        """Adapts the size to what was counted since the last call; `total` sums a tensor over processes.

        >>> step = AdaptiveStep(target=1.0, rate=0.1)
        >>> step.count(torch.tensor([0, 0, 2]))
        >>> step.update(lambda tally: tally)
        >>> round(step.moved.item(), 4), round(step.size.item(), 4)
        (0.9667, 0.6)
        """
        tally = torch.zeros(2, dtype=torch.float64, device=self.size.device) if self._tally is None else self._tally
        moved, selections = total(tally).tolist()
        self._tally = None
        if selections == 0:
            return
        self.moved.mul_(_DECAY).add_((1 - _DECAY) * moved / selections)
        self.size.add_(self.rate if self.moved.item() < self.target else -self.rate).clamp_(min=0.0)

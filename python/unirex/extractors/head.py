"""The head that turns a hidden state into a score."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

HeadKind = Literal["linear", "mlp"]


class ScoreHead(nn.Module):
    """Numbers of each token, usually one, its score: a linear map, or an MLP with ReLU (UNIREX: 2 layers of 2048).

    Weights begin as torch draws those of a linear layer.
    """

    def __init__(self, width: int, kind: HeadKind, hidden: int, layers: int, outputs: int = 1) -> None:
        super().__init__()
        widths = [width] + ([hidden] * layers if kind == "mlp" else [])
        blocks: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            blocks += [nn.Linear(narrow, wide), nn.ReLU()]
        self.layers = nn.Sequential(*blocks, nn.Linear(widths[-1], outputs))
        self._hold: RemovableHandle | None = None

    def forward(self, hidden_BLD: Tensor) -> Tensor:
        """What the last layer gives, float [B, L, N], in the precision of its weights regardless of autocast.

        Rounded to bfloat16, two of a sentence's scores would be equal in one sentence of four, and equal scores go by
        position.
        """
        *blocks, last = self.layers
        for block in blocks:
            hidden_BLD = block(hidden_BLD)
        with torch.autocast(hidden_BLD.device.type, enabled=False):
            found: Tensor = last(hidden_BLD.to(next(last.parameters()).dtype))
        return found

    def hold_bias(self, *, held: bool = True) -> None:
        """Makes the gradient of the last bias zero, so that no step moves it, or ends that.

        Where a loss does not change when all scores shift, that gradient is nothing but rounding, of which Adam makes
        steps as long as any other. The bias stays among the trained weights: checkpoints have its place in them.
        """
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        if self._hold is not None:
            self._hold.remove()
        self._hold = last.bias.register_hook(torch.zeros_like) if held else None

"""The head that turns a hidden state into a score."""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

HeadKind = Literal["linear", "mlp"]


class ScoreHead(nn.Module):
    """One score per token: a linear map, or an MLP with ReLU (UNIREX uses 2 hidden layers of 2048)."""

    def __init__(self, width: int, kind: HeadKind, hidden: int, layers: int) -> None:
        super().__init__()
        widths = [width] + ([hidden] * layers if kind == "mlp" else [])
        blocks: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            blocks += [nn.Linear(narrow, wide), nn.ReLU()]
        self.layers = nn.Sequential(*blocks, nn.Linear(widths[-1], 1))

    def forward(self, hidden_BLD: Tensor) -> Tensor:
        """Scores float [B, L], higher = more important."""
        scores_BL1: Tensor = self.layers(hidden_BLD)
        return scores_BL1.squeeze(-1)


def init_linear(module: nn.Module, std: float) -> None:
    """Draws the weights of every linear layer in `module` from a normal distribution, biases zero."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)

"""Dropout on a CPU with four random numbers from one draw; torch draws for each value, which costs twice as much."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

_LEVELS = 1 << 16  # of a 16-bit number; a probability is rounded to one of them


def kept_values(values: Tensor, probability: float) -> Tensor:
    """Which values stay, each with 1 - probability: bool, of their shape and on their device."""
    if values.device.type != "cpu":
        return torch.rand_like(values) >= probability
    n_draws = (values.numel() + 3) // 4
    numbers = torch.empty(n_draws, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    level = min(round(probability * _LEVELS), _LEVELS - 1) - _LEVELS // 2
    return (numbers[: values.numel()] >= level).view(values.shape)


def drop(values: Tensor, probability: float) -> Tensor:
    """Values, dropped to 0 with a probability in [0, 1) or divided by 1 - probability."""
    if values.device.type != "cpu" or probability in (0, 1):
        return F.dropout(values, probability)
    return values * kept_values(values, probability).to(values.dtype).mul_(1 / (1 - probability))


class Dropout(nn.Dropout):
    """`nn.Dropout` by `drop`."""

    def forward(self, values: Tensor) -> Tensor:
        """Drops in training, and returns the values as they are elsewhere."""
        return drop(values, self.p) if self.training else values


def take_dropout(backbone: PreTrainedModel) -> None:
    """Exchanges a backbone's own modules of dropout, where they drop anything."""
    for module in list(backbone.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout and 0 < child.p < 1:
                setattr(module, name, Dropout(child.p))

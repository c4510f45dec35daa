"""AdamW, its learning rate at each step, and its variant without bias correction."""

import math

import torch
from torch import nn

from unirex.config.run import TrainConfig


def adamw(method: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW in two groups: matrices decay, biases and norms do not."""
    parameters = [p for p in method.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    # One kernel for all of an update, where the device has it: the same arithmetic in one pass over memory.
    fused = all(p.device.type in ("cpu", "cuda") and p.dtype == torch.float32 for p in parameters)
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=fused)


def learning_rate(step: int, total: int, config: TrainConfig) -> float:
    """Learning rate of a step (from 0): linear warm-up, then linear decay to 0 after the last."""
    warm = round(config.warmup * total)
    if step < warm:
        return config.lr * (step + 1) / warm
    return config.lr * (total - step) / max(1, total - warm)


def updates(optimizer: torch.optim.Optimizer) -> int:
    """How many updates AdamW has made: fewer than there were steps where the scaler of float16 has left some out."""
    return next((int(state["step"]) for state in optimizer.state.values() if "step" in state), 0)


def uncorrected(lr: float, weight_decay: float, done: int, config: TrainConfig) -> dict[str, float]:
    """AdamW's settings for the update after those `done` with which its bias correction cancels out.

    The corrected update is lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps); the uncorrected one, which BERT was
    trained with, is lr * m / (sqrt(v) + eps).
    """
    first, second = (1 - beta ** (done + 1) for beta in config.betas)
    scale = first / math.sqrt(second)
    return {"lr": lr * scale, "eps": config.eps / math.sqrt(second), "weight_decay": weight_decay / scale}

"""Selections by brute force: the projection on the capped simplex, and the gradient of an expected selection."""

import itertools

import torch
from torch import Tensor


def capped_simplex(x: list[float], k: int) -> list[float]:
    """The point of {0 <= p <= 1, sum p = k} nearest to x, found by trying which entries are 0, 1 or between.

    Between, p = x - t for one t (the multiplier of the sum); of all points made so that are allowed, the nearest.
    """
    best, nearest = float("inf"), []
    for kinds in itertools.product("0-1", repeat=len(x)):
        between = [i for i, kind in enumerate(kinds) if kind == "-"]
        rest = k - kinds.count("1")
        if not between and rest != 0:
            continue
        t = (sum(x[i] for i in between) - rest) / len(between) if between else 0.0
        p = [x[i] - t if kind == "-" else float(kind) for i, kind in enumerate(kinds)]
        if any(not -1e-12 <= value <= 1 + 1e-12 for value in p):
            continue
        distance = sum((a - b) ** 2 for a, b in zip(x, p, strict=True))
        if distance < best:
            best, nearest = distance, p
    return nearest


def expected_gradient(scores: Tensor, weight: Tensor, k: int, scale: float) -> Tensor:
    """The gradient by the scores [U] of the expected weight of the k units that score highest under Gumbel noise.

    The highest k of scores + scale * Gumbel are a draw without replacement in the order of the ranks (Plackett-Luce).
    """
    leaf = scores.clone().requires_grad_()
    expected = torch.zeros((), dtype=leaf.dtype)
    for order in itertools.permutations(range(len(scores)), k):
        left, log_p = list(range(len(scores))), torch.zeros((), dtype=leaf.dtype)
        for unit in order:
            log_p = log_p + leaf[unit] / scale - torch.logsumexp(leaf[left] / scale, 0)
            left.remove(unit)
        expected = expected + log_p.exp() * weight[list(order)].sum()
    return torch.autograd.grad(expected, leaf)[0]

"""HardKuma: Interpretable Neural Predictions with Differentiable Binary Variables (Bastings et al., ACL 2019)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unirex.data.collate import Batch, FillTokens
from unirex.disk.checkpoint import rng_seed
from unirex.methods.method import Counts, Explanation, Method, MethodConfig, Total, task_term
from unirex.methods.objectives import task_loss
from unirex.modeling import UnirexModel
from unirex.rationale.perturb import gate_tokens

LOW, HIGH = -0.1, 1.1
"""What (0, 1) is stretched to before it is cut back to [0, 1]."""
ZERO, ONE = (0 - LOW) / (HIGH - LOW), (1 - LOW) / (HIGH - LOW)
"""Where 0 and 1 lie before the stretch."""


@dataclass(frozen=True, kw_only=True)
class HardKumaConfig(MethodConfig):
    """Settings of HardKuma.

    Attributes:
        name: of the method.
        rate: share of a text's selectable tokens that is to be selected.
        jumps: changes between selected and not selected that a text is to have, as a share of its neighbours (the fused
            lasso); None = any.
        step, most: of each Lagrange multiplier: how fast it moves while its share is not what it is to be, and its
            largest size.
        damping: of the same moving average, what is added to the multiplier, so that the share settles.
        decay: of the moving average of what the share is off by, in [0, 1).
    """

    name: str = "hardkuma"
    rate: float = 0.3
    jumps: float | None = None
    step: float = 0.1
    most: float = 10.0
    damping: float = 2.0
    decay: float = 0.5

    def __post_init__(self) -> None:
        """Checks the ranges."""
        for name, value in (("rate", self.rate), ("jumps", self.jumps)):
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"method.{name} is {value}, expected a value in (0, 1]")
        for name in ("step", "most", "damping"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"method.{name} is {getattr(self, name)}, expected a finite number above 0")
        if not 0 <= self.decay < 1:
            raise ValueError(f"method.decay is {self.decay}, expected 0 up to but not 1")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Gates:
    """Independent HardKuma distributions: a Kumaraswamy(a, b), stretched to (LOW, HIGH) and cut back to [0, 1].

    >>> even = Gates(a_BL=torch.ones(1, 1), b_BL=torch.ones(1, 1))  # the uniform distribution
    >>> round(even.zero_BL.item(), 4), round(even.one_BL.item(), 4), even.drawn(torch.full((1, 1), 0.5)).item()
    (0.0833, 0.0833, 0.5)
    """

    a_BL: Tensor
    b_BL: Tensor

    @classmethod
    def of(cls, outputs_BL2: Tensor) -> "Gates":
        """From two numbers a token."""
        a_BL, b_BL = F.softplus(outputs_BL2.float()).clamp(0.01, 100.0).unbind(-1)
        return cls(a_BL=a_BL, b_BL=b_BL)

    def _above(self, place: float) -> Tensor:
        """P(x > place) of the Kumaraswamy: (1 - place^a)^b."""
        return torch.exp(self.b_BL * torch.log1p(-torch.exp(self.a_BL * math.log(place))))

    @property
    def zero_BL(self) -> Tensor:
        """P(z = 0)."""
        return 1 - self._above(ZERO)

    @property
    def one_BL(self) -> Tensor:
        """P(z = 1)."""
        return self._above(ONE)

    def drawn(self, noise_BL: Tensor) -> Tensor:
        """Gates in [0, 1] from uniform noise, with gradient: the inverse of P(x > place), stretched and cut."""
        x_BL = torch.exp(torch.log(-torch.expm1(noise_BL.log() / self.b_BL)) / self.a_BL)
        return (LOW + (HIGH - LOW) * x_BL).clamp(0, 1)

    @property
    def decided_BL(self) -> Tensor:
        """Gates without chance: 0, 1, or the mean of what lies between, whichever is likeliest."""
        inner = 1 + 1 / self.a_BL
        log_mean = torch.lgamma(inner) + torch.lgamma(self.b_BL) - torch.lgamma(inner + self.b_BL)
        mean_BL = (LOW + (HIGH - LOW) * self.b_BL * log_mean.exp()).clamp(0, 1)
        zero_BL, one_BL = self.zero_BL, self.one_BL
        between_BL = 1 - zero_BL - one_BL
        outside_BL = torch.where(zero_BL > one_BL, 0.0, 1.0)
        return torch.where(torch.maximum(zero_BL, one_BL) > between_BL, outside_BL, mean_BL)


class Multiplier(nn.Module):
    """A Lagrange multiplier of an equation: rises while its share is too large, falls (below 0, too) while too small.

    What the share counts for is the multiplier and a part of what the share is off by (augmented Lagrangian).

    Both numbers are buffers, so that checkpoints hold them.
    """

    value: Tensor
    average: Tensor

    def __init__(self, config: HardKumaConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("value", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("average", torch.tensor(0.0, dtype=torch.float64))

    @property
    def weight(self) -> float:
        """What the share counts for in the loss."""
        return float(self.value + self.config.damping * self.average)

    @torch.no_grad()
    def update(self, excess: Tensor) -> None:
        """Goes by the moving average of what the share is too large by, in the batches of all processes."""
        c = self.config
        self.average.mul_(c.decay).add_((1 - c.decay) * excess.double())
        self.value.add_(c.step * self.average).clamp_(-c.most, c.most)


class HardKuma(Method):
    """Each token has a gate between hidden and seen, drawn from a distribution that the extractor gives it.

    The task model answers through the gates, as attention sees them. The expected share of open gates is held at
    `rate` by a multiplier: the loss is task + multiplier * (share - rate), of which `rate` has no gradient. Unlike in
    the paper, whose multiplier stays above 0, a share that fell below `rate` is raised again.
    """

    config_class = HardKumaConfig
    extractors = ("dual", "shared")
    selects_then_predicts = True
    config: HardKumaConfig

    def __init__(self, model: UnirexModel, config: HardKumaConfig, fill: FillTokens) -> None:
        super().__init__(model, config, fill)
        limits = {"rate": config.rate, "jumps": config.jumps}
        self.limits = {name: limit for name, limit in limits.items() if limit is not None}
        self.multipliers = nn.ModuleDict({name: Multiplier(config) for name in self.limits})

    @classmethod
    def model_settings(cls, config: HardKumaConfig) -> dict[str, Any]:
        """Two numbers a token."""
        return {"extractor_outputs": 2}

    @property
    def weights(self) -> dict[str, float]:
        """Of the constraints: their multipliers."""
        return {"task": 1.0, **{name: part.weight for name, part in self.multipliers.items()}}

    def forward(self, batch: Batch, counts: Counts, seed: int) -> dict[str, Tensor]:
        """The task loss through drawn gates, and the expected shares of open gates and of changes."""
        gates = Gates.of(self.model.outputs(batch))
        logits_IC = self._answer(batch, gates.drawn(_noise(batch, seed)))
        terms = {"task": task_term(task_loss(logits_IC, batch.labels_I), batch, counts, self.class_weights)}
        rows = batch.n_choices * counts.instances
        shut_BL, selectable_BL = gates.zero_BL, batch.selectable_BL
        terms["rate"] = _share(1 - shut_BL, selectable_BL).sum() / rows
        if "jumps" in self.limits:
            before_BL, after_BL = shut_BL[:, :-1], shut_BL[:, 1:]
            change_BL = before_BL * (1 - after_BL) + (1 - before_BL) * after_BL
            terms["jumps"] = _share(change_BL, selectable_BL[:, :-1] & selectable_BL[:, 1:]).sum() / rows
        return terms

    def after_step(self, terms: Mapping[str, Tensor], total: Total) -> None:
        """Moves the multipliers by the constraints of the global batch."""
        for name, multiplier in self.multipliers.items():
            multiplier.update(total(terms[name]) - self.limits[name])

    def logged(self) -> dict[str, float]:
        """The multipliers."""
        return {f"{name}_multiplier": float(part.value) for name, part in self.multipliers.items()}

    def _answer(self, batch: Batch, gates_BL: Tensor) -> Tensor:
        rows = replace(batch.rows, gates_BL=gate_tokens(gates_BL, batch.selectable_BL, "keep"))
        return self.model.perturbed(rows, batch.n_choices)

    def explain(self, batch: Batch) -> Explanation:
        """Logits through the gates without chance; a token's score is the probability that its gate is not shut."""
        gates = Gates.of(self.model.outputs(batch))
        return Explanation(logits_IC=self._answer(batch, gates.decided_BL), scores_BL=1 - gates.zero_BL)


def _share(values_BL: Tensor, inside_BL: Tensor) -> Tensor:
    """The mean of each row's values that are inside, [B]; 0 where none is."""
    return values_BL.masked_fill(~inside_BL, 0.0).sum(1) / inside_BL.sum(1).clamp(min=1)


def _noise(batch: Batch, seed: int) -> Tensor:
    """Uniform noise [B, L] that depends on the step and the instance alone, not on how the batch is cut."""
    width = batch.words_BL.shape[1]
    drawn = torch.empty(len(batch.words_BL), width)
    keys = [index * batch.n_choices + choice for index in batch.index_I.tolist() for choice in range(batch.n_choices)]
    for row_L, key, length in zip(drawn, keys, batch.rows.visible_BL.sum(1).tolist(), strict=True):
        generator = torch.Generator().manual_seed(rng_seed(seed, key))
        row_L[:length] = torch.rand(length, generator=generator)
        row_L[length:] = 0.5
    return drawn.clamp(1e-6, 1 - 1e-6).to(batch.words_BL.device)

"""The settings of extractors and attributions, which need no torch."""

from dataclasses import dataclass
from typing import Literal

from unirex.ranges import Count, NotNegative, check_ranges
from unirex.schema import Perturbation

ExtractorKind = Literal["shared", "dual", "attribution", "support", "none"]
AttentionKind = Literal["last_layer", "rollout"]
Rule = Literal["midpoint", "gauss_legendre"]

Attribution = Literal[
    "grad",
    "input_x_grad",
    "ig",
    "gate_ig",
    "deeplift",
    "gradient_shap",
    "attention",
    "occlusion",
    "kernel_shap",
    "lime",
]
"""Where scores come from without a learned extractor; see `unirex.extractors.attribution.attribute`."""

VectorPooling = Literal["auto", "sum", "norm", "abs_sum"]
"""How a token's attribution vector becomes a score: its sum (signed), its length, the sum of its absolute values;
`auto`: the length for grad, else the sum."""

IN_TRAINING: tuple[Attribution, ...] = ("grad", "input_x_grad")
"""Attributions that a training step can differentiate."""

_HIDING: tuple[Attribution, ...] = ("occlusion", "kernel_shap", "lime")

READ_BY: dict[str, tuple[Attribution, ...]] = {
    "pooling": ("grad", "input_x_grad", "ig", "deeplift", "gradient_shap"),
    "grad_pooling": ("grad",),
    **dict.fromkeys(("ig_steps", "ig_rule"), ("ig", "gate_ig")),
    **dict.fromkeys(("shap_samples", "shap_stdev", "shap_seed"), ("gradient_shap",)),
    "attention": ("attention",),
    **dict.fromkeys(("occlusion_unit", "occlusion_how"), _HIDING),
    **dict.fromkeys(("surrogate_samples", "surrogate_seed"), ("kernel_shap", "lime")),
}
"""Setting of `AttributionConfig` -> the attributions that read it; what is not here is read by all."""


@dataclass(frozen=True, kw_only=True)
class AttributionConfig:
    """Settings of attribution.

    Attributes:
        pooling: of a token's attribution vector; see `VectorPooling`.
        grad_pooling: what `auto` means for grad: `norm`, its length, or `abs_sum`, as in the paper's public code.
        ig_steps: points on the way of integrated gradients, both kinds.
        ig_rule: where those points lie.
        shap_samples: of gradient_shap, samples per instance.
        shap_stdev: of gradient_shap, standard deviation of the noise on the input.
        shap_seed: of gradient_shap, seed of its samples.
        attention: which attention weights.
        occlusion_unit: what is hidden at once; of kernel_shap and lime too.
        occlusion_how: how it is hidden; of kernel_shap and lime too.
        surrogate_samples: of kernel_shap and lime, inputs with hidden units for each row.
        surrogate_seed: of kernel_shap and lime, seed of what is hidden.
        max_tokens: most tokens, padding included, of one expanded micro-batch.
    """

    pooling: VectorPooling = "auto"
    grad_pooling: Literal["norm", "abs_sum"] = "norm"
    ig_steps: Count = 3
    ig_rule: Rule = "midpoint"
    shap_samples: Count = 5
    shap_stdev: NotNegative = 0.0
    shap_seed: int = 0
    attention: AttentionKind = "last_layer"
    occlusion_unit: Literal["token", "word"] = "token"
    occlusion_how: Perturbation = "attention"
    surrogate_samples: Count = 256
    surrogate_seed: int = 0
    max_tokens: Count = 16384

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_ranges("method.attribution_settings", self)

    def pooling_of(self, attribution: Attribution) -> VectorPooling:
        """The pooling of an attribution's vectors."""
        return self.grad_pooling if self.pooling == "auto" and attribution == "grad" else self.pooling

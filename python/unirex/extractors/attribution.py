"""Attribution: scores of tokens from a classifier itself, by its gradients, its attention or by hiding tokens."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from unirex.extractors.attention import attention_scores
from unirex.extractors.deeplift import deeplift
from unirex.extractors.gate_gradients import integrated_gates
from unirex.extractors.gradients import (
    completeness_gap,
    draw_shap,
    gradient,
    gradient_shap,
    integrated_gradients,
    second_order,
)
from unirex.extractors.occlusion import occlusion
from unirex.extractors.settings import IN_TRAINING, Attribution, AttributionConfig, VectorPooling
from unirex.extractors.surrogate import surrogate
from unirex.extractors.target import Target


def attribute(
    target: Target, words_BL: Tensor, attribution: Attribution, config: AttributionConfig, head: nn.Module | None = None
) -> tuple[Tensor, Tensor | None]:
    """Scores float32 [B, L]: how much each token speaks for the explained logit; higher = more. Without gradient.

    Beside them, for `ig`, `gate_ig` and `deeplift`, what their sums miss of completeness, float64 [B]; see
    `completeness_gap`.

    `grad` is the gradient by the token's embedding (Simonyan et al. 2014), its length by default, so at least 0.
    `input_x_grad` is embedding times gradient (Shrikumar et al. 2016). `ig` is integrated gradients (Sundararajan et
    al. 2017), `gate_ig` the same along the attention gates (see `integrated_gates`), `deeplift` the Rescale rule
    (Shrikumar et al. 2017), `gradient_shap` expected gradients (Lundberg & Lee 2017), `attention` the weights that the
    pooled token looks by, `occlusion` the fall of the logit when a unit is hidden, `kernel_shap` and `lime` the weights
    of a linear model of it (see `surrogate`).
    The baseline of ig, deeplift and gradient_shap has padding at every selectable token and keeps all others.

    Args:
        target: what is explained.
        words_BL: int64, the word of each token, -1 = not selectable.
        attribution: see above.
        config: its settings.
        head: pools a token's vector into a score instead of `config.pooling` (UNIREX's AA with MLP pooling).
    """
    if attribution == "attention":
        return attention_scores(target, config.attention), None
    if attribution == "occlusion":
        return occlusion(target, words_BL, config.occlusion_unit, config.occlusion_how), None
    if attribution in ("kernel_shap", "lime"):
        return surrogate(target, words_BL, attribution, config), None
    if attribution == "gate_ig":
        return integrated_gates(target, config.ig_steps, config.ig_rule)
    with torch.no_grad():
        vectors_BLD = _vectors(target, attribution, config)
        gap_B = completeness_gap(target, vectors_BLD) if attribution in ("ig", "deeplift") else None
        return pooled(vectors_BLD, attribution, config.pooling_of(attribution), head).float(), gap_B


def _vectors(target: Target, attribution: Attribution, config: AttributionConfig) -> Tensor:
    """A vector per token, float [B, L, D]."""
    if attribution == "ig":
        return integrated_gradients(target, config.ig_steps, config.ig_rule)
    if attribution == "deeplift":
        return deeplift(target)
    embeddings_BLD = target.embeddings_BLD
    if attribution == "gradient_shap":
        return gradient_shap(target, *draw_shap(target, config.shap_samples, config.shap_stdev, config.shap_seed))
    gradient_BLD = torch.cat([gradient(target, embeddings_BLD[row_P], row_P) for _, row_P in target.chunks(1)])
    return gradient_BLD if attribution == "grad" else embeddings_BLD * gradient_BLD


def with_logits(
    target: Target, attribution: Attribution, pooling: VectorPooling, head: nn.Module | None, *, train_scores: bool
) -> tuple[Tensor, Tensor]:
    """Logits float32 [B, C] and scores float32 [B, L] from one pass in training; the logits carry gradient.

    With `train_scores` the scores do too, to every weight. That is a second derivative: the pass runs on plain
    attention, and the backward pass that follows is the dearer (docs/methods.md). Only for `grad` and `input_x_grad`.
    """
    if attribution not in IN_TRAINING:
        raise ValueError(
            f"method.attribution is {attribution!r}, expected {' or '.join(IN_TRAINING)} where scores are trained"
        )
    embeddings_BLD = target.embeddings_BLD
    if not embeddings_BLD.requires_grad:
        embeddings_BLD = embeddings_BLD.requires_grad_()
    with second_order() if train_scores else nullcontext():
        logits_BC = target.logits(embeddings_BLD)
        explained = target.of_class(logits_BC).sum()
        gradient_BLD = torch.autograd.grad(explained, embeddings_BLD, create_graph=train_scores, retain_graph=True)[0]
    if not train_scores:
        embeddings_BLD = embeddings_BLD.detach()
    vectors_BLD = gradient_BLD if attribution == "grad" else embeddings_BLD * gradient_BLD
    return logits_BC, pooled(vectors_BLD, attribution, pooling, head).float()


def pooled(
    vectors_BLD: Tensor, attribution: Attribution, pooling: VectorPooling, head: nn.Module | None = None
) -> Tensor:
    """Scores [B, L] from attribution vectors: by the head where there is one, else by `pooling`.

    >>> vectors = torch.tensor([[[3.0, -4.0]]])
    >>> pooled(vectors, "grad", "auto").item(), pooled(vectors, "ig", "auto").item()
    (5.0, -1.0)
    >>> pooled(vectors, "grad", "abs_sum").item()
    7.0
    """
    if head is not None:
        scores_BL: Tensor = head(vectors_BLD)
        return scores_BL
    if pooling == "norm" or (pooling == "auto" and attribution == "grad"):
        # The length of zero (padding) has no derivative: a floor far below any gradient's square.
        return vectors_BLD.square().sum(-1).clamp(min=1e-24).sqrt()
    if pooling == "abs_sum":
        return vectors_BLD.abs().sum(-1)
    return vectors_BLD.sum(-1)

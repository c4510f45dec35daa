"""The extractor that a model's configuration asks for: the one place that knows them by name."""

from typing import Any, get_args

from torch import nn
from transformers import PreTrainedModel

from unirex.encoder.backbone import bare_backbone, embedding_width
from unirex.extractors.extractor import Extractor
from unirex.extractors.head import ScoreHead
from unirex.extractors.learned import DualExtractor, SharedExtractor, VectorHead
from unirex.extractors.settings import ExtractorKind
from unirex.extractors.support import SupportClassifier


def build_extractor(config: Any, backbone: PreTrainedModel, n_outputs: int) -> Extractor | None:
    """The extractor with new weights, None where scores come from nothing that is learned.

    Args:
        config: of the model, a `unirex.modeling.UnirexConfig`.
        backbone: the task model's.
        n_outputs: logits per row.
    """
    kind, width = config.extractor, backbone.config.hidden_size
    mlp = (config.head, config.head_width, config.head_layers)
    if kind == "shared":
        return SharedExtractor(width, *mlp, config.extractor_outputs)
    if kind == "dual":
        own = bare_backbone(config.extractor_backbone or config.backbone or {})
        return DualExtractor(own, ScoreHead(own.config.hidden_size, *mlp, config.extractor_outputs))
    if kind == "attribution":
        return VectorHead(ScoreHead(embedding_width(backbone), *mlp)) if config.head == "mlp" else None
    if kind == "support":
        head = ScoreHead(width, *mlp) if config.support_head else None
        own = bare_backbone(config.backbone or {})
        classifier = nn.Linear(width, n_outputs)
        return SupportClassifier(
            own, classifier, head, dropout=config.dropout, pooling=config.pooling, choice=config.choice
        )
    if kind != "none":
        raise ValueError(f"extractor is {kind!r}, expected one of {', '.join(get_args(ExtractorKind))}")
    return None

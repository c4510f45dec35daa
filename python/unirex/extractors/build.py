"""The extractor that a model's configuration asks for: the one place that knows them by name."""

from typing import Any, Protocol, get_args

from torch import nn
from transformers import PreTrainedModel

from unirex.encoder.backbone import Pooling, bare_backbone, embedding_width
from unirex.extractors.extractor import Extractor
from unirex.extractors.head import HeadKind, ScoreHead
from unirex.extractors.learned import DualExtractor, SharedExtractor, VectorHead
from unirex.extractors.settings import ExtractorKind
from unirex.extractors.support import SupportClassifier


class Settings(Protocol):
    """What an extractor is built from; see `unirex.modeling.UnirexConfig`."""

    backbone: dict[str, Any] | None
    extractor: str
    extractor_backbone: dict[str, Any] | None
    extractor_outputs: int
    support_head: bool
    head: HeadKind
    head_width: int
    head_layers: int
    pooling: Pooling
    dropout: float
    choice: bool


def build_extractor(config: Settings, backbone: PreTrainedModel, n_outputs: int) -> Extractor | None:
    """The extractor with new weights, None where scores come from nothing that is learned.

    Args:
        config: of the model.
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

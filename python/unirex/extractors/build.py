"""The extractor that a model's configuration asks for: the one place that knows them by name."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

from torch import nn
from transformers import PreTrainedModel

from unirex.encoder.backbone import Pooling, bare_backbone, embedding_width
from unirex.extractors.extractor import Extractor
from unirex.extractors.head import HeadKind, ScoreHead
from unirex.extractors.learned import DualExtractor, SharedExtractor, VectorHead
from unirex.extractors.support import SupportClassifier

ExtractorKind = Literal["shared", "dual", "attribution", "support", "none"]


class Settings(Protocol):
    """What an extractor is built from; see `unirex.modeling.UnirexConfig`."""

    backbone: dict[str, Any] | None
    extractor: str
    extractor_backbone: dict[str, Any] | None
    extractor_outputs: int
    support_head: bool
    head: str
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
    if config.extractor not in _KINDS:
        raise ValueError(f"extractor is {config.extractor!r}, expected one of {', '.join(_KINDS)}")
    return _KINDS[config.extractor](config, backbone, n_outputs)


def _head(config: Settings, width: int, outputs: int = 1) -> ScoreHead:
    return ScoreHead(width, _layers(config), config.head_width, config.head_layers, outputs)


def _layers(config: Settings) -> HeadKind:
    return "mlp" if config.head == "mlp" else "linear"


def _shared(config: Settings, backbone: PreTrainedModel, n_outputs: int) -> Extractor:
    width, outputs = backbone.config.hidden_size, config.extractor_outputs
    return SharedExtractor(width, _layers(config), config.head_width, config.head_layers, outputs)


def _dual(config: Settings, backbone: PreTrainedModel, n_outputs: int) -> Extractor:
    own = bare_backbone(config.extractor_backbone or config.backbone or {})
    return DualExtractor(own, _head(config, own.config.hidden_size, config.extractor_outputs))


def _attribution(config: Settings, backbone: PreTrainedModel, n_outputs: int) -> Extractor | None:
    return VectorHead(_head(config, embedding_width(backbone))) if config.head == "mlp" else None


def _support(config: Settings, backbone: PreTrainedModel, n_outputs: int) -> Extractor:
    width = backbone.config.hidden_size
    head = _head(config, width) if config.support_head else None
    own = bare_backbone(config.backbone or {})
    return SupportClassifier(
        own,
        nn.Linear(width, n_outputs),
        head,
        dropout=config.dropout,
        pooling=config.pooling,
        choice=config.choice,
    )


def _none(config: Settings, backbone: PreTrainedModel, n_outputs: int) -> None:
    return None


_KINDS: dict[str, Callable[[Settings, PreTrainedModel, int], Extractor | None]] = {
    "shared": _shared,
    "dual": _dual,
    "attribution": _attribution,
    "support": _support,
    "none": _none,
}

"""FRESH's support classifier: a second model, whose explanation is the rationale."""

from torch import Tensor, nn
from transformers import PreTrainedModel

from unirex.data.collate import Batch
from unirex.encoder.backbone import Pooling, freeze_pooler
from unirex.extractors.extractor import Extractor
from unirex.extractors.head import ScoreHead
from unirex.extractors.row_classifier import RowClassifier


class SupportClassifier(RowClassifier, Extractor):
    """A classifier of its own, with a score head or to be explained by attribution."""

    def __init__(
        self,
        backbone: PreTrainedModel,
        classifier: nn.Linear,
        head: ScoreHead | None,
        *,
        dropout: float,
        pooling: Pooling,
        choice: bool,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier
        self.head = head
        self.pooling = pooling
        self.choice = choice

    def own_scores(self, batch: Batch, hidden_BLD: Tensor) -> Tensor | None:
        """Those of the score head, where there is one."""
        return None if self.head is None else self.head(hidden_BLD).squeeze(-1).float()

    @property
    def score_head(self) -> ScoreHead | None:
        """The score head, where there is one."""
        return self.head

    @property
    def own_classifier(self) -> nn.Linear:
        """What it answers with."""
        return self.classifier

    @property
    def own_backbone(self) -> PreTrainedModel:
        """Its encoder."""
        return self.backbone

    def freeze_unused(self, pooling: str) -> None:
        """Freezes the pooler, unless rows are pooled by it."""
        if pooling != "pooler":
            freeze_pooler(self.backbone)

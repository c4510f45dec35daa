"""FRESH's support classifier: a second model beside the task model, whose explanation is the rationale."""

from torch import Tensor, nn
from transformers import PreTrainedModel

from unirex.data.collate import Batch
from unirex.encoder.backbone import Pooling, encode, freeze_pooler, pool
from unirex.extractors.extractor import Extractor, Pass
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

    def full(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Logits float32 [instances, C] on the full input, and scores float32 [B, L] where there is a score head."""
        hidden_BLD, pooler_BD = encode(self.backbone, batch.rows)
        pooled_BD = pool(hidden_BLD, pooler_BD, batch.rows.visible_BL, self.pooling)
        logits_IC = self.by_instance(self.classify(pooled_BD), batch.n_choices)
        return logits_IC, None if self.head is None else self.head(hidden_BLD).squeeze(-1).float()

    def outputs(self, seen: Pass) -> Tensor | None:
        """None: it goes by no pass of the task model."""
        return None

    @property
    def score_head(self) -> ScoreHead | None:
        """The score head, where there is one."""
        return self.head

    @property
    def new_parts(self) -> tuple[nn.Module, ...]:
        """The layers on its encoder."""
        return (*super().new_parts, self.classifier)

    @property
    def own_backbone(self) -> PreTrainedModel:
        """Its encoder."""
        return self.backbone

    def freeze_unused(self, pooling: str) -> None:
        """Freezes the pooler, unless rows are pooled by it."""
        if pooling != "pooler":
            freeze_pooler(self.backbone)

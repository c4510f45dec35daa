"""Extractors with weights in addition to those of the task model's encoder."""

from torch import Tensor, nn
from transformers import PreTrainedModel

from unirex.data.collate import Rows
from unirex.encoder.backbone import encode
from unirex.extractors.head import ScoreHead


class DualExtractor(nn.Module):
    """An encoder of its own with a score head (DLM)."""

    def __init__(self, backbone: PreTrainedModel, head: ScoreHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, rows: Rows) -> Tensor:
        """Scores float [B, L] of the rows' tokens."""
        scores_BL: Tensor = self.head(encode(self.backbone, rows)[0])
        return scores_BL

    def outputs(self, rows: Rows) -> Tensor:
        """What the head gives, float [B, L, outputs]."""
        return self.head.outputs(encode(self.backbone, rows)[0])


class VectorHead(nn.Module):
    """Pools a token's attribution vector into its score (AA with MLP pooling)."""

    def __init__(self, head: ScoreHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, vectors_BLD: Tensor) -> Tensor:
        """Scores float [B, L]."""
        scores_BL: Tensor = self.head(vectors_BLD)
        return scores_BL


class SupportClassifier(nn.Module):
    """A classifier of its own whose explanation is the rationale of the task model (FRESH)."""

    def __init__(
        self, backbone: PreTrainedModel, classifier: nn.Linear, dropout: float, head: ScoreHead | None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier
        self.head = head

    def classify(self, pooled_BD: Tensor) -> Tensor:
        """Row logits float32 [B, C] of pooled rows."""
        logits_BC: Tensor = self.classifier(self.dropout(pooled_BD))
        return logits_BC.float()

"""Extractors that learn: a head on the task model, an encoder with a head, a head that pools attribution vectors."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from unirex.data.collate import Batch
from unirex.encoder.backbone import encode, freeze_pooler
from unirex.extractors.extractor import Extractor
from unirex.extractors.head import ScoreHead


class SharedExtractor(ScoreHead, Extractor):
    """A head on the task model's own hidden states (SLM)."""

    def outputs(self, batch: Batch, hidden_BLD: Tensor | None) -> Tensor | None:
        """Numbers float32 [B, L, N], where the task model ran."""
        return None if hidden_BLD is None else self(hidden_BLD).float()

    @property
    def score_head(self) -> ScoreHead:
        """The extractor is its head."""
        return self


class DualExtractor(Extractor):
    """An encoder of its own with a head (DLM); it may see the texts through another tokenizer."""

    apart = True

    def __init__(self, backbone: PreTrainedModel, head: ScoreHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def outputs(self, batch: Batch, hidden_BLD: Tensor | None) -> Tensor:
        """Numbers float32 [B, L, N]; those of other tokens are taken to the task model's."""
        other = batch.extractor
        found_BLN: Tensor = self.head(encode(self.backbone, batch.rows if other is None else other.rows)[0]).float()
        if other is None:
            return found_BLN
        rows, width = batch.words_BL.shape
        return torch.stack([other.transfer(part_BL, (rows, width)) for part_BL in found_BLN.unbind(-1)], -1)

    @property
    def score_head(self) -> ScoreHead:
        """The head on its encoder."""
        return self.head

    @property
    def own_backbone(self) -> PreTrainedModel:
        """Its encoder."""
        return self.backbone

    def freeze_unused(self, pooling: str) -> None:
        """Freezes the pooler: scores come from hidden states."""
        freeze_pooler(self.backbone)


class VectorHead(Extractor):
    """Pools a token's attribution vector into its score (AA with MLP pooling)."""

    def __init__(self, head: ScoreHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, vectors_BLD: Tensor) -> Tensor:
        """Scores float [B, L]."""
        scores_BL: Tensor = self.head(vectors_BLD).squeeze(-1)
        return scores_BL

    @property
    def vector_head(self) -> nn.Module:
        """The extractor is what pools."""
        return self

    @property
    def score_head(self) -> ScoreHead:
        """The layers that pool."""
        return self.head

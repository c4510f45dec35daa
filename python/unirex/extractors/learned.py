"""Extractors that learn: a head on the task model, an encoder with a head, a head that pools attribution vectors."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from unirex.encoder.backbone import encode, freeze_pooler
from unirex.extractors.extractor import Extractor, Pass
from unirex.extractors.head import ScoreHead


class SharedExtractor(ScoreHead, Extractor):
    """A head on the task model's own hidden states (SLM)."""

    def outputs(self, seen: Pass) -> Tensor | None:
        """Numbers float32 [B, L, N], where the task model ran."""
        if seen.hidden_BLD is None:
            return None
        found_BLN: Tensor = self(seen.hidden_BLD)
        return found_BLN.float()

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

    def outputs(self, seen: Pass) -> Tensor:
        """Numbers float32 [B, L, N]; those of other tokens are taken to the task model's."""
        other = seen.batch.extractor
        found_BLN: Tensor = self.head(encode(self.backbone, seen.batch.rows if other is None else other.rows)[0])
        found_BLN = found_BLN.float()
        if other is None:
            return found_BLN
        rows, width = seen.batch.words_BL.shape
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

    pools_vectors = True

    def __init__(self, head: ScoreHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, vectors_BLD: Tensor) -> Tensor:
        """Scores float [B, L]."""
        scores_BL: Tensor = self.head(vectors_BLD).squeeze(-1)
        return scores_BL

    def outputs(self, seen: Pass) -> Tensor | None:
        """Scores float32 [B, L, 1], where there are vectors."""
        return None if seen.vectors_BLD is None else self(seen.vectors_BLD).float().unsqueeze(-1)

    @property
    def score_head(self) -> ScoreHead:
        """The layers that pool."""
        return self.head

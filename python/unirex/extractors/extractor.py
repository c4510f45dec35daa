"""What every extractor is: from a pass of the task model to numbers and one score for each token."""

from typing import ClassVar

from torch import Tensor, nn
from transformers import PreTrainedModel

from unirex.data.collate import Batch
from unirex.extractors.head import ScoreHead


class Extractor(nn.Module):
    """The paper's F_ext: numbers of each token, which are its score where there is one of them.

    Attributes:
        apart: needs nothing of the task model, which can then see full and perturbed inputs in one pass.
    """

    apart: ClassVar[bool] = False

    def outputs(self, batch: Batch, hidden_BLD: Tensor | None) -> Tensor | None:
        """Numbers float32 [B, L, N] of the task model's tokens; None where it has nothing to compute them from.

        Args:
            batch: the full inputs.
            hidden_BLD: the task model's last hidden states, None where it did not run.
        """
        return None

    def scores(self, batch: Batch, hidden_BLD: Tensor | None) -> Tensor | None:
        """Scores float32 [B, L], higher = more important; None without `outputs`, or with several numbers a token.

        Several are no score: the method whose losses read them says what they mean.
        """
        found_BLN = self.outputs(batch, hidden_BLD)
        return None if found_BLN is None or found_BLN.shape[-1] != 1 else found_BLN.squeeze(-1)

    @property
    def score_head(self) -> ScoreHead | None:
        """The layers that give the numbers, None where nothing is learned for that."""
        return None

    @property
    def vector_head(self) -> nn.Module | None:
        """What turns attribution vectors of the task model into scores, where that is learned."""
        return None

    @property
    def own_classifier(self) -> nn.Linear | None:
        """A classifier of rows on its encoder, None where there is none."""
        return None

    @property
    def own_backbone(self) -> PreTrainedModel | None:
        """An encoder other than the task model's, None where there is none."""
        return None

    def freeze_unused(self, pooling: str) -> None:
        """Freezes what no output depends on; `pooling` is how rows become vectors."""

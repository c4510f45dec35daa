"""What every extractor is: from a pass of the task model to numbers and one score a token."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from transformers import PreTrainedModel

from unirex.data.collate import Batch
from unirex.extractors.head import ScoreHead


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pass:
    """What an extractor may go by.

    Attributes:
        batch: the full inputs.
        hidden_BLD: the task model's last hidden states, None where it did not run.
        vectors_BLD: attribution vectors of the task model's answer, None where there are none.
    """

    batch: Batch
    hidden_BLD: Tensor | None = None
    vectors_BLD: Tensor | None = None


class Extractor(nn.Module, ABC):
    """The paper's F_ext: numbers of each token, which are its score where there is one of them.

    Attributes:
        apart: needs nothing of the task model, which can then see full and perturbed inputs in one pass.
        pools_vectors: turns the task model's attribution vectors into scores.
    """

    apart: ClassVar[bool] = False
    pools_vectors: ClassVar[bool] = False

    @abstractmethod
    def outputs(self, seen: Pass) -> Tensor | None:
        """Numbers float32 [B, L, N] of the task model's tokens; None where the pass holds nothing to go by."""

    def scores(self, seen: Pass) -> Tensor | None:
        """Scores float32 [B, L], higher = more important; None where there are none, or several numbers a token.

        Several are no score: the method whose losses read them says what they mean.
        """
        found_BLN = self.outputs(seen)
        return None if found_BLN is None or found_BLN.shape[-1] != 1 else found_BLN.squeeze(-1)

    @property
    def score_head(self) -> ScoreHead | None:
        """The layers that give the numbers, None where nothing is learned for that."""
        return None

    @property
    def new_parts(self) -> tuple[nn.Module, ...]:
        """Modules that no pretrained weights exist for."""
        return () if self.score_head is None else (self.score_head,)

    @property
    def own_backbone(self) -> PreTrainedModel | None:
        """An encoder beside the task model's, None where there is none."""
        return None

    def freeze_unused(self, pooling: str) -> None:
        """Freezes what no output depends on; `pooling` is how rows become vectors."""

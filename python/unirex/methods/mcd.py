"""MCD: D-Separation for Causal Self-Explanation (Liu et al., NeurIPS 2023)."""

from torch import Tensor

from unirex.data.collate import Batch, Rows
from unirex.methods.method import Counts
from unirex.methods.objectives import sufficiency_loss
from unirex.methods.selecting import Selecting
from unirex.methods.settings.mcd import McdConfig, McdFacts


class Mcd(McdFacts, Selecting):
    """Minimum conditional dependence: given its rationale, the rest of an input should tell no more about the label.

    The extractor is trained by the divergence of the predictor's two answers.
    """

    config: McdConfig

    @property
    def weights(self) -> dict[str, float]:
        """What each term counts for in the total."""
        return super().weights | {"dependence": self.config.dependence_weight}

    def judge(self, batch: Batch, counts: Counts, logits_IC: Tensor, rationale: Rows) -> dict[str, Tensor]:
        """KL(p(full) || p(rationale))."""
        keep_IC = self.model.perturbed(rationale, batch.n_choices)
        loss_I = sufficiency_loss(logits_IC, keep_IC, batch.labels_I, criterion="kl")
        return {"dependence": loss_I.sum() / counts.instances}

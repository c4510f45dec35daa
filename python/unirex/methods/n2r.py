"""N2R: Breaking Free from MMI: Rationalization by Probing Input Utilization (Liu et al., ICLR 2025)."""

import torch
from torch import Tensor

from unirex.data.collate import Batch, Rows
from unirex.encoder.backbone import encode_pooled
from unirex.methods.method import Counts, task_term
from unirex.methods.objectives import task_loss
from unirex.methods.selecting import Selecting
from unirex.methods.settings.n2r import N2rConfig, N2rFacts
from unirex.timing import part


class N2r(N2rFacts, Selecting):
    """What the predictor can make use of has a long representation: the extractor selects by that and by the label."""

    config: N2rConfig

    @property
    def weights(self) -> dict[str, float]:
        """What each term counts for in the total."""
        return super().weights | {"select": self.config.select_weight, "norm": self.config.norm_weight}

    @part("perturbed")
    def judge(self, batch: Batch, counts: Counts, logits_IC: Tensor, rationale: Rows) -> dict[str, Tensor]:
        """The cross-entropy on the rationale, and 1 - norm of its vector / norm of the input's, as classified."""
        model = self.model
        kept_BD = encode_pooled(model.backbone, rationale, model.pooling)
        with torch.no_grad():
            full_B = torch.linalg.vector_norm(encode_pooled(model.backbone, batch.rows, model.pooling).float(), dim=1)
        share_B = torch.linalg.vector_norm(kept_BD.float(), dim=1) / full_B.clamp(min=1e-6)
        loss_I = task_loss(model.by_instance(model.classify(kept_BD), batch.n_choices), batch.labels_I)
        return {
            "select": task_term(loss_I, batch, counts, self.class_weights),
            "norm": (1 - share_B).sum() / (batch.n_choices * counts.instances),
        }

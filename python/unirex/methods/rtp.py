"""RTP: Rationalizing Transformer Predictions via End-To-End Differentiable Self-Training (Brinner & Zarrieß 2024)."""

from dataclasses import replace

import torch
from torch import Tensor

from unirex.data.collate import Batch, FillTokens
from unirex.methods.method import Counts, Method, plausibility_term, rationale_fraction, task_term
from unirex.methods.objectives import complement_loss, task_loss, unevenness
from unirex.methods.settings.rtp import RtpConfig, RtpFacts
from unirex.modeling import UnirexModel
from unirex.rationale.perturb import gate_tokens


class Rtp(RtpFacts, Method):
    """One model in three roles: it answers and masks in one pass, and reads what its mask keeps and what it leaves out.

    The mask, the sigmoid of the scores, is the gate of each token in attention, soft in training, with gradient all the
    way. Through it the class should stay what it is, and through its complement be anybody's guess.
    """

    config: RtpConfig

    def __init__(self, model: UnirexModel, config: RtpConfig, fill: FillTokens) -> None:
        super().__init__(model, config, fill)
        self.fraction = rationale_fraction(model, config.fraction)

    @property
    def weights(self) -> dict[str, float]:
        """What each term counts for in the total."""
        c = self.config
        return {
            "task": 1.0,
            "keep": c.keep_weight,
            "remove": c.remove_weight,
            "size": c.size_weight,
            "coherence": c.coherence_weight,
            "plaus": c.plaus_weight,
        }

    def forward(self, batch: Batch, counts: Counts, seed: int) -> dict[str, Tensor]:
        """This batch's share of every term's mean over the global batch (a scalar each)."""
        logits_IC, scores_BL = self.model.full(batch)
        assert scores_BL is not None  # of a shared extractor
        mask_BL, selectable_BL = scores_BL.sigmoid(), batch.selectable_BL
        keep_IC, remove_IC = self._masked(batch, mask_BL)
        length_B = selectable_BL.sum(1)
        off_B = torch.where(selectable_BL, mask_BL - self.fraction, 0.0).sum(1).abs() / length_B.clamp(min=1)
        n_rows = batch.n_choices * counts.instances
        return {
            "task": task_term(task_loss(logits_IC, batch.labels_I), batch, counts, self.class_weights),
            "keep": task_term(task_loss(keep_IC, batch.labels_I), batch, counts, self.class_weights),
            "remove": complement_loss(remove_IC[None], batch.labels_I, "prior").sum() / counts.instances,
            "size": off_B.sum() / n_rows,
            "coherence": unevenness(mask_BL, selectable_BL).sum() / n_rows,
            "plaus": plausibility_term(scores_BL, batch, counts, self.config.plaus_criterion),
        }

    def _masked(self, batch: Batch, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        """The logits [instances, C] through the mask, and through its complement, in one pass."""
        gates = torch.cat([gate_tokens(mask_BL, batch.selectable_BL, kind) for kind in ("keep", "remove")])
        rows = batch.rows.take(torch.arange(len(mask_BL), device=mask_BL.device).repeat(2))
        keep_IC, remove_IC = self.model.perturbed(replace(rows, gates_BL=gates), batch.n_choices).chunk(2)
        return keep_IC, remove_IC

"""UNIREX: A Unified Learning Framework for Language Model Rationale Extraction (Chan et al., ICML 2022)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from unirex.data.collate import Batch, FillTokens
from unirex.encoder.gates import take_gates
from unirex.extractors.gate_gradients import gate_gradients
from unirex.extractors.settings import IN_TRAINING
from unirex.methods.method import (
    Counts,
    Explanation,
    Method,
    Total,
    explained,
    plausibility_term,
    task_term,
)
from unirex.methods.objectives import (
    complement_loss,
    comprehensiveness_loss,
    sufficiency_loss,
    task_loss,
)
from unirex.methods.settings.contract import BY_ROW
from unirex.methods.settings.joint import JointConfig, JointFacts
from unirex.modeling import UnirexModel
from unirex.rationale.adaptive_step import AdaptiveStep
from unirex.rationale.perturb import View, perturb, perturbed_logits
from unirex.rationale.selection import relaxed_masks, select


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Parameters get no gradient from what is computed inside; the inputs still do."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def standardised(scores_BL: Tensor, selectable_BL: Tensor) -> Tensor:
    """Scores float32 [B, L] with mean 0 and deviation 1 over the selectable tokens of each row; equal ones become 0.

    A row with a score that is not finite becomes NaN, which is refused where words are selected.

    >>> standardised(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]])).tolist()
    [[-1.0, 1.0, 0.0]]
    """
    # In double precision: what rounding leaves of equal scores must not be blown up.
    kept_BL = scores_BL.double().masked_fill(~selectable_BL, 0.0)
    n_B1 = selectable_BL.sum(1, keepdim=True).clamp(min=1)
    centred_BL = (kept_BL - kept_BL.sum(1, keepdim=True) / n_B1).masked_fill(~selectable_BL, 0.0)
    deviation_B1 = (centred_BL.square().sum(1, keepdim=True) / n_B1).sqrt()
    equal_B1 = deviation_B1 <= 1e-9 * kept_BL.abs().amax(1, keepdim=True)  # not of NaN
    return torch.where(~equal_B1 & selectable_BL, centred_BL / deviation_B1, 0.0).float()


def trains_scores(config: JointConfig) -> bool:
    """Whether a loss differentiates the scores: plausibility does, and faithfulness unless the selection is hard."""
    return config.plaus_weight > 0 or (config.faithful and config.estimator != "hard")


class Joint(JointFacts, Method):
    """The paper's joint training of a task model and a learned extractor (DLM, SLM; F, P and FP by the weights)."""

    config: JointConfig

    def __init__(self, model: UnirexModel, config: JointConfig, fill: FillTokens) -> None:
        super().__init__(model, config, fill)
        if model.extractor is not None and not trains_scores(config):
            raise ValueError(
                "method.plaus_weight is 0, expected more: the hard top-k selection passes no gradient of "
                "comprehensiveness or sufficiency to a learned extractor (another method.estimator with a "
                "comp_weight or suff_weight passes one; model.extractor none trains without an extractor)"
            )
        if model.config.extractor == "none" and config.estimator != "hard":
            raise ValueError(
                f"method.estimator is {config.estimator!r}, expected hard with model.extractor none, which selects "
                "nothing in training"
            )
        if model.config.extractor == "attribution" and config.comp_trains == "extractor":
            raise ValueError(
                "method.comp_trains is 'extractor', expected 'both' with model.extractor attribution, whose scores are "
                "the task model's"
            )
        if model.config.extractor == "attribution" and trains_scores(config) and config.attribution not in IN_TRAINING:
            expected = " or ".join(IN_TRAINING)
            raise ValueError(
                f"method.attribution is {config.attribution!r}, expected {expected} where losses train scores"
            )
        if not self.reads_shift:
            model.hold_score_bias()
        if self._led:
            take_gates(model.backbone)  # refuses here what it would refuse once there is something to explain
        self.step = AdaptiveStep(config.aimle_target, config.aimle_rate) if config.estimator == "aimle" else None

    @property
    def reads_shift(self) -> bool:
        """Whether a loss changes when all scores shift: top-k and losses within a row don't, but for sums over words.

        A subclass with losses that do must say so here, or the score head's last bias is never trained.
        """
        c = self.config
        return (c.plaus_weight > 0 and c.plaus_criterion not in BY_ROW) or (c.unit == "word" and c.word_score == "sum")

    @property
    def weights(self) -> dict[str, float]:
        """What each term counts for in the total."""
        c = self.config
        return {
            "task": 1.0,
            "comp": c.comp_weight,
            "suff": c.suff_weight,
            "plaus": c.plaus_weight,
            "mask": c.mask_weight,
        }

    def forward(self, batch: Batch, counts: Counts, seed: int) -> dict[str, Tensor]:
        """This batch's share of every term's mean over the global batch (a scalar each).

        Args:
            batch: labelled instances.
            counts: of the global batch.
            seed: of the step, the same in every process: draws the fractions.
        """
        logits_IC, scores_BL, by_view = self._passes(batch, seed)
        ce_full_I = task_loss(logits_IC, batch.labels_I)
        terms = {"task": task_term(ce_full_I, batch, counts, self.class_weights)}
        if self.config.mask_weight > 0:
            terms["mask"] = self._random_masks(batch, counts)
        terms |= self._faithfulness(batch, counts, logits_IC, ce_full_I, by_view)
        if scores_BL is not None and self.config.plaus_weight > 0:
            terms["plaus"] = plausibility_term(scores_BL, batch, counts, self.config.plaus_criterion)
        return terms

    def _passes(self, batch: Batch, seed: int) -> tuple[Tensor, Tensor | None, dict[View, Tensor]]:
        """Logits and scores of the full input, and the logits of what is kept and removed, in few passes.

        A shared extractor's scores come with the task logits. An extractor of its own needs no task model, whose full
        and perturbed rows then share one pass.
        """
        c = self.config
        wanted: tuple[tuple[View, float], ...] = (("remove", c.comp_weight), ("keep", c.suff_weight))
        views = [view for view, weight in wanted if weight > 0]
        if self.model.extractor is None or not self.model.extractor.apart or not views:
            logits_IC, scores_BL = self._scored(batch)
            if scores_BL is None or not views:
                return logits_IC, scores_BL, {}
            return logits_IC, scores_BL, self._perturbed_logits(batch, self._rationales(batch, scores_BL, seed), views)
        scores_BL = self.model.scores(batch)
        found = self._perturbed_logits(batch, self._rationales(batch, scores_BL, seed), ["full", *views])
        return found.pop("full")[0], scores_BL, found

    def _scored(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Logits and scores: an extractor's, or attributions of the gold class."""
        if self.model.config.extractor != "attribution":
            return self.model.full(batch)
        c = self.config
        return self.model.attributed(
            batch, batch.labels_I, c.attribution, c.attribution_settings, self.fill, train_scores=trains_scores(c)
        )

    def _random_masks(self, batch: Batch, counts: Counts) -> Tensor:
        """Cross-entropy of inputs whose selectable tokens are hidden with a probability drawn per instance."""
        n_choices, width = batch.n_choices, batch.words_BL.shape[1]
        draw = torch.rand(len(batch.labels_I), 1, width + 1, device=batch.words_BL.device)
        hidden = (draw[..., 1:] < draw[..., :1]).expand(-1, n_choices, -1).reshape(-1, width)
        rows = perturb(batch.rows, hidden & batch.selectable_BL, self.config.how, self.fill)
        loss_I = task_loss(self.model.perturbed(rows, n_choices), batch.labels_I)
        return task_term(loss_I, batch, counts, self.class_weights)

    def _rationales(self, batch: Batch, scores_BL: Tensor, seed: int) -> Tensor:
        """The rationale at each fraction of this step, [K, B, L], with gradient where the estimator sends one."""
        c = self.config
        fractions = self._draw(seed)
        if c.estimator == "hard":
            return select(scores_BL.detach(), batch.words_BL, fractions, c.unit, c.word_score)
        return relaxed_masks(scores_BL, batch.words_BL, fractions, c, unit=c.unit, pooling=c.word_score, step=self.step)

    def after_step(self, terms: Mapping[str, Tensor], total: Total) -> None:
        """Adapts the step of `aimle` to the marks that it moved."""
        if self.step is not None:
            self.step.update(total)

    def _faithfulness(
        self, batch: Batch, counts: Counts, logits_IC: Tensor, ce_full_I: Tensor, by_view: dict[View, Tensor]
    ) -> dict[str, Tensor]:
        """Comprehensiveness from the logits without the rationale, sufficiency from those of it alone."""
        c = self.config
        if not by_view:
            return {}
        reference_I = ce_full_I.detach() if c.detach_full else ce_full_I
        n_fractions = len(next(iter(by_view.values())))
        share = 1.0 / (n_fractions * counts.instances)
        if c.ramp > 0:
            share *= min(1.0, counts.progress / c.ramp)
        terms = {}
        if "remove" in by_view:
            constant_I = reference_I.detach() if c.comp_trains == "extractor" else reference_I
            terms["comp"] = self._comprehensiveness(constant_I, by_view["remove"], batch.labels_I).sum() * share
        if "keep" in by_view:
            loss_KI = sufficiency_loss(
                logits_IC.detach() if c.detach_full else logits_IC,
                by_view["keep"],
                batch.labels_I,
                criterion=c.suff_criterion,
                margin=c.suff_margin,
                ce_full_B=reference_I,
            )
            terms["suff"] = loss_KI.sum() * share
        return terms

    def _perturbed_logits(self, batch: Batch, rationale_KBL: Tensor, views: Sequence[View]) -> dict[View, Tensor]:
        """The logits of each view; in one pass, unless comprehensiveness must not train the task model."""
        if self.config.comp_trains == "extractor" and "remove" in views:
            with frozen(self.model):
                found = self._run(batch, rationale_KBL, ["remove"])
            others = [view for view in views if view != "remove"]
            return found | (self._run(batch, rationale_KBL, others) if others else {})
        return self._run(batch, rationale_KBL, views)

    def _run(self, batch: Batch, rationale_KBL: Tensor, views: Sequence[View]) -> dict[View, Tensor]:
        return perturbed_logits(
            lambda rows: self.model.perturbed(rows, batch.n_choices),
            batch,
            rationale_KBL,
            views,
            self.config.how,
            self.fill,
        )

    def _comprehensiveness(self, reference_I: Tensor, logits_KIC: Tensor, labels_I: Tensor) -> Tensor:
        c = self.config
        if c.comp_criterion in ("margin", "diff"):
            ce_remove_KI = task_loss(logits_KIC, labels_I)
            return comprehensiveness_loss(reference_I, ce_remove_KI, criterion=c.comp_criterion, margin=c.comp_margin)
        return complement_loss(logits_KIC, labels_I, c.comp_criterion, c.comp_target)

    def _draw(self, seed: int) -> tuple[float, ...]:
        c = self.config
        if c.fractions_per_step is None:
            return c.fractions
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randperm(len(c.fractions), generator=generator)[: c.fractions_per_step].sort().values
        return tuple(c.fractions[i] for i in drawn.tolist())

    def explain(self, batch: Batch) -> Explanation:
        """Logits on the full input and scores: the extractor's, the attribution's where there is none, or of both."""
        c, found = self.config, explained(self.model, batch, self.config, self.fill)
        if not self._led:
            return found
        target = self.model.target(batch, found.logits_IC.argmax(1), c.attribution_settings.max_tokens, self.fill)
        own_BL, gradient_BL = (
            standardised(one, batch.selectable_BL) for one in (found.scores_BL, gate_gradients(target))
        )
        if self.model.config.choice:  # what speaks for a choice that is not taken speaks against the answer
            taken_IC = torch.nn.functional.one_hot(found.logits_IC.argmax(1), batch.n_choices)
            gradient_BL = gradient_BL * (2 * taken_IC - 1).reshape(-1, 1)
        return Explanation(logits_IC=found.logits_IC, scores_BL=own_BL + c.gradient_weight * gradient_BL)

    def answer(self, batch: Batch) -> Tensor:
        """The logits of `explain`, without an attribution."""
        return self.model.full(batch)[0]

    @property
    def _led(self) -> bool:
        """Whether the gradient leads a learned extractor's scores."""
        return self.model.config.extractor in ("shared", "dual") and self.config.gradient_weight > 0

    @property
    def scores_from(self) -> str:
        """The extractor, led by a gradient or not, or the attribution where there is none."""
        if self.model.extractor is None:
            return self.config.attribution
        return "extractor and gradient" if self._led else "extractor"

    @property
    def attributes(self) -> bool:
        """Where there is no extractor."""
        return self.model.extractor is None

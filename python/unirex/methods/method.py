"""The contract of a method: what it is given, what it gives, and what holds where it says nothing."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from types import UnionType
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from unirex.data.collate import Batch, FillTokens, Rows
from unirex.encoder.backbone import embedding_width
from unirex.extractors.row_classifier import RowClassifier
from unirex.methods.objectives import plausibility_loss
from unirex.methods.settings.contract import BY_ROW, MethodFacts, PlausCriterion
from unirex.methods.settings.contract import AttributingConfig as AttributingConfig  # noqa: PLC0414 (methods of other packages import it here)
from unirex.methods.settings.contract import MethodConfig as MethodConfig  # noqa: PLC0414
from unirex.modeling import UnirexModel
from unirex.rationale.selection import rationale_masks
from unirex.text import with_current_keys

Total = Callable[[Tensor], Tensor]
"""The sum of a tensor over all processes, the same in each of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What a loss term is divided by: sums over the global batch (all processes, all accumulated micro-batches).

    Attributes:
        instances: labelled instances.
        gold_tokens: selectable tokens of rows with a human rationale.
        gold_positive: the gold mass among them (the number of marked tokens, where gold is 0 or 1).
        gold_rows: rows with a human rationale.
        progress: share of the training's steps that are done, in [0, 1).
    """

    instances: float
    gold_tokens: float
    gold_positive: float
    gold_rows: float
    progress: float = 0.0

    @classmethod
    def of(cls, batch: Batch) -> Tensor:
        """The counts of one batch as a float64 tensor [4], in the order of the fields, to be summed."""
        counted_BL = batch.selectable_BL & batch.has_gold_B[:, None]
        return torch.stack(
            [
                torch.tensor(float(len(batch.labels_I)), dtype=torch.float64, device=batch.labels_I.device),
                counted_BL.sum().double(),
                (batch.gold_BL * counted_BL).sum().double(),
                batch.has_gold_B.sum().double(),
            ]
        )

    @property
    def pos_weight(self) -> float:
        """#negative / #positive tokens; 1 where there is nothing to balance."""
        negative = self.gold_tokens - self.gold_positive
        return negative / self.gold_positive if self.gold_positive > 0 and negative > 0 else 1.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Explanation:
    """A method's answer for a batch.

    Attributes:
        logits_IC: float32, on the full input.
        scores_BL: float32, one per token, higher = more important; of no meaning at tokens that are not selectable.
        gap_B: for attributions that should sum to a change of the logit, the share of it that they miss.
    """

    logits_IC: Tensor
    scores_BL: Tensor
    gap_B: Tensor | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A part of training that begins with the best model of the part before.

    Attributes:
        name: also the folder of its checkpoints.
        epochs: most passes over the training set; None = `train.epochs`.
        latest: keep the latest of epochs that dev finds equal, not the first: where the task model is frozen, all have
            the same task score.
    """

    name: str
    epochs: int | None = None
    latest: bool = False


class Explainable(nn.Module, ABC):
    """What can explain and be judged: a method, or a model in place of one.

    Attributes:
        selects_then_predicts: whether it is made to answer from its rationale alone, and is judged that way too.
        fill: ids that stand for hidden tokens.
    """

    selects_then_predicts: ClassVar[bool] = False
    fill: FillTokens

    @abstractmethod
    def explain(self, batch: Batch) -> Explanation:
        """Logits and scores."""

    def answer(self, batch: Batch) -> Tensor:
        """The logits of `explain`, float32 [instances, C], without the cost of scores where that can be spared."""
        return self.explain(batch).logits_IC

    @abstractmethod
    def perturbed(self, rows: Rows, n_choices: int, max_tokens: int | None) -> Tensor:
        """Logits float32 [instances, C] of rows in which tokens may be hidden."""

    def rationale(self, batch: Batch, scores_BL: Tensor, fraction: float) -> Tensor:
        """What a model that selects, then predicts, answers from (see `Method.rationale`)."""
        raise ValueError(f"{type(self).__name__} does not answer from a rationale alone")

    @property
    def embedding_width(self) -> int:
        """Numbers in a token's embedding, as `embedded` takes factors for."""
        raise ValueError(f"{type(self).__name__} says nothing of its embeddings, expected eval.how without soft")

    def embedded(self, batch: Batch, factors_BLD: Tensor, max_tokens: int) -> Tensor:
        """Logits float32 [instances, C] of the full input whose embeddings are multiplied by factors."""
        raise ValueError(f"{type(self).__name__} takes no embeddings, expected eval.how without soft")


class Method(MethodFacts, Explainable):
    """How a model is trained to explain itself: a module around the model whose `forward` is its losses.

    Data-parallel training wraps it, so only `forward` may compute what has a gradient. A saved model is `model` with
    its configuration: `explain` and `perturbed` depend on these two alone. Other state that changes in training must
    be a buffer (`register_buffer`), which checkpoints hold and a resumed run reads. What is known of a method before it
    is made stands in attributes of its class (`MethodFacts`).

    Attributes:
        model, config, fill: what it is made of.
        class_weights: those of the settings, as a tensor.
    """

    model: UnirexModel
    config: MethodConfig

    def __init__(self, model: UnirexModel, config: MethodConfig, fill: FillTokens) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.fill = fill
        self.class_weights = None if config.class_weights is None else torch.tensor(config.class_weights)

    def rationale(self, batch: Batch, scores_BL: Tensor, fraction: float) -> Tensor:
        """The hard rationale that a model which selects, then predicts, answers from: bool [B, L] over tokens.

        Args:
            batch: the full input.
            scores_BL: what words are selected by.
            fraction: of the units, where the method was trained with none of its own (`self.fraction`).
        """
        c = self.config
        own = getattr(self, "fraction", None) or fraction
        return rationale_masks(scores_BL, batch.words_BL, own, unit=c.unit, pooling=c.word_score)

    @classmethod
    def model_settings(cls, config: Any) -> dict[str, Any]:
        """Settings of `UnirexConfig` that the method needs, in addition to those of `model`."""
        return {}

    @property
    @abstractmethod
    def weights(self) -> dict[str, float]:
        """What each term of `forward` counts for in the sum; asked before each step."""

    @abstractmethod
    def forward(self, batch: Batch, counts: Counts, seed: int) -> dict[str, Tensor]:
        """This batch's share of every term's mean over the global batch (a scalar each, with gradient).

        Args:
            batch: labelled instances.
            counts: of the global batch: what to divide by.
            seed: of the step, the same in every process.
        """

    def after_step(self, terms: Mapping[str, Tensor], total: Total) -> None:
        """Called after each optimizer step by every process: the place to change state that `forward` reads.

        Args:
            terms: this process's share of each term, without gradient; `total(terms[name])` is the mean over the
                global batch, however it was cut.
            total: sums a tensor over processes.
        """

    def logged(self) -> dict[str, float]:
        """Numbers that the log shows with the terms, the same in every process."""
        return {}

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The parts of training, in order."""
        return (Stage(name="train"),)

    def enter(self, stage: str) -> None:
        """Begins a part of training, where there are several: freezes and frees weights; that part's model answers."""

    def explain(self, batch: Batch) -> Explanation:
        """Logits on the full input, and the extractor's scores."""
        logits_IC, scores_BL = self.model.full(batch)
        if scores_BL is None:
            raise TypeError(f"{type(self).__name__} has no `explain` of its own, and its model gives no scores")
        return Explanation(logits_IC=logits_IC, scores_BL=scores_BL)

    @property
    def answering(self) -> RowClassifier:
        """What answers: the task model, or what a stage trains in its place."""
        return self.model

    def perturbed(self, rows: Rows, n_choices: int, max_tokens: int | None) -> Tensor:
        """Logits float32 [instances, C] of rows in which tokens may be hidden."""
        return self.answering.perturbed(rows, n_choices, max_tokens)

    @property
    def embedding_width(self) -> int:
        """Numbers in an embedding of what answers."""
        return embedding_width(self.answering.backbone)

    def embedded(self, batch: Batch, factors_BLD: Tensor, max_tokens: int) -> Tensor:
        """Logits float32 [instances, C] of the full input whose embeddings are multiplied by factors."""
        return self.answering.embedded(batch, factors_BLD, max_tokens, self.fill)

    @property
    def scores_from(self) -> str:
        """Where scores come from: `extractor`, or the name of an attribution."""
        return "extractor"

    @property
    def attributes(self) -> bool:
        """Whether its scores are an attribution now, whose passes `answer` spares."""
        return False


def plausibility_term(scores_BL: Tensor, batch: Batch, counts: Counts, criterion: PlausCriterion = "bce") -> Tensor:
    """This batch's share of the mean plausibility loss over the gold of the global batch (`kl`, `ranking`: its rows).

    A batch without gold gives a zero that still has a gradient, which data-parallel training waits for.
    """
    counted_BL = batch.selectable_BL & batch.has_gold_B[:, None]
    loss_BL = plausibility_loss(scores_BL, batch.gold_BL, counted_BL, criterion=criterion, pos_weight=counts.pos_weight)
    return loss_BL.sum() / max(counts.gold_rows if criterion in BY_ROW else counts.gold_tokens, 1.0)


def task_term(loss_I: Tensor, batch: Batch, counts: Counts, class_weights: Tensor | None) -> Tensor:
    """This batch's share of the mean task loss over the global batch, each instance weighted by its class."""
    if class_weights is not None:
        loss_I = loss_I * class_weights.to(loss_I.device)[batch.labels_I]
    return loss_I.sum() / counts.instances


def explained(classifier: RowClassifier, batch: Batch, config: AttributingConfig, fill: FillTokens) -> Explanation:
    """Logits on the full input, and the classifier's own scores, or its attributions where it has none."""
    logits_IC, scores_BL = classifier.full(batch)
    gap_B = None
    if scores_BL is None:
        wanted = config.attribution, config.attribution_settings
        scores_BL, gap_B = classifier.attributions(batch, logits_IC, *wanted, fill, head=classifier.vector_head)
    return Explanation(logits_IC=logits_IC, scores_BL=scores_BL, gap_B=gap_B)


def rationale_fraction(model: UnirexModel, fraction: float | None) -> float:
    """A setting `fraction`, or where it is None the f* of the run that made the model."""
    return float(fraction or (model.config.run or {}).get("rationale_fraction", 0.2))


C = TypeVar("C")


def saved_config(kind: type[C], settings: Mapping[str, Any]) -> C:
    """A method's configuration from its settings as a saved model holds them (lists for tuples, dicts for parts)."""
    hints = get_type_hints(kind)
    return kind(**{name: _restored(hints.get(name), v) for name, v in with_current_keys(settings).items()})


def _restored(hint: Any, value: Any) -> Any:
    """A setting as its annotation has it: JSON holds parts as dicts, and tuples as lists."""
    hint = _fitting(hint, value)
    inner = get_args(hint)
    if isinstance(value, dict):
        if is_dataclass(hint):
            return saved_config(hint, value)  # type: ignore[arg-type]
        return {key: _restored(inner[-1] if inner else None, one) for key, one in value.items()}
    if isinstance(value, list):
        each = inner if len(inner) == len(value) and ... not in inner else [inner[0] if inner else None] * len(value)
        items = [_restored(kind, one) for kind, one in zip(each, value, strict=True)]
        return items if (get_origin(hint) or hint) is list else tuple(items)
    return value


def _fitting(hint: Any, value: Any) -> Any:
    """The member of a union that a list or dict is of; any other hint as it is."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    kinds = [kind for kind in get_args(hint) if is_dataclass(kind) or (get_origin(kind) or kind) in (dict, Mapping)]
    if isinstance(value, list):
        kinds = [kind for kind in get_args(hint) if (get_origin(kind) or kind) in (list, tuple, Sequence)]
    return kinds[0] if kinds else None

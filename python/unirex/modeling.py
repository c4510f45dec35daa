"""The task model and its rationale extractor as one `PreTrainedModel`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils.generic import ModelOutput
from transformers.utils.hub import cached_file

from unirex.data.collate import Batch, FillTokens, Rows
from unirex.disk.untrusted import naming, read_json, refuse_code
from unirex.disk.weights import allow_new_pooler, quiet, refuse_parts
from unirex.encoder.backbone import Pooling, embedding_width, encode, encode_pooled, pool
from unirex.encoder.families import fix_attention
from unirex.extractors.attribution import IN_TRAINING, Attribution, AttributionConfig, attribute, with_logits
from unirex.extractors.head import HeadKind, ScoreHead, init_linear
from unirex.extractors.learned import DualExtractor, SupportClassifier, VectorHead
from unirex.extractors.target import Target

ExtractorKind = Literal["shared", "dual", "attribution", "support", "none"]
CHECKPOINT_VERSION = 1


class UnirexConfig(PretrainedConfig):
    """Configuration of `UnirexModel`.

    Attributes:
        backbone: configuration of the task model's backbone, as a dict with `model_type`.
        extractor: `shared` scores tokens from the task model's own hidden states (SLM), `dual` has a backbone of its
            own (DLM), `attribution` scores by the task model's gradient in training too (AA), `support` has a
            classifier of its own that is explained in the task model's stead (FRESH), `none` leaves scoring to an
            attribution after training.
        extractor_backbone: configuration of a dual extractor's backbone; None = the same as the task model's.
        extractor_outputs: numbers per token that a dual extractor's head gives; see `ScoreHead`.
        head: the extractor's head, `linear` or `mlp`; `head_width` and `head_layers` shape the MLP. With extractor
            `attribution`, `mlp` pools a token's attribution vector into its score, and `linear` means no head: the
            vector's sum or length.
        support_head: whether a support classifier has a score head, or is explained by attribution.
        pooling: how the task model's row becomes a vector; see `unirex.encoder.backbone.Pooling`.
        dropout: before the task head.
        choice: multiple choice, one logit a row and one softmax over the rows of an instance.
        run: how the model was trained and is to be explained, read back by `unirex.evaluate`.
        checkpoint_version: of the layout of these files.
    """

    model_type = "unirex"

    backbone: dict[str, Any] | None = None
    extractor: str = "shared"
    extractor_backbone: dict[str, Any] | None = None
    extractor_outputs: int = 1
    support_head: bool = False
    head: str = "linear"
    head_width: int = 2048
    head_layers: int = 2
    pooling: str = "pooler"
    dropout: float = 0.1
    choice: bool = False
    initializer_range: float = 0.02
    run: dict[str, Any] | None = None
    checkpoint_version: int = CHECKPOINT_VERSION


@dataclass
class UnirexOutput(ModelOutput):
    """What `UnirexModel` returns.

    Attributes:
        loss: mean cross-entropy where labels were given.
        logits: float [instances, C].
        scores: float [B, L], importance of each token, higher = more important; None without an extractor.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    scores: Tensor | None = None


class UnirexModel(PreTrainedModel):
    """A classifier with a rationale extractor.

    `forward` is the plain call of the transformers library; training and evaluation use `full` and `perturbed`.
    """

    config_class = UnirexConfig
    base_model_prefix = ""
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: UnirexConfig) -> None:
        super().__init__(config)
        if config.checkpoint_version != CHECKPOINT_VERSION:
            message = (
                f"checkpoint_version is {config.checkpoint_version}, expected {CHECKPOINT_VERSION}: "
                "the checkpoint was written by another version of unirex"
            )
            raise ValueError(message)
        if not isinstance(config.backbone, dict) or not config.backbone.get("model_type"):
            message = f"backbone is {config.backbone!r}, expected a configuration with model_type"
            raise ValueError(message)
        self.backbone = _bare(config.backbone)
        self.dropout = nn.Dropout(config.dropout)
        width = self.backbone.config.hidden_size
        self.classifier = nn.Linear(width, self._n_outputs)
        self.extractor = self._make_extractor(width)
        self.post_init()
        self.freeze_unused()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """A saved model; a file that lacks a tensor, or holds one that does not belong, is an error."""
        wanted = kwargs.pop("output_loading_info", False)
        kwargs["output_loading_info"] = True
        kwargs.setdefault("ignore_mismatched_sizes", True)  # its own error names no tensor; the next line does
        with quiet():
            loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model, found = loaded
        refuse_parts(found, str(pretrained_model_name_or_path))
        return (model, found) if wanted else model

    @property
    def _n_outputs(self) -> int:
        """Logits per row."""
        return 1 if self.config.choice else int(self.config.num_labels or 2)

    def _make_extractor(self, width: int) -> nn.Module | None:
        config = self.config
        if config.extractor == "shared":
            return self._head(width)
        if config.extractor == "dual":
            own = _bare(config.extractor_backbone or config.backbone)
            return DualExtractor(own, self._head(own.config.hidden_size, config.extractor_outputs))
        if config.extractor == "attribution" and config.head == "mlp":
            return VectorHead(self._head(embedding_width(self.backbone)))
        if config.extractor == "support":
            head = self._head(width) if config.support_head else None
            return SupportClassifier(_bare(config.backbone), nn.Linear(width, self._n_outputs), config.dropout, head)
        return None

    def _head(self, width: int, outputs: int = 1) -> ScoreHead:
        kind: HeadKind = "mlp" if self.config.head == "mlp" else "linear"
        return ScoreHead(width, kind, self.config.head_width, self.config.head_layers, outputs)

    def _init_weights(self, module: nn.Module) -> None:
        # Called for every module; the backbones initialise themselves.
        own = isinstance(self.extractor, SupportClassifier) and module is self.extractor.classifier
        if isinstance(module, ScoreHead) or module is self.classifier or own:
            init_linear(module, self.config.initializer_range)

    @property
    def pooling(self) -> Pooling:
        """How a row of the task model becomes a vector."""
        pooling: Pooling = self.config.pooling
        return pooling

    def full(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Logits float32 [instances, C] and scores float32 [B, L] on the full input, in one pass where shared."""
        hidden_BLD, pooler_BD = encode(self.backbone, batch.rows)
        logits = self._logits(pool(hidden_BLD, pooler_BD, batch.rows.visible_BL, self.pooling), batch.n_choices)
        if isinstance(self.extractor, DualExtractor):
            return logits, self._dual_scores(self.extractor, batch)
        if isinstance(self.extractor, ScoreHead):
            scores_BL: Tensor = self.extractor(hidden_BLD)
            return logits, scores_BL.float()
        return logits, None

    def scores(self, batch: Batch) -> Tensor:
        """Scores float32 [B, L] of a learned extractor alone."""
        if isinstance(self.extractor, DualExtractor):
            return self._dual_scores(self.extractor, batch)
        assert isinstance(self.extractor, ScoreHead)
        scores_BL: Tensor = self.extractor(encode(self.backbone, batch.rows)[0])
        return scores_BL.float()

    def support(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """What `full` gives, of the support classifier: logits, and scores where it has a score head."""
        own = self._support()
        hidden_BLD, pooler_BD = encode(own.backbone, batch.rows)
        logits = self._by_instance(
            own.classify(pool(hidden_BLD, pooler_BD, batch.rows.visible_BL, self.pooling)), batch.n_choices
        )
        if own.head is None:
            return logits, None
        scores_BL: Tensor = own.head(hidden_BLD)
        return logits, scores_BL.float()

    def support_perturbed(self, rows: Rows, n_choices: int = 1, max_tokens: int | None = None) -> Tensor:
        """What `perturbed` gives, of the support classifier."""
        own = self._support()
        pooled_BD = encode_pooled(own.backbone, rows, self.pooling, max_tokens=max_tokens)
        return self._by_instance(own.classify(pooled_BD), n_choices)

    def _support(self) -> SupportClassifier:
        if not isinstance(self.extractor, SupportClassifier):
            raise ValueError(f"model.extractor is {self.config.extractor!r}, expected 'support'")
        return self.extractor

    def attributions(
        self, batch: Batch, logits_IC: Tensor, how: Attribution, config: AttributionConfig, fill: FillTokens
    ) -> tuple[Tensor, Tensor | None]:
        """Scores float32 [B, L] of the predicted class's logit (multiple choice: of each row's own), without gradient.

        Beside them what they miss of completeness, where that means something; see `attribute`. With a support
        classifier it is the one explained.
        """
        target = self.target(batch, logits_IC.argmax(1), config.max_tokens, fill)
        return attribute(target, batch.words_BL, how, config, self._vector_head)

    def attributed(
        self,
        batch: Batch,
        class_I: Tensor,
        how: Attribution,
        config: AttributionConfig,
        fill: FillTokens,
        *,
        train_scores: bool,
    ) -> tuple[Tensor, Tensor]:
        """What `full` gives, the scores being attributions of `class_I` (choices: of each row's logit).

        With `train_scores` the scores carry gradient to every weight of the task model, a second derivative.
        """
        target = self.target(batch, class_I, config.max_tokens, fill)
        if not train_scores and how not in IN_TRAINING:
            logits_IC = self._logits(encode_pooled(self.backbone, batch.rows, self.pooling), batch.n_choices)
            return logits_IC, attribute(target, batch.words_BL, how, config, self._vector_head)[0]
        logits_BC, scores_BL = with_logits(
            target, how, config.pooling_of(how), self._vector_head, train_scores=train_scores
        )
        return self._by_instance(logits_BC, batch.n_choices), scores_BL

    @property
    def _vector_head(self) -> VectorHead | None:
        return self.extractor if isinstance(self.extractor, VectorHead) else None

    def target(self, batch: Batch, class_I: Tensor, max_tokens: int, fill: FillTokens) -> Target:
        """What attribution explains: the logits of `class_I`, of the support classifier where there is one."""
        own = self.extractor if isinstance(self.extractor, SupportClassifier) else self
        choice = torch.arange(batch.n_choices, device=class_I.device).repeat(len(class_I))
        return Target(
            backbone=own.backbone,
            classify=own.classify,
            pooling=self.pooling,
            rows=batch.rows,
            selectable_BL=batch.selectable_BL,
            class_B=torch.zeros_like(choice) if self.config.choice else class_I,
            fill=fill,
            seeds_B=batch.index_I.to(class_I.device).repeat_interleave(batch.n_choices) * batch.n_choices + choice,
            max_tokens=max_tokens,
        )

    def _dual_scores(self, extractor: DualExtractor, batch: Batch) -> Tensor:
        if batch.extractor is None:
            own_BL: Tensor = extractor(batch.rows)
            return own_BL.float()
        foreign_BL: Tensor = extractor(batch.extractor.rows)
        return self._transferred(foreign_BL.float(), batch)

    def extractor_outputs(self, batch: Batch) -> Tensor:
        """What a dual extractor's head gives for the task model's tokens, float32 [B, L, outputs]."""
        assert isinstance(self.extractor, DualExtractor)
        if batch.extractor is None:
            return self.extractor.outputs(batch.rows).float()
        parts = self.extractor.outputs(batch.extractor.rows).float().unbind(-1)
        return torch.stack([self._transferred(part, batch) for part in parts], -1)

    def _transferred(self, foreign_BL: Tensor, batch: Batch) -> Tensor:
        """Values at the extractor's tokens, taken to the task model's."""
        assert batch.extractor is not None
        return batch.extractor.transfer(foreign_BL, (batch.words_BL.shape[0], batch.words_BL.shape[1]))

    def freeze_unused(self) -> None:
        """Freezes the poolers that no output depends on, for which data-parallel training would wait forever."""
        parts: list[Any] = [] if self.pooling == "pooler" else [self.backbone]
        if isinstance(self.extractor, DualExtractor) or (self.extractor is not None and parts):
            parts.append(getattr(self.extractor, "backbone", None))
        for part in parts:
            pooler = getattr(part, "pooler", None)
            if pooler is not None:
                pooler.requires_grad_(False)

    def hold_score_bias(self) -> None:
        """Holds the score heads' last bias where it is, for losses that a shift of all scores does not change."""
        for module in self.modules():
            if isinstance(module, ScoreHead):
                module.hold_bias()

    def perturbed(self, rows: Rows, n_choices: int = 1, max_tokens: int | None = None) -> Tensor:
        """Logits float32 [instances, C] of rows in which tokens may be hidden."""
        return self._logits(encode_pooled(self.backbone, rows, self.pooling, max_tokens=max_tokens), n_choices)

    def classify(self, pooled_BD: Tensor) -> Tensor:
        """Row logits float32 [B, C] of pooled rows; one column with multiple choice."""
        logits_BC: Tensor = self.classifier(self.dropout(pooled_BD))
        return logits_BC.float()

    def _logits(self, pooled_BD: Tensor, n_choices: int) -> Tensor:
        return self._by_instance(self.classify(pooled_BD), n_choices)

    def _by_instance(self, logits_BC: Tensor, n_choices: int) -> Tensor:
        """Row logits as logits of instances, whose choices are the columns."""
        return logits_BC.view(-1, n_choices) if self.config.choice else logits_BC

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> UnirexOutput:
        """Logits and scores of token rows int64 [B, L]; multiple choice takes [instances, C, L]."""
        n_choices = input_ids.shape[1] if self.config.choice else 1
        input_ids = input_ids.reshape(-1, input_ids.shape[-1])
        rows = Rows(
            input_ids_BL=input_ids,
            visible_BL=torch.ones_like(input_ids, dtype=torch.bool)
            if attention_mask is None
            else attention_mask.reshape(input_ids.shape).bool(),
            token_types_BL=torch.zeros_like(input_ids)
            if token_type_ids is None
            else token_type_ids.reshape(input_ids.shape),
        )
        none = torch.full_like(input_ids, -1)
        batch = Batch(
            rows=rows,
            words_BL=none,
            gold_BL=torch.zeros(none.shape, device=none.device),
            has_gold_B=torch.zeros(len(none), dtype=torch.bool, device=none.device),
            labels_I=none[::n_choices, 0],
            n_choices=n_choices,
            index_I=torch.arange(len(none) // n_choices),
        )
        logits, scores_BL = self.full(batch)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return UnirexOutput(loss=loss, logits=logits, scores=scores_BL)


def _bare(settings: dict[str, Any]) -> PreTrainedModel:
    """A backbone with fresh weights from its configuration as a dict."""
    refuse_code(settings, "backbone")
    config = AutoConfig.for_model(**settings)
    fix_attention(config)
    model: PreTrainedModel = AutoModel.from_config(config, trust_remote_code=False)
    return model


def read_config(path: str) -> Any:
    """The configuration of a saved model of any kind, in a folder or on the hub; no code from it runs.

    Raises:
        ValueError: the folder, and what is wrong with its configuration.
    """
    file = cached_file(path, "config.json")
    try:
        content = read_json(Path(str(file)).read_bytes())
    except ValueError as error:
        raise ValueError(f"{file}: not JSON: {error}") from None
    refuse_code(content, str(file))
    with naming(str(file)):
        return AutoConfig.from_pretrained(path, trust_remote_code=False)


def load_model(path: str | Path) -> "UnirexModel":
    """A saved model: safetensors and JSON only.

    Raises:
        ValueError: the folder, and what is wrong with its files.
    """
    read_config(str(path))
    with naming(str(path)):
        model: UnirexModel = UnirexModel.from_pretrained(path, use_safetensors=True)
    return model


def load_backbone(path: str) -> PreTrainedModel:
    """A pretrained backbone from a folder or hub name: safetensors only, no code from the checkpoint.

    Raises:
        ValueError: the folder, and which of its tensors are missing (a pooler may be) or of another shape.
    """
    read_config(path)
    with naming(path), quiet():
        model, found = AutoModel.from_pretrained(
            path,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    allow_new_pooler(found, path)
    loaded: PreTrainedModel = model
    return loaded


def with_pretrained(config: UnirexConfig, path: str | None, extractor_path: str | None) -> UnirexModel:
    """A model with fresh heads whose backbones start from pretrained weights where a path is given."""
    model = UnirexModel(config)
    weights = None if path is None else load_backbone(path).state_dict()
    if weights is not None:
        model.backbone.load_state_dict(weights)
    if isinstance(model.extractor, (DualExtractor, SupportClassifier)) and extractor_path is not None:
        if weights is None or extractor_path != path:
            weights = load_backbone(extractor_path).state_dict()
        model.extractor.backbone.load_state_dict(weights)
    return model


AutoConfig.register("unirex", UnirexConfig, exist_ok=True)
AutoModel.register(UnirexConfig, UnirexModel, exist_ok=True)
AutoModelForSequenceClassification.register(UnirexConfig, UnirexModel, exist_ok=True)

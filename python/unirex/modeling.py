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

from unirex.backbone import Pooling, encode, encode_pooled, pool
from unirex.data.collate import Batch, Rows
from unirex.extractors.attribution import Attribution, attribute
from unirex.extractors.head import HeadKind, ScoreHead, init_linear
from unirex.untrusted import naming, read_json, refuse_code

ExtractorKind = Literal["shared", "dual", "none"]
CHECKPOINT_VERSION = 1


class UnirexConfig(PretrainedConfig):
    """Configuration of `UnirexModel`.

    Attributes:
        backbone: configuration of the task model's backbone, as a dict with `model_type`.
        extractor: `shared` scores tokens from the task model's own hidden states (SLM), `dual` has a backbone of its
            own (DLM), `none` leaves scoring to an attribution method.
        extractor_backbone: configuration of a dual extractor's backbone; None = the same as the task model's.
        head: the extractor's head, `linear` or `mlp`; `head_width` and `head_layers` shape the MLP.
        pooling: how the task model's row becomes a vector; see `unirex.backbone.Pooling`.
        dropout: before the task head.
        choice: multiple choice, one logit a row and one softmax over the rows of an instance.
        run: how the model was trained and is to be explained, read back by `unirex.evaluate`.
        checkpoint_version: of the layout of these files.
    """

    model_type = "unirex"

    backbone: dict[str, Any] | None = None
    extractor: str = "shared"
    extractor_backbone: dict[str, Any] | None = None
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


class DualExtractor(nn.Module):
    """An encoder of its own with a score head (DLM)."""

    def __init__(self, backbone: PreTrainedModel, head: ScoreHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, rows: Rows) -> Tensor:
        """Scores float [B, L] of the rows' tokens."""
        scores_BL: Tensor = self.head(encode(self.backbone, rows)[0])
        return scores_BL


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
        self.classifier = nn.Linear(width, 1 if config.choice else int(config.num_labels or 2))
        self.extractor: nn.Module | None = None
        head: HeadKind = "mlp" if config.head == "mlp" else "linear"
        if config.extractor == "shared":
            self.extractor = ScoreHead(width, head, config.head_width, config.head_layers)
        elif config.extractor == "dual":
            own = _bare(config.extractor_backbone or config.backbone)
            self.extractor = DualExtractor(
                own, ScoreHead(own.config.hidden_size, head, config.head_width, config.head_layers)
            )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        # Called for every module; the backbones initialise themselves.
        if isinstance(module, ScoreHead) or module is self.classifier:
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
        if self.extractor is None:
            return logits, None
        if isinstance(self.extractor, DualExtractor):
            return logits, self._dual_scores(self.extractor, batch)
        scores_BL: Tensor = self.extractor(hidden_BLD)
        return logits, scores_BL.float()

    def attributions(self, batch: Batch, logits_IC: Tensor, how: Attribution, steps: int, pad_id: int) -> Tensor:
        """Scores float32 [B, L] from the gradient of the predicted class's logit (multiple choice: of each row's own).

        The baseline has the padding token at every selectable token and keeps all others.
        """
        embed = self.backbone.get_input_embeddings()
        rows, answer_I = batch.rows, logits_IC.argmax(1, keepdim=True)
        blank_BL = rows.input_ids_BL.masked_fill(batch.selectable_BL, pad_id)

        def logit(embeddings_BLD: Tensor) -> Tensor:
            hidden_BLD, pooler_BD = encode(self.backbone, rows, embeddings_BLD)
            logits = self._logits(pool(hidden_BLD, pooler_BD, rows.visible_BL, self.pooling), batch.n_choices)
            return logits.reshape(-1) if self.config.choice else logits.gather(1, answer_I).squeeze(1)

        return attribute(logit, embed(rows.input_ids_BL), embed(blank_BL), how, steps).float()

    def _dual_scores(self, extractor: DualExtractor, batch: Batch) -> Tensor:
        if batch.extractor is None:
            own_BL: Tensor = extractor(batch.rows)
            return own_BL.float()
        shape = (batch.words_BL.shape[0], batch.words_BL.shape[1])
        foreign_BL: Tensor = extractor(batch.extractor.rows)
        return batch.extractor.transfer(foreign_BL.float(), shape)

    def perturbed(self, rows: Rows, n_choices: int = 1, max_tokens: int | None = None) -> Tensor:
        """Logits float32 [instances, C] of rows in which tokens may be hidden."""
        return self._logits(encode_pooled(self.backbone, rows, self.pooling, max_tokens=max_tokens), n_choices)

    def _logits(self, pooled_BD: Tensor, n_choices: int) -> Tensor:
        logits: Tensor = self.classifier(self.dropout(pooled_BD))
        return logits.float().view(-1, n_choices) if self.config.choice else logits.float()

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
    """A pretrained backbone from a folder or hub name: safetensors only, no code from the checkpoint."""
    read_config(path)
    with naming(path):
        model: PreTrainedModel = AutoModel.from_pretrained(
            path, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
        )
    return model


def with_pretrained(config: UnirexConfig, path: str | None, extractor_path: str | None) -> UnirexModel:
    """A model with fresh heads whose backbones start from pretrained weights where a path is given."""
    model = UnirexModel(config)
    if path is not None:
        model.backbone.load_state_dict(load_backbone(path).state_dict())
    if isinstance(model.extractor, DualExtractor) and extractor_path is not None:
        model.extractor.backbone.load_state_dict(load_backbone(extractor_path).state_dict())
    return model


AutoConfig.register("unirex", UnirexConfig, exist_ok=True)
AutoModel.register(UnirexConfig, UnirexModel, exist_ok=True)
AutoModelForSequenceClassification.register(UnirexConfig, UnirexModel, exist_ok=True)

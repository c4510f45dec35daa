"""The task model and its rationale extractor as one `PreTrainedModel`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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

from unirex.data.collate import Batch, Rows
from unirex.disk.untrusted import naming, read_json, refuse_code
from unirex.disk.weights import allow_new_pooler, quiet, refuse_parts
from unirex.encoder.backbone import Pooling, bare_backbone, encode, freeze_pooler
from unirex.encoder.families import auto_class
from unirex.extractors.build import build_extractor
from unirex.extractors.head import HeadKind
from unirex.extractors.row_classifier import RowClassifier
from unirex.timing import part

CHECKPOINT_VERSION = 1


class UnirexConfig(PretrainedConfig):
    """Configuration of `UnirexModel`.

    Attributes:
        backbone: configuration of the task model's backbone, as a dict with `model_type`.
        extractor: `shared` scores tokens from the task model's own hidden states (SLM), `dual` has a backbone of its
            own (DLM), `attribution` scores by the task model's gradient in training too (AA), `support` has a
            classifier of its own that is explained instead of the task model (FRESH), `none` leaves scoring to an
            attribution after training.
        extractor_backbone: configuration of a dual extractor's backbone; None = the same as the task model's.
        extractor_outputs: numbers that a shared or dual extractor gives of each token; see `Extractor`.
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
    head: HeadKind = "linear"
    head_width: int = 2048
    head_layers: int = 2
    pooling: Pooling = "pooler"
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
        scores: float [B, L], importance of each token by the extractor alone (what a gradient adds is the method's:
            `unirex.explainer`), higher = more important; None where the extractor gives none by itself (attribution,
            several numbers a token, tokens of its own): `unirex.explainer` explains those.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    scores: Tensor | None = None


class UnirexModel(RowClassifier, PreTrainedModel):
    """A classifier with a rationale extractor; independent of methods and of kinds of extractors.

    `forward` is the plain call of the transformers library; training and evaluation use `full` and `perturbed`.
    """

    config_class = UnirexConfig
    base_model_prefix = ""
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: UnirexConfig) -> None:
        super().__init__(config)
        if config.checkpoint_version != CHECKPOINT_VERSION:
            raise ValueError(
                f"checkpoint_version is {config.checkpoint_version}, expected {CHECKPOINT_VERSION}: "
                "the checkpoint was written by another version of unirex"
            )
        if not isinstance(config.backbone, dict) or not config.backbone.get("model_type"):
            raise ValueError(f"backbone is {config.backbone!r}, expected a configuration with model_type")
        self.pooling = config.pooling
        self.choice = config.choice
        self.backbone = bare_backbone(config.backbone)
        self.dropout = nn.Dropout(config.dropout)
        n_outputs = 1 if config.choice else int(config.num_labels or 2)  # of a row
        self.classifier = nn.Linear(self.backbone.config.hidden_size, n_outputs)
        self.extractor = build_extractor(config, self.backbone, n_outputs)
        self.post_init()
        self.freeze_unused()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """A saved model; a missing or unexpected tensor in its file is an error."""
        wanted = kwargs.pop("output_loading_info", False)
        kwargs["output_loading_info"] = True
        kwargs.setdefault("ignore_mismatched_sizes", True)  # its own error names no tensor; the next line does
        with quiet():
            loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model, found = loaded
        refuse_parts(found, str(pretrained_model_name_or_path))
        return (model, found) if wanted else model

    def _init_weights(self, module: nn.Module) -> None:
        # Called for modules with weights of their own; backbones draw theirs, and heads begin as torch has them.
        own = None if self.extractor is None else self.extractor.own_classifier
        if isinstance(module, nn.Linear) and (module is self.classifier or module is own):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            nn.init.zeros_(module.bias)

    def own_scores(self, batch: Batch, hidden_BLD: Tensor) -> Tensor | None:
        """The extractor's; see `Extractor.scores`."""
        return None if self.extractor is None else self.extractor.scores(batch, hidden_BLD)

    def scores(self, batch: Batch) -> Tensor:
        """Scores float32 [B, L] of a learned extractor alone."""
        outputs_BLN = self.outputs(batch)
        if outputs_BLN.shape[-1] != 1:
            raise ValueError(f"the extractor gives {outputs_BLN.shape[-1]} numbers a token, expected one, its score")
        return outputs_BLN.squeeze(-1)

    @part("extractor")
    def outputs(self, batch: Batch) -> Tensor:
        """What a learned extractor gives for the task model's tokens, float32 [B, L, N], without the answer."""
        found_BLN = None
        if self.extractor is not None:
            hidden_BLD = None if self.extractor.apart else encode(self.backbone, batch.rows)[0]
            found_BLN = self.extractor.outputs(batch, hidden_BLD)
        if found_BLN is None:
            raise ValueError(f"model.extractor is {self.config.extractor!r}, expected one that scores by itself")
        return found_BLN

    @property
    def vector_head(self) -> nn.Module | None:
        """The extractor's; see `Extractor.vector_head`."""
        return None if self.extractor is None else self.extractor.vector_head

    def freeze_unused(self) -> None:
        """Freezes the poolers that no output depends on, for which data-parallel training would wait forever."""
        if self.pooling != "pooler":
            freeze_pooler(self.backbone)
        if self.extractor is not None:
            self.extractor.freeze_unused(self.pooling)

    def hold_score_bias(self, *, held: bool = True) -> None:
        """Holds the score head's last bias where it is, for losses that a shift of all scores does not change."""
        head = None if self.extractor is None else self.extractor.score_head
        if head is not None:
            head.hold_bias(held=held)

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
        first_B1 = rows.visible_BL.int().argmax(1, keepdim=True)
        if first_B1.any():  # padded on the left
            places_L = torch.arange(input_ids.shape[1], device=input_ids.device)
            rows = replace(rows, positions_BL=(places_L - first_B1).clamp(min=0))
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
        if (self.config.run or {}).get("own_extractor_tokenizer"):  # and its tokens are not here
            logits, scores_BL = self.perturbed(batch.rows, n_choices), None
        else:
            logits, scores_BL = self.full(batch)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return UnirexOutput(loss=loss, logits=logits, scores=scores_BL)


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
    model, found = load_pretrained(auto_class(read_config(path)), path)
    allow_new_pooler(found, path)
    return model


def load_pretrained(kind: Any, path: str) -> tuple[PreTrainedModel, dict[str, Any]]:
    """A model of one of the library's auto classes, and what of it had no weights in the folder.

    Raises:
        ValueError: the folder, and what is wrong with its files.
    """
    with naming(path), quiet():
        model, found = kind.from_pretrained(
            path,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    return model, found


def with_pretrained(config: UnirexConfig, path: str | None, extractor_path: str | None) -> UnirexModel:
    """A model with fresh heads whose backbones start from pretrained weights where a path is given."""
    model = UnirexModel(config)
    weights = None if path is None else load_backbone(path).state_dict()
    if weights is not None:
        model.backbone.load_state_dict(weights)
    own = None if model.extractor is None else model.extractor.own_backbone
    if own is not None and extractor_path is not None:
        if weights is None or extractor_path != path:
            weights = load_backbone(extractor_path).state_dict()
        own.load_state_dict(weights)
    return model


AutoConfig.register("unirex", UnirexConfig, exist_ok=True)
AutoModel.register(UnirexConfig, UnirexModel, exist_ok=True)
AutoModelForSequenceClassification.register(UnirexConfig, UnirexModel, exist_ok=True)

"""From a configuration to data sets, tokenizers, model and method."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from transformers import AutoConfig

from unirex.config.checks import check_best_class, check_class_weights
from unirex.config.run import ModelConfig, RunConfig
from unirex.data.example_columns import offsets_of
from unirex.data.source import DataConfig, load_splits
from unirex.data.splitting import Splits
from unirex.data.store import has_choices, windows
from unirex.data.tokenization import build_tokenizer, load_tokenizer
from unirex.data.tools import Tools
from unirex.encoder.families import LONGEST, check_family, check_tokens, longest_row, shape_of, usual_pooling
from unirex.encoder.probe import check_model
from unirex.judging.saved import find_model
from unirex.methods import find_method
from unirex.methods.method import Method
from unirex.modeling import UnirexConfig, UnirexModel, read_config, with_pretrained
from unirex.schema import Example
from unirex.training.hooks import Hooks


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """The parts of a run."""

    splits: Splits
    tools: Tools
    model: UnirexModel
    method: Method
    rationale_fraction: float


def assemble(config: RunConfig, hooks: Hooks | None = None) -> Assembly:
    """Reads the data and builds tokenizers, model and method, with what the user adds to it."""
    splits = labeled_splits(config.data)
    check_class_weights(config.method.class_weights, splits.labels)
    check_best_class(config.train.best_metric, splits.labels)
    tools = make_tools(config.model, splits.train).over(config.data)
    fraction = config.eval.rationale_fraction or gold_fraction(splits.train)
    model = make_model(config, tools, splits, fraction)
    check_model(model)
    kind = (hooks or Hooks()).with_loss(find_method(config.method.name))
    method = kind(model, config.method, tools.fill)
    check_saved(method)
    return Assembly(splits=splits, tools=tools, model=model, method=method, rationale_fraction=fraction)


def check_saved(method: Method) -> None:
    """Refuses a method of one's own that answers or explains by weights outside of the model, which alone is saved.

    Raises:
        ValueError: names the weight and the function.
    """
    outside = next((name for name, _ in method.named_parameters() if not name.startswith("model.")), None)
    for name in ("explain", "answer", "perturbed", "embedded", "answering"):
        owner = next(kind for kind in type(method).__mro__ if name in vars(kind))
        if outside is not None and not owner.__module__.startswith("unirex."):
            raise ValueError(
                f"method {method.config.name}: {outside} is no part of the model, which alone is saved, and "
                f"{owner.__name__} has `{name}` of its own, expected weights inside of the model, or no such function"
            )


def labeled_splits(config: DataConfig) -> Splits:
    """All splits of a data set; every training instance must have a label."""
    splits = load_splits(config)
    for part in windows(splits.train):
        if part.batch["label"].null_count:
            name, expected = part.texts_of("id")[part.texts_of("label").index(None)], ", ".join(splits.labels)
            raise ValueError(
                f"{config.path or config.source}: train: instance {name}: label is missing, expected one of {expected}"
            )
    return splits


def gold_fraction(examples: Sequence[Example]) -> float:
    """Mean share of marked words over the instances with gold: the f* of hard rationales; 0.2 where there is none."""
    shares = [np.zeros(0)]
    for part in windows(examples):
        values, offsets = part.gold
        some = part.gold_known & (np.diff(offsets) > 0)
        marked = offsets_of(values[offsets[0] : offsets[-1]] > 0.5)[offsets - offsets[0]]
        shares.append(np.diff(marked)[some] / np.diff(offsets)[some])
    known = np.concatenate(shares)
    mean = float(np.mean(known)) if len(known) else 0.2
    return mean if mean > 0 else 0.2


def make_tools(config: ModelConfig, train: Sequence[Example]) -> Tools:
    """Tokenizers of the backbones, or one built from the training set for a random encoder."""
    if config.backbone is None:
        texts = (text for part in windows(train) for name in ("text", "choice") for text in part.flat_texts(name))
        tokenizer = build_tokenizer(texts, size=config.random.vocabulary)
    else:
        tokenizer = load_tokenizer(find_model(config.backbone))
    own = None if config.extractor_backbone is None else load_tokenizer(find_model(config.extractor_backbone))
    if own is not None and own.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str():
        own = None
    length = config.max_length or min(LONGEST, tokenizer.model_max_length)
    for backbone in (config.backbone, config.extractor_backbone) if config.max_length is None else ():
        if backbone is not None:
            length = min(length, longest_row(read_config(find_model(backbone))) or LONGEST)
    return Tools(tokenizer=tokenizer, extractor_tokenizer=own, max_length=length)


def make_model(config: RunConfig, tools: Tools, splits: Splits, rationale_fraction: float) -> UnirexModel:
    """The model, its backbones pretrained or random, with everything in its configuration to explain itself later."""
    model = config.model
    path = None if model.backbone is None else find_model(model.backbone)
    own_path = path if model.extractor_backbone is None else find_model(model.extractor_backbone)
    backbone = _random_backbone(model, tools) if path is None else read_config(path).to_dict()
    own = None if own_path is None or own_path == path else read_config(own_path).to_dict()
    for part in (backbone, own or {}):
        if model.backbone_dropout is not None:
            part.update({key: model.backbone_dropout for key in part if "dropout" in key})
    second = tools.extractor_tokenizer or tools.tokenizer
    for part, tokenizer, name in (
        (backbone, tools.tokenizer, "this backbone"),
        (own, second, "the extractor's backbone"),
    ):
        if part is None:
            continue
        known = AutoConfig.for_model(**part)
        check_tokens(known, tokenizer, name)
        longest = longest_row(known)
        if longest is not None and tools.max_length > longest:
            raise ValueError(f"model.max_length is {tools.max_length}, expected at most {longest} for {name}")
    choice = has_choices(splits.train)
    settings = UnirexConfig(
        backbone=backbone,
        extractor=model.extractor or "shared",
        extractor_backbone=own,
        **find_method(config.method.name).model_settings(config.method),
        head=model.head or "linear",
        head_width=model.head_width,
        head_layers=model.head_layers,
        pooling=usual_pooling(AutoConfig.for_model(**backbone)) if model.pooling == "auto" else model.pooling,
        dropout=model.dropout,
        choice=choice,
        id2label=dict(enumerate(splits.labels)),
        label2id={label: i for i, label in enumerate(splits.labels)},
        run=_run_settings(config, tools, rationale_fraction),
    )
    return with_pretrained(settings, path, own_path)


def _run_settings(config: RunConfig, tools: Tools, rationale_fraction: float) -> dict[str, Any]:
    """What evaluation needs to know about training, kept in the model's configuration."""
    return {
        "method": asdict(config.method),
        "data": config.data.short_name,
        "headline": config.data.headline,
        "rationale_fraction": rationale_fraction,
        "max_length": tools.max_length,
        "own_extractor_tokenizer": tools.extractor_tokenizer is not None,
    }


def _random_backbone(config: ModelConfig, tools: Tools) -> dict[str, Any]:
    random = config.random
    check_family(random.model_type)
    settings = AutoConfig.for_model(
        random.model_type,
        vocab_size=len(tools.tokenizer),
        hidden_size=random.hidden_size,
        num_hidden_layers=random.num_hidden_layers,
        num_attention_heads=random.num_attention_heads,
        intermediate_size=random.intermediate_size,
        **shape_of(random.model_type, tools.max_length + 8, random.hidden_size // random.num_attention_heads),
        pad_token_id=tools.tokenizer.pad_token_id,
    )
    content: dict[str, Any] = settings.to_dict()
    return content

"""Loads saved models, ours and others', as something that answers and explains."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, get_args

from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from unirex import modeling
from unirex.data.collate import Batch, Rows
from unirex.data.raw_text import Words
from unirex.data.tokenization import load_tokenizer, resolve_path
from unirex.data.tools import Tools, own_tokenizer
from unirex.disk.run_folder import RunFolder
from unirex.disk.untrusted import naming
from unirex.disk.weights import refuse_parts
from unirex.encoder.families import LONGEST, check_tokens, longest_row, turns_to_full_attention
from unirex.encoder.probe import check_hiding, check_model
from unirex.extractors.settings import Attribution, AttributionConfig
from unirex.judging.classifier import Classifier, classify
from unirex.methods import METHODS, find_method
from unirex.methods.method import Explainable, Explanation, Method, saved_config
from unirex.modeling import UnirexModel, load_pretrained
from unirex.schema import WordScore
from unirex.text import is_path, shown

STEPS = 50
"""Points on the way from the baseline, for integrated gradients."""


class Loading(TypedDict, total=False):
    """How a saved model is read: the keyword arguments of `load_saved`.

    Attributes:
        attribution: where scores come from; None = the model's own extractor (a foreign classifier has none).
        steps: of integrated gradients.
        max_length: most tokens of an input; None = what the model was trained with, or 512 if it takes as many.
    """

    attribution: Attribution | None
    steps: int
    max_length: int | None


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A model that answers, and what its rationales are cut by.

    Attributes:
        method: answers and explains.
        tools: its tokenizers.
        labels: class names in the order of the model's outputs; multiple choice: the names of the choices.
        choice: whether it chooses between answers.
        unit: what is selected.
        word_score: score of a word from those of its tokens.
        rationale_fraction: share of the words in a hard rationale.
        scores_from: `extractor`, the name of an attribution method, or None where the model has no scores.
        words: what a word of raw text is: for a model of this package as in the data it was trained on.
        longest: tokens of the longest row that its encoder takes; None = any.
    """

    method: Explainable
    tools: Tools
    labels: tuple[str, ...]
    choice: bool
    unit: Literal["token", "word"]
    word_score: WordScore
    rationale_fraction: float
    scores_from: str | None
    words: Words = "text"
    longest: int | None = None


def check_attribution(attribution: str | None, steps: int) -> None:
    """Refuses an unknown attribution method, and fewer than one step."""
    if attribution is not None and attribution not in get_args(Attribution):
        raise ValueError(f"attribution is {attribution!r}, expected one of {', '.join(get_args(Attribution))}")
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps is {steps!r}, expected a whole number of at least 1")


class Attributed(Explainable):
    """A trained method whose scores are the attributions of its task model, not those of its extractor."""

    def __init__(self, method: Method, attribution: Attribution, settings: AttributionConfig) -> None:
        super().__init__()
        self.method = method
        self.fill = method.fill
        self.attribution = attribution
        self.settings = settings

    def explain(self, batch: Batch) -> Explanation:
        """Logits on the full input, and attributions of the predicted class."""
        logits_IC = self.answer(batch)
        scores_BL, gap_B = self.method.model.attributions(batch, logits_IC, self.attribution, self.settings, self.fill)
        return Explanation(logits_IC=logits_IC, scores_BL=scores_BL, gap_B=gap_B)

    def answer(self, batch: Batch) -> Tensor:
        """The logits of `explain`, without an attribution."""
        return self.method.perturbed(batch.rows, batch.n_choices, None)

    def perturbed(self, rows: Rows, n_choices: int, max_tokens: int | None) -> Tensor:
        """Logits float32 [instances, C] of rows in which tokens may be hidden."""
        return self.method.perturbed(rows, n_choices, max_tokens)

    @property
    def embedding_width(self) -> int:
        """Numbers in an embedding of the task model."""
        return self.method.embedding_width

    def embedded(self, batch: Batch, factors_BLD: Tensor, max_tokens: int) -> Tensor:
        """Logits float32 [instances, C] of the full input whose embeddings are multiplied by factors."""
        return self.method.embedded(batch, factors_BLD, max_tokens)


def find_model(path: str, revision: str | None = None) -> str:
    """The folder of a model: a folder as it is, the model in the folder of a run, or a download from the Hub.

    Of a repository on the Hub only weights (safetensors), JSON and vocabularies are fetched; never code or pickles.

    Raises:
        ValueError: no such folder, and nothing of that name on the Hub.
    """
    folder = Path(resolve_path(path))
    if not folder.exists() and is_path(path):
        raise ValueError(f"{path}: no such folder, expected that of a model or a run")
    if folder.is_dir():
        inner = RunFolder(folder).model
        return str(inner if not (folder / "config.json").exists() and (inner / "config.json").exists() else folder)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return snapshot_download(
            path, revision=revision, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]
        )
    except (HFValidationError, OSError) as error:
        raise ValueError(f"{path}: not found locally or on the Hub ({_why(error)})") from None


def _why(error: Exception) -> str:
    """Why nothing was found on the Hub, in short: the library's own messages advise on its settings."""
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    if isinstance(error, HFValidationError):
        return "no name of a model there"
    if isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError):
        return "no copy on this machine, and the Hub is not asked or does not answer"
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _read_config(folder: str) -> PretrainedConfig:
    """The configuration of a saved model; one line says what is wrong with a folder that holds none."""
    if not (Path(folder) / "config.json").is_file():
        raise ValueError(f"{folder}: there is no config.json, expected a saved model")
    try:
        config: PretrainedConfig = modeling.read_config(folder)
        return config
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{folder}: {str(error).strip().splitlines()[0]}") from None


def load_saved(folder: str, **loading: Unpack[Loading]) -> Saved:
    """A saved model of this package, or any sequence classifier of the transformers library.

    Args:
        folder: of the model; see `find_model`.
        **loading: see `Loading`.

    Raises:
        ValueError: one line that names the folder and what is wrong with it.
    """
    for name in loading:
        if name not in Loading.__annotations__:
            raise TypeError(f"there is no setting {name!r}, expected {', '.join(Loading.__annotations__)}")
    check_attribution(loading.get("attribution"), loading.get("steps", STEPS))
    max_length = loading.get("max_length")
    if max_length is not None and (not isinstance(max_length, int) or max_length < 8):
        raise ValueError(f"max_length is {max_length!r}, expected a whole number of at least 8")
    config = _read_config(folder)
    with naming(folder):
        if config.model_type == "unirex":
            model = UnirexModel.from_pretrained(folder, use_safetensors=True)
        else:
            model = _load_foreign(folder)
        tokenizer = load_tokenizer(folder)
        return saved_from(model, tokenizer, **loading)


def _load_foreign(folder: str) -> PreTrainedModel:
    """A sequence classifier of the transformers library; weights that are missing would answer at random."""
    model, found = load_pretrained(AutoModelForSequenceClassification, folder)
    refuse_parts(found, folder, foreign=True)
    return model


def saved_from(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, **loading: Unpack[Loading]) -> Saved:
    """The same for a model and a tokenizer in memory; an extractor's own tokenizer is read from the model's folder."""
    if isinstance(model, UnirexModel):
        return _ours(model, tokenizer, **loading)
    return _foreign(model, tokenizer, **loading)


def _ours(
    model: UnirexModel,
    tokenizer: PreTrainedTokenizerFast,
    attribution: Attribution | None = None,
    steps: int = STEPS,
    max_length: int | None = None,
) -> Saved:
    settings: Any = model.config.run
    try:
        own = own_tokenizer(str(model.name_or_path)) if settings["own_extractor_tokenizer"] else None
        tools = Tools(tokenizer=tokenizer, extractor_tokenizer=own, max_length=max_length or settings["max_length"])
        kind = _known(settings["method"]["name"])
        method_config = saved_config(kind.config_class, settings["method"])
        fraction = float(settings["rationale_fraction"])
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"config.json: run holds no settings of a method known here ({reason})") from None
    check_model(model)
    most: int | None = None
    for part, reader in ((model.config.backbone, tokenizer), (model.config.extractor_backbone, own or tokenizer)):
        if part is None:
            continue
        config = AutoConfig.for_model(**part)
        check_tokens(config, reader, "this model")
        longest = longest_row(config)
        if longest is not None and tools.max_length > longest:
            raise ValueError(f"max_length is {tools.max_length}, expected at most {longest} for this model")
        if part is model.config.backbone:
            most = longest
    method = kind(model, method_config, tools.fill)
    if "stage" in settings:
        method.enter(settings["stage"])
    return Saved(
        method=method if attribution is None else Attributed(method, attribution, AttributionConfig(ig_steps=steps)),
        tools=tools,
        labels=_labels(model.config),
        choice=model.config.choice,
        unit=method_config.unit,
        word_score=method_config.word_score,
        rationale_fraction=fraction,
        scores_from=attribution or method.scores_from,
        words="space",  # as the readers of training data cut texts (`unirex.data.record.split_words`)
        longest=most,
    )


def _known(name: str) -> type[Method]:
    """The method of a saved model; the folder of a model never names code to run."""
    try:
        return find_method(name)
    except ValueError as error:
        if name in METHODS:  # an installed package that is broken
            raise
        raise ValueError(
            f"method {name!r} is not known here, expected --import FILE with the file that defines it "
            "(in Python: unirex.methods.add_method)"
        ) from error


def _foreign(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    attribution: Attribution | None = None,
    steps: int = STEPS,
    max_length: int | None = None,
) -> Saved:
    config: Any = model.config
    if len(config.id2label) < 2 or config.problem_type in {"regression", "multi_label_classification"}:
        raise ValueError(
            f"the model has {len(config.id2label)} outputs and problem_type {config.problem_type!r}, "
            "expected a classifier with one answer out of two or more"
        )
    check_tokens(config, tokenizer, "this model")
    if turns_to_full_attention(config):
        base: Any = model.base_model
        base.set_attention_type("original_full")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    most = min(tokenizer.model_max_length, longest_row(config) or 10**9)
    if max_length is not None and max_length > most:
        raise ValueError(f"max_length is {max_length}, expected at most {most} for this model")
    tools = Tools(tokenizer=tokenizer, extractor_tokenizer=None, max_length=max_length or min(LONGEST, most))
    told = "token_type_ids" in tokenizer.model_input_names
    method = Classifier(model, tools.fill, attribution, AttributionConfig(ig_steps=steps), token_types=told)
    check_hiding(model, lambda rows: classify(model, rows))  # the padding id is known by now
    return Saved(
        method=method,
        tools=tools,
        labels=_labels(config),
        choice=False,
        unit="token",
        word_score="max",
        rationale_fraction=0.2,
        scores_from=attribution,
        longest=most,
    )


def _labels(config: Any) -> tuple[str, ...]:
    names = tuple(str(config.id2label[i]) for i in sorted(config.id2label))
    if len({*names}) < len(names):
        raise ValueError(f"config.json: id2label names {shown([*names])}, expected each class once")
    return names

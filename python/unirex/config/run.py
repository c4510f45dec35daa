"""The configuration of a run: dataclasses, YAML in, YAML out, an unknown key is an error."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from jsonargparse import ArgumentParser, Namespace

from unirex.config.checks import check_best_metric, check_class_weights, refuse_unread
from unirex.config.command_line import add_config, config_first, current_names, expand
from unirex.config.identity import filled, renamed
from unirex.config.own_code import import_own
from unirex.config.presets import PRESETS, preset_defaults
from unirex.data.source import DataConfig
from unirex.disk.untrusted import read_yaml
from unirex.disk.yaml_text import yaml_text
from unirex.extractors.settings import ExtractorKind
from unirex.judging.settings import EvalConfig
from unirex.methods import METHODS, find_facts
from unirex.methods.settings.contract import MethodConfig
from unirex.parsing import rephrased
from unirex.ranges import BelowOne, Count, NotNegative, Positive, Range, Share, check_ranges, seconds_of
from unirex.text import NOW, suggest


@dataclass(frozen=True, kw_only=True)
class RandomBackbone:
    """A small encoder with random weights, for trying things out without any download.

    Attributes:
        model_type: of the transformers library.
        hidden_size: width of a token's vector.
        num_hidden_layers: how many layers it has.
        num_attention_heads: of each layer; a divisor of hidden_size.
        intermediate_size: width of a layer's feed-forward part.
        vocabulary: most pieces in the vocabulary built from the training set.
    """

    model_type: str = "bert"
    hidden_size: Count = 64
    num_hidden_layers: Count = 2
    num_attention_heads: Count = 4
    intermediate_size: Count = 128
    vocabulary: Count = 8192

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_ranges("model.random", self)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The task model and its extractor.

    Attributes:
        backbone: folder or hub name of a pretrained encoder, `package:NAME/SUB` for one inside an installed Python
            package; None = `random`, with a tokenizer built from the training set.
        random: shape of the random encoder.
        extractor: `shared` (SLM), `dual` (DLM), `attribution` (AA: the task model's gradient, in training too),
            `support` (a classifier of its own: FRESH) or `none` (attribution after training); None = the first that the
            method takes.
        extractor_backbone: pretrained encoder of a dual extractor, which may have another vocabulary; None = backbone.
        head: the extractor's head, `linear` or `mlp`; None = what the preset has for method and extractor, linear where
            it says nothing.
        head_width: of the layers of an mlp.
        head_layers: how many layers an mlp has.
        pooling: how the task model pools a row; `auto` takes the pooler where the backbone has one.
        dropout: before the task head.
        backbone_dropout: everywhere inside the backbones; None = what their configurations say.
        max_length: most tokens of a row; None = what the tokenizer and the backbone allow, at most 512.
    """

    backbone: str | None = None
    random: RandomBackbone = field(default_factory=RandomBackbone)
    extractor: ExtractorKind | None = None
    extractor_backbone: str | None = None
    head: Literal["linear", "mlp"] | None = None
    head_width: Count = 2048
    head_layers: Count = 2
    pooling: Literal["auto", "pooler", "first", "mean", "last"] = "auto"
    dropout: BelowOne = 0.1
    backbone_dropout: BelowOne | None = None
    max_length: Annotated[int, Range("at least 8", lambda n: n >= 8)] | None = None

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_ranges("model", self)
        if self.extractor_backbone is not None and self.extractor not in ("dual", None):
            raise ValueError(f"model.extractor_backbone is set, expected model.extractor dual, found {self.extractor}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The optimization.

    Attributes:
        epochs: most passes over the training set; None = as many as make 400 steps, 3 to 20.
        batch_size: instances per optimizer step over all processes and accumulated micro-batches together.
        accumulation: micro-batches per step in each process.
        max_tokens: most tokens, padding included, of a micro-batch's full inputs (perturbed rows come on top); a step
            that has more is cut into more micro-batches, with the same result. None = no bound. If memory runs out, a
            single process halves the micro-batches and repeats the step.
        gradient_checkpointing: keep only the hidden states between layers, and compute the rest twice.
        lr: the highest learning rate, of AdamW.
        weight_decay: of AdamW; biases and norms do not decay.
        betas: decay of AdamW's two moments.
        eps: what AdamW adds to the denominator.
        bias_correction: whether AdamW corrects for moments that start at 0; without it the first steps are larger.
        warmup: share of the steps in which the learning rate rises linearly; it then falls linearly to 0.
        clip: largest norm of the gradient, 0 = no clipping.
        precision: `no`, `bf16` or `fp16`; `auto` = `bf16` where the device computes in it, and else `no`, unless
            `accelerate launch` asks for one of the halves; None = what `accelerate launch` says.
        best_metric: metric of the dev split that picks the saved model: `headline` (the data set's task score),
            `composite` (mean of headline, comprehensiveness - sufficiency, and AUPRC) or any metric's name.
        patience: epochs without a better value before training stops; None = never.
        length_grouping: instances of similar length into one batch.
        gold_half: if fewer than half of the training instances have gold, half of each batch comes from them, again
            and again; an epoch then passes over those without gold once, lengths mixed.
        log_every: steps between lines of the log.
        save_every: steps between checkpoints, in addition to the one after each epoch; None = none.
        dev_limit: most dev instances scored after each epoch, a sample drawn from `data.seed`; None = all.
        dev_perturb: whether their words are hidden too, which costs most of that; False where a metric picks the model
            that needs no comprehensiveness or sufficiency. If it is of the task, attributions are left out with them.
        trackers: tensorboard, wandb, trackio, mlflow: any that accelerate knows and that is installed.
        max_time: how long a start of the run may last, from its beginning, in seconds or as hours:minutes:seconds; then
            it saves and ends with exit code 124. None = no bound.
        loss: name of the function whose terms were added to the method's, as `unirex.train(…, loss=…)` writes it down.
    """

    epochs: Count | None = 10
    batch_size: Count = 32
    accumulation: Count = 1
    max_tokens: Count | None = None
    gradient_checkpointing: bool = False
    lr: Positive = 2e-5
    weight_decay: NotNegative = 0.01
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    eps: Positive = 1e-8
    bias_correction: bool = True
    warmup: Share = 0.1
    clip: NotNegative = 1.0
    precision: Literal["no", "bf16", "fp16", "auto"] | None = None
    best_metric: str = "headline"
    patience: Count | None = 5
    length_grouping: bool = True
    gold_half: bool = False
    log_every: Count = 10
    save_every: Count | None = None
    dev_limit: Count | None = None
    dev_perturb: bool = True
    trackers: tuple[str, ...] = ()
    max_time: int | str | None = None
    loss: str | None = None

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_ranges("train", self)
        seconds_of(self.max_time, "train.max_time")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All of a run.

    Attributes:
        output: folder of the run.
        seed: of everything that is drawn.
        resume: go on from the newest checkpoint in `output`.
        overwrite: replace the run that `output` holds.
        trained: folder of a finished run with the same training settings: its model is judged, and nothing trained.
        preset: whose defaults stand below the files and the command line.
        method: settings of the method, its name among them.
    """

    output: str
    seed: int
    resume: bool
    overwrite: bool
    trained: str | None
    preset: str
    data: DataConfig
    model: ModelConfig
    method: MethodConfig
    train: TrainConfig
    eval: EvalConfig

    def __post_init__(self) -> None:
        """Checks the settings of one part against those of another."""
        if not self.output.strip():
            raise ValueError(f"output is {self.output!r}, expected a folder")
        if self.trained is not None and Path(self.trained).resolve() == Path(self.output).resolve():
            raise ValueError(f"trained is {self.trained!r}, expected another folder than output")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed is {self.seed}, expected 0 up to {2**32 - 1}")
        check_best_metric(self.train, self.eval)
        check_class_weights(self.method.class_weights, self.data.labels)
        refuse_unread(self)
        # Scores of an attribution are gradients, taken in the forward pass too: layers would be recomputed twice.
        attributed = "model.extractor attribution" if self.model.extractor == "attribution" else None
        forbids = self.method.forbids_recomputing or attributed
        if self.train.gradient_checkpointing and forbids is not None:
            raise ValueError(f"train.gradient_checkpointing is true, expected false with {forbids}")


def build_parser(
    method: str, *, prog: str, description: str, preset: str = "default", defaults: Mapping[str, Any] | None = None
) -> ArgumentParser:
    """The command line of a run whose method and preset are known; None: the defaults of these two."""
    below = json.dumps(preset_defaults(preset, method) if defaults is None else defaults)
    kind: Any = find_facts(method).config_class  # mypy takes the hash of a class for that of its instances
    return _parser(kind, preset, below, prog, description)


@lru_cache(maxsize=64)  # a parser takes longer to make than to use, and the runs of a suite need few
def _parser(kind: type[MethodConfig], preset: str, defaults: str, prog: str, description: str) -> ArgumentParser:
    parser = ArgumentParser(prog=prog, description=description, exit_on_error=False, allow_abbrev=False)
    add_config(parser)
    parser.add_argument("--output", type=str, default="runs/toy", help="folder of the run")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn")
    parser.add_argument("--resume", type=bool, default=False, help="go on from the newest checkpoint in output")
    parser.add_argument("--overwrite", type=bool, default=False, help="replace the run that output holds")
    parser.add_argument(
        "--trained",
        type=str | None,
        default=None,
        help="folder of a run with the same training settings, whose model is judged",
    )
    parser.add_argument("--preset", type=str, default=preset, help="default, or paper: the published conventions")
    parser.add_class_arguments(DataConfig, "data")
    parser.add_class_arguments(ModelConfig, "model")
    parser.add_class_arguments(kind, "method")
    parser.add_class_arguments(TrainConfig, "train")
    parser.add_class_arguments(EvalConfig, "eval")
    parser.set_defaults(json.loads(defaults))
    return parser


@lru_cache(maxsize=64)  # else a third of the time of each parse
def _below(parser: ArgumentParser) -> Namespace:
    return parser.get_defaults()


def parse(argv: Sequence[str], *, prog: str, description: str) -> RunConfig:
    """The configuration that a command line asks for.

    Raises:
        ValueError: one line naming the key, what was found and what was expected.
    """
    arguments = config_first(import_own(argv)[1])
    ahead = _ahead(arguments, ("method.name", "preset", "model.extractor", "model.backbone"))
    method, preset = ahead.get("method.name", "joint"), ahead.get("preset", "default")
    METHODS.check(method)
    if preset not in PRESETS:
        raise ValueError(f"preset is {preset!r}, expected {' or '.join(PRESETS)}{suggest(preset, PRESETS)}")
    extractor, backbone = (ahead.get(f"model.{key}", "null") for key in ("extractor", "backbone"))
    defaults = preset_defaults(
        preset, method, None if extractor == "null" else extractor, None if backbone == "null" else backbone
    )
    parser = build_parser(method, preset=preset, defaults=defaults, prog=prog, description=description)
    with rephrased(parser):
        namespace = parser.parse_args(current_names(arguments), namespace=_below(parser).clone(), defaults=False)
    return _from_namespace(parser, namespace)


@cache
def bare(method: str) -> dict[str, Any]:
    """The settings of a method's run without a preset, as read from YAML."""
    parser = build_parser(method, prog="", description="", defaults={})
    return plain(_from_namespace(parser, parser.parse_args([f"--method.name={method}"])))


def completed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A run's stored configuration with today's names, and the settings that came since.

    These begin with the value that leaves everything as it was, whatever a preset makes of them since.
    """
    config = renamed(stored)
    whole: dict[str, Any] = filled(config, bare(str(config["method"]["name"])))
    return whole


def _from_namespace(parser: ArgumentParser, namespace: Namespace) -> RunConfig:
    """The dataclasses of a parsed namespace; environment variables in paths are replaced."""
    made = parser.instantiate(namespace)
    data, model = made.data, made.model
    try:
        json.dumps(asdict(made.method))
    except TypeError as error:
        raise ValueError(f"method {made.method.name}: {error}, expected settings that JSON holds") from None
    return RunConfig(
        output=expand(made.output, "output"),
        seed=made.seed,
        resume=made.resume,
        overwrite=made.overwrite,
        trained=expand(made.trained, "trained"),
        preset=made.preset,
        data=replace(data, path=expand(data.path, "data.path"), masked=expand(data.masked, "data.masked")),
        model=_model(model, made.method.name, made.preset),
        method=made.method,
        train=made.train,
        eval=made.eval,
    )


def _model(model: ModelConfig, method: str, preset: str) -> ModelConfig:
    """The model's settings with the extractor that the method takes and its head, and paths without variables."""
    kind = find_facts(method)
    taken: tuple[Any, ...] = kind.extractors
    extractor = model.extractor or taken[0]
    if extractor not in taken:
        raise ValueError(f"model.extractor is {extractor!r}, expected {' or '.join(taken)} for method {method}")
    return replace(
        model,
        extractor=extractor,
        head=model.head or kind.preset_heads.get(preset, {}).get(extractor, "linear"),
        backbone=expand(model.backbone, "model.backbone"),
        extractor_backbone=expand(model.extractor_backbone, "model.extractor_backbone"),
    )


_SECTIONS = ("--model", "--method")


def _ahead(arguments: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """The values of keys that are read before all others, since they decide which settings and defaults exist."""
    found: dict[str, str] = {}
    for argument, after in zip(arguments, [*arguments[1:], ""], strict=False):
        option, _, value = argument.partition("=")
        if option == "--config":
            found |= _found_in(value or after, keys)
        elif option.startswith("--") and option[2:] in keys:
            found[option[2:]] = value or after
        elif option in _SECTIONS:  # a whole section, as YAML; what cannot be read is refused where all is parsed
            with suppress(yaml.YAMLError):
                found |= _texts({option[2:]: yaml.safe_load(value or after)}, keys)
    return {key: NOW.get((key, value), value) for key, value in found.items()}


def _found_in(path: str, keys: Sequence[str]) -> dict[str, str]:
    """Those of the keys that a file has a text for."""
    content = read_yaml(Path(path))
    if content is not None and not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, expected keys and values")
    return _texts(content or {}, keys)


def _texts(content: Mapping[str, Any], keys: Sequence[str]) -> dict[str, str]:
    """Those of the dotted keys that a mapping has a text or null for, whole or section by section."""
    values: dict[str, str] = {}
    for key in keys:
        section, _, name = key.rpartition(".")
        place = content if key in content or not section else content.get(section)
        if isinstance(place, dict) and (last := key if place is content else name) in place:
            found = place[last]
            if found is None or (isinstance(found, str) and found):
                values[key] = "null" if found is None else found
    return values


def to_yaml(config: RunConfig) -> str:
    """The configuration as YAML that `--config` reads back."""
    return yaml_text(plain(config))


def plain(config: RunConfig) -> dict[str, Any]:
    """The configuration as reading its YAML gives it: dicts and lists."""
    content: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return content

"""`python -m unirex.evaluate --model DIR …`: judges a saved model, or explanations made elsewhere, on any data."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from jsonargparse import ArgumentError, ArgumentParser
from transformers import AutoConfig
from transformers.utils.logging import disable_progress_bar

from unirex.assemble import Tools
from unirex.config import config_first, expand, fail, one_line
from unirex.data.cache import cache_folder
from unirex.data.source import DataConfig, load_split
from unirex.foreign import Classifier, read_scores
from unirex.inference import OWN, EvalConfig, Judging
from unirex.judging import About, check_processes, judge, print_tables, write_all
from unirex.methods import METHODS
from unirex.modeling import UnirexModel
from unirex.tokenization import load_tokenizer, resolve_path

FROM_FILE = "file"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is judged, on what.

    Attributes:
        model: folder of a saved unirex model, or any sequence classifier of the transformers library.
        scores: Parquet or JSONL with `id` and `scores` (one per word); None = the model's own.
        unit: what is selected where the model does not say: token or word.
        output: folder for predictions, controls and metrics.
    """

    model: str
    scores: str | None
    unit: str
    output: str
    data: DataConfig
    eval: EvalConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, or 2 for bad input."""
    speaks = os.environ.get("RANK", "0") == "0"
    disable_progress_bar()  # of loading and saving weights; the commands have their own
    try:
        run(_parse(list(sys.argv[1:] if argv is None else argv)))
    except (ValueError, OSError) as error:
        return fail(error) if speaks else 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parse(argv: list[str]) -> Request:
    parser = ArgumentParser(prog="unirex.evaluate", description=__doc__, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file; arguments beside it win")
    parser.add_argument(
        "--model", type=str, help="folder or hub name of a unirex model or a sequence classifier", required=True
    )
    parser.add_argument(
        "--scores", type=str | None, default=None, help="Parquet or JSONL with id and scores (one per word)"
    )
    parser.add_argument("--unit", type=str, default="token", help="token or word, where the model does not say")
    parser.add_argument("--output", type=str, default="runs/evaluation", help="folder for predictions and metrics")
    parser.add_class_arguments(DataConfig, "data")
    parser.add_class_arguments(EvalConfig, "eval")
    try:
        namespace = parser.instantiate(parser.parse_args(config_first(argv)))
    except ArgumentError as error:
        raise ValueError(one_line(str(error), parser)) from None
    if namespace.unit not in ("token", "word"):
        raise ValueError(f"unit is {namespace.unit!r}, expected token or word")
    data = DataConfig(**vars(namespace.data))
    return Request(
        model=resolve_path(expand(namespace.model, "model")),
        scores=expand(namespace.scores, "scores"),
        unit=namespace.unit,
        output=expand(namespace.output, "output"),
        data=replace(data, path=expand(data.path, "data.path")),
        eval=EvalConfig(**vars(namespace.eval)),
    )


def run(request: Request) -> None:
    """Judges on `eval.split` and writes predictions, controls and metrics to the output folder."""
    accelerator = Accelerator()
    check_processes(accelerator)
    method, tools, labels, settings = _load(request)
    known = replace(request.data, labels=request.data.labels or labels) if not request.data.choices else request.data
    examples = load_split(known, request.eval.split)
    if not examples:
        raise ValueError(f"data {request.data.short_name}: the {request.eval.split} split is empty, expected instances")
    source = OWN if request.scores is None else FROM_FILE
    judging = Judging(
        config=request.eval,
        unit=settings["unit"],
        word_score=settings["word_score"],
        rationale_fraction=request.eval.rationale_fraction or settings["rationale_fraction"],
        labels=labels,
        sources=(source, *request.eval.references),
        given=None if request.scores is None else {FROM_FILE: read_scores(request.scores, examples)},
    )
    about = About(
        model=request.model,
        data=request.data.short_name,
        headline=request.data.headline,
        choice=any(example.choices for example in examples),
    )
    data = replace(tools, cache=cache_folder(request.data.cache)).encode(examples, labels)
    tables = judge(accelerator, method.to(accelerator.device), data, judging, about, title=request.eval.split)
    if accelerator.is_main_process:
        paths = write_all(tables, Path(request.output))
        print_tables(tables, Path(request.output))
        print(f"\npredictions  {paths[0]}")  # noqa: T201


def _load(request: Request) -> tuple[Any, Tools, tuple[str, ...], dict[str, Any]]:
    """The method, its tools, class names and the settings rationales are cut by."""
    config = AutoConfig.from_pretrained(request.model, trust_remote_code=False)
    if config.model_type != "unirex":
        if request.scores is None:
            raise ValueError(
                f"{request.model}: a {config.model_type} classifier has no scores of its own, expected --scores FILE"
            )
        tokenizer = load_tokenizer(request.model)
        longest = min(512, tokenizer.model_max_length, getattr(config, "max_position_embeddings", 512))
        tools = Tools(tokenizer=tokenizer, extractor_tokenizer=None, max_length=longest)
        classifier = Classifier(request.model, tools.fill)
        return (
            classifier,
            tools,
            classifier.labels,
            {"unit": request.unit, "word_score": "max", "rationale_fraction": 0.2},
        )
    settings = config.run
    tools = Tools.load(request.model, settings)
    method_settings = settings["method"]
    kind = METHODS[method_settings["name"]]
    saved: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in method_settings.items()}
    method_config = kind.config_class(**saved)
    try:
        model = UnirexModel.from_pretrained(request.model)
    except ValueError as error:
        raise ValueError(f"{request.model}: {error}") from None
    method = kind(model, method_config, tools.fill)
    labels = tuple(config.id2label[i] for i in sorted(config.id2label))
    return (
        method,
        tools,
        labels,
        {
            "unit": method_config.unit,
            "word_score": method_config.word_score,
            "rationale_fraction": settings["rationale_fraction"],
        },
    )


if __name__ == "__main__":
    sys.exit(main())

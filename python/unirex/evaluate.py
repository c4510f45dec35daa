"""`python -m unirex.evaluate --model DIR …`: judges a saved model, or explanations made elsewhere, on any data."""

if __name__ == "__main__":  # Ctrl-C during the imports below is quiet in the command unirex
    from importlib import import_module

    import_module("unirex.cli").program("evaluate")

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import ArgumentParser

from unirex._rust import __version__
from unirex.config.command_line import add_config, config_first, expand, guarded, of_data
from unirex.config.identity import difference
from unirex.config.loading import load
from unirex.config.own_code import import_own
from unirex.config.shards import Shard, read_shard
from unirex.config.threads import spin_briefly
from unirex.data.source import DataConfig, load_split, load_splits
from unirex.data.splitting import HELD_OUT
from unirex.disk.lock import in_turn
from unirex.disk.made import file_digest, model_digest
from unirex.disk.run_folder import RunFolder
from unirex.judging.settings import EvalConfig, check_source
from unirex.parsing import rephrased
from unirex.schema import Example
from unirex.text import say

if TYPE_CHECKING:
    from unirex.judging.parts import Judgment
    from unirex.judging.predict import Judging

FROM_FILE = "file"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is judged, on what.

    Attributes:
        model: folder of a saved unirex model, or any sequence classifier of the transformers library.
        scores: files by name, Parquet, JSONL or CSV with `id` and `scores`, one per word or per entry of their own
            `words` or `spans`; none = the model's own. The first makes the prediction file, others lie with controls.
        unit: what is selected: token or word; None = words with scores of words, else what the model was trained to
            select, tokens with a foreign one.
        output: folder for predictions, controls and metrics.
        checks: folders of other unirex models by name, asked about the same rationales.
        shard: which share of the rows is judged here; None = all.
    """

    model: str
    scores: dict[str, str]
    unit: Literal["token", "word"] | None
    output: str
    checks: dict[str, str]
    data: DataConfig
    eval: EvalConfig
    shard: Shard | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, or 2 for bad input. torch is imported once the input looks right."""
    spin_briefly()
    return guarded(_run, argv)


def _run(given: list[str]) -> None:
    request = parse(given)
    load("unirex.judging.saved", "unirex.training.launched")
    run(request)


def parse(argv: list[str]) -> Request:
    """What a command line asks for.

    Raises:
        ValueError: one line naming the argument, what was found and what was expected.
    """
    parser = ArgumentParser(prog="unirex.evaluate", description=__doc__, exit_on_error=False, allow_abbrev=False)
    add_config(parser)
    parser.add_argument(
        "--model", type=str, help="folder or hub name of a unirex model or a sequence classifier", required=True
    )
    parser.add_argument(
        "--scores",
        type=dict[str, str] | str | None,
        default=None,
        help="Parquet, JSONL or CSV with id and scores, one per word or span; several: '{NAME: FILE, OTHER: FILE}'",
    )
    parser.add_argument(
        "--unit",
        type=Literal["token", "word"] | None,
        default=None,
        help="what is selected; default: words with --scores, else the model's",
    )
    parser.add_argument("--output", type=str, default="runs/evaluation", help="folder for predictions and metrics")
    parser.add_argument(
        "--checks",
        type=dict[str, str],
        default={},
        help="names and folders of check models, e.g. '{masked: runs/masked/model}': unirex models with the same "
        "tokenizer and classes that score the same rationales (unirex-metrics score --scorer NAME)",
    )
    parser.add_argument(
        "--shard",
        type=str | None,
        default=None,
        help="I/N: only the I-th of N shares of the rows, I from 1; the share that is judged last joins all",
    )
    parser.add_class_arguments(DataConfig, "data")
    parser.add_class_arguments(EvalConfig, "eval")
    with rephrased(parser):
        namespace = parser.instantiate(parser.parse_args(of_data(config_first(import_own(argv)[1]))))
    if not namespace.output.strip():
        raise ValueError(f"output is {namespace.output!r}, expected a folder")
    data = namespace.data
    return Request(
        model=expand(namespace.model, "model"),
        scores=_score_files(namespace.scores),
        unit=namespace.unit,
        output=expand(namespace.output, "output"),
        checks={name: expand(folder, f"checks.{name}") for name, folder in namespace.checks.items()},
        data=replace(data, path=expand(data.path, "data.path"), masked=expand(data.masked, "data.masked")),
        eval=namespace.eval,
        shard=read_shard(namespace.shard) if namespace.shard else None,
    )


def _score_files(given: str | dict[str, str] | None) -> dict[str, str]:
    """The files of scores by name.

    Raises:
        ValueError: a name that cannot be a file's or is a control's, or no such file.
    """
    named = given if isinstance(given, dict) else {} if given is None else {FROM_FILE: given}
    found = {name: expand(file, "scores") for name, file in named.items()}
    for name, file in found.items():
        check_source(name, "scores")
        if not Path(file).is_file():
            raise ValueError(f"{file}: no such file")
    return found


def run(request: Request) -> None:
    """Judges on `eval.split` and writes predictions, controls and metrics to the output folder."""
    from accelerate import Accelerator

    from unirex.data.cache import digest_of
    from unirex.data.store import has_choices
    from unirex.judging.check_models import check_lengths, load_checks
    from unirex.judging.gather import from_main, judge
    from unirex.judging.given_scores import read_scores
    from unirex.judging.parts import Parts, judge_part
    from unirex.judging.predict import About, Clock, Judging, sources
    from unirex.judging.saved import find_model, load_saved
    from unirex.training.launched import check_launch, forget_precision
    from unirex.training.seen import check_named

    folder, shard = check_output(request), request.shard
    request = replace(request, model=find_model(request.model))
    forget_precision()
    accelerator = Accelerator()
    check_launch(accelerator)
    saved = load_saved(request.model)
    if not request.scores and saved.scores_from is None:
        raise ValueError(f"{request.model}: this classifier has no scores of its own, expected --scores FILE")
    labels = saved.labels
    check_named(request.data, request.eval.split, _run_of(request.model), labels)
    known = request.data if request.data.choices else for_model(request.data, labels)
    examples = _split(known, request, choice=saved.choice, tells=accelerator.is_main_process)
    checks = load_checks(request.checks, saved, request.model, accelerator.device)
    judging = Judging(
        config=request.eval,
        unit=request.unit or ("word" if request.scores else saved.unit),
        # The tokens of a word have its given score, all the same.
        word_score="max" if request.scores else saved.word_score,
        rationale_fraction=request.eval.rationale_fraction or saved.rationale_fraction,
        labels=labels,
        sources=(*request.scores, *request.eval.references) if request.scores else sources(saved.method, request.eval),
        given={name: read_scores(file, examples) for name, file in request.scores.items()},
        checks={name: check.method for name, check in checks.items()},
        about=About(
            model=request.model,
            data=request.data.short_name,
            headline=known.headline,
            choice=has_choices(examples),
        ),
    )

    def judged(judging: Judging) -> "Judgment":
        clock, started = Clock(), time.perf_counter()
        data = saved.tools.over(request.data).encode(examples, labels)
        check_lengths(checks, data, request.checks)
        method = saved.method.to(accelerator.device)
        tables = judge(accelerator, method, data, judging, title=request.eval.split, clock=clock)
        if request.scores:  # what the model's own would have cost is not asked
            clock = Clock()
        clock.judging = time.perf_counter() - started
        return tables, clock

    if shard is None:
        tables, clock = judged(judging)
    else:
        made = from_main(accelerator, lambda: _made(request, judging, digest_of(examples), accelerator.num_processes))
        parts = Parts(run=folder, number=shard.number, of=shard.of, made=made)
        part = replace(judging, shard=(shard.number, shard.of))
        if not judge_part(accelerator, parts, lambda: judged(part)) or not accelerator.is_main_process:
            return
        tables, clock = parts.join(judging.sources, len(examples))
    if accelerator.is_main_process:
        _write(request, folder, judging, (tables, clock), examples)


def _write(
    request: Request, folder: RunFolder, judging: "Judging", judged: "Judgment", examples: Sequence[Example]
) -> None:
    """Writes a judgment and says what it found."""
    from unirex.judging.gather import print_tables, write_all, write_cost
    from unirex.judging.warnings import result_warnings, tell, write_warnings

    tables, clock = judged
    own, labels = judging.sources[0], judging.labels
    folder.path.mkdir(parents=True, exist_ok=True)
    with in_turn(folder.path):  # all that lies in it is of one judgment
        folder.metrics.unlink(missing_ok=True)  # until those of the new rows are there
        path = write_all(tables, folder)[0]
        write_cost(folder.cost, clock)
        of_result = result_warnings(tables[own], print_tables(tables, folder)[0])
        told = [*tell(_of_data(request, examples, labels), "data"), *tell(of_result, request.eval.split)]
        write_warnings(folder, told)
    unknown = sum(example.label is None for example in examples)
    if unknown:
        say(f"{unknown} of {len(examples)} instances have no label among {', '.join(labels)}")
    say(f"\npredictions  {path}")


def _of_data(request: Request, examples: Sequence[Example], labels: Sequence[str]) -> list[str]:
    """What is wrong with the rows that are judged, those among them that the model was trained on first."""
    from unirex.judging.warnings import data_warnings, repeated
    from unirex.training.seen import splits_seen

    split: dict[str, Sequence[Example]] = {request.eval.split: examples}
    seen = splits_seen(_run_of(request.model))
    return [*([] if seen is None else repeated(seen.train, split)), *data_warnings(split, labels)]


def _run_of(model: str) -> RunFolder:
    """The run that a model's folder lies in, if it does."""
    return RunFolder(Path(model).parent)


def check_output(request: Request) -> RunFolder:
    """The folder of the results, which are not those of a training run.

    Raises:
        ValueError: they are, or it cannot be written.
    """
    folder = RunFolder(Path(request.output))
    there = next(place for place in (folder.path, *folder.path.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        fault = "cannot be written" if there.is_dir() else "is a file"
        raise ValueError(f"output is {folder}, expected a folder that can be written ({there} {fault})")
    if foreign := folder.foreign_table():
        raise ValueError(f"output is {folder}, which holds {foreign.relative_to(folder.path)}, expected another folder")
    if folder.begun():
        raise ValueError(f"output is {folder}, a training run with results of its own, expected another folder")
    return folder


def _split(data: DataConfig, request: Request, *, choice: bool, tells: bool) -> Sequence[Example]:
    """The examples of the split that is judged; of data without it, the part that training would have drawn.

    Raises:
        ValueError: no examples, multiple choice for a model of classes, or the other way round, or a part that is not
            drawn as it was for the training of this model.
    """
    from unirex.data.store import has_choices

    split = request.eval.split
    examples = load_split(data, split)
    if not examples and split in (splits := load_splits(data)).drawn:
        examples = getattr(splits, split)
        how = "as for training" if _drawn_as_trained(request.data, request.model) else f"with data.seed {data.seed}"
        if tells and examples:
            say(
                f"{data.short_name} has no {split} split: {HELD_OUT[split]:.0%} of its rows are judged, drawn {how} "
                "(data.hub.splits names another part)"
            )
    if not examples:
        raise ValueError(f"data {data.short_name}: the {split} split is empty, expected instances")
    if (found := has_choices(examples)) != choice:
        kinds = ("single texts or pairs", "multiple choice")
        raise ValueError(
            f"data {data.short_name}: the instances are {kinds[found]}, expected {kinds[choice]} for this model"
        )
    return examples


_DRAWN_BY = ("seed", "rename_labels", "other_labels", "eraser", "hub")
"""Settings of `data` that decide which rows a split gets that the data lack."""


def _drawn_as_trained(data: DataConfig, model: str) -> bool:
    """Whether the data are those that the model was trained on, as far as its run is there to tell.

    Raises:
        ValueError: they are, and a setting, or what has become of them since, would draw rows that were trained on.
    """
    from unirex.training.seen import digests_of, settings_of, splits_seen

    run = _run_of(model)
    trained = settings_of(run)
    if trained is None or not data.path or not isinstance(trained.get("path"), str):
        return False
    where = [Path(os.path.expandvars(path)).expanduser().resolve() for path in (data.path, trained["path"])]
    if where[0] != where[1]:
        return False
    now, then = (
        {key: part[key] for key in _DRAWN_BY if key in part} for part in (json.loads(json.dumps(asdict(data))), trained)
    )
    then = {**now, **then}
    for section in ("eraser", "hub"):
        then[section] = {**now[section], **then[section], "id": None}
        now[section] = {**now[section], "id": None}
    found = difference({"data": then}, {"data": now})
    if found is not None:
        raise ValueError(
            f"{found[0]} is {found[2]!r}, expected {found[1]!r} as in {run.config}: the rows to judge are drawn, and "
            "other settings draw some that were trained on"
        )
    if digests_of(run) is None:
        return False
    if splits_seen(run) is None:
        raise ValueError(
            f"{data.path}: its rows are not those that {run} was trained on, expected the same: the rows to judge are "
            "drawn, and of other rows some would be drawn that were trained on (data.hub.splits '{test: train}' judges "
            "all rows of a file)"
        )
    return True


def _made(request: Request, judging: "Judging", rows: str, processes: int) -> dict[str, Any]:
    """What the rows of a shard depend on, and which of them it has: it is a share of the batches of each process."""
    from unirex.judging.saved import find_model

    masks = request.data.mask_file
    return {
        "version": __version__,
        "model": model_digest(request.model),
        "scores": {name: file_digest(file) for name, file in request.scores.items()},
        "checks": {name: model_digest(find_model(folder)) for name, folder in request.checks.items()},
        "unit": judging.unit,
        "data": {
            "rows": rows,
            "masks": None if masks is None else file_digest(masks),
            "name": judging.about.data,
            "headline": judging.about.headline,
        },
        "eval": asdict(judging.config),
        "processes": processes,
    }


def for_model(data: DataConfig, labels: tuple[str, ...]) -> DataConfig:
    """The data with the model's classes; a task score of a class that the model lacks gives way to accuracy.

    Raises:
        ValueError: the data name a class that the model lacks, and do not say that such labels are missing.
    """
    kind, _, of_class = data.headline.partition(":")
    renamed = data.rename_labels.get(of_class, of_class)
    headline = f"{kind}:{renamed}" if of_class else data.headline
    if data.other_labels == "missing":
        lacks = bool(of_class) and renamed not in labels
        return replace(data, labels=labels, headline="accuracy" if lacks else headline)
    for name in (*(data.labels or ()), *([of_class] if of_class else [])):
        if data.rename_labels.get(name, name) not in labels:
            raise ValueError(
                f"data {data.short_name}: class {name!r} is none of the model's ({', '.join(labels)}), expected "
                "data.rename_labels to map it, or data.other_labels missing for data of another task"
            )
    return replace(data, labels=labels, headline=headline)

"""`accelerate launch -m unirex.train --config X.yaml`: trains a model that explains itself, and judges it."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import broadcast_object_list, set_seed
from torch import nn
from transformers.utils.logging import disable_progress_bar

from unirex.config.checks import unread
from unirex.config.command_line import fail
from unirex.config.identity import difference, filled, renamed, training_part
from unirex.config.run import RunConfig, parse, to_yaml
from unirex.data.cache import digest_of
from unirex.data.collate import EncodedSet
from unirex.data.source import sample
from unirex.disk import checkpoint
from unirex.disk.atomic import atomic_write
from unirex.disk.lock import only_here
from unirex.disk.log import append_log
from unirex.disk.run_folder import RunFolder
from unirex.disk.untrusted import read_json, read_yaml
from unirex.judging.gather import dev_metrics, judge, print_tables, warn_of_collapse, write_all
from unirex.judging.predict import OWN, About, Clock, Judging, sources
from unirex.methods.method import Stage
from unirex.modeling import UnirexModel, load_model
from unirex.text import line, say
from unirex.training.assemble import Assembly, assemble
from unirex.training.card import model_card, write_card
from unirex.training.footprint import footprint
from unirex.training.launched import check_launch, end_with_launcher
from unirex.training.loop import Progress, StoppedError, Training, memory_ran_out

_LESS_MEMORY = "expected a smaller model, or smaller train.max_tokens, eval.max_tokens or eval.batch_size"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code.

    0, 2 for bad input or too little memory, 3 for numbers that are not finite, 130 for Ctrl-C, 143 for SIGTERM.
    """
    speaks = os.environ.get("RANK", "0") == "0"
    disable_progress_bar()  # of loading and saving weights; the commands have their own
    end_with_launcher()
    try:
        run(parse(sys.argv[1:] if argv is None else argv, prog="unirex.train", description=__doc__ or ""))
    except (ValueError, OSError) as error:
        return fail(error) if speaks else 2
    except FloatingPointError as error:
        if speaks:
            fail(error)
        return 3
    except (StoppedError, KeyboardInterrupt) as error:
        if speaks:
            print(f"{str(error) or 'stopped'}; the same command with --resume true goes on from there", file=sys.stderr)  # noqa: T201
        return 128 + getattr(error, "signal", signal.SIGINT)
    except (RuntimeError, MemoryError) as error:
        if not memory_ran_out(error):
            raise
        return fail(ValueError(f"no memory: {error}; {_LESS_MEMORY}")) if speaks else 2
    return 0


@dataclass(frozen=True, kw_only=True)
class Run:
    """What every part of a run needs.

    Attributes:
        accelerator: the processes and their devices.
        config: the settings.
        folder: where everything is written.
        parts: data, tokenizers, model and method.
        judging: how the model is judged.
    """

    accelerator: Accelerator
    config: RunConfig
    folder: RunFolder
    parts: Assembly
    judging: Judging

    @property
    def main(self) -> bool:
        """Whether this process writes and speaks."""
        return bool(self.accelerator.is_main_process)


def run(config: RunConfig) -> None:
    """Trains, keeps the best model by the dev metric, and judges it on the chosen split."""
    folder = RunFolder(config.output)
    _check_trackers(config.train.trackers)
    accelerator = Accelerator(
        mixed_precision=config.train.precision, log_with=list(config.train.trackers) or None, project_dir=folder.path
    )
    check_launch(accelerator)
    with _alone(accelerator, folder):
        _open_run(accelerator, config, folder)
        made = _assemble(accelerator, config, folder)
        if config.train.trackers:
            accelerator.init_trackers("unirex", config={"yaml": to_yaml(config)})
        started = time.perf_counter()
        if config.trained is None:
            progress = _fit(made)
            seconds = time.perf_counter() - started
        else:
            progress, seconds = _borrow(made)
        _finish(made, progress, seconds)
        accelerator.end_training()


def _assemble(accelerator: Accelerator, config: RunConfig, folder: RunFolder) -> Run:
    set_seed(config.seed)
    parts = assemble(config)
    judging = Judging(
        config=config.eval,
        unit=config.method.unit,
        word_score=config.method.word_score,
        rationale_fraction=parts.rationale_fraction,
        labels=parts.splits.labels,
        about=About(
            model=config.output,
            data=config.data.short_name,
            headline=config.data.headline,
            choice=parts.model.config.choice,
        ),
    )
    return Run(accelerator=accelerator, config=config, folder=folder, parts=parts, judging=judging)


@contextmanager
def _alone(accelerator: Accelerator, folder: RunFolder) -> Iterator[None]:
    """Holds the run's folder for this run; every process learns if another run has it.

    Raises:
        ValueError: another running process writes it.
    """
    with ExitStack() as held:
        found: list[Exception | None] = [None]
        if accelerator.is_main_process:
            try:
                folder.path.mkdir(parents=True, exist_ok=True)
                held.enter_context(only_here(folder.lock))
            except (ValueError, OSError) as error:
                found = [error]
        if accelerator.num_processes > 1:
            broadcast_object_list(found)
        if found[0] is not None:
            raise found[0]
        yield


def _check_trackers(names: Sequence[str]) -> None:
    """Refuses a tracker that is not installed, which accelerate would leave out without a word."""
    installed = [str(tracker) for tracker in get_available_trackers()]
    for name in names:
        if name not in installed:
            found = ", ".join(installed) or "none"
            raise ValueError(f"train.trackers holds {name!r}, expected one that is installed ({found})")


def _open_run(accelerator: Accelerator, config: RunConfig, folder: RunFolder) -> None:
    """Makes the run's folder and writes the configuration; refuses to mix two runs in one folder."""
    stored = folder.config
    if stored.exists() and config.resume:
        _check_same(_stored(stored), config, stored)
    elif stored.exists() and not config.overwrite:
        raise ValueError(f"output {folder} holds a run, expected a new folder, --resume true or --overwrite true")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        if config.overwrite and not config.resume:
            folder.clear()
        folder.path.mkdir(parents=True, exist_ok=True)
        for place in folder.stages():
            checkpoint.recover(place.path)
        with atomic_write(stored, "w") as file:
            file.write(to_yaml(config))
    accelerator.wait_for_everyone()


def _stored(path: Path) -> dict[str, object]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, expected the configuration of the run")
    return renamed(content)


def _check_same(before: dict[str, Any], config: RunConfig, stored: Path) -> None:
    """Refuses a resumption with other settings that something reads.

    One that the stored file does not know had its default then.
    """
    now = yaml.safe_load(to_yaml(config))
    defaults = yaml.safe_load(to_yaml(parse([f"--method.name={now['method']['name']}"], prog="", description="")))
    found = difference(filled(before, defaults), now, {"data.cache", *unread(config)})
    if found is not None:
        key, old, new = found
        raise ValueError(f"--resume: {key} is {new!r}, expected {old!r} as in {stored}")


def _fit(run: Run) -> Progress:
    """Trains all stages of the method to the end, from the newest checkpoints where asked to; returns the last's end.

    The best model of each stage is loaded when it ends. Stages before the last live in folders of their own.
    """
    splits, tools, method = run.parts.splits, run.parts.tools, run.parts.method
    train = tools.encode(splits.train, splits.labels)
    if not splits.val:
        raise ValueError(
            f"data {run.config.data.short_name}: the val split is empty, expected instances to choose the model by"
        )
    dev = tools.encode(sample(splits.val, run.config.train.dev_limit, seed=run.config.data.seed), splits.labels)
    if run.main:
        _describe(run.parts, train, dev, run.accelerator.num_processes)
    stages = method.stages
    progress = Progress()
    for stage in stages:
        folder = run.folder if stage is stages[-1] else run.folder.stage(stage.name)
        if len(stages) > 1:
            method.enter(stage.name)
            if run.main:
                folder.path.mkdir(parents=True, exist_ok=True)
                say(f"stage {stage.name}")
            run.accelerator.wait_for_everyone()
        progress = _fit_stage(replace(run, folder=folder), stage, train, dev)
        if run.main and stage is not stages[-1]:
            cost = {"step_seconds": progress.seconds, "step_instances": progress.instances}
            append_log(run.folder.path, {"event": "stage", "stage": stage.name, **cost})
    return progress


def _fit_stage(run: Run, stage: Stage, train: EncodedSet, dev: EncodedSet) -> Progress:
    """Trains one stage in its folder and leaves the method with the stage's best model.

    Raises:
        StoppedError: on Ctrl-C or SIGTERM, after the state was saved.
        FloatingPointError: a loss, a gradient, the weights or the model's scores are not finite.
    """
    settings = replace(run.config.train, epochs=stage.epochs or run.config.train.epochs)
    training = Training(run.accelerator, run.parts.method, train, settings, run.folder.path, seed=run.config.seed)
    training.digests = _digests(run.config, run.parts)
    if run.config.resume:
        _resume(training)
    with training.interruptible():
        for epoch in training.epochs():
            with training.explaining():
                metrics = _on_dev(run, training.method, dev, epoch)
            if training.improves(metrics) and run.main:
                model = training.bare_method.model
                save_model(model, run.parts, run.folder.model, model_card(run.config, run.parts))
            training.end_epoch(metrics)
    training.close()
    checkpoint.check_model(run.folder.model)
    run.parts.method.model.load_state_dict(load_model(run.folder.model).state_dict())
    return training.progress


def _on_dev(run: Run, method: nn.Module, dev: EncodedSet, epoch: int) -> dict[str, float]:
    """The dev metrics after an epoch, the same in every process; the one to go by stands under `best`."""
    # The choice of the best epoch looks at the main perturbation, or at one that it names; the others wait for the end.
    wanted = run.config.train.best_metric
    config = run.judging.config
    how = tuple(how for place, how in enumerate(config.how) if place == 0 or how in wanted)
    judging = replace(run.judging, config=replace(config, how=how))
    tables = judge(run.accelerator, method, dev, judging, title=f"dev {epoch}")
    if run.main:
        warn_of_collapse(tables[OWN], f"dev {epoch}")
    return dev_metrics(run.accelerator, tables, wanted)


def _borrow(run: Run) -> tuple[Progress, float]:
    """Takes the model of a run that was trained alike, and what its training cost, instead of training.

    Raises:
        ValueError: that run is not finished, or was trained otherwise.
    """
    source = RunFolder(str(run.config.trained))
    ours, theirs = training_part(yaml.safe_load(to_yaml(run.config))), training_part(_stored(source.config))
    for key in sorted({*ours, *theirs}):
        if ours.get(key) != theirs.get(key):
            raise ValueError(f"--trained {source}: its {key} settings are others, expected a run that is trained alike")
    events = [read_json(line) for line in source.log.read_text(encoding="utf-8").splitlines()]
    ends = [event for event in events if event.get("event") == "end"]
    if not ends:
        raise ValueError(f"--trained {source}: its log has no end, expected a finished run")
    method = run.parts.method
    method.model.load_state_dict(load_model(source.model).state_dict())
    method.to(run.accelerator.device)
    if run.main:
        for event in events:
            if event.get("event") == "stage":
                append_log(run.folder.path, event)
        save_model(method.model, run.parts, run.folder.model, model_card(run.config, run.parts))
    end = ends[-1]
    progress = Progress(
        step=end["step"],
        epoch=end.get("epoch", end["best_epoch"]),
        best_epoch=end["best_epoch"],
        seconds=end["step_seconds"],
        instances=end["step_instances"],
    )
    return progress, float(end["train_seconds"])


def _digests(config: RunConfig, parts: Assembly) -> dict[str, str]:
    """What the run is trained on and chosen by, as a resumption must find it again."""
    where = config.data.path or config.data.source
    splits = {"train": parts.splits.train, "val": parts.splits.val}
    return {f"the {name} split of {where}": digest_of(examples) for name, examples in splits.items()}


def _resume(training: Training) -> None:
    """Goes on from the newest whole checkpoint in the run's folder, where there is one."""
    newest, wrong = checkpoint.latest_whole(training.run)
    if newest is None:
        training.cut_log()
        return
    if wrong and training.accelerator.is_main_process:
        say(line(f"warning: {wrong}; going on from {newest} instead"), error=True)
    training.resume(newest)
    if training.progress.best_epoch:  # found out now, not when training ends and loads it
        checkpoint.check_model(RunFolder(training.run).model)


def save_model(model: UnirexModel, parts: Assembly, folder: Path, card: str) -> None:
    """Saves model, tokenizers and model card so that the folder is complete or as it was before."""
    with checkpoint.atomic_folder(folder) as temporary:
        model.save_pretrained(temporary)
        parts.tools.save(temporary)
        write_card(temporary, card)


def _finish(run: Run, progress: Progress, seconds: float) -> None:
    """Judges the best model and the controls on the chosen split, and writes and prints the result."""
    config, parts, folder = run.config, run.parts, run.folder
    split = config.eval.split if getattr(parts.splits, config.eval.split) else "val"
    data = parts.tools.encode(getattr(parts.splits, split), parts.splits.labels)
    with_controls = replace(run.judging, sources=sources(parts.method, config.eval))
    started, clock = time.perf_counter(), Clock()
    tables = judge(run.accelerator, parts.method, data, with_controls, title=split, clock=clock)
    if not run.main:
        return
    paths = write_all(tables, folder)
    end = {
        "event": "end",
        "step": progress.step,
        "epoch": progress.epoch,
        "best_epoch": progress.best_epoch,
        "train_seconds": seconds,
        "judge_seconds": time.perf_counter() - started,
        "step_seconds": progress.seconds,
        "step_instances": progress.instances,
        "explain_seconds": clock.seconds,
        "explain_instances": clock.instances,
        "split": split,
        **footprint(run.accelerator.device),
    }
    append_log(folder.path, end)
    reports = dict(zip(tables, print_tables(tables, folder), strict=True))
    write_card(folder.model, model_card(config, parts, reports, split))
    main = {f"{split}/{metric.name}": metric.value for metric in reports[OWN].metrics if metric.main}
    run.accelerator.log(main, step=progress.step)
    say(
        f"\n{config.data.short_name} {split}: {len(data)} instances; best epoch {progress.best_epoch} of "
        f"{progress.epoch}; trained in {seconds:.0f} s\nmodel        {folder.model}\npredictions  {paths[0]}"
    )


def _describe(parts: Assembly, train: EncodedSet, dev: EncodedSet, processes: int) -> None:
    """Prints what is about to be trained, and what truncation takes from it."""
    parameters = sum(p.numel() for p in parts.model.parameters())
    with_gold = sum(example.gold is not None for example in parts.splits.train)
    lines = [
        f"train {len(train)} instances ({with_gold} with gold), dev {len(dev)}, "
        f"classes {', '.join(parts.splits.labels)}; {processes} process{'es' if processes > 1 else ''}",
        f"model {parts.model.config.backbone['model_type']}, {parameters / 1e6:.1f} M parameters, "
        f"hard rationales: top {parts.rationale_fraction:.3f} of the words",
    ]
    cut = int(train.encoded.words_cut.sum())
    if cut:
        lines.append(
            f"truncation at {parts.tools.max_length} tokens takes {cut} words from "
            f"{int((train.encoded.words_cut > 0).sum())} training instances, "
            f"{int(train.encoded.gold_cut.sum())} of them marked by gold"
        )
    say("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())

"""A run from its command line to its files: training, the choice of the model, and its judgment."""

import hashlib
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from unirex.config.checks import of_task
from unirex.config.command_line import complain, fail
from unirex.config.identity import training_part, with_own_tables
from unirex.config.run import RunConfig, plain, to_yaml
from unirex.data.cache import digest_of
from unirex.data.collate import EncodedSet
from unirex.data.source import sample
from unirex.data.tools import Tools
from unirex.disk import checkpoint
from unirex.disk.log import append_log
from unirex.disk.run_folder import RunFolder
from unirex.disk.weights import quiet
from unirex.judging.gather import dev_metrics, judge, print_tables, write_all
from unirex.judging.predict import OWN, About, Clock, Judging, sources
from unirex.judging.warnings import data_warnings, repeated, result_warnings, tell, write_warnings
from unirex.methods.method import Method, Stage
from unirex.modeling import UnirexModel, load_model
from unirex.ranges import seconds_of
from unirex.text import line, say
from unirex.training.assemble import Assembly, assemble
from unirex.training.card import model_card, write_card
from unirex.training.display import describe
from unirex.training.footprint import footprint
from unirex.training.hooks import Event, Hooks
from unirex.training.launched import (
    check_launch,
    check_one_precision,
    end_with_launcher,
    forget_precision,
    precision_of,
)
from unirex.training.loop import Progress, Training
from unirex.training.memory import keeping_pages, memory_ran_out
from unirex.training.opening import alone, open_run, stored_config
from unirex.training.seen import log_of
from unirex.training.stopping import Stop, StoppedError
from unirex.training.trackers import check_trackers, start_trackers, track

_LESS_MEMORY = "expected a smaller model, or smaller train.max_tokens, eval.max_tokens or eval.batch_size"


def main(config: RunConfig) -> int:
    """Runs `unirex.train`; returns its exit code.

    0, 2 for bad input or too little memory, 3 for numbers that are not finite, 124 when `train.max_time` is over, 128
    and its number for a signal: 130 for Ctrl-C, 143 for SIGTERM, 138 for SIGUSR1 (on Linux).
    """
    end_with_launcher()
    stop = Stop()
    try:
        run(config, stop)
    except (ValueError, OSError, ImportError) as error:
        return fail(error)
    except FloatingPointError as error:
        return fail(error, 3)
    except (StoppedError, KeyboardInterrupt) as error:
        return _stopped(str(error), stop)
    except (RuntimeError, MemoryError) as error:
        if stop.explains(error):
            return _stopped("", stop)
        if not memory_ran_out(error):
            raise
        return fail(ValueError(f"no memory: {error}; {_LESS_MEMORY}"))
    return 0


def _stopped(message: str, stop: Stop) -> int:
    complain(f"{message or f'stopped ({stop.cause})'}; the same command with --resume true goes on from there")
    return stop.code or 128 + signal.SIGINT


@dataclass(frozen=True, kw_only=True)
class Run:
    """What every part of a run needs.

    Attributes:
        accelerator: the processes and their devices.
        config: the settings.
        folder: where everything is written.
        parts: data, tokenizers, model and method.
        judging: how the model is judged.
        stop: what asks it to stop.
        hooks: what the user adds to it.
        told: the warnings that this process has printed; each epoch's would be the same.
    """

    accelerator: Accelerator
    config: RunConfig
    folder: RunFolder
    parts: Assembly
    judging: Judging
    stop: Stop
    hooks: Hooks
    told: set[str] = field(default_factory=set)

    @property
    def main(self) -> bool:
        """Whether this process writes and speaks."""
        return bool(self.accelerator.is_main_process)


def run(
    config: RunConfig, stop: Stop, hooks: Hooks | None = None, write_data: Callable[[bool], None] = lambda _: None
) -> None:
    """Trains, keeps the best model by the dev metric, and judges it on the chosen split.

    Args:
        config: the settings.
        stop: what ends the run early; `train.max_time` counts from here.
        hooks: what the user adds.
        write_data: called in the main process once the folder is this run's, with whether it goes on with one there.
    """
    stop.limit(seconds_of(config.train.max_time))
    hooks = hooks or Hooks()
    hooks.check(config.train.loss)
    folder = RunFolder(config.output)
    check_trackers(config.train.trackers)
    forget_precision()
    accelerator = Accelerator(
        mixed_precision=precision_of(config.train.precision),
        log_with=list(config.train.trackers) or None,
        project_dir=folder.path,
    )
    check_launch(accelerator)
    # Not before: what connects the processes would not end for a signal that Python has to handle.
    with stop, keeping_pages(), alone(accelerator, folder):
        stop.know(accelerator)
        check_one_precision(accelerator)
        open_run(accelerator, config, folder, write_data)
        made = _assemble(accelerator, config, folder, stop, hooks)
        start_trackers(accelerator, config.train.trackers, to_yaml(config))
        progress, seconds = _fit(made) if config.trained is None else _borrow(made)
        _finish(made, progress, seconds)
        accelerator.end_training()


def _assemble(accelerator: Accelerator, config: RunConfig, folder: RunFolder, stop: Stop, hooks: Hooks) -> Run:
    set_seed(config.seed)
    parts = assemble(config, hooks)
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
    return Run(
        accelerator=accelerator, config=config, folder=folder, parts=parts, judging=judging, stop=stop, hooks=hooks
    )


def _fit(run: Run) -> tuple[Progress, float]:
    """Trains all stages of the method; a resumed run starts from its checkpoints.

    Returns the progress of the last stage, and the seconds that all have taken, before interruptions too.

    When a stage ends, its best model is loaded. Stages before the last have folders of their own.
    """
    splits, tools, method = run.parts.splits, run.parts.tools, run.parts.method
    train = tools.encode(splits.train, splits.labels)
    if not splits.val:
        found = "the val split is empty, expected instances to choose the model by"
        if "val" in splits.drawn:
            found = f"no val split can be drawn from {len(splits.train)} rows, expected three or more of a class"
        raise ValueError(f"data {run.config.data.short_name}: {found}")
    dev = tools.encode(sample(splits.val, run.config.train.dev_limit, seed=run.config.data.seed), splits.labels)
    if run.main:
        describe(run.parts, train, dev, run.accelerator.num_processes)
        write_warnings(run.folder, _warn(run, _of_data(run), "data", epoch=0))
    stages = method.stages
    progress, seconds = Progress(), 0.0
    for stage in stages:
        folder = run.folder if stage is stages[-1] else run.folder.stage(stage.name)
        if len(stages) > 1:
            _enter(method, stage)
            if run.main:
                folder.path.mkdir(parents=True, exist_ok=True)
                say(f"stage {stage.name}")
            run.accelerator.wait_for_everyone()
        progress = _fit_stage(replace(run, folder=folder), stage, train, dev)
        seconds += progress.wall
        if run.main and stage is not stages[-1]:
            cost = {"step_seconds": progress.seconds, "step_instances": progress.instances}
            append_log(run.folder.path, {"event": "stage", "stage": stage.name, **cost})
    return progress, seconds


def _enter(method: Method, stage: Stage) -> None:
    method.enter(stage.name)
    method.model.config.run = {**(method.model.config.run or {}), "stage": stage.name}  # whose model is saved


def _fit_stage(run: Run, stage: Stage, train: EncodedSet, dev: EncodedSet) -> Progress:
    """Trains one stage in its folder and leaves the method with the stage's best model.

    Raises:
        StoppedError: asked to stop, after the state was saved.
        FloatingPointError: a loss, a gradient, the weights or the model's scores are not finite.
    """
    settings = replace(run.config.train, epochs=stage.epochs or run.config.train.epochs)
    training = Training(run.accelerator, run.parts.method, train, settings, run.folder.path, seed=run.config.seed)
    if run.main:
        say(training.length)
    training.digests = _digests(run.config, run.parts)
    training.hooks = run.hooks
    if run.config.resume:
        _resume(training, run.parts.tools)
    with training.interruptible(run.stop):
        for epoch in training.epochs():
            with training.explaining():
                metrics = _on_dev(run, training.method, dev, epoch)
            if run.main:
                _warn(run, training.warnings(), "method", epoch=epoch)
            if training.improves(metrics, or_equals=stage.latest) and run.main:
                _save_model(run, training.bare_method.model)
            training.end_epoch(metrics)
    training.close()
    checkpoint.check_model(run.folder.model)
    run.parts.method.model.load_state_dict(load_model(run.folder.model).state_dict())
    return training.progress


def _digests(config: RunConfig, parts: Assembly) -> dict[str, str]:
    """Digests of the training and dev data, and of their masks; a resumed run must find the same."""
    where = with_own_tables(plain(config))["data"]["path"] or config.data.source
    splits = {"train": parts.splits.train, "val": parts.splits.val}
    found = {f"the {name} split of {where}": digest_of(examples) for name, examples in splits.items()}
    masks = config.data.mask_file
    return found if masks is None else {**found, str(masks): hashlib.sha256(masks.read_bytes()).hexdigest()}


def _resume(training: Training, tools: Tools) -> None:
    """Goes on from the newest whole checkpoint in the run's folder, where there is one."""
    newest, wrong = checkpoint.latest_whole(training.run)
    if newest is None:
        training.cut_log()
        return
    if wrong and training.accelerator.is_main_process:
        say(line(f"warning: {wrong}; going on from {newest} instead"), error=True)
    training.resume(newest)
    if training.progress.best_epoch:  # refused now, not when training has ended
        checkpoint.check_model(RunFolder(training.run).model)
        if training.accelerator.is_main_process:
            tools.mend(RunFolder(training.run).model)


def _on_dev(run: Run, method: nn.Module, dev: EncodedSet, epoch: int) -> dict[str, float]:
    """The dev metrics after an epoch, the same in every process; `best` is the one that picks the model."""
    # Only the main perturbation, and those that the metric names, can change the choice; the others wait for the end,
    # and so do attributions, which cost passes of their own, where neither needs them.
    wanted = run.config.train.best_metric
    config = run.judging.config
    how = tuple(how for place, how in enumerate(config.how) if place == 0 or how in wanted)
    perturb = run.config.train.dev_perturb
    explain = perturb or not run.parts.method.attributes or not of_task(wanted)
    judging = replace(run.judging, config=replace(config, how=how), perturb=perturb, explain=explain, as_trained=True)
    tables = judge(run.accelerator, method, dev, judging, title=f"dev {epoch}")
    if run.main:
        table = tables[OWN] if explain else tables[OWN].drop_columns("scores")
        _warn(run, result_warnings(table), f"dev {epoch}", epoch=epoch)
    return dev_metrics(run.accelerator, tables, wanted, explained=explain)


def _of_data(run: Run) -> list[str]:
    splits = run.parts.splits
    others = {"val": splits.val, "test": splits.test}
    return [*data_warnings({"train": splits.train, **others}, splits.labels), *repeated(splits.train, others)]


def _warn(run: Run, warnings: Sequence[str], about: str, *, epoch: int | None) -> list[str]:
    """The warnings with what they are about, once they are in the log and printed: those of epochs the first time."""
    told = tell(warnings, about, known=() if epoch is None else run.told)
    run.told.update(warnings)
    for warning in told:
        append_log(run.folder.path, {"event": "warning", "epoch": epoch, "text": warning})
    return told


def _save_model(run: Run, model: UnirexModel) -> None:
    """Saves model, tokenizers and model card so that the folder is complete or as it was before."""
    with checkpoint.atomic_folder(run.folder.model) as temporary:
        with quiet():
            model.save_pretrained(temporary)
        run.parts.tools.save(temporary)
        write_card(temporary, model_card(run.config, run.parts))


def _borrow(run: Run) -> tuple[Progress, float]:
    """Takes the model of a finished run with the same training settings, and what its training cost.

    Raises:
        ValueError: that run is not finished, or its training settings differ.
    """
    source = RunFolder(str(run.config.trained))
    ours, theirs = (training_part(with_own_tables(one)) for one in (plain(run.config), stored_config(source.config)))
    for key in sorted({*ours, *theirs}):
        if ours.get(key) != theirs.get(key):
            raise ValueError(f"--trained {source}: its {key} settings differ, expected a run with the same")
    events = log_of(source)
    ends = [event for event in events if event.get("event") == "end"]
    if not ends:
        raise ValueError(f"--trained {source}: its log has no end, expected a finished run")
    data = ends[-1].get("data")
    if data is not None and data != [*_digests(run.config, run.parts).values()]:
        raise ValueError(f"--trained {source}: its training or dev rows differ, expected a run with the same")
    method = run.parts.method
    if len(method.stages) > 1:
        _enter(method, method.stages[-1])
    method.model.load_state_dict(load_model(source.model).state_dict())
    method.to(run.accelerator.device)
    if run.main:
        for event in events:
            if event.get("event") == "stage":
                append_log(run.folder.path, event)
        _save_model(run, method.model)
    end = ends[-1]
    progress = Progress(
        step=end["step"],
        epoch=end.get("epoch", end["best_epoch"]),
        best_epoch=end["best_epoch"],
        seconds=end["step_seconds"],
        instances=end["step_instances"],
    )
    return progress, float(end["train_seconds"])


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
        "data": [*_digests(config, parts).values()],
        **footprint(run.accelerator.device),
    }
    append_log(folder.path, end)
    reports = dict(zip(tables, print_tables(tables, folder), strict=True))
    instead = [f"the data have no {config.eval.split} split, so the rows are judged that picked the epoch"]
    instead = instead if split != config.eval.split else []
    of_result = _warn(run, [*instead, *result_warnings(tables[OWN], reports[OWN])], split, epoch=None)
    write_warnings(folder, [*(f"data: {warning}" for warning in _of_data(run)), *of_result])
    write_card(folder.model, model_card(config, parts, reports, split))
    main = {f"{split}/{metric.name}": metric.value for metric in reports[OWN].metrics if metric.main}
    track(run.accelerator, main, progress.step)
    run.hooks.tell(Event(kind="end", step=progress.step, epoch=progress.epoch, metrics=main))
    say(
        f"\n{config.data.short_name} {split}: {len(data)} instances; best epoch {progress.best_epoch} of "
        f"{progress.epoch}; trained in {seconds:.0f} s\nmodel        {folder.model}\npredictions  {paths[0]}"
    )

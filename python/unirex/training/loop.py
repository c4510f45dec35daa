"""The optimization: global batches, counts taken over all of them, exact resume."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from unirex.config.run import TrainConfig
from unirex.data.collate import Batch, EncodedSet
from unirex.disk import checkpoint
from unirex.disk.checkpoint import rng_seed
from unirex.disk.log import Interval, append_log, cut_log
from unirex.methods.method import Counts, Method
from unirex.timing import part, timed
from unirex.training.ahead import Ahead
from unirex.training.display import TrainingBar
from unirex.training.hooks import Event, Hooks, Kind
from unirex.training.memory import checkpoint_layers, memory_ran_out
from unirex.training.optimizer import adamw, learning_rate, uncorrected, updates
from unirex.training.schedule import FEWEST, MOST, STEPS, epoch_batches, epochs_for
from unirex.training.stopping import CAUSES, Stop, StoppedError
from unirex.training.stopwatch import Stopwatch, costs
from unirex.training.terms import total, weights_of
from unirex.training.trackers import track
from unirex.training.watch import Watch


@dataclass(kw_only=True)
class Progress:
    """Where training stands: what a resumed run starts from.

    Attributes:
        step: optimizer steps done.
        epoch: epochs done.
        batch: batches of the running epoch done.
        best: best value of the chosen dev metric, None before the first.
        best_epoch: the epoch (from 1) that reached it.
        history: dev metrics by epoch.
        max_tokens: bound of a micro-batch, found by running out of memory; None before that.
        seconds: of all optimizer steps, those before an interruption included.
        wall: of training, the judgments on dev with it, up to the last save.
        instances: seen in these steps, repeats counted.
        interval: sums over the steps since the last line of the log.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best: float | None = None
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    max_tokens: int | None = None
    seconds: float = 0.0
    wall: float = 0.0
    instances: int = 0
    interval: dict[str, Any] = field(default_factory=dict)


class Training:
    """Trains a method on one set, epoch by epoch.

        with Stop() as stop, training.interruptible(stop):
            for epoch in training.epochs():
                metrics = ...  # on the dev split
                if training.improves(metrics):
                    ...  # keep the model
                training.end_epoch(metrics)

    Attributes:
        total_epochs, total_steps: of the whole training, at most.
        digests: of the data, which a resumption must find again; what is digested -> the digest.
        hooks: what is told how it goes.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        method: Method,
        data: EncodedSet,
        config: TrainConfig,
        run: Path,
        seed: int,
    ) -> None:
        if len(data) < accelerator.num_processes:
            raise ValueError(f"the training set has {len(data)} instances, expected at least one per process")
        self.accelerator = accelerator
        self.data = data
        self.config = config
        self.run = run
        self.seed = seed
        self.progress = Progress()
        if config.gradient_checkpointing:
            checkpoint_layers(method)
        self.method, self.optimizer = accelerator.prepare(method, adamw(method, config))
        steps = len(epoch_batches(data.lengths, config, seed, 0, data.has_gold))
        self.total_epochs = config.epochs or epochs_for(steps)
        self.total_steps = self.total_epochs * steps
        self.watch = Watch(accelerator, data.examples, run)
        self.digests: Mapping[str, str] = {}
        self.hooks = Hooks()
        self.interval = Interval()
        self._stopwatch = Stopwatch(accelerator.device)
        self._tokens = data.tokens
        self._trained = 0.0  # when the last epoch's steps ended
        self._saved = time.perf_counter()  # when the time up to now was last counted
        self._weights: Mapping[str, float] = {}  # of the running step
        self._returned: set[str] = set()  # the terms of all steps
        self._stop = Stop()
        self._ahead: Ahead[list[Batch]] | None = None
        self._last = np.array([], dtype=np.int64)
        self._bar: TrainingBar

    @property
    def bare_method(self) -> Method:
        """The method without what accelerate wrapped around it."""
        method: Method = self.accelerator.unwrap_model(self.method)
        return method

    @property
    def length(self) -> str:
        """How long training may last, at which batch, learning rate and precision, in a line."""
        config = self.config
        why = "" if config.epochs else f" (train.epochs null: {STEPS} steps, in {FEWEST} to {MOST} epochs)"
        half = {"bf16": ", in bfloat16", "fp16": ", in float16"}.get(self.accelerator.mixed_precision, "")
        return (
            f"at most {self.total_epochs} epochs of {self.total_steps // self.total_epochs} steps{why}, "
            f"batches of {config.batch_size}, learning rate {config.lr:g}{half}"
        )

    @contextmanager
    def interruptible(self, stop: Stop) -> Iterator[None]:
        """Shows progress; what asks to stop ends the running step and saves."""
        self._stop = stop
        bar = TrainingBar(
            total=self.total_steps,
            initial=self.progress.step,
            main=self.accelerator.is_main_process,
        )
        with stop.after_step(), bar as self._bar:
            yield

    def epochs(self) -> Iterator[int]:
        """Trains until the last epoch or until patience runs out, and yields the number of each finished epoch."""
        progress = self.progress
        while progress.epoch < self.total_epochs and not self._out_of_patience():
            self._epoch()
            self.watch.check()
            progress.epoch, progress.batch = progress.epoch + 1, 0
            self._tell("epoch", {})
            self._trained = time.perf_counter()
            yield progress.epoch

    def _out_of_patience(self) -> bool:
        patience = self.config.patience
        return patience is not None and self.progress.epoch - self.progress.best_epoch >= patience

    def _epoch(self) -> None:
        batches = epoch_batches(self.data.lengths, self.config, self.seed, self.progress.epoch, self.data.has_gold)
        self.method.train()
        with Ahead(lambda number: self._collate(batches[number]), len(batches)) as self._ahead:
            while self.progress.batch < len(batches):
                self._train_on(batches)
        self._ahead = None

    def _train_on(self, batches: list[NDArray[np.int64]]) -> None:
        started = time.perf_counter()
        lr = self._set_lr()
        self._last = batches[self.progress.batch]
        with timed(self._stopwatch.mark), self.watch.explaining(self.progress.step + 1, self._last):
            _, stop = self._step(self._last)
        self.progress.step += 1
        self.progress.instances += len(self._last)
        self.progress.batch += 1
        self._bar.update(1)
        seconds = time.perf_counter() - started
        self.progress.seconds += seconds
        self.interval.seconds += seconds
        self.interval.instances += len(self._last)
        self.interval.tokens += int(self._tokens[self._last].sum())
        if self.progress.step % self.config.log_every == 0 or self.progress.step in (1, self.total_steps):
            self._log_interval(lr)
        if stop:
            self.save()
            raise self._stopped()
        if self.config.save_every and self.progress.step % self.config.save_every == 0:
            self.save()

    def _stopped(self) -> StoppedError:
        step, cause = self.progress.step, self._stop.cause
        if self.accelerator.is_main_process:
            append_log(self.run, {"event": "stopped", "step": step, "cause": cause})
        return StoppedError(f"stopped after step {step} ({cause})")

    def _step(self, index: NDArray[np.int64]) -> tuple[dict[str, Tensor], bool]:
        """One optimizer step on a global batch: this process's share of each term's mean, and whether to stop."""
        started = time.perf_counter()
        micro = self._collate(index) if self._ahead is None else self._ahead.get(self.progress.batch)
        self.interval.wait += time.perf_counter() - started
        # A process without a share of a small last batch takes part with one instance that counts for nothing.
        idle = not self._share(index).size
        counts, stop = self._counts([] if idle else micro)
        while (sums := self._gradients(micro, counts, idle=idle)) is None:
            self._back_off(micro)
            micro = self._collate(index)
        self._change_weights(sums, index)
        return sums, stop

    @part("optimizer")
    def _change_weights(self, sums: dict[str, Tensor], index: NDArray[np.int64]) -> None:
        """Steps by the gradients of a batch, whose terms have these sums."""
        step, norm = self.progress.step + 1, self._clip()
        self.watch.add(step, sums, norm, index)
        self.interval.add(sums, norm if self.accelerator.scaler is None else norm.nan_to_num(0, 0, 0))
        self.optimizer.step()
        self.optimizer.zero_grad()
        weights = [parameter.detach() for parameter in self.method.parameters() if parameter.requires_grad]
        self.watch.note(step, {"the weights' norm": nn.utils.get_total_norm(weights)}, index)
        self.bare_method.after_step(sums, self._total)

    def _clip(self) -> Tensor:
        """Clips the gradient if `train.clip` says so; returns its norm before that."""
        if self.config.clip > 0:
            norm: Tensor = self.accelerator.clip_grad_norm_(self.method.parameters(), self.config.clip)
            return norm
        self.accelerator.unscale_gradients()
        return nn.utils.get_total_norm([p.grad for p in self.method.parameters() if p.grad is not None])

    def _total(self, local: Tensor) -> Tensor:
        """The sum of a tensor over processes."""
        if self.accelerator.num_processes == 1:
            return local
        summed: Tensor = self.accelerator.reduce(local.to(self.accelerator.device), "sum")
        return summed

    def _share(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        return index[self.accelerator.process_index :: self.accelerator.num_processes]

    def _collate(self, index: NDArray[np.int64]) -> list[Batch]:
        """The micro-batches of this process's share of a global batch."""
        share = self._share(index)
        parts = np.array_split(share if len(share) else index[:1], self.config.accumulation)
        bounds = [bound for bound in (self.config.max_tokens, self.progress.max_tokens) if bound is not None]
        if bounds:
            parts = [piece for part in parts for piece in self.data.shares(part, min(bounds))]
        on_gpu = self.accelerator.device.type == "cuda"
        batches = [self.data.collate(part, multiple=8 if on_gpu else 1) for part in parts if len(part)]
        return [batch.pin() for batch in batches] if on_gpu else batches

    def _gradients(self, micro: list[Batch], counts: Counts, *, idle: bool) -> dict[str, Tensor] | None:
        """Adds up the gradients of all micro-batches; returns the sums of the terms, or None where memory ran out."""
        accelerator, step = self.accelerator, self.progress.step
        checkpoint.seed_step(self.seed, step, accelerator.process_index)
        self._weights = weights_of(self.bare_method)
        sums: dict[str, Tensor] = {}
        try:
            for number, batch in enumerate(micro):
                last = number == len(micro) - 1
                with nullcontext() if last else accelerator.no_sync(self.method):
                    terms = self.method(batch.to(accelerator.device), counts, rng_seed(self.seed, step))
                    loss = total(self.bare_method, terms, self._weights)
                    # Data-parallel training averages gradients over processes; the terms are shares of one mean.
                    with part("backward"):
                        accelerator.backward(loss * (0 if idle else accelerator.num_processes))
                self._returned |= terms.keys()
                for name, term in terms.items():
                    sums[name] = sums.get(name, 0) + term.detach() * (0 if idle else 1)
        except (RuntimeError, MemoryError) as error:
            if not memory_ran_out(error):
                raise
            return None  # so that what the traceback holds is free before the next attempt
        return sums

    def warnings(self) -> list[str]:
        """One line for each weight that has counted for nothing, of a method of the user's own."""
        own = type(self.bare_method)
        lost = [name for name, weight in self._weights.items() if weight and name not in self._returned]
        return [
            f"{own.__name__}.weights has {name!r}, which `forward` has not returned so far: it counts for nothing"
            for name in ([] if own.__module__.startswith("unirex.") else lost)
        ]

    def _back_off(self, micro: list[Batch]) -> None:
        """Halves the longest micro-batches that can be cut after memory ran out.

        Raises:
            ValueError: there is nothing left to halve, or other processes wait for this one's gradients.
        """
        several = [batch for batch in micro if len(batch.labels_I) > 1]
        tokens = max(batch.words_BL.numel() for batch in several or micro)
        advice = "expected train.gradient_checkpointing true or a smaller model.max_length"
        if not several:
            raise ValueError(f"step {self.progress.step + 1}: no memory for one instance of {tokens} tokens; {advice}")
        if self.accelerator.num_processes > 1:
            raise ValueError(
                f"step {self.progress.step + 1}: no memory for a micro-batch of {tokens} tokens; "
                "expected train.max_tokens below that"
            )
        self.optimizer.zero_grad()
        if self.accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
        self.progress.max_tokens = max(1, tokens // 2)
        if self._ahead is not None:
            self._ahead.forget()
        self.log({"event": "out of memory", "step": self.progress.step, "max_tokens": self.progress.max_tokens})

    def _counts(self, micro: list[Batch]) -> tuple[Counts, bool]:
        """The counts of the global batch, and whether any process was asked to stop."""
        local = torch.zeros(4 + CAUSES, dtype=torch.float64)
        for batch in micro:
            local[:4] += Counts.of(batch)
        self._stop.note(local[4:])
        instances, tokens, positive, rows, *causes = self._total(local).tolist()
        counts = Counts(
            instances=instances,
            gold_tokens=tokens,
            gold_positive=positive,
            gold_rows=rows,
            progress=self.progress.step / self.total_steps,
        )
        return counts, self._stop.agreed(causes)

    def _set_lr(self) -> float:
        lr = learning_rate(self.progress.step, self.total_steps, self.config)
        done = None if self.config.bias_correction else updates(self.optimizer)  # on a GPU it waits for the last one
        for group, decay in zip(self.optimizer.param_groups, (self.config.weight_decay, 0.0), strict=True):
            group.update({"lr": lr} if done is None else uncorrected(lr, decay, done, self.config))
        return lr

    def _log_interval(self, lr: float) -> None:
        """Writes the means over the steps since the last line of the log, this one included."""
        sums = self._sums()
        steps = sums["steps"]
        entry = {name: value / steps for name, value in sums["terms"].items()}
        total = sum(self._weights[name] * value for name, value in entry.items())
        record = {
            "step": self.progress.step,
            "epoch": self.progress.epoch,
            "loss": total,
            **entry,
            **self.bare_method.logged(),
            "lr": lr,
            "grad_norm": sums["norm"] / steps,
            "steps": steps,
            "seconds": round(sums["seconds"] / steps, 4),
            "wait": round(sums["wait"] / steps, 4),
            **costs(self.interval, self._bar.left, self.accelerator.device),
        }
        self.interval = Interval()
        numbers = self.log(record)
        self._bar.show(total, entry, numbers)
        self._tell("step", numbers)

    def _sums(self) -> dict[str, Any]:
        """The checked sums over the steps since the last line of the log, once the device has finished them."""
        self.watch.check()
        self.progress.seconds += self._stopwatch.take(self.interval)
        return self.interval.over_all(self.accelerator)

    def log(self, record: dict[str, Any]) -> dict[str, float]:
        """Appends a line to the run's log and tells the trackers; returns the numbers they are told."""
        if self.accelerator.is_main_process:
            append_log(self.run, record)
        numbers = {k: v for k, v in record.items() if isinstance(v, (int, float)) and k != "step"}
        track(self.accelerator, numbers, self.progress.step)
        return numbers

    def _tell(self, kind: Kind, metrics: Mapping[str, float]) -> None:
        if self.accelerator.is_main_process:
            progress = self.progress
            self.hooks.tell(Event(kind=kind, step=progress.step, epoch=progress.epoch, metrics=metrics))

    def explaining(self) -> AbstractContextManager[None]:
        """Names the last step and its batch in an error about numbers that are not finite."""
        return self.watch.explaining(self.progress.step, self._last)

    def improves(self, metrics: dict[str, float], *, or_equals: bool = False) -> bool:
        """Notes the dev metrics of an epoch; whether its model is the best so far, by the metric `best`.

        An epoch that is as good as the best is kept in its place with `or_equals`.

        Raises:
            ValueError: that metric is undefined.
        """
        progress = self.progress
        progress.history.append(metrics)
        found = {**metrics, "judge_seconds": round(time.perf_counter() - self._trained, 3)}
        self.log({"event": "dev", "step": progress.step, "epoch": progress.epoch, **found})
        self._tell("judged", found)
        value = metrics["best"]
        if math.isnan(value):
            raise ValueError(f"train.best_metric is {self.config.best_metric!r}, which is undefined on the dev split")
        if progress.best is not None and (value < progress.best or (value == progress.best and not or_equals)):
            return False
        progress.best, progress.best_epoch = value, progress.epoch
        return True

    def end_epoch(self, metrics: dict[str, float]) -> None:
        """Shows the epoch and saves the state, once the best model has been kept.

        Raises:
            StoppedError: some process was asked to stop.
        """
        self.accelerator.wait_for_everyone()
        self._bar.epoch(self.progress.epoch, metrics, best=self.progress.best_epoch == self.progress.epoch)
        self.save()
        if self._counts([])[1]:
            raise self._stopped()

    def save(self) -> None:
        """Writes a checkpoint from the main process."""
        self.progress.interval = self._sums()
        now = time.perf_counter()
        self.progress.wall += now - self._saved
        self._saved = now
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            state = {
                "progress": asdict(self.progress),
                "scaler": None if scaler is None else scaler.state_dict(),
                "data": dict(self.digests),
                "precision": self.accelerator.mixed_precision,
            }
            checkpoint.save(self.run, self.progress.step, self.bare_method.state_dict(), self.optimizer, state)
        self.accelerator.wait_for_everyone()

    def resume(self, folder: Path) -> None:
        """Goes on from a checkpoint: weights, optimizer, progress; later lines of the log are dropped.

        Raises:
            ValueError: the checkpoint does not fit, or was made with other data or in another precision.
        """
        weights, state = checkpoint.load(folder, self.optimizer)
        self._check_data(state.get("data", {}), folder)
        self._check_precision(state.get("precision"), folder)
        try:
            self.bare_method.load_state_dict(weights)
            self.progress = Progress(**state["progress"])
            self.interval = Interval(**self.progress.interval)
            if self.accelerator.scaler is not None and state["scaler"] is not None:
                self.accelerator.scaler.load_state_dict(state["scaler"])
        except (RuntimeError, KeyError, TypeError) as error:
            raise ValueError(f"{folder}: does not fit this run ({type(error).__name__}: {error})") from None
        if not self.accelerator.is_main_process:  # the sums over all processes go on in one
            self.interval.terms = dict.fromkeys(self.interval.terms, 0.0)
        self.cut_log()

    def _check_data(self, before: Mapping[str, str], folder: Path) -> None:
        """Refuses data other than the checkpoint's; a checkpoint of an older version has no digests."""
        for what, expected in before.items():
            found = self.digests.get(what, expected)
            if found != expected:
                raise ValueError(
                    f"--resume: {what} has digest {found}, expected {expected} as in {folder}: the data were replaced"
                )

    def _check_precision(self, before: str | None, folder: Path) -> None:
        """Refuses what `auto` means on another machine; a checkpoint of an older version says nothing."""
        if before not in (None, found := self.accelerator.mixed_precision):
            raise ValueError(
                f"--resume: train.precision {self.config.precision} is {found!r} on this machine, expected {before!r} "
                f"as in {folder}; with --train.precision={before} the run goes on"
            )

    def cut_log(self) -> None:
        """Leaves in the log what was written before the current state of training, and drops a truncated line."""
        if self.accelerator.is_main_process:
            cut_log(self.run, step=self.progress.step, epochs=len(self.progress.history))
        self.accelerator.wait_for_everyone()

    def close(self) -> None:
        """Removes accelerate's wrappers from the method, so that another stage can be prepared."""
        self.accelerator.unwrap_model(self.method, keep_fp32_wrapper=False)
        self.accelerator.free_memory()

"""The log of a run, `log.jsonl`: a line for each interval of steps, each epoch, and each event."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from unirex.disk.atomic import atomic_write, named
from unirex.disk.run_folder import RunFolder


def append_log(run: Path, record: dict[str, Any]) -> None:
    """Appends a line to the log of the run's folder; a full disk or a kill may leave half a line behind."""
    log = RunFolder(run).log
    with named(log), log.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(record) + "\n")


def cut_log(run: Path, *, step: int, epochs: int) -> None:
    """Keeps in the log what was written before the current state of training; drops truncated lines.

    Args:
        run: the run's folder.
        step: optimizer steps done.
        epochs: epochs whose dev metrics are known.
    """
    log = RunFolder(run).log
    if not log.exists():
        return
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    with atomic_write(log, "w") as file:
        # A resumed run writes the end of each earlier stage again; the lines are identical, so one is kept.
        file.writelines(f"{line}\n" for line in dict.fromkeys(lines) if _outlasts(line, step, epochs))


def _outlasts(line: str, step: int, epochs: int) -> bool:
    """Whether a line of the log was written before a state, so that training will not write it again.

    A checkpoint may be saved between the last step of an epoch and the epoch's dev metrics. The line "out of memory"
    names the step before the one that failed. "end" comes after every checkpoint, and "stopped" is over once training
    goes on.
    """
    try:
        entry = json.loads(line)
        event = entry.get("event")
        if event == "dev":
            return int(entry["epoch"]) <= epochs
        if event == "out of memory":
            return int(entry["step"]) < step
        if event == "warning":  # of the end, which has no epoch, comes again
            return entry["epoch"] is not None and int(entry["epoch"]) <= epochs
        return event == "stage" or (event not in ("end", "stopped") and int(entry["step"]) <= step)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


@dataclass(kw_only=True)
class Interval:
    """Sums over the steps since the last line of the log; tensors stay on their device until they are read.

    Attributes:
        steps: number of steps.
        seconds, wait: duration, and the part of it spent waiting for batches.
        instances, tokens: seen by all processes; tokens of the full inputs, padding left out.
        parts: seconds that the parts of this process's steps took.
        norm: of the gradients, before clipping.
        terms: this process's share of each term of the loss.
    """

    steps: int = 0
    seconds: float = 0.0
    wait: float = 0.0
    instances: int = 0
    tokens: int = 0
    parts: dict[str, float] = field(default_factory=dict)
    norm: Tensor | float = 0.0
    terms: dict[str, Tensor | float] = field(default_factory=dict)

    def add(self, terms: dict[str, Tensor], norm: Tensor) -> None:
        """Counts a step."""
        self.steps += 1
        self.norm = self.norm + norm.detach().double()
        for name, term in terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + term.detach().double()

    def over_all(self, accelerator: Accelerator) -> dict[str, Any]:
        """The sums over all processes, as JSON; every process must call it."""
        names = sorted(self.terms)
        values = torch.tensor([], dtype=torch.float64)
        if names:
            parts = [torch.as_tensor(self.terms[name], dtype=torch.float64) for name in names]
            values = torch.stack([part.to(accelerator.device) for part in parts])
            if accelerator.num_processes > 1:
                values = accelerator.reduce(values, "sum")
        terms = dict(zip(names, values.tolist(), strict=True))
        return {**vars(self), "norm": float(self.norm), "terms": terms}

"""The log of a run, `log.jsonl`: a line for every interval of steps, for every epoch, and for what happened."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from unirex.disk.atomic import append_line, atomic_write
from unirex.disk.run_folder import RunFolder


def append_log(run: Path, record: dict[str, Any]) -> None:
    """Appends a line to the log of the run's folder."""
    append_line(RunFolder(run).log, json.dumps(record))


def cut_log(run: Path, *, step: int, epochs: int) -> None:
    """Leaves in the log what was written before the current state of training, and drops a truncated line.

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
        # The end of an earlier stage is written again, to the same letters, before this stage resumes.
        file.writelines(f"{line}\n" for line in dict.fromkeys(lines) if _outlasts(line, step, epochs))


def _outlasts(line: str, step: int, epochs: int) -> bool:
    """Whether a line of the log was written before a state, so that it will not be written again.

    A checkpoint may lie between the last step of an epoch and the epoch's dev metrics. Memory runs out in the step
    after the one that its line names. The end comes after every checkpoint. Truncated lines are dropped.
    """
    try:
        entry = json.loads(line)
        event = entry.get("event")
        if event == "dev":
            return int(entry["epoch"]) <= epochs
        if event == "out of memory":
            return int(entry["step"]) < step
        return event == "stage" or (event != "end" and int(entry["step"]) <= step)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


@dataclass(kw_only=True)
class Interval:
    """Sums over the steps since the last line of the log; tensors stay where they are until they are read.

    Attributes:
        steps: how many.
        seconds, wait: what they took, and what of it was waiting for batches.
        norm: of the gradients, before clipping.
        terms: of the loss, this process's share of each.
    """

    steps: int = 0
    seconds: float = 0.0
    wait: float = 0.0
    norm: Tensor | float = 0.0
    terms: dict[str, Tensor | float] = field(default_factory=dict)

    def add(self, terms: dict[str, Tensor], norm: Tensor) -> None:
        """Counts a step."""
        self.steps += 1
        self.norm = self.norm + norm.detach().double()
        for name, term in terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + term.detach().double()

    def over_all(self, accelerator: Accelerator) -> dict[str, Any]:
        """The sums over all processes, as JSON; every process must ask."""
        names = sorted(self.terms)
        values = torch.tensor([], dtype=torch.float64)
        if names:
            parts = [torch.as_tensor(self.terms[name], dtype=torch.float64) for name in names]
            values = torch.stack([part.to(accelerator.device) for part in parts])
            if accelerator.num_processes > 1:
                values = accelerator.reduce(values, "sum")
        return {
            "steps": self.steps,
            "seconds": self.seconds,
            "wait": self.wait,
            "norm": float(self.norm),
            "terms": dict(zip(names, values.tolist(), strict=True)),
        }

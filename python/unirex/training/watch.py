"""Checks that the loss and weights of every step are finite, without waiting for the device at every step."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from unirex.disk.log import append_log
from unirex.schema import Example
from unirex.training.hooks import OwnCodeError

SHOWN = 8
"""Most ids of a batch in the message; the log gets all."""
_NO_NUMBER = re.compile(r"\b(nan|inf|infinity|finite)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class _Step:
    number: int
    names: tuple[str, ...]
    values: Tensor
    index: NDArray[np.int64]


class Watch:
    """Keeps the loss terms and the norms of gradient and weights of each step until they are checked.

    On the CPU they are checked at once, terms and gradient before the weights change. On an accelerator a check waits
    for all work queued there, so it comes with lines of the log, checkpoints and ends of epochs: it still names the
    first bad step, and no checkpoint is written after that step.
    """

    def __init__(self, accelerator: Accelerator, examples: Sequence[Example], run: Path) -> None:
        self._accelerator = accelerator
        self._examples = examples
        self._run = run
        self._waiting: list[_Step] = []

    def add(self, step: int, terms: Mapping[str, Tensor], norm: Tensor, index: NDArray[np.int64]) -> None:
        """Notes a step's terms (this process's share) and its gradient's norm, as `note` does."""
        values = {f"loss term {name}": terms[name] for name in sorted(terms)}
        if self._accelerator.scaler is None:  # half precision skips such a step by itself
            values["the gradient's norm"] = norm
        self.note(step, values, index)

    def note(self, step: int, values: Mapping[str, Tensor], index: NDArray[np.int64]) -> None:
        """Notes named values of a step (from 1) and the places of its batch.

        Raises:
            FloatingPointError: as `check`, on the CPU.
        """
        stacked = torch.stack([value.detach().double() for value in values.values()])
        self._waiting.append(_Step(number=step, names=tuple(values), values=stacked, index=index))
        if stacked.device.type == "cpu":
            self.check()

    def check(self, *, alone: bool = False) -> None:
        """Checks the steps noted since the last check, in all processes together unless `alone`.

        Raises:
            FloatingPointError: the first step with a value that is not finite, the value, and the batch's ids.
        """
        if not self._waiting:
            return
        steps, self._waiting = self._waiting, []
        values = torch.cat([step.values for step in steps])
        if self._accelerator.num_processes > 1 and not alone:
            values = self._accelerator.reduce(values, "sum")
        found = iter(values.tolist())
        for step in steps:
            for name in step.names:
                value = next(found)
                if not math.isfinite(value):
                    raise self._fault(step.number, name, value, step.index)

    @contextmanager
    def explaining(self, step: int, index: NDArray[np.int64]) -> Iterator[None]:
        """Reports a loss or scores that are not finite instead of the errors that they cause later.

        Data are checked when they are read, so a NaN or infinity that an error names here was computed by the model.

        Args:
            step: that runs (from 1), or the last one.
            index: places of its batch.

        Raises:
            FloatingPointError: instead of an error that such values caused.
        """
        try:
            yield
        except (ValueError, RuntimeError) as error:
            self.check(alone=True)
            if not isinstance(error, OwnCodeError) and _NO_NUMBER.search(str(error)):
                raise self._fault(step, "what the model computes", str(error), index) from error
            raise

    def _fault(self, step: int, name: str, value: object, index: NDArray[np.int64]) -> FloatingPointError:
        ids = [self._examples[i].id for i in index.tolist()]
        if self._accelerator.is_main_process:
            record = {"event": "not finite", "step": step, "what": name, "value": str(value), "ids": ids}
            append_log(self._run, record)
        shown = ", ".join(ids[:SHOWN]) + ("…" if len(ids) > SHOWN else "")
        found = f"{name} is {value}, expected a finite number" if isinstance(value, float) else f"{name}: {value}"
        return FloatingPointError(
            f"step {step}: {found}; batch of {len(ids)} instances: {shown} "
            "(all in log.jsonl); the last checkpoint is kept"
        )

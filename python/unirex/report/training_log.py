"""The log of a run as a report reads it: lines of steps, of the dev split, of the end, and of what else happened."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from unirex.disk.untrusted import read_json
from unirex.text import shown

MOST_EPOCHS = 200
"""Lines about the dev split that are kept, the last ones."""
COSTS = (
    "step", "epoch", "lr", "grad_norm", "steps", "seconds", "wait", "instances_per_second", "tokens_per_second",
    "seconds_left", "peak_memory", "peak_device_memory",
)  # fmt: skip
"""Numbers of a line about steps that are neither the loss nor a term of it; shares of time begin with `share/`."""


@dataclass(frozen=True, kw_only=True)
class TrainingLog:
    """What a log says.

    Attributes:
        steps: lines about steps in the order of these, finite numbers by name; of a step with several lines, the last.
        dev: lines about the dev split, one per epoch.
        end: the last line about the whole run, empty where it has not ended.
        stopped: the line about what stopped it, empty where nothing did.
    """

    steps: tuple[Mapping[str, float], ...] = ()
    dev: tuple[Mapping[str, Any], ...] = ()
    end: Mapping[str, Any] = field(default_factory=dict)
    stopped: Mapping[str, Any] = field(default_factory=dict)

    @property
    def terms(self) -> list[str]:
        """The loss, its terms, and other numbers that the method logs."""
        names = dict.fromkeys(name for line in self.steps for name in line)
        return ["loss", *(name for name in names if name not in ("loss", *COSTS) and "/" not in name)]

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose model is kept: as the end says, or the first with the highest `best` so far."""
        if isinstance(epoch := self.end.get("best_epoch"), int):
            return epoch
        found = [(value, epoch) for epoch, value in self.by_epoch("best")]
        return int(max(found, key=lambda one: (one[0], -one[1]))[1]) if found else None

    def by_epoch(self, metric: str) -> list[tuple[int, float]]:
        """Epoch and value, where both are numbers, in the order of epochs; of an epoch with several lines, the last."""
        found = {
            line["epoch"]: value
            for line in self.dev
            if _is_count(line.get("epoch")) and (value := finite(line.get(metric))) is not None
        }
        return sorted(found.items())


def read_log(path: Path) -> TrainingLog:
    """The log in a file, empty where there is none; a last line that is not whole is left out.

    Raises:
        ValueError: file, line and field of what is not as training writes it.
    """
    if not path.is_file():
        return TrainingLog()
    steps: dict[int, Mapping[str, float]] = {}
    dev: list[Mapping[str, Any]] = []
    end: Mapping[str, Any] = {}
    stopped: Mapping[str, Any] = {}
    for where, line in _lines(path):
        event = line.get("event")
        if event == "dev":
            dev.append(line)
        elif event == "end":
            end = line
        elif event == "stopped":
            stopped = line
        elif event is None and "loss" in line:
            number = line.get("step")
            if not _is_count(number):
                raise ValueError(f"{where}: step is {shown(number)}, expected a whole number of 0 or more")
            steps[number] = {name: _number(where, name, value) for name, value in line.items()}
    ordered = tuple(steps[number] for number in sorted(steps))
    return TrainingLog(steps=ordered, dev=tuple(dev[-MOST_EPOCHS:]), end=end, stopped=stopped)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):  # being written, or cut off by a kill
                return
            where = f"{path}: line {number}"
            try:
                entry = read_json(line)
            except ValueError as error:
                raise ValueError(f"{where}: not JSON ({error})") from error
            if not isinstance(entry, dict):
                raise ValueError(f"{where}: holds {type(entry).__name__}, expected an object")
            yield where, entry


def _number(where: str, name: str, value: object) -> float:
    found = finite(value)
    if found is None:
        raise ValueError(f"{where}: {name} is {shown(value)}, expected a finite number")
    return found


def finite(value: object) -> float | None:
    """The value where it is a number that is finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53

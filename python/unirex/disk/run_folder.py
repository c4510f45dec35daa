"""Where everything lies that a run leaves on the disk: the only place that names its files."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CONTROLS = ("random", "gold", "inverse")
"""The control scores that training and evaluation judge on the same model."""

_STEP = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of a run of `unirex.train` or `unirex.evaluate`, or of one stage of training in it.

    >>> RunFolder.at("runs/a").reference("gold").as_posix(), RunFolder.at("runs/a").stage("support").log.as_posix()
    ('runs/a/reference/gold.parquet', 'runs/a/stages/support/log.jsonl')
    """

    path: Path

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> "RunFolder":
        """The folder of that name."""
        return cls(Path(path))

    def __str__(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def config(self) -> Path:
        """The configuration as YAML."""
        return self.path / "config.yaml"

    @property
    def log(self) -> Path:
        """The log: JSON lines."""
        return self.path / "log.jsonl"

    @property
    def model(self) -> Path:
        """The best model, with its tokenizers and its card."""
        return self.path / "model"

    @property
    def predictions(self) -> Path:
        """The rows judged in the end, with the method's own scores."""
        return self.path / "predictions.parquet"

    @property
    def metrics(self) -> Path:
        """The metrics of these rows and of the controls."""
        return self.path / "metrics.json"

    @property
    def cost(self) -> Path:
        """What a judgement without training cost."""
        return self.path / "cost.json"

    @property
    def lock(self) -> Path:
        """Held by the process that trains here."""
        return self.path / ".train.lock"

    @property
    def references(self) -> Path:
        """The folder of the controls."""
        return self.path / "reference"

    def reference(self, source: str) -> Path:
        """The rows judged by a control's scores, or by construction."""
        return self.references / f"{source}.parquet"

    def found_references(self) -> dict[str, Path]:
        """The controls that were judged, and their rows."""
        paths = {control: self.reference(control) for control in CONTROLS}
        return {control: path for control, path in paths.items() if path.is_file()}

    def stage(self, name: str) -> "RunFolder":
        """The folder of a stage before the last, which has checkpoints, log and model of its own."""
        return RunFolder(self.path / "stages" / name)

    def stages(self) -> list["RunFolder"]:
        """This folder and those of all stages in it."""
        return [self, *map(RunFolder, sorted((self.path / "stages").glob("*")))]

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        """The checkpoint after so many steps."""
        return self.checkpoints / f"step-{step:08d}"

    def found_checkpoints(self) -> dict[int, Path]:
        """Step -> checkpoint, for those that are there."""
        return {int(name[1]): p for p in self.checkpoints.glob("step-*") if (name := _STEP.fullmatch(p.name))}

    def places(self) -> Iterator[Path]:
        """The folders in which a killed process may leave something half-written."""
        yield from (self.path, self.checkpoints, self.references)

    def drop_checkpoints(self) -> None:
        """Removes the checkpoints of all stages."""
        for place in self.stages():
            shutil.rmtree(place.checkpoints, ignore_errors=True)

    def clear(self) -> None:
        """Removes what a run left; configuration and lock stay."""
        for folder in (self.checkpoints, self.model, self.references, self.path / "stages"):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self.log, self.predictions, self.metrics):
            file.unlink(missing_ok=True)

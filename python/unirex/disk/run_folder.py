"""The files and folders of a run: no other module names them."""

import os
import re
from contextlib import suppress
from pathlib import Path

from unirex.disk.atomic import remove

CONTROLS = ("random", "gold", "inverse")
"""The control scores that training and evaluation judge on the same model."""

_TABLES = ("train.parquet", "val.parquet", "test.parquet")
_STEP = re.compile(r"step-(\d{8,})")


class RunFolder:
    """The folder of a run of `unirex.train` or `unirex.evaluate`, or of one stage of training in it.

    Attributes:
        config: the configuration as YAML.
        tables: the folder of the tables that Python gave, as files by split.
        log: JSON lines.
        model: the folder of the best model, with its tokenizers and its card.
        predictions: the rows judged at the end, with the method's own scores.
        metrics: the metrics of these rows and of the controls.
        warnings: what is wrong with the data or the result though nothing failed.
        cost: what a judgment without training cost.
        lock: held by the process that trains here.
        references: the folder of the controls.
        parts: the folder of what shards of a judgment have judged.
        checkpoints: the folder of checkpoints.

    >>> RunFolder("runs/a").reference("gold").as_posix(), RunFolder("runs/a").stage("support").log.as_posix()
    ('runs/a/reference/gold.parquet', 'runs/a/stages/support/log.jsonl')
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.tables = self.path / "tables"
        self.log = self.path / "log.jsonl"
        self.model = self.path / "model"
        self.predictions = self.path / "predictions.parquet"
        self.metrics = self.path / "metrics.json"
        self.warnings = self.path / "warnings.json"
        self.cost = self.path / "cost.json"
        self.lock = self.path / ".train.lock"
        self.references = self.path / "reference"
        self.checkpoints = self.path / "checkpoints"
        self.parts = self.path / "parts"

    def __str__(self) -> str:
        return str(self.path)

    def reference(self, source: str) -> Path:
        """The rows judged by a control's scores, or by construction."""
        return self.references / f"{source}.parquet"

    def part(self, number: int, of: int) -> Path:
        """The folder of what one shard of so many has judged, which is whole once it holds its record."""
        return self.parts / f"{number}-of-{of}"

    def found_references(self) -> dict[str, Path]:
        """The controls that were judged, and their rows."""
        paths = {control: self.reference(control) for control in CONTROLS}
        return {control: path for control, path in paths.items() if path.is_file()}

    def found_others(self) -> dict[str, Path]:
        """What else was judged beside the headline scores, and their rows."""
        return {path.stem: path for path in sorted(self.references.glob("*.parquet")) if path.stem not in CONTROLS}

    def stage(self, name: str) -> "RunFolder":
        """The folder of a stage before the last, which has checkpoints, log and model of its own."""
        return RunFolder(self.path / "stages" / name)

    def stages(self) -> list["RunFolder"]:
        """This folder and those of all stages in it."""
        return [self, *map(RunFolder, sorted((self.path / "stages").glob("*")))]

    def checkpoint(self, step: int) -> Path:
        """The checkpoint after so many steps."""
        return self.checkpoints / f"step-{step:08d}"

    def found_checkpoints(self) -> dict[int, Path]:
        """Step -> checkpoint, for those that exist."""
        return {int(name[1]): p for p in self.checkpoints.glob("step-*") if (name := _STEP.fullmatch(p.name))}

    def begun(self) -> bool:
        """Whether it holds what a run computed: a start that failed before its first step leaves nothing to keep."""
        made = (file for p in self.stages() for file in (p.log, p.model, p.checkpoints, p.predictions, p.metrics))
        return self.config.exists() and any(file.exists() for file in made)

    def foreign(self) -> Path | None:
        """What a run would replace here though no run has made it: the folder has no configuration of one."""
        if self.config.exists():
            return None
        results = (self.predictions, self.metrics, self.references)
        made = (self.log, self.model, self.checkpoints, self.path / "stages", *results, self.warnings)
        return next((file for file in made if file.exists()), None) or self.foreign_table()

    def foreign_table(self) -> Path | None:
        """What else than tables of ours lies in the folder of the tables, which are replaced together."""
        return next((file for file in sorted(self.tables.glob("*")) if file.name not in _TABLES), None)

    def drop_checkpoints(self) -> None:
        """Removes the checkpoints of all stages, which are of no more use; what may not be removed stays."""
        for place in self.stages():
            with suppress(OSError):
                remove(place.checkpoints)

    def drop_results(self) -> None:
        """Removes what the judgment at the end left."""
        remove(self.references)
        for file in (self.metrics, self.predictions):
            file.unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes what a run left; configuration and lock stay."""
        self.drop_results()
        for folder in (self.checkpoints, self.model, self.path / "stages"):
            remove(folder)
        for file in (self.log, self.warnings):
            file.unlink(missing_ok=True)

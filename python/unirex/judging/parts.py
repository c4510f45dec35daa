"""A judgment by shards: each leaves its rows in a folder of its own, and whichever is the last to finish joins them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from accelerate import Accelerator

from unirex.disk.made import file_digest, unlike, write_record
from unirex.disk.predictions import write_table
from unirex.disk.run_folder import RunFolder
from unirex.disk.untrusted import read_json
from unirex.judging.gather import PLACE, from_main, write_cost
from unirex.judging.predict import Clock
from unirex.text import say

Judgment = tuple[dict[str, pa.Table], Clock]
"""Tables by source, and what explaining cost."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a judgment in its folder. A part is there once the list of its files is, which is written last.

    One that has lost or damaged a file since is not there: it is judged again.

    Attributes:
        run: the folder.
        number: of the shard that is judged here, from 1.
        of: how many there are.
        made: all that the rows depend on, as JSON has it.
    """

    run: RunFolder
    number: int
    of: int
    made: Mapping[str, Any]

    def missing(self) -> list[int]:
        """The numbers of the parts that are not there yet.

        Raises:
            ValueError: one line: a part was made otherwise.
        """
        return [number for number in range(1, self.of + 1) if not self._is_made(number)]

    def write(self, tables: Mapping[str, pa.Table], clock: Clock) -> None:
        """Writes the part of this shard; metrics of an earlier judgment in the folder go."""
        self.run.metrics.unlink(missing_ok=True)
        part = self._part(self.number)
        part.path.mkdir(parents=True, exist_ok=True)
        for source, table in tables.items():
            write_table(table, _rows(part, source))
        write_cost(part.cost, clock)
        write_record(_record(part), self.made)
        files = [part.cost, _record(part), *(_rows(part, source) for source in tables)]
        write_record(_files(part), {file.name: file_digest(file) for file in files})

    def join(self, sources: Sequence[str], n: int) -> Judgment:
        """What one process would have judged: all rows in the order of the data set.

        Args:
            sources: what was scored; those that no shard could score are left out.
            n: instances of the data set, each of which the first source has scored.

        Raises:
            ValueError: one line: rows are missing, or there twice.
        """
        parts = [self._part(number) for number in range(1, self.of + 1)]
        tables: dict[str, pa.Table] = {}
        for source in sources:
            files = [file for part in parts if (file := _rows(part, source)).exists()]
            if files:
                tables[source] = _joined([pq.read_table(file) for file in files])
        for source, table in tables.items():
            found = len(table[PLACE].unique())
            if found != len(table) or (source == sources[0] and found != n):
                raise ValueError(f"{self.run.parts}: {found} of {len(table)} rows of {source}, expected {n}, each once")
        costs = [json.loads(part.cost.read_bytes()) for part in parts]
        clock = Clock(
            seconds=sum(cost["explain_seconds"] for cost in costs),
            instances=sum(cost["explain_instances"] for cost in costs),
            judging=sum(cost.get("judge_seconds", 0.0) for cost in costs),
        )
        return {source: table.drop_columns([PLACE]) for source, table in tables.items()}, clock

    def _is_made(self, number: int) -> bool:
        part = self._part(number)
        if not _is_whole(part):
            return False
        otherwise = unlike(_record(part), self.made)
        if otherwise:
            raise ValueError(f"{part} was made {otherwise}: choose another output, or remove {self.run.parts}")
        return True

    def _part(self, number: int) -> RunFolder:
        return RunFolder(self.run.part(number, self.of))


def judge_part(accelerator: Accelerator, parts: Parts, judge: Callable[[], Judgment]) -> bool:
    """Judges a shard unless its part is there; whether all parts are now, the same in every process.

    Raises:
        ValueError: as `Parts.missing`, before anything is judged.
    """
    missing = from_main(accelerator, parts.missing)
    state = "kept"
    if parts.number in missing:
        tables, clock = judge()
        from_main(accelerator, lambda: parts.write(tables, clock))
        missing, state = from_main(accelerator, parts.missing), "written"
    if accelerator.is_main_process:
        left = f", missing: {', '.join(map(str, missing))}; the last one joins all" if missing else ""
        say(f"{parts.run}: part {parts.number} of {parts.of} {state}{left}")
    return not missing


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all tables in the order of their places."""
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    return table.take(np.argsort(table[PLACE].to_numpy(), kind="stable"))


def _rows(part: RunFolder, source: str) -> Path:
    return part.path / f"{source}.parquet"


def _is_whole(part: RunFolder) -> bool:
    """Whether all files of a part are as they were written."""
    try:
        files = read_json(_files(part).read_bytes())
        return bool(files) and all(file_digest(part.path / name) == digest for name, digest in files.items())
    except (OSError, ValueError, AttributeError):
        return False


def _files(part: RunFolder) -> Path:
    return part.path / "files.json"


def _record(part: RunFolder) -> Path:
    return part.path / "made.json"

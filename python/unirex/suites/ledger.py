"""The ledger of a suite: a line for each finished run, kept in the repository, so that nothing is run twice.

A line holds the run's configuration and its digest, its metrics, its cost and its machine. Next to the ledger,
`rows/DIGEST.parquet` holds the row values that tables and paired intervals are made from (`unirex.metrics.row_values`).
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from unirex.config.identity import digest, trained_alike
from unirex.disk.lock import wait_for
from unirex.disk.untrusted import read_json
from unirex.text import say

Name = tuple[str, str, str, int]
"""Suite, data set as the table calls it, method, seed."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A finished run.

    Attributes:
        suite: stem of the suite's file.
        data: data set as the table calls it.
        method: name in the suite.
        seed: of training.
        split: that was judged.
        digest: of `config`.
        config: the settings that the result depends on.
        rows: instances judged.
        metrics: metric -> value (None = undefined in every row) and number of rows where it is undefined.
        references: control scores -> the same.
        cost: seconds, memory, device, threads, versions.
        trained: digest of the part of the settings that training depends on: runs of one share a model on one machine.
        commit: of the code, None outside a clone.
        date: when it was added, UTC.
        weights: digest of the model's weights; lines from before 28 November 2026 lack it.
    """

    suite: str
    data: str
    method: str
    seed: int
    split: str
    digest: str
    config: Mapping[str, Any]
    rows: int
    metrics: Mapping[str, Sequence[Any]]
    references: Mapping[str, Mapping[str, Sequence[Any]]]
    cost: Mapping[str, Any]
    trained: str
    commit: str | None
    date: str
    weights: str | None = None

    @property
    def name(self) -> Name:
        """What the entry is the result of."""
        return self.suite, self.data, self.method, self.seed


Entries = Mapping[tuple[str, str, int], Entry]
"""Data set as the table calls it, method, seed -> entry."""


@dataclass(kw_only=True)
class Ledger:
    """The entries of a file that may grow while it is read.

    Attributes:
        path: of the file; it need not exist.
    """

    path: Path
    _told: set[int] = field(default_factory=set)
    _read: dict[bytes, Entry] = field(default_factory=dict)

    def entries(self) -> list[Entry]:
        """All entries. Of one name and digest the latest counts; a cut-off last line is left out and reported.

        Raises:
            ValueError: a line that is no entry, or whose digest is not that of its settings.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        found: dict[tuple[Name, str], Entry] = {}
        lines = content.split(b"\n")  # the last may be torn inside a character
        if lines[-1] and len(lines) not in self._told:
            self._told.add(len(lines))
            say(f"{self.path}: line {len(lines)} is cut off, and left out")
        for number, line in enumerate(lines[:-1], start=1):
            if line.strip():
                entry = self._read.get(line)  # a suite asks once for each run, and lines only come
                if entry is None:
                    entry = self._read[line] = _entry(line, f"{self.path}: line {number}")
                key = entry.name, entry.digest
                if key not in found or found[key].date <= entry.date:
                    found[key] = entry
        return list(found.values())

    def add(self, entry: Entry, write_rows: Callable[[], None] = lambda: None, *, anew: bool = False) -> bool:
        """Appends an entry, whole or not at all, unless it counts already; returns whether it was added.

        Its row values are written before, while no other process can add: else those of one machine's model could
        stand under the line of another's. With `anew` one that counts is appended again, for row values that are lost.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.path) as file:
            counts = newest(self.entries(), entry.suite).get(entry.name[1:])
            if counts is not None and counts.digest == entry.digest and not anew:
                return False
            if counts is not None and counts.date > entry.date:  # another machine's clock is ahead
                entry = replace(entry, date=counts.date)
            write_rows()
            end = _cut_torn(file)
            line = json.dumps(asdict(entry), ensure_ascii=False, separators=(",", ":"))
            file.seek(end)
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return True

    def beside(self) -> list[Entry]:
        """The entries of the other ledgers of the folder, whose row values lie where those of this one do."""
        found: list[Entry] = []
        for path in sorted(self.path.parent.glob("*.jsonl")):
            with suppress(ValueError):  # another file, or a ledger with a fault that its own suite tells
                found += Ledger(path=path).entries() if path.name != self.path.name else []
        return found

    def rows(self, entry: Entry, source: str = "") -> Path:
        """The file of an entry's row values, or of those of control scores on its model."""
        return self.rows_at(entry.digest, source)

    def rows_at(self, digest: str, source: str = "") -> Path:
        """The same for what has the settings of a digest."""
        return self.path.parent / "rows" / f"{digest[:16]}{source and f'-{source}'}.parquet"


def newest(entries: Sequence[Entry], suite: str) -> Entries:
    """The entries of a suite that count: of a run with several settings the latest, in whatever order they stand."""
    found: dict[tuple[str, str, int], Entry] = {}
    for entry in entries:
        key = entry.data, entry.method, entry.seed
        if entry.suite == suite and (key not in found or found[key].date <= entry.date):
            found[key] = entry
    return found


def one_model(first: Entry, other: Entry) -> bool:
    """Whether two entries judged one model: by its weights, or by the settings of its training where both lack them.

    The same settings train other weights on another processor, which rounds otherwise.
    """
    if first.weights is None and other.weights is None:
        return trained_alike(first.config, other.config)
    return first.weights == other.weights


def _entry(line: bytes, where: str) -> Entry:
    try:
        found = Entry(**read_json(line))
        for name, kind in (("suite", str), ("data", str), ("method", str), ("seed", int), ("date", str)):
            if not isinstance(value := getattr(found, name), kind):
                raise TypeError(f"{name} is {value!r}, expected {'text' if kind is str else 'a whole number'}")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: not an entry of a ledger ({' '.join(str(error).split())})") from None
    if found.digest != digest(found.config):
        raise ValueError(f"{where}: digest is {found.digest!r}, expected that of its config, {digest(found.config)!r}")
    return found


def _cut_torn(file: IO[bytes]) -> int:
    """Removes what a kill left after the last line end; returns the length."""
    file.seek(0)
    content = file.read()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        file.truncate(end)
    return end


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """The file, open for reading and writing, to which no other process can add."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "r+b") as file:
        wait_for(file.fileno())
        yield file

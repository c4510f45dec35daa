"""Many files explained by one command: a file of answers for each, made once by whichever process comes to it first."""

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unirex.data.rows import FORMATS, stream_rows
from unirex.disk.lock import holding
from unirex.disk.made import file_digest, unlike, write_record

OUTPUTS = (".parquet", ".jsonl", ".csv")
PAGE = ".html"
RECORDS = ".explain"
"""Folder, in that of the answers, of what each file was made from, and of the locks of those that are being made."""


def check_format(path: Path) -> None:
    """Raises ValueError if the name of an output file has an unknown ending."""
    if path.suffix not in (*OUTPUTS, PAGE):
        raise ValueError(f"output is {str(path)!r}, expected a name that ends in one of {', '.join((*OUTPUTS, PAGE))}")


def find_files(given: Sequence[str]) -> list[Path]:
    """The files that paths, folders and glob patterns name, each once, in the order of their paths.

    Of a folder those that lie in it under a name that does not start with a dot, in a format that can be read.

    Raises:
        ValueError: one line: one names no file, or a file in another format.
    """
    found: set[Path] = set()
    for name in given:
        path = Path(name)
        if path.is_dir():
            inside = [file for file in path.iterdir() if file.suffix.lower() in FORMATS and file.name[0] != "."]
            if not inside:
                raise ValueError(f"input {name}: no file in this folder ends in one of {', '.join(FORMATS)}")
            found.update(inside)
        elif not path.exists() and glob.has_magic(name):
            matches = glob.glob(name, recursive=True)  # noqa: PTH207 - of any path
            if not matches:
                raise ValueError(f"input {name}: no such files")
            found.update(map(Path, matches))
        else:
            found.add(path)
    for path in found:
        stream_rows(path)  # refuses what is not there or cannot be read
    return sorted(found)


def answers_of(files: Sequence[Path], folder: Path, ending: str) -> dict[Path, Path]:
    """Input -> its file of answers, which has the input's name with another ending.

    Raises:
        ValueError: one line: two inputs would share one, or the folder is one of the inputs'.
    """
    inputs: dict[Path, Path] = {}
    for file in files:
        if file.resolve().parent == folder.resolve():
            raise ValueError(f"output is {str(folder)!r}, expected another folder than that of {file}")
        answers = folder / f"{file.stem}{ending}"
        if answers in inputs:
            raise ValueError(f"input {inputs[answers]} and {file} would both become {answers}, expected other names")
        inputs[answers] = file
    return {file: answers for answers, file in inputs.items()}


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The files of one command.

    Attributes:
        answers: input -> its file of answers.
        made: all that the answers depend on besides the input: model and settings, as JSON has them.
        overwrite: whether answers that were made otherwise give way.
    """

    answers: Mapping[Path, Path]
    made: Mapping[str, Any]
    overwrite: bool = False

    def unmade(self) -> list[Path]:
        """The inputs without answers that were made from them, by this model with these settings.

        Raises:
            ValueError: one line: answers are there that were made otherwise.
        """
        return [source for source in self.answers if not self._is_made(source)]

    def claimed(self, sources: Sequence[Path]) -> Iterator[Path]:
        """Those of the inputs that no process makes or has made meanwhile; each is held until the next is asked for.

        A half-written file that a killed process left is removed, and what the answers are made from is recorded
        before they appear, so that a kill at any moment leaves nothing that cannot be told.
        """
        for source in sources:
            answers = self.answers[source]
            lock = self._place(answers, "lock")
            lock.parent.mkdir(parents=True, exist_ok=True)
            with holding(lock) as held:
                if not held or self._is_made(source):
                    continue
                answers.unlink(missing_ok=True)
                for rest in answers.parent.glob(f".{glob.escape(answers.name)}.*.tmp"):
                    rest.unlink()
                write_record(self._place(answers, "json"), self._made(source))
                yield source

    def _is_made(self, source: Path) -> bool:
        answers = self.answers[source]
        if not answers.exists():
            return False
        otherwise = unlike(self._place(answers, "json"), self._made(source))
        if otherwise is not None and not self.overwrite:
            raise ValueError(f"{answers} was made {otherwise}: choose another folder, or --overwrite true")
        return otherwise is None

    def _made(self, source: Path) -> dict[str, Any]:
        return {"input": file_digest(source), **self.made}

    @staticmethod
    def _place(answers: Path, kind: str) -> Path:
        return answers.parent / RECORDS / f"{answers.name}.{kind}"

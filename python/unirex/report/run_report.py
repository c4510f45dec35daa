"""From runs to a report, and from a report to a page, a terminal and plots."""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from unirex.disk.atomic import atomic_write
from unirex.metrics.nrg import gain_table
from unirex.metrics.nrg_table import GainTable
from unirex.metrics.pairing import contradicted
from unirex.metrics.runs import Run
from unirex.metrics.state import Resampling
from unirex.report import html, plots, terminal
from unirex.report.apart import Apart, apart, leaders
from unirex.report.by_class import score_by_class
from unirex.report.document import Document, Limits, Others, Part
from unirex.report.explanations import open_rows
from unirex.report.found import MOST_RUNS, RunFiles, read_folders
from unirex.report.instances import Instance, View
from unirex.report.picks import Choice, choose
from unirex.report.reading import FirstPass, WordScores, read, read_again
from unirex.report.several_seeds import SeveralSeeds, group
from unirex.report.verdict import as_json


@dataclass(frozen=True, kw_only=True)
class RunReport(Document):
    """A report on one or several runs; `build` makes it."""

    def to_html(self) -> str:
        """One page that needs nothing else: no network and no other file (extra `report`)."""
        return html.to_html(self)

    def to_text(self, *, color: bool = False, width: int = 100, instances: int = 10) -> str:
        """The report for a terminal; without `color` there is no escape sequence in it."""
        return terminal.to_text(self, color=color, width=width, instances=instances)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the page, whole or not at all."""
        check_page_name(path)
        text = self.to_html()
        with atomic_write(path, "w") as file:
            file.write(text)

    def save_json(self, path: str | os.PathLike[str]) -> None:
        """Writes verdict and metrics by predicted class of each run, whole or not at all."""
        with atomic_write(path, "w") as file:
            file.write(json.dumps(as_json(self), indent=2, ensure_ascii=False) + "\n")

    def save_plots(self, folder: str | os.PathLike[str], formats: Sequence[str] = ("png", "svg")) -> list[Path]:
        """Writes each figure as files of these formats into a folder; their paths (extra `report`)."""
        return plots.save_plots(self, folder, formats)

    def _repr_html_(self) -> str:
        """The page for a notebook, in a frame of its own."""
        return html.to_frame(self)

    def __str__(self) -> str:
        """The plain text."""
        return self.to_text()


def check_page_name(path: str | os.PathLike[str]) -> None:
    """Raises ValueError if a page's name promises another format.

    >>> check_page_name("x.pdf")
    Traceback (most recent call last):
    ValueError: output is 'x.pdf', expected a name that ends in .html (a browser prints the page as PDF)
    """
    if Path(path).suffix.lower() not in ("", ".html", ".htm"):
        hint = "a browser prints the page as PDF"
        raise ValueError(f"output is {os.fspath(path)!r}, expected a name that ends in .html ({hint})")


def build(
    *runs: str | os.PathLike[str],
    names: Sequence[str] | None = None,
    limits: Limits | None = None,
    resampling: Resampling | None = None,
    **reading: Any,
) -> RunReport:
    """The report on runs, from their folders or from prediction files; files are streamed and may be large.

    Args:
        runs: folders of `unirex.train` and `unirex.evaluate`, or prediction files (docs/predictions.md).
        names: what the runs are called; by default the ends of their paths.
        limits: bounds of the size.
        resampling: of the intervals.
        reading: `convention`, `perturbation`, `scorer`, `iou_thresholds`, `columns`, `labels` as for `metrics.score`.

    Raises:
        ValueError: what is wrong, with file, row id and field.
        FileNotFoundError: no such file.

    Runs that have not ended have no predictions: a report on them alone shows their logs.

    >>> import tempfile, pyarrow as pa, pyarrow.parquet as pq
    >>> table = pa.table({"id": ["a"], "words": [["fine", "film"]], "scores": [[0.9, 0.1]], "gold": [[1.0, 0.0]]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pq.write_table(table, f"{folder}/mine.parquet")
    ...     made = build(f"{folder}/mine.parquet")
    >>> made.parts[0].report["auprc"].value, made.instances[0].id
    (1.0, 'a')
    """
    limits = limits or Limits()
    folders = read_folders(runs, names)
    if len(folders) > MOST_RUNS:
        raise ValueError(f"{len(folders)} runs, expected at most {MOST_RUNS}")
    trained = tuple(folders) if any(folder.log.steps for folder in folders) else ()
    if waiting := [folder for folder in folders if not folder.predictions]:
        _check_waiting(waiting, folders)
        return RunReport(parts=(), trained=trained)
    options = {**reading, "resampling": resampling}
    rows = [open_rows(folder.predictions, reading.get("columns")) for folder in folders]
    most, most_words = limits.resolved(explained=all(one.explained for one in rows))
    readings = [read(one, options, most, compared=len(rows) > 1) for one in rows]
    compared = [one.values for one in readings if one.values is not None]
    gap = apart(compared, resampling or Resampling())
    choice = choose([one.picker for one in readings], most, () if gap is None else list(gap.texts))
    again = [read_again(one, choice.rows, limits.words_each) for one in readings]
    parts = tuple(
        _part(folder, one, words, options) for folder, one, (words, _) in zip(folders, readings, again, strict=True)
    )
    rows_of = [found for _, found in again]
    if others := _other_texts(rows_of) or _other_rows(readings):
        gap, compared = None, []
    instances, left_out = _instances(choice, rows_of, most_words, gap, apart=others is not None)
    seeds = () if others else group(folders, readings)
    gains, missing = (None, None) if others else _gains(parts, seeds, resampling, reading)
    return RunReport(
        parts=parts,
        trained=trained,
        instances=instances,
        seeds=seeds,
        n_left_out=left_out,
        gains=gains,
        gains_missing=missing,
        most_words=most_words,
        leaders=leaders(compared, resampling or Resampling()),
        apart=gap,
        other_texts=others,
    )


def _check_waiting(waiting: Sequence[RunFiles], folders: Sequence[RunFiles]) -> None:
    """Refuses runs that have not ended beside others, and those whose logs hold no step."""
    if len(waiting) < len(folders):
        raise ValueError(f"{waiting[0].where}: the run has not ended, expected only such runs or only others")
    for folder in waiting:
        if not folder.log.steps:
            raise ValueError(f"{folder.where}: no predictions and no step in its log, expected a run with either")


def _part(folder: RunFiles, one: FirstPass, words: WordScores, options: Mapping[str, Any]) -> Part:
    controls = {control: score_by_class(path, options) for control, path in folder.references.items()}
    return Part(
        folder=folder,
        report=one.report,
        references={control: report for control, (report, _) in controls.items()},
        words=words,
        rows=one.rows,
        n_wrong=one.picker.n_wrong,
        n_labeled=one.picker.n_labeled,
        explained=one.explained,
        measured_alone=one.plan.source.has("comprehensiveness"),
        classes=one.classes.reports(),
        reference_classes={control: classes for control, (_, classes) in controls.items()},
        most_common=one.classes.most_common(),
    )


def _other_texts(found: Sequence[Mapping[Any, tuple[str, View]]]) -> Others:
    """Whether a row of one id is another text in another run: ids such as `test-0` name rows of many data sets."""
    keys = [key for one in found for key in one]
    others: Others = None
    for key in (key for key, times in Counter(keys).items() if times > 1):
        here = [one[key][1] for one in found if key in one]
        if len({tuple(word.text for word in view.words) for view in here if view.words}) > 1:
            return "texts"
        if len({view.label for view in here if view.label is not None}) > 1:
            others = "labels"
    return others


def _other_rows(readings: Sequence[FirstPass]) -> Others:
    """What two files tell differently of the instance of one id, in any row."""
    told = [(one.plan.layout.labels, one.told) for one in readings if one.told is not None]
    for (ours, one), (theirs, other) in combinations(told, 2):
        for fact in contradicted(one, other):
            if fact != "label" or ours == theirs:  # else the numbers are of other classes
                return _FACTS[fact]
    return None


_FACTS: Mapping[str, Others] = {"number of words": "texts", "label": "labels", "gold": "gold"}


def _instances(
    choice: Choice,
    found: Sequence[Mapping[Any, tuple[str, View]]],
    most_words: int,
    gap: Apart | None,
    *,
    apart: bool,
) -> tuple[tuple[Instance, ...], int]:
    """The chosen rows side by side, as many as the limit of words allows, in the natural order of their ids.

    `apart`: each run's by itself, since its rows are other texts.
    """
    shown, words, left_out = [], 0, 0
    texts = {} if gap is None else gap.texts
    for key in choice.rows:
        together = [one.get(key) for one in found]
        shown_as = [together]
        if apart:
            places = [place for place, pair in enumerate(together) if pair]
            shown_as = [[pair if at == place else None for at, pair in enumerate(together)] for place in places]
        for here in shown_as:
            cost = sum(len(view.words) for _, view in filter(None, here))
            if words + cost > most_words:
                left_out += 1
                continue
            words += cost
            name = next(name for name, _ in filter(None, here))
            views = tuple(None if pair is None else pair[1] for pair in here)
            ranks = choice.unfaithful.get(key), choice.implausible.get(key)
            one = Instance(id=name, views=views, unfaithful=ranks[0], implausible=ranks[1], apart=texts.get(key))
            shown.append(one)
    return tuple(sorted(shown, key=lambda one: _natural(one.id))), left_out


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key that puts a9 before a10."""
    pieces = re.findall(r"[0-9]{1,18}|[^0-9]+|[0-9]+", name)
    return [(0, int(p), "") if p.isascii() and p.isdigit() and len(p) < 19 else (1, 0, p) for p in pieces]


def _gains(
    parts: Sequence[Part], seeds: Sequence[SeveralSeeds], resampling: Resampling | None, reading: Mapping[str, Any]
) -> tuple[GainTable | None, str | None]:
    """Relative gains of runs on the same data, or why there are none; seeds of one method count as one."""
    if len(parts) < 2:
        return None, None
    names = [part.data for part in parts]
    together = {number: one.name for one in seeds for number in one.runs}
    if len({together.get(number, part.name) for number, part in enumerate(parts)}) == 1:
        together = {}
    runs = [
        Run(method=together.get(number, part.name), data=part.data, seed=part.name, path=part.folder.predictions)
        for number, part in enumerate(parts)
        if names.count(part.data) > 1
    ]
    if any(part.explained and not part.folder.predictions.endswith(".parquet") for part in parts):
        return None, "JSONL and CSV of explanations do not hold what they need"
    if not runs:
        return None, "the runs are about different data sets"
    options = {name: value for name, value in reading.items() if name != "iou_thresholds"}
    try:
        return gain_table(runs, resampling=resampling, **options), None
    except ValueError as error:
        return None, str(error)

"""The files of a run that a report reads: its folder's predictions, controls, configuration and log, or a bare file."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unirex.disk.run_folder import RunFolder
from unirex.disk.untrusted import read_json
from unirex.metrics.report import shortest_ends
from unirex.report.training_log import TrainingLog, finite, read_log
from unirex.text import plain, shown

MOST_RUNS = 8
"""Runs that colors and markers can tell apart."""
MAX_TEXT = 200_000
"""Characters of a configuration that are shown."""


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """One run's files, as far as they exist.

    Attributes:
        name: of the run in the report.
        where: path as given.
        predictions: the prediction file, or directory or pattern of shards; empty of a run that has not ended.
        references: control -> its prediction file.
        others: prediction files of other scores that were judged on the same model.
        config: the text of `config.yaml`.
        log: what the log says.
        warnings: what the run warned of.
        saved: the metrics in `metrics.json`, to compare with those of the predictions.
    """

    name: str
    where: str
    predictions: str
    references: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    config: str | None = None
    log: TrainingLog = field(default_factory=TrainingLog)
    warnings: tuple[str, ...] = ()
    saved: Mapping[str, float | None] = field(default_factory=dict)


def read_folders(runs: Sequence[str | os.PathLike[str]], names: Sequence[str] | None = None) -> list[RunFiles]:
    """The runs with names that differ: those given, or the shortest ends of their paths that do.

    Raises:
        ValueError: no run, a run twice, names that do not fit, or a file in a run's folder that cannot be read.
    """
    paths = [path for run in runs for path in _expanded(os.fspath(run))]
    if not paths:
        raise ValueError("no run given, expected a run's folder or a prediction file")
    places = [_place(path) for path in paths]
    twice = next((path for path, place in zip(paths, places, strict=True) if places.count(place) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice}: given twice, expected different runs")
    if names is not None and len(names) != len(paths):
        raise ValueError(f"names has {len(names)} values, expected {len(paths)} (as runs)")
    if names is not None and (len(set(names)) != len(names) or not all(name.strip() for name in names)):
        raise ValueError(f"names is {list(names)}, expected different names, none of them empty")
    found = _shown(names or different_ends(paths))
    return [_read(path, name) for path, name in zip(paths, found, strict=True)]


def _place(path: str) -> Path:
    """A run's folder, or the file, however it is spelled."""
    place = Path(path).resolve()
    return place.parent if place == RunFolder(place.parent).predictions else place


def _shown(names: Sequence[str]) -> list[str]:
    """The names as a report shows them; those that are alike then are numbered, since a run is known by its name."""
    shown = [plain(name, longest=80, lines=False) for name in names]
    return [
        name if shown.count(name) == 1 else f"{name} ({1 + shown[:place].count(name)})"
        for place, name in enumerate(shown)
    ]


def _expanded(path: str) -> list[str]:
    """The runs in a folder of runs, else the path itself."""
    folder = Path(path)
    if not folder.is_dir() or RunFolder(folder).predictions.is_file():
        return [path]
    name = RunFolder(Path()).predictions.name
    found = sorted({str(file.parent) for depth in ("*", "*/*", "*/*/*") for file in folder.glob(f"{depth}/{name}")})
    if any(folder.glob("*.parquet")) or (any(folder.glob("*.jsonl")) and not found):
        return [path]
    if len(found) > MOST_RUNS:
        listed = ", ".join(plain(one, lines=False) for one in found[:40])
        raise ValueError(f"{path}: holds {len(found)} runs, expected at most {MOST_RUNS}; name some of {listed}")
    return found or [path]


def different_ends(paths: Sequence[str]) -> list[str]:
    """The shortest ends of the paths that tell them apart, without the usual file name.

    >>> different_ends(["runs/a/0/predictions.parquet", "runs/b/0"])
    ['a/0', 'b/0']
    """
    ends = shortest_ends([_parts(path) for path in paths])
    return ends if len(set(ends)) == len(ends) else list(paths)


def _parts(path: str) -> list[str]:
    parts = [part for part in path.replace(os.sep, "/").split("/") if part not in ("", ".")] or [path]
    if parts == [".."] or path in (".", "./"):
        parts = [Path(path).resolve().name or path]
    return parts[:-1] if parts[-1] == RunFolder(Path()).predictions.name and len(parts) > 1 else parts


def _read(path: str, name: str) -> RunFiles:
    given = Path(path)
    folder = given if RunFolder(given).predictions.is_file() else None
    if folder is None and given == RunFolder(given.parent).predictions and given.is_file():
        folder = given.parent
    if folder is None:
        begun = RunFolder(given)
        if not begun.begun() or any(given.glob("*.parquet")):
            return RunFiles(name=name, where=path, predictions=path)
        return RunFiles(name=name, where=path, predictions="", config=_text(begun.config), log=read_log(begun.log))
    run = RunFolder(folder)
    return RunFiles(
        name=name,
        where=path,
        predictions=str(run.predictions),
        references={control: str(file) for control, file in run.found_references().items()},
        others=tuple(map(str, run.found_others().values())),
        config=_text(run.config),
        log=read_log(run.log),
        warnings=_warnings(run.warnings),
        saved=_saved(run.metrics),
    )


def _text(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_TEXT + 1)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}\n…"


def _warnings(path: Path) -> tuple[str, ...]:
    """The first warnings in `warnings.json`, safe to show."""
    if not path.is_file():
        return ()
    try:
        content = read_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, list):
        raise ValueError(f"{path}: holds {type(content).__name__}, expected a list of texts")
    return tuple(plain(str(one), longest=400, lines=False) for one in content[:20])


def _saved(path: Path) -> dict[str, float | None]:
    """Metric -> value of the first system in `metrics.json`, which is the run's own."""
    if not path.is_file():
        return {}
    try:
        content = read_json(path.read_bytes())
        system = content["systems"][0] if "systems" in content else content
        found = {str(metric["name"]): metric["value"] for metric in system["metrics"]}
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path}: not metrics as train and evaluate write them ({error!r})") from error
    for name, value in found.items():
        if not isinstance(value, float | None) and finite(value) is None:
            raise ValueError(f"{path}: metric {shown(name)} is {shown(value)}, expected a number or null")
    return found

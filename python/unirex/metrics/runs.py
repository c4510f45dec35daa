"""The runs that a table is made of: which method, data set and seed each prediction file belongs to."""

import csv
import glob
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unirex.disk.untrusted import parse_yaml, read_json
from unirex.metrics.remote import is_url
from unirex.text import brief, plain, shown

FIELDS = ("method", "data", "seed", "path")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One prediction file (or directory or pattern of shards) and where it belongs.

    Attributes:
        method: its name.
        data: name of the data set.
        seed: of training, as text.
        path: of the file.
        model: what tells its model from others of the data set; None = the column `model` of the file.
    """

    method: str
    data: str
    seed: str
    path: str
    model: str | None = None


def read_runs(where: str) -> list[Run]:
    """The runs named by a path pattern or by a listing.

    A pattern has `{method}` and `{data}` and may have `{seed}` in it, each a part of a name without `/`, as in
    `runs/{method}/{data}/{seed}/predictions.parquet`. A listing is a YAML, JSON or CSV file with the fields method,
    data, path and optionally seed; its paths are URLs or relative to it.

    Raises:
        ValueError: no run, a field missing, or two files for one method, data set and seed.
        FileNotFoundError: no such listing.
    """
    runs = _matching(where) if "{" in where else _listed(Path(where))
    if not runs:
        raise ValueError(f"{where}: no run found")
    known: dict[tuple[str, str, str], str] = {}
    for run in runs:
        key = (run.method, run.data, run.seed)
        if key in known:
            raise ValueError(
                f"{where}: method, data, seed {key} belong to {known[key]} and to {run.path}, expected one"
            )
        known[key] = run.path
        for field, name in zip(FIELDS, key, strict=False):
            if plain(name, lines=False) != name:
                raise ValueError(
                    f"{where}: {field} is {shown(name)}, expected a name without line breaks or signs that act"
                )
    return runs


def read_seeds(pattern: str) -> dict[str, str]:
    """Seed -> path, of the paths that match a pattern with `{seed}` in it, such as `runs/ours/{seed}/p.parquet`.

    Raises:
        ValueError: no such path, or another placeholder.
    """
    for name in re.findall(r"\{(\w*)\}", pattern):
        if name != "seed":
            raise ValueError(f"{pattern}: placeholder {{{name}}}, expected {{seed}}")
    found = {match["seed"]: path for path, match in _matches(pattern)}
    if not found:
        raise ValueError(f"{pattern}: no run found")
    return found


def _matching(pattern: str) -> list[Run]:
    names = re.findall(r"\{(\w*)\}", pattern)
    for name in names:
        if name not in FIELDS[:3]:
            raise ValueError(f"{pattern}: placeholder {{{name}}}, expected {{method}}, {{data}} or {{seed}}")
    for name in FIELDS[:2]:
        if name not in names:
            raise ValueError(f"{pattern}: placeholder {{{name}}} is missing")
    return [Run(**({"seed": "0"} | match.groupdict()), path=path) for path, match in _matches(pattern)]


def _matches(pattern: str) -> list[tuple[str, re.Match[str]]]:
    """The paths that match a pattern, with its placeholders in each."""
    expression, seen = "", set()
    for part in re.split(r"(\{\w*\})", pattern):
        name = part[1:-1]
        if not part.startswith("{"):
            expression += re.escape(part)
        elif name in seen:
            expression += f"(?P={name})"
        else:
            expression += f"(?P<{name}>[^/]+)"
            seen.add(name)
    star = "*".join(glob.escape(part) for part in re.split(r"\{\w*\}", pattern))
    found = ((path, re.fullmatch(expression, path)) for path in sorted(glob.glob(star)))  # noqa: PTH207
    return [(path, match) for path, match in found if match]


def _listed(path: Path) -> list[Run]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"{path}: not text, expected a YAML, JSON or CSV list of runs, or a pattern with {{method}} and {{data}}"
        ) from None
    try:
        entries: Any = _parse(path.suffix.lower(), text)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: not a readable listing ({brief(error)})") from error
    if not isinstance(entries, Iterable) or isinstance(entries, str | dict):
        raise ValueError(f"{path}: holds {type(entries).__name__}, expected a list of runs")
    return [_run(path, number, entry) for number, entry in enumerate(entries, start=1)]


def _parse(suffix: str, text: str) -> Any:
    if suffix == ".csv":
        return list(csv.DictReader(io.StringIO(text)))
    if suffix == ".json":
        return read_json(text)
    if suffix in {".yaml", ".yml"}:
        return parse_yaml(text)
    raise ValueError(f"suffix {suffix!r}, expected .yaml, .json or .csv, or a pattern with {{method}} in it")


def _run(path: Path, number: int, entry: object) -> Run:
    if not isinstance(entry, dict):
        raise ValueError(f"{path}: run {number} is {type(entry).__name__}, expected fields {', '.join(FIELDS)}")
    for field in ("method", "data", "path"):
        if entry.get(field) in (None, ""):
            raise ValueError(f"{path}: run {number}: field {field!r} is missing")
    for field in FIELDS:
        if isinstance(entry.get(field), list | dict):
            raise ValueError(f"{path}: run {number}: field {field!r} is {shown(entry[field])}, expected text")
    seed, found = entry.get("seed"), str(entry["path"])
    return Run(
        method=str(entry["method"]),
        data=str(entry["data"]),
        seed="0" if seed in (None, "") else str(seed),
        path=found if is_url(found) else str(path.parent / found),
    )

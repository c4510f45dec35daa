"""Groups of runs that differ only in their seed, and the means of their metrics."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unirex.disk.untrusted import parse_yaml
from unirex.metrics.report import Report
from unirex.metrics.seeds import over_seeds
from unirex.report.found import RunFiles
from unirex.report.reading import FirstPass

_OF_ONE_RUN = ("seed", "output")
"""The keys of a configuration that may differ between seeds of one method."""


@dataclass(frozen=True, kw_only=True)
class SeveralSeeds:
    """Runs that differ only in their seed.

    Attributes:
        name: of the group in the report.
        runs: positions in the report.
        report: means over the seeds, with intervals over rows and seeds.
    """

    name: str
    runs: tuple[int, ...]
    report: Report


def group(folders: Sequence[RunFiles], readings: Sequence[FirstPass]) -> tuple[SeveralSeeds, ...]:
    """The groups of two or more runs with the same instances and, except for the seed, the same configuration."""
    found: dict[Any, list[int]] = {}
    for number, (folder, reading) in enumerate(zip(folders, readings, strict=True)):
        settings = _settings(folder.config)
        if settings is not None:
            key = (settings, reading.report.about.get("data"), reading.state.layout, reading.state.hashes().tobytes())
            found.setdefault(key, []).append(number)
    groups = []
    for numbers in found.values():
        if len(numbers) > 1:
            name = f"mean of {', '.join(folders[number].name for number in numbers)}"
            parts = [readings[number] for number in numbers]
            report = over_seeds([part.report for part in parts], [part.state for part in parts], name)
            groups.append(SeveralSeeds(name=name, runs=tuple(numbers), report=report))
    return tuple(groups)


def _settings(config: str | None) -> str | None:
    """The configuration without seed and output, as text; None if there is none or it names no seed."""
    if config is None:
        return None
    try:
        content: Any = parse_yaml(config)
    except ValueError:
        return None
    if not isinstance(content, dict) or "seed" not in content:
        return None
    kept = {str(key): value for key, value in content.items() if key not in _OF_ONE_RUN}
    try:
        return json.dumps(kept, sort_keys=True, default=str)
    except TypeError:  # keys that are not text: not one of our configurations
        return None

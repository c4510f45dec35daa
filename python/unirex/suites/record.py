"""What a finished run adds to the ledger, read from its folder."""

import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from unirex.disk.made import weights_digest
from unirex.disk.run_folder import CONTROLS, RunFolder
from unirex.disk.untrusted import read_events, read_json
from unirex.metrics import row_values
from unirex.suites.ledger import Entry, Ledger, newest
from unirex.suites.plan import Judged, Planned, same_settings
from unirex.suites.recipe import Suite
from unirex.suites.table import read_costs

_LEFT_OUT = re.compile(r"@0\.|:|_(entropy|kl|micro)\b")
_KEPT = (
    *("train_seconds", "judge_seconds", "step_seconds", "step_instances", "explain_seconds", "explain_instances"),
    *("cpu_seconds", "peak_memory", "peak_device_memory", "device", "threads", "versions", "step", "best_epoch"),
)


def record(suite: Suite, ledger: Ledger, run: Planned) -> None:
    """Adds what a run and its transfers have left to the ledger, as far as they are done; what it has already stays."""
    known = newest(ledger.entries(), suite.path.stem)
    for judged in run.recordable:
        entry = _entry(suite, run, judged)
        there = known.get(entry.name[1:])
        lost = there is not None and not ledger.rows(there).is_file()
        if there is not None and same_settings(there, entry.digest) and not lost:
            continue  # its row values are those of its line
        ledger.add(entry, partial(_write_rows, suite, ledger, run, judged, entry), anew=lost)


def _write_rows(suite: Suite, ledger: Ledger, run: Planned, judged: Judged, entry: Entry) -> None:
    left = RunFolder(judged.folder)
    files = {"": left.reference(judged.source) if judged.source else left.predictions}
    if judged.method == suite.references:
        files |= {name: left.reference(name) for name in entry.references}
    for source, path in files.items():
        rows = row_values.from_predictions(
            str(path),
            convention=suite.table.convention,
            perturbation=suite.table.perturbation,
            groups=groups_of(suite, run, judged),
        )
        _check_alike(rows, ledger.rows(entry, source))
        row_values.write(rows, ledger.rows(entry, source))


def groups_of(suite: Suite, run: Planned, judged: Judged) -> str | None:
    """What draws rows together where a run is judged."""
    return None if "transfer" in judged.config else suite.data[run.data].groups


def fits(suite: Suite, run: Planned, judged: Judged, path: Path) -> bool:
    """Whether a file has row values of the convention, perturbation and groups with which the suite takes a run's."""
    if not path.is_file():
        return False
    theirs, ours = _both(suite, run, judged, path)
    return all(theirs[what] == wanted for what, wanted in ours.items())


def check_rows(suite: Suite, run: Planned, judged: Judged, ledger: Ledger) -> None:
    """Refuses a run whose row values another ledger of the folder has, taken in another way, before it is started.

    Raises:
        ValueError: one line.
    """
    path = ledger.rows_at(judged.digest)
    if not path.is_file():
        return
    _refuse_other(*_both(suite, run, judged, path), path)


def _both(suite: Suite, run: Planned, judged: Judged, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """How the row values of a file were taken, and how the suite takes a run's, as far as it says."""
    found, wanted = _taken(row_values.read(str(path))), suite.table.perturbation
    ours: dict[str, Any] = {"convention": suite.table.convention, "groups": groups_of(suite, run, judged)}
    if wanted not in (None, *found["perturbation"]):
        ours["perturbation"] = wanted
    return found, ours


def _check_alike(rows: row_values.RowValues, path: Path) -> None:
    """Refuses to replace row values that another ledger of the folder has of the same run, taken in another way."""
    if not path.exists():
        return
    _refuse_other(_taken(row_values.read(str(path))), _taken(rows), path)


def _refuse_other(theirs: Mapping[str, Any], ours: Mapping[str, Any], path: Path) -> None:
    for what, wanted in ours.items():
        if wanted != theirs[what]:
            raise ValueError(f"{path}: {what} is {theirs[what]!r}, expected {wanted!r}, or a ledger in another folder")


def _taken(rows: row_values.RowValues) -> dict[str, Any]:
    """How row values were taken."""
    names = [name for name, _ in rows.layout.perturbations]
    return {"convention": rows.layout.convention, "perturbation": names, "groups": rows.grouped_by}


def _entry(suite: Suite, run: Planned, judged: Judged) -> Entry:
    content = read_json(RunFolder(judged.folder).metrics.read_bytes())
    own, *others = content.get("systems", [content])
    if judged.source:
        own = next(report for report in others if report["about"].get("scores_from") == judged.source)
    return Entry(
        suite=suite.path.stem,
        data=judged.label,
        method=judged.method,
        seed=run.seed,
        split=str(_last_event(judged.folder).get("split", judged.config.get("transfer", run.config)["eval"]["split"])),
        digest=judged.digest,
        config=judged.config,
        rows=own["rows"],
        metrics=_metrics(own),
        references={
            source: _metrics(report)
            for report in others
            if (source := str(report["about"].get("scores_from"))) in CONTROLS
        },
        cost=_cost(judged.folder, len(run.judged) if "grid" in judged.config else 1),
        trained=run.training,
        commit=_commit(suite.path.parent),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        weights=weights_digest(RunFolder(run.folder).model),
    )


def _metrics(report: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Means and numbers of undefined rows under every perturbation, as far as tables or readers may need them."""
    return {
        name: [None if metric["value"] is None else float(f"{metric['value']:.8g}"), metric["n_undefined"]]
        for metric in report["metrics"]
        if not _LEFT_OUT.search(name := metric["name"]) or name == report.get("headline")
    }


def _cost(folder: Path, entries: int) -> dict[str, Any]:
    """Time, memory and machine from the run's log; `columns` are those of the table.

    A judgment that makes several entries costs each its share.
    """
    end = _last_event(folder)
    if entries > 1:
        end["judge_seconds"] /= entries
    found = {name: _rounded(end[name]) for name in _KEPT if name in end}
    columns = {name: _rounded(value) for name, value in read_costs(folder).items()}
    if "train_seconds" in end:
        columns["run_minutes"] = _rounded((end["train_seconds"] + end["judge_seconds"]) / 60)
    return {**found, "columns": columns}


def _last_event(folder: Path) -> dict[str, Any]:
    """What the log says at the end of the run, or the cost of a judgment."""
    for path in (RunFolder(folder).log, RunFolder(folder).cost):
        with suppress(OSError, IndexError):
            events = read_events(path)
            # Warnings about the result stand behind the end of a run.
            return next((one for one in reversed(events) if one.get("event") == "end"), events[-1])
    return {}


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _commit(folder: Path) -> str | None:
    """The commit of the clone, None outside of one."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()

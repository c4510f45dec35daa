"""The checkpoints of a run as a test looks at them."""

from pathlib import Path

from unirex.disk.run_folder import RunFolder


def latest(run: Path) -> Path | None:
    """The newest checkpoint of a run, damaged or not, or None."""
    found = RunFolder(run).found_checkpoints()
    return found[max(found)] if found else None

"""Trackers: the tools, known to accelerate, that a run sends its numbers to."""

import re
from collections.abc import Mapping, Sequence

from accelerate import Accelerator
from accelerate.tracking import get_available_trackers

from unirex.text import line


def check_trackers(names: Sequence[str]) -> None:
    """Refuses a tracker that is not installed, which accelerate would leave out silently."""
    installed = [str(tracker) for tracker in get_available_trackers()]
    for name in names:
        if name not in installed:
            found = ", ".join(installed) or "none"
            raise ValueError(f"train.trackers holds {name!r}, expected one that is installed ({found})")


def start_trackers(accelerator: Accelerator, names: Sequence[str], yaml: str) -> None:
    """Begins a run in each tracker, with the configuration.

    Raises:
        ValueError: one line, where a tracker fails: it has no account, no place to write, or no server.
    """
    if not names:
        return
    try:
        accelerator.init_trackers("unirex", config={"yaml": yaml})
    except Exception as error:  # whatever the tool raises
        reason = line(f"{type(error).__name__}: {error}")
        raise ValueError(f"train.trackers {', '.join(names)}: cannot begin a run ({reason})") from error


def track(accelerator: Accelerator, numbers: Mapping[str, float], step: int) -> None:
    """Sends numbers by name; characters that MLflow refuses in a name become `_`: `iou_f1@0.5` is `iou_f1_0.5`."""
    accelerator.log({re.sub(r"[^\w./ -]", "_", name): value for name, value in numbers.items()}, step=step)

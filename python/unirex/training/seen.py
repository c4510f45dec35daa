"""The rows that a saved model was trained on, as far as the run beside it still tells."""

import glob
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from unirex.data.cache import digest_of
from unirex.data.source import DataConfig, load_split, load_splits
from unirex.data.splitting import Split, Splits
from unirex.data.toy import ToyConfig
from unirex.disk.run_folder import RunFolder
from unirex.disk.untrusted import read_events, read_yaml
from unirex.parsing import rephrased
from unirex.text import shown


def settings_of(run: RunFolder) -> dict[str, Any] | None:
    """The settings `data` that a run has written, None where there are none."""
    stored = read_yaml(run.config) if run.config.is_file() else None
    data = stored.get("data") if isinstance(stored, dict) else None
    return data if isinstance(data, dict) else None


def check_named(data: DataConfig, split: Split, run: RunFolder, labels: Collection[str]) -> None:
    """Fails where the toy corpus, which is meant where no data are named, is not what a model is about.

    Args:
        data: what is to be judged.
        split: and of it.
        run: the folder in which a run of the model would lie.
        labels: the model's classes.

    Raises:
        ValueError: the model's run has other data, or the toy corpus has classes that the model lacks.
    """
    if data.source != "toy" or data.toy != ToyConfig() or data.other_labels == "missing":  # or somebody means it
        return
    trained = (settings_of(run) or {}).get("source", "toy")
    if trained != "toy":
        raise ValueError(
            f"data.source is toy, as where no data are named, and {run.config} has {shown(trained)}; "
            f"expected data, such as --config {run.config}"
        )
    others = sorted({str(example.label) for example in load_split(data, split)} - set(labels))
    if others:
        raise ValueError(
            f"data.source is toy, as where no data are named, with classes that the model lacks ({', '.join(others)}); "
            "expected data, such as --config FILE"
        )


def log_of(run: RunFolder) -> list[dict[str, Any]]:
    """The events of a run's log."""
    return read_events(run.log) if run.log.is_file() else []


def digests_of(run: RunFolder) -> list[str] | None:
    """The digests of the training and dev rows of a finished run; None where its log does not tell."""
    ends = [event for event in log_of(run) if event.get("event") == "end"]
    return ends[-1]["data"][:2] if ends and "data" in ends[-1] else None


def splits_seen(run: RunFolder) -> Splits | None:
    """The splits that a run was trained and chosen on, read again.

    None where the run does not tell, its data are no files of this machine, or they have changed since.
    """
    digests, settings = digests_of(run), settings_of(run)
    if digests is None or settings is None or not _local(settings.get("path")):
        return None
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DataConfig, "data")
    try:
        with rephrased(parser):
            data: DataConfig = parser.instantiate(parser.parse_object({"data": settings})).data
        splits = load_splits(data)
    except (ValueError, OSError):
        return None
    return splits if [digest_of(splits.train), digest_of(splits.val)] == digests else None


def _local(path: Any) -> bool:
    """Whether files are there; what the network would bring is not asked for."""
    if not isinstance(path, str):
        return False
    return Path(path).exists() or any(glob.iglob(path.replace("{split}", "*"), recursive=True))  # noqa: PTH207

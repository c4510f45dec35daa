"""What a run reads and writes, checked before anything heavy is imported."""

import os
from pathlib import Path

from unirex.config.run import RunConfig
from unirex.disk.run_folder import RunFolder
from unirex.text import is_path


def check_files(config: RunConfig) -> None:
    """Refuses models and data that are not there, and a folder that cannot be written or holds another run.

    What may be a name on the Hub is left to whoever asks it.

    Raises:
        ValueError: one line with the setting.
    """
    for key in ("backbone", "extractor_backbone"):
        name = getattr(config.model, key)
        if name is not None and is_path(name) and not Path(name).is_dir():
            raise ValueError(f"model.{key} is {name!r}, expected a folder that is there")
    path = config.data.path
    plain_path = path is not None and Path(path).is_absolute() and not any(letter in path for letter in "*?[{")
    if plain_path and not Path(path or "").exists():
        raise ValueError(f"data.path is {path!r}, expected a file or folder that is there")
    if config.trained is not None and not Path(config.trained).is_dir():
        raise ValueError(f"trained is {config.trained!r}, expected the folder of a run")
    check_output(config)


def check_output(config: RunConfig) -> None:
    """Refuses a folder that holds a run which is neither resumed nor replaced, files of others, or cannot be made."""
    folder = RunFolder(config.output)
    if folder.begun() and not (config.resume or config.overwrite):
        raise ValueError(f"output {folder} holds a run, expected a new folder, --resume true or --overwrite true")
    if foreign := folder.foreign():
        raise ValueError(f"output {folder} holds {foreign.relative_to(folder.path)}, and no run, expected a new folder")
    there = folder.path
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise ValueError(f"output is {config.output!r}, expected a folder: {there} is a file")
    if not os.access(there, os.W_OK):
        raise ValueError(f"output is {config.output!r}, expected a folder that can be written: {there} cannot")

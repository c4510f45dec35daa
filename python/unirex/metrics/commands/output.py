"""Where a result goes."""

import re
from collections.abc import Sequence
from pathlib import Path

from unirex.disk.atomic import atomic_write


def refuse_inputs(output: str | None, systems: Sequence[str], option: str = "output") -> None:
    """Refuses an output that is one of the files to be read, which would be lost.

    Args:
        output: the file to be written; None = none is.
        systems: files, folders and patterns of files.
        option: that names it.

    Raises:
        ValueError: it is.
    """
    if output is None:
        return
    from unirex.metrics.source import files_of

    place = Path(output).resolve()
    for system in systems:
        try:
            files = files_of(re.sub(r"\{\w+\}", "*", system))
        except (OSError, ValueError):  # told where it is read
            continue
        if any(isinstance(file, Path) and file.resolve() == place for file in files):
            raise ValueError(f"{option} is {output!r}, expected another file than those that are read")


def save(output: str | None, text: str) -> None:
    """Writes text and a line end to the file `output`, whole or not at all; nothing for None.

    Raises:
        OSError: it cannot be written; the message names `output` itself, not the temporary file.

    >>> save("/nowhere/scores.json", "{}")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/scores.json'
    """
    if output is None:
        return
    try:
        with atomic_write(output, "w") as file:
            file.write(text + "\n")
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, output) from error

"""Where a result goes."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from unirex.disk.atomic import atomic_write


def refuse_inputs(output: str | None, systems: Sequence[str], option: str = "output") -> None:
    """Refuses an output that is one of the files to be read, which would be lost.

    Args:
        output: the file to be written; None = none is.
        systems: files, folders and patterns of files.
        option: that names it.

    Raises:
        ValueError: it is, or has no name.
    """
    if output is None:
        return
    if not output:
        raise ValueError(f"{option} is {output!r}, expected a file")
    from unirex.metrics.source import files_of

    place = Path(output).resolve()
    for system in systems:
        try:
            files = files_of(re.sub(r"\{\w+\}", "*", system))
        except (OSError, ValueError):  # told where it is read
            continue
        if any(isinstance(file, Path) and file.resolve() == place for file in files):
            raise ValueError(f"{option} is {output!r}, expected another file than those that are read")


def save(*results: tuple[str | None, str]) -> None:
    """Writes each text and a line end to its file, all of them whole or none at all; nothing for None.

    Raises:
        OSError: one cannot be written; the message names the file itself, not the temporary one.

    >>> save(("/nowhere/scores.json", "{}"))
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/scores.json'
    """
    with ExitStack() as opened:
        files = [(opened.enter_context(atomic_write(name, "w")), text) for name, text in results if name is not None]
        for file, text in files:
            file.write(text + "\n")

"""Input that can be read only once (a pipe, the standard input), kept in a temporary file."""

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

STANDARD_INPUT = "-"

_ENDINGS = ((b"PAR1", ".parquet"), (b"\x1f\x8b", ".jsonl.gz"), (b"\x28\xb5\x2f\xfd", ".jsonl.zst"))
"""First bytes -> the ending by which the content is read; JSON lines if it is none of these."""


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a stream, which is read only once.

    >>> is_stream("-"), is_stream("/dev/stdin"), is_stream(__file__)
    (True, True, False)
    """
    name = os.fspath(path)
    if name in {STANDARD_INPUT, "/dev/stdin"} or name.startswith("/dev/fd/"):
        return True
    place = Path(name)
    return place.exists() and not place.is_file() and not place.is_dir()


def spool(path: str | os.PathLike[str]) -> Path:
    """Reads the stream to its end; returns the temporary file that holds it now, which the caller removes."""
    name = os.fspath(path)
    with ExitStack() as stack:
        stream = sys.stdin.buffer if name == STANDARD_INPUT else stack.enter_context(Path(name).open("rb"))
        start = _first_four(stream)
        ending = next((ending for first, ending in _ENDINGS if start.startswith(first)), ".jsonl")
        handle, copy = tempfile.mkstemp(prefix="unirex-", suffix=ending)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(start)
                shutil.copyfileobj(stream, file, 1 << 20)
        except BaseException:  # Ctrl-C, a full disk
            Path(copy).unlink()
            raise
    return Path(copy)


def _first_four(stream: BinaryIO) -> bytes:
    """Fewer bytes only at the end."""
    found = b""
    while len(found) < 4 and (more := stream.read(4 - len(found))):
        found += more
    return found

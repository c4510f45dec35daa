"""Writing a file so that a reader never sees half of it."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: Literal["w", "wb"] = "wb") -> Iterator[IO[Any]]:
    r"""An open file that appears under `path` only once it is complete and on disk.

    The content goes to a hidden temporary file in the same directory, is flushed to disk when the block ends, and is
    renamed over `path`. If the block raises, `path` is as it was and the temporary file is gone; a killed process
    leaves at most the temporary file. A link is followed; a device or pipe is written to directly.

    Args:
        path: where the file will be.
        mode: `wb`, or `w` for UTF-8 text with `\n` line ends.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(Path(folder) / "a.txt", "w") as file:
    ...         _ = file.write("whole")
    ...     Path(folder, "a.txt").read_text(), len(list(Path(folder).iterdir()))
    ('whole', 1)
    """
    target = Path(path).resolve()
    text = {"encoding": "utf-8", "newline": "\n"} if mode == "w" else {}
    if target.exists() and not target.is_file():
        if target.is_dir():
            raise IsADirectoryError(f"{path} is a directory, expected a file name")
        with named(path), target.open(mode, **text) as file:  # type: ignore[call-overload]
            yield file
        return
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        with named(path), temporary.open(mode.replace("w", "x"), **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        sync(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove(folder: Path) -> None:
    """Removes a folder with all that is in it; of a link the link alone, whatever it leads to is not ours.

    Raises:
        OSError: something in it may not be removed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     there, link = Path(place) / "there", Path(place) / "link"
    ...     there.mkdir(), link.symlink_to(there), remove(link), remove(link)
    ...     there.exists(), link.is_symlink()
    (None, None, None, None)
    (True, False)
    """
    if folder.is_symlink():
        folder.unlink(missing_ok=True)
    while folder.exists():
        with suppress(FileNotFoundError):  # another process removes it too
            shutil.rmtree(folder)


@contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Names the file in errors of the system: one of a full disk names none, others the temporary file."""
    try:
        yield
    except OSError as error:
        if error.errno:
            error.filename = str(path)
        raise


def sync(path: Path) -> None:
    """Makes a file, or a rename in a directory, survive a power cut, where the system can do that."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        if path.is_dir():  # Windows opens no directories
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

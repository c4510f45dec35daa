"""One process at a time writes a folder: a lock that ends with the process that holds it, however that ends.

Windows, and file systems without locks, let every process in. filelock's `FileLock` hides the descriptor that a suite's
child inherits, and without `flock` it leaves a file that outlives a killed process.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def take(path: Path) -> int | None:
    """A descriptor that holds the lock file `path` until it is closed, here and in whoever inherited it.

    None where another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    if fcntl is None:
        return descriptor
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:  # this file system has no locks
        return descriptor
    with suppress(OSError):  # a full disk: who holds it is not known, but it is held
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
    return descriptor


@contextmanager
def holding(path: Path) -> Iterator[bool]:
    """Holds the lock file `path` for the block; false where another process holds it."""
    descriptor = take(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def only_here(path: Path) -> Iterator[None]:
    """Holds the lock file `path` for the block.

    Raises:
        ValueError: another process holds it; which one, and where it runs.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with only_here(Path(folder, ".lock")):
    ...         Path(folder, ".lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    True
    """
    with holding(path) as held:
        if not held:
            holder = path.read_text(encoding="utf-8", errors="replace") or "another process"
            raise ValueError(f"{path.parent}: {holder} writes it, expected a folder that no running process writes")
        yield


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Holds a folder for the block, after whoever else holds it: for a file in it that is read and written anew."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        wait_for(descriptor)
        yield
    finally:
        os.close(descriptor)


def wait_for(descriptor: int) -> None:
    """Holds an open file until it is closed, after whoever else holds it."""
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks lets every process in
            fcntl.flock(descriptor, fcntl.LOCK_EX)

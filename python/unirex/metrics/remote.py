"""Files that are named by a URL (`s3://`, `hf://` …), read through fsspec, which is imported for them alone.

Credentials and endpoints are those that fsspec's packages find for themselves (environment, configuration files).
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pyarrow as pa

from unirex.text import brief


@dataclass(frozen=True)
class Remote:
    """One file at a URL. It is opened where it is read, which may be another machine."""

    url: str

    def __str__(self) -> str:
        """The URL."""
        return self.url

    @property
    def suffixes(self) -> list[str]:
        """As those of a `Path`."""
        return PurePosixPath(urlsplit(self.url).path or self.url).suffixes

    def open(self) -> pa.NativeFile:
        """The file, for reading at any place."""
        from pyarrow.fs import FSSpecHandler, PyFileSystem

        system, path = _system(self.url)
        return PyFileSystem(FSSpecHandler(system)).open_input_file(path)


def is_url(name: object) -> bool:
    """Whether a name is that of a file elsewhere.

    >>> is_url("s3://bucket/a.parquet"), is_url("runs/a.parquet")
    (True, False)
    """
    return isinstance(name, str) and "://" in name


def local_path(url: str) -> Path | None:
    """The path of a `file://` URL, None for another.

    >>> local_path("file:///runs/a%20b.parquet"), local_path("s3://bucket/a.parquet")
    (PosixPath('/runs/a b.parquet'), None)
    """
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" and parts.netloc in {"", "localhost"} else None


def files(url: str, wanted: Any) -> list[Remote]:
    """The files that a URL names: one, those of a pattern, or those of a directory: *.parquet, else the `wanted`.

    Raises:
        ValueError: a package is missing, or the store refuses.
        FileNotFoundError: no such file.
    """
    system, path = _system(url)
    try:
        if "*" in path or "?" in path:
            found = sorted(system.glob(path))
        elif system.isdir(path):
            inside = sorted(system.ls(path, detail=False))
            found = [p for p in inside if p.endswith(".parquet")] or [p for p in inside if wanted(PurePosixPath(p))]
        else:
            found = [path] if system.exists(path) else []
    except Exception as error:  # every store has errors of its own
        raise ValueError(f"{url}: cannot be read ({brief(error)})") from error
    if not found:
        raise FileNotFoundError(f"{url}: no such file")
    return [Remote(system.unstrip_protocol(p)) for p in found]


def opened(part: Any) -> Any:
    """What pyarrow reads: a path as it is, a remote file opened."""
    return part.open() if isinstance(part, Remote) else part


def stream(part: Any) -> pa.NativeFile:
    """The content of a file from its start, decompressed as its name says."""
    if not isinstance(part, Remote):
        return pa.input_stream(part, compression="detect")
    compression = {".gz": "gzip", ".zst": "zstd"}.get(part.suffixes[-1] if part.suffixes else "")
    return pa.input_stream(part.open(), compression=compression)


def _system(url: str) -> tuple[Any, str]:
    try:
        core: Any = import_module("fsspec.core")
        system, path = core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        reason = brief(error)
        raise ValueError(f"{url}: needs fsspec and its package for this kind of URL ({reason})") from error
    return system, path

"""Encoded data sets kept on disk: tokenized and aligned once, then read from an Arrow file.

The name of a file is a digest of everything that its content depends on: the examples, the tokenizer with all its
settings, the longest row, and the version of this layout. A damaged file is made again.
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from unirex.data.align import encode
from unirex.data.encoded import Encoded
from unirex.data.example_columns import SCHEMA
from unirex.data.store import windows
from unirex.disk.atomic import atomic_write
from unirex.schema import Example

VERSION = 3
VARIABLE = "UNIREX_CACHE"
_log = logging.getLogger(__name__)


def cache_folder(setting: str | None) -> Path | None:
    """The folder of the cache: the setting, else that of the environment variable UNIREX_CACHE, else None."""
    chosen = setting or os.environ.get(VARIABLE)
    return None if not chosen else Path(os.path.expandvars(chosen)).expanduser()


def encode_cached(tokenizer: Any, examples: Sequence[Example], max_length: int, folder: Path | None) -> Encoded:
    """`encode`, or its result as an earlier call with the same arguments wrote it into `folder`; None = no cache.

    A folder that cannot be written to is a warning, not an error.
    """
    if folder is None:
        return encode(tokenizer, examples, max_length)
    path = folder / f"{key(tokenizer, examples, max_length)}.arrow"
    found = _read(path)
    if found is None:
        found = encode(tokenizer, examples, max_length, folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(found, path)
        except OSError as error:
            _log.warning("%s: cannot be written (%s), so the data set is encoded again next time", path, error.strerror)
    return found


def key(tokenizer: Any, examples: Sequence[Example], max_length: int) -> str:
    """Digest of what an encoding depends on, 40 hex digits."""
    settings = f"{VERSION} {max_length} {len(examples)}".encode()
    columns = [name for name in SCHEMA.names if name not in {"label", "choice_label"}]
    return _digest_of_parts(
        chain([settings, tokenizer.backend_tokenizer.to_str().encode()], _content(examples, columns))
    )


def digest_of(examples: Sequence[Example]) -> str:
    """Digest of examples with their labels, 40 hex digits: any change of the data changes it."""
    return _digest_of_parts(_content(examples, SCHEMA.names))


def _digest_of_parts(parts: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _content(examples: Sequence[Example], names: Sequence[str]) -> Iterable[bytes | memoryview]:
    """The content of columns, the same however the examples lie in memory."""
    for part in windows(examples):
        for name in names:
            values = part.batch[name]
            yield np.packbits(values.is_valid().to_numpy(zero_copy_only=False)).tobytes()
            if pa.types.is_large_list(values.type):
                yield values.value_lengths().fill_null(0).to_numpy().tobytes()
                values = values.flatten()
            if values.type == pa.large_binary():
                content = [value or b"" for value in values.to_pylist()]
                yield np.array([len(value) for value in content], np.int64).tobytes()
                yield b"".join(content)
            else:
                yield values.to_numpy().tobytes()


def _write(encoded: Encoded, path: Path) -> None:
    """One row of list columns, and a digest of their bytes in the schema."""
    columns = {}
    for field in fields(Encoded):
        values = pa.array(getattr(encoded, field.name))
        offsets = pa.array(np.array([0, len(values)], dtype=np.int64))
        columns[field.name] = pa.LargeListArray.from_arrays(offsets, values)
    table = pa.table(columns).replace_schema_metadata({"unirex": str(VERSION), "digest": _digest(encoded)})
    with atomic_write(path, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _read(path: Path) -> Encoded | None:
    """The content of a file; None if there is none or it is damaged."""
    if not path.is_file():
        return None
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        found = {name: table[name].chunk(0).values.to_numpy(zero_copy_only=True) for name in table.column_names}
        encoded = Encoded(**found)
        if (table.schema.metadata or {}).get(b"digest") == _digest(encoded).encode():
            return encoded
    except (pa.ArrowException, OSError, ValueError, TypeError, AttributeError, IndexError, KeyError):
        pass
    _log.warning("%s: damaged, made again", path)
    return None


def _digest(encoded: Encoded) -> str:
    digest = hashlib.blake2b(digest_size=20)
    for field in fields(Encoded):
        values = getattr(encoded, field.name)
        digest.update(f"{field.name} {values.dtype} {len(values)} ".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()

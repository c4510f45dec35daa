"""What a result was made from, recorded with it, so that it is neither made twice nor taken for another one."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from unirex.disk.atomic import atomic_write
from unirex.disk.untrusted import read_json

_WEIGHTS = (".safetensors",)
_OF_MODEL = (".json", *_WEIGHTS, ".txt", ".model")


def write_record(record: Path, made: Mapping[str, Any]) -> None:
    """Writes what a result is made from; values as JSON has them, and mappings of these."""
    record.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(record, "w") as file:
        json.dump(made, file, ensure_ascii=False, indent=1)


def unlike(record: Path, made: Mapping[str, Any]) -> str | None:
    """How a result was made otherwise, in words that go on from "was made"; None if from the same.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_record(Path(folder, "a.json"), {"limit": 3})
    ...     unlike(Path(folder, "a.json"), {"limit": 3}), unlike(Path(folder, "a.json"), {"limit": 5})
    (None, 'with limit 3, expected 5')
    """
    try:
        stored = read_json(record.read_bytes())
    except (FileNotFoundError, ValueError):
        return "without a record of its input and settings"
    before, now = _flat(stored), _flat(json.loads(json.dumps(made)))
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            return f"with {key} {before.get(key)!r}, expected {now.get(key)!r}"
    return None


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """The values inside a mapping by their full names."""
    if not isinstance(value, dict):
        return {key: value}
    inside = (_flat(inner, f"{key}.{name}" if key else name) for name, inner in value.items())
    return {name: found for one in inside for name, found in one.items()}


def file_digest(path: str | Path) -> str:
    """Digest of a file's content, 16 hex digits: another file has another one, unless somebody makes it so."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def model_digest(folder: str | Path) -> str:
    """Digest of a saved model: weights, configuration and tokenizers, by whatever path; its card does not count."""
    return _joint_digest(Path(folder), _OF_MODEL) or ""


def weights_digest(folder: str | Path) -> str | None:
    """Digest of a saved model's weights alone, None where there are none."""
    return _joint_digest(Path(folder), _WEIGHTS)


def _joint_digest(folder: Path, suffixes: Collection[str]) -> str | None:
    files = sorted(path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file())
    listed = [f"{path.relative_to(folder).as_posix()} {file_digest(path)}" for path in files]
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()[:16] if files else None

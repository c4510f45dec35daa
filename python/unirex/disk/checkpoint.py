"""Resumable checkpoints and saved models: safetensors and JSON, complete or absent.

A checkpoint is a folder `checkpoints/step-N` that appears by a rename once every file in it is on disk; its manifest
lists the size and SHA-256 of each. The newest two are kept, in case one is damaged. No random state is saved: each step
draws from (seed, step, process). What a killed process leaves (names that start with a dot) is put back or removed by
`recover` when the run is opened again.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from unirex.disk.atomic import named, remove, sync
from unirex.disk.run_folder import RunFolder
from unirex.disk.untrusted import read_json

VERSION = 1
_MANIFEST = "manifest.json"
_BEGIN_ANEW = "expected a whole one, put back from a copy, or --overwrite true to start again"
_WEIGHTS, _OPTIMIZER, _STATE = "weights.safetensors", "optimizer.safetensors", "state.json"


class DamagedError(ValueError):
    """A checkpoint is not as it was written."""


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that replaces `folder` once it is complete and on disk."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _put_back(folder)
    temporary, spare = _beside(folder, "tmp"), _beside(folder, "old")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with named(folder):
            temporary.mkdir()
            yield temporary
            for path in (*temporary.rglob("*"), temporary):
                sync(path)
        remove(spare)
        if folder.exists():
            folder.rename(spare)
        temporary.rename(folder)
        sync(folder.parent)
        with suppress(OSError):  # told before it is in the way
            remove(spare)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _put_back(folder)
        if isinstance(error, SafetensorError) or type(error) is Exception:  # how Rust libraries report a full disk
            raise OSError(f"{folder}: cannot be written ({error})") from error
        raise


def _beside(folder: Path, ending: str) -> Path:
    return folder.with_name(f".{folder.name}.{ending}")


def _put_back(folder: Path) -> None:
    """Renames a folder back if a kill came between the two renames of its replacement."""
    if _beside(folder, "old").is_dir() and not folder.exists():
        _beside(folder, "old").rename(folder)


def recover(run: Path) -> None:
    """Puts back or removes what a killed process left in a run's folder; only while no other process writes there."""
    folder = RunFolder(run)
    for link in (folder.checkpoints, folder.model):
        if link.is_symlink() and not link.exists():  # what it led to is gone
            link.unlink()
    for place in (folder.path, folder.checkpoints):
        for spare in place.glob(".*.old"):
            if spare.is_dir():
                _put_back(spare.with_name(spare.name[1:-4]))
                with suppress(OSError):  # told where it is in the way
                    remove(spare)
    for place in (folder.path, folder.checkpoints, folder.references):
        for rest in place.glob(".*.tmp"):
            if rest.is_dir():
                shutil.rmtree(rest, ignore_errors=True)
            else:
                rest.unlink(missing_ok=True)


def save(run: Path, step: int, weights: dict[str, Tensor], optimizer: Optimizer, state: dict[str, Any]) -> Path:
    """Saves a checkpoint and removes all others but the one before it; returns its folder.

    Args:
        run: the run's folder.
        step: optimizer steps done.
        weights: the method's state dict.
        optimizer: with the state it has.
        state: everything else, as JSON: progress, best value, scaler.
    """
    folder = RunFolder(run).checkpoint(step)
    packed = optimizer.state_dict()
    tensors, numbers = {}, {}
    for index, entries in packed["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value.detach().cpu().contiguous()
            else:
                numbers[f"{index}.{name}"] = value
    with atomic_folder(folder) as temporary:
        save_file({name: value.detach().cpu().clone() for name, value in weights.items()}, temporary / _WEIGHTS)
        save_file(tensors, temporary / _OPTIMIZER)
        content = {"version": VERSION, "step": step, "groups": packed["param_groups"], "numbers": numbers, **state}
        (temporary / _STATE).write_text(json.dumps(content))
        _write_manifest(temporary)
    found = RunFolder(run).found_checkpoints()
    kept = (step, max((number for number in found if number < step), default=step))
    for number, other in found.items():
        if number not in kept:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def _write_manifest(folder: Path) -> None:
    entries = {p.name: {"bytes": p.stat().st_size, "sha256": _digest(p)} for p in sorted(folder.iterdir())}
    (folder / _MANIFEST).write_text(json.dumps({"version": VERSION, "files": entries}, indent=1))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def latest_whole(run: Path) -> tuple[Path | None, str]:
    """The newest checkpoint of a run that is not damaged, None where there is none; what is wrong with a newer one.

    Raises:
        ValueError: all of them are damaged, or one is of another version.
    """
    wrong = ""
    for _, folder in sorted(RunFolder(run).found_checkpoints().items(), reverse=True):
        try:
            check(folder)
        except DamagedError as error:
            wrong = wrong or str(error)
        else:
            return folder, wrong
    if wrong:
        raise ValueError(f"{wrong}, and there is no other; {_BEGIN_ANEW}")
    return None, ""


def check_model(folder: Path) -> None:
    """Raises ValueError naming what is missing or damaged in the folder of a saved model."""
    config, weights = folder / "config.json", sorted(folder.glob("*.safetensors"))
    for path in (config, weights[0] if weights else folder / "model.safetensors"):
        if not path.is_file():
            raise ValueError(f"{path}: missing, {_BEGIN_ANEW}")
    try:
        _json(config)
        for path in weights:
            with safe_open(path, "pt"):  # reads the header, and compares the size with it
                pass
    except DamagedError as error:
        raise ValueError(f"{error}; {_BEGIN_ANEW}") from None
    except SafetensorError as error:
        raise ValueError(f"{path}: {error}: it is damaged; {_BEGIN_ANEW}") from None


def check(folder: Path) -> None:
    """Raises ValueError naming the first file of a checkpoint that is missing or differs from the manifest."""
    manifest = folder / _MANIFEST
    if not manifest.is_file():
        raise DamagedError(f"{manifest}: missing, expected the manifest of a complete checkpoint")
    content = _json(manifest)
    if content.get("version") != VERSION:
        raise ValueError(f"{manifest}: version is {content.get('version')}, expected {VERSION}")
    files = content.get("files")
    if not isinstance(files, dict) or not {_WEIGHTS, _OPTIMIZER, _STATE} <= set(files):
        raise DamagedError(f"{manifest}: files does not list {_WEIGHTS}, {_OPTIMIZER} and {_STATE}, expected all three")
    for name, entry in files.items():
        if PurePath(name).name != name or not isinstance(entry, dict) or set(entry) != {"bytes", "sha256"}:
            raise DamagedError(f"{manifest}: files holds {name!r}, expected names in this folder with bytes and sha256")
        path = folder / name
        if not path.is_file():
            raise DamagedError(f"{path}: missing, expected {entry['bytes']} bytes")
        if path.stat().st_size != entry["bytes"]:
            raise DamagedError(
                f"{path}: {path.stat().st_size} bytes, expected {entry['bytes']}: the checkpoint is damaged"
            )
        if _digest(path) != entry["sha256"]:
            raise DamagedError(f"{path}: SHA-256 differs from the manifest: the checkpoint is damaged")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path.read_bytes())
    except ValueError as error:
        raise DamagedError(f"{path}: not JSON ({error}): it is damaged") from None
    if not isinstance(content, dict):
        raise DamagedError(f"{path}: holds a {type(content).__name__}, expected an object: it is damaged")
    return content


def load(folder: Path, optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights and the state of a checkpoint, after checking it; the optimizer is filled in place."""
    check(folder)
    state = _json(folder / _STATE)
    packed: dict[int, dict[str, Any]] = {}
    try:
        flat = {**load_file(folder / _OPTIMIZER), **state.pop("numbers")}
        for name, value in flat.items():
            index, _, entry = name.partition(".")
            packed.setdefault(int(index), {})[entry] = value
        optimizer.load_state_dict({"state": packed, "param_groups": state.pop("groups")})
        return load_file(folder / _WEIGHTS), state
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder}: does not fit this run ({type(error).__name__}: {error})") from None


def rng_seed(*parts: int) -> int:
    """A seed of 63 bits that mixes the parts (seed, step, process …).

    >>> rng_seed(0, 1) == rng_seed(0, 1), rng_seed(0, 1) == rng_seed(1, 0)
    (True, False)
    """
    digest = hashlib.blake2b(",".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_step(seed: int, step: int, rank: int) -> None:
    """Makes everything that torch draws in a step depend on (seed, step, process) alone."""
    torch.manual_seed(rng_seed(seed, step, rank))

"""Checks that weights from files are complete and fit the model."""

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.utils import logging

from unirex.text import plain


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers from printing bars of loading and saving, and its own table of tensors that do not fit."""
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def refuse_parts(found: dict[str, Any], path: str, *, foreign: bool = False) -> None:
    """Refuses a model whose files lack tensors, or have tensors of another shape or name.

    Args:
        found: transformers' report of the loading (`output_loading_info`).
        path: folder or hub name.
        foreign: the model is not of this package: its files may hold other tensors too.

    Raises:
        ValueError: file, and the tensors that are missing, of another shape, or unknown.
    """
    file = Path(path) / "model.safetensors"
    where = file if file.is_file() else path
    if missing := sorted(found["missing_keys"]):
        raise ValueError(f"{where}: lacks {_names(missing)}, expected every tensor of the model")
    if wrong := sorted(found["mismatched_keys"]):
        name, here, expected = wrong[0]
        raise ValueError(f"{where}: {name} has the shape {list(here)}, expected {list(expected)}")
    if not foreign and (unknown := sorted(found["unexpected_keys"])):
        raise ValueError(f"{where}: holds {_names(unknown)}, expected the tensors of the model alone")


def allow_new_pooler(found: dict[str, Any], path: str) -> None:
    """Prints which tensors of a pretrained backbone start at random, and refuses any but a pooler's.

    Raises:
        ValueError: as `refuse_parts`.
    """
    new = sorted(name for name in found["missing_keys"] if "pooler" in name.split("."))
    refuse_parts({**found, "missing_keys": set(found["missing_keys"]) - set(new)}, path, foreign=True)
    if new and os.environ.get("RANK", "0") == "0":
        print(plain(f"note: {path} has no {_names(new)}: new, with random values"), file=sys.stderr)  # noqa: T201


def _names(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:3])
    return shown + (f" and {len(names) - 3} more tensors" if len(names) > 3 else "")

"""Models that are asked about the same rationales as the one that is judged (docs/predictions.md)."""

import re
from collections.abc import Mapping

import torch

from unirex.data.collate import EncodedSet
from unirex.judging.saved import Saved, find_model, load_saved


def load_checks(folders: Mapping[str, str], saved: Saved, model: str, device: torch.device) -> dict[str, Saved]:
    """The check models by name, each over the same tokens and classes as the model that is judged.

    Args:
        folders: folder by name.
        saved: the model that is judged.
        model: its folder.
        device: that they are put on.

    Raises:
        ValueError: a name that cannot be a column's, other classes, or another tokenizer.
    """
    checks: dict[str, Saved] = {}
    for name, folder in folders.items():
        if not isinstance(name, str) or not re.fullmatch(r"\w+", name) or name == "self":
            raise ValueError(f"checks has the name {name!r}, expected letters, digits and _, and not self")
        check = load_saved(find_model(folder))
        if check.labels != saved.labels:
            found, expected = ", ".join(check.labels), ", ".join(saved.labels)
            raise ValueError(f"{folder}: its classes are {found}, expected {expected}")
        if check.tools.tokenizer.backend_tokenizer.to_str() != saved.tools.tokenizer.backend_tokenizer.to_str():
            raise ValueError(f"{folder}: its tokenizer differs, expected that of {model}")
        check.method.to(device).eval()
        checks[name] = check
    return checks


def check_lengths(checks: Mapping[str, Saved], data: EncodedSet, folders: Mapping[str, str]) -> None:
    """Refuses rows that a check model cannot take.

    Raises:
        ValueError: one line that names the model's folder.
    """
    most = int(data.lengths.max(initial=0))
    for name, check in checks.items():
        if check.longest is not None and check.longest < most:
            raise ValueError(f"{folders[name]}: its rows have at most {check.longest} tokens, expected {most} as here")

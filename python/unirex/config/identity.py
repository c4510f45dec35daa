"""What a run is: the settings that its result depends on, a digest of them, and the part that training depends on."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

FREE = ("output", "resume", "overwrite", "trained")
"""Settings that say where a run lies and how it comes about, not what comes out."""

_FREE_INSIDE = {"data": ("cache",), "train": ("log_every", "save_every", "trackers")}
_DATA = "UNIREX_DATA"
_TASK_METRICS = ("headline", "accuracy", "macro_f1")
_TASK_FAMILIES = ("f1:", "precision:", "recall:")


def determining(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, as read from YAML, that the result depends on, the same on every machine.

    Folders, logging and caches are left out, and the folder of all data is written as the variable that names it.

    >>> determining({"output": "runs/a", "seed": 0, "train": {"lr": 0.1, "log_every": 5}})
    {'seed': 0, 'train': {'lr': 0.1}}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if key not in FREE:
            free = _FREE_INSIDE.get(key, ())
            inside = {k: v for k, v in value.items() if k not in free} if isinstance(value, Mapping) else value
            found[key] = inside
    root = os.environ.get(_DATA, "").rstrip("/")
    path = found.get("data", {}).get("path")
    if root and isinstance(path, str) and path.startswith(f"{root}/"):
        found["data"] = {**found["data"], "path": f"${_DATA}{path.removeprefix(root)}"}
    return found


def digest(content: Any) -> str:
    """SHA-256 of content as JSON, whatever the order of its keys.

    >>> digest({"a": 1, "b": 2.0}) == digest({"b": 2.0, "a": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def training_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the trained model depends on: two runs that agree in them train the same weights, bit by bit.

    A run that keeps its best epoch by a task metric is trained alike whatever it is judged by afterwards; without an
    extractor (`model.extractor: none`) also whatever its scores come from. One that keeps it by scores is not.
    """
    part = determining(config)
    evaluation = dict(part.pop("eval"))
    best = str(part["train"]["best_metric"])
    if best not in _TASK_METRICS and not best.startswith(_TASK_FAMILIES):
        return {**part, "eval": {k: v for k, v in evaluation.items() if k not in ("split", "references", "seed")}}
    if part["model"]["extractor"] == "none":
        part["method"] = {k: v for k, v in part["method"].items() if k not in ("attribution", "explainer")}
    # What passes through the model together moves an answer by a rounding, so the batches of the dev split count.
    return {**part, "eval": {name: evaluation[name] for name in ("max_tokens", "batch_size")}}

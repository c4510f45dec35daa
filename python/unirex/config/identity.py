"""What a run is: the settings that its result depends on, a digest of them, and the part that training depends on."""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from unirex.disk.run_folder import RunFolder
from unirex.text import NOW, with_current_keys

FREE = ("output", "resume", "overwrite", "trained")
"""Settings that say where a run lies and how it is started, and do not change its result."""

_FREE_INSIDE = {"data": ("cache",), "train": ("dev_perturb", "log_every", "save_every", "trackers", "max_time")}

RESUMABLE = ("train.max_tokens", "eval.split")
"""Settings that a run may be resumed with other values of: training does not depend on them, but for its rounding."""

OUR_METHODS = frozenset({"joint", "sgt", "fresh", "a2r", "l2e", "mcd", "rtp", "n2r"})
"""The methods of this package, of which it is known which settings only explain; named here, far from torch."""

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
    if found.get("data", {}).get("masked_share") == 0:  # nothing of the masks is read
        found["data"] = {**found["data"], "masked": None}
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


def with_own_tables(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's configuration whose data, where they are tables that Python gave, are named without the run's folder.

    What is in them is compared by digests.

    >>> with_own_tables({"output": "runs/a/", "data": {"path": "runs/a/tables/{split}.parquet"}})["data"]
    {'path': 'tables/{split}.parquet'}
    """
    data, folder = config["data"], RunFolder(config["output"])
    own = data["path"] is not None and Path(data["path"]).parent == folder.tables
    return {**config, "data": {**data, "path": f"tables/{Path(data['path']).name}"}} if own else dict(config)


def training_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the trained model depends on: two runs that agree in them train the same weights, bit by bit.

    If a task metric picks the best epoch, the settings of the evaluation afterwards do not matter, nor do those of
    explaining: the attribution of a run without an extractor (`model.extractor: none`), what a gradient adds to a
    learned extractor's scores. If a metric of scores picks it, they do. What the settings of a method of the user's own
    do nobody knows, so all of them count.
    """
    part = determining(config)
    evaluation = dict(part.pop("eval"))
    best = str(part["train"]["best_metric"])
    if best not in _TASK_METRICS and not best.startswith(_TASK_FAMILIES):
        return {**part, "eval": {k: v for k, v in evaluation.items() if k not in ("split", "references", "seed")}}
    ours = part["method"].get("name") in OUR_METHODS
    explaining = ["gradient_weight"] if ours else []
    if ours and part["model"]["extractor"] == "none":
        explaining += ["attribution", "attribution_settings"]
    part["method"] = {k: v for k, v in part["method"].items() if k not in explaining}
    # Rounding depends on which rows pass through the model together, so the batches of the dev split count. A method
    # without a `fraction` of its own is trained with that of the evaluation.
    fraction = not ours or part["method"].get("fraction", 0) is None
    kept = ["max_tokens", "batch_size", *(["rationale_fraction"] if fraction else [])]
    return {**part, "eval": {name: evaluation[name] for name in kept if name in evaluation}}


def trained_alike(first: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two stored configurations train one model, whenever they were stored and whatever it was judged on.

    A setting that only one has came between them; it is the same if it is off there: null, false or 0.

    >>> one = {"seed": 1, "data": {}, "eval": {"max_tokens": 9, "batch_size": 8}, "train": {"best_metric": "headline"},
    ...        "model": {"extractor": "shared"}, "method": {"name": "joint", "gradient_weight": 0.1}}
    >>> trained_alike(one, {**one, "method": {"name": "joint"}, "data": {"masked": None}})
    True
    >>> trained_alike(one, {**one, "seed": 2})
    False
    """
    kept = ({k: v for k, v in renamed(one).items() if k not in ("transfer", "grid")} for one in (first, other))
    return _alike(*map(training_part, kept))


def _alike(first: Any, other: Any) -> bool:
    if not isinstance(first, Mapping) or not isinstance(other, Mapping):
        return bool(first == other)
    both = first.keys() & other.keys()
    came = {key: value for one in (first, other) for key, value in one.items() if key not in both}
    return not any(came.values()) and all(_alike(first[key], other[key]) for key in both)


def renamed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration with the names that its method and its settings have now.

    >>> renamed({"method": {"name": "unirex", "explainer": {"ig_steps": 3}}})
    {'method': {'name': 'joint', 'attribution_settings': {'ig_steps': 3}}}
    """
    method = config.get("method")
    if not isinstance(method, Mapping):
        return dict(config)
    now = with_current_keys(method)
    name = now.get("name")
    return {**config, "method": {**now, "name": NOW.get(("method.name", str(name)), name)}}


def difference(
    stored: Mapping[str, Any], now: Mapping[str, Any], free: Collection[str] = ()
) -> tuple[str, Any, Any] | None:
    """The first setting in which two configurations differ, and both its values; None if there is none.

    Settings that do not change a run's result are not compared.

    Args:
        stored: one of them, as read from YAML.
        now: the other.
        free: other settings that may differ.

    >>> difference({"seed": 0, "train": {"lr": 0.1}}, {"seed": 0, "train": {"lr": 0.2}})
    ('train.lr', 0.1, 0.2)
    """
    for key in sorted({*stored, *now} - set(FREE)):
        old, new = stored.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            for name in sorted({*old, *new}):
                skipped = name in _FREE_INSIDE.get(key, ()) or f"{key}.{name}" in free
                if not skipped and old.get(name) != new.get(name):
                    return _innermost(f"{key}.{name}", old.get(name), new.get(name))
        elif old != new:
            return key, old, new
    return None


def _innermost(key: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    """The first difference inside of two values that differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        name = next(name for name in sorted({*old, *new}) if old.get(name) != new.get(name))
        return _innermost(f"{key}.{name}", old.get(name), new.get(name))
    return key, old, new


def filled(value: Any, default: Any) -> Any:
    """A mapping completed by the keys of its default, at every level; anything else unchanged.

    >>> filled({"a": {"b": 1}}, {"a": {"b": 2, "c": 3}, "d": 4})
    {'a': {'b': 1, 'c': 3}, 'd': 4}
    """
    if not isinstance(value, Mapping) or not isinstance(default, Mapping):
        return value
    return {**default, **{key: filled(inner, default.get(key)) for key, inner in value.items()}}

"""Checks of a configuration: unknown metrics and classes, class weights, settings that nothing reads."""

import math
from collections.abc import Sequence
from typing import Any

from unirex.config.presets import preset_defaults
from unirex.metrics.layout import Layout
from unirex.text import suggest

_OF_A_CLASS = ("precision:", "recall:", "f1:")
"""How the metrics of one class begin."""


def check_best_metric(train: Any, evaluation: Any) -> None:
    """Refuses a `train.best_metric` that dev does not have; `check_best_class` checks a class, once the data are read.

    Args:
        train: the settings of training.
        evaluation: those of judging.
    """
    chosen, how = train.best_metric, evaluation.how if train.dev_perturb else ()
    layout = Layout(
        fractions=tuple(evaluation.fractions),
        perturbations=tuple((one, frozenset({"keep", "remove", "null"})) for one in how),
        has_label=True, has_gold=True, has_scores=True, has_rationale=True, has_cuts=True,
    )  # fmt: skip
    composite = ["composite"] if how else []
    known = ["headline", *composite, *(definition.name for definition in layout.definitions)]
    if chosen not in known and not chosen.startswith(_OF_A_CLASS):
        main = ["headline", *composite, *(d.name for d in layout.definitions if d.main)]
        why = "" if how else " with train.dev_perturb false"
        raise ValueError(
            f"train.best_metric is {chosen!r}{why}, expected one of {', '.join(main)}{suggest(chosen, known)}"
        )


def of_task(chosen: str) -> bool:
    """Whether a `train.best_metric` is of the answers alone, whatever the scores of words.

    >>> [of_task(chosen) for chosen in ("headline", "macro_f1", "f1:pos", "auprc", "composite")]
    [True, True, True, False, False]
    """
    known = ["headline", *(definition.name for definition in Layout(has_label=True).definitions)]
    return chosen in known or chosen.startswith(_OF_A_CLASS)


def check_best_class(chosen: str, labels: Sequence[str]) -> None:
    """Refuses a `train.best_metric` of a class that the data do not have."""
    _, colon, name = chosen.partition(":")
    if colon and name not in labels:
        raise ValueError(f"train.best_metric is {chosen!r}, expected one of these classes in it: {', '.join(labels)}")


def check_class_weights(weights: Sequence[float] | None, labels: Sequence[str] | None = None) -> None:
    """Refuses class weights that are not positive, or not one for each of the classes where those are known."""
    for weight in weights or ():
        if not 0 < weight < math.inf:
            raise ValueError(f"method.class_weights holds {weight}, expected finite numbers above 0")
    if weights is not None and labels is not None and len(weights) != len(labels):
        raise ValueError(
            f"method.class_weights holds {len(weights)} numbers, expected {len(labels)}: {', '.join(labels)}"
        )


def refuse_unread(config: Any) -> None:
    """Refuses settings that would change nothing, since another setting leaves them unread.

    Args:
        config: of a run; a value equal to the default of the method or of the preset counts as not set.

    Raises:
        ValueError: the setting, its value, and which other one leaves it unread.
    """
    method, model = config.method, config.model
    preset = preset_defaults(config.preset, method.name, model.extractor)
    for key, cause in unread(config).items():
        value = _get(config, key)
        bare = _get({"method": type(method)(), "model": type(model)()}, key)
        if value not in (bare, preset.get(key, bare)):
            raise ValueError(f"{key} is {value!r}, which nothing reads with {cause}; expected it left out")


def unread(config: Any) -> dict[str, str]:
    """Settings of a run that nothing reads, and which other one leaves each unread."""
    model = config.model
    found: dict[str, str] = dict(config.method.unread(model.extractor))
    if model.head == "linear":
        found |= dict.fromkeys(("model.head_width", "model.head_layers"), "model.head linear")
    return found


def _get(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, dict) else getattr(config, part, None)
    return config

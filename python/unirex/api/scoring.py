"""Metrics of a system and differences of two or more, where a system may also be a model that was trained here."""

from typing import Any

from unirex import metrics
from unirex.api.trained import Trained
from unirex.metrics import Comparison, Report


def score(system: Any, **options: Any) -> Report:
    """The metrics of a system (`unirex.metrics.score`).

    Args:
        system: a table in memory (docs/predictions.md), a prediction file, or what `unirex.train` gave.
        **options: of `unirex.metrics.score`.

    >>> round(score({"scores": [[0.9, 0.1, 0.2]], "gold": [[1, 0, 0]]})["auprc"].value, 2)
    1.0
    """
    return metrics.score(_rows(system), **options)


def compare(first: Any, second: Any, *others: Any, **options: Any) -> Comparison:
    """The first system against each of the others, on the same instances (`unirex.metrics.compare`).

    Args:
        first: a system, as for `score`.
        second: another.
        *others: more of them.
        **options: of `unirex.metrics.compare`.
    """
    return metrics.compare([_rows(system) for system in (first, second, *others)], **options)


def _rows(system: Any) -> Any:
    return system.files.predictions if isinstance(system, Trained) else system

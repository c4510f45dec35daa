"""The metrics, one row each, a file for each group: another one is a row there, its function, and its test.

CONTRIBUTING.md ("A new metric") says how. Metrics of other installed packages stand after ours of their group.
"""

import functools

from unirex.metrics.definitions import GROUPS, Family
from unirex.metrics.families import faithfulness, plausibility, rationale, task
from unirex.plugins import Registry

FAMILIES = (*task.FAMILIES, *faithfulness.FAMILIES, *plausibility.FAMILIES, *rationale.FAMILIES)
"""Ours, the groups in their order."""
_METRICS: Registry[Family] = Registry(
    "metric",
    "unirex.metrics",
    {family.name: family for family in FAMILIES},
    lambda found: isinstance(found, Family),
    "a unirex.metrics.Family",
)


@functools.cache
def families() -> tuple[Family, ...]:
    """Every row, those of other installed packages too; the groups in their order.

    Raises:
        ValueError: a metric of another package that cannot be imported, or whose name is not its entry point's.

    >>> [family.name for family in families()][:2]
    ['accuracy', 'macro_f1']
    """
    found = {name: _METRICS[name] for name in _METRICS}
    for name, family in found.items():
        if family.name != name:
            raise ValueError(f"metric {name!r} of an installed package is called {family.name!r}, expected {name!r}")
    return tuple(sorted(found.values(), key=lambda family: GROUPS.index(family.group)))


def family_of(metric: str) -> Family | None:
    """The row that a metric is of, by the metric's name; None if there is none.

    >>> [family_of(name).name for name in ("csd@0.1[delete]", "iou_f1@0.5", "f1:a", "auprc")]
    ['csd', 'iou_f1', 'f1', 'auprc']
    """
    name = metric.split(":", maxsplit=1)[0].split("[", maxsplit=1)[0].split("@", maxsplit=1)[0]
    return next((family for family in families() if family.name == name), None)

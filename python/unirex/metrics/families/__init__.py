"""The metrics, one row each, a file for each group: another one is a row there, its function, and its test.

CONTRIBUTING.md ("A new metric") says how. Metrics of other installed packages stand after ours of their group.
"""

import functools

from unirex.metrics import plugins
from unirex.metrics.definitions import GROUPS, Family
from unirex.metrics.families import faithfulness, plausibility, rationale, task

FAMILIES = (*task.FAMILIES, *faithfulness.FAMILIES, *plausibility.FAMILIES, *rationale.FAMILIES)
"""Ours, the groups in their order."""


@functools.cache
def families() -> tuple[Family, ...]:
    """Every row, those of other installed packages too; the groups in their order.

    >>> [family.name for family in families()][:2]
    ['accuracy', 'macro_f1']
    """
    others = plugins.without_clashes(plugins.installed(), {family.name for family in FAMILIES})
    return tuple(sorted((*FAMILIES, *others), key=lambda family: GROUPS.index(family.group)))


def family_of(metric: str) -> Family | None:
    """The row that a metric is of, by the metric's name; None if there is none.

    >>> [family_of(name).name for name in ("csd@0.1[delete]", "iou_f1@0.5", "f1:a", "auprc")]
    ['csd', 'iou_f1', 'f1', 'auprc']
    """
    name = metric.split(":", maxsplit=1)[0].split("[", maxsplit=1)[0].split("@", maxsplit=1)[0]
    return next((family for family in families() if family.name == name), None)

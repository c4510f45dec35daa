"""Score explanations of any origin: exact metrics with uncertainty, from files larger than memory.

`score` reads a prediction file (docs/predictions.md) and returns a `Report`; docs/metrics.md defines every metric.
Nothing here imports a deep-learning library, and nothing is imported before it is used, so that the command's help
comes at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unirex.metrics.comparison import Comparison, Difference, compare
    from unirex.metrics.report import Metric, Report
    from unirex.metrics.scoring import Plan, finish, plan, score
    from unirex.metrics.state import Resampling, State

__all__ = [
    "Comparison",
    "Difference",
    "Metric",
    "Plan",
    "Report",
    "Resampling",
    "State",
    "compare",
    "finish",
    "plan",
    "score",
]

_HOME = {
    "Comparison": "comparison",
    "Difference": "comparison",
    "compare": "comparison",
    "Metric": "report",
    "Report": "report",
    "Resampling": "state",
    "State": "state",
    "Plan": "scoring",
    "finish": "scoring",
    "plan": "scoring",
    "score": "scoring",
}


def __getattr__(name: str) -> Any:
    """The public name, imported on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'unirex.metrics' has no attribute {name!r}")
    found = getattr(import_module(f"unirex.metrics.{_HOME[name]}"), name)
    globals()[name] = found
    return found

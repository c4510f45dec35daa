"""Score explanations of any origin: exact metrics with uncertainty, from files larger than memory.

`score` reads a prediction file (docs/predictions.md) and returns a `Report`; `compare` says whether two systems differ
by more than chance; `gain_table` puts many methods and data sets into one table; the other functions work on arrays.
`score_eraser` and `score_eraser_rows` read results in the format of the ERASER benchmark (docs/eraser.md).
docs/metrics.md defines every metric. Nothing here imports a deep-learning library, and nothing is imported before it is
used, so that the command's help comes at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unirex.metrics.arrays import (
        aopc,
        auprc,
        average_precision,
        complexity,
        comprehensiveness,
        decision_flip,
        entropy_shift,
        iou_agreement,
        kl_divergence,
        log_odds,
        normalised_comprehensiveness,
        normalised_sufficiency,
        rank_rows,
        rationale_length,
        relative_gain,
        roc_auc,
        sufficiency,
        token_f1,
        token_f1_both_classes,
        token_precision,
        token_recall,
    )
    from unirex.metrics.comparison import compare
    from unirex.metrics.definitions import Family
    from unirex.metrics.differences import Comparison, Difference
    from unirex.metrics.eraser.benchmark import score_eraser
    from unirex.metrics.eraser.rows import score_eraser_rows
    from unirex.metrics.nrg import gain_table
    from unirex.metrics.nrg_table import Cell, Gain, GainTable
    from unirex.metrics.report import Metric, Report
    from unirex.metrics.runs import Run, read_runs
    from unirex.metrics.scoring import Plan, finish, plan, score
    from unirex.metrics.state import Resampling, State

__all__ = [
    "Cell",
    "Comparison",
    "Difference",
    "Family",
    "Gain",
    "GainTable",
    "Metric",
    "Plan",
    "Report",
    "Resampling",
    "Run",
    "State",
    "aopc",
    "auprc",
    "average_precision",
    "compare",
    "complexity",
    "comprehensiveness",
    "decision_flip",
    "entropy_shift",
    "finish",
    "gain_table",
    "iou_agreement",
    "kl_divergence",
    "log_odds",
    "normalised_comprehensiveness",
    "normalised_sufficiency",
    "plan",
    "rank_rows",
    "rationale_length",
    "read_runs",
    "relative_gain",
    "roc_auc",
    "score",
    "score_eraser",
    "score_eraser_rows",
    "sufficiency",
    "token_f1",
    "token_f1_both_classes",
    "token_precision",
    "token_recall",
]

# What is not here is in arrays.
_HOME = {
    "comparison": ("compare",),
    "definitions": ("Family",),
    "differences": ("Comparison", "Difference"),
    "eraser.benchmark": ("score_eraser",),
    "eraser.rows": ("score_eraser_rows",),
    "nrg": ("gain_table",),
    "nrg_table": ("Cell", "Gain", "GainTable"),
    "report": ("Metric", "Report"),
    "runs": ("Run", "read_runs"),
    "scoring": ("Plan", "finish", "plan", "score"),
    "state": ("Resampling", "State"),
}


def __getattr__(name: str) -> Any:
    """The public name, imported on first use."""
    if name not in __all__:
        raise AttributeError(f"module 'unirex.metrics' has no attribute {name!r}")
    module = next((module for module, names in _HOME.items() if name in names), "arrays")
    found = getattr(import_module(f"unirex.metrics.{module}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names."""
    return __all__

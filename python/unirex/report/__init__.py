"""Reports on runs: one self-contained page, a terminal view, plots, and a frame in a notebook (docs/report.md).

`build("runs/mine")` reads a run's folder or a prediction file and returns a `RunReport`. Nothing here imports a
deep-learning library or asks a network.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unirex.report.document import Limits, Part
    from unirex.report.run_report import RunReport, build

__all__ = ["Limits", "Part", "RunReport", "build"]


def __getattr__(name: str) -> Any:
    """The public name, imported on first use, so that the command's help comes at once."""
    if name in __all__:
        return getattr(import_module("unirex.report.run_report"), name)
    raise AttributeError(f"module 'unirex.report' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return __all__

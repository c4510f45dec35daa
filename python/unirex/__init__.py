"""Train text classifiers that say why, and score explanations of any origin.

`unirex.train(frame)` gives a model that explains, judges and reports itself; `unirex.score` and `unirex.compare` take
explanations from anywhere. Importing this package loads neither torch nor transformers: what needs them imports them
when it is used, and scoring works on a plain install (docs/howto/notebook.md).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unirex._rust import __version__

if TYPE_CHECKING:
    from unirex.api import Trained, compare, score, train
    from unirex.explainer import Explainer
    from unirex.training.hooks import Event

__all__ = ["Event", "Explainer", "Trained", "__version__", "compare", "score", "train"]

_HOME = {"Event": "unirex.training.hooks", "Explainer": "unirex.explainer"}


def __getattr__(name: str) -> Any:
    """The public name, imported on first use."""
    if name not in __all__:
        raise AttributeError(f"module 'unirex' has no attribute {name!r}")
    if name == "train":  # the command is a module of this name, which is called as the function
        return import_module("unirex.train")
    found = getattr(import_module(_HOME.get(name, "unirex.api")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names."""
    return __all__

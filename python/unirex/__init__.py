"""Train text classifiers that say why, and score explanations of any origin.

Importing this package loads neither torch nor transformers: `unirex.metrics` works on a plain install, the rest
needs the extra `train`.
"""

from unirex._rust import __version__

__all__ = ["__version__"]

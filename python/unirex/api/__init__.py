"""The Python of `import unirex`: train, score and compare, on tables in memory, with the settings of the commands."""

from unirex.api.scoring import compare, score
from unirex.api.trained import Trained
from unirex.api.training import Settings, train

__all__ = ["Settings", "Trained", "compare", "score", "train"]

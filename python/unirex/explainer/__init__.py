"""From texts to labels, words with scores and rationales, for any classifier.

`Explainer.from_pretrained(folder)(text)`. Importing this package also makes `rationale-classification` a task of
`transformers.pipeline`.
"""

from unirex.explainer.answer import ExplainedText, Faithfulness, Span, Word
from unirex.explainer.explainer import ExplainConfig, Explainer
from unirex.explainer.inputs import Columns
from unirex.explainer.pipeline import TASK, RationalePipeline, register

__all__ = [
    "TASK",
    "Columns",
    "ExplainConfig",
    "ExplainedText",
    "Explainer",
    "Faithfulness",
    "RationalePipeline",
    "Span",
    "Word",
]

register()

"""The task `rationale-classification` of `transformers.pipeline`."""

from collections.abc import Iterable, Mapping
from typing import Any

from transformers import AutoModelForSequenceClassification, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from unirex.data.raw_text import Words
from unirex.explainer.answer import ExplainedText
from unirex.explainer.explainer import Explainer
from unirex.extractors.settings import Attribution
from unirex.judging.saved import STEPS, check_attribution, saved_from

TASK = "rationale-classification"


_Pipeline: Any = Pipeline  # typed for its own subclasses only


class RationalePipeline(_Pipeline):  # type: ignore[misc]
    """Texts to labels with the words they rest on: `pipeline("rationale-classification", model=folder)`.

    Takes the inputs of an `Explainer` and returns `ExplainedText.to_dict()`: one for one input, a list for a list, a
    lazy iterator for any other iterable. Settings (fraction, threshold, faithfulness, batch_size, ...) are keywords of
    the call or of `pipeline`; a classifier without an extractor needs `attribution`.
    """

    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_video_processor = False

    def __init__(
        self,
        *args: Any,
        attribution: Attribution | None = None,
        steps: int = STEPS,
        words: Words | None = None,
        **kwargs: Any,
    ) -> None:
        check_attribution(attribution, steps)
        super().__init__(*args, **kwargs)
        saved = saved_from(self.model, self.tokenizer, attribution=attribution, steps=steps)
        self.explainer = Explainer(saved, folder=self.model.name_or_path, device=self.device, words=words)

    def _sanitize_parameters(self, **settings: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return {}, settings, {}

    def __call__(self, inputs: Any, **settings: Any) -> Any:
        """The answers with their rationales, as plain values."""
        settings = {**self._forward_params, **settings}
        if self._batch_size is not None:
            settings.setdefault("batch_size", self._batch_size)
        settings.pop("num_workers", None)
        found: ExplainedText | Iterable[ExplainedText] = self.explainer(inputs, **settings)
        if isinstance(found, ExplainedText):
            return found.to_dict()
        plain = (answer.to_dict() for answer in found)
        return list(plain) if isinstance(inputs, list) else plain

    # The base class requires these three; `__call__` bypasses them, since it batches by length.
    def preprocess(self, inputs: Any, **_: Any) -> dict[str, Any]:
        """One input, unchanged."""
        return {"inputs": inputs}

    def _forward(self, model_inputs: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
        return {"answer": self.explainer(model_inputs["inputs"], **settings)}

    def postprocess(self, model_outputs: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """The answer as plain values."""
        answer: dict[str, Any] = model_outputs["answer"].to_dict()
        return answer


def register() -> None:
    """Adds the task to the registry, once."""
    if TASK not in PIPELINE_REGISTRY.get_supported_tasks():
        PIPELINE_REGISTRY.register_pipeline(
            TASK, pipeline_class=RationalePipeline, pt_model=AutoModelForSequenceClassification, type="text"
        )

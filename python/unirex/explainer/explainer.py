"""`Explainer.from_pretrained(folder)(text)`: labels and rationales for texts, pairs, choices and streams of them."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, Unpack, get_args, overload

import numpy as np
import torch

from unirex.data.raw_text import Words
from unirex.disk.checkpoint import atomic_folder
from unirex.disk.predictions import Prediction
from unirex.explainer.answer import ExplainedText
from unirex.explainer.inputs import Columns, InputReader, numbered, rows_of
from unirex.judging.predict import OWN, Judging, Place, predict
from unirex.judging.saved import Loading, Saved, find_model, load_saved
from unirex.judging.settings import EvalConfig
from unirex.ranges import Count, Finite, Fraction, check_ranges
from unirex.schema import FRACTIONS, PERTURBATIONS, Example, Perturbation

WINDOW = 1024
"""Inputs held at a time while streaming, so that batches can have inputs of similar length."""


_OF_MODELS = re.compile(
    r"(model.*|vocab.*|tokenizer.*|special_tokens_map|added_tokens|merges|.*config)\.(json|safetensors|txt|model)|README\.md"
)
"""Files that a saved model may have."""


@dataclass(frozen=True, kw_only=True)
class ExplainConfig:
    """How answers are cut and checked.

    Attributes:
        fraction: share of the words in the hard rationale, in (0, 1]; None = the model's own (the mean share that
            humans marked in its training set).
        threshold: instead of a fraction: every word with at least this score is in the rationale.
        faithfulness: whether to measure how hiding the top words changes the answer (up to eleven more passes a text).
            Whole words are hidden, by the scores that are shown, so `unirex evaluate --scores` finds the same numbers.
        fractions: shares of the words that faithfulness is measured at, ascending.
        how: how tokens are hidden for it.
        batch_size: inputs in one pass.
    """

    fraction: Fraction | None = None
    threshold: Finite | None = None
    faithfulness: bool = False
    fractions: tuple[Fraction, ...] = FRACTIONS
    how: Perturbation = "attention"
    batch_size: Count = 32

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if isinstance(self.fractions, Iterable):
            object.__setattr__(self, "fractions", tuple(self.fractions))  # a list will do
        if self.fraction is not None and self.threshold is not None:
            raise ValueError("fraction and threshold are both given, expected one of them")
        check_ranges(None, self)
        if not isinstance(self.fractions, tuple):
            raise ValueError(f"fractions is {self.fractions!r}, expected ascending values")
        if not self.fractions or list(self.fractions) != sorted(set(self.fractions)):
            raise ValueError(f"fractions is {self.fractions}, expected ascending values without repeats")
        if not isinstance(self.faithfulness, bool):
            raise ValueError(f"faithfulness is {self.faithfulness!r}, expected True or False")
        if self.how not in PERTURBATIONS:
            raise ValueError(f"how is {self.how!r}, expected one of {', '.join(PERTURBATIONS)}")

    def rule(self, own_fraction: float) -> str:
        """How the hard rationale is cut, in words."""
        if self.threshold is not None:
            return f"score >= {self.threshold:.4g}"
        return f"top {self.fraction or own_fraction:.4g} of words"


class Explainer:
    """A model whose answers come with the words they rest on.

    Call it on a text, a pair (a tuple of two texts), a row (a mapping with `text` and, if the model needs them,
    `text_pair`, `query` or `choices`), a list of those, a table of such rows, or another iterable of them, such as a
    data set of the `datasets` library. One input gives an `ExplainedText`, a list or a table a list, and any other
    iterable a lazy iterator in the order of the inputs that holds at most `WINDOW` of them.
    """

    def __init__(
        self, saved: Saved, *, folder: str, device: torch.device | str | None = None, words: Words | None = None
    ) -> None:
        if saved.scores_from is None:
            raise ValueError(
                f"{folder}: this classifier has no extractor, expected attribution 'ig' or another attribution method"
            )
        self.saved = saved
        self.folder = folder
        self.device = _device(_default_device() if device is None else device)
        if words not in (None, *get_args(Words)):
            raise ValueError(f"words is {words!r}, expected {' or '.join(get_args(Words))}")
        self.words: Words = words or saved.words
        self.method = saved.method.to(self.device).eval().requires_grad_(False)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        device: torch.device | str | None = None,
        words: Words | None = None,
        revision: str | None = None,
        **loading: Unpack[Loading],
    ) -> "Explainer":
        """The explainer for a saved model: a folder, a run's folder, or a name on the Hub; runs no code from it.

        Args:
            path: a model trained by this package, or any sequence classifier of the transformers library.
            attribution: scores from the model's gradients instead of its extractor (`unirex.extractors.attribution`);
                required for classifiers that were not trained by this package.
            steps: of integrated gradients.
            device: default: the first GPU (of several processes on a machine, each its own), else the CPU.
            words: what a word of raw text is: `text`, or `space` as in data sets that are split by spaces; default: as
                in the data that the model was trained on, for other classifiers `text`.
            max_length: most tokens of an input; default: as in training, for other classifiers at most 512.
            revision: of a model on the Hub.

        Raises:
            ValueError: one line naming the folder and what is wrong.
        """
        folder = find_model(str(path), revision)
        saved = load_saved(folder, **loading)
        return cls(saved, folder=folder, device=device, words=words)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, or the names of the choices."""
        return self.saved.labels

    @overload
    def __call__(self, inputs: str | tuple[str, str] | Mapping[str, Any], **settings: Any) -> ExplainedText: ...
    @overload
    def __call__(self, inputs: list[Any], **settings: Any) -> list[ExplainedText]: ...
    @overload
    def __call__(self, inputs: Iterable[Any], **settings: Any) -> Iterator[ExplainedText]: ...
    def __call__(self, inputs: Any, **settings: Any) -> Any:
        """The answers with their rationales: one, a list, or a lazy iterator, like the inputs.

        Args:
            inputs: see the class.
            **settings: fields of `ExplainConfig` (fraction, threshold, faithfulness, fractions, how, batch_size), and
                `columns`, a `Columns` or a dictionary such as `{"text": "review"}`, where fields of rows have other
                names.
        """
        if isinstance(inputs, str | tuple | Mapping):
            return next(self.stream([inputs], **settings))
        inputs = rows_of(inputs)
        found = self.stream(inputs, **settings)
        return list(found) if isinstance(inputs, list) else found

    def stream(
        self, source: Iterable[Any], *, columns: Columns | Mapping[str, str] | None = None, **settings: Any
    ) -> Iterator[ExplainedText]:
        """Answers for everything that `source` yields, in its order, in bounded memory."""
        known = [field.name for field in fields(ExplainConfig)]
        for name in settings:
            if name not in known:
                raise TypeError(f"there is no setting {name!r}, expected {', '.join(known)} or columns")
        config = ExplainConfig(**settings)
        reader = self.reader(columns)
        examples = (reader.example(item, number) for number, item in numbered(source))
        return self.explain(examples, config)

    def reader(self, columns: Columns | Mapping[str, str] | None = None) -> InputReader:
        """A reader that turns inputs into examples."""
        return InputReader(
            labels=self.labels, choice=self.saved.choice, words=self.words, columns=Columns.read(columns)
        )

    def explain(self, examples: Iterable[Example], config: ExplainConfig) -> Iterator[ExplainedText]:
        """Answers for examples, in their order; at most `WINDOW` of them are held."""
        checked = (config.how, config.fractions) if config.faithfulness else None
        rule = config.rule(self.saved.rationale_fraction)
        for example, prediction, tokens_cut in self.predictions(examples, config):
            names = example.choice_labels or self.labels
            yield ExplainedText(example, prediction, tuple(names), rule=rule, tokens_cut=tokens_cut, checked=checked)

    def predictions(
        self, examples: Iterable[Example], config: ExplainConfig
    ) -> Iterator[tuple[Example, Prediction, int]]:
        """Examples, their prediction rows and the tokens that truncation took, in order, `WINDOW` at a time."""
        iterator = iter(examples)
        while window := list(islice(iterator, WINDOW)):
            found: dict[int, tuple[Prediction, int]] = {}
            for places in _alike(window):
                found |= self._predict(window, places, config)
            for place, example in enumerate(window):
                yield example, *found[place]

    @torch.inference_mode(False)  # the caller's: scores may be gradients
    def _predict(
        self, window: list[Example], places: list[int], config: ExplainConfig
    ) -> dict[int, tuple[Prediction, int]]:
        """Rows of the examples at `places`, all of which have as many choices."""
        data = self.saved.tools.encode([window[place] for place in places], self.labels)
        judging = Judging(
            config=EvalConfig(fractions=config.fractions, how=(config.how,), batch_size=config.batch_size),
            unit="word",
            word_score=self.saved.word_score,
            rationale_fraction=config.fraction or self.saved.rationale_fraction,
            labels=self.labels,
            perturb=config.faithfulness,
        )
        rows = predict(self.method, data, judging, Place(device=self.device))[OWN]
        cut = data.encoded.tokens_cut.tolist()
        return {places[i]: (_thresholded(row, config.threshold), cut[i]) for i, row in rows}

    def save_pretrained(self, folder: str | Path) -> None:
        """Saves the model as it was loaded: weights, tokenizers, model card. Writes a complete folder or none.

        Args:
            folder: a new one, or that of a model, which is replaced.

        Raises:
            ValueError: it holds something that is no file of a model, which would be lost.
        """
        folder = Path(folder)
        names = {file.relative_to(self.folder) for file in self._files()}
        for file in sorted(folder.rglob("*")):
            if file.is_file() and file.relative_to(folder) not in names and not _OF_MODELS.fullmatch(file.name):
                raise ValueError(f"{folder} holds {file.relative_to(folder)}, expected a new folder or that of a model")
        with atomic_folder(folder) as temporary:
            self._copy(temporary)

    def push_to_hub(self, repo_id: str, *, private: bool | None = None, token: str | bool | None = None) -> str:
        """Uploads weights, tokenizers and model card to the Hugging Face Hub; returns the address of the commit.

        Args:
            repo_id: `name` or `organization/name`; created if it does not exist.
            private: of a new repository.
            token: default: that of `hf auth login`.
        """
        from tempfile import TemporaryDirectory

        from huggingface_hub import HfApi

        api = HfApi(token=token)
        repo = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        with TemporaryDirectory() as temporary:
            self._copy(Path(temporary))
            commit = api.upload_folder(
                repo_id=repo, folder_path=temporary, commit_message="Upload a model that explains itself"
            )
        return str(commit)

    def _copy(self, target: Path) -> None:
        for file in self._files():
            place = target / file.relative_to(self.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)

    def _files(self) -> list[Path]:
        """The files of the model, without anything that could be code."""
        wanted = {".json", ".safetensors", ".txt", ".model", ".md"}
        return sorted(file for file in Path(self.folder).rglob("*") if file.is_file() and file.suffix in wanted)

    def __repr__(self) -> str:
        return (
            f"<Explainer {self.folder!r}: {'choices' if self.saved.choice else 'classes'} {', '.join(self.labels)}; "
            f"scores from {self.saved.scores_from}, on {self.device}>"
        )


def _alike(examples: list[Example]) -> list[list[int]]:
    """Places of the examples, grouped by their number of choices: a batch has one number."""
    groups: dict[int, list[int]] = {}
    for place, example in enumerate(examples):
        groups.setdefault(len(example.choices), []).append(place)
    return list(groups.values())


def _thresholded(row: Prediction, threshold: float | None) -> Prediction:
    """The row with the words of at least this score as its rationale; never a word that the model did not see."""
    if threshold is None:
        return row
    return replace(row, rationale=np.nan_to_num(row.scores, nan=-np.inf) >= threshold)


def _default_device() -> str:
    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"


def _device(device: torch.device | str) -> torch.device:
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device is {str(device)!r}: {str(error).strip().splitlines()[0]}") from None
    return found

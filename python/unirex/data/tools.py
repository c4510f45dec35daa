"""What turns examples into model input."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from unirex.data.cache import cache_folder, encode_cached
from unirex.data.collate import EncodedSet, FillTokens, make_set
from unirex.data.encoded import Encoded
from unirex.data.masks import Masks
from unirex.data.source import DataConfig
from unirex.data.store import windows
from unirex.data.tokenization import load_tokenizer
from unirex.disk.atomic import atomic_write
from unirex.schema import Example

OWN_TOKENIZER = "extractor_tokenizer"
_NOT_NAMED = -2


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What turns examples into model input: tokenizers, longest row, words to hide, and where the result is kept."""

    tokenizer: PreTrainedTokenizerFast
    extractor_tokenizer: PreTrainedTokenizerFast | None
    max_length: int
    cache: Path | None = None
    masks: Masks | None = None

    @property
    def fill(self) -> FillTokens:
        """The ids that replace hidden tokens."""
        return FillTokens(mask_id=mask_id(self.tokenizer), pad_id=self.tokenizer.pad_token_id)

    def over(self, config: DataConfig) -> "Tools":
        """The same for a data set: with its cache and its masks."""
        return replace(self, cache=cache_folder(config.cache), masks=config.masks)

    def encode(self, examples: Sequence[Example], labels: Sequence[str]) -> EncodedSet:
        """A data set ready for the model."""
        own = self.extractor_tokenizer
        return make_set(
            examples,
            self._encoded(self.tokenizer, examples),
            label_ids(examples, labels),
            self.tokenizer.pad_token_id,
            extractor=None if own is None else self._encoded(own, examples),
            extractor_pad_id=0 if own is None else own.pad_token_id,
        )

    def _encoded(self, tokenizer: PreTrainedTokenizerFast, examples: Sequence[Example]) -> Encoded:
        found = encode_cached(tokenizer, examples, self.max_length, self.cache)
        return found if self.masks is None else self.masks.apply(found, examples, mask_id(tokenizer))

    def save(self, folder: Path) -> None:
        """Saves the tokenizers with a model."""
        self.tokenizer.save_pretrained(folder)
        if self.extractor_tokenizer is not None:
            self.extractor_tokenizer.save_pretrained(folder / OWN_TOKENIZER)

    def mend(self, folder: Path) -> None:
        """Saves the tokenizers of a saved model again where a file of them is missing or another."""
        with TemporaryDirectory() as place:
            self.save(Path(place))
            for made in (path for path in sorted(Path(place).rglob("*")) if path.is_file()):
                kept = folder / made.relative_to(place)
                if not kept.is_file() or kept.read_bytes() != made.read_bytes():
                    kept.parent.mkdir(exist_ok=True)
                    with atomic_write(kept) as file:
                        file.write(made.read_bytes())


def mask_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The id that stands for a hidden token: the mask token, where there is none the unknown one.

    Raises:
        ValueError: a tokenizer that has neither.
    """
    found: int | None = tokenizer.mask_token_id
    found = tokenizer.unk_token_id if found is None else found
    if found is None:
        raise ValueError(
            f"the tokenizer of {tokenizer.name_or_path or 'the model'} has no mask token and no unknown one, expected "
            "one that stands for a hidden word"
        )
    return int(found)


def own_tokenizer(folder: str) -> PreTrainedTokenizerFast:
    """The tokenizer of an extractor with another vocabulary, saved with a model by `Tools.save`."""
    return load_tokenizer(str(Path(folder) / OWN_TOKENIZER))


def label_ids(examples: Sequence[Example], labels: Sequence[str]) -> NDArray[np.int64]:
    """The place of each example's label among `labels`, or among the names of its choices; -1 = unknown."""
    found = [np.zeros(0, np.int64)]
    for part in windows(examples):
        own = part.texts_of("label")
        if part.lengths("choice_label").any():
            choices = part.texts_of("choice_label")
            places = [_place(label, names or labels) for label, names in zip(own, choices, strict=True)]
        else:
            known = {label: _place(label, labels) for label in set(own)}
            places = [known[label] for label in own]
        found.append(np.array(places, np.int64))
        for row in np.flatnonzero(found[-1] == _NOT_NAMED)[:1].tolist():
            example = part.example(row)
            expected = ", ".join(example.choice_labels or labels)
            raise ValueError(f"instance {example.id}: label is {example.label!r}, expected one of {expected}")
    return np.concatenate(found)


def _place(label: str | None, names: Sequence[str]) -> int:
    if label is None:
        return -1
    return names.index(label) if label in names else _NOT_NAMED

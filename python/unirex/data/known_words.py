"""Tokens of words that a tokenizer has seen before, for tokenizers to which a space is always a border.

WordPiece as BERT uses it cuts a text at white space before anything else, so the tokens of what lies between two spaces
do not depend on the rest, and a large data set repeats its words: looking them up is many times faster.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unirex.data.example_columns import offsets_of

MOST = 1 << 18
"""Words remembered; then all are forgotten, which bounds the memory."""


class WordTokens(NamedTuple):
    """Tokens of texts, special tokens included.

    Attributes:
        ids: int32.
        starts, ends: int64, the characters of each token, counted in its text; 0 for special tokens.
        offsets: int64, where each text's tokens lie; one more than there are texts.
        n_before, n_after: special tokens in front of each text and behind it.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]
    n_before: int
    n_after: int

    def sides(self, row: int) -> NDArray[np.int8]:
        """0 for the tokens of a text, -1 for the special tokens around it."""
        of_row = np.zeros(self.offsets[row + 1] - self.offsets[row], np.int8)
        of_row[: self.n_before] = of_row[len(of_row) - self.n_after :] = -1
        return of_row


class KnownWords:
    """The words that a tokenizer has cut so far, and their tokens.

    Attributes:
        before, after: ids of the special tokens around a single text.
    """

    def __init__(self, backend: Any) -> None:
        whole, bare = (backend.encode("a", add_special_tokens=special) for special in (True, False))
        first = whole.sequence_ids.index(0)
        self.before = np.array(whole.ids[:first], np.int32)
        self.after = np.array(whole.ids[first + len(bare.ids) :], np.int32)
        self._backend = backend
        self._forget()

    @classmethod
    def of(cls, backend: Any) -> "KnownWords | None":
        """None for a tokenizer of which it is not known that a space is always a border."""
        facts = json.loads(backend.to_str())
        kinds = {part: (facts[part] or {}).get("type") for part in ("normalizer", "pre_tokenizer", "post_processor")}
        plain = (
            facts["model"].get("type") == "WordPiece"
            and kinds["normalizer"] in {None, "BertNormalizer"}
            and kinds["pre_tokenizer"] in {"BertPreTokenizer", "WhitespaceSplit"}
            and kinds["post_processor"] in {None, "BertProcessing", "TemplateProcessing"}
            and not any(
                token["lstrip"]
                or token["rstrip"]
                or token["single_word"]
                or token["normalized"]
                or " " in token["content"]
                for token in facts["added_tokens"]
            )
        )
        if not plain:
            return None
        tried = backend.encode("a")
        return None if any(tried.type_ids) or 0 not in tried.sequence_ids else cls(backend)

    def _forget(self) -> None:
        self._codes: dict[str, int] = {}
        self._ids, self._offsets = np.zeros(0, np.int32), np.zeros(1, np.int64)
        self._starts, self._ends = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def _learn(self, words: Sequence[str]) -> None:
        encodings = self._backend.encode_batch(words, add_special_tokens=False)
        places = np.array([place for encoding in encodings for place in encoding.offsets], np.int64).reshape(-1, 2)
        ids = np.array([token for encoding in encodings for token in encoding.ids], np.int32)
        self._codes |= {word: code for code, word in enumerate(words, start=len(self._codes))}
        self._ids = np.concatenate([self._ids, ids])
        self._starts = np.concatenate([self._starts, places[:, 0]])
        self._ends = np.concatenate([self._ends, places[:, 1]])
        self._offsets = np.concatenate([self._offsets, self._offsets[-1] + offsets_of(map(len, encodings))[1:]])

    def _look_up(self, words: Sequence[str]) -> NDArray[np.int64]:
        if len(self._codes) > MOST:
            self._forget()
        if unknown := sorted(set(words) - self._codes.keys()):
            self._learn(unknown)
        return np.fromiter(map(self._codes.__getitem__, words), np.int64, len(words))

    def tokens(self, texts: Sequence[str]) -> WordTokens:
        """The tokens of single texts, special tokens included."""
        split = [text.split(" ") for text in texts]
        words = [word for of_text in split for word in of_text]
        codes, of_text = self._look_up(words), offsets_of(map(len, split))
        n_words = np.diff(of_text)
        before_words = offsets_of(np.fromiter(map(len, words), np.int64, len(words)) + 1)[:-1]
        word_starts = before_words - np.repeat(before_words[of_text[:-1]], n_words)
        pieces = self._offsets[codes + 1] - self._offsets[codes]
        of_words = offsets_of(pieces)
        source = np.repeat(self._offsets[codes] - of_words[:-1], pieces) + np.arange(of_words[-1])
        shift = np.repeat(word_starts, pieces)
        # Room for the special tokens of each text, which have no place in it.
        n_tokens = np.diff(of_words[of_text])
        offsets = offsets_of(n_tokens + len(self.before) + len(self.after))
        place = np.arange(of_words[-1]) + np.repeat(offsets[:-1] + len(self.before) - of_words[of_text[:-1]], n_tokens)
        ids = np.empty(offsets[-1], np.int32)
        starts, ends = np.zeros((2, offsets[-1]), np.int64)
        for special, first in ((self.before, offsets[:-1]), (self.after, offsets[1:] - len(self.after))):
            ids[first[:, None] + np.arange(len(special))] = special
        ids[place] = self._ids[source]
        starts[place], ends[place] = self._starts[source] + shift, self._ends[source] + shift
        return WordTokens(ids, starts, ends, offsets, len(self.before), len(self.after))

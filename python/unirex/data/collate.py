"""Batches of tensors from encoded examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unirex import _rust
from unirex.data.align import Links, link
from unirex.data.encoded import Encoded
from unirex.data.example_columns import Columns, offsets_of
from unirex.data.store import windows
from unirex.schema import Example

_T = TypeVar("_T", bound="Rows | ExtractorView | Batch")


@dataclass(frozen=True, kw_only=True, slots=True)
class FillTokens:
    """Ids that replace a hidden token: the tokenizer's mask token (else its unknown token), and its padding token."""

    mask_id: int
    pad_id: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rows:
    """Token rows as a backbone takes them, padded on the right.

    Attributes:
        input_ids_BL: int64.
        visible_BL: bool, the tokens that may be attended to; false for padding and for hidden tokens.
        token_types_BL: int64, which text of a pair a token belongs to.
        positions_BL: int64, position of each token in its row counted from 0, or None where that is 0, 1, 2, ...
        gates_BL: float32, 1 = visible, 0 = hidden, with a gradient (`unirex.encoder.gates`); None = no gates.
    """

    input_ids_BL: Tensor
    visible_BL: Tensor
    token_types_BL: Tensor
    positions_BL: Tensor | None = None
    gates_BL: Tensor | None = None

    def take(self, index: Tensor) -> "Rows":
        """The rows at `index` (int64), in that order, repeats allowed."""
        return _each(self, lambda tensor_BL: tensor_BL[index])


def text_seeds(rows: Rows) -> list[int]:
    """A number for each row, in [0, 2 ** 32), of the tokens in view alone: the same wherever a row stands.

    >>> ids, visible = torch.tensor([[5, 6, 0], [5, 6, 7]]), torch.tensor([[True, True, False]] * 2)
    >>> rows = Rows(input_ids_BL=ids, visible_BL=visible, token_types_BL=torch.zeros_like(ids))
    >>> len(set(text_seeds(rows)))
    1
    """
    ids_BL, visible_BL = rows.input_ids_BL.cpu().numpy().astype("<i8"), rows.visible_BL.cpu().numpy()
    return [crc32(ids_L[seen_L].tobytes()) for ids_L, seen_L in zip(ids_BL, visible_BL, strict=True)]


def drop_padding(rows: Rows, width: int) -> Rows:
    """The rows cut on the right to `width` tokens."""
    return _each(rows, lambda tensor_BL: tensor_BL[:, :width])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExtractorView:
    """The same rows for an extractor with its own tokenizer, and how its scores map to the task model's tokens.

    Token t of the task model's flattened rows [B x L] takes weight[j] of the score of token source[j] of the
    extractor's flattened rows, for every j with target[j] = t; the weights of a target sum to 1.
    """

    rows: Rows
    target: Tensor
    source: Tensor
    weight: Tensor

    def transfer(self, scores_BL: Tensor, shape: tuple[int, int]) -> Tensor:
        """Scores of the task model's tokens, float [B, L]; 0 where no token of the extractor sees the word."""
        values = scores_BL.reshape(-1)[self.source] * self.weight.to(scores_BL.dtype)
        flat = torch.zeros(shape[0] * shape[1], dtype=values.dtype, device=values.device)
        return flat.index_add(0, self.target, values).view(shape)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Batch:
    """Instances as a method sees them. With n choices an instance owns n consecutive rows, and B = instances x n.

    Attributes:
        rows: the full input.
        words_BL: int64, the index of the selectable word a token belongs to, -1 for every other token.
        gold_BL: float32, the human rationale spread over the tokens of its words, 0 elsewhere.
        has_gold_B: bool, whether a human rationale is known.
        labels_I: int64 [instances], -1 where unknown.
        n_choices: rows per instance: 1, or the number of choices.
        index_I: int64 [instances], position in the data set.
        extractor: the same rows for an extractor with another vocabulary.
        read_BL: `words_BL` with what the task model reads and that extractor does not; None where it reads all.
    """

    rows: Rows
    words_BL: Tensor
    gold_BL: Tensor
    has_gold_B: Tensor
    labels_I: Tensor
    n_choices: int
    index_I: Tensor
    extractor: ExtractorView | None = None
    read_BL: Tensor | None = None

    @property
    def selectable_BL(self) -> Tensor:
        """Bool, the tokens that may enter a rationale."""
        return self.words_BL >= 0

    def judged(self) -> "Batch":
        """The batch with all words that the task model reads, which scores from elsewhere may mark."""
        return self if self.read_BL is None else replace(self, words_BL=self.read_BL, read_BL=None)

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on another device."""
        return _each(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin(self) -> "Batch":
        """The batch in page-locked memory, so that a GPU can copy it while it computes."""
        return _each(self, lambda tensor: tensor.pin_memory())


def _each(value: _T, change: Callable[[Tensor], Tensor]) -> _T:
    """The value with every tensor in it changed."""

    def of(part: Any) -> Any:
        if isinstance(part, Tensor):
            return change(part)
        return _each(part, change) if isinstance(part, Rows | ExtractorView) else part

    return replace(value, **{name: of(getattr(value, name)) for name in value.__slots__})


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EncodedSet:
    """A data set ready for a model: examples, their tokens and their labels as numbers.

    Attributes:
        examples: in order.
        encoded: tokens for the task model.
        token_gold: float32, the human rationale at each token of `encoded`, 0 where there is none.
        has_gold: bool [N].
        label_ids: int64 [N], -1 where unknown.
        pad_id: the tokenizer's padding id.
        extractor, extractor_pad_id: tokens for an extractor with its own tokenizer, and its padding id.
        links: from each token of the task model to the extractor's tokens that share characters with it.
    """

    examples: Sequence[Example]
    encoded: Encoded
    token_gold: NDArray[np.float32]
    has_gold: NDArray[np.bool_]
    label_ids: NDArray[np.int64]
    pad_id: int
    extractor: Encoded | None = None
    extractor_pad_id: int = 0
    links: Links | None = None

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each instance's longest row, int64 [N]."""
        row_lengths = np.diff(self.encoded.row_offsets)
        return np.maximum.reduceat(row_lengths, self.encoded.example_rows[:-1]) if len(self) else row_lengths

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Tokens of each instance, of all its rows together, int64 [N]."""
        return np.diff(self.encoded.row_offsets[self.encoded.example_rows])

    @property
    def n_choices(self) -> int:
        """Rows of each instance."""
        return int(self.encoded.example_rows[1] - self.encoded.example_rows[0]) if len(self) else 1

    def shares(self, index: NDArray[np.int64], max_tokens: int) -> list[NDArray[np.int64]]:
        """The instances at `index` in batches of at most `max_tokens` tokens, padding included, longest first.

        A batch has at least one instance. Instances of equal length keep their order.
        """
        rows = self.encoded.example_rows[index][:, None] + np.arange(self.n_choices)
        widths = (self.encoded.row_offsets[rows + 1] - self.encoded.row_offsets[rows]).max(1) * self.n_choices
        order = np.argsort(-widths, kind="stable")
        shares, start = [], 0
        while start < len(order):
            end = start + max(1, max_tokens // max(1, int(widths[order[start]])))
            shares.append(index[order[start:end]])
            start = end
        return shares

    def collate(self, index: NDArray[np.int64], *, multiple: int = 1) -> Batch:
        """The instances at `index`, padded on the right to their longest row, rounded up to a multiple of `multiple`.

        A device that compiles for each new shape is faster with few widths.
        """
        n_choices = self.n_choices
        row_index = (self.encoded.example_rows[index][:, None] + np.arange(n_choices)).reshape(-1)
        place_BL, inside_BL = _places(self.encoded, row_index, multiple)
        extractor = self._extractor_view(row_index, place_BL.shape[1], multiple)
        read_BL = words_BL = _taken(self.encoded.token_words, place_BL, inside_BL, -1).astype(np.int64)
        if extractor is not None:
            words_BL = _linked_words(read_BL, extractor.target.numpy())
        return Batch(
            rows=_gather(self.encoded, place_BL, inside_BL, self.pad_id),
            words_BL=torch.from_numpy(words_BL),
            gold_BL=torch.from_numpy(_taken(self.token_gold, place_BL, inside_BL, np.float32(0))),
            has_gold_B=torch.from_numpy(np.repeat(self.has_gold[index], n_choices)),
            labels_I=torch.from_numpy(self.label_ids[index]),
            n_choices=n_choices,
            index_I=torch.from_numpy(index.astype(np.int64)),
            extractor=extractor,
            read_BL=None if np.array_equal(read_BL, words_BL) else torch.from_numpy(read_BL),
        )

    def _extractor_view(self, row_index: NDArray[np.int64], width: int, multiple: int) -> ExtractorView | None:
        if self.extractor is None or self.links is None:
            return None
        place_BL, inside_BL = _places(self.extractor, row_index, multiple)
        rows = _gather(self.extractor, place_BL, inside_BL, self.extractor_pad_id)
        target, source, weight = [], [], []
        for b, row in enumerate(row_index.tolist()):
            first, last = self.encoded.row_offsets[row : row + 2]
            bounds = self.links.offsets[first : last + 1]
            linked = slice(int(bounds[0]), int(bounds[-1]))
            target.append(b * width + np.repeat(np.arange(last - first), np.diff(bounds)))
            source.append(b * place_BL.shape[1] + self.links.sources[linked].astype(np.int64))
            weight.append(self.links.weights[linked])
        return ExtractorView(
            rows=rows,
            target=torch.from_numpy(np.concatenate(target)),
            source=torch.from_numpy(np.concatenate(source)),
            weight=torch.from_numpy(np.concatenate(weight)),
        )


def make_set(
    examples: Sequence[Example],
    encoded: Encoded,
    label_ids: NDArray[np.int64],
    pad_id: int,
    *,
    extractor: Encoded | None = None,
    extractor_pad_id: int = 0,
) -> EncodedSet:
    """A data set from its encoding: spreads gold over tokens and links two vocabularies, once."""
    rows_each = np.diff(encoded.example_rows)
    if len(np.unique(rows_each)) > 1:
        odd = int(np.flatnonzero(rows_each != rows_each[0])[0])
        raise ValueError(f"instance {examples[odd].id}: {rows_each[odd]} choices, expected {rows_each[0]} as before")
    token_gold, has_gold = _spread_gold(examples, encoded)
    return EncodedSet(
        examples=examples,
        encoded=encoded,
        token_gold=token_gold,
        has_gold=has_gold,
        label_ids=label_ids,
        pad_id=pad_id,
        extractor=extractor,
        extractor_pad_id=extractor_pad_id,
        links=None if extractor is None else _lent(link(encoded, extractor), encoded),
    )


def _spread_gold(examples: Sequence[Example], encoded: Encoded) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The rationale of each example at its tokens, 0 where there is none, and which examples have one."""
    token_gold = np.zeros(len(encoded.token_words), np.float32)
    has_gold, start = [np.zeros(0, np.bool_)], 0
    for part in windows(examples):
        known = part.gold_known & (part.selectable_words > 0)
        has_gold.append(known)
        if known.any():
            first_rows = encoded.example_rows[start : start + len(part) + 1]
            rows = encoded.row_offsets[first_rows[0] : first_rows[-1] + 1]
            tokens = slice(rows[0], rows[-1])
            words = _row_words(part, np.repeat(np.arange(len(part)), np.diff(first_rows)))
            token_gold[tokens] = _rust.words_to_tokens(*words, encoded.token_words[tokens], rows - rows[0], 0.0)
        start += len(part)
    return token_gold, np.concatenate(has_gold)


def _row_words(part: Columns, of_row: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Gold of the words of each row, 0 where none is known, and the rows' offsets; row r is of example of_row[r]."""
    n_words = part.selectable_words
    words = np.zeros(n_words.sum(), np.float32)
    words[np.repeat(part.gold_known, n_words)] = part.flat(part.gold)
    offsets = offsets_of(n_words[of_row])
    shift = np.repeat(offsets_of(n_words)[of_row] - offsets[:-1], n_words[of_row])
    return words[shift + np.arange(offsets[-1])], offsets


def _linked_words(words_BL: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """The words of tokens, -1 where the extractor, whose rows are cut sooner, sees none of a word: it has no score.

    >>> _linked_words(np.array([[-1, 0, 0, 1]]), np.array([0, 1]))
    array([[-1,  0,  0, -1]])
    """
    width = int(words_BL.max(initial=0)) + 2
    keys_BL = words_BL + 1 + np.arange(len(words_BL))[:, None] * width
    seen = np.zeros(len(words_BL) * width, dtype=np.bool_)
    seen[keys_BL.reshape(-1)[target]] = True
    return np.where(seen[keys_BL], words_BL, -1)


def _lent(links: Links, encoded: Encoded) -> Links:
    """The links, where a token without any has those of the nearest token of its word, one before it first.

    The extractor's row may be cut within a word, and its tokenizer may drop characters. Without a score of its own such
    a token would have 0, which is more than most learned scores.
    """
    each, word = np.diff(links.offsets), encoded.token_words
    linked = each > 0
    if linked[word >= 0].all():
        return links
    place, row = np.arange(len(word)), np.repeat(np.arange(len(encoded.row_offsets) - 1), np.diff(encoded.row_offsets))
    before = np.maximum.accumulate(np.where(linked, place, 0))
    after = np.minimum.accumulate(np.where(linked, place, len(word) - 1)[::-1])[::-1]
    lender = place.copy()
    for other in (after, before):
        fits = ~linked & (word >= 0) & linked[other] & (row[other] == row) & (word[other] == word)
        lender[fits] = other[fits]
    offsets = offsets_of(each[lender])
    taken = np.repeat(links.offsets[lender] - offsets[:-1], each[lender]) + np.arange(offsets[-1])
    return Links(offsets, links.sources[taken], links.weights[taken])


def _places(
    encoded: Encoded, row_index: NDArray[np.int64], multiple: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where the tokens of the rows are in the columns, [B, L], and which of these are tokens, not padding; L >= 1."""
    starts, ends = encoded.row_offsets[row_index], encoded.row_offsets[row_index + 1]
    longest = max(1, int((ends - starts).max()))
    place_BL = starts[:, None] + np.arange(-(-longest // multiple) * multiple)
    inside_BL = place_BL < ends[:, None]
    return np.where(inside_BL, place_BL, 0), inside_BL  # a row without tokens may begin behind the last


def _taken(values: NDArray[Any], place_BL: NDArray[np.int64], inside_BL: NDArray[np.bool_], fill: Any) -> NDArray[Any]:
    """The values at the places, `fill` where there is no token; there may be none in the whole data set."""
    return np.where(inside_BL, values[place_BL] if len(values) else fill, fill)


def _gather(encoded: Encoded, place_BL: NDArray[np.int64], inside_BL: NDArray[np.bool_], pad_id: int) -> Rows:
    return Rows(
        input_ids_BL=torch.from_numpy(_taken(encoded.input_ids, place_BL, inside_BL, pad_id).astype(np.int64)),
        visible_BL=torch.from_numpy(inside_BL),
        token_types_BL=torch.from_numpy(_taken(encoded.token_types, place_BL, inside_BL, 0).astype(np.int64)),
    )

"""Examples encoded for a model: their tokens, and the word that each token belongs to.

Both are compared by characters: a tokenizer gives the place of its tokens in the text, an example that of its words.
White space at the ends of a token is ignored, and a token belongs to the word it shares most characters with (the
earlier of equals), so the special symbols of a tokenizer family do not matter.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unirex import _rust
from unirex.schema import Example, Segment

EXAMPLES_AT_ONCE = 1024
"""A tokenizer's own results take a hundred times the memory of what is kept of them."""

_Spans = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Starts, ends and row offsets."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Encoded:
    """Token rows of a data set: R rows one after another, N examples.

    Attributes:
        input_ids: int32, the tokens of all rows.
        token_types: int8, which text of a pair a token belongs to, as the tokenizer's template says.
        token_words: int32, the index of the example's selectable word; -1 for every other token.
        token_starts, token_ends: int32, the characters of each token, counted in the row's texts put end to end,
            without white space at both ends; equal for special tokens and for pieces without a character of their own.
        row_offsets: int64 [R + 1], row r is `row_offsets[r]:row_offsets[r + 1]` of the columns above.
        example_rows: int64 [N + 1], example i owns rows `example_rows[i]:example_rows[i + 1]`: one, or one per choice.
        n_words: int32 [N], selectable words.
        words_cut: int32 [N], selectable words that lost all their tokens to truncation, in every row of the example.
        tokens_cut: int32 [N], tokens that truncation took from all rows of the example.
        gold_cut: int32 [N], cut words that gold marks (above 0.5); 0 without gold.
        unaligned_chars: int64 [N], characters of selectable words that no token covers even without truncation (a
            tokenizer may drop control characters, for instance).
    """

    input_ids: NDArray[np.int32]
    token_types: NDArray[np.int8]
    token_words: NDArray[np.int32]
    token_starts: NDArray[np.int32]
    token_ends: NDArray[np.int32]
    row_offsets: NDArray[np.int64]
    example_rows: NDArray[np.int64]
    n_words: NDArray[np.int32]
    words_cut: NDArray[np.int32]
    tokens_cut: NDArray[np.int32]
    gold_cut: NDArray[np.int32]
    unaligned_chars: NDArray[np.int64]


def encode(tokenizer: Any, examples: Sequence[Example], max_length: int) -> Encoded:
    """Token rows of at most `max_length` tokens for every example.

    The segments of an example are text and text pair of the tokenizer; with choices, each row holds the segment and
    one choice. Special tokens come from the tokenizer's own template. Rows that are too long lose tokens on the right,
    one by one from the longer text (from the pair where both are equal). But a text that may not be selected (a choice,
    a fixed query) stays whole next to one that may, as long as it is shorter than half of `max_length`.

    Args:
        tokenizer: a fast tokenizer (`PreTrainedTokenizerFast`).
        examples: one or two segments each; one where there are choices.
        max_length: tokens of a row, special tokens included; a ValueError if these leave no room for others.

    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> from transformers import PreTrainedTokenizerFast
    >>> backend = Tokenizer(models.WordPiece({"[UNK]": 0, "good": 1, "film": 2, "##s": 3}, unk_token="[UNK]"))
    >>> backend.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    >>> example = Example(id="a", segments=(Segment.from_words(["good", "films"]),), label=None)
    >>> encode(tokenizer, [example], max_length=8).token_words.tolist()
    [0, 1, 1]
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"tokenizer is {type(tokenizer).__name__}, expected a fast one (its offsets are needed)")
    parts: list[Encoded] = []
    # The tokenizer releases the GIL, so it works on one part of the examples while this thread reads the one before.
    with _untruncated(tokenizer.backend_tokenizer) as backend, ThreadPoolExecutor(1) as thread:
        part = _begin(thread, backend, examples[:EXAMPLES_AT_ONCE])
        for i in range(EXAMPLES_AT_ONCE, len(examples), EXAMPLES_AT_ONCE):
            following = _begin(thread, backend, examples[i : i + EXAMPLES_AT_ONCE])
            parts.append(_encode(part, max_length))
            part = following
        parts.append(_encode(part, max_length))
    return _join(parts)


class Links(NamedTuple):
    """For each target token the source tokens that share characters with it.

    Attributes:
        offsets: int64, one more than there are target tokens.
        sources: int32, source tokens counted in their row, ascending for each target.
        weights: float32, characters in common divided by the sum over the target's links, so they sum to 1.
    """

    offsets: NDArray[np.int64]
    sources: NDArray[np.int32]
    weights: NDArray[np.float32]


def link(target: Encoded, source: Encoded) -> Links:
    """Links from the tokens of one tokenizer to those of another, for the same examples in the same order.

    A target token has no link where no source token shares a character with it: a special token, or one whose text
    truncation removed from the source.
    """
    if not np.array_equal(target.example_rows, source.example_rows):
        n_target, n_source = target.example_rows[-1], source.example_rows[-1]
        raise ValueError(f"source has {n_source} rows, expected the {n_target} rows of the same examples as target")
    return Links(*_rust.link_tokens(_spans(target), _spans(source)))


@contextmanager
def _untruncated(backend: Any) -> Iterator[Any]:
    """The backend tokenizer without truncation and padding, as it was afterwards."""
    truncation, padding = backend.truncation, backend.padding
    backend.no_truncation()
    backend.no_padding()
    try:
        yield backend
    finally:
        if truncation is not None:
            backend.enable_truncation(**truncation)
        if padding is not None:
            backend.enable_padding(**padding)


class _Part(NamedTuple):
    """Examples in the tokenizer; `characters`: see `_characters`."""

    examples: Sequence[Example]
    rows: list[tuple[Segment, ...]]
    characters: tuple[_Spans, NDArray[np.uint32], NDArray[np.int64]]
    encodings: Future[list[Any]]


def _begin(thread: Executor, backend: Any, examples: Sequence[Example]) -> _Part:
    rows = [row for example in examples for row in _rows(example)]
    try:
        characters = _characters(rows)
    except UnicodeEncodeError:
        _refuse_half_characters(examples)
        raise
    texts = [row[0].text if len(row) == 1 else (row[0].text, row[1].text) for row in rows]
    return _Part(examples, rows, characters, thread.submit(backend.encode_batch, texts))


def _encode(part: _Part, max_length: int) -> Encoded:
    examples, rows, (words, text, text_offsets), encodings = part
    example_rows = _offsets(len(example.choices) or 1 for example in examples)
    tokens = _read_out(encodings.result(), rows)
    spans = (tokens.starts, tokens.ends, tokens.offsets)
    (token_words, starts, ends), uncovered = _rust.align_tokens(spans, text, text_offsets, words)
    keep, row_lengths = _truncate(rows, tokens, max_length)
    kept = slice(None) if keep.all() else keep
    first_rows = example_rows[:-1]
    n_words = np.diff(words[2])[first_rows]
    cut = _cut_words(token_words, keep, tokens.offsets, example_rows, n_words)
    word_starts = _offsets(n_words)
    words_cut = np.diff(_offsets(cut)[word_starts])
    gold_cut = np.zeros(len(examples), np.int32)
    for i in np.flatnonzero(words_cut).tolist():
        gold = examples[i].gold
        if gold is not None:
            gold_cut[i] = np.count_nonzero(cut[word_starts[i] : word_starts[i + 1]] & (gold > 0.5))
    return Encoded(
        input_ids=tokens.ids[kept],
        token_types=tokens.types[kept],
        token_words=token_words[kept],
        token_starts=starts[kept],
        token_ends=ends[kept],
        row_offsets=_offsets(row_lengths),
        example_rows=example_rows,
        n_words=n_words.astype(np.int32),
        words_cut=words_cut.astype(np.int32),
        tokens_cut=np.diff(_offsets(np.diff(tokens.offsets) - row_lengths)[example_rows]).astype(np.int32),
        gold_cut=gold_cut,
        unaligned_chars=uncovered[first_rows],
    )


def _rows(example: Example) -> list[tuple[Segment, ...]]:
    n_allowed = 1 if example.choices else 2
    if not 1 <= len(example.segments) <= n_allowed:
        expected = "1 with choices" if example.choices else "1 or 2"
        raise ValueError(f"instance {example.id}: it has {len(example.segments)} segments, expected {expected}")
    if not example.choices:
        return [example.segments]
    none = np.zeros(0, np.int64)
    return [
        (example.segments[0], Segment(text=choice, starts=none, ends=none, selectable=False))
        for choice in example.choices
    ]


def _refuse_half_characters(examples: Sequence[Example]) -> None:
    """Names the example whose text no tokenizer takes: JSON can spell half of a surrogate pair."""
    for example in examples:
        for segment in chain.from_iterable(_rows(example)):
            try:
                segment.text.encode()
            except UnicodeEncodeError as error:
                found = f"{segment.text[error.start]!a} at character {error.start}"
                raise ValueError(f"instance {example.id}: its text has {found}, expected whole characters") from None


class _Tokens(NamedTuple):
    """Tokens of all rows; `side` = which text of the row, -1 for special tokens. Places count in the row's texts."""

    ids: NDArray[np.int32]
    types: NDArray[np.int8]
    side: NDArray[np.int8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]


def _read_out(encodings: list[Any], rows: list[tuple[Segment, ...]]) -> _Tokens:
    offsets = _offsets(len(encoding) for encoding in encodings)
    n = int(offsets[-1])

    def column(name: str, dtype: type[np.signedinteger[Any]]) -> NDArray[Any]:
        return np.fromiter(chain.from_iterable(getattr(encoding, name) for encoding in encodings), dtype, n)

    places = chain.from_iterable(chain.from_iterable(encoding.offsets for encoding in encodings))
    starts, ends = np.ascontiguousarray(np.fromiter(places, np.int64, 2 * n).reshape(n, 2).T)
    sides = chain.from_iterable(encoding.sequence_ids for encoding in encodings)
    side = np.fromiter(map({None: -1, 0: 0, 1: 1}.__getitem__, sides), np.int8, n)
    length_of_first = np.fromiter((len(row[0].text) for row in rows), np.int64, len(rows))
    shift = np.where(side == 1, np.repeat(length_of_first, np.diff(offsets)), 0)
    starts, ends = np.where(side < 0, 0, starts + shift), np.where(side < 0, 0, ends + shift)
    return _Tokens(column("ids", np.int32), column("type_ids", np.int8), side, starts, ends, offsets)


def _characters(rows: list[tuple[Segment, ...]]) -> tuple[_Spans, NDArray[np.uint32], NDArray[np.int64]]:
    """Spans of the selectable words, the texts of the rows as code points, and the row offsets of the texts."""
    segments = [segment for row in rows for segment in row]
    row_of_segment = _offsets(map(len, rows))
    text = np.frombuffer("".join(segment.text for segment in segments).encode("utf-32-le"), "<u4")
    ends_of_text = _offsets(len(segment.text) for segment in segments)
    text_offsets = ends_of_text[row_of_segment]
    base = ends_of_text[:-1] - np.repeat(text_offsets[:-1], np.diff(row_of_segment))
    word_ends = _offsets(len(segment.starts) if segment.selectable else 0 for segment in segments)
    shift = np.repeat(base, np.diff(word_ends))
    none, chosen = np.zeros(0, np.int64), [segment for segment in segments if segment.selectable]
    starts = np.concatenate([none, *(segment.starts for segment in chosen)]) + shift
    ends = np.concatenate([none, *(segment.ends for segment in chosen)]) + shift
    return (starts, ends, word_ends[row_of_segment]), text.astype(np.uint32, copy=False), text_offsets


def _truncate(
    rows: list[tuple[Segment, ...]], tokens: _Tokens, max_length: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which tokens stay, and how many in each row."""
    lengths = np.diff(tokens.offsets)
    keep = np.ones(len(tokens.ids), np.bool_)
    for i in np.flatnonzero(lengths > max_length).tolist():
        side = tokens.side[tokens.offsets[i] : tokens.offsets[i + 1]]
        places = [np.flatnonzero(side == text) for text in (0, 1)]
        n_special = len(side) - len(places[0]) - len(places[1])
        if n_special >= max_length:
            raise ValueError(f"max_length is {max_length}, expected more than the {n_special} special tokens of a row")
        fixed = {text for text, segment in enumerate(rows[i]) if not segment.selectable}
        whole = fixed.pop() if len(fixed) == 1 and len(rows[i]) == 2 else None
        sizes = _share(len(places[0]), len(places[1]), max_length - n_special, whole, max_length)
        for of_text, size in zip(places, sizes, strict=True):
            keep[tokens.offsets[i] + of_text[size:]] = False
        lengths[i] = max_length
    return keep, lengths


def _share(first: int, second: int, room: int, whole: int | None, max_length: int) -> tuple[int, int]:
    """Tokens left to each text of a row that is too long; `whole` is the text to spare."""
    if whole == 0 and 2 * first < max_length:
        return min(first, room), max(room - first, 0)
    if whole == 1 and 2 * second < max_length:
        return max(room - second, 0), min(second, room)
    first = min(first, max(room - second, (room + 1) // 2))
    return first, room - first


def _cut_words(
    token_words: NDArray[np.int32],
    keep: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    example_rows: NDArray[np.int64],
    n_words: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """The words of all examples that truncation took from every row."""
    had, has = np.zeros(n_words.sum(), np.bool_), np.zeros(n_words.sum(), np.bool_)
    if keep.all():
        return had
    first_word = np.repeat(np.cumsum(n_words) - n_words, np.diff(offsets[example_rows]))
    inside = token_words >= 0
    words = first_word + token_words
    had[words[inside]] = True
    has[words[inside & keep]] = True
    return had & ~has


def _join(parts: list[Encoded]) -> Encoded:
    columns: dict[str, NDArray[Any]] = {}
    for field in fields(Encoded):
        arrays = [getattr(part, field.name) for part in parts]
        if field.name in {"row_offsets", "example_rows"}:
            bases = _offsets(array[-1] for array in arrays)[:-1]
            arrays = [arrays[0][:1], *(array[1:] + base for array, base in zip(arrays, bases, strict=True))]
        columns[field.name] = np.concatenate(arrays)
    return Encoded(**columns)


def _spans(encoded: Encoded) -> _Spans:
    return encoded.token_starts.astype(np.int64), encoded.token_ends.astype(np.int64), encoded.row_offsets


def _offsets(lengths: Iterable[Any]) -> NDArray[np.int64]:
    ends: NDArray[np.int64] = np.cumsum(np.fromiter(chain([0], lengths), np.int64))
    return ends

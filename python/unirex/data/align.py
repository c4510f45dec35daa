"""Examples encoded for a model: their tokens, and the word that each token belongs to.

Both are compared by characters: a tokenizer gives the place of its tokens in the text, an example that of its words.
White space at the ends of a token is ignored, and a token belongs to the word it shares most characters with (the
earlier of equals), so the special symbols of a tokenizer family do not matter.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unirex import _rust
from unirex.data.encoded import Encoded, Joined
from unirex.data.example_columns import Columns, code_points, offsets_of
from unirex.data.known_words import KnownWords, WordTokens
from unirex.data.store import windows
from unirex.schema import Example

EXAMPLES_AT_ONCE = 1024
"""A tokenizer's own results take a hundred times the memory of what is kept of them."""
_Spans = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Starts, ends and row offsets."""


def encode(tokenizer: Any, examples: Sequence[Example], max_length: int, folder: Path | None = None) -> Encoded:
    """Token rows of at most `max_length` tokens for every example.

    The segments of an example are text and text pair of the tokenizer; with choices, each row holds the segment and
    one choice. Special tokens come from the tokenizer's own template. Rows that are too long lose tokens on the right,
    one by one from the longer text (from the pair where both are equal). But a text that may not be selected (a choice,
    a fixed query) stays whole next to one that may, as long as it is shorter than half of `max_length`.

    Args:
        tokenizer: a fast tokenizer (`PreTrainedTokenizerFast`).
        examples: one or two segments each; one where there are choices.
        max_length: tokens of a row, special tokens included; a ValueError if these leave no room for others.
        folder: where the columns of a large data set lie, in files that are gone after use; None = as `Spool`.

    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> from transformers import PreTrainedTokenizerFast
    >>> backend = Tokenizer(models.WordPiece({"[UNK]": 0, "good": 1, "film": 2, "##s": 3}, unk_token="[UNK]"))
    >>> backend.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    >>> from unirex.schema import Segment
    >>> example = Example(id="a", segments=(Segment.from_words(["good", "films"]),), label=None)
    >>> encode(tokenizer, [example], max_length=8).token_words.tolist()
    [0, 1, 1]
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"tokenizer is {type(tokenizer).__name__}, expected a fast one (its offsets are needed)")
    joined = Joined(folder)
    # The tokenizer releases the GIL, so it works on one part of the examples while this thread reads the one before.
    with _untruncated(tokenizer.backend_tokenizer) as backend, ThreadPoolExecutor(1) as thread:
        reader = _Reader(backend, learn=len(examples) > EXAMPLES_AT_ONCE)
        waiting: _Part | None = None
        for columns in windows(examples, EXAMPLES_AT_ONCE):
            following = _begin(thread, reader, columns)
            if waiting is not None:
                joined.add(_encode(waiting, reader, max_length))
            waiting = following
        assert waiting is not None
        joined.add(_encode(waiting, reader, max_length))
    return joined.finish()


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


class _Text(NamedTuple):
    """The rows that a tokenizer takes, R of them with one or two texts each.

    Attributes:
        texts: of all rows, one after another.
        row_texts: int64 [R + 1], where the texts of each row lie.
        selectable: bool, whether the words of a text may be selected.
        words: the selectable words of each row, counted in its texts put end to end.
        points, offsets: the characters of all rows, and where each row begins.
        example_rows: int64 [N + 1], the rows of each example.
    """

    texts: list[str]
    row_texts: NDArray[np.int64]
    selectable: NDArray[np.bool_]
    words: _Spans
    points: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    example_rows: NDArray[np.int64]


class _Part(NamedTuple):
    """Examples in the tokenizer."""

    columns: Columns
    text: _Text
    made: "Future[WordTokens | list[Any]]"


def _begin(thread: Executor, reader: "_Reader", columns: Columns) -> _Part:
    text = _text_of(columns)
    return _Part(columns, text, thread.submit(reader.tokenize, text))


def _encode(part: _Part, reader: "_Reader", max_length: int) -> Encoded:
    columns, text, made = part
    tokens = reader.read(made.result(), text)
    spans = (tokens.starts, tokens.ends, tokens.offsets)
    token_words, starts, ends = _rust.align_tokens(spans, text.points, text.offsets, text.words)
    keep, row_lengths = _truncate(text, tokens, max_length)
    kept = slice(None) if keep.all() else keep
    first_rows = text.example_rows[:-1]
    n_words = np.diff(text.words[2])[first_rows]
    cut = _cut_words(token_words, keep, tokens.offsets, text.example_rows, n_words)
    word_starts = offsets_of(n_words)
    words_cut = np.diff(offsets_of(cut)[word_starts])
    gold_cut = np.zeros(len(columns), np.int32)
    gold, bounds = columns.gold
    for i in np.flatnonzero((words_cut > 0) & columns.gold_known).tolist():
        marked = gold[bounds[i] : bounds[i + 1]] > 0.5
        gold_cut[i] = np.count_nonzero(cut[word_starts[i] : word_starts[i + 1]] & marked)
    return Encoded(
        input_ids=tokens.ids[kept],
        token_types=tokens.types[kept],
        token_words=token_words[kept],
        token_starts=starts[kept],
        token_ends=ends[kept],
        row_offsets=offsets_of(row_lengths),
        example_rows=text.example_rows,
        words_cut=words_cut.astype(np.int32),
        tokens_cut=np.diff(offsets_of(np.diff(tokens.offsets) - row_lengths)[text.example_rows]).astype(np.int32),
        gold_cut=gold_cut,
    )


def _text_of(columns: Columns) -> _Text:
    """The rows of examples: their texts, or with choices the text and one choice each."""
    n_texts, n_choices = columns.lengths("text"), columns.lengths("choice")
    _check_texts(columns, n_texts, n_choices)
    texts, selectable = columns.flat_texts("text"), columns.flat(columns.selectable).astype(np.bool_)
    n_words = columns.flat(columns.n_words) * selectable
    chosen = np.repeat(selectable, columns.flat(columns.n_words))
    starts, ends = (columns.flat(values)[chosen] for values in (columns.starts, columns.ends))
    row_texts, example_rows = offsets_of(n_texts), np.arange(len(columns) + 1)
    if n_choices.any():
        # One row a choice: the text of the example again, and behind it the choice, of which no word is selectable.
        rows_each, word_offsets = np.maximum(n_choices, 1), offsets_of(n_words)
        example_rows = offsets_of(rows_each)
        texts, order = _with_choices(texts, columns.flat_texts("choice"), n_texts, n_choices)
        of_text = [slice(*word_offsets[place : place + 2]) if place >= 0 else slice(0) for place in order.tolist()]
        starts, ends = (np.concatenate([values[:0], *(values[at] for at in of_text)]) for values in (starts, ends))
        row_texts = offsets_of(np.repeat(n_texts + (n_choices > 0), rows_each))
        n_words = np.where(order < 0, 0, n_words[order])
        selectable = np.where(order < 0, False, selectable[order])
    points, ends_of_texts = _whole_points(columns, texts)
    offsets = ends_of_texts[row_texts]
    shift = np.repeat(ends_of_texts[:-1] - np.repeat(offsets[:-1], np.diff(row_texts)), n_words)
    words = (starts + shift, ends + shift, offsets_of(n_words)[row_texts])
    return _Text(texts, row_texts, selectable, words, points, offsets, example_rows)


def _with_choices(
    texts: list[str], choices: list[str], n_texts: NDArray[np.int64], n_choices: NDArray[np.int64]
) -> tuple[list[str], NDArray[np.int64]]:
    """The texts of all rows, and the place of each among the texts of the examples, -1 for a choice."""
    out: list[str] = []
    order: list[int] = []
    text = choice = 0
    for own, several in zip(n_texts.tolist(), n_choices.tolist(), strict=True):
        for answer in choices[choice : choice + several]:
            out += [texts[text], answer]
            order += [text, -1]
        if not several:
            out += texts[text : text + own]
            order += range(text, text + own)
        text, choice = text + own, choice + several
    return out, np.array(order, np.int64)


def _check_texts(columns: Columns, n_texts: NDArray[np.int64], n_choices: NDArray[np.int64]) -> None:
    allowed = np.where(n_choices > 0, 1, 2)
    for i in np.flatnonzero((n_texts < 1) | (n_texts > allowed))[:1].tolist():
        expected = "1 with choices" if n_choices[i] else "1 or 2"
        name = columns.texts_of("id")[i]
        raise ValueError(f"instance {name}: it has {n_texts[i]} segments, expected {expected}")


def _whole_points(columns: Columns, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The characters of texts; a text that no tokenizer takes is named (JSON can spell half of a surrogate pair)."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        for row in range(len(columns)):
            example = columns.example(row)
            for text in (*(segment.text for segment in example.segments), *example.choices):
                try:
                    text.encode()
                except UnicodeEncodeError as error:
                    found = f"{text[error.start]!a} at character {error.start}"
                    raise ValueError(
                        f"instance {example.id}: its text has {found}, expected whole characters"
                    ) from None
        raise
    return code_points(texts)


class _Tokens(NamedTuple):
    """Tokens of all rows; `sides` = which text of a row each of its tokens belongs to, -1 for special tokens.

    Places count in the row's texts.
    """

    ids: NDArray[np.int32]
    types: NDArray[np.int8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sides: Callable[[int], NDArray[np.int8]]


_SIDE = {None: -1, 0: 0, 1: 1}
"""The text that a token belongs to; -1 for special tokens."""


class _Reader:
    """Runs a tokenizer and takes numbers out of its results, leaving out what it knows: each costs as much as aligning.

    The template of a tokenizer gives the special tokens and the types of a single text, whatever the text is. `learn`
    says whether there are so many texts that remembering words pays.
    """

    def __init__(self, backend: Any, *, learn: bool) -> None:
        self._backend = backend
        self._typed = any(backend.encode("a b").type_ids)
        self._known = KnownWords.of(backend) if learn else None

    def tokenize(self, text: _Text) -> WordTokens | list[Any]:
        """The tokens of rows, or the tokenizer's own results."""
        pairs = np.diff(text.row_texts) == 2
        if self._known is not None and not pairs.any():
            return self._known.tokens(text.texts)
        at = zip(text.row_texts[:-1].tolist(), pairs.tolist(), strict=True)
        texts = text.texts
        rows = [(texts[first], texts[first + 1]) if pair else texts[first] for first, pair in at]
        encodings: list[Any] = self._backend.encode_batch(rows)
        return encodings

    def read(self, made: WordTokens | list[Any], text: _Text) -> _Tokens:
        """The tokens of rows."""
        if isinstance(made, WordTokens):
            return _Tokens(made.ids, np.zeros(len(made.ids), np.int8), made.starts, made.ends, made.offsets, made.sides)
        return self._read(made, text)

    def _read(self, encodings: list[Any], text: _Text) -> _Tokens:
        offsets = offsets_of(map(len, encodings))
        n = int(offsets[-1])
        pairs = np.diff(text.row_texts) == 2
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32, n)
        types = np.zeros(n, np.int8)
        if self._typed or pairs.any():
            types = np.fromiter(chain.from_iterable(encoding.type_ids for encoding in encodings), np.int8, n)
        places = chain.from_iterable(chain.from_iterable(encoding.offsets for encoding in encodings))
        starts, ends = np.ascontiguousarray(np.fromiter(places, np.int64, 2 * n).reshape(n, 2).T)
        if pairs.any():
            sides = chain.from_iterable(encoding.sequence_ids for encoding in encodings)
            side = np.fromiter(map(_SIDE.__getitem__, sides), np.int8, n)
            length_of_first = np.fromiter((len(text.texts[i]) for i in text.row_texts[:-1].tolist()), np.int64)
            shift = np.where(side == 1, np.repeat(length_of_first, np.diff(offsets)), 0)
            starts, ends = np.where(side < 0, 0, starts + shift), np.where(side < 0, 0, ends + shift)
        return _Tokens(
            ids,
            types,
            starts,
            ends,
            offsets,
            lambda row: np.array([_SIDE[n] for n in encodings[row].sequence_ids], np.int8),
        )


def _truncate(text: _Text, tokens: _Tokens, max_length: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which tokens stay, and how many in each row."""
    lengths = np.diff(tokens.offsets)
    keep = np.ones(len(tokens.ids), np.bool_)
    for i in np.flatnonzero(lengths > max_length).tolist():
        side = tokens.sides(i)
        places = [np.flatnonzero(side == number) for number in (0, 1)]
        n_special = len(side) - len(places[0]) - len(places[1])
        if n_special >= max_length:
            raise ValueError(f"max_length is {max_length}, expected more than the {n_special} special tokens of a row")
        selectable = text.selectable[text.row_texts[i] : text.row_texts[i + 1]].tolist()
        whole = selectable.index(False) if sorted(selectable) == [False, True] else None
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


def _spans(encoded: Encoded) -> _Spans:
    return encoded.token_starts.astype(np.int64), encoded.token_ends.astype(np.int64), encoded.row_offsets

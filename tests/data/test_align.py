import contextlib
import os
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import example as with_example
from hypothesis import strategies as st

from reference import align as slow
from reference.families import BUILD, tokenizer
from unirex import _rust
from unirex._rust import words_to_tokens
from unirex.data import align, collate
from unirex.data.align import encode, link
from unirex.schema import Example, Segment

FAMILIES = list(BUILD)
f32, i32, i64 = np.float32, np.int32, np.int64

STRANGE = [
    "e\u0301",
    "👩‍👩‍👧",
    "👍🏽",
    "ﬁne",
    "\uff21\uff42",
    "日本語",
    "\u200b",
    "\u0007x",
    "½",
    "don't",
    "<s>",
    "▁",
    "Ġ",
    "한국어",
    "\u0301",
    "Ⅷ",
    "ﷺ",
    "\ufeff",
]
words_of_text = st.lists(
    st.one_of(
        st.sampled_from([*STRANGE, "the", "film", "quiet", "miracle"]),
        st.text(min_size=1, max_size=6).filter(lambda w: w == "".join(w.split())),
        st.text("abcde", min_size=1, max_size=12),
    ),
    min_size=1,
    max_size=12,
).map(lambda words: [w.encode("utf-8", "ignore").decode() or "a" for w in words])


def example(words, gold=None, **more):
    return Example(id="x", segments=(Segment.from_words(words),), label=None, gold=gold, **more)


def spans(rows):
    """Starts, ends and row offsets of rows of (start, end)."""
    flat = [span for row in rows for span in row]
    starts, ends = (np.array([span[side] for span in flat], i64) for side in (0, 1))
    return starts, ends, np.cumsum([0, *map(len, rows)], dtype=i64)


def align_rows(rows):
    """`align_tokens` on rows of (text, tokens, words)."""
    text = np.array([ord(c) for row in rows for c in row[0]], np.uint32)
    text_offsets = np.cumsum([0, *(len(row[0]) for row in rows)], dtype=i64)
    return _rust.align_tokens(spans([r[1] for r in rows]), text, text_offsets, spans([r[2] for r in rows]))


def places_in(length, **size):
    place = st.integers(0, length)
    return st.lists(st.tuples(place, place).map(lambda p: (min(p), max(p))), **size)


def apart(draw, length):
    cuts = draw(st.lists(st.integers(0, length), max_size=12, unique=True).map(sorted))
    return list(zip(cuts[::2], cuts[1::2], strict=False))


@st.composite
def rows_of_spans(draw):
    text = draw(st.text(st.sampled_from("ab \t\n\x1c\u2003é"), max_size=20))
    tokens = draw(places_in(len(text), max_size=10))
    return text, draw(st.sampled_from([tokens, sorted(tokens)])), apart(draw, len(text))


@given(st.lists(rows_of_spans(), max_size=4))
def test_align_tokens(rows):
    found = align_rows(rows)
    expected = [slow.align(*row) for row in rows]
    assert found[0].tolist() == [w for row in expected for w in row[0]]
    for (start, end), (a, b) in zip(found[1:].T.tolist(), [p for row in expected for p in row[1]], strict=True):
        assert (start, end) == (a, b) or start == end == a or (start == end and a == b)


@given(
    st.integers(0, 15).flatmap(
        lambda n: st.lists(st.tuples(places_in(n, max_size=8), places_in(n, max_size=8)), max_size=3)
    )
)
def test_link_tokens(rows):
    offsets, sources, weights = _rust.link_tokens(spans([r[0] for r in rows]), spans([r[1] for r in rows]))
    expected = [shares for row in rows for shares in slow.link(*row)]
    assert len(offsets) == len(expected) + 1
    for start, end, shares in zip(offsets[:-1], offsets[1:], expected, strict=True):
        assert dict(zip(sources[start:end].tolist(), weights[start:end].tolist(), strict=True)) == pytest.approx(shares)
        assert sources[start:end].tolist() == sorted(shares)


@st.composite
def rows_of_words(draw):
    """Rows of (words of the tokens, values of the words)."""
    rows = []
    for _ in range(draw(st.integers(0, 4))):
        values = draw(st.lists(st.floats(-1e6, 1e6, width=32), max_size=5))
        rows.append((draw(st.lists(st.integers(-1, len(values) - 1), max_size=10)), values))
    return rows


@given(rows_of_words())
def test_a_token_has_the_value_of_its_word(rows):
    words, values = (np.array([x for row in rows for x in row[i]], kind) for i, kind in ((0, i32), (1, f32)))
    offsets, word_offsets = (np.cumsum([0, *(len(row[i]) for row in rows)], dtype=i64) for i in (0, 1))
    expected = [-7.0 if word < 0 else of_words[word] for of_tokens, of_words in rows for word in of_tokens]
    np.testing.assert_array_equal(words_to_tokens(values, word_offsets, words, offsets, -7.0), np.array(expected, f32))


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=60)
@given(words=words_of_text, data=st.data())
def test_every_family_agrees_with_the_slow_way(family, words, data):
    gold = np.array(data.draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words))), f32)
    found = encode(tokenizer(family), [example(words, gold)], 10_000)
    segment = Segment.from_words(words)
    plain = tokenizer(family)(segment.text, return_offsets_mapping=True, return_special_tokens_mask=True)
    assert found.input_ids.tolist() == plain["input_ids"]
    spans_of_words = list(zip(segment.starts.tolist(), segment.ends.tolist(), strict=True))
    tokens = [
        (0, 0) if special else place
        for special, place in zip(plain["special_tokens_mask"], plain["offset_mapping"], strict=True)
    ]
    word_of, places = slow.align(segment.text, tokens, spans_of_words)
    assert found.token_words.tolist() == word_of
    assert (found.words_cut.tolist(), found.gold_cut.tolist()) == ([0], [0])
    covered = {i for start, end in places for i in range(start, end)}
    straddles = any(
        len({w for w in slow.owners(segment.text, spans_of_words)[a:b] if w is not None}) > 1 for a, b in places
    )
    if not straddles:
        reached = {w for w, (start, end) in enumerate(spans_of_words) if covered & set(range(start, end))}
        assert set(found.token_words.tolist()) - {-1} == reached
        word_offsets = np.array([0, len(words)], i64)
        on_tokens = words_to_tokens(gold, word_offsets, found.token_words, found.row_offsets, 0.0)
        assert all((on_tokens[found.token_words == w] == gold[w]).all() for w in reached)


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_words_all_get_tokens(family):
    words = ["The", "film", "is", "quiet", ",", "don't", "you", "naïve", "“fool”", "?", "映画", "👍🏽"]
    found = encode(tokenizer(family), [example(words)], 512)
    assert set(found.token_words.tolist()) == {-1, *range(len(words))}
    inside = found.token_words[found.token_words >= 0]
    assert (np.diff(inside) >= 0).all()


@settings(max_examples=40)
@given(words_of_text, st.sampled_from(FAMILIES), st.sampled_from(FAMILIES), st.integers(4, 60))
def test_link_between_two_vocabularies(words, one, other, max_length):
    target, source = (encode(tokenizer(family), [example(words)] * 2, max_length) for family in (one, other))
    links = link(target, source)
    assert len(links.offsets) == len(target.input_ids) + 1
    totals = np.add.reduceat(np.append(links.weights, 0), links.offsets[:-1]) * (np.diff(links.offsets) > 0)
    np.testing.assert_allclose(totals[np.diff(links.offsets) > 0], 1, rtol=1e-6)
    n = len(target.input_ids) // 2
    half = links.offsets[n]
    assert links.sources[:half].tolist() == links.sources[half:].tolist()
    same = link(target, target)
    own = same.offsets[:-1][target.token_starts < target.token_ends]
    assert (same.weights[own] > 0).all()


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 50), st.sampled_from([None, 0, 1]), st.integers(1, 60))
@with_example(6, 20, 10, 0, 12)  # half of the row is not less than half
@with_example(20, 6, 10, 1, 12)
def test_share_of_a_row_that_is_too_long(first, second, room, whole, max_length):
    assume(first + second > room)
    assert align._share(first, second, room, whole, max_length) == slow.truncate(first, second, room, whole, max_length)


@settings(max_examples=50)
@given(words_of_text, words_of_text, st.integers(5, 40), st.booleans(), st.booleans(), st.sampled_from(FAMILIES))
def test_truncation_takes_the_right_end(a, b, max_length, a_selectable, b_selectable, family):
    segments = (Segment.from_words(a, selectable=a_selectable), Segment.from_words(b, selectable=b_selectable))
    n = (len(a) if a_selectable else 0) + (len(b) if b_selectable else 0)
    pair = Example(id="x", segments=segments, label=None, gold=np.ones(n, f32))
    full, found = encode(tokenizer(family), [pair], 10_000), encode(tokenizer(family), [pair], max_length)
    plain = tokenizer(family)(segments[0].text, segments[1].text)
    assert full.input_ids.tolist() == plain["input_ids"]
    assert full.token_types.tolist() == plain.get("token_type_ids", full.token_types.tolist())
    sides = [-1 if s is None else s for s in plain.sequence_ids(0)]
    room = max_length - sides.count(-1)
    whole = {(True, False): 1, (False, True): 0}.get((a_selectable, b_selectable))
    sizes = [sides.count(0), sides.count(1)]
    if sum(sizes) > room:
        sizes = slow.truncate(*sizes, room, whole, max_length)
    seen, kept = [0, 0], []
    for i, side in enumerate(sides):
        if side >= 0:
            seen[side] += 1
        if side < 0 or seen[side] <= sizes[side]:
            kept.append(i)
    for name in ["input_ids", "token_types", "token_words", "token_starts", "token_ends"]:
        assert getattr(found, name).tolist() == getattr(full, name)[kept].tolist(), name
    lost = set(full.token_words.tolist()) - set(found.token_words.tolist())
    assert found.words_cut.tolist() == found.gold_cut.tolist() == [len(lost)]


@pytest.mark.parametrize("family", FAMILIES)
def test_one_text_is_cut_as_the_tokenizer_would(family):
    words = ["the", "film", "is", "quiet"] * 30
    found = encode(tokenizer(family), [example(words)], 20)
    assert found.input_ids.tolist() == tokenizer(family)(" ".join(words), truncation=True, max_length=20)["input_ids"]


def test_choices_make_rows_and_a_word_is_cut_when_no_row_has_it():
    words = ["the", "film", "is", "quiet", "the", "film"]
    choices = ("the", "the film is a quiet", "")
    gold = np.array([0, 0, 0, 0, 0, 1], f32)
    asked = [replace(example(words, gold), choices=choices, choice_labels=("A", "B", "C")), example(["film"])]
    found = encode(tokenizer("wordpiece"), asked, 10_000)
    assert found.example_rows.tolist() == [0, 3, 4]
    for row, choice in enumerate(choices):
        ids = found.input_ids[found.row_offsets[row] : found.row_offsets[row + 1]]
        assert ids.tolist() == tokenizer("wordpiece")([" ".join(words)], [choice])["input_ids"][0]
    rows = np.split(found.token_words, found.row_offsets[1:-1])
    n_first = [(row >= 0).sum() for row in rows]
    assert n_first[0] == n_first[1] == n_first[2]
    length = int(found.row_offsets[1]) - 1
    cut = encode(tokenizer("wordpiece"), asked, length)
    widths = np.diff(cut.row_offsets)
    assert (widths <= length).all()
    shown = [set(row.tolist()) for row in np.split(cut.token_words, cut.row_offsets[1:-1])[:3]]
    assert shown[2] == {-1, *range(6)}
    assert len(shown[1]) < 7
    assert (cut.words_cut.tolist(), cut.gold_cut.tolist()) == ([0, 0], [0, 0])
    shorter = encode(tokenizer("wordpiece"), asked, length - 3)
    lost = set(range(6)) - set().union(
        *(row.tolist() for row in np.split(shorter.token_words, shorter.row_offsets[1:-1])[:3])
    )
    assert lost
    assert (shorter.words_cut.tolist(), shorter.gold_cut.tolist()) == ([len(lost), 0], [int(5 in lost), 0])


def test_gold_plays_no_part_in_truncation():
    words = ["film"] * 50
    marked = encode(tokenizer("roberta"), [example(words, np.eye(1, 50, 49, dtype=f32)[0])], 12)
    unmarked = encode(tokenizer("roberta"), [example(words)], 12)
    assert marked.token_words.tolist() == unmarked.token_words.tolist()
    assert (marked.gold_cut.tolist(), unmarked.gold_cut.tolist()) == ([1], [0])
    soft = np.where(np.arange(50) < 49, 0.5, 0.6).astype(f32)  # marked is what more than half have marked
    assert encode(tokenizer("roberta"), [example(words, soft)], 12).gold_cut.tolist() == [1]
    assert marked.words_cut.tolist() == unmarked.words_cut.tolist()


def test_batches_join(monkeypatch):
    examples = [example(["film"] * n) for n in (1, 5, 2, 40, 3)]
    at_once = encode(tokenizer("unigram"), examples, 16)
    monkeypatch.setattr(align, "EXAMPLES_AT_ONCE", 2)
    in_parts = encode(tokenizer("unigram"), examples, 16)
    for field in fields(at_once):
        whole, joined = getattr(at_once, field.name), getattr(in_parts, field.name)
        assert whole.dtype == joined.dtype, field.name
        assert whole.tolist() == joined.tolist(), field.name
    types = [str(getattr(at_once, f.name).dtype) for f in fields(at_once)]
    assert types == ["int32", "int8", *["int32"] * 3, *["int64"] * 2, *["int32"] * 3]


def test_nothing_to_encode():
    found = encode(tokenizer("wordpiece"), [], 16)
    assert (found.row_offsets.tolist(), found.example_rows.tolist(), found.input_ids.tolist()) == ([0], [0], [])
    no_words = encode(tokenizer("wordpiece"), [example([])], 16)
    assert no_words.token_words.tolist() == [-1, -1]


def test_a_tokenizer_comes_back_as_it_went():
    own = tokenizer("byte-fallback")
    own.backend_tokenizer.enable_truncation(7, stride=2)
    own.backend_tokenizer.enable_padding(length=9)
    before = own.backend_tokenizer.to_str()
    try:
        assert len(encode(own, [example(["film"] * 9)], 512).input_ids) > 9
        assert own.backend_tokenizer.to_str() == before
    finally:
        own.backend_tokenizer.no_truncation()
        own.backend_tokenizer.no_padding()


def test_bad_examples_and_tokenizers():
    with pytest.raises(ValueError, match="tokenizer is object, expected a fast one"):
        encode(object(), [example(["film"])], 16)
    with pytest.raises(ValueError, match="max_length is 2, expected more than the 2 special tokens of a row"):
        encode(tokenizer("wordpiece"), [example(["film"])], 2)
    segment = Segment.from_words(["film"])
    with pytest.raises(ValueError, match="instance x: it has 3 segments, expected 1 or 2"):
        encode(tokenizer("wordpiece"), [replace(example([]), segments=(segment,) * 3)], 16)
    with pytest.raises(ValueError, match="instance x: it has 2 segments, expected 1 with choices"):
        encode(tokenizer("wordpiece"), [replace(example([]), segments=(segment,) * 2, choices=("a",))], 16)
    with pytest.raises(ValueError, match="source has 1 rows, expected the 2 rows of the same examples"):
        link(*(encode(tokenizer("roberta"), [example(["film"])] * n, 16) for n in (2, 1)))
    half = Segment.from_words(["film", "\ud83d"])
    with pytest.raises(
        ValueError, match=r"^instance x: its text has '\\ud83d' at character 5, expected whole characters$"
    ):
        encode(tokenizer("wordpiece"), [example(["film"]), replace(example([]), segments=(segment, half))], 16)
    beyond = replace(segment, ends=np.array([9], i64))
    with pytest.raises(ValueError, match=r"row 0: words\[0\] is 9, expected an end inside the text"):
        encode(tokenizer("wordpiece"), [replace(example([]), segments=(beyond,))], 16)


def test_hostile_places_name_row_and_place():
    text, offsets, word = np.array([97] * 4, np.uint32), np.array([0, 2, 4], i64), spans([[], [(0, 1)]])
    with pytest.raises(ValueError, match=r"row 1: tokens\[0\] is 3, expected an end inside the text"):
        _rust.align_tokens(spans([[], [(0, 3)]]), text, offsets, word)
    with pytest.raises(ValueError, match=r"row 1: tokens\[0\] is -1, expected a start of 0 or more"):
        _rust.align_tokens(spans([[], [(-1, 1)]]), text, offsets, word)
    with pytest.raises(ValueError, match=r"row 0: tokens\[1\] is 0, expected an end no lower than the start"):
        _rust.align_tokens(spans([[(0, 1), (1, 0)], []]), text, offsets, word)
    with pytest.raises(ValueError, match=r"row 0: words\[1\] is 0, expected a start no lower than the end of the one"):
        _rust.align_tokens(spans([[], []]), text, offsets, spans([[(0, 1), (0, 2)], []]))
    with pytest.raises(ValueError, match=r"row 0: words\[0\] is 1, expected an end above the start"):
        _rust.align_tokens(spans([[], []]), text, offsets, spans([[(1, 1)], []]))
    with pytest.raises(ValueError, match="tokens has length 1, expected 2"):
        _rust.align_tokens(spans([[(0, 1)]]), text, offsets, word)
    with pytest.raises(TypeError, match="tokens is int32 of 1"):
        _rust.align_tokens((i32([0]), i64([1]), i64([0, 1])), text, offsets, word)
    with pytest.raises(ValueError, match=r"row 0: words\[0\] is 5, expected a word of the row"):
        words_to_tokens(f32([1]), i64([0, 1]), i32([5]), i64([0, 1]), 0.0)


numbers = st.lists(st.one_of(st.integers(-3, 12), st.sampled_from([2**31, 2**62, -(2**63), 2**63 - 1])), max_size=6)


@settings(max_examples=300)
@given(st.lists(numbers, min_size=9, max_size=9), st.lists(st.integers(0, 2**32 - 1), max_size=8))
def test_anything_goes_in_but_only_errors_come_out(arrays, text):
    a = [np.array(x, i64) for x in arrays]
    calls = [
        lambda: _rust.align_tokens((a[0], a[1], a[2]), np.array(text, np.uint32), a[3], (a[4], a[5], a[6])),
        lambda: _rust.link_tokens((a[0], a[1], a[2]), (a[4], a[5], a[6])),
        lambda: _rust.words_to_tokens(a[0].astype(f32), a[1], a[2].astype(i32), a[3], 0.0),
        lambda: _rust.ragged_rationales(a[0].astype(f32), a[1], None, [0.5]),
    ]
    for call in calls:
        with contextlib.suppress(ValueError):
            call()


@given(st.integers(0, 3))
def test_threads_change_nothing(seed):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(400):
        n = int(rng.integers(0, 200))
        cuts = np.sort(rng.choice(n + 1, size=min(n, 2 * int(rng.integers(0, 40))) // 2 * 2, replace=False))
        starts = np.sort(rng.integers(0, n + 1, 120))
        tokens = list(zip(starts.tolist(), np.minimum(starts + rng.integers(0, 6, 120), n).tolist(), strict=True))
        rows.append((n, tokens, list(zip(cuts[::2].tolist(), cuts[1::2].tolist(), strict=True))))
    text_offsets = np.cumsum([0, *(row[0] for row in rows)], dtype=i64)
    text = rng.choice(np.array([32, 97, 0x3042], np.uint32), int(text_offsets[-1]))
    tokens, words = spans([r[1] for r in rows]), spans([r[2] for r in rows])
    found = [_rust.align_tokens(tokens, text, text_offsets, words, threads=n) for n in (1, 3, None)]
    links = [_rust.link_tokens(tokens, words, threads=n) for n in (1, 3, None)]
    for i in (1, 2):
        assert np.array_equal(found[0], found[i])
        assert all(np.array_equal(x, y) for x, y in zip(links[0], links[i], strict=True))


@pytest.mark.skipif("UNIREX_DATA" not in os.environ, reason="UNIREX_DATA does not name a folder of real data")
@pytest.mark.parametrize("family", ["wordpiece", "roberta", "unigram", "byte-fallback"])
def test_real_documents(family):
    import json

    documents = []
    for name in ["movies", "toxic_spans", "olid"]:
        with (Path(os.environ["UNIREX_DATA"]) / name / "docs.jsonl").open() as lines:
            documents += [json.loads(next(lines))["document"].split() for _ in range(60)]
    found = encode(tokenizer(family), [example(words) for words in documents], 10**6)
    segments = [Segment.from_words(words) for words in documents]
    plain = tokenizer(family)([s.text for s in segments], return_offsets_mapping=True, return_special_tokens_mask=True)
    for i, segment in enumerate(segments):
        tokens = [
            (0, 0) if special else place
            for special, place in zip(plain["special_tokens_mask"][i], plain["offset_mapping"][i], strict=True)
        ]
        words = list(zip(segment.starts.tolist(), segment.ends.tolist(), strict=True))
        word_of, _ = slow.align(segment.text, tokens, words)
        row = slice(found.row_offsets[i], found.row_offsets[i + 1])
        assert found.token_words[row].tolist() == word_of


def test_a_row_without_tokens_behind_the_last_is_gathered_like_any_other() -> None:
    """Of a tokenizer that adds none of its own, where its normalization leaves nothing of a text."""
    ids, types = np.array([5, 6, 7], dtype=np.int32), np.zeros(3, dtype=np.int8)
    encoded: Any = SimpleNamespace(row_offsets=np.array([0, 2, 3, 3]), input_ids=ids, token_types=types)
    for order in ([0, 1, 2], [2, 0, 1], [2]):
        place, inside = collate._places(encoded, np.array(order), 1)
        rows = collate._gather(encoded, place, inside, pad_id=9)
        found = [row[seen].tolist() for row, seen in zip(rows.input_ids_BL, rows.visible_BL, strict=True)]
        assert found == [[[5, 6], [7], []][row] for row in order]

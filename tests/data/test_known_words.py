"""Words looked up give what the tokenizer gives for the whole text, whatever characters are in it."""

import random

import pytest

from unirex.data import known_words
from unirex.data.known_words import KnownWords
from unirex.data.tokenization import build_tokenizer

ODD = (
    "ab'.-9\u00e9\u0301\u0300\u00df\u0130\u03a3\u03c2\x00\x1c\x1f"
    "\x85\u00a0\u00ad\u200b\u200d\ufeff\u3000\u4e2d\u1112\u1161\U0001f600\t\n\u2028"
)


def text(rng: random.Random) -> str:
    return "".join(rng.choices([*ODD, *" " * 10, "[SEP]", "[MASK]", "unbelievable"], k=rng.randint(0, 18)))


def test_it_is_the_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_words, "MOST", 100)  # forgets now and then
    backend = build_tokenizer(["a fine \u00e9t\u00e9"], size=60).backend_tokenizer
    known = KnownWords.of(backend)
    assert known is not None
    rng = random.Random(0)
    for _ in range(40):
        texts = [text(rng) for _ in range(20)]
        found = known.tokens(texts)
        for row, encoding in enumerate(backend.encode_batch(texts)):
            here = slice(found.offsets[row], found.offsets[row + 1])
            assert found.ids[here].tolist() == encoding.ids, ascii(texts[row])
            places = list(zip(found.starts[here].tolist(), found.ends[here].tolist(), strict=True))
            assert places == encoding.offsets, ascii(texts[row])
            sides = [-1 if side is None else side for side in encoding.sequence_ids]
            assert found.sides(row).tolist() == sides


def test_a_tokenizer_that_looks_beyond_a_space_is_left_alone() -> None:
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    unigram = Tokenizer(models.Unigram([("a", -1.0), ("\u2581", -2.0)], 0))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    assert KnownWords.of(unigram) is None
    for flag in ("lstrip", "rstrip", "single_word", "normalized"):
        backend = build_tokenizer(["a"], size=20).backend_tokenizer
        backend.add_tokens([AddedToken("[X]", **{"normalized": False, flag: True})])
        assert KnownWords.of(backend) is None

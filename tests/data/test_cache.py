"""What comes from the cache is what was encoded, and nothing else ever is."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from unirex.data import cache
from unirex.data.align import encode
from unirex.data.cache import cache_folder, encode_cached, key
from unirex.data.encoded import Encoded
from unirex.data.tokenization import build_tokenizer
from unirex.data.toy import ToyConfig, toy_examples
from unirex.schema import Example

EXAMPLES = toy_examples("train", config=ToyConfig(n_train=12), seed=0)
TOKENIZER = build_tokenizer([s.text for e in EXAMPLES for s in e.segments], size=200)


def same(a: Encoded, b: Encoded) -> None:
    for field in fields(Encoded):
        x, y = getattr(a, field.name), getattr(b, field.name)
        assert x.dtype == y.dtype
        assert np.array_equal(x, y), field.name


def test_the_second_call_reads_what_the_first_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "deep" / "cache"
    first = encode_cached(TOKENIZER, EXAMPLES, 32, folder)
    same(first, encode(TOKENIZER, EXAMPLES, 32))

    def never(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(cache, "encode", never)
    same(encode_cached(TOKENIZER, EXAMPLES, 32, folder), first)
    with pytest.raises(AssertionError, match="encoded again"):
        encode_cached(TOKENIZER, EXAMPLES, 31, folder)
    assert len(list(folder.iterdir())) == 1


def changed(example: Example, **what: object) -> list[Example]:
    return [replace(example, **what), *EXAMPLES[1:]]  # type: ignore[arg-type]


def test_every_input_is_part_of_the_key() -> None:
    first = EXAMPLES[0]
    segment = first.segments[0]
    gold = np.ones(first.n_words, np.float32)
    fewer = replace(segment, starts=segment.starts[1:], ends=segment.ends[1:])
    bare = replace(segment, starts=segment.starts[:0], ends=segment.ends[:0])
    other = build_tokenizer(["entirely different words"], size=200)
    keys = [
        key(TOKENIZER, EXAMPLES, 32),
        key(TOKENIZER, EXAMPLES, 33),
        key(other, EXAMPLES, 32),
        key(TOKENIZER, EXAMPLES[:-1], 32),
        key(TOKENIZER, EXAMPLES[::-1], 32),
        key(TOKENIZER, changed(first, id="x"), 32),
        key(TOKENIZER, changed(first, gold=gold), 32),
        key(TOKENIZER, changed(first, gold=None), 32),
        key(TOKENIZER, changed(first, gold=gold * 0.5), 32),
        key(TOKENIZER, changed(first, choices=("a", "b")), 32),
        key(TOKENIZER, changed(first, segments=(segment, segment)), 32),
        key(TOKENIZER, changed(first, segments=(replace(segment, selectable=False),)), 32),
        key(TOKENIZER, changed(first, segments=(replace(segment, text=segment.text.upper()),)), 32),
        key(TOKENIZER, changed(first, segments=(fewer,)), 32),
        # The same letters in other cells, and nothing in place of none.
        key(TOKENIZER, [replace(first, id="1"), replace(EXAMPLES[1], id="23"), *EXAMPLES[2:]], 32),
        key(TOKENIZER, [replace(first, id="12"), replace(EXAMPLES[1], id="3"), *EXAMPLES[2:]], 32),
        key(TOKENIZER, changed(first, segments=(bare,), gold=gold[:0]), 32),
        key(TOKENIZER, changed(first, segments=(bare,), gold=None), 32),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert key(TOKENIZER, list(EXAMPLES), 32) == keys[0]


@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "foreign"])
def test_a_damaged_file_is_made_anew(how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = encode_cached(TOKENIZER, EXAMPLES, 32, tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    place = content.index(expected.input_ids.tobytes()[:64])
    damaged = {
        "cut": content[: len(content) // 2],
        "empty": b"",
        "flipped": content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        "foreign": b"something else",
    }[how]
    path.write_bytes(damaged)
    same(encode_cached(TOKENIZER, EXAMPLES, 32, tmp_path), expected)
    assert "damaged, made again" in caplog.text
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    same(encode_cached(TOKENIZER, EXAMPLES, 32, tmp_path / "file" / "cache"), encode(TOKENIZER, EXAMPLES, 32))
    assert "cannot be written" in caplog.text


def test_the_folder_is_the_setting_then_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNIREX_CACHE", raising=False)
    assert cache_folder(None) is None
    monkeypatch.setenv("UNIREX_CACHE", "/somewhere")
    assert cache_folder(None) == Path("/somewhere")
    assert cache_folder("$UNIREX_CACHE/else") == Path("/somewhere/else")

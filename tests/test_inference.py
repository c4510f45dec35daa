"""Evaluation goes by tokens, and every instance is scored once whatever the number of processes."""

from functools import partial

import numpy as np
import pytest

from reference import method_worlds as worlds
from unirex.data.align import encode
from unirex.data.collate import EncodedSet, make_set
from unirex.data.splitting import split_examples
from unirex.data.store import windows
from unirex.data.tokenization import build_tokenizer
from unirex.data.toy import ToyConfig, toy_examples
from unirex.judging.predict import batches, documents
from unirex.schema import Example, Segment


@pytest.fixture(scope="module")
def data() -> EncodedSet:
    examples = toy_examples("train", config=ToyConfig(n_train=50), seed=0)
    tokenizer = build_tokenizer([s.text for e in examples for s in e.segments], size=200)
    return make_set(examples, encode(tokenizer, examples, 32), np.zeros(50, np.int64), tokenizer.pad_token_id)


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize(("max_tokens", "size"), [(1, 99), (100, 99), (10_000, 99), (10_000, 7)])
def test_batches_hold_so_many_tokens_and_every_instance_once(
    data: EncodedSet, max_tokens: int, size: int, processes: int
) -> None:
    found = [batch for rank in range(processes) for batch in batches(data, max_tokens, size, rank, processes)]
    assert sorted(np.concatenate(found).tolist()) == list(range(50))
    for batch in found:
        assert len(batch) <= size
        assert len(batch) == 1 or len(batch) * data.lengths[batch].max() <= max_tokens


def test_processes_have_about_the_same_number_of_tokens(data: EncodedSet) -> None:
    shares = [np.concatenate(list(batches(data, 100, 99, rank, 3))) for rank in range(3)]
    tokens = [data.lengths[share].sum() for share in shares]
    assert max(tokens) - min(tokens) <= data.lengths.max()


def test_all_rows_of_a_question_count_as_its_tokens() -> None:
    data = worlds.data(choices=True)
    lengths = data.collate(np.arange(6)).rows.visible_BL.sum(1).view(6, 2).numpy()
    assert data.tokens.tolist() == lengths.sum(1).tolist()
    assert data.lengths.tolist() == lengths.max(1).tolist()
    for most in (1, 60, 100):
        shares = data.shares(np.arange(6), most)
        assert sorted(np.concatenate(shares).tolist()) == list(range(6))
        sizes = [data.collate(share).words_BL.numel() for share in shares]
        assert all(size <= most or len(share) == 1 for size, share in zip(sizes, shares, strict=True))
        assert len(shares) == 6 or max(sizes) > most / 2


@pytest.mark.parametrize("choices", [False, True])
def test_rows_are_counted_through_all_that_are_read_at_once(choices: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = worlds.data(choices=choices)
    rows = [Example(id=str(i), segments=(), label="ab"[i % 2]) for i in range(40)]
    splits = split_examples(rows)
    for module in ("collate", "splitting"):
        monkeypatch.setattr(f"unirex.data.{module}.windows", partial(windows, size=4))
    parts = worlds.data(choices=choices)
    assert whole.token_gold.any()
    assert np.array_equal(parts.token_gold, whole.token_gold)
    assert np.array_equal(parts.has_gold, whole.has_gold)
    again = split_examples(rows)
    assert {name: [e.id for e in part] for name, part in again.items()} == {
        name: [e.id for e in part] for name, part in splits.items()
    }


def test_gold_of_no_words_is_no_gold() -> None:
    marked = Example(id="a", segments=(Segment.from_words(["fine"]),), label=None, gold=np.ones(1, np.float32))
    bare = Example(id="b", segments=(Segment.from_words([]),), label=None, gold=np.zeros(0, np.float32))
    tokenizer = build_tokenizer(["fine"], size=60)
    examples = [marked, bare]
    found = make_set(examples, encode(tokenizer, examples, 32), np.zeros(2, np.int64), tokenizer.pad_token_id)
    assert found.has_gold.tolist() == [True, False]


def test_words_of_a_pair_are_those_of_two_documents() -> None:
    premise, hypothesis = Segment.from_words(["a", "dog", "runs"]), Segment.from_words(["an", "animal"])
    assert documents(Example(id="x", segments=(premise, hypothesis), label=None)) == [3, 2]
    assert documents(Example(id="x", segments=(premise,), label=None)) is None
    query = Segment.from_words(["what", "?"], selectable=False)
    assert documents(Example(id="x", segments=(query, premise), label=None)) is None

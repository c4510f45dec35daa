"""Evaluation goes by tokens, and every instance is scored once whatever the number of processes."""

import numpy as np
import pytest

from unirex.data.align import encode
from unirex.data.collate import EncodedSet, make_set
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


def test_words_of_a_pair_are_those_of_two_documents() -> None:
    premise, hypothesis = Segment.from_words(["a", "dog", "runs"]), Segment.from_words(["an", "animal"])
    assert documents(Example(id="x", segments=(premise, hypothesis), label=None)) == [3, 2]
    assert documents(Example(id="x", segments=(premise,), label=None)) is None
    query = Segment.from_words(["what", "?"], selectable=False)
    assert documents(Example(id="x", segments=(query, premise), label=None)) is None

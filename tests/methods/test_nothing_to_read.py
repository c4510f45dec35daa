"""An empty text whose tokenizer adds no tokens of its own is a row of padding: alone in a batch too."""

import numpy as np
import pytest
import torch
from tokenizers import processors

from reference.method_worlds import CASES, TEXTS, counts_of, method_of, stages_of
from unirex.data.collate import EncodedSet
from unirex.data.tokenization import build_tokenizer
from unirex.data.tools import Tools
from unirex.schema import Example, Segment


def encoded(*texts: str) -> EncodedSet:
    tokenizer = build_tokenizer(TEXTS)
    tokenizer.backend_tokenizer.post_processor = processors.Sequence([])
    tools = Tools(tokenizer=tokenizer, extractor_tokenizer=None, max_length=32)
    examples = [
        Example(id=str(i), segments=(Segment.from_words(text.split()),), label="ab"[i % 2], gold=gold)
        for i, text in enumerate(texts)
        for gold in [np.ones(len(text.split()), np.float32)]
    ]
    return tools.encode(examples, ["a", "b"])


@pytest.fixture(scope="module")
def data() -> EncodedSet:
    """Five instances, the last two without a token."""
    return encoded("a fine film", "poor film", "fine", "", "")


def test_a_data_set_without_any_token_has_a_column_of_padding() -> None:
    batch = encoded("", "").collate(np.array([0, 1]))
    assert batch.rows.visible_BL.tolist() == [[False], [False]]
    assert batch.words_BL.tolist() == [[-1], [-1]]
    assert torch.isfinite(method_of("slm_fp").model.full(batch)[0]).all()


@pytest.mark.parametrize("case", sorted(CASES))
@pytest.mark.parametrize("index", [[3, 4], [0, 1, 3]], ids=["alone", "among others"])
def test_a_batch_with_a_row_of_padding_trains_and_explains(case: str, index: list[int], data: EncodedSet) -> None:
    batch = data.collate(np.array(index))
    assert batch.words_BL.shape[1] >= 1
    method = method_of(case)
    for stage in stages_of(method):
        if stage is not None:
            method.enter(stage)
        terms = method(batch, counts_of(batch), 0)
        torch.stack(list(terms.values())).sum().backward()
        assert all(torch.isfinite(term) for term in terms.values()), terms
        gradients = [weight.grad for weight in method.parameters() if weight.grad is not None]
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        method.zero_grad()
    explanation = method.eval().explain(batch)
    assert torch.isfinite(explanation.logits_IC).all()
    assert torch.isfinite(explanation.scores_BL).all()

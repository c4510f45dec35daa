import os

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from reference import topk as slow
from unirex import _rust
from unirex.rationale.selection import pool_words, relaxed_masks, top_k_masks, top_k_word_masks
from unirex.rationale.settings import Relaxation

SPECIAL = [float(np.float32(x)) for x in [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 1e-45, -1e-45, 3.4e38]]
scores_of = st.one_of(st.sampled_from(SPECIAL), st.floats(width=32, allow_nan=False))
fractions_of = st.lists(st.floats(0, 1, exclude_min=True), min_size=1, max_size=5)
HOWS = ["max", "mean", "sum", "first"]


@st.composite
def blocks(draw):
    """Scores, selectable marks and word ids [B, L]."""
    rows, width = draw(st.integers(0, 4)), draw(st.integers(0, 24))
    cells = draw(
        st.lists(st.tuples(scores_of, st.booleans(), st.integers(0, 2)), min_size=rows * width, max_size=rows * width)
    )
    scores = torch.tensor([c[0] for c in cells], dtype=torch.float32).reshape(rows, width)
    selectable = torch.tensor([c[1] for c in cells], dtype=torch.bool).reshape(rows, width)
    steps = torch.tensor([c[2] for c in cells], dtype=torch.int64).reshape(rows, width)
    return scores, selectable, torch.where(selectable, steps.cumsum(1), -1)


@given(blocks(), fractions_of)
def test_backends_and_sorting_agree(block, fractions):
    scores, selectable, _ = block
    found = top_k_masks(scores, selectable, fractions)
    assert found.shape == (len(fractions), *scores.shape)
    assert torch.equal(found, top_k_masks(scores, selectable, fractions, backend="torch"))
    expected = [
        [slow.marks(s, m, f) for s, m in zip(scores.tolist(), selectable.tolist(), strict=True)] for f in fractions
    ]
    assert found.tolist() == expected


@given(blocks(), fractions_of, st.sampled_from(HOWS), st.sampled_from([torch.int32, torch.int64]))
def test_words_move_as_a_whole(block, fractions, how, dtype):
    scores, _, words = block
    with np.errstate(all="ignore"):
        pooled = [slow.word_scores(s, w, how) for s, w in zip(scores.tolist(), words.tolist(), strict=True)]
    assume(not any(np.isnan(v) for row in pooled for v in row.values()))
    found = top_k_word_masks(scores, words.to(dtype), fractions, pooling=how)
    assert torch.equal(found, top_k_word_masks(scores, words.to(dtype), fractions, pooling=how, backend="torch"))

    def as_stored(x):
        with np.errstate(over="ignore"):
            return float(np.float32(x))

    expected = [
        [slow.word_marks(s, w, how, f, as_stored) for s, w in zip(scores.tolist(), words.tolist(), strict=True)]
        for f in fractions
    ]
    assert found.tolist() == expected


WIDE = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "rounded": lambda rng, size: rng.standard_normal(size).round(1),
    "heavy tail": lambda rng, size: np.exp(8 * rng.standard_normal(size)),
    "one value": lambda rng, size: np.full(size, 0.25),
    "one outlier": lambda rng, size: np.where(np.arange(size[1]) == 7, 1e30, rng.random(size)),
    "infinities": lambda rng, size: rng.choice([-np.inf, np.inf, 0.0, 1.0], size),
    "denormal": lambda rng, size: rng.integers(-5, 5, size) * 1e-45,
    "both ends": lambda rng, size: rng.choice([-3.4e38, 3.4e38, 0.0, 1.0], size),
}


@pytest.mark.parametrize("kind", WIDE)
@pytest.mark.parametrize("width", [127, 128, 700])
def test_wide_rows(kind, width):
    rng = np.random.default_rng(width)
    scores = torch.from_numpy(WIDE[kind](rng, (20, width)).astype(np.float32))
    selectable = torch.from_numpy(rng.random((20, width)) < np.linspace(0, 1, 20)[:, None])
    fractions = [0.5, 0.01, 0.05, 1.0, 0.1, 0.2, 0.05]
    found = top_k_masks(scores, selectable, fractions)
    assert torch.equal(found, top_k_masks(scores, selectable, fractions, backend="torch"))
    assert found[1, 4].tolist() == slow.marks(scores[4].tolist(), selectable[4].tolist(), 0.01)
    offsets = np.arange(0, 20 * width + 1, width)
    ragged = _rust.ragged_rationales(scores.numpy().ravel(), offsets, selectable.numpy().ravel(), fractions)
    assert np.array_equal(ragged.reshape(found.shape), found.numpy())


@given(st.lists(st.lists(scores_of, max_size=12), max_size=5), fractions_of)
def test_ragged_rows(rows, fractions):
    values = np.array([9.0, *(x for row in rows for x in row), 9.0], np.float32)
    offsets = 1 + np.cumsum([0, *map(len, rows)], dtype=np.int64)
    for selectable in [np.ones(len(values), bool), np.arange(len(values), dtype=np.uint8) % 2]:
        found = _rust.ragged_rationales(values, offsets, None if selectable.all() else selectable, fractions)
        assert not found[:, [0, -1]].any()
        for a, b, row in zip(offsets[:-1], offsets[1:], rows, strict=True):
            assert found[:, a:b].tolist() == [slow.marks(row, selectable[a:b].tolist(), f) for f in fractions]


def counts(n, fractions):
    """How many of n scores each fraction takes: a list for each n."""
    return [
        _rust.ragged_rationales(np.zeros(i, np.float32), np.array([0, i]), None, fractions).sum(1).tolist() for i in n
    ]


@given(st.lists(st.integers(0, 10_000), max_size=20), fractions_of)
def test_counts(n, fractions):
    assert counts(n, fractions) == [[slow.count(i, f) for f in fractions] for i in n]


def test_the_share_of_the_default_fractions():
    found = counts([0, 1, 10, 50, 250], [0.01, 0.05, 0.1, 0.2, 0.5])
    assert found == [[0] * 5, [1] * 5, [1, 1, 1, 2, 5], [1, 2, 5, 10, 25], [2, 12, 25, 50, 125]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("backend", ["rust", "torch"])
def test_other_precisions_and_layouts(dtype, backend):
    scores = torch.randn(8, 40, generator=torch.Generator().manual_seed(0)).to(dtype)
    selectable = torch.rand(8, 40, generator=torch.Generator().manual_seed(1)) < 0.8
    expected = top_k_masks(scores.float(), selectable, [0.1, 0.5])
    assert torch.equal(top_k_masks(scores, selectable, [0.1, 0.5], backend=backend), expected)
    turned = top_k_masks(scores.t().contiguous().t(), selectable.t().contiguous().t(), [0.1, 0.5], backend=backend)
    assert torch.equal(turned, expected)
    assert not top_k_masks(scores.requires_grad_(), selectable, [0.1], backend=backend).requires_grad


@pytest.mark.parametrize("backend", ["rust", "torch"])
def test_nan_counts_only_where_it_may_be_selected(backend):
    scores = torch.tensor([[1.0, 2.0], [float("nan"), 1.0]])
    assert top_k_masks(scores, torch.tensor([[1, 1], [0, 1]]).bool(), [0.5], backend=backend).tolist() == [
        [[False, True], [False, True]]
    ]
    assert top_k_word_masks(scores, torch.tensor([[0, 1], [-1, 0]]), [0.5], backend=backend)[0, 1].tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"^row 1: scores\[0\] is NaN, expected a number$"):
        top_k_masks(scores, torch.ones(2, 2).bool(), [0.5], backend=backend)
    with pytest.raises(ValueError, match=r"^row 1: scores\[0\] is NaN, expected a number$"):
        top_k_word_masks(scores, torch.zeros(2, 2).long(), [0.5], pooling="first", backend=backend)
    endless = torch.tensor([[0.0, float("inf"), float("-inf")]])
    with pytest.raises(ValueError, match=r"^row 0: scores\[1\] is NaN, expected a number$"):
        top_k_word_masks(endless, torch.tensor([[0, 1, 1]]), [0.5], pooling="sum", backend=backend)


@pytest.mark.parametrize("unit", ["token", "word"])
def test_nan_is_refused_where_the_selection_carries_gradient(unit):
    scores = torch.tensor([[float("nan"), 1.0, float("nan")]])
    how = Relaxation(estimator="logistic")
    assert relaxed_masks(scores, torch.tensor([[-1, 0, -1]]), [0.5], how, unit=unit).tolist() == [[[0, 1, 0]]]
    with pytest.raises(ValueError, match=r"^row 0: scores\[2\] is NaN, expected a number$"):
        relaxed_masks(scores, torch.tensor([[-1, 0, 1]]), [0.5], how, unit=unit)


def test_the_unit_with_gradient_is_the_token_if_none_is_named():
    scores, words = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0, 0, 1]])
    how = Relaxation(estimator="logistic")
    # Two of three tokens; of two words it is one, the last.
    assert relaxed_masks(scores, words, [0.6], how).tolist() == [[[0, 1, 1]]]
    assert relaxed_masks(scores, words, [0.6], how, unit="word").tolist() == [[[0, 0, 1]]]


def test_the_kernel_is_asked_where_it_is_to_be(monkeypatch):
    asked = []
    kernel = _rust.rationales
    monkeypatch.setattr(_rust, "rationales", lambda *a, **k: asked.append(1) or kernel(*a, **k))
    for backend, calls in (("torch", 0), ("rust", 1), ("auto", 2)):
        top_k_masks(torch.rand(2, 3), torch.ones(2, 3, dtype=torch.bool), [0.5], backend=backend)
        assert len(asked) == calls


@pytest.mark.parametrize("backend", ["rust", "torch"])
def test_bad_arguments(backend):
    scores, words = torch.zeros(2, 3), torch.tensor([[0, 1, 2], [3, -1, 2]])
    with pytest.raises(ValueError, match=r"row 1: words\[2\] is 2, expected an id no lower"):
        top_k_word_masks(scores, words, [0.5], backend=backend)
    for fraction in [0.0, 1.01, -1.0, float("nan")]:
        with pytest.raises(ValueError, match=r"fraction is .*, expected above 0 and at most 1"):
            top_k_masks(scores, scores == 0, [0.5, fraction], backend=backend)
    with pytest.raises(ValueError, match=r"selectable has shape \[3, 2\], expected \[2, 3\]"):
        top_k_masks(scores, scores.t() == 0, [0.5], backend=backend)
    with pytest.raises(ValueError, match=r"words has shape \[3, 2\], expected \[2, 3\]"):
        top_k_word_masks(scores, words.t(), [0.5], backend=backend)
    with pytest.raises(ValueError, match="pooling is 'median', expected max, mean, sum or first"):
        top_k_word_masks(scores, words.abs().sort(1).values, [0.5], pooling="median", backend=backend)


def test_what_the_kernel_refuses_names_what_it_wants():
    scores, marks = np.zeros((2, 4), np.float32), np.ones((2, 4), bool)
    with pytest.raises(TypeError, match=r"scores is float64 of 2 dim.*, expected a float32 array of 2"):
        _rust.rationales(scores.astype(np.float64), marks, [0.5])
    with pytest.raises(TypeError, match="scores is list, expected"):
        _rust.rationales(scores.tolist(), marks, [0.5])
    with pytest.raises(TypeError, match="selectable is int64 of 1"):
        _rust.rationales(scores, np.zeros(4, np.int64), [0.5])
    with pytest.raises(TypeError, match="words is float32"):
        _rust.word_rationales(scores, scores, "max", [0.5])
    with pytest.raises(ValueError, match="scores is not C-contiguous"):
        _rust.rationales(scores[:, ::2], marks[:, ::2], [0.5])
    with pytest.raises(ValueError, match="scores is not C-contiguous"):
        _rust.rationales(np.asfortranarray(scores), marks, [0.5])
    with pytest.raises(ValueError, match="threads is 0, expected 1 to 1024"):
        _rust.rationales(scores, marks, [0.5], threads=0)
    with pytest.raises(ValueError, match=r"offsets\[1\] is 9, expected 0 to 8"):
        _rust.ragged_rationales(scores.ravel(), np.array([0, 9]), None, [0.5])


@given(blocks(), st.sampled_from(HOWS))
def test_pool_words(block, how):
    scores, _, words = block
    scores = scores.nan_to_num(posinf=1e4, neginf=-1e4).clamp(-1e4, 1e4)
    n_words = int(words.max()) + 1 if words.numel() else 0
    found = pool_words(scores, words, n_words, how)
    assert found.shape == (len(scores), n_words)
    for row, s, w in zip(found.tolist(), scores.tolist(), words.tolist(), strict=True):
        expected = slow.word_scores(s, w, how)
        assert row == [float(np.float32(expected.get(i, 0.0))) for i in range(n_words)]


@pytest.mark.parametrize("how", HOWS)
def test_the_gradient_of_pooling(how):
    scores = torch.tensor([[float("nan"), 1.0, 4.0, 2.0, 7.0, float("nan")]], requires_grad=True)
    words = torch.tensor([[-1, 0, 0, 0, 2, -1]])
    pool_words(scores, words, 3, how).square().sum().backward()
    pooled = {"max": 4.0, "mean": 7 / 3, "sum": 7.0, "first": 1.0}[how]
    shares = {"max": [0, 1, 0], "mean": [1 / 3] * 3, "sum": [1, 1, 1], "first": [1, 0, 0]}[how]
    expected = [0.0, *(2 * pooled * share for share in shares), 14.0, 0.0]
    assert_close(scores.grad, torch.tensor([expected]))


def test_threads_change_nothing():
    scores = torch.randn(700, 200, generator=torch.Generator().manual_seed(0)).round(decimals=1).numpy()
    marks = np.ones_like(scores, dtype=bool)
    one = _rust.rationales(scores, marks, [0.05, 0.5], threads=1)
    assert np.array_equal(one, _rust.rationales(scores, marks, [0.05, 0.5], threads=3))
    assert np.array_equal(one, _rust.rationales(scores, marks, [0.05, 0.5]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_does_not_wait_for_the_threads_of_its_parent():
    scores, marks = np.ones((4096, 64), np.float32), np.ones((4096, 64), bool)
    expected = _rust.rationales(scores, marks, [0.5])
    if (child := os.fork()) == 0:
        os._exit(0 if np.array_equal(_rust.rationales(scores, marks, [0.5]), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@settings(deadline=None)
@given(blocks(), fractions_of, st.sampled_from(HOWS))
def test_cuda_agrees(block, fractions, how):
    scores, selectable, words = block
    assert torch.equal(
        top_k_masks(scores.cuda(), selectable.cuda(), fractions).cpu(), top_k_masks(scores, selectable, fractions)
    )
    finite = scores.nan_to_num(posinf=3e38, neginf=-3e38) / 16
    found = top_k_word_masks(finite.cuda(), words.cuda(), fractions, pooling=how).cpu()
    assert torch.equal(found, top_k_word_masks(finite, words, fractions, pooling=how))

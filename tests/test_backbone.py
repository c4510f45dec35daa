"""Dropping hidden tokens must equal masking them, for every backbone that claims it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModel

from unirex.data.collate import Rows
from unirex.encoder.backbone import _shares, encode, encode_padded, encode_pooled, plan_passes, pool
from unirex.encoder.families import _COUNT_FROM_PADDING, _COUNT_FROM_ZERO, _NUMBER_FROM_PADDING, can_drop

SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
    "dim": 32,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 64,
    "embedding_size": 32,
}


def backbone(model_type: str, **settings: object) -> torch.nn.Module:
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **{**SMALL, **settings})
    return AutoModel.from_config(config).eval()


def random_rows(seed: int = 0, n_rows: int = 7, width: int = 20) -> Rows:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, width + 1, n_rows)
    visible = np.arange(width) < lengths[:, None]
    ids = np.where(visible, rng.integers(2, 60, (n_rows, width)), 1)
    visible &= (rng.random((n_rows, width)) < 0.6) | (np.arange(width) == 0)
    return Rows(
        input_ids_BL=torch.from_numpy(ids),
        visible_BL=torch.from_numpy(visible),
        token_types_BL=torch.zeros(n_rows, width, dtype=torch.int64),
    )


@pytest.mark.parametrize("model_type", sorted(_COUNT_FROM_ZERO | _COUNT_FROM_PADDING))
def test_dropping_equals_masking(model_type: str) -> None:
    model, rows = backbone(model_type), random_rows()
    assert can_drop(model.config)
    with torch.inference_mode():
        hidden, _ = encode(model, rows)
        masked = pool(hidden, None, rows.visible_BL, "mean")
        dropped = encode_pooled(model, rows, "mean", max_tokens=24)
    torch.testing.assert_close(dropped, masked, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("model_type", ["modernbert", "deberta-v2", "big_bird"])
def test_other_backbones_are_masked_in_place(model_type: str) -> None:
    model, rows = backbone(model_type), random_rows()
    assert not can_drop(model.config)
    with torch.inference_mode():
        hidden, _ = encode(model, rows)
        expected = pool(hidden, None, rows.visible_BL, "first")
        found = encode_pooled(model, rows, "first", max_tokens=64)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model_type", sorted(_NUMBER_FROM_PADDING - {"esm"} | {"roberta", "bert"}))
def test_padding_in_place_of_a_word_moves_no_other(model_type: str) -> None:
    own = {"longformer": {"attention_window": 8}, "xmod": {"languages": ["en"], "default_language": "en"}}
    model, ids_BL = backbone(model_type, **own.get(model_type, {})), torch.tensor([[5, 1, 7, 8, 9]])
    every_BL = torch.ones_like(ids_BL, dtype=torch.bool)
    rows = Rows(input_ids_BL=ids_BL, visible_BL=every_BL, token_types_BL=torch.zeros_like(ids_BL))
    places = []
    module = next(m for name, m in model.named_modules() if name.endswith("position_embeddings"))
    hook = module.register_forward_hook(lambda _, given, out: places.append(given[0][0, :5].tolist()))
    with torch.inference_mode():
        encode_padded(model, rows)
    hook.remove()
    first = places[0][0]
    assert places == [list(range(first, first + 5))]


@pytest.mark.parametrize("model_type", ["mpnet", "modernbert"])
def test_the_first_visible_token_is_read_where_the_first_is_hidden(model_type: str) -> None:
    model, ids_BL = backbone(model_type), torch.tensor([[5, 6, 7], [9, 6, 7]])
    visible_BL = torch.tensor([[False, True, True]] * 2)
    rows = Rows(input_ids_BL=ids_BL, visible_BL=visible_BL, token_types_BL=torch.zeros_like(ids_BL))
    with torch.inference_mode():
        one, other = encode_pooled(model, rows, "first")
    assert torch.equal(one, other)


def test_what_is_hidden_has_no_influence() -> None:
    """Exact hiding: the value under a hidden token changes nothing, bit for bit."""
    model, rows = backbone("bert"), random_rows()
    other = Rows(
        input_ids_BL=torch.where(rows.visible_BL, rows.input_ids_BL, 5),
        visible_BL=rows.visible_BL,
        token_types_BL=rows.token_types_BL,
    )
    with torch.inference_mode():
        for run in (lambda r: encode_pooled(model, r, "first"), lambda r: encode(model, r)[0][:, 0]):
            assert torch.equal(run(rows), run(other))


@pytest.mark.parametrize("how", ["pooler", "first", "mean", "last"])
def test_pooling(how: str) -> None:
    hidden = torch.arange(12.0).view(1, 4, 3)
    visible = torch.tensor([[True, False, True, False]])
    expected = {"pooler": [9, 9, 9], "first": [0, 1, 2], "mean": [3, 4, 5], "last": [6, 7, 8]}[how]
    assert pool(hidden, torch.full((1, 3), 9.0), visible, how)[0].tolist() == expected  # type: ignore[arg-type]


def test_pooler_is_asked_for_but_missing() -> None:
    with pytest.raises(ValueError, match="no pooler; expected first, mean or last"):
        pool(torch.zeros(1, 2, 3), None, torch.ones(1, 2, dtype=torch.bool), "pooler")


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 300), min_size=1, max_size=60),
    overhead=st.integers(0, 4000),
    max_tokens=st.none() | st.integers(1, 500),
)
def test_passes_partition_the_rows(lengths: list[int], overhead: int, max_tokens: int | None) -> None:
    values = np.array(lengths)
    passes = plan_passes(values, overhead, max_tokens)
    assert sorted(np.concatenate(passes).tolist()) == list(range(len(lengths)))
    for index in passes:
        width = -(-max(1, values[index].max()) // 8) * 8
        assert max_tokens is None or len(index) == 1 or width * len(index) <= max_tokens


@pytest.mark.parametrize("most", [1, 9, 10, 11, 20])
def test_shares_of_a_packed_pass_are_as_full_as_allowed(most: int) -> None:
    lengths = np.array([5, 2, 5, 4, 5, 1, 12])
    shares = _shares(lengths, most)
    assert sorted(np.concatenate(shares).tolist()) == list(range(7))
    totals = [int(lengths[share].sum()) for share in shares]
    assert all(total <= most or len(share) == 1 for total, share in zip(totals, shares, strict=True))
    for total, following in zip(totals, shares[1:], strict=False):
        assert total + lengths[following[0]] > most  # or it would have gone along


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 80), min_size=1, max_size=8), overhead=st.integers(0, 200))
def test_passes_are_the_cheapest_cut(lengths: list[int], overhead: int) -> None:
    widths = np.sort(-(-np.array(lengths) // 8) * 8)[::-1]

    def cheapest(rest: tuple[int, ...]) -> int:
        return 0 if not rest else min(rest[0] * i + overhead + cheapest(rest[i:]) for i in range(1, len(rest) + 1))

    passes = plan_passes(np.array(lengths), overhead, None)
    cost = sum(int(-(-max(lengths[i] for i in index) // 8) * 8) * len(index) + overhead for index in passes)
    assert cost == cheapest(tuple(int(w) for w in widths))


@pytest.mark.parametrize("model_type", ["bert", "modernbert", "llama", "gpt2"])
@pytest.mark.parametrize("pooling", ["first", "mean", "last"])
def test_rows_of_which_nothing_is_left_say_nothing(model_type: str, pooling: str) -> None:
    """Rows of a tokenizer without special tokens, everything hidden: alone in a pass and beside others."""
    model, rows = backbone(model_type), random_rows()
    nothing = torch.zeros_like(rows.visible_BL)
    other = rows.visible_BL.clone()
    other[1:] = False
    with torch.no_grad():
        alone, beside = (
            encode_pooled(model, replace(rows, visible_BL=visible), pooling)  # type: ignore[arg-type]
            for visible in (nothing, other)
        )
    assert not alone.any()
    assert not beside[1:].any()
    assert beside[0].any()

"""Hiding tokens: by hand, and against a row-by-row twin."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unirex.data.collate import Batch, FillTokens, Rows
from unirex.rationale.perturb import drop_hidden, hidden_tokens, perturb, perturbed_logits

FILL = FillTokens(mask_id=7, pad_id=0)


def rows_of(*ids: list[int]) -> Rows:
    width = max(map(len, ids))
    padded = torch.tensor([row + [0] * (width - len(row)) for row in ids])
    visible = torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in ids])
    return Rows(input_ids_BL=padded, visible_BL=visible, token_types_BL=torch.zeros_like(padded))


def batch_of(rows: Rows, selectable: torch.Tensor, n_choices: int = 1) -> Batch:
    n = len(selectable)
    return Batch(
        rows=rows,
        words_BL=torch.where(selectable, 0, -1),
        gold_BL=torch.zeros(selectable.shape),
        has_gold_B=torch.zeros(n, dtype=torch.bool),
        labels_I=torch.zeros(n // n_choices, dtype=torch.int64),
        n_choices=n_choices,
        index_I=torch.arange(n // n_choices),
    )


ROWS = rows_of([1, 11, 12, 13, 2], [1, 21, 2])
HIDDEN = torch.tensor([[False, False, True, False, False], [False, True, False, False, False]])


def test_attention_hides_in_place() -> None:
    out = perturb(ROWS, HIDDEN, "attention", FILL)
    assert out.input_ids_BL.tolist() == ROWS.input_ids_BL.tolist()
    assert out.visible_BL.int().tolist() == [[1, 1, 0, 1, 1], [1, 0, 1, 0, 0]]


def test_delete_closes_up_and_counts_anew() -> None:
    out = perturb(ROWS, HIDDEN, "delete", FILL)
    assert out.positions_BL is None
    assert [row[keep].tolist() for row, keep in zip(out.input_ids_BL, out.visible_BL, strict=True)] == [
        [1, 11, 13, 2],
        [1, 2],
    ]


@pytest.mark.parametrize(("how", "token"), [("mask_token", 7), ("pad_token", 0)])
def test_replaced_tokens_stay_visible(how: str, token: int) -> None:
    out = perturb(ROWS, HIDDEN, how, FILL)
    assert out.input_ids_BL.tolist() == [[1, 11, token, 13, 2], [1, token, 2, 0, 0]]
    assert out.visible_BL.tolist() == ROWS.visible_BL.tolist()


def test_dropping_closes_the_gaps_and_keeps_everything_else_of_a_token() -> None:
    rows = replace(
        ROWS,
        token_types_BL=torch.tensor([[0, 0, 1, 1, 2], [0, 1, 2, 0, 0]]),
        positions_BL=torch.arange(5).expand(2, 5) + 3,  # as on rows padded on the left
    )
    once = drop_hidden(perturb(rows, HIDDEN, "attention", FILL))
    found = [ids[keep].tolist() for ids, keep in zip(once.input_ids_BL, once.visible_BL, strict=True)]
    assert found == [[1, 11, 13, 2], [1, 2]]
    assert once.token_types_BL.tolist() == [[0, 0, 1, 2], [0, 2, 1, 0]]
    assert once.visible_BL.int().tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert once.positions_BL is None
    first = torch.tensor([[True, False, False, False], [False, False, False, False]])
    twice = drop_hidden(perturb(once, first, "attention", FILL))
    assert twice.input_ids_BL[0].tolist() == [11, 13, 2]


def test_rows_of_which_nothing_is_visible_keep_one_column() -> None:
    out = drop_hidden(perturb(ROWS, ROWS.visible_BL, "attention", FILL))
    assert out.input_ids_BL.shape == (2, 1)
    assert not out.visible_BL.any()


@pytest.mark.parametrize("gradient", [False, True])
def test_the_full_view_hides_nothing_and_the_others_what_they_are_to(gradient: bool) -> None:
    selectable = torch.tensor([[False, True, True, True, False], [False, True, False, False, False]])
    one = torch.tensor([[False, True, False, False, False], [False, False, False, False, False]])
    two = torch.tensor([[False, True, True, False, False], [False, True, False, False, False]])
    rationale = torch.stack([one, two])
    seen: list[list[list[int]]] = []

    def run(part: Rows) -> torch.Tensor:
        shown = part.visible_BL if part.gates_BL is None else part.visible_BL & (part.gates_BL > 0)
        assert (part.gates_BL is not None) == gradient
        seen.append(shown.int().tolist())
        return (part.input_ids_BL * shown).sum(1, keepdim=True).float()

    asked = rationale.float().requires_grad_() if gradient else rationale
    views = perturbed_logits(run, batch_of(ROWS, selectable), asked, ("full", "keep", "remove"), "attention", FILL)
    assert {view: found.squeeze(-1).tolist() for view, found in views.items()} == {
        "full": [[39, 24]],
        "keep": [[14, 3], [26, 24]],
        "remove": [[28, 24], [16, 3]],
    }
    assert len(seen) == 1


def test_a_selection_with_gradient_hides_by_attention_alone() -> None:
    rationale = torch.zeros(1, 2, 5, requires_grad=True)
    with pytest.raises(ValueError, match="perturbation is 'delete', expected attention where the selection has a"):
        perturbed_logits(
            lambda rows: rows.input_ids_BL, batch_of(ROWS, ROWS.visible_BL), rationale, ("keep",), "delete", FILL
        )


def test_an_unknown_perturbation_is_named() -> None:
    with pytest.raises(ValueError, match="perturbation is 'blur', expected attention, delete"):
        perturb(ROWS, HIDDEN, "blur", FILL)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n_choices=st.sampled_from([1, 3]), how=st.sampled_from(["attention", "delete"]))
def test_perturbed_logits_equal_one_run_per_mask(seed: int, n_choices: int, how: str) -> None:
    """Whatever is run once and shared must be what running every fraction alone gives."""
    rng = np.random.default_rng(seed)
    n_rows, width, n_fractions = 4 * n_choices, 9, 5
    lengths = rng.integers(1, width + 1, n_rows)
    visible = torch.from_numpy(np.arange(width) < lengths[:, None])
    rows = Rows(
        input_ids_BL=torch.from_numpy(rng.integers(1, 50, (n_rows, width))) * visible,
        visible_BL=visible,
        token_types_BL=torch.zeros(n_rows, width, dtype=torch.int64),
    )
    selectable = visible & torch.from_numpy(rng.random((n_rows, width)) < 0.8)
    order = torch.from_numpy(rng.random((n_rows, width)))
    cuts = np.sort(rng.choice([0.1, 0.3, 0.3, 0.5, 0.9], n_fractions))
    rationale = torch.stack([(order < cut) & selectable for cut in cuts])
    calls = []

    def run(part: Rows) -> torch.Tensor:
        calls.append(len(part.input_ids_BL))
        weight = torch.arange(1, part.input_ids_BL.shape[1] + 1)
        value = (part.input_ids_BL * part.visible_BL * weight).sum(1).double()
        return value.view(-1, n_choices) if n_choices > 1 else torch.stack([value, -value], 1)

    batch = batch_of(rows, selectable, n_choices)
    views = perturbed_logits(run, batch, rationale, ("keep", "remove"), how, FILL)  # type: ignore[arg-type]
    assert len(calls) == 1
    assert calls[0] <= 2 * n_fractions * n_rows
    for kind, logits in views.items():
        for k in range(n_fractions):
            alone = run(perturb(rows, hidden_tokens(rationale[k], selectable, kind), how, FILL))
            assert torch.equal(logits[k], alone)
    assert all((a | b).equal(b) for a, b in pairwise(rationale))


def test_identical_masks_run_once() -> None:
    selectable = torch.tensor([[False, True, True, True, False], [False, True, False, False, False]])
    one = torch.tensor([[False, True, False, False, False], [False, True, False, False, False]])
    two = torch.tensor([[False, True, True, False, False], [False, True, False, False, False]])
    ran = []

    def run(part: Rows) -> torch.Tensor:
        ran.append(len(part.input_ids_BL))
        return torch.zeros(len(part.input_ids_BL), 2)

    rationale = torch.stack([one, one, two])
    perturbed_logits(run, batch_of(ROWS, selectable), rationale, ("remove",), "attention", FILL)
    assert ran == [3]

"""Every loss against numbers worked by hand, and against a float64 numpy twin."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unirex.methods.objectives import (
    complement_loss,
    comprehensiveness_loss,
    plausibility_loss,
    sufficiency_loss,
    task_loss,
)

LN2, LN4 = math.log(2), math.log(4)


def logits(*probabilities: float) -> torch.Tensor:
    return torch.tensor([[math.log(p) for p in probabilities]])


def test_task_loss_by_hand() -> None:
    assert task_loss(logits(0.25, 0.75), torch.tensor([0])).item() == pytest.approx(LN4)
    per_fraction = task_loss(torch.stack([logits(0.5, 0.5), logits(0.25, 0.75)]), torch.tensor([0]))
    assert per_fraction.flatten().tolist() == pytest.approx([LN2, LN4])


@pytest.mark.parametrize(
    ("criterion", "margin", "expected"),
    [
        ("diff", 1.0, [LN2 - LN4, LN2 - math.log(20)]),
        # ln 2 - ln 20 = -2.30 is capped at -1; ln 2 - ln 4 = -0.69 is not.
        ("margin", 1.0, [LN2 - LN4 + 1, 0.0]),
        ("margin", 0.0, [0.0, 0.0]),
    ],
)
def test_comprehensiveness_by_hand(criterion: str, margin: float, expected: list[float]) -> None:
    full, removed = torch.tensor([LN2]), torch.tensor([[LN4], [math.log(20)]])
    loss = comprehensiveness_loss(full, removed, criterion=criterion, margin=margin)
    assert loss.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_comprehensiveness_margin_punishes_a_removal_that_helps() -> None:
    loss = comprehensiveness_loss(torch.tensor([LN4]), torch.tensor([[LN2]]), margin=1.0)
    assert loss.item() == pytest.approx(LN2 + 1)


FULL, KEEP = (0.5, 0.5), (0.25, 0.75)
KL_FULL_KEEP = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
KL_KEEP_FULL = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)


@pytest.mark.parametrize(
    ("criterion", "label", "expected"),
    [
        ("diff", 0, LN4 - LN2),
        ("margin", 0, LN4 - LN2 + 0.1),
        ("margin", 1, 0.0),  # ln(4/3) - ln 2 = -0.41, capped at -0.1
        ("mae", 1, LN2 - math.log(4 / 3)),
        ("mse", 0, (LN4 - LN2) ** 2),
        ("kl", 0, KL_FULL_KEEP),
        ("kl_mean_reversed", 0, KL_KEEP_FULL / 2),
    ],
)
def test_sufficiency_by_hand(criterion: str, label: int, expected: float) -> None:
    loss = sufficiency_loss(logits(*FULL), logits(*KEEP)[None], torch.tensor([label]), criterion=criterion, margin=0.1)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_kl_sends_no_gradient_to_the_reference() -> None:
    full, keep = logits(*FULL).requires_grad_(), logits(*KEEP)[None].requires_grad_()
    sufficiency_loss(full, keep, torch.tensor([0]), criterion="kl").sum().backward()
    assert full.grad is None
    assert keep.grad is not None


def test_the_full_side_carries_gradient_unless_detached() -> None:
    ce_full = torch.tensor([LN2], requires_grad=True)
    comprehensiveness_loss(ce_full, torch.tensor([[LN4]]), criterion="diff").sum().backward()
    assert ce_full.grad is not None
    assert ce_full.grad.item() == 1


SIGMOID_1 = 1 / (1 + math.exp(-1))


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ("bce", [-3 * math.log(SIGMOID_1), -math.log(1 - SIGMOID_1), 0]),
        ("mse", [(SIGMOID_1 - 1) ** 2, SIGMOID_1**2, 0]),
        ("mae", [1 - SIGMOID_1, SIGMOID_1, 0]),
        ("margin", [0.5, 2.5, 0]),
        # All of the gold share stands on the first of two equally scored tokens: KL = ln 2.
        ("kl", [LN2, 0, 0]),
    ],
)
def test_plausibility_by_hand(criterion: str, expected: list[float]) -> None:
    loss = plausibility_loss(
        torch.tensor([[1.0, 1.0, 9.0]]),
        torch.tensor([[1.0, 0.0, 1.0]]),
        torch.tensor([[True, True, False]]),
        criterion=criterion,
        pos_weight=3.0,
        margin=1.5,
    )
    assert loss[0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("criterion", ["bce", "kl", "mse", "mae", "margin"])
def test_plausibility_without_gold_is_zero_with_zero_gradient(criterion: str) -> None:
    scores = torch.randn(2, 5, requires_grad=True)
    loss = plausibility_loss(scores, torch.zeros(2, 5), torch.zeros(2, 5, dtype=torch.bool), criterion=criterion)
    loss.sum().backward()
    assert loss.abs().sum() == 0
    assert scores.grad is not None
    assert scores.grad.abs().sum() == 0


@pytest.mark.parametrize("function", [comprehensiveness_loss, sufficiency_loss, plausibility_loss])
def test_unknown_criterion_is_named(function: object) -> None:
    arguments = {
        comprehensiveness_loss: (torch.zeros(1), torch.zeros(1, 1)),
        sufficiency_loss: (torch.zeros(1, 2), torch.zeros(1, 1, 2), torch.zeros(1, dtype=torch.long)),
        plausibility_loss: (torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool)),
    }[function]
    with pytest.raises(ValueError, match="criterion is 'hinge', expected"):
        function(*arguments, criterion="hinge")


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), n_classes=st.integers(2, 5), label=st.integers(0, 1))
def test_cross_entropies_agree_with_numpy(seed: int, n_classes: int, label: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=8, size=(3, 4, n_classes))
    labels = np.full(4, label)
    expected = np.log(np.exp(values - values.max(-1, keepdims=True)).sum(-1)) + values.max(-1) - values[..., label]
    found = task_loss(torch.tensor(values, dtype=torch.float32), torch.tensor(labels))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)
    assert (found >= 0).all()


def test_complement_by_hand() -> None:
    # p(remove) = (.25, .75), label 0. KL(uniform || p) = -.5 ln .25 - .5 ln .75 - ln 2.
    removed, label = logits(0.25, 0.75)[None], torch.tensor([0])
    prior = -0.5 * math.log(0.25) - 0.5 * math.log(0.75) - LN2
    assert complement_loss(removed, label, "prior").item() == pytest.approx(prior, abs=1e-6)
    assert complement_loss(removed, label, "unlikelihood").item() == pytest.approx(-math.log(0.75), abs=1e-6)
    assert complement_loss(removed, label, "probability").item() == pytest.approx(0.25, abs=1e-6)
    assert complement_loss(removed, label, "probability", 0.1).item() == pytest.approx(0.15, abs=1e-6)
    assert complement_loss(removed, label, "probability", 0.3).item() == 0
    assert complement_loss(removed, label, "prior", 0.25).item() == pytest.approx(0, abs=1e-6)
    # Three classes, target .2: q = (.2, .4, .4) against (.5, .3, .2).
    three = complement_loss(logits(0.5, 0.3, 0.2)[None], label, "prior", 0.2).item()
    expected = 0.2 * math.log(0.2 / 0.5) + 0.4 * math.log(0.4 / 0.3) + 0.4 * math.log(0.4 / 0.2)
    assert three == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="complement criterion is 'margin', expected prior, unlikelihood or"):
        complement_loss(removed, label, "margin")


def test_ranking_by_hand() -> None:
    # Marked scores 1 and 0, unmarked 0: pairs ln(1 + e^-1) and ln 2, their mean.
    scores, gold = torch.tensor([[1.0, 0.0, 0.0, 9.0]]), torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    counted = torch.tensor([[True, True, True, False]])
    loss = plausibility_loss(scores, gold, counted, criterion="ranking")
    assert loss.sum().item() == pytest.approx((math.log1p(math.exp(-1)) + LN2) / 2, abs=1e-6)
    assert plausibility_loss(scores, torch.zeros(1, 4), counted, criterion="ranking").sum().item() == 0
    scores[0, 3] = torch.inf  # not counted, whatever it is
    assert torch.equal(plausibility_loss(scores, gold, counted, criterion="ranking"), loss)


def test_defaults_are_those_of_the_paper() -> None:
    full, removed, label = torch.tensor([LN2]), torch.tensor([[LN4]]), torch.tensor([0])
    assert comprehensiveness_loss(full, removed).item() == pytest.approx(LN2 - LN4 + 1)
    assert sufficiency_loss(logits(*FULL), logits(*KEEP)[None], label).item() == pytest.approx(LN4 - LN2 + 0.1)
    scores, gold, counted = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool)
    expected = [-math.log(SIGMOID_1), -math.log(1 - SIGMOID_1)]
    assert plausibility_loss(scores, gold, counted)[0].tolist() == pytest.approx(expected)
    assert plausibility_loss(scores, gold, counted, criterion="margin")[0].tolist() == pytest.approx([0, 2])


def test_soft_gold_by_hand() -> None:
    counted = torch.ones(1, 3, dtype=torch.bool)
    # A mark of .2 alone is all of its row's gold: KL of one token against a third.
    few = torch.tensor([[0.2, 0.0, 0.0]])
    assert plausibility_loss(torch.zeros(1, 3), few, counted, criterion="kl").sum().item() == pytest.approx(math.log(3))
    # Two marks share a row's gold evenly, whatever other rows hold: each a half against a third.
    two = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    loss = plausibility_loss(torch.zeros(2, 3), two, counted.expand(2, 3), criterion="kl")
    assert loss.sum(1).tolist() == pytest.approx([math.log(1.5), math.log(3)])
    # A half is no mark: one pair of .6 over .5, and one over 0; their mean.
    loss = plausibility_loss(
        torch.tensor([[1.0, 0.0, 2.0]]), torch.tensor([[0.6, 0.5, 0.0]]), counted, criterion="ranking"
    )
    assert loss[0].tolist() == pytest.approx([(math.log1p(math.exp(-1)) + math.log1p(math.e)) / 2, 0, 0])


@pytest.mark.parametrize("criterion", ["kl", "ranking"])
def test_a_row_in_which_nothing_is_marked_has_no_divergence_and_no_pair(criterion: str) -> None:
    scores = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    counted = torch.ones(2, 4, dtype=torch.bool)
    loss = plausibility_loss(scores, torch.zeros(2, 4), counted, criterion=criterion)
    assert loss.tolist() == [[0.0] * 4] * 2
    (gradient,) = torch.autograd.grad(loss.sum(), scores)
    assert gradient.tolist() == [[0.0] * 4] * 2


def test_ranking_of_rows_with_one_pair_and_with_none() -> None:
    scores, gold = torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    loss = plausibility_loss(scores, gold, torch.ones(2, 2, dtype=torch.bool), criterion="ranking")
    assert loss.tolist() == [pytest.approx([LN2, 0]), [0, 0]]


def test_a_cross_entropy_that_the_caller_has_stands_for_the_full_input() -> None:
    loss = sufficiency_loss(
        logits(*FULL), logits(*KEEP)[None], torch.tensor([0]), criterion="diff", ce_full_B=torch.tensor([1.0])
    )
    assert loss.item() == pytest.approx(LN4 - 1)

"""Selections that carry gradient: exact forward, and backward against brute force, autograd and closed forms."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reference.simplex import capped_simplex, expected_gradient
from unirex.rationale.adaptive_step import AdaptiveStep
from unirex.rationale.relaxation import _SoftTopK, relax, subset_marginals, top
from unirex.rationale.selection import relaxed_masks, top_k_masks, top_k_word_masks
from unirex.rationale.settings import ESTIMATORS as REGISTERED
from unirex.rationale.settings import Relaxation

ESTIMATORS = [*REGISTERED.built_in]
NOISELESS = [name for name in ESTIMATORS if name != "gumbel"]


def world(seed: int = 0, rows: int = 4, units: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(rows, units, generator=generator, dtype=torch.float64)
    lengths = torch.randint(0, units + 1, (rows,), generator=generator)
    valid = torch.arange(units) < lengths[:, None]
    count = torch.stack([torch.minimum(torch.full_like(lengths, k), lengths) for k in (0, 1, 2, units)])
    return scores, valid, count


def jacobian(estimator: str, scores: Tensor, valid: Tensor, count: Tensor, **other: float) -> Tensor:
    """d marks[k, b, u] / d scores[b, v] as [K, U, V] for the only row."""
    how = Relaxation(estimator=estimator, **other)  # type: ignore[arg-type]
    leaf = scores.clone().requires_grad_()
    marks = relax(leaf, valid, count, how)
    rows = [torch.autograd.grad(mark, leaf, retain_graph=True)[0][0] for mark in marks[:, 0].flatten()]
    return torch.stack(rows).view(*marks[:, 0].shape, -1)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15)
def test_the_budget_is_exact_and_gradients_stay_on_valid_units(estimator: str, seed: int) -> None:
    scores, valid, count = world(seed)
    torch.manual_seed(seed)
    leaf = scores.clone().requires_grad_()
    marks = relax(leaf, valid, count, Relaxation(estimator=estimator))  # type: ignore[arg-type]
    assert set(marks.flatten().tolist()) <= {0.0, 1.0}
    assert torch.equal(marks.sum(-1).long(), count)
    assert not marks[:, ~valid].any()
    if estimator == "hard":
        assert not marks.requires_grad
        return
    weight = torch.randn(marks.shape)
    (gradient,) = torch.autograd.grad((marks * weight).sum(), leaf)
    assert torch.isfinite(gradient).all()
    assert not gradient[~valid].any()


@pytest.mark.parametrize("estimator", NOISELESS)
@pytest.mark.parametrize("unit", ["token", "word"])
def test_rationales_are_those_of_the_hard_selection(estimator: str, unit: str) -> None:
    generator = torch.Generator().manual_seed(3)
    scores = torch.randint(-3, 4, (6, 12), generator=generator).float()  # many ties
    words = torch.randint(0, 2, (6, 12), generator=generator).cumsum(1) - 1
    words[:, 0] = -1
    fractions = (0.05, 0.2, 0.5, 1.0)
    expected = (
        top_k_masks(scores, words >= 0, fractions) if unit == "token" else top_k_word_masks(scores, words, fractions)
    )
    found = relaxed_masks(scores, words, fractions, Relaxation(estimator=estimator), unit=unit)  # type: ignore[arg-type]
    assert torch.equal(found > 0, expected)


@pytest.mark.parametrize("estimator", NOISELESS)
def test_infinite_scores_are_ranked_and_leave_gradients_finite(estimator: str) -> None:
    scores = torch.tensor([[0.5, torch.inf, 3e9, -torch.inf, 2e9, 0.0]], requires_grad=True)
    how = Relaxation(estimator=estimator)  # type: ignore[arg-type]
    marks = relaxed_masks(scores, torch.arange(6)[None], (0.2, 0.5, 0.9), how)
    assert torch.equal(marks > 0, top_k_masks(scores, torch.ones(1, 6).bool(), (0.2, 0.5, 0.9)))
    if estimator != "hard":
        assert torch.isfinite(torch.autograd.grad((marks * torch.randn(marks.shape)).sum(), scores)[0]).all()


@pytest.mark.parametrize("kind", ["logistic", "laplace"])
def test_the_soft_selection_sums_to_the_count_and_its_gradient_is_exact(kind: str) -> None:
    scores, valid, count = world(5)
    soft = _SoftTopK.apply(scores, valid, count, kind)
    free = (count > 0) & (count < valid.sum(1))
    assert free.any()
    torch.testing.assert_close(soft.sum(-1)[free], count.double()[free])
    leaf = scores.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: _SoftTopK.apply(x, valid, count, kind)[free], leaf, atol=1e-6)


def nearest(x: Tensor, k: int) -> Tensor:
    return torch.tensor(capped_simplex(x.tolist(), k), dtype=torch.float64)


def test_the_capped_simplex_projection_against_its_optimality_conditions() -> None:
    generator = torch.Generator().manual_seed(2)
    n_between = 0
    for case in range(40):
        scores = torch.randn(1, 5, generator=generator, dtype=torch.float64)
        k = 1 + case % 4
        expected = nearest(scores[0] / 0.7, k)
        valid, count = torch.ones(1, 5).bool(), torch.tensor([[k]])
        found = _SoftTopK.apply(scores / 0.7, valid, count, "uniform")[0, 0]
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
        # The backward pass against differences of the reference.
        slopes = torch.zeros(5, 5, dtype=torch.float64)
        for unit in range(5):
            ends = []
            for change in (1e-6, -1e-6):
                moved = scores[0].clone()
                moved[unit] += change
                ends.append(nearest(moved / 0.7, k))
            slopes[:, unit] = (ends[0] - ends[1]) / 2e-6
        ours = jacobian("capped_simplex", scores, valid, count, temperature=0.7)[0]
        torch.testing.assert_close(ours, slopes, atol=1e-6, rtol=0)
        n_between += int(((expected > 0) & (expected < 1)).sum())
    assert n_between > 40


def test_several_units_share_the_gradient_where_several_are_chosen() -> None:
    """What relaxed the choice of one unit had no gradient where the highest score stood out, whatever the count."""
    scores = torch.tensor([[9.0, 1.0, 0.9, 0.8, 0.0]], dtype=torch.float64)
    found = jacobian("capped_simplex", scores, torch.ones(1, 5).bool(), torch.tensor([[2]]), temperature=1.0)[0]
    assert found[1].tolist() == pytest.approx([0, 2 / 3, -1 / 3, -1 / 3, 0])


@pytest.mark.parametrize(("old", "new"), [("sparsemax", "capped_simplex"), ("entmax", "capped_simplex")])
def test_replaced_estimators_name_what_stands_for_them(old: str, new: str) -> None:
    with pytest.raises(ValueError, match=rf"estimator is '{old}', expected one of .*\({old} is now {new}\)"):
        Relaxation(estimator=old)


def test_an_unknown_estimator_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"estimator is 'logstic', expected one of hard, .* \(did you mean logistic"):
        Relaxation(estimator="logstic")


def test_subset_marginals_against_all_subsets() -> None:
    scores, _, _ = world(7, rows=1, units=5)
    valid = torch.tensor([[True, True, False, True, True]])
    members = [0, 1, 3, 4]
    for k in (1, 2, 3):
        leaf = scores.clone().requires_grad_()
        weights, marks = [], []
        for subset in itertools.combinations(members, k):
            weights.append(leaf[0, list(subset)].sum())
            marks.append(torch.zeros(5, dtype=torch.float64).index_fill(0, torch.tensor(subset), 1.0))
        expected = (torch.softmax(torch.stack(weights), 0)[:, None] * torch.stack(marks)).sum(0)
        found = subset_marginals(leaf, valid, torch.tensor([[k]]))[0, 0]
        torch.testing.assert_close(found, expected)
        probe = torch.arange(5, dtype=torch.float64)
        (a,) = torch.autograd.grad((expected * probe).sum(), leaf, retain_graph=True)
        (b,) = torch.autograd.grad((found * probe).sum(), leaf)
        torch.testing.assert_close(a, b)


def test_the_subset_gradient_survives_scores_far_apart() -> None:
    scores = torch.tensor([[1000.0, -1000.0, 0.0, 5.0]], dtype=torch.float64)
    found = jacobian("subset", scores, torch.ones(1, 4).bool(), torch.tensor([[2]]))
    assert torch.isfinite(found).all()


def test_the_perturbed_gradient_is_that_of_the_mean_selection() -> None:
    # With one of two units selected, P(first) = Phi((s0 - s1) / (sigma sqrt 2)): a derivative known in closed form.
    torch.manual_seed(0)
    scores, sigma = torch.tensor([[0.2, 0.0]], dtype=torch.float64), 0.5
    found = jacobian("perturbed", scores, torch.ones(1, 2).bool(), torch.tensor([[1]]), noise=sigma, samples=40_000)[0]
    spread = sigma * 2**0.5
    density = torch.distributions.Normal(0, spread).log_prob(torch.tensor(0.2)).exp().item()
    expected = torch.tensor([[density, -density], [-density, density]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0)


def test_imle_by_hand() -> None:
    # Without noise, gradient (0, 3, 4) of length 5: scores (3, 2, 1) move by -step * (0, .6, .8).
    scores = torch.tensor([[1.0, 3.0, 2.0]], dtype=torch.float64, requires_grad=True)
    marks = relax(
        scores, torch.ones(1, 3).bool(), torch.tensor([[1]]), Relaxation(estimator="imle", noise=0.0, imle_step=5.0)
    )
    assert marks.tolist() == [[[0, 1, 0]]]
    (gradient,) = torch.autograd.grad((marks * torch.tensor([0.0, 3.0, 4.0])).sum(), scores)
    # After the step: (1, 0, -2): the first unit takes the place of the second.
    assert gradient.tolist() == [[-1.0, 1.0, 0.0]]


def test_the_noise_of_imle_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    # Scores (1, 2, -1) with noise, and (1, -1, -1) after the step of 3 against (0, 1, 0).
    monkeypatch.setattr("unirex.rationale.relaxation.gumbel", lambda like: torch.tensor([[0.0, 2.0, 0.0]]).to(like))
    scores = torch.tensor([[1.0, 0.0, -1.0]], requires_grad=True)
    how = Relaxation(estimator="imle", noise=1.0, imle_step=3.0)
    marks = relax(scores, torch.ones(1, 3).bool(), torch.tensor([[1]]), how)
    (gradient,) = torch.autograd.grad((marks * torch.tensor([0.0, 1.0, 0.0])).sum(), scores)
    torch.testing.assert_close(gradient, torch.tensor([[-1 / 3, 1 / 3, 0.0]]))


def mean_gradient(estimator: str, scores: Tensor, weight: Tensor, k: int, **other: float) -> Tensor:
    """The gradient of (marks * weight).sum() for the only row, averaged over many draws."""
    torch.manual_seed(0)
    leaf = scores.repeat(400, 1).requires_grad_()
    how = Relaxation(estimator=estimator, samples=10, **other)  # type: ignore[arg-type]
    marks = relax(leaf, torch.ones(leaf.shape).bool(), torch.full((1, 400), k), how)
    return torch.autograd.grad((marks * weight).sum(), leaf)[0].mean(0)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_imle_gradient_points_where_the_expected_loss_falls(k: int) -> None:
    """Against the exact gradient of the expected loss under the same noise, from all ordered draws of k units."""
    generator = torch.Generator().manual_seed(4)
    found: dict[float, list[float]] = {1.0: [], 10.0: []}
    for _ in range(8):
        scores, weight = torch.randn(2, 6, generator=generator, dtype=torch.float64)
        exact = expected_gradient(scores, weight, k, scale=Relaxation().noise)
        for step, cosines in found.items():
            ours = mean_gradient("imle", scores, weight, k, imle_step=step)
            cosines.append(torch.nn.functional.cosine_similarity(ours, exact, dim=0).item())
    mean = {step: sum(cosines) / len(cosines) for step, cosines in found.items()}
    assert Relaxation().imle_step == 1.0
    assert mean[1.0] > 0.85
    assert mean[10.0] < 0.75


def test_adaptive_imle_by_hand() -> None:
    # Centred scores (-1, 1, 0) of length sqrt 2; the step is 1.5 of that, against (0, 1, 0): scores (1, 0.88, 2).
    scores = torch.tensor([[1.0, 3.0, 2.0], [0.0, 9.0, 0.0], [1.0, 2.0, 4.0]], dtype=torch.float64, requires_grad=True)
    step = AdaptiveStep(target=1.0, rate=0.25)
    step.size.fill_(1.5)
    how = Relaxation(estimator="aimle", noise=0.0, samples=1)
    count = torch.tensor([[1, 1, 3]])
    marks = relax(scores, torch.ones(3, 3).bool(), count, how, step)
    weight = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    (gradient,) = torch.autograd.grad((marks * weight).sum(), scores)
    reach = 1.5 * 2**0.5
    torch.testing.assert_close(
        gradient, torch.tensor([[0, 1 / reach, -1 / reach], [0, 0, 0], [0, 0, 0]], dtype=torch.float64)
    )
    # Two marks moved in the only selection with a choice and a gradient: 0.9 * 1 + 0.1 * 2 is over the target.
    step.update(lambda tally: tally)
    assert (step.moved.item(), step.size.item()) == (pytest.approx(1.1), 1.25)
    step.update(lambda tally: tally)  # nothing was counted
    assert (step.moved.item(), step.size.item()) == (pytest.approx(1.1), 1.25)


def test_equal_scores_have_no_gradient_by_adaptive_imle() -> None:
    """A share of their spread is no step, and dividing by next to nothing would let such a row outweigh all others."""
    scores = torch.tensor([[2.0, 2.0, 2.0, 2.0], [1.0, 3.0, 2.0, 0.0]], dtype=torch.float64, requires_grad=True)
    step = AdaptiveStep(target=1.0, rate=0.25)
    step.size.fill_(1.5)
    how = Relaxation(estimator="aimle", noise=0.0, samples=1)
    marks = relax(scores, torch.ones(2, 4).bool(), torch.tensor([[2, 2]]), how, step)
    (gradient,) = torch.autograd.grad((marks * torch.tensor([0.0, 2.0, 0.0, 0.0])).sum(), scores)
    assert gradient[0].tolist() == [0, 0, 0, 0]
    assert gradient[1].norm() > 0.1
    moved = (gradient[1] != 0).sum().item()
    step.update(lambda tally: tally)
    assert step.moved.item() == pytest.approx(0.9 * 1 + 0.1 * moved)  # of the other row alone


def test_the_adaptive_step_shrinks_where_enough_is_moved_and_never_below_nothing() -> None:
    step, sizes = AdaptiveStep(target=1.0, rate=0.3), []
    for _ in range(3):
        step.count(torch.tensor([0, 2]))  # in the mean as many as asked for
        step.update(lambda tally: tally)
        sizes.append(step.size.item())
    assert sizes == [pytest.approx(0.2), 0.0, 0.0]
    assert step.state_dict().keys() == {"size", "moved"}  # what a resumed run goes on with


@pytest.mark.parametrize("start", [0.02, 3.0])
def test_the_adaptive_step_comes_to_move_as_many_marks_as_it_should(start: float) -> None:
    torch.manual_seed(0)
    step = AdaptiveStep(target=1.0, rate=0.02)
    step.size.fill_(start)
    how = Relaxation(estimator="aimle", samples=1)
    valid, count = torch.ones(32, 25).bool(), torch.full((2, 32), 3)
    moved = []
    for round_ in range(250):
        scores = torch.randn(32, 25).requires_grad_()
        marks = relax(scores, valid, count, how, step)
        torch.autograd.grad((marks * torch.randn(marks.shape)).sum(), scores)
        step.update(lambda tally: tally)
        if round_ >= 200:
            moved.append(step.moved.item())
    assert sum(moved) / len(moved) == pytest.approx(1.0, abs=0.1)
    assert 0.1 < step.size.item() < 0.5


def test_descending_the_gradient_finds_the_unit_that_helps() -> None:
    target = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0])  # a loss that falls when unit 3 is selected
    for estimator in ESTIMATORS[1:]:
        torch.manual_seed(1)
        scores = torch.tensor([[0.5, 0.3, 0.2, 0.0, 0.1]], requires_grad=True)
        how = Relaxation(estimator=estimator, temperature=3.0)
        for _ in range(60):
            marks = relax(scores, torch.ones(1, 5).bool(), torch.tensor([[1]]), how)
            (gradient,) = torch.autograd.grad(-(marks * target).sum(), scores)
            scores = (scores - 0.3 * gradient).detach().requires_grad_()
        assert int(scores.argmax()) == 3, estimator


@pytest.mark.parametrize("absent", [5.0, torch.inf, torch.nan])
def test_top_puts_what_is_not_there_behind_minus_infinity(absent: float) -> None:
    scores = torch.tensor([[absent, -torch.inf, 1.0]])
    valid = torch.tensor([[False, True, True]])
    assert top(scores, valid, torch.tensor([[2]])).tolist() == [[[0, 1, 1]]]


def test_noise_that_is_not_there_changes_nothing_to_measure() -> None:
    with pytest.raises(ValueError, match="noise is 0, expected more: estimator perturbed"):
        Relaxation(estimator="perturbed", noise=0.0)


@pytest.mark.parametrize(
    "settings_",
    [
        {"temperature": 0.0},
        {"temperature": float("inf")},
        {"noise": -1.0},
        {"noise": float("inf")},
        {"samples": 0},
        {"imle_step": float("nan")},
    ],
)
def test_settings_out_of_range_are_named(settings_: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings_))):
        Relaxation(**settings_)  # type: ignore[arg-type]

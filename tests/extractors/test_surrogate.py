"""KernelSHAP against Shapley values from the definition, LIME against scikit-learn's regression."""

from dataclasses import replace
from itertools import permutations
from typing import Literal

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import cosine_distances
from torch import Tensor

from extractors.test_attribution import last_row, target, words
from reference.method_worlds import data, method_of
from unirex.data.collate import text_seeds
from unirex.extractors.attribution import attribute
from unirex.extractors.settings import Attribution, AttributionConfig
from unirex.extractors.surrogate import _coalitions, _neighbours, _shapley
from unirex.extractors.target import Target
from unirex.rationale.perturb import perturb
from unirex.schema import Perturbation

KINDS: tuple[Literal["kernel_shap", "lime"], ...] = ("kernel_shap", "lime")


def scores(of: Target, kind: Literal["kernel_shap", "lime"], **settings: object) -> Tensor:
    return attribute(of, words(of), kind, AttributionConfig(**settings))[0]  # type: ignore[arg-type]


def logit(of: Target, row: int, seen: set[int]) -> float:
    """Of a row in which only some selectable tokens are in view."""
    hidden_L = of.selectable_BL[row] & ~torch.tensor([token in seen for token in range(7)])
    rows = of.rows.take(torch.tensor([row]))
    with torch.no_grad():
        return of.logit_of_rows(replace(rows, visible_BL=rows.visible_BL & ~hidden_L), torch.tensor([row])).item()


@pytest.mark.parametrize("attribution", ["occlusion", "kernel_shap", "ig", "deeplift"])
def test_what_trains_a_classifier_explains_it_without_dropout(attribution: Attribution) -> None:
    """Else each pass of one explanation would hide other parts of the model."""
    method = method_of("sgt").train()
    method.model.dropout.p = 0.5
    batch, config = data().collate(np.arange(6)), AttributionConfig(surrogate_samples=20)
    found = [
        method.model.attributed(batch, batch.labels_I, attribution, config, method.fill, train_scores=False)
        for _ in range(2)
    ]
    assert method.model.dropout.training
    assert not torch.equal(found[0][0], found[1][0])  # the answers are those of training
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize("max_tokens", [16384, 8])
def test_all_subsets_give_the_shapley_values(family: str, max_tokens: int) -> None:
    """The mean over all orders of what a token adds to those before it; rows of 5, 2 and 3 tokens."""
    of = target(family, max_tokens=max_tokens)
    found = scores(of, "kernel_shap")
    for row in range(3):
        tokens = of.selectable_BL[row].nonzero()[:, 0].tolist()
        known: dict[frozenset[int], float] = {}
        expected = dict.fromkeys(tokens, 0.0)
        orders = list(permutations(tokens))
        for order in orders:
            for place, token in enumerate(order):
                with_it, without = frozenset(order[: place + 1]), frozenset(order[:place])
                for seen in (with_it, without):
                    if seen not in known:
                        known[seen] = logit(of, row, set(seen))
                expected[token] += (known[with_it] - known[without]) / len(orders)
        for token in range(7):
            assert found[row, token].item() == pytest.approx(expected.get(token, 0.0), abs=2e-4)


@pytest.mark.parametrize("samples", [30, 2000])
def test_samples_estimate_the_shapley_values(samples: int) -> None:
    """Of 12 units: exact where the value is a sum; with pairs that matter together, half of a pair's value for each."""
    rng = np.random.default_rng(0)
    alone, pairs = torch.from_numpy(rng.normal(size=12)), torch.from_numpy(np.triu(rng.normal(size=(12, 12)), 1))
    seen, weight = _coalitions(12, samples, torch.Generator().manual_seed(0))
    assert (seen[:2].sum(1).tolist(), weight[:2].tolist()) == ([0, 12], [0, 0])
    half, other = seen[2:].chunk(2)
    assert len(half) == samples // 2
    assert torch.equal(half, ~other)
    assert not torch.equal(half[0], half[1])

    def value(seen_SU: Tensor, together: float) -> Tensor:
        seen_SU = seen_SU.double()
        return 3 + seen_SU @ alone + together * ((seen_SU @ pairs) * seen_SU).sum(1)

    for together, error in ((0.0, 1e-9), (1.0, 0.15 if samples == 2000 else 3.0)):
        logits = value(seen, together)
        found = _shapley(seen, weight, logits)
        expected = alone + together * (pairs.sum(0) + pairs.sum(1)) / 2
        torch.testing.assert_close(found.sum(), logits[1] - logits[0])
        assert (found - expected).abs().max() < error


def test_fewer_samples_than_units_favour_none_of_them() -> None:
    seen, weight = _coalitions(40, 10, torch.Generator().manual_seed(0))
    logits = seen.double() @ torch.arange(40, dtype=torch.float64)
    found, order = _shapley(seen, weight, logits), torch.randperm(40, generator=torch.Generator().manual_seed(1))
    assert found.sum().item() == pytest.approx(780)
    torch.testing.assert_close(_shapley(seen[:, order], weight, logits), found[order])


def test_one_unit_has_all() -> None:
    seen, weight = _coalitions(1, 10, torch.Generator())
    assert _shapley(seen, weight, torch.tensor([2.0, 42.0], dtype=torch.float64)).tolist() == [40.0]


def test_lime_is_ridge_regression_on_its_neighbours() -> None:
    of = target()
    found = scores(of, "lime", surrogate_samples=50)
    for row, own in enumerate(text_seeds(of.rows)):
        tokens = of.selectable_BL[row].nonzero()[:, 0].tolist()
        seen, weight = _neighbours(len(tokens), 50, torch.Generator().manual_seed(own))
        assert seen[0].all()
        assert {int(n) for n in (~seen[1:]).sum(1)} == set(range(1, len(tokens) + 1))
        # LIME's own: distances in hundredths, a kernel of width 25.
        distance = 100 * cosine_distances(seen.numpy().astype(float), np.ones((1, len(tokens))))[:, 0]
        np.testing.assert_allclose(weight.numpy(), np.sqrt(np.exp(-(distance**2) / 25**2)), rtol=1e-9)
        logits = [logit(of, row, {token for token, yes in zip(tokens, line, strict=True) if yes}) for line in seen]
        expected = Ridge(alpha=1.0).fit(seen.numpy(), logits, sample_weight=weight.numpy()).coef_
        np.testing.assert_allclose(found[row, tokens].numpy(), expected, atol=2e-4)
    assert (found[~of.selectable_BL] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_for_a_row_depends_on_its_seed_alone(kind: Literal["kernel_shap", "lime"]) -> None:
    of = target()
    alone = last_row(of)
    few = {"surrogate_samples": 5}
    torch.testing.assert_close(scores(alone, kind, **few)[0], scores(of, kind, **few)[2], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(scores(of, kind, **few), scores(of, kind, **few, surrogate_seed=1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokens_of_a_word_are_hidden_together(kind: Literal["kernel_shap", "lime"]) -> None:
    of = target()
    pairs = words(of).clamp(min=-1).div(2, rounding_mode="floor")
    found = attribute(of, pairs, kind, AttributionConfig(occlusion_unit="word"))[0]
    assert found[0, 1] == found[0, 2]
    assert found[0, 3] == found[0, 4]
    assert len(set(found[0, 1:6].tolist())) == 3
    assert (found[~of.selectable_BL] == 0).all()


@pytest.mark.parametrize("how", ["attention", "delete", "mask_token", "pad_token"])
def test_units_are_hidden_as_the_setting_says(how: Perturbation) -> None:
    of = target()
    blank = perturb(of.rows, of.selectable_BL, how, of.fill)
    with torch.no_grad():
        full, nothing = (of.logit_of_rows(rows, torch.arange(3)) for rows in (of.rows, blank))
    found = scores(of, "kernel_shap", occlusion_how=how).sum(1)
    torch.testing.assert_close(found, full - nothing, atol=1e-4, rtol=1e-4)


def test_all_subsets_are_tried_where_there_are_samples_for_them() -> None:
    for samples, exact in ((6, True), (5, False)):
        seen, weight = _coalitions(3, samples, torch.Generator().manual_seed(0))
        assert (len({tuple(row) for row in seen[2:].tolist()}) == len(seen) - 2 == 6) == exact
        assert (len(set(weight[2:].tolist())) == 1) == (not exact or samples == 6)


def test_subsets_are_drawn_by_the_weight_of_their_size() -> None:
    """That of the Shapley kernel, all subsets of a size together: 1 / (size * (n - size))."""
    seen, _ = _coalitions(40, 20_000, torch.Generator().manual_seed(0))
    sizes = seen[2:].sum(1).double()
    weights = np.array([1 / (size * (40 - size)) for size in range(1, 40)])
    expected = weights / weights.sum()
    shares = np.bincount(sizes.int().numpy(), minlength=41)[1:40] / len(sizes)
    # Of both of a pair only one is drawn.
    assert (abs(shares - expected) < 5 * np.sqrt(expected / 10_000)).all()

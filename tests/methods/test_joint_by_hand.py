"""The terms of joint training from their definitions, instance by instance, and what its settings make of them."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reference.method_worlds import counts_of, data, method_of
from unirex.data.collate import Batch, Rows

FRACTIONS = (0.2, 0.35, 0.5, 0.8)
"""At which even short texts have rationales of their own."""


def world(case: str, choices: bool = False, **settings: object) -> tuple[Any, Batch]:
    """A method whose answers differ a lot from one input to another, and a batch."""
    method = method_of(case, choices=choices).eval()
    method.config = replace(method.config, **settings)
    with torch.no_grad():
        method.model.classifier.weight.mul_(60)
    return method, data(choices=choices).collate(np.arange(6))


def surprise(method: Any, batch: Batch, rows: Rows) -> list[float]:
    """-log p(label) of each instance."""
    with torch.no_grad():
        logits = method.model.perturbed(rows, batch.n_choices).double()
    return [-row.log_softmax(0)[label].item() for row, label in zip(logits, batch.labels_I, strict=True)]


def parted(batch: Batch, scores_BL: Tensor, fraction: float, unit: str) -> tuple[Rows, Rows]:
    """The rows with the rationale alone, and without it."""
    keep, remove = batch.rows.visible_BL.clone(), batch.rows.visible_BL.clone()
    for row, words in enumerate(batch.words_BL.tolist()):
        units: dict[int, list[int]] = {}
        for token, word in enumerate(words):
            if word >= 0:
                units.setdefault(word if unit == "word" else token, []).append(token)
        order = sorted(units, key=lambda one: -max(scores_BL[row, token].item() for token in units[one]))
        size = max(1, round(fraction * len(units)))
        for place, one in enumerate(order):
            (remove if place < size else keep)[row, units[one]] = False
    return replace(batch.rows, visible_BL=keep), replace(batch.rows, visible_BL=remove)


@pytest.mark.parametrize("choices", [False, True], ids=["single", "choices"])
@pytest.mark.parametrize("case", ["slm_fp", "dlm_fp", "aa_fp"])
def test_the_losses_of_joint_training_by_hand(case: str, choices: bool) -> None:
    method, batch = world(case, choices, fractions=FRACTIONS, comp_margin=0.008, suff_margin=0.0004)
    batch = replace(batch, words_BL=torch.where(batch.selectable_BL, batch.words_BL // 2, -1))
    terms, c = {name: term.item() for name, term in method(batch, counts_of(batch), 3).items()}, method.config
    if case == "aa_fp":
        settings = c.attribution, c.attribution_settings, method.fill
        scores_BL = method.model.attributed(batch, batch.labels_I, *settings, train_scores=False)[1].detach()
    else:
        with torch.no_grad():
            scores_BL = method.model.full(batch)[1]
    full = surprise(method, batch, batch.rows)
    comp, suff = [], []
    for fraction in c.fractions:
        kept, removed = (surprise(method, batch, rows) for rows in parted(batch, scores_BL, fraction, c.unit))
        comp += [max(-0.008, a - b) + 0.008 for a, b in zip(full, removed, strict=True)]
        suff += [max(-0.0004, b - a) + 0.0004 for a, b in zip(full, kept, strict=True)]
    assert all(0 < sum(value == 0 for value in term) < len(term) for term in (comp, suff))
    inside = batch.selectable_BL & batch.has_gold_B[:, None]
    gold, scores = batch.gold_BL[inside].double(), scores_BL[inside].double()
    weight = (1 - gold).sum() / gold.sum()
    log_yes, log_no = torch.nn.functional.logsigmoid(scores), torch.nn.functional.logsigmoid(-scores)
    plaus = -(weight * gold * log_yes + (1 - gold) * log_no).mean().item()
    assert terms == {
        "task": pytest.approx(fmean(full), rel=1e-4),
        "comp": pytest.approx(fmean(comp), rel=1e-3),
        "suff": pytest.approx(fmean(suff), rel=1e-3),
        "plaus": pytest.approx(plaus, rel=1e-4),
    }
    for left_out in ("comp", "suff", "plaus"):
        method.config = replace(c, **{f"{left_out}_weight": 0.0})
        others = {name: pytest.approx(value, rel=1e-4) for name, value in terms.items() if name != left_out}
        assert {name: term.item() for name, term in method(batch, counts_of(batch), 3).items()} == others


@pytest.mark.parametrize(
    ("criterion", "target"),
    [("prior", None), ("prior", 0.2), ("unlikelihood", None), ("probability", None), ("probability", 0.33)],
)
def test_what_the_complement_predicts_by_hand(criterion: str, target: float | None) -> None:
    settings = {"comp_criterion": criterion, "comp_target": target, "unit": "token", "fractions": FRACTIONS}
    method, batch = world("slm_fp", **settings)
    with torch.no_grad():
        scores_BL = method.model.full(batch)[1]
    expected = []
    for fraction in FRACTIONS:
        _, removed = parted(batch, scores_BL, fraction, "token")
        with torch.no_grad():
            logits = method.model.perturbed(removed, 1).double()
        for p, label in zip(logits.softmax(1).tolist(), batch.labels_I.tolist(), strict=True):
            own = 1 / 3 if target is None else target
            wanted = [own if c == label else (1 - own) / 2 for c in range(3)]
            expected.append({
                "prior": sum(q * np.log(q / found) for q, found in zip(wanted, p, strict=True)),
                "unlikelihood": -np.log(1 - p[label]),
                "probability": max(0.0, p[label] - (target or 0.0)),
            }[criterion])  # fmt: skip
    assert method(batch, counts_of(batch), 3)["comp"].item() == pytest.approx(fmean(expected), rel=1e-3)


@pytest.mark.parametrize("choices", [False, True], ids=["single", "choices"])
@pytest.mark.parametrize("case", ["aa_fp", "aa_fp_mlp", "sgt_p"])
def test_plausibility_trains_the_encoder_through_its_attributions(case: str, choices: bool) -> None:
    """The gradient, of second order, is what the loss changes by along it."""
    method, batch = world(case, choices)
    weights = [*method.model.backbone.embeddings.parameters(), *method.model.backbone.encoder.parameters()]
    found = torch.autograd.grad(method(batch, counts_of(batch), 3)["plaus"], weights)
    length, step, losses = torch.nn.utils.get_total_norm(found).item(), 2e-3, []
    for move in (step, -2 * step):
        with torch.no_grad():
            for weight, gradient in zip(weights, found, strict=True):
                weight.add_(gradient, alpha=move / length)
        losses.append(method(batch, counts_of(batch), 3)["plaus"].item())
    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(length, rel=5e-3)


def test_a_ramp_raises_faithfulness_linearly_and_nothing_else() -> None:
    method, batch = world("slm_fp")
    whole = method(batch, counts_of(batch), 3)
    method.config = replace(method.config, ramp=0.4)
    for progress, share in ((0.0, 0.0), (0.1, 0.25), (0.4, 1.0), (0.9, 1.0)):
        terms = method(batch, replace(counts_of(batch), progress=progress), 3)
        assert {name: term.item() for name, term in terms.items()} == {
            name: pytest.approx(term.item() * (share if name in ("comp", "suff") else 1), rel=1e-5)
            for name, term in whole.items()
        }


@pytest.mark.parametrize("choices", [False, True], ids=["single", "choices"])
def test_random_masks_hide_any_number_of_tokens_equally_often(choices: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    method, _ = world("slm_p", choices, mask_weight=1.0)
    batch = data(choices=choices).collate(np.repeat([1, 5], 300))
    seen, perturbed = [], method.model.perturbed

    def noted(rows: Rows, *more: Any) -> Any:
        seen.append(rows)
        return perturbed(rows, *more)

    monkeypatch.setattr(method.model, "perturbed", noted)
    found = method(batch, counts_of(batch), 0)["mask"].item()
    (rows,) = seen
    assert found == pytest.approx(fmean(surprise(method, batch, rows)), rel=1e-4)
    hidden_BL = batch.rows.visible_BL & ~rows.visible_BL
    assert not (hidden_BL & ~batch.selectable_BL).any()
    for instance in hidden_BL.unflatten(0, (-1, batch.n_choices)):
        assert (instance == instance[0]).all()
    sizes = hidden_BL[:: batch.n_choices].sum(1).view(2, 300)
    for row, n_tokens in zip(sizes, batch.selectable_BL.sum(1)[:: 300 * batch.n_choices].tolist(), strict=True):
        times = Counter(row.tolist())
        assert set(times) == set(range(n_tokens + 1))
        assert all(abs(count / 300 - 1 / (n_tokens + 1)) < 0.08 for count in times.values())
    # A share of the mean over a global batch, of which this one may be a part.
    counts, shares = counts_of(batch), []
    for factor in (1, 2):
        torch.manual_seed(0)
        shares.append(method(batch, replace(counts, instances=factor * counts.instances), 0)["mask"].item())
    assert shares[1] == pytest.approx(shares[0] / 2, rel=1e-6)


def test_each_step_draws_so_many_of_the_fractions_and_every_pair_in_turn() -> None:
    method, batch = world("slm_fp", plaus_weight=0.0)
    counts = counts_of(batch)

    def comp(seed: int, **settings: object) -> float:
        method.config = replace(method.config, **settings)
        with torch.no_grad():
            return float(method(batch, counts, seed)["comp"])

    alone = [comp(0, fractions=(fraction,)) for fraction in FRACTIONS]
    pairs = [fmean(pair) for pair in combinations(alone, 2)]
    drawn = [comp(seed, fractions=FRACTIONS, fractions_per_step=2) for seed in range(40)]
    times = Counter(int(np.argmin(np.abs(np.array(pairs) - value))) for value in drawn)
    assert all(min(abs(value - pair) for pair in pairs) < 1e-6 for value in drawn)
    assert len(times) == len(pairs)
    assert fmean(drawn) == pytest.approx(fmean(alone), abs=0.15 * np.ptp(alone))
    assert drawn[:3] == [comp(seed) for seed in range(3)]
    assert comp(0, fractions_per_step=None) == pytest.approx(fmean(alone), rel=1e-5)

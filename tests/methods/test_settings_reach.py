"""Every setting of a method reaches the terms that it is about, and every row counts for what it is."""

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch

from reference.method_worlds import counts_of, data, method_of, stages_of
from unirex.data.collate import Batch, Rows
from unirex.extractors.settings import AttributionConfig
from unirex.methods.a2r import attention
from unirex.methods.method import Counts, plausibility_term
from unirex.methods.objectives import plausibility_loss
from unirex.methods.remembered import Remembered
from unirex.methods.settings.contract import PlausCriterion
from unirex.rationale.selection import rationale_masks


@pytest.mark.parametrize("case", ["slm_fp", "dlm_fp", "aa_fp", "sgt", "fresh", "a2r", "mcd", "n2r", "rtp", "l2e"])
def test_an_instance_counts_in_the_task_terms_for_the_weight_of_its_class(case: str) -> None:
    """Terms are sums over instances, so each instance by itself says what its weight must multiply."""
    weights, batch = (0.5, 3.0, 1.0), data().collate(np.arange(6))
    for stage in stages_of(method_of(case)):
        plain = method_of(case)
        weighted = type(plain)(plain.model, replace(plain.config, class_weights=weights), plain.fill)
        for method in (plain, weighted):
            if stage is not None:
                method.enter(stage)
        found = weighted(batch, counts_of(batch), 3)
        expected = dict.fromkeys(found, 0.0)
        for i, label in enumerate(batch.labels_I.tolist()):
            for name, term in plain(data().collate(np.array([i])), counts_of(batch), 3).items():
                of_task = name in ("task", "soft", "keep", "select")
                expected[name] += term.item() * (weights[label] if of_task else 1.0)
        assert {name: term.item() for name, term in found.items()} == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_an_instance_with_hidden_words_counts_for_the_weight_of_its_class_too() -> None:
    weights = (0.5, 3.0, 1.0)
    for i in range(6):
        batch, terms = data().collate(np.array([i])), []
        for class_weights in (None, weights):
            method = method_of("slm_fp")
            method.config = replace(method.config, mask_weight=1.0)
            method = type(method)(method.model, replace(method.config, class_weights=class_weights), method.fill)
            torch.manual_seed(i)  # the same words are hidden
            terms.append(method(batch, counts_of(batch), 3)["mask"].item())
        assert terms[1] == pytest.approx(weights[int(batch.labels_I[0])] * terms[0])
        assert terms[0] > 0


@pytest.mark.parametrize("how", ["mask_token", "delete"])
@pytest.mark.parametrize("case", ["slm_fp", "dlm_fp", "aa_f", "sgt", "fresh", "a2r"])
def test_every_term_hides_tokens_as_the_setting_says(case: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch, seen = method_of(case), data().collate(np.arange(6)), list[Rows]()
    masked = {"mask_weight": 1.0} if case in ("slm_fp", "dlm_fp", "aa_f") else {}
    method.config = replace(method.config, how=how, **masked)
    if stages_of(method)[0] is not None:
        method.enter("predictor")
    perturbed = method.model.perturbed

    def noted(rows: Rows, *more: Any) -> Any:
        seen.append(rows)
        return perturbed(rows, *more)

    monkeypatch.setattr(method.model, "perturbed", noted)
    assert ("mask" in method(batch, counts_of(batch), 0)) == bool(masked)
    assert len(seen) == 1 + bool(masked)
    for rows in seen:
        words_BL = rows.input_ids_BL != method.fill.pad_id
        if how == "mask_token":  # in place, and in view
            assert torch.equal(rows.visible_BL, words_BL)
            assert (rows.input_ids_BL == method.fill.mask_id).any()
        else:  # nothing is left between what is in view
            lengths = rows.visible_BL.sum(1)
            assert torch.equal(rows.visible_BL, torch.arange(words_BL.shape[1]) < lengths[:, None])
            assert lengths.double().mean() < batch.rows.visible_BL.sum(1).double().mean()


@pytest.mark.parametrize("case", ["slm_fp", "slm_fp_logistic", "aa_f", "fresh", "a2r_shared", "mcd_shared", "n2r_p"])
def test_words_are_selected_by_the_score_that_the_setting_makes_of_their_tokens(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, batch, seen = method_of(case), data().collate(np.arange(6)), set[tuple[object, ...]]()
    batch = replace(batch, words_BL=torch.where(batch.selectable_BL, batch.words_BL // 2, -1))
    method.config = replace(method.config, unit="word", word_score="first")
    if stages_of(method)[0] is not None:
        method.enter("predictor")
    if case == "aa_f":  # explained is the predicted class, trained the gold one
        batch = replace(batch, labels_I=method.explain(batch).logits_IC.argmax(1))
    scores_BL = method.explain(batch).scores_BL.detach()
    own = getattr(method, "fraction", None)
    fractions = (own,) if own else method.config.fractions
    rounding = getattr(method.config, "rounding", "half_even")

    def shown(pooling: Any) -> set[tuple[object, ...]]:
        """What may be in view of each row: the rationale, all but it, or everything."""
        found = views(batch.rows.input_ids_BL, batch.rows.visible_BL)
        for fraction in fractions:
            units: Any = {"unit": "word", "pooling": pooling, "rounding": rounding}
            kept = rationale_masks(scores_BL, batch.words_BL, fraction, **units)
            assert not own or pooling == "max" or torch.equal(method.rationale(batch, scores_BL, 0.9), kept)
            for part in (kept | ~batch.selectable_BL, ~kept):
                found |= views(batch.rows.input_ids_BL, batch.rows.visible_BL & part)
        return found

    perturbed = method.model.perturbed

    def noted(rows: Rows, *more: Any) -> Any:
        open_BL = rows.visible_BL if rows.gates_BL is None else rows.visible_BL & (rows.gates_BL > 0)
        seen.update(views(rows.input_ids_BL, open_BL))
        return perturbed(rows, *more)

    monkeypatch.setattr(method.model, "perturbed", noted)
    method(batch, counts_of(batch), 0)
    assert seen
    assert seen <= shown("first")
    assert not seen <= shown("max")


def views(ids_BL: torch.Tensor, open_BL: torch.Tensor) -> set[tuple[object, ...]]:
    """Rows and what is in view of each, as values that compare."""
    return {(*ids, *row) for ids, row in zip(ids_BL.tolist(), open_BL.tolist(), strict=True)}


@pytest.mark.parametrize("criterion", ["bce", "ranking", "mse"])
@pytest.mark.parametrize("case", ["slm_p", "sgt_p", "fresh_p", "a2r_p", "mcd_p", "n2r_p", "rtp_p"])
def test_scores_are_held_against_gold_as_the_setting_says(case: str, criterion: Any) -> None:
    method, batch = method_of(case), data().collate(np.arange(6))
    method.config = replace(method.config, plaus_criterion=criterion)
    if stages_of(method)[0] is not None:
        method.enter("support")
    batch = replace(batch, labels_I=method.explain(batch).logits_IC.argmax(1))
    expected = plausibility_term(method.explain(batch).scores_BL, batch, counts_of(batch), criterion)
    assert method(batch, counts_of(batch), 0)["plaus"].item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("case", "stage", "ask"), [("fresh", "predictor", "_of_support"), ("l2e", "explainer", "_classes")]
)
def test_a_frozen_model_is_asked_without_dropout(case: str, stage: str, ask: str) -> None:
    method, batch = method_of(case, dropout=0.5), data().collate(np.arange(6))
    method.enter(stage)
    first, second, still = (getattr(method.train(mode), ask)(batch) for mode in (True, True, False))
    assert torch.equal(first, still)
    assert torch.equal(second, still)


@pytest.mark.parametrize("train_scores", [False, True])
@pytest.mark.parametrize("settings", [{}, {"grad_pooling": "abs_sum"}, {"pooling": "abs_sum"}])
def test_an_attribution_is_pooled_in_training_as_it_is_explained(settings: dict[str, Any], train_scores: bool) -> None:
    method, batch = method_of("aa_f").eval(), data().collate(np.arange(6))
    config, answer_IC = AttributionConfig(**settings), torch.nn.functional.one_hot(batch.labels_I, 3).float()
    for kind in ("grad", "input_x_grad"):
        _, trained = method.model.attributed(
            batch, batch.labels_I, kind, config, method.fill, train_scores=train_scores
        )
        explained, _ = method.model.attributions(batch, answer_IC, kind, config, method.fill)
        torch.testing.assert_close(trained[batch.selectable_BL], explained[batch.selectable_BL], rtol=1e-4, atol=1e-6)


def test_the_gap_of_a2r_is_the_divergence_that_the_setting_names() -> None:
    method, batch = method_of("a2r"), data().collate(np.arange(6))
    with torch.no_grad():  # far apart: where answers are alike, so are the divergences
        method.model.classifier.weight.mul_(60)
        scores_BL = method.model.scores(batch)
        kept = rationale_masks(scores_BL, batch.words_BL, 0.3)
        rows = replace(batch.rows, visible_BL=batch.rows.visible_BL & (kept | ~batch.selectable_BL))
        hard = method.model.perturbed(rows).double().softmax(1)
        shares = attention(scores_BL, batch.selectable_BL, batch.rows.visible_BL)
        soft = method._soft_logits(batch, shares).double().softmax(1)
    middle = (hard + soft) / 2

    def divergence(p: torch.Tensor, q: torch.Tensor) -> float:
        return (p * (p / q).log()).sum(1).mean().item()

    expected = {
        "jensen_shannon": (divergence(hard, middle) + divergence(soft, middle)) / 2,
        "jensen_shannon_reversed": (divergence(middle, hard) + divergence(middle, soft)) / 2,
    }
    assert expected["jensen_shannon_reversed"] > 1.05 * expected["jensen_shannon"]
    for criterion, value in expected.items():
        method.config = replace(method.config, gap_criterion=criterion)
        assert method(batch, counts_of(batch), 0)["gap"].item() == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize("case", ["slm_fp_aimle", "mcd_p"])
def test_the_step_of_adaptive_imle_goes_by_the_marks_that_it_moves(case: str) -> None:
    method, told = method_of(case), list[list[float]]()

    def total(tally: torch.Tensor) -> torch.Tensor:
        told.append(tally.tolist())
        return 2 * tally  # another process has counted as many

    for number in (1, 2):
        terms = method(data().collate(np.arange(6)), counts_of(data().collate(np.arange(6))), 3)
        sum(method.weights[name] * term for name, term in terms.items()).backward()
        method.after_step({}, total)
        moved, selections = told[-1]
        assert len(told) == number
        assert selections > 0
        assert method.step.moved.item() != method.config.aimle_target or moved == selections
        assert method.step.size.item() != 0.5 or number == 2
    assert told[1][1] <= 1.5 * told[0][1]  # each step counts for itself


def test_marked_tokens_weigh_as_much_as_the_others_where_there_are_both() -> None:
    for tokens, positive, expected in ((4.0, 1.0, 3.0), (3.0, 3.0, 1.0), (3.0, 0.0, 1.0), (0.0, 0.0, 1.0)):
        counts = Counts(instances=2, gold_tokens=tokens, gold_positive=positive, gold_rows=1)
        assert counts.pos_weight == expected


@pytest.mark.parametrize("criterion", get_args(PlausCriterion))
def test_plausibility_is_a_mean_over_tokens_or_over_rows(criterion: Any) -> None:
    """Over all that have gold in the global batch, of which this one is a part."""
    torch.manual_seed(0)
    batch = data().collate(np.arange(6))
    scores_BL, inside_BL = torch.randn(batch.words_BL.shape), batch.selectable_BL & batch.has_gold_B[:, None]
    counts = replace(counts_of(batch), gold_tokens=70.0, gold_rows=9.0)
    weight = (70 - counts.gold_positive) / counts.gold_positive
    loss_BL = plausibility_loss(scores_BL, batch.gold_BL, inside_BL, criterion=criterion, pos_weight=weight)
    n = 9 if criterion in ("kl", "ranking") else 70
    found = plausibility_term(scores_BL, batch, counts, criterion).item()
    assert found == pytest.approx(loss_BL.sum().item() / n, rel=1e-5)


def test_of_choices_the_form_of_a_rationale_is_a_mean_over_rows() -> None:
    batch = data(choices=True).collate(np.arange(6))
    for case in ("mcd", "rtp"):
        method = method_of(case, choices=True)
        terms = method(batch, counts_of(batch), 0)
        scores_BL = method.explain(batch).scores_BL.detach()
        marks_BL = scores_BL.sigmoid() if case == "rtp" else method.rationale(batch, scores_BL, 0.0).float()
        jumps, sizes = [], []
        for marks_L, inside_L in zip(marks_BL, batch.selectable_BL, strict=True):
            marks = marks_L[inside_L].double().numpy()  # one run of tokens
            jumps.append(np.abs(np.diff(marks)).sum() / max(1, len(marks) - 1))
            sizes.append(abs(marks.mean() - 0.25))
        assert len(jumps) == 12
        assert terms["coherence"].item() == pytest.approx(np.mean(jumps), rel=1e-4)
        assert case == "mcd" or terms["size"].item() == pytest.approx(np.mean(sizes), rel=1e-4)


def test_what_is_remembered_of_a_row_is_its_own() -> None:
    """Of rows that come beside others the next time, some of them new, and with more padding."""
    world, remembered, asked = data(choices=True), Remembered(), list[list[int]]()

    def values(batch: Batch) -> torch.Tensor:
        """Another value for every token of every row."""
        row_B = (batch.index_I[:, None] * 2 + torch.arange(2)).reshape(-1)
        return (100 * row_B[:, None] + torch.arange(1, batch.words_BL.shape[1] + 1)) * batch.rows.visible_BL

    for index in ([1, 3], [3, 2], [1, 2, 3], [5, 0, 4, 2], [3]):
        batch = world.collate(np.array(index))

        def ask(batch: Batch = batch, index: list[int] = index) -> torch.Tensor:
            asked.append(index)
            return values(batch)

        assert torch.equal(remembered(batch, ask), values(batch))
    assert asked == [[1, 3], [3, 2], [5, 0, 4, 2]]
    for row in remembered._rows.values():  # and not a view of the batch that it came in
        assert row.untyped_storage().nbytes() == row.nbytes


@pytest.mark.parametrize("case", ["fresh", "l2e"])
def test_what_a_frozen_model_says_is_asked_in_single_precision(case: str) -> None:
    """As it is judged: what a token moves a logit by is mostly less than a step of bfloat16."""
    method = method_of(case)
    method.config = replace(method.config, attribution="occlusion")
    method.enter(method.stages[1].name)
    batch, asked = data().collate(np.arange(4)), {"fresh": "_of_support", "l2e": "_classes"}[case]
    expected = getattr(method, asked)(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        method(batch, counts_of(batch), 0)
        rounded = getattr(method, asked)(batch)
        found = method._remembered(batch, lambda: pytest.fail("asked twice"))
    inside_BL = batch.rows.visible_BL
    assert torch.equal(found[inside_BL], expected[inside_BL])
    assert not torch.equal(rounded[inside_BL], expected[inside_BL]), "the test notices nothing"


EACH = ["slm_fp", "dlm_fp", "aa_fp", "sgt_p", "fresh_p", "a2r_p", "mcd", "n2r", "rtp_p", "l2e"]


@pytest.mark.parametrize("case", EACH)
def test_a_text_without_words_adds_no_number_that_is_none(case: str) -> None:
    batch = data().collate(np.arange(6))
    nothing_B = torch.arange(6) == 3
    batch = replace(
        batch, words_BL=batch.words_BL.masked_fill(nothing_B[:, None], -1),
        gold_BL=batch.gold_BL.masked_fill(nothing_B[:, None], 0.0), has_gold_B=batch.has_gold_B & ~nothing_B,
    )  # fmt: skip
    for stage in stages_of(method_of(case)):
        method = method_of(case)
        if stage is not None:
            method.enter(stage)
        terms = method(batch, counts_of(batch), 3)
        sum(method.weights[name] * term for name, term in terms.items()).backward()
        assert all(term.isfinite() for term in terms.values()), terms
        for name, parameter in method.named_parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("case", ["slm_fp", "dlm_fp", "fresh", "a2r", "l2e"])
def test_no_weight_is_trained_without_a_gradient_where_rows_are_pooled_otherwise(case: str) -> None:
    """A pooler that nothing reads: data-parallel training would wait for its gradient."""
    batch = data().collate(np.arange(6))
    for stage in stages_of(method_of(case)):
        method = method_of(case)
        method.model.pooling = "mean"
        if case == "fresh":
            method.support.pooling = "mean"
        method.model.freeze_unused()
        if stage is not None:
            method.enter(stage)
        terms = method(batch, counts_of(batch), 3)
        sum(method.weights[name] * term for name, term in terms.items()).backward()
        assert [name for name, p in method.named_parameters() if p.requires_grad and p.grad is None] == []


def test_what_is_distilled_is_a_mean_over_the_rows_of_all_choices() -> None:
    method, batch = method_of("l2e", choices=True), data(choices=True).collate(np.arange(6))
    method.enter("explainer")
    found = method(batch, counts_of(batch), 0)["distil"].item()
    classes_BL, selectable_BL = method._classes(batch).long(), batch.selectable_BL
    log_p_BL = method.model.outputs(batch).detach().log_softmax(-1).gather(-1, classes_BL[..., None]).squeeze(-1)
    rows = [-log_p_L[inside_L].mean().item() for log_p_L, inside_L in zip(log_p_BL, selectable_BL, strict=True)]
    assert len(rows) == 12
    assert found == pytest.approx(np.mean(rows), rel=1e-4)

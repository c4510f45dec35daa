"""The losses of the methods against numbers worked by hand, and against the same sums written out."""

import math
from dataclasses import replace
from itertools import pairwise, product
from typing import get_args

import numpy as np
import pytest
import torch

from reference.method_worlds import counts_of, data, method_of
from unirex.extractors.attribution import attribute
from unirex.methods.a2r import attention
from unirex.methods.l2e import expected_class, importance_classes
from unirex.methods.method import Counts, plausibility_term, task_term
from unirex.methods.objectives import jensen_shannon, task_loss
from unirex.methods.settings.contract import PlausCriterion
from unirex.rationale.perturb import perturb
from unirex.rationale.selection import rationale_masks, select, top_k_masks, top_k_word_masks


def logits(*probabilities: float) -> torch.Tensor:
    return torch.tensor([[math.log(p) for p in probabilities]])


def test_jensen_shannon_by_hand() -> None:
    # The middle of (1/2, 1/2) and (1/4, 3/4) is (3/8, 5/8).
    first = 0.5 * math.log(4 / 3) + 0.5 * math.log(4 / 5)
    second = 0.25 * math.log(2 / 3) + 0.75 * math.log(6 / 5)
    found = jensen_shannon(logits(0.5, 0.5), logits(0.25, 0.75))
    assert found.tolist() == pytest.approx([(first + second) / 2], abs=1e-6)
    assert jensen_shannon(logits(0.25, 0.75), logits(0.25, 0.75)).item() == pytest.approx(0, abs=1e-7)
    far = jensen_shannon(torch.tensor([[200.0, -200.0]], requires_grad=True), torch.tensor([[-200.0, 200.0]]))
    assert far.item() == pytest.approx(math.log(2))


def test_importance_classes_by_hand() -> None:
    # Positive: 4, 1, 1, mean 2; negative: -1, -2, mean -1.5. The last token is not selectable and counts nowhere.
    scores = torch.tensor([[4.0, 1.0, 1.0, 0.0, -1.0, -2.0, 100.0]])
    selectable = torch.tensor([[True] * 6 + [False]])
    assert importance_classes(scores, selectable).tolist() == [[4, 3, 3, 2, 1, 0, 2]]
    # Equal magnitudes are not above their mean.
    assert importance_classes(torch.tensor([[2.0, 2.0]]), torch.ones(1, 2, dtype=torch.bool)).tolist() == [[3, 3]]
    # Whatever their sum is rounded to.
    for number, value in product(range(1, 40), (0.1, 0.3, 0.7, -0.3)):
        same = torch.full((1, number), value)
        assert importance_classes(same, torch.ones_like(same).bool()).unique().tolist() == [3 if value > 0 else 1]


def test_expected_class_by_hand() -> None:
    # Probabilities 1/4, 0, 1/2, 0, 1/4 of -2 … 2, and 3/4 of 1 with 1/4 of 2.
    tiny = -1e9
    rows = torch.tensor([
        [math.log(0.25), tiny, math.log(0.5), tiny, math.log(0.25)],
        [tiny, tiny, tiny, math.log(0.75), math.log(0.25)],
    ])  # fmt: skip
    assert expected_class(rows).tolist() == pytest.approx([0.0, 1.25], abs=1e-6)


def test_soft_attention_by_hand() -> None:
    scores = torch.tensor([[50.0, 1.0, 1.0 + math.log(4), -1e4], [3.0, 2.0, 1.0, math.inf]], requires_grad=True)
    selectable = torch.tensor([[False, True, True, True], [False, False, False, False]])
    visible = torch.tensor([[True] * 4, [True, True, False, False]])
    found = attention(scores, selectable, visible)
    assert found[0].tolist() == pytest.approx([0.0, 0.2, 0.8, 0.0])
    assert found[1].tolist() == [0.5, 0.5, 0.0, 0.0]
    (found * torch.arange(4.0)).sum().backward()
    assert torch.isfinite(scores.grad).all()  # type: ignore[arg-type]


def test_tokens_compete_for_the_soft_predictors_attention() -> None:
    """At most one of a row's tokens has more than half of it, however flat the scores."""
    torch.manual_seed(0)
    scores = 0.1 * torch.randn(20, 30)
    everything = torch.ones(20, 30, dtype=torch.bool)
    shares = attention(scores, everything, everything)
    torch.testing.assert_close(shares.sum(1), torch.ones(20))
    assert (shares > 0.5).sum() == 0


def test_the_public_codes_divergence_by_hand() -> None:
    # The middle of (1/2, 1/2) and (1/4, 3/4) is (3/8, 5/8).
    first = 3 / 8 * math.log(3 / 4) + 5 / 8 * math.log(5 / 4)
    second = 3 / 8 * math.log(3 / 2) + 5 / 8 * math.log(5 / 6)
    found = jensen_shannon(logits(0.5, 0.5), logits(0.25, 0.75), "jensen_shannon_reversed")
    assert found.tolist() == pytest.approx([(first + second) / 2], abs=1e-6)


def test_class_weights_and_counts_by_hand() -> None:
    batch = data().collate(np.array([0, 1]))  # labels a, b
    counts = Counts(instances=4, gold_tokens=0, gold_positive=0, gold_rows=0)
    assert task_term(torch.tensor([1.0, 2.0]), batch, counts, None).item() == pytest.approx(0.75)
    assert task_term(torch.tensor([1.0, 2.0]), batch, counts, torch.tensor([1.0, 0.1, 1.0])).item() == pytest.approx(
        0.3
    )


SCORES = torch.tensor([[9.0, 1.0, 5.0, 4.0, 0.0, 4.5, 9.0]])
WORDS = torch.tensor([[-1, 0, 0, 1, 2, 3, -1]])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # Tokens: 5 selectable; half of them is 2.5, which rounds to 2.
        ({"fraction": 0.5}, [0, 0, 1, 0, 0, 1, 0]),
        ({"fraction": 0.5, "shape": "contiguous"}, [0, 0, 1, 1, 0, 0, 0]),
        # 0.7 of 5 is 3.5: 4 to the even, 3 floored.
        ({"fraction": 0.7}, [0, 1, 1, 1, 0, 1, 0]),
        ({"fraction": 0.7, "rounding": "floor"}, [0, 0, 1, 1, 0, 1, 0]),
        ({"fraction": 0.7, "rounding": "floor", "shape": "contiguous"}, [0, 1, 1, 1, 0, 0, 0]),
        ({"fraction": 0.25, "rounding": "ceil"}, [0, 0, 1, 0, 0, 1, 0]),
        ({"fraction": 0.01, "rounding": "floor"}, [0, 0, 1, 0, 0, 0, 0]),
        # Words (highest token 5, 4, 0, 4.5): the pair of neighbours with most.
        ({"fraction": 0.5, "unit": "word"}, [0, 1, 1, 0, 0, 1, 0]),
        ({"fraction": 0.5, "unit": "word", "shape": "contiguous"}, [0, 1, 1, 1, 0, 0, 0]),
        # By the sum of their tokens: 6, 4, 0, 4.5.
        ({"fraction": 0.25, "unit": "word", "pooling": "sum", "shape": "contiguous"}, [0, 1, 1, 0, 0, 0, 0]),
    ],
)
def test_rationales_of_other_shapes_by_hand(settings: dict[str, object], expected: list[int]) -> None:
    fraction = settings.pop("fraction")
    assert rationale_masks(SCORES, WORDS, fraction, **settings)[0].int().tolist() == expected  # type: ignore[arg-type]


def test_a_share_that_is_whole_in_decimals_is_not_floored_below() -> None:
    words = torch.arange(15)[None]
    for rounding in ("floor", "ceil"):
        assert rationale_masks(torch.rand(1, 15), words, 0.2, rounding=rounding).sum() == 3  # type: ignore[arg-type]
    assert rationale_masks(torch.rand(1, 100), torch.arange(100)[None], 0.29, rounding="floor").sum() == 29


def test_the_plain_rationale_is_the_top_k() -> None:
    torch.manual_seed(0)
    batch = data().collate(np.arange(6))
    scores = torch.randn(batch.words_BL.shape)
    assert torch.equal(rationale_masks(scores, batch.words_BL, 0.4), top_k_masks(scores, batch.selectable_BL, [0.4])[0])
    by_word = rationale_masks(scores, batch.words_BL, 0.4, unit="word", pooling="mean")
    assert torch.equal(by_word, top_k_word_masks(scores, batch.words_BL, [0.4], pooling="mean")[0])


def test_contiguous_rationales_against_every_run() -> None:
    torch.manual_seed(1)
    for n in range(1, 9):
        scores, words = (
            torch.randn(1, n + 2),
            torch.cat([torch.tensor([-1]), torch.arange(n), torch.tensor([-1])])[None],
        )
        for fraction in (0.1, 0.3, 0.5, 0.8, 1.0):
            size = max(1, round(fraction * n))
            best = max(range(n - size + 1), key=lambda s: scores[0, 1 + s : 1 + s + size].sum().item())
            marks = rationale_masks(scores, words, fraction, shape="contiguous")[0]
            assert marks.nonzero().flatten().tolist() == list(range(1 + best, 1 + best + size))


@pytest.mark.parametrize(
    ("scores", "fraction", "expected"),
    [
        ([5.0, -math.inf, 1.0, 2.0, 3.0], 0.4, [0, 0, 0, 1, 1]),
        ([math.inf, 0.0, 0.0, 0.0, 0.0], 0.4, [1, 1, 0, 0, 0]),
        ([0.0, 0.0, 1.0, math.inf, -math.inf], 0.4, [0, 0, 1, 1, 0]),
    ],
)
def test_contiguous_rationales_of_infinite_scores(scores: list[float], fraction: float, expected: list[int]) -> None:
    marks = rationale_masks(torch.tensor([scores]), torch.arange(5)[None], fraction, shape="contiguous")[0]
    assert marks.int().tolist() == expected


def test_sgt_is_the_task_loss_and_kl_at_the_top_attributions() -> None:
    method, batch = method_of("sgt"), data().collate(np.arange(6))
    with torch.no_grad():
        method.model.classifier.weight.mul_(30)
    terms = method(batch, counts_of(batch), 0)
    with torch.no_grad():
        full, _ = method.model.full(batch)
        config = method.config
        target = method.model.target(batch, batch.labels_I, 1000, method.fill)
        scores, _ = attribute(target, batch.words_BL, "input_x_grad", config.attribution_settings)
        total = 0.0
        for fraction in config.fractions:
            kept = top_k_masks(scores, batch.selectable_BL, [fraction])[0]
            rows = perturb(batch.rows, batch.selectable_BL & ~kept, "attention", method.fill)
            p, q = full.softmax(1), method.model.perturbed(rows).softmax(1)
            total += (p * (p / q).log()).sum().item()
    assert terms["task"].item() == pytest.approx(task_loss(full, batch.labels_I).mean().item(), rel=1e-5)
    assert terms["suff"].item() == pytest.approx(total / (6 * len(config.fractions)), rel=1e-4)
    assert set(terms) == {"task", "suff"}


def test_fresh_trains_the_predictor_on_the_rationale_alone() -> None:
    method, batch = method_of("fresh"), data().collate(np.arange(6))
    method.enter("predictor")
    terms = method(batch, counts_of(batch), 0)
    with torch.no_grad():
        scores = method.explain(batch).scores_BL
        kept = top_k_masks(scores, batch.selectable_BL, [0.3])[0]
        rows = perturb(batch.rows, batch.selectable_BL & ~kept, "attention", method.fill)
        expected = task_loss(method.model.perturbed(rows), batch.labels_I).mean().item()
    assert terms["task"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("criterion", get_args(PlausCriterion))
def test_plausibility_does_not_read_the_gold_of_rows_that_have_none(criterion: PlausCriterion) -> None:
    torch.manual_seed(0)
    batch, found = data().collate(np.arange(6)), []
    scores_BL = torch.randn(batch.words_BL.shape)
    for unknown in (0.0, 1.0):
        gold_BL = torch.where(batch.has_gold_B[:, None], batch.gold_BL, unknown)
        one, read_BL = replace(batch, gold_BL=gold_BL), scores_BL.clone().requires_grad_()
        value = plausibility_term(read_BL, one, counts_of(one), criterion)
        (gradient,) = torch.autograd.grad(value, read_BL)
        assert (gradient[~batch.has_gold_B] == 0).all()
        assert (gradient[batch.has_gold_B] != 0).any()
        found.append((value.item(), gradient.tolist()))
    assert found[0] == found[1]
    assert not batch.has_gold_B.all()


def test_a2r_is_two_task_losses_and_their_gap() -> None:
    method, batch = method_of("a2r"), data().collate(np.arange(6))
    terms = method(batch, counts_of(batch), 0)
    model = method.model
    with torch.no_grad():
        scores = model.scores(batch)
        kept = top_k_masks(scores, batch.selectable_BL, [0.3])[0]
        hard = model.perturbed(perturb(batch.rows, batch.selectable_BL & ~kept, "attention", method.fill))
        soft = []
        for row in range(6):  # the soft predictor began as the hard one
            inside = batch.selectable_BL[row]
            seen = batch.rows.visible_BL[row]
            hidden = model.backbone(input_ids=batch.rows.input_ids_BL[row][seen][None]).last_hidden_state[0]
            share = scores[row][inside].softmax(0)
            soft.append(model.classifier((share[:, None] * hidden[inside[seen]]).sum(0))[None])
        p, q = hard.softmax(1), torch.cat(soft).softmax(1)
        m = (p + q) / 2
        gap = ((p * (p / m).log()).sum(1) + (q * (q / m).log()).sum(1)) / 2
    assert terms["task"].item() == pytest.approx(task_loss(hard, batch.labels_I).mean().item(), rel=1e-4)
    assert terms["soft"].item() == pytest.approx(task_loss(torch.cat(soft), batch.labels_I).mean().item(), rel=1e-4)
    assert terms["gap"].item() == pytest.approx(gap.mean().item(), rel=1e-3, abs=1e-6)


def test_a2r_as_the_public_code_of_the_paper_has_it() -> None:
    """Five fractions for the hard predictor, no task loss of the soft one, half the weight of its divergence."""
    method, batch = method_of("a2r_paper"), data().collate(np.arange(6))
    terms = method(batch, counts_of(batch), 0)
    single, task, gap = method_of("a2r_paper"), 0.0, 0.0
    for fraction in (0.01, 0.05, 0.1, 0.2, 0.5):
        object.__setattr__(single.config, "fractions", (fraction,))
        alone = single(batch, counts_of(batch), 0)
        task, gap = task + alone["task"].item() / 5, gap + alone["gap"].item() / 5
    assert terms["task"].item() == pytest.approx(task, rel=1e-5)
    assert terms["gap"].item() == pytest.approx(gap, rel=1e-4, abs=1e-7)
    assert method.weights == {"task": 1.0, "soft": 0.0, "gap": 0.5, "plaus": 0.0}


def test_a2r_trains_scores_through_the_soft_predictor_only() -> None:
    method, batch = method_of("a2r"), data().collate(np.arange(6))
    method(batch, counts_of(batch), 0)["task"].backward()
    assert all(p.grad is None for p in [*method.model.extractor.parameters(), *method.soft.parameters()])
    method.zero_grad()
    method(batch, counts_of(batch), 0)["soft"].backward()
    assert method.model.extractor.head.layers[0].weight.grad.abs().max() > 0
    hard = [*method.model.backbone.parameters(), *method.model.classifier.parameters()]
    assert all(p.grad is None for p in hard)  # two predictors, which no weight is of both


def test_mcd_is_two_task_losses_their_divergence_and_its_jumps() -> None:
    method, batch = method_of("mcd"), data().collate(np.arange(6))
    terms = method(batch, counts_of(batch), 0)
    with torch.no_grad():
        full, scores = method.model.full(batch)
        kept = top_k_masks(scores, batch.selectable_BL, [0.3])[0]
        keep = method.model.perturbed(perturb(batch.rows, batch.selectable_BL & ~kept, "attention", method.fill))
        p, q = full.softmax(1), keep.softmax(1)
        jumps = 0.0
        for row in range(6):
            marks = kept[row][batch.selectable_BL[row]].tolist()  # one run of tokens
            changes = [a != b for a, b in pairwise(marks)]
            jumps += sum(changes) / len(changes) if changes else 0.0
    assert jumps > 0
    expected = {
        "task": task_loss(full, batch.labels_I).mean().item(),
        "keep": task_loss(keep, batch.labels_I).mean().item(),
        "dependence": (p * (p / q).log()).sum(1).mean().item(),
        "coherence": jumps / 6,
    }
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-3, abs=1e-7), name


def test_n2r_compares_the_lengths_of_what_is_classified() -> None:
    method, batch = method_of("n2r"), data().collate(np.arange(6))
    terms = method(batch, counts_of(batch), 0)
    model, ce, norm = method.model, 0.0, 0.0
    with torch.no_grad():
        scores = model.scores(batch)
        kept = top_k_masks(scores, batch.selectable_BL, [0.3])[0]
        for row, label in enumerate(batch.labels_I.tolist()):
            seen = batch.rows.visible_BL[row]
            ids = batch.rows.input_ids_BL[row][seen][None]
            left = (kept[row] | ~batch.selectable_BL[row])[seen][None]
            whole, part = (
                model.backbone(input_ids=ids, attention_mask=mask.long()).pooler_output[0]
                for mask in (torch.ones_like(left), left)
            )
            ce -= model.classifier(part).log_softmax(0)[label].item() / 6
            norm += (1 - part.norm() / whole.norm()).item() / 6
    assert terms["select"].item() == pytest.approx(ce, rel=1e-4)
    assert terms["keep"].item() == pytest.approx(ce, rel=1e-4)
    assert terms["norm"].item() == pytest.approx(norm, rel=1e-3)
    assert abs(norm) > 1e-3


@pytest.mark.parametrize(
    ("case", "own"), [("mcd", ["dependence"]), ("mcd_shared", ["dependence"]), ("n2r", ["select", "norm"])]
)
def test_predictor_and_extractor_have_losses_of_their_own(case: str, own: list[str]) -> None:
    """The rationale is a constant to the predictor, and the predictor one to what the extractor minimizes."""
    head = "extractor.head.layers" if method_of(case).model.config.extractor == "dual" else "extractor.layers"
    for term in ("task", "keep", "coherence", *own):
        method, batch = method_of(case), data().collate(np.arange(6))
        method(batch, counts_of(batch), 0)[term].backward()
        reached = {name for name, p in method.model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
        by_predictor = term in ("task", "keep")
        assert any(name.startswith("classifier") for name in reached) == by_predictor
        assert any(name.startswith(head) for name in reached) != by_predictor
        if not case.endswith("shared"):
            assert any(name.startswith("backbone") for name in reached) == by_predictor


def test_rtp_is_three_answers_and_the_form_of_the_mask() -> None:
    method, batch = method_of("rtp"), data().collate(np.arange(6))
    terms = method(batch, counts_of(batch), 0)
    expected = dict.fromkeys(terms, 0.0)
    with torch.no_grad():
        full, scores = method.model.full(batch)
        for row, label in enumerate(batch.labels_I.tolist()):
            inside = batch.selectable_BL[row].nonzero().flatten().tolist()  # one run of tokens
            mask = [1 / (1 + math.exp(-scores[row, t].item())) for t in inside]
            keep, remove = torch.ones(2, batch.words_BL.shape[1])
            keep[inside], remove[inside] = torch.tensor(mask), 1 - torch.tensor(mask)
            alone = batch.rows.take(torch.tensor([row]))
            kept, left = (
                method.model.perturbed(replace(alone, gates_BL=gates[None])).log_softmax(1)[0].tolist()
                for gates in (keep, remove)
            )
            expected["task"] -= full[row].log_softmax(0)[label].item() / 6
            expected["keep"] -= kept[label] / 6
            expected["remove"] += sum(math.log(1 / 3) - value for value in left) / 3 / 6
            expected["size"] += abs(sum(mask) / len(mask) - 0.25) / 6  # the run's f*
            changes = [abs(a - b) for a, b in pairwise(mask)]
            expected["coherence"] += sum(changes) / max(len(changes), 1) / 6
    for name in ("task", "keep", "remove", "size", "coherence"):
        assert terms[name].item() == pytest.approx(expected[name], rel=1e-3, abs=1e-6), name
        assert terms[name].item() > 1e-3


def test_rtp_trains_one_model_by_every_answer() -> None:
    for term in ("keep", "remove"):
        method, batch = method_of("rtp"), data().collate(np.arange(6))
        method(batch, counts_of(batch), 0)[term].backward()
        for part in ("classifier.weight", "extractor.layers.0.weight", "backbone.embeddings.word_embeddings.weight"):
            gradient = method.model.get_parameter(part).grad
            assert gradient is not None, (term, part)
            assert gradient.abs().max() > 0, (term, part)


def test_l2e_distils_the_classes_of_the_attribution() -> None:
    method, batch = method_of("l2e"), data().collate(np.arange(6))
    method.enter("explainer")
    terms = method(batch, counts_of(batch), 0)
    with torch.no_grad():
        logits_IC, _ = method.model.full(batch)
        scores, _ = method.model.attributions(batch, logits_IC, "ig", method.config.attribution_settings, method.fill)
        outputs = method.model.outputs(batch).log_softmax(-1)
        total = 0.0
        for row in range(6):
            inside = batch.selectable_BL[row].nonzero().flatten().tolist()
            values = scores[row]
            positive = [values[t].item() for t in inside if values[t] > 0]
            negative = [values[t].item() for t in inside if values[t] < 0]
            loss = 0.0
            for t in inside:
                v = values[t].item()
                wanted = 2
                if v > 0:
                    wanted = 4 if v > sum(positive) / len(positive) else 3
                if v < 0:
                    wanted = 0 if v < sum(negative) / len(negative) else 1
                loss -= outputs[row, t, wanted].item()
            total += loss / len(inside)
    assert terms["distil"].item() == pytest.approx(total / 6, rel=1e-4)
    with torch.no_grad():
        assert set(method_of("l2e_class").explain(batch).scores_BL.unique().tolist()) <= {-2.0, -1.0, 0.0, 1.0, 2.0}


def test_comprehensiveness_can_leave_the_task_model_as_it_is() -> None:
    batch = data().collate(np.arange(6))
    for both, apart in (("slm_fp_logistic", "slm_fp_apart"), ("dlm_fp_logistic", "dlm_fp_apart")):
        found = {}
        for case in (both, apart):
            method = method_of(case)
            trained = [parameter.requires_grad for parameter in method.parameters()]
            method.forward(batch, counts_of(batch), 0)["comp"].backward()
            assert [parameter.requires_grad for parameter in method.parameters()] == trained
            found[case] = {name: parameter.grad for name, parameter in method.model.named_parameters()}
        terms = [method_of(case).forward(batch, counts_of(batch), 0) for case in (both, apart)]
        for name, value in terms[0].items():
            assert terms[1][name].item() == pytest.approx(value.item(), rel=1e-6), name
        # Through the scores the gradient reaches the extractor; the task model gets none.
        n_compared = {"reached": 0, "none": 0}
        for name, gradient in found[both].items():
            # A selection does not change when all scores shift, so that a bias gets nothing but rounding errors.
            if name.startswith(("extractor.layers", "extractor.head")) and name.endswith("weight"):
                assert found[apart][name].abs().sum() > 0, name
                n_compared["reached"] += 1
            if name.startswith("classifier") or (apart.startswith("dlm") and name.startswith("backbone.encoder")):
                assert gradient.abs().sum() > 0, name
                assert found[apart][name] is None, name
                n_compared["none"] += 1
        assert min(n_compared.values()) > 0


def flat_gradient(value: torch.Tensor, method: torch.nn.Module) -> torch.Tensor:
    """The gradient by all of a method's parameters that are trained, in a row; 0 where there is none."""
    parameters = [p for p in method.parameters() if p.requires_grad]
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    return torch.cat(
        [torch.zeros(p.numel()) if g is None else g.flatten() for p, g in zip(parameters, found, strict=True)]
    )


def gradient_of(case: str, term: str, **settings: object) -> tuple[float, torch.Tensor]:
    """A term's value and gradient, where the method's settings are changed so."""
    method, batch = method_of(case), data().collate(np.arange(6))
    method.config = replace(method.config, **settings)
    value = method(batch, counts_of(batch), 0)[term]
    return value.item(), flat_gradient(value, method)


@pytest.mark.parametrize("case", ["slm_fp", "dlm_fp"])
def test_a_detached_full_input_is_a_constant_of_comprehensiveness_and_sufficiency(case: str) -> None:
    """CE(full) is in `diff` with the sign + and -: detaching it takes away the task's gradient, or adds it."""
    _, task = gradient_of(case, "task")
    for term, setting, sign in (("comp", "comp_criterion", 1), ("suff", "suff_criterion", -1)):
        value, whole = gradient_of(case, term, **{setting: "diff"})
        same, constant = gradient_of(case, term, **{setting: "diff"}, detach_full=True)
        assert same == value
        torch.testing.assert_close(whole - constant, sign * task, atol=2e-6, rtol=1e-4)
        assert (whole - constant).norm() > 0.1 * whole.norm()


def test_the_divergence_of_the_papers_code_takes_the_full_input_as_constant_where_asked() -> None:
    case, settings = "slm_fp", {"suff_criterion": "kl_mean_reversed"}
    value, whole = gradient_of(case, "suff", **settings)
    same, constant = gradient_of(case, "suff", **settings, detach_full=True)
    assert same == value
    assert (whole - constant).norm() > 0.1 * whole.norm()
    # What is left out: the gradient through the full input alone, what is kept being a constant.
    method, batch = method_of(case), data().collate(np.arange(6))
    full, scores = method.model.full(batch)
    config = method.config
    with torch.no_grad():
        kept = select(scores, batch.words_BL, config.fractions, config.unit, config.word_score)
        rows = [perturb(batch.rows, batch.selectable_BL & ~mask, "attention", method.fill) for mask in kept]
        keep = torch.stack([method.model.perturbed(part) for part in rows]).log_softmax(-1)
    by_full = (keep.exp() * (keep - full.log_softmax(-1))).mean(-1).mean()
    expected = flat_gradient(by_full, method)
    torch.testing.assert_close(whole - constant, expected, atol=2e-6, rtol=1e-3)


@pytest.mark.parametrize(
    ("case", "task", "own"),
    [("slm_fp", 2, 0), ("dlm_fp", 1, 1), ("dlm_fp_logistic", 1, 1), ("dlm_fp_apart", 2, 1), ("dlm_p", 1, 1)],
)
def test_encoders_run_no_more_often_than_they_must(case: str, task: int, own: int) -> None:
    method, batch = method_of(case), data().collate(np.arange(6))
    runs = {"task": 0, "own": 0}

    def count(module: torch.nn.Module, name: str) -> None:
        # The first layer's feed-forward block runs once a pass, packed or not.
        found = [part for part, _ in module.named_modules() if part.endswith("layer.0.intermediate")]
        module.get_submodule(found[0]).register_forward_hook(lambda *_: runs.__setitem__(name, runs[name] + 1))

    count(method.model.backbone, "task")
    if own:
        count(method.model.extractor.backbone, "own")
    method.forward(batch, counts_of(batch), 0)
    assert runs == {"task": task, "own": own}

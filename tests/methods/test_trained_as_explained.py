"""Losses and selection read the scores that are explained, and the model that is trained is the one that answers."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reference.method_worlds import CASES, counts_of, data, method_of, stages_of
from unirex.data.collate import Batch
from unirex.methods import a2r, fresh, joint, rtp, selecting
from unirex.methods.method import Explanation

READERS = ("plausibility_term", "select", "relaxed_masks", "rationale_masks")
READ_NOTHING = {
    *(("aa", None), ("fresh", "support"), ("fresh_contiguous", "support")),
    *((case, stage) for case in ("l2e", "l2e_class") for stage in ("task", "explainer")),
}


@cache
def batch_of(choices: bool) -> Batch:
    return data(choices=choices).collate(np.arange(6))


@cache
def explained(case: str, choices: bool) -> tuple[Any, dict[str | None, Explanation]]:
    """A method, and what it explains in each stage."""
    method, found = method_of(case, choices=choices).eval(), {}
    for stage in stages_of(method):
        enter(method, stage)
        with torch.no_grad():
            found[stage] = method.explain(batch_of(choices))
    return method, found


def enter(method: Any, stage: str | None) -> None:
    if stage is not None:
        method.enter(stage)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Tensor]]:
    """The scores that losses and selection were given, and which of them."""
    found: list[tuple[str, Tensor]] = []

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(scores_BL: Tensor, *args: Any, **kwargs: Any) -> Any:
            found.append((name, scores_BL.detach()))
            return function(scores_BL, *args, **kwargs)

        return noted

    for module in (a2r, fresh, joint, rtp, selecting):
        for name in READERS:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, noting(name, getattr(module, name)))
    return found


@pytest.mark.parametrize("choices", [False, True], ids=["single", "choices"])
@pytest.mark.parametrize("case", CASES)
def test_losses_and_selection_read_the_scores_that_are_explained(
    case: str, choices: bool, read: list[tuple[str, Tensor]]
) -> None:
    (method, stages), batch = explained(case, choices), batch_of(choices)
    for stage, found in stages.items():
        enter(method, stage)
        read.clear()
        # Attributions are trained of the gold class, and explained of the predicted one.
        terms = method(replace(batch, labels_I=found.logits_IC.argmax(1)), counts_of(batch), 3)
        assert bool(read) == ((case, stage) not in READ_NOTHING)
        assert any(name == "plausibility_term" for name, _ in read) == ("plaus" in terms)
        led = method.scores_from == "extractor and gradient"
        expected_BL = method.model.full(batch)[1].detach() if led else found.scores_BL
        for name, scores_BL in read:
            inside = [scores[batch.selectable_BL] for scores in (scores_BL, expected_BL)]
            torch.testing.assert_close(*inside, rtol=1e-4, atol=1e-6, msg=f"{stage} {name}")


@pytest.mark.parametrize("choices", [False, True], ids=["single", "choices"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_explained_is_the_answer_to_the_full_input(case: str, choices: bool) -> None:
    (method, stages), batch = explained(case, choices), batch_of(choices)
    for stage, found in stages.items():
        enter(method, stage)
        whole_BLD = torch.ones(*batch.rows.input_ids_BL.shape, method.embedding_width)
        with torch.no_grad():
            torch.testing.assert_close(method.perturbed(batch.rows, batch.n_choices, None), found.logits_IC)
            torch.testing.assert_close(method.embedded(batch, whole_BLD, 4096), found.logits_IC)


@pytest.mark.parametrize("case", ["fresh", "fresh_p"])
def test_fresh_is_judged_with_the_classifier_that_the_stage_trains(case: str) -> None:
    (method, stages), batch = explained(case, False), batch_of(False)
    with torch.no_grad():
        support, predictor = method.support.full(batch)[0], method.model.full(batch)[0]
    torch.testing.assert_close(stages["support"].logits_IC, support)
    torch.testing.assert_close(stages["predictor"].logits_IC, predictor)
    assert not torch.allclose(support, predictor, atol=1e-3)

"""NAOPC: what is judged against all orders of the words tried one by one, and what a file makes of it."""

import itertools
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from accelerate import Accelerator

from reference import predictions
from reference.method_worlds import data, method_of
from unirex.data.collate import Batch
from unirex.judging.gather import judge
from unirex.judging.orders import Orders, sampled
from unirex.judging.predict import OWN, EvalConfig, Judging
from unirex.metrics.scoring import score
from unirex.metrics.state import Resampling
from unirex.rationale.perturb import perturb

ACCELERATOR = Accelerator(cpu=True)


def probability(method: Any, batch: Batch, instance: int, words: Collection[int], answer: int, how: str) -> float:
    """Of the answer, with these words hidden."""
    n = batch.n_choices
    rows = torch.arange(instance * n, instance * n + n)
    hidden = torch.isin(batch.words_BL[rows], torch.tensor(sorted(words), dtype=torch.int64))
    logits = method.perturbed(perturb(batch.rows.take(rows), hidden, how, method.fill), n, None)
    return float(logits.double().softmax(-1)[0, answer])


def outcome(of_set: Callable[[frozenset[int]], float], order: tuple[int, ...]) -> float:
    """The mean probability while words are hidden in this order."""
    return float(np.mean([of_set(frozenset(order[: k + 1])) for k in range(len(order))]))


@pytest.mark.parametrize("choices", [False, True])
@pytest.mark.parametrize("how", ["attention", "delete", "mask_token"])
@torch.no_grad()
def test_outcomes_are_those_of_orders_tried_one_by_one(how: Any, choices: bool) -> None:
    method, world = method_of("slm_fp", choices=choices).eval(), data(choices=choices)
    batch = world.collate(np.array([1, 3, 5]))
    explanation = method.explain(batch)
    answer_I = explanation.logits_IC.argmax(1).numpy()
    config = EvalConfig(naopc_beam=1, naopc_units=9, max_tokens=8)
    orders = Orders(method, batch, answer_I, np.ones(3, dtype=np.bool_), how, config)
    drawn_BL = torch.randn(batch.words_BL.shape, generator=torch.Generator().manual_seed(0))  # other in each choice
    sources = {"own": explanation.scores_BL, "drawn": drawn_BL}
    found = orders.outcomes(sources, "max")
    for i, (n, answer) in enumerate(zip([2, 1, 5], answer_I.tolist(), strict=True)):
        row = i * batch.n_choices + (answer if choices else 0)
        of_set = cache(partial(probability, method, batch, i, answer=answer, how=how))
        every = [outcome(of_set, order) for order in itertools.permutations(range(n))]
        for source, scores_BL in sources.items():
            scores = [float(scores_BL[row][batch.words_BL[row] == w].max()) for w in range(n)]
            falling = tuple(sorted(range(n), key=lambda w, scores=scores: -scores[w]))  # type: ignore[misc]
            mine = [outcome(of_set, order) for order in (falling, falling[::-1])]
            np.testing.assert_allclose(found[source][i], [*mine, min(every), max(every)], atol=1e-6)


@torch.no_grad()
def test_the_words_of_a_long_text_are_taken_together() -> None:
    method, world = method_of("slm_fp").eval(), data()
    batch = world.collate(np.array([2]))
    config = EvalConfig(naopc_beam=5, naopc_units=3)
    orders = Orders(method, batch, np.array([1]), np.ones(1, dtype=np.bool_), "attention", config)
    groups = ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10))
    assert [int(u) for u in orders.unit_of_word[0]] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    scores_W = torch.tensor([5.0, 0, 0, 0, 2, 2, 2, 2, 1, 1, 1])  # a mean of 1.25, 2 and 1
    scores_BL = torch.where(batch.words_BL >= 0, scores_W[batch.words_BL.clamp(min=0)], 0.0)

    def mean(order: tuple[int, ...]) -> float:
        shown = [
            probability(method, batch, 0, {w for g in order[: k + 1] for w in groups[g]}, 1, "attention")
            for k in range(3)
        ]
        return float(np.mean(shown))

    every = [mean(order) for order in itertools.permutations(range(3))]
    found = orders.outcomes({"own": scores_BL}, "max")["own"][0]
    np.testing.assert_allclose(found, [mean((1, 0, 2)), mean((2, 0, 1)), min(every), max(every)], atol=1e-6)


@torch.no_grad()
def test_orders_that_the_beam_missed_move_the_ends_of_all_sources() -> None:
    method, world = method_of("slm_fp").eval(), data()
    batch = world.collate(np.array([2]))
    orders = Orders(method, batch, np.array([1]), np.ones(1, dtype=np.bool_), "attention", EvalConfig(naopc_beam=1))
    orders.low_I = orders.high_I = (orders.low_I + orders.high_I) / 2  # as if it had found one order
    generator = torch.Generator().manual_seed(1)
    scores = {name: torch.randn(batch.words_BL.shape, generator=generator) for name in "abc"}
    found = orders.outcomes(scores, "max")
    judged = np.concatenate([one[0, :2] for one in found.values()])
    for one in found.values():
        assert one[0, 2] == min(*judged, orders.low_I[0])
        assert one[0, 3] == max(*judged, orders.high_I[0])
    assert len({one[0, 0] for one in found.values()}) == 3


@torch.no_grad()
def test_words_without_a_score_go_last_and_runs_of_words_are_scored_by_the_others() -> None:
    method, world = method_of("slm_fp").eval(), data()
    batch = world.collate(np.array([2]))
    orders = Orders(
        method, batch, np.array([0]), np.ones(1, dtype=np.bool_), "attention", EvalConfig(naopc_beam=5, naopc_units=4)
    )
    assert orders.unit_of_word[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    scores_W = torch.tensor([9.0, -torch.inf, -torch.inf, 5, 5, 5, *[-torch.inf] * 3, 1, 1])
    scores_BL = torch.where(batch.words_BL >= 0, scores_W[batch.words_BL.clamp(min=0)], 0.0)
    wanted = [(0, 1, 3, 2), (2, 3, 1, 0)]
    groups = ({0, 1, 2}, {3, 4, 5}, {6, 7, 8}, {9, 10})
    expected = []
    for order in wanted:
        shown = [set().union(*(groups[g] for g in order[: k + 1])) for k in range(4)]
        expected.append(np.mean([probability(method, batch, 0, words, 0, "attention") for words in shown]))
    found = orders.outcomes({"file": scores_BL}, "max")["file"][0]
    np.testing.assert_allclose(found[:2], expected, atol=1e-6)


@torch.no_grad()
def test_a_word_that_another_choice_alone_shows_has_no_score_and_goes_last() -> None:
    method, world = method_of("slm_fp", choices=True).eval(), data(choices=True)
    batch = world.collate(np.array([0]))
    last = int(batch.words_BL.max())
    batch.words_BL[0][batch.words_BL[0] == last] = -1  # of the answer, cut there
    scores_BL = -1.0 - 0.1 * batch.words_BL  # falling from word to word, below what nothing would sum to
    config = EvalConfig(naopc_beam=1)
    found = Orders(method, batch, np.array([0]), np.ones(1, dtype=np.bool_), "attention", config).outcomes(
        {"own": scores_BL}, "max"
    )["own"][0]
    expected = [probability(method, batch, 0, range(n + 1), 0, "attention") for n in range(last + 1)]
    assert found[0] == pytest.approx(np.mean(expected), abs=1e-6)


def test_a_beam_finds_ends_within_those_of_all_sets() -> None:
    method, world = method_of("slm_fp").eval(), data()
    batch = world.collate(np.array([0, 2, 4]))
    asked = np.ones(3, dtype=np.bool_)
    with torch.no_grad():
        ends = [
            Orders(method, batch, np.array([0, 1, 2]), asked, "attention", EvalConfig(naopc_beam=beam))
            for beam in (1, 5, 252)
        ]
    for narrow, wide in itertools.pairwise(ends):
        assert (narrow.low_I >= wide.low_I - 1e-6).all()
        assert (narrow.high_I <= wide.high_I + 1e-6).all()
        assert (narrow.low_I < narrow.high_I).all()


def judging(**more: Any) -> Judging:
    config = EvalConfig(references=(), how=("attention", "delete"), fractions=(0.1, 0.5), naopc_beam=2, **more)
    return Judging(config=config, unit="word", word_score="max", rationale_fraction=1 / 3, labels=("a", "b", "c"))


def test_a_file_holds_the_outcomes_and_scores_to_naopc() -> None:
    method, check = method_of("slm_fp").eval(), method_of("dlm_fp").eval()
    wanted = replace(judging(), sources=(OWN, "random"), checks={"check": check})
    tables = judge(ACCELERATOR, method, data(), wanted, title="test")
    for table in tables.values():
        for scorer in ("self", "check"):
            report = score(table, resampling=Resampling(replicates=0), scorer=scorer)
            for how, suffix in (("attention", ""), ("delete", "[delete]")):
                first, last, low, high = np.array(table[f"orders.{how}.{scorer}"].to_pylist()).T
                kept = high - low > 1e-6
                assert kept.sum() == 5  # one row has one word
                for name, order in (("naopc_comprehensiveness", first), ("naopc_sufficiency", last)):
                    expected = ((high - order)[kept] / (high - low)[kept]).mean()
                    assert report[f"{name}{suffix}"].value == pytest.approx(expected, abs=1e-12)
                assert report[f"naopc_sufficiency{suffix}"].direction == "lower"
    ends = [np.array(table["orders.delete.check"].to_pylist())[:, 2:] for table in tables.values()]
    assert (ends[0] == ends[1]).all()


def test_without_a_beam_and_between_epochs_there_are_none() -> None:
    method = method_of("slm_fp").eval()
    for wanted in (replace(judging(), as_trained=True), replace(judging(), perturb=False)):
        table = judge(ACCELERATOR, method, data(), wanted, title="dev")[OWN]
        assert not any(name.startswith("orders") for name in table.column_names)


def test_a_sample_depends_on_the_seed_and_the_ids_alone() -> None:
    ids = [str(i) for i in range(50)]
    chosen = sampled(ids, 7, 0)
    assert chosen.sum() == 7
    turned = sampled(ids[::-1], 7, 0)
    assert (turned[::-1] == chosen).all()
    assert (sampled(ids, 7, 1) != chosen).any()
    assert sampled(ids, None, 0).all()
    assert sampled(ids, 50, 0).all()
    table = judge(ACCELERATOR, method_of("slm_fp").eval(), data(), judging(naopc_rows=2), title="test")[OWN]
    known = [value is not None for value in table["orders.attention.self"].to_pylist()]
    assert known == sampled([str(i) for i in range(6)], 2, 0).tolist()
    report = score(table, resampling=Resampling(replicates=0))
    assert report["naopc_comprehensiveness"].n_undefined >= 4


@pytest.mark.parametrize("seed", range(6))
def test_any_sample_has_the_outcomes_of_the_whole(seed: int) -> None:
    """Also where the longest text is not asked about, and by batches of which some have nothing to ask."""
    method = method_of("slm_fp").eval()
    whole = judge(ACCELERATOR, method, data(), judging(seed=seed), title="test")[OWN]["orders.attention.self"]
    for more in ({}, {"batch_size": 1}):
        part = judge(ACCELERATOR, method, data(), judging(naopc_rows=2, seed=seed, **more), title="test")[OWN]
        found = part["orders.attention.self"].to_pylist()
        assert sum(one is not None for one in found) == 2
        for one, other in zip(found, whole.to_pylist(), strict=True):
            assert one is None or one == pytest.approx(other, abs=1e-6)


def test_a_text_without_words_and_an_answer_of_nan_have_no_outcomes() -> None:
    method, world = method_of("slm_fp").eval(), data()
    batch = world.collate(np.array([0, 3]))
    batch = replace(batch, words_BL=torch.where(torch.arange(2)[:, None] == 1, -1, batch.words_BL))
    asked = np.ones(2, dtype=np.bool_)
    with torch.no_grad():
        orders = Orders(method, batch, np.array([0, 0]), asked, "attention", EvalConfig(naopc_beam=2))
        found = orders.outcomes({"a": torch.zeros(batch.words_BL.shape)}, "max")["a"]
        assert not np.isnan(found[0]).any()
        assert np.isnan(found[1]).all()
        for parameter in method.model.parameters():
            parameter.fill_(torch.nan)
        orders = Orders(method, batch, np.array([0, 0]), asked, "attention", EvalConfig(naopc_beam=2))
        assert np.isnan(orders.outcomes({"a": torch.zeros(batch.words_BL.shape)}, "max")["a"]).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([0.2, 0.3, 0.4], r"row id 'row-3-1': orders\.attention\.self has 3 values, expected 4"),
        ([0.2, 0.3, 0.25, 0.4], r"orders\.attention\.self\[0\] \(highest first\) is 0\.2, expected 0\.25 to 0\.4"),
        ([0.2, 0.5, 0.1, 0.4], r"orders\.attention\.self\[1\] \(lowest first\) is 0\.5, expected 0\.1 to 0\.4"),
        ([0.2, 1.5, 0.1, 2.0], r"orders\.attention\.self\[1\] is 1\.5, expected a probability in \[0, 1\]"),
    ],
)
def test_wrong_outcomes_are_named(value: list[float], message: str) -> None:
    table = predictions.table(3, 4)
    column = pa.array([None, value, None, [0.1, 0.2, 0.1, 0.2]], pa.list_(pa.float64()))
    with pytest.raises(ValueError, match=message):
        score(table.append_column("orders.attention.self", column), resampling=Resampling(replicates=0))


def test_orders_that_are_all_alike_say_nothing() -> None:
    table = predictions.table(3, 3)
    column = pa.array([[0.5, 0.5, 0.5, 0.5], None, [0.1, 0.2, 0.1, 0.3]], pa.list_(pa.float64()))
    report = score(table.append_column("orders.attention.self", column), resampling=Resampling(replicates=0))
    assert report["naopc_comprehensiveness"].value == pytest.approx(1.0)
    assert report["naopc_sufficiency"].value == pytest.approx(0.5)
    assert report["naopc_sufficiency"].n_undefined == 2
    # What rounding makes of orders that are alike says nothing either.
    column = pa.array([[0.5000003, 0.5, 0.5, 0.5000006], None, [0.1, 0.2, 0.1, 0.3]], pa.list_(pa.float64()))
    again = score(table.append_column("orders.attention.self", column), resampling=Resampling(replicates=0))
    assert again["naopc_comprehensiveness"].value == report["naopc_comprehensiveness"].value
    assert again["naopc_comprehensiveness"].n_undefined == 2

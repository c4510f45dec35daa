"""What training goes by after an epoch: the highest `best`, whichever way the chosen metric points."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from accelerate import Accelerator

from reference import predictions
from reference.method_worlds import CASES, TEXTS, data, method_of
from unirex.data.collate import Batch
from unirex.data.tokenization import build_tokenizer
from unirex.data.tools import Tools
from unirex.disk.run_folder import RunFolder
from unirex.judging.gather import dev_metrics, judge, print_tables, write_all
from unirex.judging.predict import BY_CONSTRUCTION, OWN, About, Clock, EvalConfig, Judging, Place, _scores, predict
from unirex.judging.warnings import result_warnings, tell
from unirex.methods.method import Explanation
from unirex.metrics.scoring import score
from unirex.metrics.state import Resampling
from unirex.rationale.selection import select
from unirex.schema import PREDICTIONS_KEY

ACCELERATOR = Accelerator(cpu=True)
ABOUT = About(model="m", data="d", headline="accuracy", choice=False)


def judging(**more: Any) -> Judging:
    config = EvalConfig(references=(), how=("attention",), fractions=(0.1, 0.5))
    labels = ("a", "b", "c")
    return Judging(
        config=config, unit="word", word_score="max", rationale_fraction=1 / 3, labels=labels, about=ABOUT, **more
    )


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return predictions.table(3, 40)


@pytest.mark.parametrize(
    ("chosen", "sign"),
    [("sufficiency", -1), ("sufficiency[delete]", -1), ("comprehensiveness", 1), ("auprc", 1), ("headline", 1)],
)
def test_training_goes_by_the_metric_turned_so_that_higher_is_better(table: pa.Table, chosen: str, sign: int) -> None:
    metric = score(table, resampling=Resampling(replicates=0))[chosen]
    assert metric.direction == ("higher" if sign > 0 else "lower")
    assert metric.value != 0
    values = dev_metrics(ACCELERATOR, {OWN: table}, chosen)
    assert values["best"] == sign * metric.value
    assert values["sufficiency"] == score(table, resampling=Resampling(replicates=0))["sufficiency"].value


def test_the_composite_is_the_mean_of_task_faithfulness_and_plausibility(table: pa.Table) -> None:
    report = score(table, resampling=Resampling(replicates=0))
    expected = (report["headline"].value + report["csd"].value + report["auprc"].value) / 3
    assert dev_metrics(ACCELERATOR, {OWN: table}, "composite")["best"] == pytest.approx(expected, rel=1e-12)


def test_an_unknown_metric_is_named(table: pa.Table) -> None:
    with pytest.raises(
        ValueError, match=r"train\.best_metric is 'sufficency', expected headline, composite or one of .*, csd,"
    ):
        dev_metrics(ACCELERATOR, {OWN: table}, "sufficency")


def test_every_process_hears_what_the_main_one_found(table: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr("unirex.judging.gather.broadcast_object_list", sent.append)
    alone = dev_metrics(ACCELERATOR, {OWN: table}, "csd")
    assert not sent
    monkeypatch.setattr(type(ACCELERATOR), "num_processes", 2)
    assert dev_metrics(ACCELERATOR, {OWN: table}, "csd")["best"] == alone["best"]
    assert len(sent) == 1
    with pytest.raises(ValueError, match="'none of them', expected"):
        dev_metrics(ACCELERATOR, {OWN: table}, "none of them")
    assert isinstance(sent[1][0], ValueError)


def test_without_gold_the_composite_has_two_parts() -> None:
    rows = [row | {"gold": None} for row in predictions.rows(3, 40)]
    table = predictions.as_table(rows)
    report = score(table, resampling=Resampling(replicates=0))
    values = dev_metrics(ACCELERATOR, {OWN: table}, "composite")
    assert values["best"] == pytest.approx((report["headline"].value + report["csd"].value) / 2, rel=1e-12)


def test_random_scores_are_those_of_the_instance_and_the_seed() -> None:
    """Whatever stands beside it; the words of a question have them in the row of every answer."""
    world, wanted = data(choices=True), judging(sources=("random",))
    batch = world.collate(np.arange(6))
    explanation = Explanation(logits_IC=torch.zeros(6, 2), scores_BL=torch.zeros(batch.words_BL.shape))
    first, scored = _scores("random", explanation, batch, world, wanted)
    assert scored == [True] * 6
    assert torch.equal(first[::2], first[1::2])
    assert len(first[::2, 3].unique()) == 6
    alone = world.collate(np.array([4]))
    width = alone.words_BL.shape[1]
    assert torch.equal(_scores("random", explanation, alone, world, wanted)[0], first[8:10, :width])
    other = replace(wanted, config=replace(wanted.config, seed=1))
    assert not torch.equal(_scores("random", explanation, batch, world, other)[0], first)


def test_no_pass_has_more_tokens_than_allowed() -> None:
    """However they are hidden; an instance at least goes at once, here of 13 tokens at most."""
    method, most, sizes = method_of("slm_fp").eval(), 26, list[int]()

    def note(_: object, __: object, inputs: dict[str, Any]) -> None:
        packing, given = inputs.get("packing"), inputs.get("input_ids")
        if packing is not None:
            blocks = (b.rows * b.width if b.visible is None else int(b.visible.sum()) for b in packing.blocks)
            sizes.append(sum(blocks))
        else:
            sizes.append(inputs["inputs_embeds"][..., 0].numel() if given is None else given.numel())

    method.model.backbone.register_forward_pre_hook(note, with_kwargs=True)
    wanted = judging(sources=(OWN,))
    config = replace(wanted.config, how=("attention", "soft"), max_tokens=most, naopc_beam=1, naopc_units=3)
    assert len(predict(method, data(), replace(wanted, config=config))[OWN]) == 6
    assert len(sizes) > 30
    assert max(sizes) <= most


def answers(method: Any, batch: Batch, shown_BL: torch.Tensor) -> torch.Tensor:
    """Probabilities where only these tokens are in view."""
    with torch.no_grad():
        rows = replace(batch.rows, visible_BL=batch.rows.visible_BL & shown_BL)
        return torch.as_tensor(method.perturbed(rows, 1, None)).double().softmax(1)


def test_check_models_answer_for_the_rationales_of_the_model() -> None:
    method, other, world = method_of("slm_fp").eval(), method_of("dlm_p").eval(), data()
    found = dict(predict(method, world, judging(sources=(OWN,), checks={"other": other}))[OWN])
    batch = world.collate(np.arange(6))
    with torch.no_grad():
        marked_KBL = select(method.explain(batch).scores_BL, batch.words_BL, (0.1, 0.5), "word", "max")
    every_BL, fixed_BL = torch.ones_like(batch.selectable_BL), ~batch.selectable_BL
    for name, model in (("self", method), ("other", other)):
        expected = {
            "null": answers(model, batch, fixed_BL),
            "keep": torch.stack([answers(model, batch, one | fixed_BL) for one in marked_KBL], 1),
            "remove": torch.stack([answers(model, batch, ~one) for one in marked_KBL], 1),
        }
        for i, row in found.items():
            full = row.probabilities if name == "self" else row.perturbed["full.other"]
            np.testing.assert_allclose(full, answers(model, batch, every_BL)[i], atol=1e-6)
            assert full.sum() == pytest.approx(1, abs=1e-12)
            for kind, values in expected.items():
                np.testing.assert_allclose(row.perturbed[f"{kind}.attention.{name}"], values[i], atol=1e-6)


@pytest.mark.parametrize("how", [("attention", "mask_token"), ("mask_token", "pad_token")])
def test_by_construction_the_rationale_is_all_that_is_seen(how: tuple[str, str]) -> None:
    """Hidden in the first of several ways, and in no other, since there is one answer on the full input."""
    method, world, wanted = method_of("fresh").eval(), data(), judging(sources=(BY_CONSTRUCTION,))
    wanted = replace(wanted, config=replace(wanted.config, how=how))
    found = dict(predict(method, world, wanted)[BY_CONSTRUCTION])
    batch = world.collate(np.arange(6))
    kept_BL = method.rationale(batch, method.explain(batch).scores_BL, 0.9)

    def seen(shown_BL: torch.Tensor) -> torch.Tensor:
        """The answers where only these words are shown."""
        if how[0] == "attention":
            return answers(method, batch, shown_BL | ~batch.selectable_BL)
        ids_BL = batch.rows.input_ids_BL.masked_fill(batch.selectable_BL & ~shown_BL, method.fill.mask_id)
        return answers(method, replace(batch, rows=replace(batch.rows, input_ids_BL=ids_BL)), shown_BL | ~shown_BL)

    keep, nothing = seen(kept_BL), seen(kept_BL & ~kept_BL)
    assert (keep - nothing).abs().max() > 1e-4
    for i, row in found.items():
        np.testing.assert_allclose(row.probabilities, keep[i], atol=1e-6)
        assert row.perturbed.keys() == {f"{kind}.{how[0]}.self" for kind in ("keep", "remove", "null")}
        for k in range(2):
            np.testing.assert_allclose(row.perturbed[f"keep.{how[0]}.self"][k], keep[i], atol=1e-6)
            np.testing.assert_allclose(row.perturbed[f"remove.{how[0]}.self"][k], nothing[i], atol=1e-6)
        np.testing.assert_allclose(row.perturbed[f"null.{how[0]}.self"], nothing[i], atol=1e-6)


def test_the_row_of_a_question_is_that_of_its_answer() -> None:
    """Its scores too; of words in several tokens, some of which are cut."""
    choices = [("fine", "poor day"), ("poor day", "fine")] * 3
    examples = [
        replace(one, label=None, choices=texts, choice_labels=("x", "y"))
        for one, texts in zip(data(choices=True).examples, choices, strict=True)
    ]
    tokenizer = build_tokenizer(TEXTS, size=40)
    world = Tools(tokenizer=tokenizer, extractor_tokenizer=None, max_length=12).encode(examples, ["x", "y"])
    method, batch = method_of("slm_fp", choices=True).eval(), world.collate(np.arange(6))
    with torch.no_grad():
        explanation = method.explain(batch)
    found = dict(predict(method, world, replace(judging(sources=(OWN,), perturb=False), word_score="mean"))[OWN])
    answer_I = explanation.logits_IC.argmax(1).tolist()
    assert set(answer_I) == {0, 1}
    for i, row in found.items():
        assert (row.prediction, row.context) == (("x", "y")[answer_I[i]], choices[i][answer_I[i]])
        words_L, scores_L = (part[2 * i + answer_I[i]] for part in (batch.words_BL, explanation.scores_BL))
        for word, score_of in enumerate(row.scores):
            tokens = scores_L[words_L == word]
            assert np.isnan(score_of) if not len(tokens) else score_of == pytest.approx(tokens.mean().item(), abs=1e-5)
        assert (row.words_cut, row.gold_cut) == (world.encoded.words_cut[i], world.encoded.gold_cut[i])
    assert sum(row.words_cut for row in found.values()) > sum(row.gold_cut for row in found.values()) > 0
    assert (batch.words_BL[:, 1:] == batch.words_BL[:, :-1])[batch.selectable_BL[:, 1:]].any()


def test_of_choices_the_worst_gap_of_completeness_is_told() -> None:
    method, world = method_of("aa", choices=True).eval(), data(choices=True)
    judged = predict(method, world, judging(sources=(OWN, "random"), perturb=False))
    assert all(row.completeness_gap is None for _, row in judged["random"])  # no attribution
    found = dict(judged[OWN])
    gap_B = method.explain(world.collate(np.arange(6))).gap_B
    for i, row in found.items():
        first, second = gap_B[2 * i : 2 * i + 2].tolist()
        assert first != second
        assert row.completeness_gap == pytest.approx(max(first, second), rel=1e-2)


def test_what_is_judged_is_saved_in_the_order_of_the_data_with_its_origin(tmp_path: Path) -> None:
    method, clock = method_of("slm_fp", dropout=0.5).train(), Clock()
    wanted = judging(sources=(OWN, "random", "gold", "inverse"))
    tables = judge(ACCELERATOR, method, data(), wanted, title="dev", clock=clock)
    assert method.training
    assert clock.instances == 6
    assert list(tables) == [OWN, "random", "gold", "inverse"]
    assert [table.num_rows for table in tables.values()] == [6, 6, 5, 5]  # one has no gold
    again = judge(ACCELERATOR, method.eval(), data(), wanted, title="dev")
    assert not method.training
    for source, table in tables.items():
        assert table["id"].to_pylist() == sorted(table["id"].to_pylist())
        assert table.equals(again[source])
        header = json.loads(table.schema.metadata[PREDICTIONS_KEY])
        assert (header["scores_from"], header["unit"], header["headline"]) == (source, "word", "accuracy")
        assert header["rationale_rule"] == "top 0.3333 of words"
        assert (header["labels"], header["choice"]) == (["a", "b", "c"], False)
        assert set(table["model"].to_pylist()) == {"m"}
        assert set(table["data"].to_pylist()) == {"d"}
        assert table["fractions"].to_pylist()[0] == [0.1, 0.5]
    paths = write_all(tables | {"mine": tables[OWN]}, RunFolder(tmp_path))
    names = ["predictions.parquet", *(f"reference/{name}.parquet" for name in ("random", "gold", "inverse", "mine"))]
    assert [str(path.relative_to(tmp_path)) for path in paths] == names
    write_all({OWN: tables[OWN], "gold": tables["gold"]}, RunFolder(tmp_path))  # what others left goes
    assert sorted(path.name for path in (tmp_path / "reference").iterdir()) == ["gold.parquet"]


def test_only_what_chooses_an_epoch_is_judged_in_the_precision_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    entered = list[str]()

    @contextmanager
    def autocast() -> Iterator[None]:
        entered.append("half")
        yield

    monkeypatch.setattr(ACCELERATOR, "autocast", autocast)
    for as_trained in (False, True):
        entered.clear()
        judge(ACCELERATOR, method_of("slm_fp").eval(), data(), judging(as_trained=as_trained), title="dev")
        assert bool(entered) == as_trained


def test_rows_of_two_processes_are_put_together_in_the_order_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    method = method_of("slm_fp").eval()
    alone = judge(ACCELERATOR, method, data(), judging(), title="dev")
    theirs = predict(method, data(), judging(), Place(rank=1, processes=2))
    monkeypatch.setattr(type(ACCELERATOR), "num_processes", 2)
    monkeypatch.setattr("unirex.judging.gather.gather_object", lambda found: [theirs, *found])
    together = judge(ACCELERATOR, method, data(), judging(), title="dev")
    assert 0 < len(theirs[OWN]) < 6
    assert together[OWN]["id"].equals(alone[OWN]["id"])
    assert together[OWN]["prediction"].equals(alone[OWN]["prediction"])


@pytest.mark.parametrize("change", ["lost", "repeated"])
def test_rows_that_the_processes_lost_or_repeated_are_an_error(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: Any, **settings: Any) -> Any:
        rows = predict(*arguments, **settings)
        rows[OWN] = rows[OWN][:-1] + ([] if change == "lost" else [rows[OWN][0]])
        return rows

    monkeypatch.setattr("unirex.judging.gather.predict", wrong)
    count = {"lost": 5, "repeated": 6}[change]
    with pytest.raises(RuntimeError, match=f"{count} rows for 6 instances: the processes lost or repeated some"):
        judge(ACCELERATOR, method_of("slm_fp"), data(), judging(), title="dev")


def test_reports_are_printed_and_saved_and_gaps_of_completeness_told(
    table: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gaps = pa.array([i / 100 for i in range(39)] + [None], pa.float64())
    tables = {OWN: table.append_column("completeness_gap", gaps), "random": table}
    reports = print_tables(tables, RunFolder(tmp_path))
    out = capsys.readouterr().out
    assert "extractor: attributions miss 19.00% of completeness (median; 95th percentile 37.00%)" in out
    assert "random: attributions" not in out
    assert "comprehensiveness" in out
    systems = json.loads((tmp_path / "metrics.json").read_text())["systems"]
    assert len(systems) == len(reports) == 2


def test_a_collapsed_extractor_is_told_of(table: pa.Table, capsys: pytest.CaptureFixture[str]) -> None:
    tell(result_warnings(table), "dev 3")
    assert capsys.readouterr().err == ""
    place = table.column_names.index("scores")
    same = pa.array([[0.5] * len(words) for words in table["words"].to_pylist()], table.schema.field(place).type)
    tell(result_warnings(table.set_column(place, table.schema.field(place), same)), "dev 3")
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("warning: dev 3: the scores may have collapsed: ") for line in lines)


@pytest.mark.parametrize("case", CASES)
def test_given_scores_cost_no_attribution_and_change_no_answer(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = method_of(case).eval()
    asked = judging(sources=(OWN, "random"))
    both = predict(method, data(), asked)["random"]
    own = {"aa", "aa_f", "aa_fp", "slm_fp_guided", "dlm_fp_guided", "sgt"}
    if case in own:

        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("an attribution that nobody asked for")

        monkeypatch.setattr(type(method), "explain", refuse)
    alone = predict(method, data(), replace(asked, sources=("random",)))["random"]
    for (place, row), (other_place, other) in zip(alone, both, strict=True):
        assert place == other_place
        np.testing.assert_array_equal(row.probabilities, other.probabilities)
        np.testing.assert_array_equal(row.scores, other.scores)
        for name, values in row.perturbed.items():
            np.testing.assert_array_equal(values, other.perturbed[name])


def test_words_without_given_scores_count_and_are_no_rationale() -> None:
    """As many words are marked as the same fraction keeps, where as many have a score."""
    world = data()
    rows = {example.id: np.full(example.n_words, -np.inf, np.float32) for example in world.examples}
    for scores in rows.values():
        scores[:2] = np.arange(1, 1 + len(scores[:2]))
    found = predict(method_of("slm_fp").eval(), world, judging(sources=("some",), given={"some": rows}))["some"]
    for _, row in found:
        n, scored = len(row.words), min(2, len(row.words))
        kept = int(select(torch.zeros(1, n), torch.arange(n)[None], (1 / 3,), "word", "max").sum())
        assert np.flatnonzero(row.rationale).tolist() == list(range(scored))[-kept:]
        assert np.isnan(row.scores).tolist() == [place >= scored for place in range(n)]
    assert {int(row.rationale.sum()) for _, row in found} == {1, 2}

"""What training goes by after an epoch: the highest `best`, whichever way the chosen metric points."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from accelerate import Accelerator

from reference import predictions
from reference.method_worlds import CASES, data, method_of
from unirex.disk.run_folder import RunFolder
from unirex.judging.gather import dev_metrics, judge, print_tables, write_all
from unirex.judging.predict import OWN, About, Clock, EvalConfig, Judging, Place, predict
from unirex.judging.warnings import result_warnings, tell
from unirex.metrics.scoring import score
from unirex.metrics.state import Resampling
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

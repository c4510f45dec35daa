from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import predictions
from reference.metrics import metrics as slow_metrics
from reference.metrics import undefined as slow_undefined
from unirex.metrics import Report, Resampling, score

LABELS = ["neg", "pos", "neutral"]
HOWS = ["attention", "delete"]
NO_DRAWS = Resampling(replicates=0)


def assert_same_values(report: Report, expected: dict[str, float], tolerance: float = 1e-12) -> None:
    found = {metric.name: metric.value for metric in report.metrics}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=tolerance, rel=tolerance, nan_ok=True), name


@pytest.mark.parametrize("convention", ["strict", "paper"])
@given(seed=st.integers(0, 2**32), n=st.integers(1, 25))
@settings(max_examples=12, deadline=None)
def test_every_metric_agrees_with_its_slow_twin(convention: str, seed: int, n: int) -> None:
    rows = predictions.rows(seed, n)
    report = score(predictions.as_table(rows), convention, iou_thresholds=(0.5, 0.3, 1.0), resampling=NO_DRAWS)
    assert_same_values(report, slow_metrics(rows, LABELS, HOWS, convention, (0.5, 0.3, 1.0)))
    assert {m.convention for m in report.metrics} == {convention}


@pytest.mark.parametrize("convention", ["strict", "paper"])
def test_undefined_rows_are_counted(convention: str) -> None:
    rows = predictions.rows(3, 60)
    report = score(predictions.as_table(rows), convention, resampling=NO_DRAWS)
    for name, n in slow_undefined(rows, LABELS, HOWS, convention).items():
        assert report[name].n_undefined == n, name
        assert report[name].n == 60 - n


@given(seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_every_value_lies_in_its_range(seed: int) -> None:
    for convention in ("strict", "paper"):
        for metric in score(predictions.table(seed, 12), convention, resampling=NO_DRAWS).metrics:  # type: ignore[arg-type]
            low, high = metric.range
            assert np.isnan(metric.value) or low - 1e-12 <= metric.value <= high + 1e-12, metric


def test_identities() -> None:
    report = score(predictions.table(5, 200), resampling=NO_DRAWS)
    aopc = report["comprehensiveness"].value - report["sufficiency"].value
    assert report["csd"].value == pytest.approx(aopc, abs=1e-12)
    paper = score(predictions.table(5, 200), "paper", resampling=NO_DRAWS)
    for name in ("comprehensiveness", "sufficiency", "csd"):
        assert paper[name].value == pytest.approx(report[name].value * 5 / 6, abs=1e-12)
    assert paper["comprehensiveness@0.1"].value == report["comprehensiveness@0.1"].value


@pytest.mark.parametrize("rows_in_group", [1, 7, 1000])
def test_files_tables_slices_and_shards_give_the_same_report(tmp_path: Path, rows_in_group: int) -> None:
    table = predictions.table(11, 90)
    expected = score(table)
    one = tmp_path / "one.parquet"
    pq.write_table(table, one, row_group_size=rows_in_group)
    shards = tmp_path / "shards"
    shards.mkdir()
    order = np.random.default_rng(0).permutation(90)
    for i, part in enumerate(np.array_split(order, 4)):
        pq.write_table(table.take(pa.array(part)), shards / f"shard-{i}.parquet", row_group_size=rows_in_group)
    padded = pa.concat_tables([predictions.table(99, 13), table, predictions.table(98, 5)]).slice(13, 90)
    for system in (one, str(one), shards, f"{tmp_path}/shards/shard-*.parquet", sorted(shards.iterdir()), padded):
        report = score(system)
        assert report.metrics == expected.metrics or repr(report.metrics) == repr(expected.metrics)


def test_attention_comes_first_and_others_are_named(tmp_path: Path) -> None:
    table = predictions.table(1, 20, hows=("delete", "attention"))
    report = score(table, resampling=NO_DRAWS)
    assert report["comprehensiveness"].perturbation == "attention"
    assert report["comprehensiveness[delete]"].perturbation == "delete"
    assert report["comprehensiveness@0.1[delete]"].perturbation == "delete"
    only = score(table, perturbation="delete", resampling=NO_DRAWS)
    assert only["comprehensiveness"].value == report["comprehensiveness[delete]"].value
    assert "comprehensiveness[delete]" not in only
    both = score(table, perturbation=["delete", "attention"], resampling=NO_DRAWS)
    assert both["comprehensiveness[attention]"].value == report["comprehensiveness"].value
    single = score(predictions.table(1, 20, hows=("mask_token",)), resampling=NO_DRAWS)
    assert single["comprehensiveness"].perturbation == "mask_token"


def test_rows_without_a_perturbation_are_undefined_there() -> None:
    rows = predictions.rows(4, 30)
    for row in rows[::3]:
        row["keep.attention.self"] = None
    report = score(predictions.as_table(rows), resampling=NO_DRAWS)
    assert report["sufficiency"].n_undefined == report["csd"].n_undefined == 10
    assert report["comprehensiveness"].n_undefined == 0
    kept = score(predictions.as_table([r for r in rows if r["keep.attention.self"]]), resampling=NO_DRAWS)
    assert report["sufficiency"].value == kept["sufficiency"].value


def test_without_labels_and_gold_only_faithfulness_is_left() -> None:
    table = predictions.table(2, 20).drop_columns(["label", "gold"])
    report = score(table, resampling=NO_DRAWS)
    assert {m.group for m in report.metrics} == {"faithfulness", "rationale"}
    assert report.headline is None
    assert "headline" not in report
    every_null = predictions.rows(2, 20)
    for row in every_null:
        row["label"] = row["gold"] = None
    report = score(predictions.as_table(every_null), resampling=NO_DRAWS)
    assert np.isnan(report["accuracy"].value)
    assert report["auprc"].n == 0
    assert report["gold_available"].value == 0


def test_a_check_model_brings_its_own_full_probabilities() -> None:
    table = predictions.table(6, 30, hows=("attention",))
    for kind in ("keep", "remove", "null"):
        table = table.append_column(f"{kind}.delete.check", table[f"{kind}.attention.self"])
    with pytest.raises(ValueError, match=r"full\.check"):
        score(table, scorer="check")
    with pytest.raises(ValueError, match="expected one of"):
        score(table, scorer="chekc")
    table = table.append_column("full.check", table["probabilities"])
    own, check = score(table, resampling=NO_DRAWS), score(table, scorer="check", resampling=NO_DRAWS)
    assert check["comprehensiveness"].value == own["comprehensiveness"].value
    assert check["comprehensiveness"].perturbation == "delete"


def test_a_check_model_is_asked_for_the_class_that_the_model_predicts(tmp_path: Path) -> None:
    # The model says b on both rows; the check model would say a on the first, and is asked about b all the same.
    table = pa.table(
        {
            "id": ["1", "2"],
            "prediction": ["b", "b"],
            "probabilities": [[0.4, 0.6], [0.1, 0.9]],
            "fractions": [[0.5, 1.0]] * 2,
            "keep.attention.self": [[[0.5, 0.5], [0.4, 0.6]], [[0.5, 0.5], [0.1, 0.9]]],
            "remove.attention.self": [[[0.5, 0.5], [0.5, 0.5]]] * 2,
            "full.judge": [[0.7, 0.3], [0.2, 0.8]],
            "keep.mask_token.judge": [[[0.8, 0.2], [0.7, 0.3]], [[0.5, 0.5], [0.2, 0.8]]],
            "remove.mask_token.judge": [[[0.9, 0.1], [1.0, 0.0]], [[0.6, 0.4], [0.7, 0.3]]],
            "null.mask_token.judge": [[0.9, 0.1], [0.6, 0.4]],
        }
    )
    pq.write_table(table, tmp_path / "judged.parquet")
    report = score(tmp_path / "judged.parquet", scorer="judge", labels=["a", "b"], resampling=NO_DRAWS)
    assert report.about["scorer"] == "judge"
    assert report["comprehensiveness"].value == pytest.approx(((0.2 + 0.3) / 2 + (0.4 + 0.5) / 2) / 2)
    assert report["sufficiency"].value == pytest.approx(((0.1 + 0.0) / 2 + (0.3 + 0.0) / 2) / 2)
    assert report["normalised_sufficiency@0.5"].value == pytest.approx(((1 - 0.1 / 0.2) + (1 - 0.3 / 0.4)) / 2)
    own = score(tmp_path / "judged.parquet", labels=["a", "b"], resampling=NO_DRAWS)
    assert own["sufficiency@0.5"].value == pytest.approx((0.1 + 0.4) / 2)


def test_multiple_choice_rows_may_have_fewer_choices() -> None:
    rows = predictions.rows(8, 20, labels=("A", "B", "C"), hows=("attention",))
    row = rows[0]
    row["prediction"], row["label"] = "B", "A"
    row["probabilities"], row["null.attention.self"] = [0.25, 0.75], [0.5, 0.5]
    row["keep.attention.self"] = row["remove.attention.self"] = [[0.5, 0.5]] * 5
    table = predictions.as_table(rows, labels=("A", "B", "C"), hows=("attention",), choice=True, headline="accuracy")
    assert score(table)["headline"].name == "accuracy"
    with pytest.raises(ValueError, match="probabilities has 2 values, expected 3"):
        score(predictions.as_table(rows, labels=("A", "B", "C"), hows=("attention",)))


def test_a_binary_headline_names_its_class() -> None:
    report = score(predictions.table(9, 30, headline="f1:pos"), resampling=NO_DRAWS)
    assert report["headline"] is report["f1:pos"]
    with pytest.raises(ValueError, match="did you mean f1:pos"):
        score(predictions.table(9, 30, headline="f1:poss"))


def test_an_unknown_metric_suggests_a_near_one() -> None:
    with pytest.raises(KeyError, match="did you mean comprehensiveness"):
        score(predictions.table(9, 5), resampling=NO_DRAWS)["comprehensivenes"]


def test_foreign_columns_by_mapping() -> None:
    table = predictions.table(10, 40)
    expected = score(table, resampling=NO_DRAWS)
    renamed = table.rename_columns({"scores": "attr", "keep.delete.self": "suff_probs"}).replace_schema_metadata(None)
    with pytest.raises(ValueError, match="expected labels in their order"):
        score(renamed, columns={"scores": "attr"})
    report = score(
        renamed, columns={"scores": "attr", "keep.delete.self": "suff_probs"}, labels=LABELS, resampling=NO_DRAWS
    )
    assert report["auprc"] == expected["auprc"]
    assert report["sufficiency[delete]"] == expected["sufficiency[delete]"]
    with pytest.raises(ValueError, match=r"'atr' \(for 'scores'\) is missing .did you mean attr"):
        score(renamed, columns={"scores": "atr"}, labels=LABELS)
    task = renamed.select(["id", "label", "prediction"])
    assert score(task, resampling=NO_DRAWS)["macro_f1"].value == expected["macro_f1"].value


def test_large_and_fixed_size_lists_are_read_too() -> None:
    table = predictions.table(12, 40)
    expected = score(table, resampling=NO_DRAWS)
    numbers = pa.large_list(pa.float64())
    target = pa.schema(
        [
            pa.field(f.name, {"probabilities": pa.list_(pa.float64(), 3), "scores": numbers}.get(f.name, f.type))
            for f in table.schema
        ],
        metadata=table.schema.metadata,
    )
    assert repr(score(table.cast(target), resampling=NO_DRAWS).metrics) == repr(expected.metrics)


def test_flips_of_decisions_are_shares_of_rows() -> None:
    """Rows without the column are left out; intervals at a fraction are those of shares, that of their mean is not."""
    rows = predictions.rows(7, 50)
    for row in rows[:5]:
        row["remove.attention.self"] = None
    report = score(predictions.as_table(rows))
    known = [row for row in rows if row["remove.attention.self"] is not None]
    for place, fraction in enumerate(rows[0]["fractions"]):
        flips = 0
        for row in known:
            removed = row["remove.attention.self"][place]
            flips += LABELS[removed.index(max(removed))] != row["prediction"]
        metric = report[f"decision_flip@{fraction:g}"]
        assert (metric.value, metric.n, metric.n_undefined, metric.interval) == (flips / 45, 45, 5, "wilson")
    assert report["decision_flip"].interval == "wilson_t"
    at = [report[f"decision_flip@{fraction:g}"].value for fraction in rows[0]["fractions"]]
    assert report["decision_flip"].value == pytest.approx(np.mean(at))
    paper = score(predictions.as_table(rows), "paper", resampling=NO_DRAWS)
    assert paper["decision_flip"].value == pytest.approx(np.sum(at) / (len(at) + 1))
    assert paper["decision_flip@0.1"].value == report["decision_flip@0.1"].value


def test_of_equal_classes_the_first_is_the_decision() -> None:
    table = {
        "prediction": ["a", "b", "b"],
        "probabilities": [[0.5, 0.5], [0.4, 0.6], [0.3, 0.7]],
        "fractions": [[0.5]] * 3,
        "remove.attention.self": [[[0.5, 0.5]], [[0.5, 0.5]], [[0.4, 0.6]]],
    }
    report = score(table, labels=["a", "b"], resampling=NO_DRAWS)
    assert report["decision_flip@0.5"].value == pytest.approx(1 / 3)


def test_scores_alone_have_a_complexity_that_the_short_table_shows() -> None:
    report = score({"scores": [[0.5, -0.25, 0.25, None], [0.0, 0.0], [None], [2.0]]}, resampling=NO_DRAWS)
    [metric] = report.metrics
    assert (metric.name, metric.n, metric.n_undefined, metric.direction) == ("complexity", 2, 2, "lower")
    assert metric.value == pytest.approx(1.5 * np.log(2) / 2)
    assert "complexity" in report.to_text()
    whole = score(predictions.table(1, 20), resampling=NO_DRAWS)
    assert "complexity" not in whole.to_text()
    assert "complexity" in whole.to_text(all_metrics=True)


def test_the_papers_token_f1_without_scores_is_that_of_both_classes_too() -> None:
    rows = {"id": ["a", "b"], "rationale": [[1, 0, 0, 0], [0, 0]], "gold": [[1, 1, 0, 0], [0, 1]]}
    by_scores = {**rows, "scores": [[0.9, -1.0, -2.0, -0.5], [-1.0, -0.1]]}
    bare, scored = (
        score(table, convention="paper", resampling=Resampling(replicates=0)) for table in (rows, by_scores)
    )
    assert (
        bare["token_f1"].value == scored["token_f1"].value == pytest.approx(((2 / 3 + 0.8) / 2 + (0 + 2 / 3) / 2) / 2)
    )

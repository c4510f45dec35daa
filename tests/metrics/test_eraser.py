"""ERASER results by the benchmark's own conventions: against its recorded outputs, and against a slow twin."""

import json
import math
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from reference import eraser_twin, eraser_worlds
from reference.eraser_twin import assert_same
from reference.eraser_worlds import worlds
from unirex.metrics.eraser.benchmark import score_eraser

pytestmark = pytest.mark.filterwarnings("ignore:.* instances. ")

GOLDEN = os.environ.get("UNIREX_GOLDEN")
CASES = sorted(path.parent.name for path in Path(GOLDEN, "eraser").glob("*/case.json")) if GOLDEN else []


def options_of(words):
    """The lists behind the options of a recorded case."""
    found = {}
    for word in words:
        if word.startswith("--"):
            values = found.setdefault(word[2:], [])
        else:
            values.append(float(word))
    return found


@pytest.mark.skipif(not CASES, reason="UNIREX_GOLDEN names no folder with eraser/*/case.json")
@pytest.mark.parametrize("name", CASES)
def test_equals_the_recorded_scores(name):
    folder = Path(GOLDEN, "eraser", name)
    case = json.loads((folder / "case.json").read_text())
    arguments = (folder / "results.jsonl", folder / "data", case["split"])
    if case["error"]:
        with pytest.raises(ValueError, match=r"results\.jsonl:\d+: .+: found .+, expected "):
            score_eraser(*arguments, **options_of(case["options"]))
    else:
        found = score_eraser(*arguments, **options_of(case["options"]))
        assert_same(found, json.loads((folder / "scores.json").read_text()))


def outcome(scorer, results, data_dir, world, refusal):
    """The scores, or the refusal."""
    thresholds = {key: world[key] for key in ("iou_thresholds", "aopc_thresholds")}
    try:
        return scorer(results, data_dir, "test", **thresholds)
    except refusal as error:
        return error


def compare(world):
    with tempfile.TemporaryDirectory() as name:
        results = eraser_worlds.write(world, Path(name))
        expected = outcome(eraser_twin.score, results, name, world, eraser_twin.Refused)
        found = outcome(score_eraser, results, name, world, ValueError)
    if isinstance(expected, eraser_twin.Refused):
        assert isinstance(found, ValueError), expected
        assert " found " in str(found)
        assert ", expected " in str(found)
        assert "\n" not in str(found)
    else:
        assert_same(found, expected)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(worlds())
def test_equals_the_slow_twin(world):
    compare(world)


def by_hand(tmp_path, *, document="w w w w", spans=((0, 2),), instances):
    """Scores of instances of one document each, with the same evidence in each."""
    names = [f"i{n}" for n in range(len(instances))]
    evidences = [{"docid": "d", "text": "", "start_token": a, "end_token": b} for a, b in spans]
    world = {
        "folder": False,
        "documents": {"d": document},
        "annotations": [
            {"annotation_id": n, "query": "", "evidences": [evidences], "classification": "x"} for n in names
        ],
        "instances": [
            {"annotation_id": name, "rationales": [{"docid": "d", **rationale}], **more}
            for name, (rationale, more) in zip(names, instances, strict=True)
        ],
    }
    return score_eraser(eraser_worlds.write(world, tmp_path), tmp_path, "test", aopc_thresholds=[0.5])


def hard(*spans):
    return {"hard_rationale_predictions": [{"start_token": a, "end_token": b} for a, b in spans]}


def soft(*scores):
    return {"soft_rationale_predictions": list(scores)}


def test_two_halves_of_a_span_both_match_it(tmp_path):
    found = by_hand(tmp_path, spans=[(0, 4)], instances=[(hard((0, 2), (2, 4)), {})])["iou_scores"][0]
    expected = {"p": 1, "r": 2, "f1": pytest.approx(4 / 3)}
    assert found == {"threshold": 0.5, "micro": expected, "macro": expected}


def test_an_instance_of_one_class_has_an_auprc_and_nothing_else(tmp_path):
    none = by_hand(tmp_path, spans=[], instances=[(soft(0.1, 0.2, 0.3, 0.4), {})])["token_soft_metrics"]
    assert none["auprc"] == 0.5
    assert math.isnan(none["average_precision"])
    assert math.isnan(none["roc_auc_score"])


def test_equal_scores_give_one_plus_prevalence_over_two(tmp_path):
    found = by_hand(tmp_path, spans=[(3, 4)], instances=[(soft(0, 0.0, -0.0, 0e5), {})])["token_soft_metrics"]
    assert found == {"auprc": 0.625, "average_precision": 0.25, "roc_auc_score": 0.5}


def test_the_first_instance_decides_what_is_scored(tmp_path):
    rationales = [hard() | soft(4, 3, 2, 1), hard((0, 2)) | soft(4, 3, 2, 1)]
    assert set(by_hand(tmp_path, instances=[(rationale, {}) for rationale in rationales])) == {"token_soft_metrics"}


def test_empty_tokens_and_lines_of_docs_jsonl_count(tmp_path):
    found = by_hand(tmp_path, document="a  b \n", spans=[(3, 4)], instances=[(soft(0, 0, 0, 1), {})])
    assert found["token_soft_metrics"]["auprc"] == 1


def test_a_start_of_minus_one_marks_the_last_token(tmp_path):
    found = by_hand(tmp_path, spans=[(-1, 1)], instances=[(soft(3, 1, 2, 3), {})])
    assert found["token_soft_metrics"]["roc_auc_score"] == 1


def test_divergences_from_zeros(tmp_path):
    scores = {"classification": "x", "classification_scores": {"x": 1, "y": 0}}
    parts = {"x": 0.5, "y": 0.5}, {"x": 0.5, "y": -0.25}
    more = scores | {
        f"{side}_classification_scores": part
        for side, part in zip(("comprehensiveness", "sufficiency"), parts, strict=True)
    }
    found = by_hand(tmp_path, instances=[({}, more)])["classification_scores"]
    assert found["comprehensiveness_kl"] == math.inf
    assert found["comprehensiveness_entropy"] == pytest.approx(-math.log(2))
    assert found["sufficiency_entropy"] == math.inf
    assert found["comprehensiveness"] == 0.5
    assert found["aopc_thresholds"] is None
    assert found["accuracy"] == 1


def test_threads_change_no_bit(tmp_path):
    draw = np.random.default_rng(0)
    rationales = [hard((0, 1)) | soft(*draw.random(4).tolist()) for _ in range(2000)]
    by_hand(tmp_path, instances=[(rationale, {}) for rationale in rationales])
    one, three = (score_eraser(tmp_path / "results.jsonl", tmp_path, "test", threads=n) for n in (1, 3))
    assert one == three


def test_order_shards_and_threads_change_nothing(tmp_path):
    draw = np.random.default_rng(1)
    labels = {"classification": "x", "classification_scores": {"x": 0.7, "y": 0.3}}
    rows = [
        (
            hard((0, 1 + i % 3)) | soft(*draw.random(4).tolist()),
            labels | {"comprehensiveness_classification_scores": dict(zip("xy", draw.random(2).tolist(), strict=True))},
        )
        for i in range(500)
    ]
    expected = by_hand(tmp_path, instances=rows)
    lines = (tmp_path / "results.jsonl").read_text().splitlines(keepends=True)
    # The kind of values that the first instance has decides what is scored, so any may come first here.
    for seed in range(5):
        np.random.default_rng(seed).shuffle(lines)
        shards = [tmp_path / f"{part}.jsonl" for part in range(3)]
        for part, shard in enumerate(shards):
            shard.write_text("".join(lines[part::3]))
        found = score_eraser(shards, tmp_path, "test", aopc_thresholds=[0.5], threads=1 + seed % 3)
        assert_same(found, expected, tolerance=1e-12)

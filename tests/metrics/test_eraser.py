"""ERASER results by the benchmark's own conventions: against its recorded outputs, and against a slow twin."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from reference import eraser_twin, eraser_worlds
from reference.eraser_twin import assert_same
from reference.eraser_worlds import worlds
from unirex.metrics.eraser import score_eraser

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


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(worlds())
def test_equals_the_slow_twin(world):
    compare(world)

"""ERASER results by the benchmark's own conventions: against its recorded outputs, and against a slow twin."""

import json
import math
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from reference import eraser_twin, eraser_worlds
from reference.eraser_worlds import worlds

from unirex.metrics.eraser import score_eraser

GOLDEN = os.environ.get("UNIREX_GOLDEN")
CASES = sorted(path.parent.name for path in Path(GOLDEN, "eraser").glob("*/case.json")) if GOLDEN else []


def assert_same(found, expected, at="scores"):
    """Equal structure, and numbers within 1e-9."""
    if isinstance(expected, dict):
        assert isinstance(found, dict), at
        assert found.keys() == expected.keys(), at
        for key in expected:
            assert_same(found[key], expected[key], f"{at}.{key}")
    elif isinstance(expected, list):
        assert isinstance(found, list), at
        assert len(found) == len(expected), at
        for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            assert_same(ours, theirs, f"{at}[{i}]")
    elif expected is None:
        assert found is None, at
    else:
        both_nan = math.isnan(found) and math.isnan(expected)
        assert both_nan or found == expected or abs(found - expected) <= 1e-9, (at, found, expected)


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


def compare(world):
    with tempfile.TemporaryDirectory() as name:
        results = eraser_worlds.write(world, Path(name))
        thresholds = {key: world[key] for key in ("iou_thresholds", "aopc_thresholds")}
        try:
            expected = eraser_twin.score(results, name, "test", **thresholds)
        except eraser_twin.Refused as refused:
            with pytest.raises(ValueError, match="expected") as error:
                score_eraser(results, name, "test", **thresholds)
            assert "\n" not in str(error.value), refused
            return
        assert_same(score_eraser(results, name, "test", **thresholds), expected)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(worlds())
def test_equals_the_slow_twin(world):
    compare(world)

"""The list of metrics that a file gives: names, headings, directions, ranges, columns and their precision."""

import math
import pickle

import numpy as np
import pytest

from unirex.metrics.definitions import Definition, Sums
from unirex.metrics.layout import Layout

KINDS = frozenset({"keep", "remove", "null"})
WHOLE = Layout(
    labels=("a", "b"),
    fractions=(0.1, 0.5),
    perturbations=(("attention", KINDS), ("delete", frozenset({"remove"}))),
    has_label=True,
    has_gold=True,
    has_scores=True,
    has_rationale=True,
    has_cuts=True,
    iou_thresholds=(0.5, 0.25),
)
SHARE, LOG, INFINITY = 2.0**-30, 2.0**-20, float("inf")
LOGS = (-745.2, 745.2)
FAITHFULNESS = {
    "comprehensiveness": ("higher", (-1, 1), SHARE, {"remove"}),
    "sufficiency": ("lower", (-1, 1), SHARE, {"keep"}),
    "csd": ("higher", (-2, 2), SHARE, {"remove", "keep"}),
    "log_odds": ("lower", LOGS, LOG, {"remove"}),
    "normalised_comprehensiveness": ("higher", (0, 1), SHARE, {"remove", "null"}),
    "normalised_sufficiency": ("higher", (0, 1), SHARE, {"keep", "null"}),
    "comprehensiveness_entropy": ("none", LOGS, LOG, {"remove"}),
    "sufficiency_entropy": ("none", LOGS, LOG, {"keep"}),
    "comprehensiveness_kl": ("higher", (0, 745.2), LOG, {"remove"}),
    "sufficiency_kl": ("lower", (0, 745.2), LOG, {"keep"}),
    "decision_flip": ("higher", (0, 1), SHARE, {"remove"}),
}
PLAUSIBILITY = [
    "auprc",
    "average_precision",
    "roc_auc",
    "token_precision",
    "token_recall",
    "token_f1",
    "token_precision_micro",
    "token_recall_micro",
    "token_f1_micro",
    "iou_precision@0.5",
    "iou_recall@0.5",
    "iou_f1@0.5",
    "iou_precision@0.25",
    "iou_recall@0.25",
    "iou_f1@0.25",
]
RATIONALE = {
    "rationale_share": ("none", (0, 1), SHARE, True),
    "rationale_length": ("none", (0, INFINITY), 2.0**-6, True),
    "words_cut": ("lower", (0, 1), 1.0, False),
    "gold_cut": ("lower", (0, 1), 1.0, False),
    "gold_available": ("none", (0, 1), SHARE, True),
    "complexity": ("lower", (0, INFINITY), LOG, False),
}


def of_group(group: str) -> dict[str, Definition]:
    return {d.name: d for d in WHOLE.definitions if d.family.group == group}


def told(definition: Definition) -> tuple[str, tuple[float, float], float, bool]:
    """Direction, range, precision and whether it stands in the short table."""
    [step] = {column.step for column in definition.columns}
    return definition.family.direction, definition.family.range, step, definition.main


def test_every_metric_has_one_of_four_headings() -> None:
    groups = ("task", "faithfulness", "plausibility", "rationale")
    names = [name for group in groups for name in of_group(group)]
    assert names == [definition.name for definition in WHOLE.definitions]
    assert len(names) == len(set(names))


def test_metrics_of_the_task() -> None:
    found = of_group("task")
    of_classes = [f"{what}:{label}" for label in "ab" for what in ("precision", "recall", "f1")]
    assert list(found) == ["accuracy", "macro_f1", *of_classes]
    for name, definition in found.items():
        step = SHARE if name == "accuracy" else 1.0
        assert told(definition) == ("higher", (0, 1), step, name in ("accuracy", "macro_f1")), name
    columns = {name: [column.name for column in definition.columns] for name, definition in found.items()}
    assert columns["accuracy"] == ["accuracy"]
    assert columns["precision:a"] == ["#hit:a", "#predicted:a"]
    assert columns["recall:b"] == ["#hit:b", "#true:b"]
    assert columns["f1:b"] == ["#hit:b", "#predicted:b", "#true:b"]
    assert columns["macro_f1"] == [*columns["f1:a"], *columns["f1:b"]]


def test_metrics_of_faithfulness() -> None:
    found = of_group("faithfulness")
    expected = {}
    for how, kinds, end in (("attention", KINDS, ""), ("delete", {"remove"}, "[delete]")):
        for family, (direction, value_range, step, needed) in FAITHFULNESS.items():
            if needed <= kinds:
                main = step == SHARE and family != "decision_flip"
                expected[f"{family}{end}"] = (direction, value_range, step, main), how
                for fraction in ("0.1", "0.5"):
                    expected[f"{family}@{fraction}{end}"] = (direction, value_range, step, False), how
    assert {name: (told(d), d.perturbation) for name, d in found.items()} == expected
    for name, definition in found.items():
        assert [column.name for column in definition.columns] == [name]
        ends = definition.family.range
        assert definition.bounds == (ends if ends[1] <= 2 else (ends[0], math.inf))


@pytest.mark.parametrize("missing", ["keep", "remove", "null"])
def test_a_metric_of_faithfulness_needs_its_columns(missing: str) -> None:
    layout = Layout(fractions=(0.5,), perturbations=(("attention", KINDS - {missing}),))
    expected = [family for family, (*_, needed) in FAITHFULNESS.items() if missing not in needed]
    assert [d.name for d in layout.definitions] == [name for f in expected for name in (f, f"{f}@0.5")]


def test_metrics_of_plausibility() -> None:
    found = of_group("plausibility")
    assert list(found) == PLAUSIBILITY
    for name, definition in found.items():
        micro = name.endswith("micro")
        assert told(definition) == ("higher", (0, 1), 1.0 if micro else SHARE, not micro), name
    columns = {name: [column.name for column in definition.columns] for name, definition in found.items()}
    assert columns["token_precision_micro"] == ["#both", "#selected"]
    assert columns["token_recall_micro"] == ["#both", "#gold"]
    assert columns["token_f1_micro"] == ["#both", "#selected", "#gold"]
    assert columns["iou_f1@0.25"] == ["iou_f1@0.25"]


def test_metrics_of_the_rationale() -> None:
    found = of_group("rationale")
    assert {name: told(definition) for name, definition in found.items()} == RATIONALE
    assert [column.name for column in found["words_cut"].columns] == ["#words_cut", "#words"]
    assert [column.name for column in found["gold_cut"].columns] == ["#gold_cut", "#gold_words"]


def test_what_a_file_lacks_has_no_metric() -> None:
    assert Layout().definitions == Layout(has_probabilities=True, has_words=True, labels=("a",)).definitions == ()
    for name in ("has_label", "has_gold", "has_scores", "has_rationale", "has_cuts", "has_probabilities", "has_words"):
        assert getattr(Layout(), name) is False, name
    assert [d.name for d in Layout(has_gold=True, has_cuts=True).definitions] == list(RATIONALE)[2:5]
    assert [d.name for d in Layout(has_gold=True, has_scores=True).definitions] == [
        *PLAUSIBILITY[:3],
        "gold_available",
        "complexity",
    ]
    assert [d.name for d in Layout(has_scores=True, has_rationale=True).definitions] == [
        *list(RATIONALE)[:2],
        "complexity",
    ]
    only = Layout(has_gold=True, has_scores=True, only=frozenset({"auprc", "accuracy"}))
    assert [d.name for d in only.definitions] == ["auprc"]


def test_a_layout_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(WHOLE))
    assert again == WHOLE
    assert [d.name for d in again.definitions] == [d.name for d in WHOLE.definitions]


def test_pooled_counts_make_shares_and_their_trials() -> None:
    """Of 10 rows 4 are predicted, 5 true and 3 both, so that 6 are either; also for two replicates at once."""
    counts = {"#hit:a": 3.0, "#predicted:a": 4.0, "#true:a": 5.0}
    metrics = of_group("task")
    trials = {"precision:a": (3, 4, 3 / 4), "recall:a": (3, 5, 3 / 5), "f1:a": (3, 6, 6 / 9)}
    for name, (hits, rows, value) in trials.items():
        sums = Sums({k: np.float64(v) for k, v in counts.items()}, {k: np.float64(10) for k in counts})  # type: ignore[misc]
        share, twice = metrics[name].share, Sums({k: np.array([v, 0.0]) for k, v in counts.items()}, {})
        assert share is not None
        assert share(sums) == (hits, rows)
        assert metrics[name].from_share(hits / rows) == pytest.approx(value)
        assert float(metrics[name].value(sums)) == pytest.approx(value)
        assert metrics[name].value(twice).tolist() == pytest.approx([value, float("nan")], nan_ok=True)
    assert of_group("plausibility")["token_f1_micro"].share is None
    flips = {f"decision_flip@{fraction}{end}" for fraction in ("0.1", "0.5") for end in ("", "[delete]")}
    hits = {"accuracy", "gold_available", *flips}
    assert {d.name for d in WHOLE.definitions if d.share and ":" not in d.name} == hits

"""ERASER results by our own definitions: the same numbers as the same predictions in a prediction file."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest

from unirex.metrics import Resampling, score
from unirex.metrics.eraser.benchmark import score_eraser
from unirex.metrics.eraser.rows import score_eraser_rows

LABELS = ["a", "b", "c"]
THRESHOLDS = [0.1, 0.5]
NO_DRAWS = Resampling(replicates=0)


class World:
    """Documents, annotations and results made from a seed, and the same as the columns of a prediction file."""

    def __init__(self, seed, n=40):
        self.draw = np.random.default_rng(seed)
        self.docs, self.annotations, self.instances, self.rows = [], [], [], []
        for i in range(n):
            self.add(f"i{i}")

    def spans(self, length):
        cuts = np.unique(self.draw.integers(0, length + 1, size=4))
        return [(int(a), int(b)) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]

    def classes(self):
        return dict(zip(LABELS, self.draw.dirichlet(np.ones(3)).tolist(), strict=True))

    def document(self, docid):
        """A document with its predictions: rationale, evidences, and the marks that stand for them."""
        lines = [int(n) for n in self.draw.integers(1, 6, size=self.draw.integers(1, 4))]
        self.docs.append({"docid": docid, "document": "\n".join(" ".join("w" * n) for n in lines)})
        n, ends = sum(lines), np.cumsum(lines)
        gold, hard, sentences = np.zeros(n), np.zeros(n, bool), np.zeros(len(lines))
        evidences = []
        for start, end in self.spans(n) if self.draw.random() < 0.8 else []:
            first, last = int(np.searchsorted(ends, start, "right")), int(np.searchsorted(ends, end - 1, "right")) + 1
            place = {"start_token": start, "end_token": end, "start_sentence": first, "end_sentence": last}
            evidences.append({"text": "", "docid": docid, **place})
            gold[start:end], sentences[first:last] = 1, 1
        predicted = self.spans(n)
        for start, end in predicted:
            hard[start:end] = True
        soft = self.draw.integers(0, 4, size=n) / 4
        rationale = {
            "docid": docid,
            "hard_rationale_predictions": [{"start_token": a, "end_token": b} for a, b in predicted],
            "soft_rationale_predictions": soft.tolist(),
            "soft_sentence_predictions": self.draw.random(len(lines)).round(1).tolist(),
        }
        return rationale, evidences, (soft, hard, gold), (rationale["soft_sentence_predictions"], sentences)

    def add(self, name):
        parts = [self.document(f"{name}.{j}") for j in range(self.draw.integers(1, 3))]
        label = LABELS[self.draw.integers(0, 3)]
        keep, remove = ([self.classes() for _ in THRESHOLDS] for _ in range(2))
        full, kept, removed = self.classes(), self.classes(), self.classes()
        prediction = max(full, key=full.__getitem__)
        evidences = [evidence for part in parts for evidence in part[1]]
        self.annotations.append({"annotation_id": name, "query": "", "evidences": [evidences], "classification": label})
        at = [
            {
                "threshold": threshold,
                "sufficiency_classification_scores": k,
                "comprehensiveness_classification_scores": r,
            }
            for threshold, k, r in zip(THRESHOLDS, keep, remove, strict=True)
        ]
        self.instances.append(
            {
                "annotation_id": name,
                "rationales": [part[0] for part in parts],
                "classification": prediction,
                "classification_scores": full,
                "comprehensiveness_classification_scores": removed,
                "sufficiency_classification_scores": kept,
                "thresholded_scores": at[::-1],
            }
        )
        soft, hard, gold = (np.concatenate(column) for column in zip(*(part[2] for part in parts), strict=True))
        in_sentences = [np.concatenate(column) for column in zip(*(part[3] for part in parts), strict=True)]
        values = {"full": full, "kept": kept, "removed": removed}
        self.rows.append(
            {
                "id": name,
                "label": label,
                "prediction": prediction,
                "documents": [len(part[2][0]) for part in parts],
                "scores": soft.tolist(),
                "rationale": hard.tolist(),
                "gold": gold.tolist() if gold.any() else None,
                "keep": [list(scores.values()) for scores in keep],
                "remove": [list(scores.values()) for scores in remove],
                **{key: list(scores.values()) for key, scores in values.items()},
                "sentence_scores": in_sentences[0].tolist(),
                "sentence_gold": in_sentences[1].tolist() if in_sentences[1].any() else None,
            }
        )

    def write(self, folder):
        for name, rows in (("docs", self.docs), ("test", self.annotations), ("results", self.instances)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder / "results.jsonl"

    def table(self, names, fractions=None):
        """A table for `score` from columns here, by the names there."""
        columns = {there: [row[here] for row in self.rows] for there, here in names.items()}
        columns |= {} if fractions is None else {"fractions": [fractions] * len(self.rows)}
        return pa.table({"id": [row["id"] for row in self.rows], **columns})


def assert_equal(found, expected):
    """The metric of one report is that of the other: value, counts and interval."""
    same = math.isclose(found.value, expected.value, rel_tol=0, abs_tol=1e-12)
    assert same or (math.isnan(found.value) and math.isnan(expected.value)), (found, expected)
    for what in ("n", "n_undefined", "low", "high", "direction", "range", "group"):
        assert getattr(found, what) == getattr(expected, what), (what, found, expected)


@pytest.mark.parametrize("convention", ["strict", "paper"])
def test_equals_a_prediction_file_with_the_same_content(tmp_path, convention):
    world = World(seed=0)
    draws = Resampling(replicates=50)
    report = score_eraser_rows(world.write(tmp_path), tmp_path, "test", convention, resampling=draws)
    own = {name: name for name in ("label", "prediction", "scores", "rationale", "gold", "documents")}
    perturbed = {"probabilities": "full", "keep.delete.self": "keep", "remove.delete.self": "remove"}
    expected = score(world.table(own | perturbed, THRESHOLDS), convention, labels=LABELS, resampling=draws)
    assert {m.name for m in expected.metrics} <= {m.name for m in report.metrics}
    for metric in expected.metrics:
        assert_equal(report[metric.name], metric)
    assert report.headline == "accuracy"
    assert report.n_rows == len(world.rows)


def test_class_scores_at_the_rationale_and_sentences_have_metrics_of_their_own(tmp_path):
    world = World(seed=1)
    report = score_eraser_rows(world.write(tmp_path), tmp_path, "test", resampling=NO_DRAWS)
    sentences = world.table({"scores": "sentence_scores", "gold": "sentence_gold"})
    expected = score(sentences, resampling=NO_DRAWS)
    for name in ("auprc", "average_precision", "roc_auc"):
        assert_equal(report[f"sentence_{name}"], expected[name])
    for side, name in (("removed", "comprehensiveness"), ("kept", "sufficiency")):
        drops = [row["full"][at] - row[side][at] for row in world.rows for at in [LABELS.index(row["prediction"])]]
        assert report[f"{name}[rationale]"].value == pytest.approx(np.mean(drops), abs=1e-12)


def test_agrees_with_the_benchmark_where_the_definitions_do(tmp_path):
    world = World(seed=2)
    results = world.write(tmp_path)
    ours = score_eraser_rows(results, tmp_path, "test", resampling=NO_DRAWS)
    theirs = score_eraser(results, tmp_path, "test", aopc_thresholds=THRESHOLDS)["classification_scores"]
    for name, key in (("comprehensiveness", "comprehensiveness_aopc"), ("sufficiency", "sufficiency_aopc")):
        assert ours[name].value == pytest.approx(theirs[key], abs=1e-12)
        assert ours[f"{name}[rationale]"].value == pytest.approx(theirs[name], abs=1e-12)
    assert ours["accuracy"].value == pytest.approx(theirs["accuracy"], abs=1e-12)
    assert ours["macro_f1"].value == pytest.approx(theirs["prf"]["macro avg"]["f1-score"], abs=1e-12)


def test_shards_compressed_or_not_are_one_system(tmp_path):
    import gzip

    world = World(seed=3)
    lines = world.write(tmp_path).read_bytes().splitlines(keepends=True)
    whole = score_eraser_rows(tmp_path / "results.jsonl", tmp_path, "test", resampling=NO_DRAWS)
    (tmp_path / "part-0.jsonl").write_bytes(b"".join(lines[:7]))
    (tmp_path / "part-1.jsonl").write_bytes(gzip.compress(b"".join(lines[7:])))
    parts = score_eraser_rows(str(tmp_path / "part-*.jsonl"), tmp_path, "test", resampling=NO_DRAWS)
    assert [m.value for m in parts.metrics] == pytest.approx([m.value for m in whole.metrics], abs=0, nan_ok=True)
    thresholds = {"aopc_thresholds": THRESHOLDS}
    expected = score_eraser(tmp_path / "results.jsonl", tmp_path, "test", **thresholds)
    assert score_eraser(str(tmp_path / "part-*.jsonl"), tmp_path, "test", **thresholds) == expected


def _rationale(world):
    return world.instances[5]["rationales"][0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda w: w.instances.pop(), r"test\.jsonl: annotation_id: found 1 without an instance .* is \"i39\""),
        (lambda w: w.instances.append(w.instances[0]), r"results\.jsonl:41: annotation_id: found \"i0\" again"),
        (lambda w: w.annotations.append(w.annotations[5]), r"results\.jsonl:6: annotation_id: found 2 annotations"),
        (lambda w: w.instances[5].update(classification="z"), r"jsonl:6: classification: found \"z\", expected one of"),
        (
            lambda w: w.instances[5]["classification_scores"].update(a=2),
            r"jsonl:6: .*scores\.a: found 2\.0, expected a",
        ),
        (lambda w: w.instances[5]["classification_scores"].pop("a"), r"jsonl:6: .*found no score, .* \"a\""),
        (
            lambda w: w.instances[5]["thresholded_scores"].pop(),
            r"jsonl:6: thresholded_scores: found .*expected \[0\.1, 0\.5\] as in the first instance",
        ),
        (lambda w: _rationale(w).pop("hard_rationale_predictions"), r"jsonl:6: .*found none, expected a list of spans"),
        (lambda w: _rationale(w)["soft_rationale_predictions"].append(0.0), r"jsonl:6: .*scores, expected \d+ \(one a"),
        (
            lambda w: _rationale(w).update(hard_rationale_predictions=[{"start_token": -1, "end_token": 1}]),
            r"jsonl:6: .*found \[-1, 1\), expected 0 <= start <= end",
        ),
        (lambda w: w.instances[5]["rationales"].append(_rationale(w)), r"jsonl:6: .*found \"i5\.0\" again"),
        (
            lambda w: w.annotations[5]["evidences"].append([{"docid": "i5.0", "start_token": 0, "end_token": 99}]),
            r"test\.jsonl:6: evidences\[1\]\[0\]\.start_token, end_token: found \[0, 99\)",
        ),
        (lambda w: w.instances[0].clear(), r"results\.jsonl:1: annotation_id: found nothing, expected text"),
    ],
)
def test_names_what_is_wrong(tmp_path, spoil, message):
    world = World(seed=4)
    spoil(world)
    with pytest.raises(ValueError, match=message):
        score_eraser_rows(world.write(tmp_path), tmp_path, "test", resampling=NO_DRAWS)


def test_a_document_without_prediction_counts_as_never_seen(tmp_path):
    world = World(seed=5, n=1)
    rationale, evidences, _, _ = world.document("unseen")
    evidences = [{"text": "", "docid": "unseen", "start_token": 0, "end_token": 1}]
    world.annotations[0]["evidences"] = [evidences]
    assert rationale["docid"] == "unseen"
    report = score_eraser_rows(world.write(tmp_path), tmp_path, "test", resampling=NO_DRAWS)
    assert report["token_recall"].value == 0
    unseen = len(world.docs[-1]["document"].split())
    assert report["roc_auc"].value == pytest.approx((unseen - 1) / 2 / (report_tokens(world) - 1))


def report_tokens(world):
    return sum(len(doc["document"].split()) for doc in world.docs)

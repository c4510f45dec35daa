"""A slow, plain scorer of ERASER results with scikit-learn and scipy, written from the list of its behaviours.

It stands in for the benchmark's own scorer, which is not part of this project: the same numbers where that one
succeeds, `Refused` where that one fails. Everything is held in memory, in Python objects.
"""

import json
import math
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import entropy
from sklearn.metrics import (
    accuracy_score,
    auc,
    average_precision_score,
    classification_report,
    precision_recall_curve,
    roc_auc_score,
)


class Refused(Exception):
    """The benchmark's scorer would fail."""


def score(results, data_dir, split, iou_thresholds=(0.5,), aopc_thresholds=(0.01, 0.05, 0.1, 0.2, 0.5)):
    """The scores by block, as a dictionary."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return _score(results, Path(data_dir), split, list(iou_thresholds), list(aopc_thresholds))
        except (AssertionError, ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
            raise Refused(repr(error)) from error


def _lines(path):
    with Path(path).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _documents(data_dir):
    """docid -> list of sentences, each a list of tokens."""
    file, folder = data_dir / "docs.jsonl", data_dir / "docs"
    assert file.exists() != folder.exists()
    if file.exists():
        texts = {doc["docid"]: doc["document"] for doc in _lines(file)}
        return {name: [line.strip().split(" ") for line in text.split("\n")] for name, text in texts.items()}
    documents = {}
    for path in folder.iterdir():
        with path.open(encoding="utf-8") as file:
            lines = [line.strip() for line in file]
        documents[path.name] = [[token for token in line.split(" ") if token] for line in lines if line]
    return documents


def _score(results, data_dir, split, iou_thresholds, aopc_thresholds):
    instances, annotations = _lines(results), _lines(data_dir / f"{split}.jsonl")
    for annotation in annotations:
        _verify_annotation(annotation)
    sentences = _documents(data_dir)
    tokens = {name: [token for sentence in text for token in sentence] for name, text in sentences.items()}
    _verify(instances, tokens)
    first = instances[0]
    rationale = first["rationales"][0] if first["rationales"] else {}
    found = {}
    if rationale.get("hard_rationale_predictions"):
        predicted = _spans((i["annotation_id"], r["docid"], r.get("hard_rationale_predictions", []))
                           for i in instances for r in i["rationales"])  # fmt: skip
        gold = _spans((a["annotation_id"], e["docid"], [e]) for a in annotations for e in _evidences(a))
        found["iou_scores"] = [_iou(predicted, gold, threshold) for threshold in iou_thresholds]
        found["rationale_prf"] = _prf(predicted, gold)
        found["token_prf"] = _prf(_positions(predicted), _positions(gold))
    if rationale.get("soft_rationale_predictions") is not None:
        found["token_soft_metrics"] = _soft(
            instances, annotations, tokens, "soft_rationale_predictions", ("start_token", "end_token")
        )
    if rationale.get("soft_sentence_predictions") is not None:
        found["sentence_soft_metrics"] = _soft(
            instances, annotations, sentences, "soft_sentence_predictions", ("start_sentence", "end_sentence")
        )
    if first.get("classification") is not None:
        for annotation in annotations:
            [tokens[evidence["docid"]] for evidence in _evidences(annotation)]
        found["classification_scores"] = _classes(instances, annotations, tokens, aopc_thresholds)
    return found


def _evidences(annotation):
    return [evidence for group in annotation["evidences"] for evidence in group]


ANNOTATION = {"annotation_id", "query", "evidences", "classification"}
PLACES = {"start_token", "end_token", "start_sentence", "end_sentence"}


def _verify_annotation(annotation):
    if not ANNOTATION <= annotation.keys() <= ANNOTATION | {"query_type", "docids"}:
        raise TypeError("an annotation lacks a field or has a foreign one")
    for evidence in _evidences(annotation):
        if not {"text", "docid"} <= evidence.keys() <= {"text", "docid"} | PLACES:
            raise TypeError("an evidence lacks a field or has a foreign one")
        hash(evidence["text"])


def _verify(instances, tokens):
    names = [instance["annotation_id"] for instance in instances]
    if len(set(names)) != len(names):
        raise ValueError("a repeated instance")
    for field in ("classification", "comprehensiveness_classification_scores", "sufficiency_classification_scores"):
        if 0 < sum(instance.get(field) is not None for instance in instances) < len(instances):
            raise ValueError(f"{field} on some instances only")
    for field in ("soft_rationale_predictions", "soft_sentence_predictions"):
        having = 0
        for instance in instances:
            given = [rationale.get(field) is not None for rationale in instance["rationales"]]
            having += any(given)
            if any(given) and not all(given):
                raise ValueError(f"{field} for some documents only")
        if 0 < having < len(instances):
            raise ValueError(f"{field} on some instances only")
    for instance in instances:
        _verify_classes(instance, instances[0])
        for rationale in instance["rationales"]:
            _verify_rationale(rationale, len(tokens[rationale["docid"]]))


def _verify_classes(instance, first):
    names = ("classification_scores", "comprehensiveness_classification_scores", "sufficiency_classification_scores")
    full, remove, keep = (name in instance for name in names)
    points, labelled = "thresholded_scores" in instance, "classification" in instance
    if not isinstance(instance.get("classification", ""), str) or any(
        not isinstance(instance.get(name, {}), dict) for name in names
    ):
        raise ValueError("a class that is no text, or class scores that are no object")
    if labelled != full or (remove and not labelled) or (keep and not full) or points > (labelled & remove & keep):
        raise ValueError("a field without another that it needs")
    if points != ("thresholded_scores" in first):
        raise ValueError("thresholded_scores on some instances only")
    if points:
        ours, theirs = ({e["threshold"] for e in i["thresholded_scores"]} for i in (instance, first))
        if ours != theirs or any(not set(names[1:]) <= entry.keys() for entry in instance["thresholded_scores"]):
            raise ValueError("other thresholds than the first instance, or a threshold without class scores")


def _verify_rationale(rationale, length):
    spans = {(s["start_token"], s["end_token"]) for s in rationale.get("hard_rationale_predictions", [])}
    for start, end in spans:
        if start > length or end > length:
            raise ValueError("a span beyond the document")
        if any(set(range(start, end)) & set(range(*other)) for other in spans - {(start, end)}):
            raise ValueError("overlapping spans")
    if len(rationale.get("soft_rationale_predictions", [None] * length)) != length:
        raise ValueError("not one score a token")


def _spans(parts):
    """(annotation, document) -> set of (start, end)."""
    found = defaultdict(set)
    for annotation, docid, spans in parts:
        for span in spans:
            found[annotation, docid].add((span.get("start_token", -1), span.get("end_token", -1)))
    return found


def _positions(spans):
    found = defaultdict(set)
    for key, parts in spans.items():
        for start, end in parts:
            for position in range(start, end):
                found[key].add(position)
    return found


def _f1(p, r):
    return 0 if p == 0 or r == 0 else 2 * p * r / (p + r)


def _prf(predicted, gold):
    shared = sum(len(predicted[key] & gold[key]) for key in set(predicted) & set(gold))
    micro_p = shared / sum(map(len, predicted.values()))
    micro_r = shared / sum(map(len, gold.values()))
    rows = []
    for key in set(predicted) | set(gold):
        ours, theirs = predicted.get(key, set()), gold.get(key, set())
        p = len(ours & theirs) / len(ours) if ours else 0
        r = len(ours & theirs) / len(theirs) if theirs else 0
        rows.append((p, r, _f1(p, r)))
    macro = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return {
        "instance_micro": {"p": micro_p, "r": micro_r, "f1": _f1(micro_p, micro_r)},
        "instance_macro": dict(zip(("p", "r", "f1"), macro, strict=True)),
    }


def _iou(predicted, gold, threshold):
    matched = {}
    for key in set(predicted) | set(gold):
        count = 0
        for span in predicted.get(key, ()):
            ours = set(range(*span))
            best = 0.0
            for other in gold.get(key, ()):
                theirs = set(range(*other))
                best = max(best, len(ours & theirs) / len(ours | theirs) if ours | theirs else 0.0)
            count += best >= threshold
        matched[key] = count
    p = sum(matched.values()) / max(1, sum(map(len, predicted.values())))
    r = sum(matched.values()) / max(1, sum(map(len, gold.values())))
    macro_p = sum(matched[key] / len(spans) for key, spans in predicted.items()) / max(1, len(predicted))
    macro_r = sum(matched[key] / len(spans) for key, spans in gold.items()) / max(1, len(gold))
    return {
        "threshold": threshold,
        "micro": {"p": p, "r": r, "f1": _f1(p, r)},
        "macro": {"p": macro_p, "r": macro_r, "f1": _f1(macro_p, macro_r)},
    }


def _soft(instances, annotations, documents, field, ends):
    marks = {}
    for annotation in annotations:
        for evidence in _evidences(annotation):
            truth = marks.setdefault(
                (annotation["annotation_id"], evidence["docid"]), [False] * len(documents[evidence["docid"]])
            )
            for position in range(*(evidence.get(end, -1) for end in ends)):
                truth[position] = True
    pairs = {}
    for instance in instances:
        for rationale in instance["rationales"]:
            key = instance["annotation_id"], rationale["docid"]
            pairs[key] = marks.get(key, [False] * len(documents[rationale["docid"]])), rationale[field]
    areas, precisions, rocs = [], [], []
    for truth, scores in pairs.values():
        precision, recall, _ = precision_recall_curve(truth, scores)
        areas.append(auc(recall, precision))
        if len(set(truth)) == 2:
            precisions.append(average_precision_score(truth, scores))
            rocs.append(roc_auc_score(truth, scores))
    return {"auprc": np.mean(areas), "average_precision": np.mean(precisions), "roc_auc_score": np.mean(rocs)}


def _classes(instances, annotations, tokens, aopc_thresholds):
    labels = sorted({annotation["classification"] for annotation in annotations})
    by_name = {instance["annotation_id"]: instance for instance in instances}
    truth = [labels.index(annotation["classification"]) for annotation in annotations]
    predicted = [labels.index(by_name[annotation["annotation_id"]]["classification"]) for annotation in annotations]
    found = {
        "accuracy": accuracy_score(truth, predicted),
        "prf": classification_report(truth, predicted, output_dict=True, target_names=labels),
    }
    for name in ("comprehensiveness", "sufficiency"):
        found |= _shift(instances, name)
    found |= _aopc(instances, aopc_thresholds)
    if "tokens_to_flip" in instances[0]:
        for annotation in annotations:
            docids = {evidence["docid"] for evidence in _evidences(annotation)}
            by_name[annotation["annotation_id"]]["tokens_to_flip"] / sum(len(tokens[docid]) for docid in docids)
    return found


def _shift(instances, name):
    field = f"{name}_classification_scores"
    if field not in instances[0]:
        return dict.fromkeys((name, f"{name}_entropy", f"{name}_kl"))
    drops, entropies, divergences = [], [], []
    for instance in instances:
        full, part, label = instance["classification_scores"], instance[field], instance["classification"]
        drops.append(full[label] - part[label])
        entropies.append(entropy(list(full.values())) - entropy(list(part.values())))
        divergences.append(entropy([part[label] for label in full], list(full.values())))
    return {
        name: np.average(drops),
        f"{name}_entropy": np.average(entropies),
        f"{name}_kl": np.average(divergences),
    }


def _aopc(instances, thresholds):
    parts = ("comprehensiveness", "sufficiency")
    if "thresholded_scores" not in instances[0]:
        names = [f"{part}_aopc{end}" for part in parts for end in ("", "_points")]
        return dict.fromkeys(["aopc_thresholds", *names])
    found = {"aopc_thresholds": thresholds}
    for part in parts:
        rows = []
        for instance in instances:
            label = instance["classification"]
            picked = [entry for entry in instance["thresholded_scores"] if entry["threshold"] in thresholds]
            assert len(picked) == len(thresholds)
            picked.sort(key=lambda entry: entry["threshold"])
            whole = instance["classification_scores"][label]
            rows.append([whole - entry[f"{part}_classification_scores"][label] for entry in picked])
        found[f"{part}_aopc"] = np.mean(rows)
        found[f"{part}_aopc_points"] = np.mean(rows, axis=0).tolist()
    return found


def assert_same(found, expected, at="scores", *, tolerance=1e-9):
    """Equal structure, and numbers within the tolerance."""
    if isinstance(expected, dict):
        assert isinstance(found, dict), at
        assert found.keys() == expected.keys(), at
        for key in expected:
            assert_same(found[key], expected[key], f"{at}.{key}", tolerance=tolerance)
    elif isinstance(expected, list):
        assert isinstance(found, list), at
        assert len(found) == len(expected), at
        for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            assert_same(ours, theirs, f"{at}[{i}]", tolerance=tolerance)
    elif expected is None:
        assert found is None, at
    else:
        both_nan = math.isnan(found) and math.isnan(expected)
        assert both_nan or found == expected or abs(found - expected) <= tolerance, (at, found, expected)

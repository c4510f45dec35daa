"""Every metric once more, slowly: Python loops, scikit-learn and scipy, straight from the definitions."""

import warnings
from collections import defaultdict
from typing import Any

import numpy as np
from scipy.special import entr, rel_entr
from sklearn.metrics import auc, average_precision_score, f1_score, precision_recall_curve, roc_auc_score

NAN = float("nan")
Row = dict[str, Any]


def ranking(scores: list[float | None], gold: list[float]) -> tuple[float, float, float]:
    """AUPRC, average precision, ROC AUC; NaN with one class only, or no score."""
    truth = [g > 0.5 for g in gold]
    if len(set(truth)) < 2:
        return NAN, NAN, NAN
    present = [s for s in scores if s is not None]
    if not present:
        return NAN, NAN, NAN
    floor = min(present) - 1.0
    filled = [floor if s is None else s for s in scores]
    precision, recall, _ = precision_recall_curve(truth, filled)
    return auc(recall, precision), average_precision_score(truth, filled), roc_auc_score(truth, filled)


def prf(rationale: list[bool], gold: list[float]) -> tuple[float, float, float]:
    truth = {i for i, g in enumerate(gold) if g > 0.5}
    chosen = {i for i, r in enumerate(rationale) if r}
    if not truth:
        return NAN, NAN, NAN
    both = len(truth & chosen)
    p = both / len(chosen) if chosen else NAN
    r = both / len(truth)
    return p, r, 2 * p * r / (p + r) if both else 0.0


def spans(flags: list[bool]) -> list[set[int]]:
    found: list[set[int]] = []
    for i, flag in enumerate(flags):
        if flag:
            if i == 0 or not flags[i - 1]:
                found.append(set())
            found[-1].add(i)
    return found


def iou_prf(rationale: list[bool], gold: list[float], threshold: float) -> tuple[float, float, float]:
    predicted, true = spans(rationale), spans([g > 0.5 for g in gold])
    if not true:
        return NAN, NAN, NAN

    def share(some: list[set[int]], others: list[set[int]]) -> float:
        return sum(any(len(a & b) / len(a | b) >= threshold for b in others) for a in some) / len(some)

    p = share(predicted, true) if predicted else NAN
    r = share(true, predicted)
    return p, r, 2 * p * r / (p + r) if p > 0 and r > 0 else 0.0


def entropy(values: Any, other: Any = None) -> float:
    """In nats, or the divergence from `other`, both normalised: scipy.stats's, which takes sixty times as long."""
    shares = np.asarray(values, float) / np.sum(values)
    if other is None:
        return float(entr(shares).sum())
    return float(rel_entr(shares, np.asarray(other, float) / np.sum(other)).sum())


def faithfulness(row: Row, labels: list[str], how: str, convention: str) -> dict[str, float]:
    position = labels.index(row["prediction"])
    full = row["probabilities"][position]
    whole = np.array(row["probabilities"])
    null = row[f"null.{how}.self"][position]
    drop = max(0.0, full - null)
    found: dict[str, list[float]] = defaultdict(list)
    for keep, remove in zip(row[f"keep.{how}.self"], row[f"remove.{how}.self"], strict=True):
        k, r = keep[position], remove[position]
        found["comprehensiveness"].append(full - r)
        found["sufficiency"].append(full - k)
        found["csd"].append(k - r)
        found["log_odds"].append(np.log(r / full) if r > 0 and full > 0 else NAN)
        found["normalised_comprehensiveness"].append(min(1, max(0, full - r) / drop) if drop > 0 else NAN)
        found["normalised_sufficiency"].append(max(0, 1 - max(0, full - k) / drop) if drop > 0 else NAN)
        found["decision_flip"].append(float(labels[remove.index(max(remove))] != row["prediction"]))
        for what, other in (("comprehensiveness", remove), ("sufficiency", keep)):
            found[f"{what}_entropy"].append(entropy(whole) - entropy(other))
            kl = entropy(other, whole)
            found[f"{what}_kl"].append(kl if np.isfinite(kl) else NAN)
    out = {}
    for name, values in found.items():
        out[name] = sum(values) / (len(values) + (convention == "paper"))
        out |= {f"{name}@{f:g}": v for f, v in zip(row["fractions"], values, strict=True)}
    return out


def row_metrics(
    row: Row, labels: list[str], hows: list[str], convention: str, thresholds: list[float]
) -> dict[str, float]:
    """The metrics that are means over rows."""
    out: dict[str, float] = {}
    out["accuracy"] = NAN if row["label"] is None else float(row["label"] == row["prediction"])
    for i, how in enumerate(hows):
        end = "" if i == 0 else f"[{how}]"
        out |= {name + end: value for name, value in faithfulness(row, labels, how, convention).items()}
    gold, rationale, scores = row["gold"], row["rationale"], row["scores"]
    plausibility = ["auprc", "average_precision", "roc_auc", "token_precision", "token_recall", "token_f1"]
    for t in thresholds:
        plausibility += [f"iou_{what}@{t:g}" for what in ("precision", "recall", "f1")]
    values = [NAN] * len(plausibility)
    if gold is not None:
        values = [*ranking(scores, gold), *prf(rationale, gold)]
        for t in thresholds:
            values += iou_prf(rationale, gold, t)
    out |= dict(zip(plausibility, values, strict=True))
    if convention == "paper":
        if gold is None or not any(g > 0.5 for g in gold):
            out |= dict.fromkeys(plausibility, 0.0)
        else:
            chosen = [s is not None and s > 0 for s in scores]
            out["token_f1"] = f1_score([g > 0.5 for g in gold], chosen, average="macro", zero_division=0)
    sizes = [abs(s) for s in scores if s is not None]
    out["complexity"] = entropy(sizes) if any(sizes) else NAN
    out["rationale_length"] = float(sum(rationale))
    out["rationale_share"] = sum(rationale) / len(rationale) if rationale else NAN
    out["gold_available"] = float(gold is not None)
    return out


def pooled(rows: list[Row], labels: list[str]) -> dict[str, float]:
    """The metrics that are not means over rows."""
    known = [row for row in rows if row["label"] is not None]
    truth, predicted = [row["label"] for row in known], [row["prediction"] for row in known]
    out: dict[str, float] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out["macro_f1"] = f1_score(truth, predicted, average="macro") if known else NAN
        for label in labels:
            hit = sum(t == p == label for t, p in zip(truth, predicted, strict=True))
            out[f"precision:{label}"] = hit / predicted.count(label) if label in predicted else NAN
            out[f"recall:{label}"] = hit / truth.count(label) if label in truth else NAN
            seen = label in truth or label in predicted
            out[f"f1:{label}"] = f1_score([t == label for t in truth], [p == label for p in predicted]) if seen else NAN
    with_gold = [row for row in rows if row["gold"] is not None]
    marks = [g > 0.5 for row in with_gold for g in row["gold"]]
    chosen = [r for row in with_gold for r in row["rationale"]]
    both, n_chosen, n_gold = sum(a and b for a, b in zip(marks, chosen, strict=True)), sum(chosen), sum(marks)
    out["token_precision_micro"] = both / n_chosen if n_chosen else NAN
    out["token_recall_micro"] = both / n_gold if n_gold else NAN
    out["token_f1_micro"] = 2 * both / (n_chosen + n_gold) if n_chosen + n_gold else NAN
    words = sum(len(row["scores"]) for row in rows)
    out["words_cut"] = sum(row["words_cut"] for row in rows) / words if words else NAN
    out["gold_cut"] = sum(row["gold_cut"] for row in with_gold) / n_gold if n_gold else NAN
    return out


def metrics(
    rows: list[Row],
    labels: list[str],
    hows: list[str],
    convention: str = "strict",
    thresholds: tuple[float, ...] = (0.5,),
) -> dict[str, float]:
    """Every metric by name."""
    columns: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in row_metrics(row, labels, hows, convention, list(thresholds)).items():
            columns[name].append(value)
    out = pooled(rows, labels)
    for name, values in columns.items():
        defined = [v for v in values if not np.isnan(v)]
        out[name] = float(np.mean(defined)) if defined else NAN
    return out


def undefined(rows: list[Row], labels: list[str], hows: list[str], convention: str) -> dict[str, int]:
    """How many rows each mean leaves out."""
    found: dict[str, int] = defaultdict(int)
    for row in rows:
        for name, value in row_metrics(row, labels, hows, convention, [0.5]).items():
            found[name] += bool(np.isnan(value))
    return found

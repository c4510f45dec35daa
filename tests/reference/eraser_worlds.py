"""Small ERASER folders and results with everything that makes scoring hard, for hypothesis."""

import json

from hypothesis import strategies as st

TOKENS = st.sampled_from(["a", "bb", "é", "語", "x\ty", "😀", "", "\u00a0", "\x1c"])
ODD = [0.0, -0.0, 0.1, 0.3, 0.1 + 0.2, 0.5, 1.0, 1e-300, 5, -2.5]
SCORES = st.one_of(st.sampled_from(ODD), st.floats(allow_nan=False, allow_infinity=False))
CLASSES = ["yes", "no", "pérhaps", "accuracy", 'quo"te\\']
PROBABILITIES = st.one_of(st.sampled_from([0.0, 0, 1, 0.25, 0.5]), st.floats(0, 1))
HOSTILE = st.sampled_from([float("nan"), float("inf"), -0.5, 0.0])


def tokenise(text, *, folder):
    """The sentences of a document, each a list of tokens, as the benchmark's two loaders see them."""
    if not folder:
        return [line.strip().split(" ") for line in text.split("\n")]
    lines = [line.strip() for line in text.split("\n")]
    return [[token for token in line.split(" ") if token] for line in lines if line]


@st.composite
def texts(draw):
    """The text of a document."""
    lines = draw(st.lists(st.lists(TOKENS, min_size=1, max_size=6), min_size=1, max_size=3))
    return "\n".join(" ".join(line) for line in lines) + draw(st.sampled_from(["", "\n", " ", "\n\n"]))


@st.composite
def pieces(draw, length):
    """Spans of a document that do not overlap, and at times some that are empty, reversed or repeated."""
    cuts = sorted(draw(st.sets(st.integers(0, length), max_size=6)))
    found = list(zip(cuts[::2], cuts[1::2], strict=False))
    found += draw(st.lists(st.sampled_from([(-1, -1), (length, 0), (0, 0), *found[:1]]), max_size=2))
    return [{"start_token": a, "end_token": b} for a, b in found]


@st.composite
def evidence(draw, docid, sentences):
    """One evidence in a document, at times at negative positions."""
    n, m = sum(map(len, sentences)), len(sentences)
    start, first = draw(st.integers(0, n)), draw(st.integers(0, m))
    place = {
        "start_token": start,
        "end_token": draw(st.integers(start, n)),
        "start_sentence": first,
        "end_sentence": draw(st.integers(first, m)),
    }
    odd = draw(st.sampled_from(["", "", "", "", "unknown", "wraps", "reversed"]))
    if odd == "unknown":
        place = dict.fromkeys(place, -1) if draw(st.booleans()) else {}
    elif odd == "wraps":
        place |= {"start_token": -min(1, n), "end_token": min(2, n)}
    elif odd == "reversed":
        place |= {"start_token": n, "end_token": 0}
    return {"text": "…", "docid": docid, **place}


@st.composite
def class_scores(draw, classes, hostile):
    """Scores of all classes, in any order."""
    order = draw(st.permutations(classes))
    return {name: draw(HOSTILE if hostile and draw(st.integers(0, 5)) == 0 else PROBABILITIES) for name in order}


@st.composite
def worlds(draw):
    """A folder and results: documents, annotations, instances, and how to score them."""
    folder = draw(st.booleans())
    names = draw(st.lists(st.sampled_from(["d0", "d1", "dé", "d 3"]), min_size=1, unique=True))
    documents = {name: draw(texts()) for name in names}
    sentences = {name: tokenise(text, folder=folder) for name, text in documents.items()}
    classes = draw(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=3, unique=True))
    thresholds = draw(st.lists(st.sampled_from([0.01, 0.1, 0.5]), min_size=1, unique=True))
    has = {key: draw(st.booleans()) for key in ("hard", "soft", "sentences", "classes", "parts", "points", "flip")}
    hostile = draw(st.booleans())
    annotations, instances = [], []
    for number in range(draw(st.integers(1, 4))):
        docids = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=draw(st.integers(0, 4)) > 0))
        evidences = [draw(evidence(docid, sentences[docid])) for docid in docids * draw(st.integers(0, 2))]
        annotations.append(
            {
                "annotation_id": f"i{number}",
                "query": "?",
                "evidences": [evidences[:1], evidences[1:], evidences[:1]],
                "classification": draw(st.sampled_from(classes)),
            }
        )
        instances.append(draw(instance(f"i{number}", docids, sentences, classes, thresholds, has, hostile)))
    world = {
        "folder": folder,
        "documents": documents,
        "annotations": annotations,
        "instances": instances,
        "iou_thresholds": draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=1, max_size=3)),
        "aopc_thresholds": draw(st.permutations(thresholds)),
    }
    if draw(st.integers(0, 3)) == 0:
        draw(st.sampled_from(MISCHIEFS))(world)
    return world


@st.composite
def instance(draw, name, docids, sentences, classes, thresholds, has, hostile):
    """One line of results."""
    rationales = []
    for docid in docids:
        n, m = sum(map(len, sentences[docid])), len(sentences[docid])
        rationale = {"docid": docid}
        if has["hard"]:
            rationale["hard_rationale_predictions"] = draw(pieces(n))
        if has["soft"]:
            rationale["soft_rationale_predictions"] = draw(st.lists(SCORES, min_size=n, max_size=n))
        if has["sentences"]:
            rationale["soft_sentence_predictions"] = draw(st.lists(SCORES, min_size=m, max_size=m))
        rationales.append(rationale)
    found = {"annotation_id": name, "rationales": rationales}
    if not has["classes"]:
        return found
    found["classification"] = draw(st.sampled_from(classes))
    found["classification_scores"] = draw(class_scores(classes, hostile))
    if has["parts"] or has["points"]:
        found["comprehensiveness_classification_scores"] = draw(class_scores([*classes, "more"], hostile))
        found["sufficiency_classification_scores"] = draw(class_scores(classes, hostile))
    if has["points"]:
        found["thresholded_scores"] = [
            {
                "threshold": threshold,
                "comprehensiveness_classification_scores": draw(class_scores(classes, hostile)),
                "sufficiency_classification_scores": draw(class_scores(classes, hostile)),
            }
            for threshold in [*thresholds, 0.7]
        ]
    if has["flip"]:
        found["tokens_to_flip"] = draw(st.integers(0, 5))
    return found


def _rationale(world):
    return world["instances"][-1]["rationales"][-1]


def _null(field):
    return lambda world: world["instances"][-1].update({field: None})


def _evidence_beyond(world):
    docid = world["instances"][0]["rationales"][0]["docid"]
    world["annotations"][0]["evidences"].append([{"docid": docid, "text": "", "start_token": 0, "end_token": 99}])


MISCHIEFS = [
    lambda world: world["annotations"].pop(),
    lambda world: world["annotations"].append(world["annotations"][0]),
    lambda world: world["instances"].pop(),
    lambda world: world["instances"].append(world["instances"][0]),
    lambda world: world["instances"][-1].update(classification="unheard of"),
    lambda world: world["instances"][-1].update(rationales=[]),
    lambda world: world["instances"][0].update(rationales=[]),
    lambda world: world["instances"][0].pop("thresholded_scores", None),
    lambda world: world["instances"][-1].pop("thresholded_scores", None),
    lambda world: world["instances"][-1].pop("tokens_to_flip", None),
    lambda world: world["instances"][-1].get("classification_scores", {}).pop("yes", None),
    lambda world: world["instances"][-1].get("sufficiency_classification_scores", {}).pop("no", None),
    lambda world: world["aopc_thresholds"].append(0.2),
    lambda world: world["aopc_thresholds"].append(0.7),
    lambda world: world["documents"].pop(next(iter(world["documents"]))),
    lambda world: world["documents"].update(d0="a b c d e f g h"),
    lambda world: _rationale(world).pop("hard_rationale_predictions", None),
    lambda world: _rationale(world).update(hard_rationale_predictions=None),
    lambda world: _rationale(world).update(hard_rationale_predictions=[]),
    lambda world: world["instances"][0]["rationales"][0].update(hard_rationale_predictions=[]),
    lambda world: _rationale(world).update(hard_rationale_predictions=[{"start_token": 0, "end_token": 99}]),
    lambda world: _rationale(world).update(
        hard_rationale_predictions=[{"start_token": -9, "end_token": -5}, {"start_token": -6, "end_token": 0}]
    ),
    lambda world: _rationale(world).get("soft_rationale_predictions", []).append(0.5),
    lambda world: _rationale(world).update(soft_rationale_predictions=[]),
    lambda world: _rationale(world).get("soft_sentence_predictions", []).append(float("inf")),
    lambda world: _rationale(world).pop("soft_sentence_predictions", None),
    _null("classification"),
    _null("comprehensiveness_classification_scores"),
    lambda world: world["annotations"][-1]["evidences"].append([{"docid": "nowhere", "text": ""}]),
    _evidence_beyond,
    lambda world: world["instances"][-1].pop("classification_scores", None),
    lambda world: world["instances"][-1].pop("comprehensiveness_classification_scores", None),
    lambda world: [i.pop("sufficiency_classification_scores", None) for i in world["instances"]],
    lambda world: [i.pop("classification", None) for i in world["instances"]],
    lambda world: world["instances"][-1].get("thresholded_scores", []).append({"threshold": 0.9}),
    lambda world: world["instances"][-1].get("thresholded_scores", []).reverse(),
    lambda world: world["instances"][-1].get("thresholded_scores", [{}])[0].update(threshold=0.3),
    _null("classification_scores"),
    _null("thresholded_scores"),
    lambda world: _rationale(world).update(soft_rationale_predictions=None),
    lambda world: _rationale(world).update(soft_sentence_predictions=None),
    lambda world: world["annotations"][0].pop("query"),
    lambda world: world["annotations"][0].update(query_type=None, docids=["a"]),
    lambda world: world["annotations"][0].update(more=1),
    lambda world: world["annotations"][0]["evidences"].append([{"docid": world["instances"][0]["rationales"]}]),
    lambda world: [e.update(text=["a"]) for g in world["annotations"][0]["evidences"] for e in g],
    lambda world: [e.update(more=1) for g in world["annotations"][0]["evidences"] for e in g],
    lambda world: world["annotations"].clear(),
    lambda world: world["instances"].clear(),
]
"""Ways to spoil a world. Most are refused; some decide only what is computed."""


def write(world, where):
    """Writes a world into a folder; returns the path of the results."""
    if world["folder"]:
        (where / "docs").mkdir()
        for name, text in world["documents"].items():
            (where / "docs" / name).write_text(text, encoding="utf-8")
    else:
        rows = [{"docid": name, "document": text} for name, text in world["documents"].items()]
        _write_lines(where / "docs.jsonl", rows)
    _write_lines(where / "test.jsonl", world["annotations"])
    _write_lines(where / "results.jsonl", world["instances"])
    return where / "results.jsonl"


def _write_lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=len(row) % 2 == 0) + "\n" for row in rows), encoding="utf-8")

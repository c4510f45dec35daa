"""Ten thousand spoiled inputs: an answer or one line of complaint, and never another answer than the slow twin's."""

import json
import random

import pytest

from reference import eraser_twin
from unirex import _rust
from unirex.metrics.eraser.benchmark import score_eraser

pytestmark = pytest.mark.filterwarnings("ignore:.* instances. ")

ROUNDS = 10_000
COMPARED = 5
"""Every how many rounds an accepted input is compared with the slow twin."""

PIECES = [b"", b"null", b"NaN", b"-1", b"1e999", b"0", b'"', b"{", b"]", b",", b"\n", b"\\ud800", b"\xff", b"99", b"[]",
          b"true", b"1.5", b" ", b"\x00", b'"a"', b"[[[[", b"Infinity", b"9223372036854775808", b"\\u00e9"]  # fmt: skip


def files():
    """A small valid folder with every kind of field."""
    docs = [{"docid": name, "document": "a b c\nd é"} for name in ("x", "y")]
    annotations, instances = [], []
    for i, name in enumerate(("x", "y")):
        span = {"docid": name, "start_token": i, "end_token": 3, "start_sentence": 0, "end_sentence": 1}
        evidences = [[{"text": "", **span}]]
        annotations.append(
            {"annotation_id": name, "query": "", "classification": f"c{i}", "evidences": evidences, "docids": None}
        )
        scores = {"c0": 0.25, "c1": 0.75}
        instances.append(
            {
                "annotation_id": name,
                "rationales": [
                    {
                        "docid": name,
                        "hard_rationale_predictions": [{"start_token": 0, "end_token": 2}],
                        "soft_rationale_predictions": [0.1, 0.5, 0.3, 0.1, i],
                        "soft_sentence_predictions": [0.2, i],
                    }
                ],
                "classification": "c1",
                "classification_scores": scores,
                "comprehensiveness_classification_scores": scores,
                "sufficiency_classification_scores": scores,
                "thresholded_scores": [
                    {
                        "threshold": 0.1,
                        "comprehensiveness_classification_scores": scores,
                        "sufficiency_classification_scores": scores,
                    }
                ],
            }
        )
    rows = {"docs.jsonl": docs, "test.jsonl": annotations, "results.jsonl": instances}
    return {name: "".join(json.dumps(row) + "\n" for row in part).encode() for name, part in rows.items()}


def spoil(content, draw):
    """The bytes with one to three places cut, doubled or overwritten."""
    for _ in range(draw.randint(1, 3)):
        start = draw.randrange(len(content) + 1)
        end = min(len(content), start + draw.choice([0, 1, 1, 2, 5, 40]))
        piece = draw.choice([*PIECES, content[start:end] * 2, bytes([draw.randrange(256)])])
        content = content[:start] + piece + content[end:]
    return content


def put(path, content):
    """A new file: ext4 waits for the disk when one that was emptied is closed."""
    path.unlink()
    path.write_bytes(content)


def answer(folder):
    """The scores, or the complaint."""
    try:
        return score_eraser(folder / "results.jsonl", folder, "test", aopc_thresholds=[0.1])
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("seed", range(4))
def test_spoiled_input_is_answered_or_refused_in_one_line(seed, tmp_path):
    draw = random.Random(seed)
    whole = files()
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    refused = 0
    for i in range(ROUNDS // 4):
        name = draw.choice(["results.jsonl", "results.jsonl", "test.jsonl", "docs.jsonl"])
        put(tmp_path / name, spoil(whole[name], draw))
        found = answer(tmp_path)
        if isinstance(found, str):
            refused += 1
            assert "\n" not in found
            assert ", expected " in found
        elif i % COMPARED == 0:
            expected = eraser_twin.score(tmp_path / "results.jsonl", tmp_path, "test", aopc_thresholds=[0.1])
            eraser_twin.assert_same(found, expected)
        if i % 3 == 0:
            assert len(_rust.validate_eraser([tmp_path / "results.jsonl"], tmp_path, "test", limit=3)) <= 3
        put(tmp_path / name, whole[name])
    assert ROUNDS // 40 < refused < ROUNDS // 4

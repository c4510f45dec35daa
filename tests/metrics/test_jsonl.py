"""JSON lines give the report of the same rows in Parquet, compressed or not, and name the line at fault."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference import predictions
from unirex.metrics import Resampling, jsonl, score
from unirex.metrics.commands.cli import main

LABELS = ["neg", "pos", "neutral"]
QUICK = Resampling(replicates=20)


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_saved(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a float32 column keeps of scores and gold."""
    return predictions.as_table(rows).to_pylist()


def test_the_last_ending_decides(tmp_path: Path) -> None:
    for name in ("p.jsonl.parquet", "p.json.old"):
        pq.write_table(predictions.table(3, 5), tmp_path / name)
        assert score(tmp_path / name, resampling=QUICK).n_rows == 5


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz", "p.ndjson.zst"])
def test_the_same_report_as_parquet(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "BLOCK", 1 << 14)
    rows = as_saved(predictions.rows(3, 80))
    path = tmp_path / name
    text = lines(rows).encode()
    if name.endswith("gz"):
        path.write_bytes(gzip.compress(text))
    elif name.endswith("zst"):
        with pa.CompressedOutputStream(str(path), "zstd") as file:
            file.write(text)
    else:
        path.write_bytes(text)
    table = predictions.as_table(rows).replace_schema_metadata(None)
    expected = score(table, labels=LABELS, resampling=QUICK)
    assert repr(score(path, labels=LABELS, resampling=QUICK).metrics) == repr(expected.metrics)
    if name == "p.jsonl":
        assert repr(score(tmp_path, labels=LABELS, resampling=QUICK).metrics) == repr(expected.metrics)


def test_columns_are_mapped_and_integers_are_names(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(lines([{"id": i, "attr": [0.5, i], "marked": [True, False], "junk": {"a": [i]}} for i in range(3)]))
    report = score(path, columns={"scores": "attr", "gold": "marked"})
    assert report["roc_auc"].value == pytest.approx(1 / 3)
    assert report["roc_auc"].n == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ("[1]\n", "line 1: holds list, expected an object"),
        ("{\n", "line 1: not JSON"),
        (
            '{"id": "a", "scores": [1], "gold": [1]}\n{"id": "b", "scores": ["x"]}\n',
            "line 2: scores/[] holds string, expected number",
        ),
        (
            '{"id": "a", "scores": [1], "gold": [1]}\n\n \n{"id": "b", "scores": ["x"]}\n\n{"id": "c"}\n',
            "line 4: scores/[] holds string, expected number",
        ),
        ('{"id": "a", "scores": [1], "gold": [1]}\n{"id": "b"\n', "line 2: JSON parse error"),
        ('{"id": "a", "scores": [1], "gold": [1]}\n' * 2, "row id 'a' occurs 2 times"),
        ('{"id": "a", "scores": [NaN], "gold": [1]}\n', "row id 'a': scores[0] is nan"),
        ('{"id": "a", "scores": [1], "gold": [1]}\n{"id": "b", "gold": [1]}\n', "row id 'b': scores is null"),
        ('{"ident": "a", "scores": [1]}\n', "column 'id' is missing"),
        ('{"id": "a", "scores": [1], "gold": [1]}\n{"scores": [1]}\n', "'id' is null in the row after id 'a'"),
        ('{"scores": [1]}\n\n{"id": 2}\n', "column 'id' is null in the row before id '2'"),
        (
            f'{{"id": 1, "scores": [1], "gold": [1]}}\n\n{{"id": {10**30}, "scores": [1]}}\n',
            f"line 3: found {10**30}, expected text, or a number of 64 bits",
        ),
        (b'{"id": "a", "scores": [1], "gold": [1]}\n\n{"id": "caf\xe9", "scores": [1]}\n', "line 3: not UTF-8"),
        ('{"id": "a"}\n', "nothing to score in columns ['id']"),
        ('{"id": "a", "label": "x"}\n{"id": "b", "label": true}\n', "line 2: label holds boolean, expected string"),
        (
            '{"annotation_id": "a", "rationales": []}\n',
            "column 'id' is missing, expected predictions; results of",
        ),
    ],
)
def test_faults_are_named_by_line_or_id(
    text: str | bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main(["score", str(path)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert str(path) in err
    assert err.count("\n") == 1


def test_lines_are_counted_over_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "BLOCK", 1 << 12)
    good = [{"id": str(i), "scores": [0.5, 0.25], "gold": [1, 0]} for i in range(1000)]
    path = tmp_path / "p.jsonl"
    path.write_text(lines(good) + '{"id": "x", "scores": 1}\n')
    with pytest.raises(ValueError, match="line 1001"):
        score(path)


def test_a_compressed_file_cut_short_is_an_error(tmp_path: Path) -> None:
    content = gzip.compress(lines([{"id": str(i), "scores": [i, 1], "gold": [1, 0]} for i in range(5000)]).encode())
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"p\.jsonl\.gz"):
        score(path)


def test_a_field_that_comes_late_is_no_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "BLOCK", 1 << 15)
    early = [
        {"id": str(i), "scores": [0.5, 0.25], "meta": {"gold": 1}, "why": '"gold": ' + "x" * 2000} for i in range(1000)
    ]
    late = [{"id": f"late {i}", "scores": [0.5, 0.25], "gold": [1, 0]} for i in range(5)]
    path = tmp_path / "p.jsonl"
    path.write_text(lines([*early, *late]))
    with pytest.raises(ValueError, match=r"p\.jsonl: line 1001: the first with 'gold', expected it in"):
        score(path)
    unknown = [{"id": f"late {i}", "scores": [0.5, 0.25], "gold": None, "site": "here"} for i in range(5)]
    path.write_text(lines([*early, *unknown]))
    assert score(path, columns={}).n_rows == 1005
    path.write_text(lines([*late, *early]))
    assert score(path)["auprc"].n == 5


def test_types_follow_from_the_values_of_each_shard(tmp_path: Path) -> None:
    """Null in one shard, and an empty list, say nothing of the type in another."""
    first = [{"id": 1, "label": None, "prediction": 1, "scores": [0.1, 0.2], "gold": None, "rationale": [True, False]}]
    other = [{**first[0], "id": 2, "label": 1, "gold": [True, False], "rationale": [1, 0]}]
    for shards in ((first, other), (other, first)):
        for number, rows in enumerate(shards):
            (tmp_path / f"{number}.jsonl").write_text(lines(rows))
        report = score(tmp_path, resampling=QUICK)
        assert (report["accuracy"].value, report["accuracy"].n) == (1.0, 1)
        assert (report["auprc"].n, report["token_recall"].value) == (1, 1.0)


def test_what_was_null_at_first_is_said_to_have_been(tmp_path: Path) -> None:
    row = {"id": "", "label": None, "prediction": 1, "scores": [0.5, 0.25], "why": "x" * 2000}
    path = tmp_path / "p.jsonl"
    path.write_text(lines([{**row, "id": str(i), "label": 1 if i == 600 else None} for i in range(601)]))
    expected = r"p\.jsonl: line 601: label holds number, expected null as in all of the first MiB, or string"
    with pytest.raises(ValueError, match=expected):
        score(path)

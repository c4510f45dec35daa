"""`--columns` says what a file's columns are: one that is called as ours, but said to be another, is that other."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unirex.metrics import Resampling, score
from unirex.metrics.commands.cli import main

PLAIN = Resampling(replicates=0)
HUMAN = [
    {"id": "a", "scores": [0.9, 0.1, 0.2], "rationale": [0, 1, 1]},
    {"id": "b", "scores": [0.1, 0.3], "rationale": [1, 0]},
]

AUPRC = score(
    [{"id": row["id"], "scores": row["scores"], "gold": row["rationale"]} for row in HUMAN], resampling=PLAIN
)["auprc"].value


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("name", ["p.jsonl", "p.parquet"])
def test_marks_of_people_are_not_the_rationale_too(name: str, tmp_path: Path) -> None:
    report = score(written(tmp_path / name, HUMAN), columns={"gold": "rationale"}, resampling=PLAIN)
    assert report["auprc"].value == AUPRC
    assert not {"token_f1", "iou_f1@0.5", "rationale_share"} & {metric.name for metric in report.metrics}
    both = [{**row, "gold": row["rationale"], "mine": [1, *[0] * (len(row["scores"]) - 1)]} for row in HUMAN]
    crossed = score(
        written(tmp_path / f"both-{name}", both), columns={"rationale": "gold", "gold": "mine"}, resampling=PLAIN
    )
    assert crossed["token_f1"].value == pytest.approx(0.5)  # (0 + 1) / 2: what is called gold, against `mine`


@pytest.mark.parametrize("name", ["p.jsonl", "p.parquet"])
def test_soft_scores_called_rationale_and_labels_called_gold_are_read(name: str, tmp_path: Path) -> None:
    soft = [{"id": row["id"], "rationale": row["scores"], "gold": row["rationale"]} for row in HUMAN]
    report = score(written(tmp_path / name, soft), columns={"scores": "rationale", "gold": "gold"}, resampling=PLAIN)
    assert report["auprc"].value == AUPRC
    named = [{"id": row["id"], "scores": row["scores"], "gold": "pos", "pred": "pos"} for row in HUMAN]
    named[0]["pred"] = "neg"
    report = score(
        written(tmp_path / f"named-{name}", named), columns={"label": "gold", "prediction": "pred"}, resampling=PLAIN
    )
    assert report["accuracy"].value == 0.5


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ('{"gold": "rationale", "scores": "rationale"}', "for 'gold' and for 'scores', expected a column for each"),
        ('{"gold": "rationale", "gold": "scores"}', "line 1: key 'gold' again, expected it once (line 1)"),
    ],
)
def test_a_column_is_one_thing_and_a_thing_one_column(
    columns: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(written(tmp_path / "p.jsonl", HUMAN))
    for words in (["--columns", columns], [f"--columns={columns}"]):
        assert main(["score", file, *words]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err
        assert err.count("\n") == 1

"""What version 0.1.0 wrote is read to the same numbers; what a later version writes is refused in one line."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference.checkpoints import latest
from unirex import evaluate, train
from unirex.metrics import score
from unirex.metrics.commands import cli

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
TOY = ["--data.toy.n_train=24", "--data.toy.n_val=8", "--data.toy.n_test=6"]
RUN = [
    "--config=training/plain", "--config=slm-fp",
    *TOY, "--model.random.hidden_size=16", "--model.random.num_hidden_layers=1", "--model.random.num_attention_heads=2",
    "--model.random.intermediate_size=16", "--model.random.vocabulary=300", "--model.max_length=32",
    "--train.batch_size=8", "--train.epochs=1", "--train.log_every=1", "--train.lr=0.001",
    "--eval.batch_size=64",
]  # fmt: skip


def close(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return a == pytest.approx(b, abs=1e-5)


def test_old_predictions_score_to_the_old_numbers() -> None:
    system = json.loads((GOLDEN / "metrics.json").read_text())["systems"][0]
    report = score(GOLDEN / "predictions.parquet")
    found = {metric.name: metric.value for metric in report.metrics}
    expected = {metric["name"]: metric["value"] for metric in system["metrics"]}
    assert set(expected) <= set(found)
    for name, value in expected.items():
        assert close(None if math.isnan(found[name]) else found[name], value), name


def test_an_old_model_explains_as_it_did(tmp_path: Path) -> None:
    assert evaluate.main([f"--model={GOLDEN / 'model'}", *TOY, f"--output={tmp_path}"]) == 0
    old, new = (pq.read_table(folder / "predictions.parquet").to_pylist() for folder in (GOLDEN, tmp_path))
    for before, now in zip(old, new, strict=True):
        for column in ("id", "prediction", "label", "rationale", "gold"):
            assert before[column] == now[column]
        for column in ("probabilities", "scores"):
            assert now[column] == pytest.approx(before[column], abs=1e-4)


def test_an_old_run_is_gone_on_with(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(GOLDEN, run)
    assert train.main([*RUN, f"--output={run}", "--resume=true"]) == 0
    newest = latest(run)
    assert newest is not None
    assert newest.name == "step-00000003"
    assert pq.read_table(run / "predictions.parquet").num_rows == 6


def test_later_predictions_add_columns_and_are_read(tmp_path: Path) -> None:
    table = pq.read_table(GOLDEN / "predictions.parquet")
    metadata = dict(table.schema.metadata)
    key = next(k for k, v in metadata.items() if b"schema_version" in v)
    metadata[key] = json.dumps({**json.loads(metadata[key]), "schema_version": 2, "new": [1]}).encode()
    more = table.append_column("of_tomorrow", pa.array(range(table.num_rows))).replace_schema_metadata(metadata)
    pq.write_table(more, tmp_path / "later.parquet")
    assert score(tmp_path / "later.parquet")["headline"] == score(GOLDEN / "predictions.parquet")["headline"]
    assert cli.main(["validate", str(tmp_path / "later.parquet")]) == 0


def test_a_later_checkpoint_and_model_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(GOLDEN, run)
    manifest = run / "checkpoints" / "step-00000003" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 2}))
    assert train.main([*RUN, f"--output={run}", "--resume=true"]) == 2
    assert f"{manifest}: version is 2, expected 1" in capsys.readouterr().err
    config = run / "model" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "checkpoint_version": 2}))
    assert evaluate.main([f"--model={run / 'model'}", *TOY, f"--output={tmp_path / 'out'}"]) == 2
    assert "checkpoint_version is 2, expected 1" in capsys.readouterr().err

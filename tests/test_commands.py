"""What a person meets at the commands: bad input of every kind, Ctrl-C, trackers, half precision."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reference.processes import end, start
from unirex import evaluate, train

TINY = [
    "--data.toy.n_train=72", "--data.toy.n_val=21", "--data.toy.n_test=17", "--model.random.hidden_size=32",
    "--train.lr=0.001", "--train.batch_size=24", "--train.log_every=1", "--train.epochs=1",
    "--model.random.num_hidden_layers=1", "--model.random.num_attention_heads=2",
    "--model.random.intermediate_size=32",
]  # fmt: skip


def row(number: int, **fields: Any) -> dict[str, Any]:
    docid = f"doc{number}"
    evidence = {"docid": docid, "start_token": 0, "end_token": 2, "start_sentence": 0, "end_sentence": 1, "text": "a b"}
    label = ("pos", "neg")[number % 2]
    known = {"annotation_id": f"i{number}", "classification": label, "evidences": [[evidence]], "docids": [docid]}
    return {**known, "query": "", **fields}


def write_folder(folder: Path, damage: dict[str, Any]) -> Path:
    """A good ERASER folder of four instances a split, but for `damage`: files whole, or instance 2 of training."""
    folder.mkdir()
    for split, first in (("train", 0), ("val", 4), ("test", 8)):
        rows = [row(first + n, **(damage.get("row", {}) if (split, n) == ("train", 2) else {})) for n in range(4)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    docs = [{"docid": f"doc{n}", "document": f"it was fun number {n} ."} for n in range(12)]
    docs[2].update(damage.get("doc", {}))
    (folder / "docs.jsonl").write_text("".join(json.dumps(d) + "\n" for d in docs))
    for name, lines in damage.get("file", {}).items():
        (folder / name).write_text(lines)
    return folder


def span(start: int, end: int) -> list[list[dict[str, Any]]]:
    return [[{**row(2)["evidences"][0][0], "start_token": start, "end_token": end}]]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "plain"
    assert train.main([*TINY, f"--output={run}"]) == 0
    return run


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        ({}, []),
        ({"file": {"train.jsonl": json.dumps(row(0)) + '\n{"annotation_id": \n'}}, ["train.jsonl", "train.jsonl:2:"]),
        ({"row": {"evidences": span(3, 99)}}, ["train.jsonl:3:", "[3, 99]", "end <= 6"]),
        ({"row": {"classification": "meh"}}, ["train.jsonl:3:", "'meh'", "expected one of neg, pos"]),
        ({"row": {"classification": None}}, ["i2", "label is missing", "expected one of neg, pos"]),
        ({"doc": {"document": "  "}}, ["docs.jsonl:3:", "'doc2' is empty", "expected at least one word"]),
        ({"row": {"annotation_id": "i1"}}, ["train.jsonl:3:", "'i1'", "duplicate"]),
        ({"doc": {"docid": "doc1"}}, ["docs.jsonl:3:", "'doc1'", "duplicate"]),
        ({"row": {"docids": ["lost"], "evidences": []}}, ["train.jsonl:3:", "'lost'", "expected a document in"]),
        ({"file": {"train.jsonl": ""}}, ["training split is empty"]),
    ],
    ids=lambda value: next(iter(value), "good") if isinstance(value, dict) else "",
)
def test_bad_data_is_one_line_and_exit_2(
    damage: dict[str, Any], parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "data", damage)
    source = ["--data.source=eraser", f"--data.path={folder}", "--data.query=ignore", "--data.labels=[neg,pos]"]
    run = tmp_path / "run"
    code = train.main([*source, "--model.random.hidden_size=32", "--train.epochs=1", f"--output={run}"])
    error = capsys.readouterr().err
    if not damage:
        assert code == 0
        return
    assert code == 2
    assert error.count("error:") == 1
    line = error[error.index("error:") :].strip()
    assert "\n" not in line
    assert all(part in line for part in parts), line
    assert not (run / "predictions.parquet").exists()
    assert not (run / "model").exists()


def test_a_missing_data_file_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path / "data", {})
    (folder / "train.jsonl").unlink()
    assert train.main(["--data.source=eraser", f"--data.path={folder}", f"--output={tmp_path / 'run'}"]) == 2
    assert str(folder / "train.jsonl") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": {"epcohs": 3}}, "(did you mean train.epochs?)"),
        ({"trian": {"epochs": 3}}, "'trian.epochs' (did you mean train.epochs?)"),
        ({"seeds": 3}, "(did you mean seed?)"),
        ({"train": {"epochs": "many"}}, "train.epochs"),
        ({"method": {"fractions": [0, 0.5]}}, "method.fractions holds 0"),
        ({"eval": {"fractions": [1.01]}}, "eval.fractions holds 1.01, expected more than 0 and at most 1"),
        ({"data": {"toy": {"n_train": -1}}}, "n_train"),
        ([1, 2], "expected keys and values"),
    ],
)
def test_bad_yaml_is_one_line_and_exit_2(
    content: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(content))
    assert train.main([f"--config={recipe}", f"--output={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert message in error
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_version_is_one_line_and_exit_2(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for file in (plain / "model").iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    settings = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**settings, "checkpoint_version": 99}))
    assert evaluate.main([f"--model={model}", f"--output={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "checkpoint_version is 99, expected 1" in error
    assert str(model) in error
    assert not (tmp_path / "out" / "predictions.parquet").exists()


def test_print_config_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = Path(__file__).parents[1] / "recipes" / "quickstart.yaml"
    with pytest.raises(SystemExit) as stop:
        train.main([f"--config={recipe}", "--train.epochs=7", "--print_config"])
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["train"]["epochs"], printed["train"]["lr"], printed["output"]) == (7, 0.001, "runs/quickstart")
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(printed))
    with pytest.raises(SystemExit):
        train.main([f"--config={again}", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out) == printed


def losses(run: Path) -> list[float]:
    log = run / "log.jsonl"
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    entries = [json.loads(line) for line in lines if line.endswith("\n")]
    return [entry["loss"] for entry in entries if "loss" in entry]


def test_ctrl_c_leaves_a_state_that_resumes_to_the_same_losses(tmp_path: Path) -> None:
    long = [*TINY, "--train.epochs=10"]
    output = tmp_path / "output"
    process = start(train.main, [*long, f"--output={tmp_path / 'cut'}"], output=output)
    deadline = time.monotonic() + 120
    while len(losses(tmp_path / "cut")) < 5 and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid or 0, signal.SIGINT)
    codes, error = end(process, seconds=60), output.read_text()
    assert codes == [130], error
    assert "--resume true" in error
    assert "Traceback" not in error
    assert 5 <= len(losses(tmp_path / "cut")) < 30
    assert train.main([*long, f"--output={tmp_path / 'cut'}", "--resume=true"]) == 0
    assert train.main([*long, f"--output={tmp_path / 'whole'}"]) == 0
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_trackers_and_bf16(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert train.main([*TINY, f"--output={run}", "--train.precision=bf16", "--train.trackers=[tensorboard]"]) == 0
    assert ", in bfloat16\n" in capsys.readouterr().out
    tracked = EventAccumulator(str(run / "unirex")).Reload()
    assert {"loss", "lr", "tokens_per_second", "share/backward", "peak_memory"} <= set(tracked.Tags()["scalars"])
    logged = [entry for line in (run / "log.jsonl").open() if "loss" in (entry := json.loads(line))]
    sent = [(event.step, event.value) for event in tracked.Scalars("tokens_per_second")]
    assert sent == [(entry["step"], pytest.approx(entry["tokens_per_second"], rel=1e-6)) for entry in logged]
    assert len(json.loads((run / "metrics.json").read_text())["systems"]) == 4
    judged = pq.read_table(run / "predictions.parquet").drop_columns("model")
    assert judged.num_rows == 17
    toy = [argument for argument in TINY if argument.startswith("--data.")]
    assert evaluate.main([f"--model={run}", *toy, f"--output={tmp_path / 'again'}"]) == 0
    again = pq.read_table(tmp_path / "again" / "predictions.parquet").drop_columns("model")
    assert again.to_pylist() == judged.to_pylist()  # in 32 bits, both


@pytest.mark.parametrize("name", ["tensorbord", "clearml"])
def test_a_tracker_that_is_not_installed_is_one_line_and_exit_2(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([*TINY, f"--output={tmp_path / 'run'}", f"--train.trackers=[{name}]"]) == 2
    assert f"train.trackers holds {name!r}, expected one that is installed (" in capsys.readouterr().err

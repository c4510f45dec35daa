"""A judgment by shards is what one process judges, to the last bit, whatever was killed in between."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from reference.processes import end, start_two
from unirex import evaluate, train
from unirex.data.masks import write_masks

TOY = ["--data.toy.n_train=48", "--data.toy.n_val=12", "--data.toy.n_test=17"]
TINY = [*TOY, "--model.random.hidden_size=16", "--model.random.num_attention_heads=2", "--train.epochs=1"]
IG = ["--model.extractor=none", "--method.attribution=ig", "--method.attribution_settings.ig_steps=2"]
BATCHES = ["--eval.batch_size=6", "--eval.references=[random, gold]"]
"""Of 17 instances three batches."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("parts") / "run"
    assert train.main([*TINY, *IG, f"--output={run}"]) == 0
    return run / "model"


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert evaluate.main([f"--model={model}", *TOY, *BATCHES, f"--output={folder}"]) == 0
    return folder


def judge(model: Path, output: Path, shard: str, *more: str) -> int:
    return evaluate.main([f"--model={model}", *TOY, *BATCHES, f"--output={output}", f"--shard={shard}", *more])


def results(folder: Path) -> dict[str, Any]:
    """The content of all results by name: bytes, or the rows and header of a table."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: Table(path) if path.suffix == ".parquet" else path.read_bytes()
        for name, path in found.items()
        if not name.startswith(("parts", "cost"))
    }


class Table:
    """Rows and header of a file, equal to others to the last bit."""

    def __init__(self, path: Path) -> None:
        self.table = pq.read_table(path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and bool(self.table.equals(other.table, check_metadata=True))

    __hash__ = None  # type: ignore[assignment]


def test_shards_give_what_one_process_gives(
    model: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four shards of three batches, so that one is empty, in any order and one of them twice."""
    said = ["missing: 1, 2, 3; the last", "missing: 2, 3; the last", "kept, missing: 2, 3; the last", "missing: 3; the"]
    (tmp_path / "metrics.json").write_text("of another model")
    for number, message in zip("4112", said, strict=True):
        capsys.readouterr()
        assert judge(model, tmp_path, f"{number}/4") == 0
        assert capsys.readouterr().out.startswith(f"{tmp_path}: part {number} of 4 ")
        assert not results(tmp_path), message
    assert judge(model, tmp_path, "3/4") == 0
    expected = results(whole)
    assert {"predictions.parquet", "reference/gold.parquet", "metrics.json", "warnings.json"} <= expected.keys()
    assert "completeness_gap" in pq.read_schema(tmp_path / "predictions.parquet").names
    assert results(tmp_path) == expected
    assert json.loads((tmp_path / "cost.json").read_text())["explain_instances"] == 17


def test_a_part_counts_once_it_is_whole_and_made_alike(
    model: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    half = out / "parts" / "2-of-2"
    half.mkdir(parents=True)
    masks = tmp_path / "masks"
    masks.mkdir()
    judged = pq.read_table(whole / "predictions.parquet", columns=["id", "words"]).to_pylist()
    write_masks(masks / "0.2.parquet", {row["id"]: np.zeros(len(row["words"]), np.bool_) for row in judged})
    (half / "extractor.parquet").write_text("half")  # killed before it was recorded
    assert judge(model, out, "1/2") == 0
    assert "part 1 of 2 written, missing: 2" in capsys.readouterr().out
    for more, found in [
        (["--eval.seed=1"], "eval.seed 0, expected 1"),
        (["--data.toy.n_test=16"], "data.rows '"),
        ([f"--scores={whole / 'predictions.parquet'}"], "scores.file None, expected '"),
        ([f"--checks={{other: {model}}}"], "checks.other None, expected '"),
        ([f"--data.masked={masks}", "--data.masked_share=0.2"], "data.masks None, expected '"),
    ]:
        assert judge(model, out, "2/2", *more) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {out / 'parts' / '1-of-2'} was made with {found}")
        assert error.count("\n") == 1
    other = shutil.copytree(model, tmp_path / "model")
    (other / "README.md").write_text("a card is no part of it")
    assert judge(other, out, "1/2") == 0
    (other / "config.json").write_text((other / "config.json").read_text() + "\n")
    assert judge(other, out, "1/2") == 2
    assert "was made with model '" in capsys.readouterr().err
    assert judge(model, out, "2/2") == 0
    assert results(out) == results(whole)
    shutil.copytree(half, half.with_name("1-of-2"), dirs_exist_ok=True)
    assert judge(model, out, "1/2") == 2
    assert "rows of extractor, expected 17, each once" in capsys.readouterr().err
    assert judge(model, out, "3/2") == 2
    assert "--shard is '3/2', expected I/N" in capsys.readouterr().err


def test_a_part_that_lost_or_damaged_a_file_is_judged_again(
    model: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "parts" / "1-of-2"
    assert judge(model, tmp_path, "1/2") == 0
    for damage in (
        (other / "random.parquet").unlink,
        lambda: (other / "gold.parquet").write_bytes((other / "gold.parquet").read_bytes()[:-9]),
        lambda: (other / "cost.json").write_text('{"explain'),
        lambda: (other / "files.json").write_text("[1]"),
        lambda: (other / "made.json").write_bytes((other / "made.json").read_bytes()[:-4]),
    ):
        damage()
        capsys.readouterr()
        assert judge(model, tmp_path, "2/2") == 0
        assert "missing: 1; the last one joins all" in capsys.readouterr().out
        assert not (tmp_path / "metrics.json").exists()
        assert judge(model, tmp_path, "1/2") == 0
        assert "part 1 of 2 written\n" in capsys.readouterr().out
        assert results(tmp_path) == results(whole)
        (tmp_path / "metrics.json").unlink()


@pytest.mark.slow
def test_several_processes_judge_a_shard(model: Path, whole: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    given = [f"--model={model}", *TOY, *BATCHES, f"--output={out}"]
    for shard in ("1/2", "2/2"):
        two = start_two(evaluate.main, [*given, f"--shard={shard}"], output=log, env={"ACCELERATE_USE_CPU": "true"})
        assert end(*two) == [0, 0], log.read_text()
    one, found = (pq.read_table(folder / "predictions.parquet").to_pylist() for folder in (whole, out))
    for a, b in zip(one, found, strict=True):
        assert (a["id"], a["words"]) == (b["id"], b["words"])
        assert b["probabilities"] == pytest.approx(a["probabilities"], abs=1e-6)  # other rows pass together

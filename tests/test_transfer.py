"""A trained model on data with other class names, of another task, and longer than short encoders take."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from reference import predictions
from unirex import evaluate, train
from unirex.metrics import score
from unirex.suites.ledger import Ledger
from unirex.suites.plan import make_plan
from unirex.suites.recipe import read_suite
from unirex.suites.session import Recorded

RECIPES = Path(__file__).parents[1] / "recipes"
TINY = [
    "--data.toy.n_train=48",
    "--data.toy.n_val=12",
    "--data.toy.n_test=12",
    "--model.random.hidden_size=32",
    "--train.epochs=1",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on the toy corpus, whose classes are positive and negative."""
    run = tmp_path_factory.mktemp("runs") / "toy"
    assert train.main([*TINY, f"--output={run}"]) == 0
    return run / "model"


def write(path: Path, labels: Sequence[str | None]) -> Path:
    rows = [{"text": f"a superb plot number {n}", "label": label} for n, label in enumerate(labels)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def judged(model: Path, data: Path, *arguments: str) -> tuple[int, Path]:
    output = data.parent / "out"
    source = ["--data.source=hub", f"--data.path={data.parent}", "--data.name=far"]
    return evaluate.main([f"--model={model}", *source, f"--output={output}", *arguments]), output


def metrics(output: Path) -> dict[str, float | None]:
    content = json.loads((output / "metrics.json").read_text())["systems"][0]
    return {metric["name"]: metric["value"] for metric in content["metrics"]}


def test_classes_of_other_names_are_mapped(model: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "test.jsonl", ["good", "bad", "good", None])
    names = ["--data.labels=[bad, good]", "--data.rename_labels={bad: negative, good: positive}"]
    code, output = judged(model, data, *names)
    assert code == 0
    table = pq.read_table(output / "predictions.parquet")
    assert table["label"].to_pylist() == ["positive", "negative", "positive", None]
    expected = np.mean(
        [p == y for p, y in zip(table["prediction"].to_pylist(), table["label"].to_pylist(), strict=True) if y]
    )
    assert metrics(output)["accuracy"] == pytest.approx(expected)
    cost = json.loads((output / "cost.json").read_text())
    assert cost["explain_instances"] == 4
    assert cost["explain_seconds"] > 0


@pytest.mark.parametrize("headline", ["f1:hate", "accuracy"])
def test_another_task_is_judged_for_faithfulness_alone(
    headline: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(tmp_path / "test.jsonl", ["hate", "none", "hate"])
    classes = ["--data.labels=[none, hate]", f"--data.headline={headline}"]
    code, output = judged(model, data, *classes)
    assert code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "class 'none' is none of the model's (negative, positive)" in error
    assert "data.other_labels missing" in error
    assert not output.exists()
    code, output = judged(model, data, *classes, "--data.other_labels=missing")
    assert code == 0
    assert "3 of 3 instances have no label among negative, positive" in capsys.readouterr().out
    found = metrics(output)
    assert found["accuracy"] is None
    assert found["comprehensiveness"] is not None
    assert {p.stem for p in (output / "reference").iterdir()} == {"random"}
    assert set(pq.read_table(output / "predictions.parquet")["label"].to_pylist()) == {None}


def test_labels_known_in_part_count_where_they_are(model: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "test.jsonl", ["positive", "neutral", "positive"])
    code, output = judged(model, data, "--data.other_labels=missing")
    assert code == 0
    assert pq.read_table(output / "predictions.parquet")["label"].to_pylist() == ["positive", None, "positive"]
    assert metrics(output)["accuracy"] in (0, 0.5, 1)


def long_texts(folder: Path) -> list[str]:
    """Texts of 900 words whose gold is the last one."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 6), ("val", 2), ("test", 2)):
        rows: list[dict[str, Any]] = []
        for i in range(n):
            words = [*rng.choice(["the", "door", "was", "red"], 899), ("fine", "dull")[i % 2]]
            rows.append({"words": words, "label": ("pos", "neg")[i % 2], "gold": [899]})
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = [
        "--data.hub.text=words",
        "--data.hub.words=list",
        "--data.hub.gold=[gold]",
        "--data.hub.gold_format=indices",
    ]
    return ["--data.source=hub", f"--data.path={folder}", *columns]


@pytest.mark.parametrize(("length", "cut"), [(1024, 0), (128, 774)])
def test_long_texts_are_read_to_their_end_or_truncation_is_told(
    length: int, cut: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = long_texts(tmp_path)
    random = [
        "--model.random.hidden_size=16",
        "--model.random.num_attention_heads=2",
        "--model.random.intermediate_size=16",
    ]
    run = tmp_path / "run"
    settings = [f"--model.max_length={length}", "--method.fractions_per_step=1", "--train.epochs=1"]
    config = f"--config={RECIPES / 'backbones' / 'long-random.yaml'}"
    assert train.main([config, *data, *random, *settings, f"--output={run}"]) == 0
    table = pq.read_table(run / "predictions.parquet")
    assert table["words_cut"].to_pylist() == [cut] * 2
    assert [scores[-1] is None for scores in table["scores"].to_pylist()] == [bool(cut)] * 2
    said = capsys.readouterr().out
    if cut:
        assert f"truncation at 128 tokens takes {6 * cut} words from 6 training instances, 6 of them marked" in said
    else:
        assert "truncation" not in said


def test_what_is_done_of_a_run_that_failed_elsewhere_is_in_the_ledger(tmp_path: Path) -> None:
    far = {name: {"set": {"data.toy.kind": "pair", "data.toy.n_test": n}} for n, name in enumerate(("near", "far"), 8)}
    content = {
        "output": str(tmp_path / "out"),
        "ledger": "results/s.jsonl",
        "data": {"one": []},
        "methods": {"slm": {"set": {"model.extractor": "shared"}}},
        "transfer": far,
    }
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    suite = read_suite(str(path))
    [run] = make_plan(suite, [])

    def leave(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rows = predictions.as_table(predictions.rows(7, 6, hows=("attention",)), hows=("attention",))
        pq.write_table(rows, folder / "predictions.parquet")
        own = score(str(folder / "predictions.parquet")).as_dict()
        (folder / "metrics.json").write_text(json.dumps({"systems": [own]}))
        (folder / "log.jsonl").write_text(json.dumps({"event": "end", "train_seconds": 6.0, "judge_seconds": 3.0}))

    ledger = Ledger(path=tmp_path / "results" / "s.jsonl")
    checkpoint = run.folder / "checkpoints" / "step-1"
    checkpoint.mkdir(parents=True)
    Recorded(suite=suite).add(run)  # it has left nothing yet
    assert ledger.entries() == []
    assert checkpoint.is_dir()
    leave(run.folder)
    (run.folder / "config.yaml").write_text(yaml.safe_dump(run.config))
    near, last = run.transfers
    leave(near.folder)
    near.recipe.write_text(yaml.safe_dump(dict(near.content)))
    last.folder.mkdir(parents=True)
    Recorded(suite=suite).add(run)
    assert [entry.data for entry in ledger.entries()] == ["one", "one to near"]
    leave(last.folder)
    last.recipe.write_text(yaml.safe_dump(dict(last.content)))
    Recorded(suite=suite).add(run)
    assert [entry.data for entry in ledger.entries()] == ["one", "one to near", "one to far"]
    assert not checkpoint.is_dir()

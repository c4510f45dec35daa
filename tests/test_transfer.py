"""A trained model on data with other class names, of another task, and longer than short encoders take."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from unirex import evaluate, train

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
    code, output = judged(model, data, *names, "--data.headline=f1:good")
    assert code == 0
    assert json.loads((output / "metrics.json").read_text())["systems"][0]["headline"] == "f1:positive"
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

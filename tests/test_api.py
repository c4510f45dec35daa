"""`import unirex`: tables of any library become runs; the page about notebooks is followed; wrong input is one line."""

import ast
import importlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import unirex
from test_package import loaded_by
from unirex.api.tables import given
from unirex.data.columns import usual_columns
from unirex.data.toy import ToyConfig, toy_examples
from unirex.methods import METHODS
from unirex.methods.joint import Joint, JointConfig
from unirex.report.marks import STYLES

DOCS = Path(__file__).parents[1] / "docs"
SMALL: dict[str, Any] = {
    "model": {"random": {"hidden_size": 16, "num_hidden_layers": 1}},
    "train": {"epochs": 1, "lr": 1e-05},
    "eval": {"references": []},
}


def rows(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Of the toy corpus; every third has no gold."""
    examples = toy_examples("train", config=ToyConfig(n_train=n), seed=seed)
    return [
        {
            "text": " ".join(example.words),
            "label": example.label,
            "rationale": None if i % 3 == 2 or example.gold is None else [int(mark) for mark in example.gold],
        }
        for i, example in enumerate(examples)
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> unirex.Trained:
    splits = {name: pd.DataFrame(rows(n)) for name, n in {"train": 32, "validation": 12, "test": 8}.items()}
    return unirex.train(splits, output=tmp_path_factory.mktemp("runs") / "own", **SMALL)


def test_labels_are_found_under_another_usual_name(model: unirex.Trained) -> None:
    table = pd.DataFrame(rows(12, seed=1)).rename(columns={"label": "Class"}).assign(id="no id, as in training")
    assert model.evaluate(table)["accuracy"].n == 12


def test_data_that_are_one_split_are_judged_whole(model: unirex.Trained, tmp_path: Path) -> None:
    datasets.Dataset.from_list(rows(11, seed=1)).with_format("numpy").save_to_disk(str(tmp_path / "saved"))
    for part in (1, 2):
        written(tmp_path / f"part{part}.jsonl", 6, seed=part)
    for data, count in ((tmp_path / "saved", 11), (tmp_path / "part*.jsonl", 12)):
        assert model.evaluate(data, columns={"gold": "rationale"}).n_rows == count
    named = [{**row, "ID": f"r{n}"} for n, row in enumerate(rows(60))]
    own = unirex.train(pd.DataFrame(named), output=tmp_path / "run", **SMALL)
    assert own.evaluate(pd.DataFrame(rows(9, seed=1))).n_rows == 9


def test_importing_loads_nothing_heavy() -> None:
    assert loaded_by("import unirex; unirex.train, unirex.score, unirex.compare, unirex.Trained") == set()
    with pytest.raises(AttributeError, match="module 'unirex' has no attribute 'trian'"):
        _ = unirex.trian  # type: ignore[attr-defined]


def test_train_is_the_function_and_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    from unirex import train

    assert unirex.train is train is importlib.import_module("unirex.train")
    assert train.main(["--config=none"]) == 2
    assert "--config none: no such file or recipe" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"^data is a list, expected a table"):
        train([])


def test_the_page_about_notebooks_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tutorial = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    films = re.search(r"```python make_films.py\n(.*?)^```", tutorial, re.DOTALL | re.MULTILINE)
    assert films is not None
    exec(films[1], {})  # the tutorial's own script
    page = (DOCS / "howto" / "notebook.md").read_text(encoding="utf-8")
    cells = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(cells[0].splitlines()) <= 12
    names: dict[str, Any] = {}
    shown = [_run(cell, names) for cell in cells]
    html = shown[0]._repr_html_()
    assert shown[0].label == "neg"
    assert {span.text for span in shown[0].rationale} & {"hollow", "a mess", "mess"}
    assert STYLES.frame in html
    assert "background:rgba(" in html
    config = yaml.safe_load((tmp_path / "runs/notebook/config.yaml").read_text())
    assert config["data"]["hub"]["gold_format"] == "marked"
    # Rows without splits: each is in one, which has its share.
    assert "val and test drawn" in capsys.readouterr().out
    assert unirex.score(names["model"]).n_rows == pytest.approx(45, abs=2)
    assert names["model"].explain("a film").label in {"pos", "neg"}
    assert (tmp_path / "notebook.html").exists()
    assert '"doubt": 0.0' in (tmp_path / "runs/doubt/log.jsonl").read_text()


def _run(cell: str, names: dict[str, Any]) -> Any:
    """Runs a cell of a notebook; the value of its last line, where that is an expression."""
    code = ast.parse(cell)
    last = code.body.pop() if isinstance(code.body[-1], ast.Expr) else None
    exec(compile(code, "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_a_run_keeps_its_table_and_can_be_started_again_by_the_command(model: unirex.Trained, tmp_path: Path) -> None:
    assert sorted(file.name for file in model.files.tables.iterdir()) == [
        "test.parquet",
        "train.parquet",
        "val.parquet",
    ]
    config = yaml.safe_load(model.files.config.read_text())
    assert config["data"]["hub"] | {"gold": ["rationale"], "label": "label", "id": None} == config["data"]["hub"]
    assert config["train"]["lr"] == 1e-05
    assert unirex.train.main([f"--config={model.files.config}", f"--output={tmp_path / 'b'}"]) == 0
    one, other = (pq.read_table(folder / "predictions.parquet") for folder in (model.folder, tmp_path / "b"))
    assert one["scores"].equals(other["scores"])


def test_a_model_answers_and_is_judged_on_other_tables(model: unirex.Trained, capsys: Any) -> None:
    answer = model.explain("a fine film")
    assert [word.text for word in answer.words] == ["a", "fine", "film"]
    many = model.explain(pd.Series(["a fine film", "a poor one"]))
    assert [one.label for one in many] == [model.explainer(text).label for text in ("a fine film", "a poor one")]
    with pytest.raises(ValueError, match="the input is null, expected a text, a pair, a row"):
        model.explain(None)
    frame = pd.DataFrame(rows(10, seed=3))
    metrics = model.evaluate(frame)
    assert metrics.n_rows == 10
    assert np.isfinite(metrics["auprc"].value)
    bare = model.evaluate(frame[["text"]], output=model.folder / "bare", eval={"references": []})
    assert np.isnan(bare["accuracy"].value)
    assert bare["csd"].value == pytest.approx(metrics["csd"].value)
    named = frame.rename(columns={"text": "words in it", "label": "class"})
    again = model.evaluate(named, columns={"text": "words in it", "label": "class"}, data={"limit": 5})
    assert again.n_rows == 5
    test = unirex.score(model)
    assert test["accuracy"].value == unirex.score(model.files.predictions)["accuracy"].value
    compared = unirex.compare(model, model.files.predictions, metrics=["auprc"])
    assert compared.differences[0][0].difference == 0
    assert model.report().parts[0].report.n_rows == 8
    assert repr(unirex.Trained(model.folder)) == f"<Trained {str(model.folder)!r}>"


def test_gold_of_another_table_is_read_as_it_is_written_there(tmp_path: Path) -> None:
    words = [row for row in rows(36) if row["rationale"] is not None]
    for row in words:
        pieces = zip(row["text"].split(), row["rationale"], strict=True)
        row["marked"] = " ".join(f"*{word}*" if mark else word for word, mark in pieces)
    marked = pd.DataFrame([{"text": row["marked"], "label": row["label"]} for row in words])
    trained = unirex.train(marked, columns={"gold": "text"}, output=tmp_path / "run", **SMALL)
    plain = pd.DataFrame(words)[["text", "label", "rationale"]]

    def judged(table: Any, **more: Any) -> tuple[int, float | None]:
        trained.evaluate(table, output=tmp_path / "judged", **more)
        gold = pq.read_table(tmp_path / "judged" / "predictions.parquet")["gold"].to_pylist()
        known = [row for row in gold if row is not None]
        return len(known), sum(map(sum, known))

    everything = sum(sum(row["rationale"]) for row in words)
    assert judged(marked) == (len(words), everything)
    assert judged(plain) == (len(words), everything)
    assert judged(plain, columns={"gold": "rationale"}) == (len(words), everything)
    assert judged(plain[["text", "label"]]) == (0, 0)
    file = tmp_path / "plain.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in plain.to_dict("records")))
    assert judged(file) == (len(words), everything)
    split = plain.assign(text=[text.split() for text in plain["text"]])
    assert judged(split) == (len(words), everything)


@pytest.mark.parametrize("first", ["[spoiler] a *fine* film [end]", "10 , 9"])
def test_marks_are_in_the_text_whatever_it_looks_like(first: str) -> None:
    table = [{"text": first, "label": "pos"}, {"text": "a *poor* one", "label": "neg"}]
    assert usual_columns(given(table).cells, {"gold": "text"})["gold_format"] == "marked"


def columns_of(records: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {name: [row[name] for row in records] for name in records[0]}
    return {**found, "text": np.array(found["text"])}


@pytest.mark.parametrize(
    "made",
    [pd.DataFrame, pa.Table.from_pylist, datasets.Dataset.from_list, list, columns_of,
     pl.DataFrame,
     lambda records: datasets.Dataset.from_list(records[::-1]).select(range(len(records))[::-1])],
    ids=["pandas", "arrow", "datasets", "rows", "columns", "polars", "selected"],
)  # fmt: skip
def test_tables_of_every_library_are_the_same_rows(made: Any, tmp_path: Path) -> None:
    records = rows(7)
    found = given(made(records))
    assert found.settings(tmp_path, {}, {})["hub"] == {
        "text": "text", "label": "label", "gold": ["rationale"], "gold_format": "mask"
    }  # fmt: skip
    found.write(tmp_path / "data")
    table = pq.read_table(tmp_path / "data" / "train.parquet")
    assert table.to_pylist() == records


def test_class_names_of_a_data_set_are_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    one = datasets.Dataset.from_dict({"text": ["a film", "a day"] * 8, "label": [0, 1] * 8}, features=features)
    splits = datasets.DatasetDict({"train": one, "validation": one})
    trained = unirex.train(splits, output=tmp_path / "run", **SMALL)
    assert trained.explainer.labels == ("no", "yes")
    said = capfd.readouterr()
    assert "dev epoch" in said.out + said.err  # the run's own lines
    assert "it/s" not in said.err, "transformers shows bars of its own"


@pytest.mark.parametrize(
    ("data", "more", "said"),
    [
        ([], {}, "data is a list, expected a table, a list of dictionaries, or a file"),
        (pd.DataFrame({"text": [], "label": []}), {}, "data has no rows, expected at least one"),
        (7, {}, "table: not a table (builtins.int, expected a file, a table"),
        ({"train": rows(3), "dev": 3}, {}, "table: not a table (builtins.int"),
        ({"train": rows(3), "val": rows(3), "dev": rows(3)}, {}, "data has the splits train, val, dev, expected each"),
        ([{"a": "x"}], {}, "no column is called text, found a; expected columns={'text': NAME}"),
        ([{"text": "x"}], {}, "no column is called label, found text; expected columns={'label': NAME}"),
        ([{"text": "x", "review": "y"}], {}, "columns text and review may both be the text, expected columns={'text'"),
        (rows(3), {"columns": {"txt": "a"}}, "unknown configuration key 'data.hub.txt' (did you mean data.hub.text"),
        (rows(3), {"columns": {"text": "a"}}, "there is no column a, found text, label, rationale"),
        (rows(3), {"train": {"epcohs": 1}}, "unknown configuration key 'train.epcohs' (did you mean train.epochs?)"),
        (rows(3), {"trian": {"epochs": 1}}, "unknown configuration key 'trian.epochs' (did you mean train.epochs?)"),
        (rows(3), {"method": "jont"}, "method.name is 'jont', expected one of joint"),
        (rows(3), {"method": int}, "method is <class 'int'>, expected a subclass of"),
        (rows(3), {"train": 3}, "train is 3, expected a dictionary of settings"),
        (rows(3), {"model": 7}, "model is 7, expected a dictionary of settings"),
        (rows(3), {"columns": ["text"]}, "columns is ['text'], expected a dictionary of settings"),
        (rows(3), {"callbacks": [3]}, "callbacks: found 3, expected a function"),
        (rows(3), {"loss": "mean"}, "loss: found 'mean', expected a function"),
        (rows(3), {"output": ""}, "output is '', expected a folder"),
        (rows(3), {"config": Path("none.yaml")}, "--config none.yaml: no such file or recipe"),
        ("no-recipe", {}, "--config no-recipe: no such file or recipe"),
        ("none.csv", {}, "none.csv: no such file"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line(
    data: Any, more: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        unirex.train(data, **more)
    assert "\n" not in str(caught.value)


def test_a_folder_that_holds_a_run_keeps_its_data(model: unirex.Trained) -> None:
    before = {file.name: file.read_bytes() for file in model.files.tables.iterdir()}
    with pytest.raises(ValueError, match="holds a run, expected a new folder"):
        unirex.train(rows(5), output=model.folder)
    assert before == {file.name: file.read_bytes() for file in model.files.tables.iterdir()}
    with pytest.raises(ValueError, match="there is no model, expected the folder of a run"):
        unirex.Trained(model.files.tables)


@dataclass(frozen=True, kw_only=True)
class MineConfig(JointConfig):
    """Settings.

    Attributes:
        name: of the method.
    """

    name: str = "mine"


class Mine(Joint):
    config_class = MineConfig


def written(path: Path, n: int, seed: int = 0) -> Path:
    """Rows without a split."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows(n, seed))), encoding="utf-8")
    return path


def test_a_file_by_itself_is_judged_whole_and_the_trained_one_by_its_test_rows(tmp_path: Path, capsys: Any) -> None:
    mine, other = written(tmp_path / "mine.jsonl", 60), written(tmp_path / "other.jsonl", 11, seed=1)
    made = unirex.train(mine, output=tmp_path / "run", data={"seed": 3}, **SMALL)
    held_out = set(pq.read_table(made.files.predictions)["id"].to_pylist())
    assert made.evaluate(other).n_rows == 11
    capsys.readouterr()
    assert made.evaluate(mine).n_rows == len(held_out)
    assert "15% of its rows are judged, drawn as for training" in capsys.readouterr().out
    assert set(pq.read_table(made.folder / "evaluation" / "predictions.parquet")["id"].to_pylist()) == held_out
    for settings, said in (
        ({"data": {"seed": 0}}, "data.seed is 0, expected 3 as in"),
        ({"columns": {"gold": []}}, r"data.hub.gold is \[\], expected \['rationale'\] as in"),
    ):
        with pytest.raises(ValueError, match=f"{said}.*draw some that were trained on"):
            made.evaluate(mine, **settings)  # type: ignore[arg-type]


def test_usual_columns_are_found_in_files_of_every_arrangement(tmp_path: Path) -> None:
    one = written(tmp_path / "all" / "train.jsonl", 6)
    for data in (one, tmp_path / "all", tmp_path / "all" / "{split}.jsonl", tmp_path / "all" / "tr*.jsonl"):
        assert given(str(data)).settings(tmp_path, {}, {})["hub"]["gold"] == ["rationale"]
    assert given(str(tmp_path / "all")).settings(tmp_path, {}, {"source": "eraser"}).get("hub") is None


def test_a_column_may_be_called_id_as_its_owner_likes() -> None:
    frame = pd.DataFrame(rows(4)).assign(ID=[f"r{n}" for n in range(4)])
    assert given(frame).settings(Path("q"), {}, {})["hub"]["id"] == "ID"


def test_recipes_files_and_own_methods_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(METHODS, "_added", {})
    toy = {"toy": {"n_train": 24, "n_val": 8, "n_test": 8}}
    tiny = unirex.train("toy", config=["tiny", "slm-p"], data=toy, train={"epochs": 1}, output="runs/a")
    assert yaml.safe_load(tiny.files.config.read_text())["method"]["comp_weight"] == 0
    assert not tiny.files.tables.exists()
    for split in ("train", "val"):
        pd.DataFrame(rows(9)).to_json(f"{split}.jsonl", orient="records", lines=True)
    splits = {"data": {"path": "{split}.jsonl"}, "columns": {"gold": "rationale"}}
    own = unirex.train("train.jsonl", **splits, method={"name": Mine, "comp_weight": 0.1}, output="runs/b", **SMALL)
    assert own.explain("a film").label in own.explainer.labels
    pd.DataFrame([{**row, "rationale": str(row["rationale"])} for row in rows(9) if row["rationale"]]).to_csv("a.csv")
    assert given("a.csv").settings(tmp_path, {}, {})["hub"]["gold_format"] == "mask"
    spans = ["[]", "[]", "[[0, 4]]"]  # the first rows, in which nobody marked a word, do not tell how others are
    pd.DataFrame({"text": ["some text"] * 3, "label": [0, 1, 0], "gold": spans}).to_csv("b.csv", index=False)
    assert given("b.csv").settings(tmp_path, {}, {})["hub"]["gold_format"] == "char_spans"


def test_every_name_is_there() -> None:
    assert dir(unirex) == unirex.__all__
    assert all(getattr(unirex, name) is not None for name in unirex.__all__)

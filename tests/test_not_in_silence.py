"""What would make a number wrong, or lose one, is said: in one line, or in a note beside the number."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from reference import predictions
from report.test_verdict import made, report_of
from unirex import evaluate, explain, train
from unirex.data.errors import DataError
from unirex.data.gold import unmark
from unirex.data.mapping import HubConfig
from unirex.data.source import DataConfig, load_splits
from unirex.data.toy import ToyConfig
from unirex.explainer import Explainer
from unirex.metrics import Resampling, compare, score
from unirex.metrics.commands.cli import main
from unirex.report import build
from unirex.report.html import to_html

FEW = Resampling(replicates=50)
TINY = [
    "--data.toy.n_train=48", "--data.toy.n_val=12", "--data.toy.n_test=9", "--model.random.hidden_size=16",
    "--train.lr=0.001", "--train.batch_size=24", "--train.epochs=1", "--eval.references=[]",
]  # fmt: skip


def system(path: Path, *, how: str = "attention", **header: str) -> Path:
    table = predictions.as_table(predictions.rows(3, 40, hows=(how,)), hows=(how,))
    known = json.loads((table.schema.metadata or {}).get(b"unirex", b"{}"))
    pq.write_table(table.replace_schema_metadata({"unirex": json.dumps({**known, **header})}), path)
    return path


def test_ways_to_hide_words_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = system(tmp_path / "one.parquet"), system(tmp_path / "other.parquet", how="delete")
    with pytest.raises(ValueError, match=r"other.parquet: perturbation 'delete' differs from that of .*'attention'"):
        compare([one, other], resampling=FEW)
    assert [row.metric for row in compare([one, other], metrics=["auprc"], resampling=FEW).differences[0]] == ["auprc"]
    (tmp_path / "runs.csv").write_text("method,data,path\na,d,one.parquet\nb,d,other.parquet\n", encoding="utf-8-sig")
    assert main(["nrg", str(tmp_path / "runs.csv")]) == 2
    assert "perturbation 'delete' differs from 'attention' of" in capsys.readouterr().err
    assert build(one, other).apart is None


def test_tokens_and_words_are_told_apart(tmp_path: Path) -> None:
    one, other = (system(tmp_path / f"{unit}.parquet", unit=unit) for unit in ("token", "word"))
    text = str(compare([one, other], metrics=["comprehensiveness"], resampling=FEW))
    assert "note: what is hidden differs (token and word), and faithfulness with it" in text
    assert "what is hidden" not in str(compare([one, other], metrics=["auprc"], resampling=FEW))


def test_a_run_and_its_model_are_one_model(tmp_path: Path) -> None:
    paths = []
    for name in ("runs/x", "runs/x/model", "runs/y"):
        table = predictions.table(3, 40)
        column = pa.array([name] * len(table)).dictionary_encode()
        paths.append(tmp_path / f"{len(paths)}.parquet")
        place = table.column_names.index("model") if "model" in table.column_names else len(table.column_names)
        table = table.drop_columns("model") if "model" in table.column_names else table
        pq.write_table(table.add_column(place, "model", column), paths[-1])
    metrics = ["comprehensiveness"]
    assert "different models" not in str(compare(paths[:2], metrics=metrics, resampling=FEW))
    assert "different models" in str(compare([paths[0], paths[2]], metrics=metrics, resampling=FEW))


def test_a_field_that_the_first_lines_lack_counts(tmp_path: Path) -> None:
    lines = [{"id": str(n), "scores": [0.3, 0.1], **({} if n < 3 else {"gold": [1, 0]})} for n in range(9)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    report = score(tmp_path / "p.jsonl", resampling=Resampling(replicates=0))
    assert (report["auprc"].value, report["auprc"].n_undefined) == (1, 3)


@pytest.mark.parametrize("name", ["p.jsonl", "p.parquet"])
def test_spans_in_a_file_are_refused(name: str, tmp_path: Path) -> None:
    row = {"id": "a", "scores": [0.3, 0.1], "gold_word_spans": [[0, 1]]}
    path = tmp_path / name
    if name.endswith("jsonl"):
        path.write_text(json.dumps(row))
    else:
        pq.write_table(pa.Table.from_pylist([row]), path)
    with pytest.raises(ValueError, match=r"p\..*: has gold_word_spans and no gold, expected gold for each word"):
        score(path)
    assert score(pa.Table.from_pylist([row]), resampling=Resampling(replicates=0))["auprc"].value == 1


def test_an_empty_mark_is_refused() -> None:
    message = r"mark '\*' at character 2 in 'a \*\*fine\*\* film' is closed at once, expected marked text \(\\\*"
    with pytest.raises(DataError, match=message):
        unmark("a **fine** film", ("*", "*"))
    assert unmark("a **fine** film", ("**", "**")) == ("a fine film", [(2, 6)])


def table_of(path: Path, labels: list[str], **splits: str) -> DataConfig:
    rows = [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return DataConfig(source="hub", path=str(path), hub=HubConfig(splits=splits))  # type: ignore[arg-type]


def test_one_class_written_twice_is_refused(tmp_path: Path) -> None:
    for labels, said in (
        (["Neg", "pos", "neg "] * 20, r"'Neg' and 'neg ', expected one spelling"),
        # The rare one is renamed, not the usual one.
        (["Neg", "pos", *["neg"] * 20], r"'neg' and 'Neg', expected .* '\{\"Neg\": \"neg\"\}'"),
        (["caf\u00e9", "bar", *["cafe\u0301"] * 20], r"'cafe\\u0301' and 'caf\\xe9', expected one spelling"),
    ):
        with pytest.raises(DataError, match=f"the training labels have {said}"):
            load_splits(table_of(tmp_path / "t.jsonl", labels))


def test_too_few_rows_to_draw_a_split_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table_of(tmp_path / "t.jsonl", ["neg", "pos"] * 2)
    given = ["--data.source=hub", f"--data.path={tmp_path / 't.jsonl'}", f"--output={tmp_path / 'run'}"]
    assert train.main(given) == 2
    message = "error: data t: no val split can be drawn from 4 rows, expected three or more of a class\n"
    assert capsys.readouterr().err == message


def test_a_class_that_is_renamed_is_there(tmp_path: Path) -> None:
    config = table_of(tmp_path / "t.jsonl", ["NEG", "pos"] * 20)
    assert load_splits(replace(config, rename_labels={"NEG": "neg"})).labels == ("neg", "pos")
    with pytest.raises(
        DataError, match=r"jsonl: data\.rename_labels has 'POS', expected a label that is there \(\['neg', 'pos'\]\)$"
    ):
        load_splits(replace(config, rename_labels={"NEG": "neg", "POS": "positive"}))
    toy = DataConfig(toy=ToyConfig(n_train=20, n_val=5, n_test=5))
    assert load_splits(replace(toy, rename_labels={"negative": "bad"})).labels == ("bad", "positive")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"train": "train[:80%]", "val": "train[70%:]"},
            r"val is 'train\[70%:\]', expected rows that are not trained on",
        ),
        (
            {"train": "train[:-5]", "val": "train[-20:]"},
            r"val is 'train\[-20:\]', expected rows that are not trained on",
        ),
        ({"train": "train[:90%]", "val": "train[10:20]"}, r"val is .*trained on \(train is 'train\[:90%\]'\)"),
        ({"test": "train[59:]"}, r"test is 'train\[59:\]', expected rows that are not trained on \(train is 'train'\)"),
        (
            {"train": "train[:50%]", "val": "train[50%:]", "test": "train[-1:]"},
            r"test is 'train\[-1:\]', expected rows that do not pick the epoch \(val is 'train\[50%:\]'\)",
        ),
        ({"train": "train[:80%]", "val": "train[80%:]"}, None),
        ({"train": "train[:-12]", "val": "train[48:54]", "test": "train[90%:]"}, None),
    ],
)
def test_splits_share_no_rows(parts: dict[str, str], message: str | None, tmp_path: Path) -> None:
    config = table_of(tmp_path / "t.jsonl", ["neg", "pos"] * 30, **parts)
    if message is None:
        splits = load_splits(config)
        seen = [example.segments[0].text for part in (splits.train, splits.val, splits.test) for example in part]
        assert len({*seen}) == len(seen) >= 48
    else:
        with pytest.raises(DataError, match=rf"data.hub.splits.{message}"):
            load_splits(config)


def test_a_split_is_not_another_one_by_its_usual_name(tmp_path: Path) -> None:
    for name, size in (("train", 40), ("validation", 10)):
        table_of(tmp_path / f"{name}.jsonl", ["neg", "pos"] * size)

    def config(**splits: str) -> DataConfig:
        return DataConfig(source="hub", path=str(tmp_path), hub=HubConfig(splits=splits))  # type: ignore[arg-type]

    with pytest.raises(
        DataError, match=r"test is 'validation', expected rows that do not pick .* \(val is 'validation'"
    ):
        load_splits(config(test="validation"))
    with pytest.raises(DataError, match=r"train is 'validation', expected rows that are not trained on"):
        load_splits(config(train="validation"))
    found = load_splits(config(test="validation", val="train[90%:]", train="train[:90%]"))
    assert [len(part) for part in (found.train, found.val, found.test)] == [72, 8, 20]


def test_a_part_is_at_most_the_whole(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'train\[:200%\]', expected at most 100%"):
        table_of(tmp_path / "t.jsonl", ["neg", "pos"] * 30, train="train[:200%]")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "plain"
    assert train.main([*TINY, f"--output={folder}"]) == 0
    return folder


def test_a_judgment_does_not_replace_what_a_training_run_left(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"data": {"toy": {"n_test": 8}}, "output": str(run)}))
    before = {name: (run / name).read_bytes() for name in ("predictions.parquet", "metrics.json")}
    capsys.readouterr()
    assert evaluate.main([f"--model={run}", f"--config={tmp_path / 'mine.yaml'}"]) == 2
    assert (
        f"output is {run}, a training run with results of its own, expected another folder" in capsys.readouterr().err
    )
    assert {name: (run / name).read_bytes() for name in before} == before


def explained(run: Path, tmp_path: Path, rows: list[dict[str, Any]], name: str, *more: str) -> int:
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return explain.main([f"--model={run}", f"--input={tmp_path / 'in.jsonl'}", f"--output={tmp_path / name}", *more])


def test_columns_of_the_input_do_not_pass_for_ours(run: Path, tmp_path: Path) -> None:
    rows = [{"text": "a fine film", "label": "x", "gold": [1], "note": n, "kind": None} for n in range(3)]
    rows[1]["kind"] = "positive"
    assert explained(run, tmp_path, rows, "a.jsonl") == 0
    made = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [(row["label"], row["note"]) for row in made] == [(None, 0), (None, 1), (None, 2)]
    assert all("gold" not in row for row in made)
    assert explained(run, tmp_path, rows, "b.jsonl", "--label-column=kind") == 0
    report = score(tmp_path / "b.jsonl", labels=["negative", "positive"], resampling=Resampling(replicates=0))
    assert report["accuracy"].n == 1


def test_a_later_row_that_does_not_fit_is_named_and_nothing_is_left(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unirex.explainer.output.AT_ONCE", 2)
    rows: list[dict[str, Any]] = [{"text": "a fine film", "note": n} for n in range(5)]
    rows[4]["note"] = "many"
    assert explained(run, tmp_path, rows, "a.parquet") == 2
    assert "row id '4': column note is 'many', expected int64 as in the first rows" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.parquet"))
    assert explained(run, tmp_path, [*rows[:4], {"text": None, "note": 1}], "a.parquet") == 2
    error = capsys.readouterr().err
    assert "in.jsonl:5: text is null" in error
    assert "Traceback" not in error


def test_the_file_of_a_training_run_says_what_is_judged(run: Path, tmp_path: Path) -> None:
    config = ["--config", str(run / "config.yaml"), "--eval.fractions=[0.5]"]
    assert evaluate.main([f"--model={run}", *config, f"--output={tmp_path / 'out'}"]) == 0
    assert pq.read_metadata(tmp_path / "out" / "predictions.parquet").num_rows == 9


def test_a_tiny_gain_speaks_against_nothing(tmp_path: Path) -> None:
    page = to_html(report_of(tmp_path / "p.parquet", made(60, loss={"none": -1e-5, "hate": -1e-5, "odd": -1e-5})))
    assert "speak against" not in page


def test_names_of_classes_are_made_visible_under_every_metric(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    rows = predictions.rows(3, 40, hows=("attention",))
    table = predictions.as_table(rows, hows=("attention",))
    odd = {name: f"{name}\x1b[31m\u202e" for name in {row["prediction"] for row in rows}}
    for column in ("label", "prediction"):
        values = [odd.get(value, value) for value in table[column].to_pylist()]
        table = table.set_column(table.column_names.index(column), column, pa.array(values))
    known = json.loads((table.schema.metadata or {}).get(b"unirex", b"{}"))
    known["labels"] = [odd.get(name, name) for name in known.get("labels", sorted(odd))]
    pq.write_table(table.replace_schema_metadata({"unirex": json.dumps(known)}), path)
    page = to_html(build(path))
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_a_frame_with_a_column_twice_is_refused() -> None:
    frame = pytest.importorskip("pandas").DataFrame([[1, 2, 3]], columns=["id", "scores", "scores"])
    with pytest.raises(ValueError, match="table: column 'scores' occurs twice, expected each once"):
        score(frame)


def test_a_notebook_shows_control_characters(run: Path) -> None:
    asked = Explainer.from_pretrained(run)
    asked.saved = replace(asked.saved, labels=("\x1b[31m\u202e<b>", "other"))
    shown = asked("a fine film")._repr_html_()
    assert "\\u001b[31m\\u202e&lt;b&gt;" in shown
    assert "\x1b" not in shown
    report = score(pa.Table.from_pylist([{"id": "a", "label": "x\x07", "prediction": "x\x07"}]), resampling=FEW)
    assert "\x07" not in report._repr_html_()

"""`python -m unirex.explain`: files in, files out, what is wrong with them, and nothing half-written."""

import csv
import datetime as dt
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from reference.processes import end, start
from unirex import evaluate, explain, train
from unirex.disk.lock import holding
from unirex.explainer import Explainer
from unirex.explainer.inputs import InputReader
from unirex.metrics import score

TINY = [
    "--data.toy.n_train=72", "--data.toy.n_val=21", "--data.toy.n_test=17", "--model.random.hidden_size=32",
    "--train.lr=0.001", "--train.batch_size=24", "--train.epochs=1",
]  # fmt: skip
ROWS = [
    {"id": "a", "text": "a truly wonderful film", "y": "positive"},
    {"id": "b", "text": "", "y": "negative"},
    {"id": "c", "text": '"quoted", with\nnew lines 👍🏽 \x1b[31m<script>', "y": "negative"},
    {"id": "d", "text": "word " * 3000, "y": "positive"},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "plain"
    assert train.main([*TINY, f"--output={folder}"]) == 0
    return folder


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def call(run: Path, source: Path, output: Path, *more: str) -> int:
    return explain.main([f"--model={run}", f"--input={source}", f"--output={output}", *more])


@pytest.mark.parametrize("source", ["jsonl", "csv", "tsv", "parquet"])
@pytest.mark.parametrize("output", ["jsonl", "csv", "parquet"])
def test_every_format_in_and_out_holds_what_the_explainer_says(
    run: Path, tmp_path: Path, source: str, output: str
) -> None:
    path, made = write(tmp_path / f"in.{source}", ROWS), tmp_path / "deep" / f"out.{output}"
    assert call(run, path, made, "--id-column=id", "--label-column", "y", "--fraction", "0.4", "--faithfulness") == 0
    if output == "parquet":
        found = pq.read_table(made).to_pylist()
    elif output == "jsonl":
        found = [json.loads(line) for line in made.read_text().splitlines()]
    else:
        with made.open(newline="", encoding="utf-8") as file:
            found = [{k: json.loads(v) if v[:1] == "[" else v for k, v in row.items()} for row in csv.DictReader(file)]
    expected = Explainer.from_pretrained(run)([row["text"] for row in ROWS], fraction=0.4, faithfulness=True)
    assert [row["id"] for row in found] == ["a", "b", "c", "d"]
    for row, want, given in zip(found, expected, ROWS, strict=True):
        assert row["label"] == given["y"]
        assert row["prediction"] == want.label
        assert row["probabilities"] == pytest.approx(list(want.probabilities.values()), abs=1e-6)
        assert row["words"] == [word.text for word in want.words]
        assert row["rationale"] == [word.selected for word in want.words]
        near = {"abs": 1e-5} if output == "parquet" else {"rel": 6e-6}  # six digits
        assert [None if s is None else pytest.approx(s, **near) for s in row["scores"]] == [w.score for w in want.words]
        assert [(s["part"], s["start"], s["end"]) for s in row["spans"]] == [
            (s.part, s.start, s.end) for s in want.rationale
        ]
        assert row["texts"] == [given["text"]]
        assert (row["y"], row["text"]) == (given["y"], given["text"]), "a column of the input is lost"
        assert int(row["tokens_cut"]) == want.tokens_cut
        assert float(row["comprehensiveness"]) == pytest.approx(want.faithfulness.comprehensiveness, abs=1e-6)


def test_the_output_is_a_prediction_file_and_scores_for_evaluate(run: Path, tmp_path: Path) -> None:
    """The run's own test set, as a table of its texts, gives the run's own scores again."""
    trained = pq.read_table(run / "predictions.parquet")
    rows = [{"id": row["id"], "text": " ".join(row["words"]), "y": row["label"]} for row in trained.to_pylist()]
    source = write(tmp_path / "in.jsonl", rows)
    common = ["--id-column=id", "--label-column=y", "--words=space", "--faithfulness=true"]
    assert call(run, source, tmp_path / "out.parquet", *common) == 0
    assert call(run, source, tmp_path / "out.jsonl", *common) == 0
    ours, theirs = score(tmp_path / "out.parquet"), score(run / "predictions.parquet")
    for name in ("accuracy", "comprehensiveness", "sufficiency"):
        assert ours[name].value == pytest.approx(theirs[name].value, abs=1e-6)
    toy = [argument for argument in TINY if argument.startswith("--data")]
    for file in ("out.parquet", "out.jsonl"):
        judged = tmp_path / f"judged-{file}"
        arguments = [f"--model={run / 'model'}", f"--scores={tmp_path / file}", *toy, f"--output={judged}"]
        assert evaluate.main(arguments) == 0
        assert score(judged / "predictions.parquet")["auprc"].value == pytest.approx(theirs["auprc"].value, abs=1e-6)


def test_what_an_earlier_model_measured_is_not_kept(run: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", ROWS[:1])
    assert call(run, source, tmp_path / "first.jsonl", "--faithfulness=true") == 0
    table = pa.Table.from_pylist([{**json.loads((tmp_path / "first.jsonl").read_text()), "price": float("nan")}])
    pq.write_table(table, tmp_path / "first.parquet")
    assert call(run, tmp_path / "first.parquet", tmp_path / "second.jsonl", "--attribution=occlusion") == 0
    again = json.loads((tmp_path / "second.jsonl").read_text(), parse_constant=pytest.fail)
    assert again["price"] is None
    assert not {"comprehensiveness", "sufficiency"} & again.keys()


def test_kept_columns_hold_what_their_file_can(run: Path, tmp_path: Path) -> None:
    rows = [{"text": "a fine film", "nested": {"price": [float("nan")]}, "n": 2**70, "day": "2020-01-01"}]
    source = tmp_path / "odd.jsonl"
    source.write_text(json.dumps(rows[0]) + "\n")
    assert call(run, source, tmp_path / "odd.out.jsonl") == 0
    assert json.loads((tmp_path / "odd.out.jsonl").read_text(), parse_constant=pytest.fail)["nested"] == {
        "price": [None]
    }
    assert call(run, source, tmp_path / "odd.parquet") == 0
    assert pq.read_table(tmp_path / "odd.parquet")["n"].to_pylist() == [str(2**70)]
    days = pa.table({"text": ["a fine film"], "day": pa.array([dt.date(2020, 1, 1)])})
    pq.write_table(days, tmp_path / "days.parquet")
    assert call(run, tmp_path / "days.parquet", tmp_path / "days.out.parquet") == 0
    assert pq.read_table(tmp_path / "days.out.parquet")["day"].to_pylist() == ["2020-01-01"]


def test_a_file_without_rows_does_not_keep_pages_from_others(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, rows in (("a", ROWS[:1]), ("b", []), ("c", ROWS[:1])):
        write(tmp_path / f"{name}.jsonl", rows)
    inputs = [str(tmp_path / f"{name}.jsonl") for name in "abc"]
    command = [f"--model={run / 'model'}", "--input", *inputs, f"--output={tmp_path / 'out'}"]
    assert explain.main([*command, "--format=html"]) == 2
    assert {path.name for path in (tmp_path / "out").glob("*.html")} == {"a.html", "c.html"}
    shown = capsys.readouterr()
    assert f"error: {inputs[1]}: {tmp_path / 'out' / 'b.html'}: no rows" in shown.err
    assert "2 explained, 1 faulty of 3 files" in shown.out


def test_explain_and_evaluate_measure_the_same(run: Path, tmp_path: Path) -> None:
    """Words of several tokens, scored by attribution: hidden whole in both, by the same scores."""
    loud = shutil.copytree(run / "model", tmp_path / "loud")
    weights = load_file(loud / "model.safetensors")
    changed = {name: w * (20 if w.ndim == 2 else 1) for name, w in weights.items()}
    save_file(changed, loud / "model.safetensors", metadata={"format": "pt"})  # hiding a word hardly moves the original
    texts = [f"wonder-ful, film's {n * 37} dull-est: bright a moving story" for n in range(6)]
    rows = [{"id": str(n), "text": text, "label": "positive"} for n, text in enumerate(texts)]
    source, explained = write(tmp_path / "test.jsonl", rows), tmp_path / "out.parquet"
    more = ["--id-column=id", "--label-column=label", "--faithfulness", "--attribution=input_x_grad"]
    assert call(loud, source, explained, *more) == 0
    data = ["--data.source=hub", f"--data.path={tmp_path}", "--data.hub.id=id", "--eval.references=[]"]
    found = {}
    for unit in ("word", "token"):
        usual = [] if unit == "word" else ["--unit=token"]
        command = [f"--model={loud}", f"--scores={explained}", *data, f"--output={tmp_path / unit}", *usual]
        assert evaluate.main(command) == 0
        found[unit] = score(tmp_path / unit / "predictions.parquet")
    ours = score(explained)
    for name in ("comprehensiveness", "sufficiency"):
        assert ours[name].value == pytest.approx(found["word"][name].value, abs=1e-5)
        assert abs(ours[name].value - found["token"][name].value) > 1e-3, "the test notices nothing"


def test_a_column_that_looks_like_an_input_and_is_not_read_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a film", "text_pair": "a claim", "choices": null}\n' * 2)
    words = [f"--model={run}", f"--input={tmp_path / 'in.jsonl'}", f"--output={tmp_path / 'out.jsonl'}"]
    said = "column text_pair is not read (--pair-column text_pair would)"
    assert explain.main(words) == 0
    assert capsys.readouterr().err.strip() == f"{tmp_path / 'in.jsonl'}:1: {said}"
    assert explain.main([*words, "--pair-column=text_pair"]) == 0
    assert said not in capsys.readouterr().err


def test_a_cell_of_csv_that_looks_like_a_list_is_said_to_be_read_as_text(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "column text is read as text, though it looks like a list of words (Parquet and JSON lines hold lists)"
    for cell, there in (('["a", "film"]', True), ("[1, 2] and so on", False), ('["a" film', False)):
        pd.DataFrame({"text": [cell]}).to_csv(tmp_path / "in.csv", index=False)
        words = [f"--model={run}", f"--input={tmp_path / 'in.csv'}", f"--output={tmp_path / 'out.jsonl'}"]
        assert explain.main(words) == 0
        assert (said in capsys.readouterr().err) == there


def test_texts_on_the_command_line_and_a_page(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain.main([f"--model={run}", "--text", "a bright film.", "--text=dull"]) == 0
    shown = capsys.readouterr().out
    assert "film." in shown.partition("top words")[0], "words are cut as in the model's training data"
    assert shown.count("top words: ") == 2
    assert explain.main([f"--model={run}", "--text=a bright film", "-o", str(tmp_path / "x.html")]) == 0
    assert "bright" in (tmp_path / "x.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["x.html"]


def test_limit_and_an_empty_file(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.jsonl", ROWS)
    assert call(run, source, tmp_path / "one.jsonl", "--limit=1") == 0
    assert "without a word" not in capsys.readouterr().err
    assert call(run, source, tmp_path / "two.jsonl", "--limit=2") == 0
    assert f"note: 1 without a word, the first {source}:2: no word explains" in capsys.readouterr().err
    assert [json.loads(line)["id"] for line in (tmp_path / "two.jsonl").read_text().splitlines()] == ["0", "1"]
    (tmp_path / "none.jsonl").write_text("\n")
    for output in ("parquet", "jsonl", "csv"):
        assert call(run, tmp_path / "none.jsonl", tmp_path / f"none-out.{output}") == 0
    assert pq.read_table(tmp_path / "none-out.parquet").num_rows == 0


@pytest.mark.parametrize(
    ("name", "content", "more", "message"),
    [
        ("lost.csv", None, [], "lost.csv: no such file"),
        ("in.xlsx", "a", [], "in.xlsx: the file's name ends in '.xlsx', expected one of .csv"),
        ("in.csv", "sentence\nfine\n", [], "in.csv: row 1: there is no column text, found sentence"),
        ("in.csv", "text,y\nfine,x\nbad\n", [], "in.csv: row 2: 1 cells, expected 2 as in the header"),
        ("in.csv", 'text\nfine\n"open\n', [], "in.csv: row 2: unexpected end of data"),
        ("in.csv", "text,text\na,b\n", [], "the header has the column 'text' twice, expected it once"),
        ("in.csv", b"text\nfine\n\xff\n", [], r"in.csv: line 3: byte 0 is b'\xff', expected UTF-8 text"),
        (
            "in.csv",
            "text,y\nfine,awful\n",
            ["--label-column=y"],
            "in.csv: row 1: y is 'awful', expected one of negative",
        ),
        ("in.jsonl", '{"text": "fine"}\n{"text":\n', [], "in.jsonl:2: bad JSON"),
        ("in.jsonl", '{"text": "fine"}\n[1]\n', [], "in.jsonl:2: the line is [1], expected a JSON object"),
        ("in.jsonl", '{"text": "fine"}\n{"text": null}\n', [], "in.jsonl:2: text is null, expected text"),
        ("in.jsonl", '{"text": "a"}\n{"text": "\\ud83d"}\n', [], "in.jsonl:2: bad JSON (half of a surrogate pair"),
        (
            "in.jsonl",
            '{"text": "a", "i": 1}\n{"text": "b", "i": 1}\n',
            ["--id-column=i"],
            "in.jsonl:2: id '1' is a dupl",
        ),
        ("in.jsonl", '{"text": "a"}\n', ["--pair-column=b"], "in.jsonl:1: there is no column b, found text"),
        ("in.parquet", "PAR1 but not really", [], "in.parquet: "),
        ("in.jsonl", "", ["--fraction=2"], "fraction is 2.0"),
        ("in.jsonl", "", ["--threshold=1", "--fraction=0.2"], "both given"),
        ("in.jsonl", "", ["--device=gpu7"], "device is 'gpu7'"),
        ("in.jsonl", "", ["--limit=0"], "limit is 0, expected at least 1"),
        ("in.jsonl", "", ["--how=delete"], "how is 'delete', expected --faithfulness with it"),
        ("in.jsonl", "", ["--attribution=igg"], "attribution is 'igg', expected one of grad"),
        ("in.jsonl", "", ["--modle=x"], "modle"),
        (
            "in.jsonl",
            "",
            ["--model=nobody/nothing"],
            "nobody/nothing: not found locally or on the Hub (no copy",
        ),
        ("in.csv", "a,b;c\nx\n", [], "the header 'a,b;c' holds ',' and ';', expected one that separates cells"),
    ],
)
def test_bad_input_is_one_line_exit_2_and_no_file(
    name: str, content: str | bytes | None, more: list[str], message: str,
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    source = tmp_path / name
    if content is not None:
        source.write_bytes(content.encode() if isinstance(content, str) else content)
    assert call(run, source, tmp_path / "out" / "out.csv", *more) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert "\n" not in error
    assert message in error
    assert not list(tmp_path.rglob("*out.csv*"))


def test_bad_output_is_refused_before_anything_is_read(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in.csv", ROWS)
    before = source.read_bytes()
    assert call(run, source, source) == 2
    assert "expected another file than the input" in capsys.readouterr().err
    assert source.read_bytes() == before
    assert call(run, source, tmp_path / "out.txt") == 2
    assert "ends in one of .parquet, .jsonl, .csv" in capsys.readouterr().err
    assert call(run, source, tmp_path) == 2


def test_ctrl_c_leaves_what_was_there(run: Path, tmp_path: Path) -> None:
    rows = [{"text": f"a truly wonderful film number {n} " * 4} for n in range(60_000)]
    source, output = write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    output.write_text("what was there\n")
    said = tmp_path.with_suffix(".said")
    process = start(explain.main, [f"--model={run}", f"--input={source}", f"--output={output}"], output=said)
    deadline = time.monotonic() + 120
    while not any(p.stat().st_size for p in tmp_path.glob(".out*")) and time.monotonic() < deadline:
        assert process.exitcode is None
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    assert end(process, seconds=60) == [130], said.read_text()
    assert said.read_text().strip() == "stopped; nothing was written"
    assert output.read_text() == "what was there\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def corpus(folder: Path) -> Path:
    """Three files in three formats, of texts of very different lengths."""
    texts = ["a truly wonderful film " * (1 + n * 7 % 11) for n in range(40)]
    rows = [{"id": f"r{n}", "text": text} for n, text in enumerate(texts)]
    folder.mkdir()
    for name, part in {"a.jsonl": rows[:5], "b.csv": rows[5:30], "c.parquet": rows[30:]}.items():
        write(folder / name, part)
    write(folder.parent / "whole.jsonl", rows)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def lines(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_shards_of_a_folder_give_what_one_process_gives(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, common = corpus(tmp_path / "in"), ["--id-column=id", "--faithfulness", "--batch-size=4"]
    assert call(run, source, tmp_path / "one", *common, "--format=jsonl") == 0
    for shard in ("2/2", "1/2", "2/2"):
        capsys.readouterr()
        assert call(run, source, tmp_path / "two", *common, "--format=jsonl", f"--shard={shard}") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'two'}: 1 kept of 1 files\n"
    made = contents(tmp_path / "two")
    assert list(made) == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert made == contents(tmp_path / "one")  # a file is explained alone, so to the last bit
    # Texts that pass through the model together are others, which changes the rounding of its sums.
    assert call(run, tmp_path / "whole.jsonl", tmp_path / "whole-out.jsonl", *common) == 0
    whole = lines(tmp_path / "whole-out.jsonl")
    for found, expected in zip(lines(*(tmp_path / "two" / name for name in made)), whole, strict=True):
        assert found.keys() == expected.keys()
        for name, value in found.items():
            number = isinstance(value, float) or (isinstance(value, list) and value and isinstance(value[0], float))
            assert value == (pytest.approx(expected[name], abs=2e-6, rel=2e-5) if number else expected[name]), name


def test_answers_made_otherwise_are_refused_or_replaced(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write(tmp_path / "a.csv", ROWS[:2]), tmp_path / "out"

    def said(code: int, *more: str) -> str:
        capsys.readouterr()
        assert call(run, source, out, "--format=csv", *more) == code
        caught = capsys.readouterr()
        errors = [line for line in caught.err.splitlines() if not line.startswith("note: 1 without a word, the first ")]
        assert len(errors) == (1 if code else 0)
        return caught.out + "".join(errors)

    assert "explained 2 rows" in said(0)
    first = contents(out)
    assert said(0, "--batch-size=1", "--device=cpu", "--overwrite=true") == f"{out}: 1 kept of 1 files\n"
    assert "a.csv was made with settings.fraction None, expected 0.5: choose another" in said(2, "--fraction=0.5")
    assert contents(out) == first
    assert "1 explained of 1 files" in said(0, "--fraction=0.5", "--overwrite=true")
    assert contents(out) != first
    write(source, ROWS[:1])
    assert "a.csv was made with input '" in said(2, "--fraction=0.5")
    (out / ".explain" / "a.csv.json").unlink()
    assert "a.csv was made without a record of its input and settings" in said(2, "--fraction=0.5")
    assert "1 explained" in said(0, "--fraction=0.5", "--overwrite=true")


def test_a_fault_another_process_and_the_rest_of_a_killed_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = corpus(tmp_path / "in"), tmp_path / "out"
    (source / "b.csv").write_text("text\nfine\n\xff,more\n")
    (source / ".hidden.csv").write_text("no")
    (out / ".explain").mkdir(parents=True)
    (out / ".c.parquet.0123.tmp").write_text("half")
    with holding(out / ".explain" / "a.parquet.lock"):
        assert call(run, source, out) == 2
    caught = capsys.readouterr()
    assert caught.err == f"error: {source / 'b.csv'}: row 2: 2 cells, expected 1 as in the header\n"
    assert f"{out}: 1 explained, 1 faulty, 1 by other processes of 3 files" in caught.out
    assert list(contents(out)) == ["c.parquet"]
    (source / "b.csv").write_text("text\nfine\n")
    assert call(run, source, out) == 0
    assert "1 kept, 2 explained of 3 files" in capsys.readouterr().out
    assert [row["id"] for row in pq.read_table(out / "a.parquet").to_pylist()] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_finished_files(
    number: signal.Signals, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    source, out = corpus(tmp_path / "in"), tmp_path / "out"
    read = InputReader.example

    def interrupted(self: InputReader, item: Any, *more: Any) -> Any:
        if item["id"] == "r7":  # in the second file
            os.kill(os.getpid(), number)
        return read(self, item, *more)

    monkeypatch.setattr(InputReader, "example", interrupted)
    assert call(run, source, out, "--id-column=id") == 130
    assert capsys.readouterr().err == "stopped; finished files stay, and the same command goes on with the others\n"
    assert list(contents(out)) == ["a.parquet"]
    monkeypatch.undo()
    assert call(run, source, out, "--id-column=id") == 0
    assert "1 kept, 2 explained of 3 files" in capsys.readouterr().out


def test_what_a_folder_of_answers_cannot_be(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = corpus(tmp_path / "in")
    write(tmp_path / "a.csv", ROWS)
    (tmp_path / "empty").mkdir()
    both = ["--input", str(source / "a.jsonl"), str(tmp_path / "a.csv")]
    for more, message in [
        ([f"--input={source}/*.jsonl", f"--output={source}"], "expected another folder than that of"),
        ([*both, f"--output={tmp_path / 'out'}"], "would both become"),
        ([*both, f"--output={tmp_path / 'out.csv'}"], "expected a folder for the answers of 2 files"),
        ([f"--input={tmp_path / 'a.csv'}", "--output=x.csv", "--shard=1/2"], "--shard is given, expected --input and"),
        ([f"--input={source}", f"--output={tmp_path / 'out'}", "--shard=0/2"], "--shard is '0/2', expected I/N"),
        ([f"--input={source}/*.tsv", f"--output={tmp_path / 'out'}"], "no such files"),
        ([f"--input={tmp_path / 'empty'}", f"--output={tmp_path / 'out'}"], "no file in this folder ends in one of"),
        ([f"--input={source}", f"--output={tmp_path / 'out'}", "--format=txt"], "format"),
    ]:
        assert explain.main([f"--model={run}", *more]) == 2
        caught = capsys.readouterr().err
        assert message in caught
        assert caught.count("\n") == 1
    assert not (tmp_path / "out").exists()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert call(run, tmp_path / "a.csv", tmp_path / "a.jsonl") == 2
    assert "there are several processes, expected --input and a folder as --output" in capsys.readouterr().err

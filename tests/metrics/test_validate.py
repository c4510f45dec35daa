"""`unirex-metrics validate` and `score --data-dir` as a person runs them."""

import json
import re
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference import eraser_worlds, predictions
from unirex.metrics.commands.cli import main
from unirex.metrics.commands.validate import prediction_problems
from unirex.metrics.eraser.benchmark import score_eraser

WORLD = {
    "folder": False,
    "documents": {"a": "w w w", "b": "w w"},
    "annotations": [
        {
            "annotation_id": name,
            "query": "",
            "classification": label,
            "evidences": [[{"docid": name, "start_token": 0, "end_token": 1, "text": "w"}]],
        }
        for name, label in (("a", "yes"), ("b", "no"))
    ],
    "instances": [
        {
            "annotation_id": name,
            "classification": "yes",
            "classification_scores": {"yes": 0.75, "no": 0.25},
            "rationales": [
                {
                    "docid": name,
                    "hard_rationale_predictions": [{"start_token": 0, "end_token": 1}],
                    "soft_rationale_predictions": scores,
                }
            ],
        }
        for name, scores in (("a", [0.5, 0.25, 0.0]), ("b", [0.5, 1.0]))
    ],
}


@pytest.fixture
def folder(tmp_path):
    eraser_worlds.write(WORLD, tmp_path)
    return tmp_path


def lines_of(capsys):
    return capsys.readouterr().out.splitlines()


def test_sound_files_have_no_problem(folder, capsys):
    assert main(["validate", str(folder / "results.jsonl"), "--data-dir", str(folder)]) == 0
    assert main(["validate", "--data-dir", str(folder)]) == 0
    assert lines_of(capsys) == ["no problem", "no problem"]


def test_lists_every_problem_with_its_place(folder, capsys):
    results = folder / "results.jsonl"
    lines = results.read_text().splitlines()
    lines += ["{", lines[0], lines[1].replace('"docid": "b"', '"docid": "c"').replace('_id": "b"', '_id": "d"')]
    lines.append(lines[1].replace("0.5, 1.0", "NaN").replace('_id": "b"', '_id": "e"').replace('n": 1}', 'n": 9}'))
    results.write_text("\n".join(lines))
    annotations = folder / "test.jsonl"
    annotations.write_text(
        annotations.read_text().replace('"end_token": 1', '"end_token": 4', 1) + '{"evidences": []}\n'
    )
    assert main(["validate", str(results), "--data_dir", str(folder)]) == 2
    found = [re.sub(r".*/", "", line) for line in lines_of(capsys)]
    assert [line.split(" ")[0] for line in found[:-1]] == [
        "test.jsonl:1:",
        "test.jsonl:3:",
        "results.jsonl:3:",
        "results.jsonl:4:",
        "results.jsonl:5:",
        "results.jsonl:6:",
        "results.jsonl:6:",
    ]
    assert found[0] == (
        "test.jsonl:1: evidences[0][0].start_token, end_token: found [0, 4), expected positions from -3 to 3"
    )
    assert found[3] == 'results.jsonl:4: annotation_id: found "a" again, expected every instance once'
    assert found[-1] == "7 problems"
    assert main(["validate", str(results), "--data_dir", str(folder), "--limit", "2"]) == 2
    assert lines_of(capsys)[-1] == "at least 2 problems"


def test_lists_the_problems_of_prediction_files_row_by_row(tmp_path, capsys):
    table = predictions.table(3, 30)
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    pq.write_table(table, good)
    assert main(["validate", str(good)]) == 0
    rows = table.to_pylist()
    rows[3]["id"] = rows[2]["id"]
    rows[5]["prediction"] = "unheard of"
    rows[7]["rationale"] = [*rows[7]["rationale"], True]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), bad)
    assert main(["validate", str(bad), str(tmp_path / "none.parquet")]) == 2
    found = lines_of(capsys)
    assert [found.pop(0), found.pop(5)] == [
        f"note: {path}: {n} of {of} rows: all words have the same score"
        for path, n, of in ((good, 3, 30), (bad, 3, 28))
    ]
    assert found[0] == "no problem"
    assert [rows[i]["id"] in line for i, line in ((5, found[1]), (7, found[2]), (3, found[3]))] == [True] * 3
    assert found[4].endswith("none.parquet: no such file")
    assert len(found) == 6


def test_a_file_without_rows_is_a_problem_behind_others_too(tmp_path, capsys):
    table = pa.table({"id": ["a"], "scores": [[0.5]], "gold": [[2.0]]})
    bad, empty = tmp_path / "bad.parquet", tmp_path / "empty.parquet"
    pq.write_table(table, bad)
    pq.write_table(table[:0], empty)
    assert main(["validate", str(bad), str(empty)]) == 2
    assert lines_of(capsys)[1:] == [f"{empty}: no rows", "2 problems"]
    assert main(["validate", str(bad), str(empty), "--limit", "1"]) == 2
    assert lines_of(capsys)[1:] == ["at least 1 problems"]


def test_a_foreign_table_without_ids_is_one_problem_if_nothing_in_it_is_scored():
    [problem] = prediction_problems(pa.table({"gold": [[0.1]]}))
    assert "nothing to score in columns" in problem
    assert not list(prediction_problems(pa.table({"scores": [[0.1]]})))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["validate"], "no file given"),
        (["validate", "--data-dir", "{d}", "--limit", "0"], "limit is 0, expected 1 or more"),
        (["score", "{d}/none.jsonl", "--data-dir", "{d}"], "no such file"),
        (["score", "{d}/results.jsonl", "--data-dir", "{d}/nowhere"], "found neither, expected docs.jsonl or docs/"),
        (["score", "{d}/results.jsonl", "--data-dir", "{d}", "--split", "dev"], "dev.jsonl: found No such file"),
        (["score", "{d}/results.jsonl", "--data-dir", "{d}", "--convetion", "strict"], "did you mean --convention?"),
        (["score", "{d}/results.jsonl", "--data-dir", "{d}", "--convention", "erasr"], "invalid choice: 'erasr'"),
        (["score", "{d}/results.jsonl", "{d}/x", "--data-dir", "{d}", "--convention", "eraser"], "found 2 (quote"),
        (["score", "{d}/results.jsonl", "--data-dir", "{d}", "--iou-thresholds", "2"], "iou_thresholds has 2.0"),
        (["score", "{d}/test.jsonl", "--data-dir", "{d}", "--convention", "eraser"], "test.jsonl:1: rationales: found"),
        (["score", "--data-dir", "{d}", "--convention", "eraser"], "no results given"),
        (["score", "{d}/results.jsonl", "--data-dir", "{d}", "--engine", "dask"], "invalid choice: 'dask'"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(folder, capsys, words, message):
    output = folder / "scores.json"
    extra = ["--output", str(output)] if words[0] == "score" else []
    assert main([word.format(d=folder) for word in words] + extra) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not output.exists()


def test_writes_the_benchmarks_json(folder, capsys):
    output = folder / "scores.json"
    words = [
        str(folder / "results.jsonl"),
        "--data_dir",
        str(folder),
        "--convention=eraser",
        "--score_file",
        str(output),
    ]
    assert main(["score", *words]) == 0
    table = capsys.readouterr().out
    assert re.search(r"^token_soft_metrics\.auprc +0\.6250$", table, re.MULTILINE)
    expected = score_eraser(folder / "results.jsonl", folder, "test")
    text = output.read_text()
    assert text == json.dumps(expected, indent=4, sort_keys=True) + "\n"
    assert main(["score", *words, "--json"]) == 0
    assert capsys.readouterr().out == text


def test_takes_the_benchmarks_own_options(folder, capsys):
    words = ["score", "--results", str(folder / "results.jsonl"), "--data_dir", str(folder), "--convention", "eraser"]
    assert main([*words, "--strict", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == score_eraser(folder / "results.jsonl", folder, "test")
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    bare = [{key: row[key] for key in ("annotation_id", "rationales")} for row in rows]
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bare))
    assert main(words) == 0
    assert main([*words, "--strict"]) == 2
    assert "classification: found none, expected a class" in capsys.readouterr().err


def test_scores_several_systems_side_by_side(folder, capsys):
    results = str(folder / "results.jsonl")
    assert main(["score", results, results, "--data-dir", str(folder), "--replicates", "0", "--json"]) == 0
    reports = json.loads(capsys.readouterr().out)["systems"]
    assert reports[0]["metrics"] == reports[1]["metrics"]
    assert {"accuracy", "auprc", "token_f1"} <= {metric["name"] for metric in reports[0]["metrics"]}


def test_the_benchmarks_conventions_need_no_heavy_import(folder):
    words = ["score", str(folder / "results.jsonl"), "--data-dir", str(folder), "--convention", "eraser"]
    code = f"import sys; from unirex.metrics.commands.cli import main; main({words!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"numpy", "pyarrow", "jsonargparse", "yaml"} & set(loaded)

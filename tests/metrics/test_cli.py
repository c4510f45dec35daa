import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reference import predictions
from unirex.metrics import score
from unirex.metrics.commands.cli import main
from unirex.metrics.report import heads, to_text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "predictions.parquet"
    pq.write_table(predictions.table(0, 30), path)
    return path


def test_the_table_holds_every_main_metric(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(file)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    report = score(file)
    for metric in report.metrics:
        line = [line.split() for line in out.splitlines() if line.split()[:1] == [metric.name]]
        assert bool(line) == metric.main
        if line:
            assert f"{metric.value:.4f}" in line[0]
            assert line[0][-2:] == [str(metric.n), str(metric.n_undefined)]
            assert {"higher": "↑", "lower": "↓"}.get(metric.direction, line[0][1]) in line[0]
    assert "macro_f1 *" in out


def test_all_shows_single_fractions_and_classes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(file), "--all", "--replicates", "0"]) == 0
    out = capsys.readouterr().out
    for metric in score(file).metrics:
        assert f"  {metric.name} " in out


def test_json_and_output_hold_the_same_report(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = file.parent / "scores.json"
    assert main(["score", str(file), "--json", "--output", str(output)]) == 0
    printed, saved = json.loads(capsys.readouterr().out), json.loads(output.read_text())
    assert printed == saved == score(file).as_dict()
    assert {m["name"]: m["direction"] for m in saved["metrics"]}["sufficiency"] == "lower"


def test_several_systems_are_columns(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = file.parent / "random.parquet"
    pq.write_table(predictions.table(1, 25, hows=("attention",), scores_from="random"), other)
    assert main(["score", str(file), str(other)]) == 0
    out = capsys.readouterr().out
    line = next(line.split() for line in out.splitlines() if "comprehensiveness[delete]" in line)
    assert line[-1] == "-"
    assert f"{score(other)['auprc'].value:.4f}" in next(line for line in out.splitlines() if "  auprc " in line)
    assert main(["score", str(file), str(other), "--json"]) == 0
    systems = json.loads(capsys.readouterr().out)["systems"]
    assert [s["about"]["scores_from"] for s in systems] == ["extractor", "random"]


def test_plain_faithfulness_of_different_models_is_warned_about(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = predictions.table(0, 30)
    column = table.schema.names.index("model")
    other, same = file.parent / "other.parquet", file.parent / "same.parquet"
    pq.write_table(table.set_column(column, "model", pa.array(["another"] * 30)), other)
    pq.write_table(table, same)
    for words, is_noted in [
        (["score", str(file), str(other)], True),
        (["score", str(file), str(same)], False),
        (["score", str(other)], False),
        (["compare", str(file), str(other), "--metrics", "sufficiency"], True),
        (["compare", str(file), str(other), "--metrics", "auprc", "normalised_sufficiency"], False),
        (["compare", str(file), str(same), "--metrics", "sufficiency"], False),
    ]:
        assert main([*words, "--replicates", "20"]) == 0
        out = capsys.readouterr().out
        assert ("note: different models were asked" in out) == is_noted, words
        assert out.count("note: different") <= 1


def test_faithfulness_measured_in_other_ways_is_warned_about(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deleted, fewer = file.parent / "deleted.parquet", file.parent / "fewer.parquet"
    pq.write_table(predictions.table(0, 30, hows=("delete",)), deleted)
    rows = predictions.rows(0, 30)
    for row in rows:
        row["fractions"] = row["fractions"][1:]
        row |= {name: value[1:] for name, value in row.items() if name.startswith(("keep.", "remove."))}
    pq.write_table(predictions.as_table(rows), fewer)
    for other, told in (
        (deleted, "note: the ways to hide words differ (attention and delete): faithfulness does not compare these"),
        (
            fewer,
            "note: the fractions differ (0.01/0.05/0.1/0.2/0.5 and 0.05/0.1/0.2/0.5): faithfulness does not compare",
        ),
    ):
        assert main(["score", str(file), str(other), "--replicates", "0"]) == 0
        assert told in capsys.readouterr().out


def test_an_output_that_is_read_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, other, folder = file.read_bytes(), file.parent / "other.parquet", file.parent / "folder"
    other.write_bytes(before)
    folder.mkdir()
    (folder / "p.parquet").write_bytes(before)
    (file.parent / "m-d.parquet").write_bytes(before)
    for words, written in (
        (["score", str(file)], file),
        (["score", str(other), f"{file.parent}/p*.parquet"], file),
        (["score", str(folder)], folder / "p.parquet"),
        (["compare", str(other), str(file)], file),
        (["nrg", f"{file.parent}/{{method}}-{{data}}.parquet"], file.parent / "m-d.parquet"),
    ):
        assert main([*words, "--output", f"{written.parent}/./{written.name}"]) == 2
        assert "expected another file than those that are read" in capsys.readouterr().err
        assert written.read_bytes() == before
    assert main(["score", str(folder), "--output", str(folder / "scores.json")]) == 0
    pattern, ends = f"{file.parent}/{{method}}-{{data}}.parquet", str(file.parent / "ends.json")
    assert main(["nrg", pattern, "--freeze", ends]) == 0
    assert main(["nrg", pattern, "--frozen", ends, "--output", ends]) == 2


def test_columns_are_named_by_what_tells_their_paths_apart(file: Path) -> None:
    reports = [score(file), score(file)]
    assert "ours" in to_text(reports, names=["ours", "theirs"])
    apart = [replace(r, about={"source": f"runs/{n}/p.parquet"}) for r, n in zip(reports, "ab", strict=True)]
    assert heads(apart) == ["a/p.parquet", "b/p.parquet"]
    assert heads(apart[:1]) == ["p.parquet"]


def test_options_reach_the_score(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--convention", "paper", "--perturbation", "delete", "--iou-thresholds", "0.3", "0.7", "--seed", "3"]
    assert main(["score", str(file), *arguments, "--replicates", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["convention"] == "paper"
    assert found["about"]["perturbation"] == "delete"
    assert found["resampling"] == {"replicates": 20, "seed": 3, "confidence": 0.95}
    assert "iou_f1@0.7" in {m["name"] for m in found["metrics"]}


def test_help_and_scoring_load_no_heavy_library(file: Path) -> None:
    code = (
        "import sys; from unirex.metrics.commands.cli import main\n"
        "main(['--help']); assert 'pyarrow' not in sys.modules and 'jsonargparse' not in sys.modules\n"
        f"assert main(['score', {str(file)!r}]) == 0\n"
        "heavy = {'torch', 'transformers', 'accelerate', 'datasets', 'pandas', 'scipy', 'sklearn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_progress_is_one_line_on_a_terminal_and_a_line_now_and_then_in_a_log(file: Path) -> None:
    code = (
        "import sys, unirex.metrics.commands.progress as p; p.PATIENCE = p.PAUSE = 0.0\n"
        "if sys.argv[2:]: p.QUIET = 0.0\n"
        "from unirex.metrics.commands.cli import main; main(['score', sys.argv[1], '--replicates', '0'])"
    )
    command = [sys.executable, "-c", code, str(file)]
    assert subprocess.run(command, capture_output=True, check=True).stderr == b"", "it is done before the first line"
    piped = subprocess.run([*command, "often"], capture_output=True, check=True).stderr.decode()
    assert "30 of 30 rows" in piped
    assert piped.endswith("a second\n")
    assert "\x1b" not in piped
    controller, terminal = pty.openpty()
    subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, check=True)
    os.close(terminal)
    shown = os.read(controller, 10_000).decode()
    os.close(controller)
    assert "30 of 30 rows" in shown
    assert shown.endswith("\r\x1b[K")


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_closed_stream_takes_what_it_is_told(closed: str, file: Path) -> None:
    """No traceback, and the exit code of the work: 0, and 2 of bad input."""
    number = {"stdout": 1, "stderr": 2}[closed]
    for name, code in ((file, 0), (file.with_name("none.parquet"), 2)):
        command = [sys.executable, "-m", "unirex.metrics.commands.cli", "score", str(name), "--replicates", "0"]
        found = subprocess.run(
            ["sh", "-c", f'exec "$@" {number}>&-', "sh", *command], capture_output=True, text=True, check=False
        )
        assert found.returncode == code
        assert "Traceback" not in found.stdout + found.stderr


def test_an_old_encoding_of_the_output_shows_what_it_lacks_escaped(file: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "unirex.metrics.commands.cli", "score", str(file), "--replicates", "0"],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"}, capture_output=True, check=True,
    )  # fmt: skip
    assert b"\\u2191" in found.stdout


@pytest.mark.parametrize("words", [["--convention", "eraser"], ["--convention=eraser"]])
def test_the_convention_of_eraser_says_what_it_needs(
    words: list[str], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(file), *words]) == 2
    assert "the following arguments are required: --data-dir" in capsys.readouterr().err


def test_a_file_without_check_models_says_so(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(file), "--scorer", "judge"]) == 2
    assert "no columns of scorer 'judge', expected none (the file has no check model)" in capsys.readouterr().err


def test_a_column_that_means_something_else_is_no_hint(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(pq.read_table(file).drop_columns(["fractions"]), file)
    assert main(["score", str(file)]) == 2
    assert capsys.readouterr().err.endswith("column 'fractions' is missing\n")
    other = predictions.table(0, 30)
    renamed = other.rename_columns({"prediction": "predictions"}).replace_schema_metadata(other.schema.metadata)
    pq.write_table(renamed, file)
    assert main(["score", str(file)]) == 2
    assert "column 'prediction' is missing (did you mean predictions?)" in capsys.readouterr().err

"""`unirex-report`: exit codes, one line for bad input, text that cannot act on a terminal, plots."""

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from report.made_runs import HOSTILE
from unirex.metrics.state import Resampling
from unirex.report import build
from unirex.report.cli import main

FAST = ["--replicates", "20"]
Make = Callable[..., Path]


def test_writes_a_page(make_run: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.html"
    assert (
        main([str(make_run("a")), str(make_run("b", seed=1)), "-o", str(out), "--names=left", "--names=right", *FAST])
        == 0
    )
    text = out.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<bdi>left</bdi>" in text
    assert capsys.readouterr().err == f"{out}\n"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["missing"], ["missing", "no such file"]),
        (["RUN", "--instances", "-3"], ["instances is -3", "expected 0 or more"]),
        (["RUN", "--replicats", "5"], ["--replicats", "--replicates"]),
        (["RUN", "--convention", "none"], ["convention", "strict"]),
        (["RUN", "RUN"], ["given twice"]),
        (["RUN", "--perturbation", "delete"], ["no perturbation 'delete'", "attention"]),
        (["RUN", "-o", "x.pdf"], ["x.pdf", ".html"]),
        (["NINE"], ["9 runs", "at most 8", "run-3"]),
        (["RUN", "--plots", "PLOTS", "--formats", "gif"], ["format is 'gif'", "png"]),
        ([], ["runs"]),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], parts: list[str], make_run: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.html"
    for number in range(9):
        (tmp_path / "nine" / f"run-{number}").mkdir(parents=True)
        (tmp_path / "nine" / f"run-{number}" / "predictions.parquet").touch()
    places = {"NINE": str(tmp_path / "nine"), "RUN": str(make_run()), "PLOTS": str(tmp_path / "plots")}
    given = [places.get(word, word) for word in arguments]
    out_option = [] if "-o" in given else ["--output", str(out)]
    assert main([*given, *out_option, *FAST]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert all(part in shown.err for part in parts), shown.err
    assert not out.exists()


def test_a_folder_of_runs_stands_for_the_runs_in_it(make_run: Make, tmp_path: Path) -> None:
    for name, place in (("a", "one"), ("b", "deeper/two")):
        (tmp_path / "runs" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(make_run(name), tmp_path / "runs" / place)
    report = build(tmp_path / "runs", resampling=Resampling(replicates=0))
    assert [part.name for part in report.parts] == ["two", "one"]
    assert report.parts[0].references.keys() == {"random", "gold"}


def test_an_unwritable_page_leaves_nothing(make_run: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(make_run()), "-o", str(tmp_path / "no" / "x.html"), *FAST]) == 2
    assert "no" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_piped_text_is_plain(make_run: Make, capsys: pytest.CaptureFixture[str]) -> None:
    extra = tuple(HOSTILE)
    assert main([str(make_run("a", extra=extra)), "--terminal", *FAST]) == 0
    text = capsys.readouterr().out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert r"\u001b[31mred\u001b[0m" in text
    assert "comprehensiveness at each fraction" in text


def test_a_reader_that_is_gone_is_no_error(make_run: Make) -> None:
    code = "import sys; from unirex.report.cli import main; raise SystemExit(main(sys.argv[1:]))"
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", code, str(make_run()), "--terminal", "--replicates", "0"]
    ran = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (141, "")


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_what_is_asked_about_the_command_is_answered(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out


def test_color_is_ours_alone(make_run: Make) -> None:
    extra = tuple(HOSTILE)
    text = build(make_run("a", extra=extra), resampling=Resampling(replicates=20)).to_text(color=True, instances=60)
    codes = set(re.findall("\x1b[^a-zA-Z]*[a-zA-Z]", text))
    assert codes
    assert all(re.fullmatch(r"\x1b\[(0|[134](;[134])*(;30;48;5;\d+)?|30;48;5;\d+|48;5;\d+)m", code) for code in codes)
    assert "\x1b[31m" not in text
    assert text.count("\x1b") == len(re.findall("\x1b\\[[0-9;]*m", text))


def test_lines_keep_to_the_width(make_run: Make) -> None:
    report = build(make_run("a", words=40), resampling=Resampling(replicates=20))
    lines = [line for line in report.to_text(width=60, instances=20).split("\n") if re.match("    word", line)]
    assert len(lines) >= 20
    assert max(map(len, lines)) <= 60


def test_plots(make_run: Make, tmp_path: Path) -> None:
    runs = [str(make_run("a")), str(make_run("b", seed=1))]
    assert main([*runs, "--plots", str(tmp_path / "p"), *FAST]) == 0
    names = sorted(path.name for path in (tmp_path / "p").iterdir())
    assert {"comprehensiveness.png", "sufficiency.svg", "trade-off-plausibility.svg", "scores-1.png"} <= set(names)
    for path in (tmp_path / "p").iterdir():
        if path.suffix == ".svg":
            texts = "".join(ET.parse(path).getroot().itertext())
            assert "a" in texts
        else:
            assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    report = build(*runs, resampling=Resampling(replicates=20))
    first, second = (report.save_plots(tmp_path / name, ["svg"]) for name in ("q", "r"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_plot_text_is_no_formula(make_run: Make, tmp_path: Path) -> None:
    report = build(make_run(), names=["$x^$"], resampling=Resampling(replicates=20))
    [path] = [path for path in report.save_plots(tmp_path, ["svg"]) if path.stem == "comprehensiveness"]
    assert "$x^$" in "".join(ET.parse(path).getroot().itertext())


def test_a_legend_has_every_run_whatever_its_name(make_run: Make, tmp_path: Path) -> None:
    runs = [str(make_run("a")), str(make_run("b", seed=1))]
    report = build(*runs, names=["_left", "right"], resampling=Resampling(replicates=20))
    for path in report.save_plots(tmp_path, ["svg"]):
        if not path.stem.startswith("scores-"):  # which are of one run's words
            assert {"_left", "right"} <= set(ET.parse(path).getroot().itertext()), path.stem


def test_needs_no_deep_learning_library(make_run: Make, tmp_path: Path) -> None:
    code = (
        "import sys; from unirex.report.cli import main; "
        f"assert main([{str(make_run())!r}, '-o', {str(tmp_path / 'x.html')!r}, '--replicates', '5']) == 0; "
        "print([m for m in ('torch', 'transformers', 'pandas', 'matplotlib', 'datasets') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"

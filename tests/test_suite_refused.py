"""Suites that cannot be run, and arguments that are none: one line, exit 2, and nothing started."""

from pathlib import Path
from typing import Any

import pytest

from reference.suites import write
from unirex import suite
from unirex.suites.plan import make_plan
from unirex.suites.recipe import read_suite


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metods": {}}, "unknown key 'metods' (did you mean methods?)"),
        ({"data": "absent"}, "data is None, expected one name or more"),
        ({"methods": {"a/b": []}}, "name 'a/b', expected one without"),
        ({"methods": {"a": {"confg": "x"}}}, "methods.a: unknown key 'confg' (did you mean config?)"),
        ({"methods": {"a": "lost.yaml"}}, "methods.a: "),
        ({"methods": {"a": {"control": 3}}}, "methods.a.control is 3, expected true or false"),
        ({"base": 3}, "base is 3, expected a file or a list of files"),
        ({"seeds": [0, 0]}, "seeds is [0, 0], expected different whole numbers"),
        ({"seeds": [True]}, "seeds is [True], expected different whole numbers"),
        ({"sweep": {"key": "data.gold_share", "values": []}}, "sweep.values is [], expected a list"),
        ({"sweep": {"values": [1]}}, "sweep.key is None, expected a setting"),
        ({"data": {"one": {"sweep": [1]}}}, "data.one.sweep has 1, expected values of the suite's sweep"),
        ({"data": {"one": {"sweep": []}}}, "data.one.sweep is [], expected a list of different values"),
        ({"methods": {"a": {"sweep": [1]}}}, "methods.a: unknown key 'sweep'"),
        ({"data": {"one": {"seeds": [1]}}}, "data.one.seeds is [1], expected methods with their seeds"),
        ({"data": {"one": {"seeds": {"slm": 1}}}}, "data.one.seeds.slm: seeds is 1, expected different whole numbers"),
        ({"data": {"one": {"seeds": {"sml": [1]}}}}, "names 'sml', expected methods (did you mean slm?)"),
        ({"data": {"one": {"groups": "["}}}, "data.one.groups is '[', expected a regular expression"),
        ({"data": {"one": {"groups": "[^:]+"}}}, "data.one.groups is '[^:]+', expected none without a ledger"),
        ({"transfer": {"far": {"seeds": {}}}}, "transfer.far: unknown key 'seeds'"),
        ({"transfer": {"far": {"control": True}}}, "transfer.far: unknown key 'control'"),
        ({"data": {"one": {"control": True}}}, "data.one: unknown key 'control'"),
        ({"references": "sml"}, "references is 'sml', expected a method or null (did you mean slm?)"),
        ({"table": {"convention": "loose"}}, "table.convention is 'loose', expected one of strict"),
        ({"table": {"replicates": -1}}, "table.replicates is -1, expected 0 to 100000"),
        ({"table": {"plot": ["f1"]}}, "table.plot is ['f1'], expected some of auprc"),
        ({"set": {"train.epcohs": 1}}, "data.one with methods.slm: unknown configuration key 'train.epcohs'"),
        ({"set": {"train.epochs": 0}}, "train.epochs is 0, expected at least 1"),
        ({"methods": {"a": {"set": {"method.name": "jont"}}}}, "did you mean joint?"),
        ({"set": {"train.precision": "auto"}, "ledger": "ran.jsonl"}, "train.precision is auto, expected no, bf16 or"),
        ({"output": "$NOT_SET/x"}, "the environment variable NOT_SET is not set"),
        ({"transfer": {"far": {"set": {"data.other_labels": "ignore"}}}}, "transfer.far: "),
        ({"set": {"train.precision": None}, "ledger": "ran.jsonl"}, "train.precision is None, expected no, bf16 or"),
        ({"set": {"seed": 7}}, "set has 'seed', expected settings of a run (seeds)"),
        ({"methods": {"a": {"set": {"output": "x"}}}}, "methods.a.set has 'output', expected settings of a run"),
        ({"sweep": {"key": "seed", "values": [0, 1]}}, "sweep.key has 'seed', expected settings of a run (seeds)"),
        ({"sweep": {"key": "train.lr", "values": ["1e-3", 0.001]}}, "sweep.values is ['1e-3', 0.001], expected a list"),
        ({"set": {"train.lr": 0.1, "train": {"lr": 0.2}}}, "set: key 'train.lr' again, expected it once"),
        ({"data": {"one to two": []}}, "name 'one to two', expected one without the words 'to' and 'on'"),
        ({"methods": {"a$b": []}}, "name 'a$b', expected one without"),
        ({"seeds": [2**32]}, "expected different whole numbers from 0 to 4294967295"),
        ({"output": ""}, "output is '', expected the name of a folder"),
        ({"output": ["a"]}, "output is ['a'], expected the name of a folder"),
        ({"references": ["slm"]}, "references is ['slm'], expected a method or null"),
        ({"data": 5}, "data holds int, expected names with their configuration files"),
        ({"table": {"plot": [["auprc"]]}}, "table.plot is [['auprc']], expected some of auprc"),
        (
            {"grid": {"models": ["slm"], "scores": ["slm"], "own": {"aa": ["slm"]}}},
            "grid.own is {'aa': ['slm']}, expec",
        ),
        (
            {"table": {"perturbation": "delete"}},
            "table.perturbation is 'delete', expected one of eval.how, ['attention",
        ),
        ({"set": {"data.name": "2020-01-01", "train.lr": "x"}}, "train.lr"),
    ],
)
def test_a_bad_suite_is_one_line_and_exit_2(
    changes: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suite.main([str(write(tmp_path, **changes))]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert "\n" not in error
    assert message in error
    assert not (tmp_path / "out").exists()


def test_equal_keys_in_a_suite_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text() + "seeds: [3]\nseeds: [4]\n")
    assert suite.main([str(path), "--dry-run"]) == 2
    assert "key 'seeds' again, expected it once (line " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seeds: !!bool maybe", "a value that is not of the kind that its tag names"),
        ("note: !!timestamp a", "could not determine a constructor for the tag"),
        ("note: !!binary aGk=", "could not determine a constructor for the tag"),
        ('note: "\\ud800"', "half of a surrogate pair"),
    ],
)
def test_what_json_lacks_is_refused(
    line: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text() + line + "\n")
    assert suite.main([str(path), "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: not YAML: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_date_is_text(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("train.epochs: 1", "train.epochs: 1\n  data.name: 2020-01-01"))
    assert {run.config["data"]["name"] for run in make_plan(read_suite(str(path)), [])} == {"2020-01-01"}


def test_a_claim_is_of_data_sets_with_rows_of_their_own(tmp_path: Path) -> None:
    table = {"against": "slm", "rivals": ["aa"]}
    path = write(tmp_path, data={"one": [], "two": "small.yaml"}, chosen="c.json", ledger="s.jsonl", table=table)
    (tmp_path / "small.yaml").write_text("train: {lr: 0.1}\n")  # which says nothing of rows
    with pytest.raises(ValueError, match=r"table\.rivals is set, expected data sets of different rows"):
        read_suite(str(path))
    (tmp_path / "small.yaml").write_text("data: {toy: {n_test: 9}}\n")
    assert read_suite(str(path)).independent


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "slmm"], "--only slmm: expected data sets or methods"),
        (["--set", "train.epochs"], "expected KEY=VALUE"),
        (["--set", "smm:train.epochs=2"], "--set smm:train.epochs: no such method or data set (did you mean slm?)"),
        (["--set", ":train.epochs=2"], "expected KEY=VALUE or NAME:KEY=VALUE"),
        (["--set", "train.epohcs=2"], "did you mean train.epochs?"),
        (["--set", "seed=7"], "has 'seed', expected settings of a run (seeds)"),
        (["--set", "far*:data.limit=3"], "--set far*:data.limit: no such method or data set"),
        (["--seeds", "-1"], "--seeds: seeds is [-1], expected different whole numbers from 0"),
        (["--page", "no.md"], "no.md: no such file"),
        (["--jobs", "0"], "--jobs is 0, expected at least 1"),
        (["--jbos", "2"], "did you mean --jobs?"),
        (
            ["--set", "away:data.toy.n_test=4"],
            "--set away:data.toy.n_test: expected data.limit, data.seed or",
        ),
    ],
)
def test_bad_arguments_are_one_line_and_exit_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suite.main([str(write(tmp_path, transfer={"away": "pair.yaml"})), *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert message in error

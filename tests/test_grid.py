"""The grid of a suite: scores of runs judged on the models of others, once each, and the table of its ledger."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from unirex import evaluate, suite, train
from unirex.config.identity import digest
from unirex.suites.cells import done_of, wanted
from unirex.suites.grid import cross
from unirex.suites.grid_claim import grid_claim
from unirex.suites.launch import Launcher
from unirex.suites.ledger import Entry, Ledger, newest
from unirex.suites.plan import completed_digest, make_plan
from unirex.suites.recipe import read_suite

METRICS = ("comprehensiveness", "normalised_sufficiency", "naopc_comprehensiveness", "naopc_sufficiency")
NAOPC = {"eval.naopc_beam": 2, "eval.naopc_units": 4, "eval.naopc_rows": 5}


def write(folder: Path, **changes: Any) -> Path:
    small = {"data.toy.n_train": 32, "data.toy.n_val": 8, "data.toy.n_test": 12, "model.random.hidden_size": 32}
    content = {
        "output": str(folder / "runs"),
        "ledger": str(folder / "cells.jsonl"),
        "data": {"toy": {"set": small}},
        "methods": {name: name for name in ("aa-ig", "slm-fp", "check")},
        "grid": {
            "models": ["check", "slm-fp", "aa-ig"],
            "scores": ["slm-fp", "aa-ig"],
            "set": {"eval.references": ["random"], **NAOPC},
        },
        "set": {
            "train.epochs": 1,
            "train.lr": 1e-2,  # of a model that tells no words apart, NAOPC is rounding over rounding
            "train.dev_perturb": False,
            "train.best_metric": "headline",
            "eval.references": [],
            "train.precision": "no",
        },
        "references": "slm-fp",
        "table": {"against": "slm-fp", "replicates": 20},
    }
    path = folder / "cells.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False))
    return path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is started, which runs in this process."""
    found: list[str] = []

    def start(self: Launcher, number: int, held: Any, log: Path, module: str, arguments: Any) -> tuple[int, str]:
        found.append(f"{module.removeprefix('unirex.')} {log.parent.parent.name}")
        return {"unirex.train": train.main, "unirex.evaluate": evaluate.main}[module](list(arguments)), ""

    monkeypatch.setattr(Launcher, "_start", start)
    return found


def test_each_model_is_judged_once_by_all_scores(
    started: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path)
    assert suite.main([str(path), "--dry-run"]) == 0
    assert started == []
    out = capsys.readouterr().out
    assert "scores on toy/check/0: to be run" in out
    assert "then grid: to be judged" in out

    assert suite.main([str(path)]) == 0
    assert started[:3] == ["train aa-ig", "train slm-fp", "train check"]
    assert started[3:] == ["evaluate aa-ig", "evaluate slm-fp", "evaluate check"]
    entries = {(e.data, e.method): e for e in Ledger(path=tmp_path / "cells.jsonl").entries()}
    assert list(entries) == [(f"toy on {m}", s) for m in ("aa-ig", "slm-fp", "check") for s in ("slm-fp", "aa-ig")]
    for model in ("slm-fp", "check"):
        for scores in ("slm-fp", "aa-ig")[model == "slm-fp" :]:
            run = tmp_path / "runs" / "runs" / "toy"
            eval_settings = [f"--{key}={json.dumps(value)}" for key, value in NAOPC.items()]
            data = ["--data.toy.n_train=32", "--data.toy.n_val=8", "--data.toy.n_test=12", "--eval.references=[]"]
            arguments = [f"--model={run / model / '0'}", f"--scores={run / scores / '0' / 'predictions.parquet'}"]
            assert evaluate.main([*arguments, *data, *eval_settings, f"--output={tmp_path / 'one'}"]) == 0
            alone = json.loads((tmp_path / "one" / "metrics.json").read_text())
            value = {metric["name"]: metric["value"] for metric in alone["metrics"]}
            cell = entries[f"toy on {model}", scores].metrics
            for name in METRICS:
                assert cell[name][0] == pytest.approx(value[name], rel=1e-6)
            assert cell["naopc_sufficiency"][1] >= 7
    assert list(entries["toy on check", "slm-fp"].references) == ["random"]
    assert all(entry.cost["judge_seconds"] > 0 for entry in entries.values())
    table = (tmp_path / "runs" / "cells.md").read_text()
    assert table.startswith("6 of 6 cells done")
    assert "| scores of | on check | on slm-fp | on aa-ig |" in table
    assert "| random (control) |" in table
    block = table[table.index("**toy: NAOPC of sufficiency ↓**") :].split("\n")
    row = next(line.split("|") for line in block if line.startswith("| slm-fp |"))
    for shown, model in zip(row[2:5], ("check", "slm-fp", "aa-ig"), strict=True):
        entry = entries[f"toy on {model}", "slm-fp"]
        value, undefined = entry.metrics["naopc_sufficiency"]
        assert shown.split() == [f"{value:.3f}", f"({entry.rows - undefined})"]
    assert "**toy on check: slm-fp minus the method of the row**" in table
    assert "NAOPC suff ↓" in table
    block = table[table.index("**toy, each on its own model: slm-fp minus") :].split("\n")
    cells = {head.strip(): cell.strip() for head, cell in zip(block[2].split("|"), block[4].split("|"), strict=True)}
    own = [entries[f"toy on {m}", m].metrics for m in ("slm-fp", "aa-ig")]
    assert cells["method"] == "aa-ig"
    for head, names in (("AUPRC ↑", ["auprc"]), ("CSD ↑", ["comprehensiveness", "sufficiency"])):
        values = [one[names[0]][0] - sum(one[name][0] for name in names[1:]) for one in own]
        assert float(cells[head].split()[0]) == pytest.approx(values[0] - values[1], abs=6e-4)

    check_claim(path, entries)

    started.clear()
    assert suite.main([str(path)]) == 0
    assert started == []
    kept = (tmp_path / "cells.jsonl").read_text().splitlines()[:2]
    (tmp_path / "cells.jsonl").write_text("\n".join(kept) + "\n")
    (tmp_path / "runs" / "cells.md").unlink()
    assert suite.main([str(path), "--table-only"]) == 0
    assert (tmp_path / "runs" / "cells.md").read_text().startswith("2 of 6 cells done")
    assert suite.main([str(path)]) == 0
    assert started == []  # the judgment was there, and its entry is added again
    assert len((tmp_path / "cells.jsonl").read_text().splitlines()) == 6
    lines = (tmp_path / "cells.jsonl").read_text().splitlines()
    shutil.rmtree(tmp_path / "runs" / "runs" / "toy" / "check" / "0" / "grid")
    capsys.readouterr()
    assert suite.main([str(path), "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["scores on toy/check/0: in the ledger", "3 runs of 3 models"]
    (tmp_path / "cells.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    assert suite.main([str(path)]) == 0
    assert started == ["evaluate check"]
    last = Ledger(path=tmp_path / "cells.jsonl").entries()[-1]
    assert (len(last.references), last.metrics) == (1, entries["toy on check", "aa-ig"].metrics)
    assert last.cost["judge_seconds"] > 0
    (cell,) = (tmp_path / "runs" / "runs" / "toy" / "check" / "0" / "grid").iterdir()
    assert not (cell / "predictions-aa-ig.parquet").exists()  # these scores alone, so they are no second ones
    started.clear()

    scores = tmp_path / "runs" / "runs" / "toy" / "aa-ig" / "0" / "predictions.parquet"
    scores.touch()  # as if they had been made anew
    (tmp_path / "cells.jsonl").unlink()
    assert suite.main([str(path), "--only", "slm-fp"]) == 0
    assert started == ["evaluate slm-fp"]
    started.clear()
    again = [str(path), "--only", "slm-fp", "--set", "eval.naopc_rows=3"]
    assert suite.main(again) == 2
    message = (
        "has a result of other settings for toy on slm-fp/slm-fp/0 (grid.eval.naopc_rows is 5 there, 3 here), expec"
    )
    assert message in capsys.readouterr().err
    assert started == []
    assert suite.main([*again, "--overwrite", "true"]) == 0
    assert started == ["evaluate slm-fp"]  # the judgment alone
    assert len({e.digest for e in Ledger(path=tmp_path / "cells.jsonl").entries()}) == 4
    assert suite.main([str(path), "--only", "check", "slm"]) == 2
    assert "--only slm: expected data sets or models of the grid (did you mean slm-fp?)" in capsys.readouterr().err
    (tmp_path / "cells.jsonl").unlink()
    started.clear()

    narrow = write(tmp_path, grid={"models": ["check"], "scores": ["aa-ig"], "set": {"eval.fractions": [0.5]}})
    assert suite.main([str(narrow)]) == 0
    assert started == ["evaluate check"]


def test_a_data_set_may_have_a_grid_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"toy": {"set": {"data.toy.n_train": 32}}, "far": {"set": {"data.toy.n_train": 16}}}
    grid: dict[str, Any] = {"models": ["check", "slm-fp"], "scores": ["slm-fp", "aa-ig"], "set": NAOPC}
    grid["data"] = {"far": {"scores": ["aa-ig"], "set": {"eval.naopc_rows": 3, "eval.fractions": [0.5]}}}
    path = write(tmp_path, data=data, grid=grid)
    made = read_suite(str(path))
    cells = {(one.data, one.method): one for one in cross(made, make_plan(made, []))}
    assert {key: [run.method for run in one.scores] for key, one in cells.items()} == {
        ("toy", "slm-fp"): ["slm-fp", "aa-ig"],
        ("toy", "check"): ["slm-fp", "aa-ig"],
        ("far", "slm-fp"): ["aa-ig"],
        ("far", "check"): ["aa-ig"],
    }
    ours, theirs = (cells[name, "check"].transfers[0].content["eval"] for name in ("toy", "far"))
    assert (ours["naopc_beam"], ours["naopc_rows"]) == (2, 5)
    assert (theirs["naopc_beam"], theirs["naopc_rows"], theirs["fractions"]) == (2, 3, [0.5])
    assert suite.main([str(path), "--table-only"]) == 0
    assert "0 of 6 cells done" in capsys.readouterr().out


def test_a_data_set_may_have_models_of_its_own(tmp_path: Path) -> None:
    data = {"toy": {"set": {"data.toy.n_train": 32}}, "far": {"set": {"data.toy.n_train": 16}}}
    grid = {"models": ["slm-fp"], "scores": ["slm-fp", "aa-ig"], "data": {"far": {"models": ["slm-fp", "check"]}}}
    made = read_suite(str(write(tmp_path, data=data, grid=grid)))
    assert made.grid is not None
    assert made.grid.every_model == ("slm-fp", "check")
    cells = {(one.data, one.method) for one in cross(made, make_plan(made, []))}
    assert cells == {("toy", "slm-fp"), ("far", "slm-fp"), ("far", "check")}
    assert wanted(made).keys() == {"toy on slm-fp", "far on slm-fp", "far on check"}
    assert [done_of(made, name, {})[1] for name in ("toy", "far")] == [2, 4]
    assert suite.main([str(tmp_path / "cells.yaml"), "--only", "check", "--dry-run"]) == 0


def check_claim(path: Path, entries: Mapping[tuple[str, str], Entry]) -> None:
    """What the grid says of its method and the rival that dev chose."""
    made = read_suite(str(path))
    assert made.grid is not None
    chosen = path.with_name("chosen.json")
    asking = replace(
        made,
        chosen=chosen,
        grid=replace(made.grid, neutral="check"),
        table=replace(made.table, rivals=("aa-ig", "dlm-p")),
    )
    ledger = Ledger(path=path.with_name("cells.jsonl"))
    found = newest(ledger.entries(), "cells")

    def told(gain: float) -> list[str]:
        """Where this is the gain of `dlm-p` on dev, and that of `aa-ig` .5."""
        trials = {"toy": {"aa-ig": {"1": 0.5}, "dlm-p": {"1": gain}}}
        values = {"toy": {"aa-ig": 1, "dlm-p": 1}}
        chosen.write_text(json.dumps({"suite": "dev", "key": "train.lr", "values": values, "trials": trials}))
        return grid_claim(asking, ledger, found)

    assert grid_claim(made, ledger, found) == []
    chosen.write_text(json.dumps({"suite": "dev", "key": "train.lr", "values": {"toy": {"aa-ig": 1, "dlm-p": 1}}}))
    assert grid_claim(asking, ledger, found) == [], "one value, and no trial yet that tells the rival"
    elsewhere = replace(asking, grid=replace(made.grid, models=("slm-fp", "check"), neutral="check"))
    assert "aa-ig" not in elsewhere.grid.models, "the words of a rival are enough where a neutral model judges"
    told(0.4)
    assert len(grid_claim(elsewhere, ledger, found)) == 2
    (block,) = told(0.6)
    lines = [line.strip("| ").split(" | ") for line in block.splitlines()[2:]]
    assert lines[-1] == ["toy", "dlm-p", "not in the grid"]
    assert len(lines[0]) == len(lines[-1])
    block, sentence = told(0.4)
    head, _, row = ([cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()[2:])
    assert block.startswith("**slm-fp minus the best rival on dev: words on check**")
    assert head == ["data set", "best rival on dev", "CSD ↑"]
    assert row[:2] == ["toy", "aa-ig"]
    ours, other = (entries["toy on check", name].metrics for name in ("slm-fp", "aa-ig"))
    csd = [one["comprehensiveness"][0] - one["sufficiency"][0] for one in (ours, other)]
    assert float(row[2].split()[0]) == pytest.approx(csd[0] - csd[1], abs=6e-4)
    win = int(row[2].endswith(" better"))
    assert f"CSD better on all but one: {win} of 1, in the mean {row[2].rpartition('] ')[2]}." in sentence
    # Without a neutral model, each on its own.
    alone = replace(asking, grid=replace(made.grid, neutral=None))
    block, sentence = grid_claim(alone, ledger, found)
    head, _, row = ([cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()[2:])
    assert block.startswith("**slm-fp minus the best rival on dev: each on its own model**")
    assert head[2:] == ["NAOPC comp ↑", "NAOPC suff ↓"]
    assert all(cell.endswith((" better", " worse", " not shown")) for cell in row[2:])
    assert row[2].rpartition("] ")[2].startswith("(5) ")  # of 12 instances
    win = int(row[3].endswith(" better"))
    assert f"NAOPC suff better on all but one: {win} of 1, in the mean {row[3].rpartition(') ')[2]}." in sentence
    shared = replace(asking, grid=replace(made.grid, neutral=None, own={"aa-ig": "slm-fp"}))
    row = [cell.strip() for cell in grid_claim(shared, ledger, found)[0].splitlines()[-1].split("|")[1:-1]]
    own = [entries["toy on slm-fp", name].metrics["naopc_comprehensiveness"][0] for name in ("slm-fp", "aa-ig")]
    assert float(row[2].split()[0]) == pytest.approx(own[0] - own[1], abs=6e-4)
    apart = replace(asking, table=replace(asking.table, shaped=("toy",)))
    assert " None is judged yet without toy, which shaped slm-fp." in grid_claim(apart, ledger, found)[1]
    (block,) = grid_claim(asking, ledger, {k: v for k, v in found.items() if k[0] != "toy on check"})
    assert block.splitlines()[-1] == "| toy | aa-ig | 4 of 6 cells done |"
    assert grid_claim(asking, ledger, {}) == []


def test_an_entry_made_before_a_setting_came_is_that_of_its_default(started: list[str], tmp_path: Path) -> None:
    path = write(tmp_path, grid={"models": ["slm-fp"], "scores": ["aa-ig"]})
    assert suite.main([str(path)]) == 0
    (entry,) = Ledger(path=tmp_path / "cells.jsonl").entries()
    older = json.loads(json.dumps(entry.config))
    del older["grid"]["eval"]["naopc_beam"], older["grid"]["scores"]["eval"]["naopc_beam"], older["eval"]["naopc_beam"]
    assert digest(older) != entry.digest
    assert completed_digest(older) == entry.digest
    older["grid"]["scores"]["train"]["lr"] = 0.5
    assert completed_digest(older) != entry.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"models": ["slm"], "scores": ["aa-ig"]}}, "grid.models names 'slm', expected methods"),
        ({"grid": {"models": ["slm-fp"]}}, "grid.scores is None, expected a list of different methods"),
        ({"grid": {"models": ["check", "check"], "scores": ["aa-ig"]}}, "grid.models is ['check', 'check'], expected"),
        (
            {"grid": {"models": ["check"], "scores": ["aa-ig"], "set": {"train.lr": 1}}},
            "grid.set has 'train.lr', expected settings of eval",
        ),
        (
            {"grid": {"models": ["check"], "scores": ["aa-ig"], "set": {"eval.split": "val"}}},
            "grid.set has 'eval.split', expected settings of eval other than its split",
        ),
        (
            {
                "methods": {"gold": "aa-ig"},
                "references": None,
                "table": {},
                "grid": {"models": ["gold"], "scores": ["gold"]},
            },
            "grid.scores has the name 'gold', expected another one than random",
        ),
        (
            {
                "methods": {
                    **dict.fromkeys(("aa-ig", "slm-fp"), "aa-ig"),
                    "check": {"config": "check", "chosen": "aa-ig"},
                }
            },
            "methods.check.chosen is 'aa-ig', expected none without a file `chosen`",
        ),
        (
            {"grid": {"models": ["check"], "scores": ["aa-ig"], "neutral": "aa-ig"}},
            "grid.neutral is 'aa-ig', expected one of its models or null",
        ),
        (
            {"grid": {"models": ["check"], "scores": ["aa-ig"], "own": {"aa-ig": "aa-ig"}}},
            "grid.own is {'aa-ig': 'aa-ig'}, expected methods with one of its models each",
        ),
        (
            {"grid": {"models": ["check"], "scores": ["aa-ig"], "data": {"far": {}}}},
            "grid.data is {'far': {}}, expected data sets of the suite with what differs there",
        ),
        (
            {"grid": {"models": ["check"], "scores": ["aa-ig"], "data": {"toy": {"neutral": "check"}}}},
            "grid.data.toy: unknown key 'neutral', expected models, scores, set",
        ),
        (
            {"grid": {"models": ["check"], "scores": ["aa-ig"], "data": {"toy": {"scores": ["ig"]}}}},
            "grid.data.toy.scores names 'ig', expected methods",
        ),
        (
            {"grid": {"models": ["check"], "scores": ["aa-ig"], "data": {"toy": {"set": {"train.lr": 1}}}}},
            "grid.data.toy.set has 'train.lr', expected settings of eval",
        ),
        ({"ledger": None}, "ledger is None, expected one with a grid"),
        ({"transfer": {"far": {}}}, "transfer is {'far': {}}, expected none with a grid"),
    ],
)
def test_wrong_grids_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 (compared as text below)
        read_suite(str(write(tmp_path, **changes)))
    assert message in str(error.value)


def test_a_method_takes_what_was_chosen_for_another(tmp_path: Path) -> None:
    choice = {"suite": "s", "key": "train.lr", "values": {"toy": {"aa-ig": 0.25, "slm-fp": 0.5}}, "trials": {}}
    (tmp_path / "chosen.json").write_text(json.dumps(choice))
    methods = {"aa-ig": "aa-ig", "slm-fp": "slm-fp", "check": {"config": "check", "chosen": "aa-ig"}}
    path = write(tmp_path, chosen=str(tmp_path / "chosen.json"), methods=methods)
    rates = {run.method: run.config["train"]["lr"] for run in make_plan(read_suite(str(path)), [])}
    assert rates == {"aa-ig": 0.25, "slm-fp": 0.5, "check": 0.25}
    bare = write(tmp_path, chosen=str(tmp_path / "chosen.json"))
    with pytest.raises(ValueError, match=r"has no choice for methods\.check on toy"):
        make_plan(read_suite(str(bare)), [])


@pytest.mark.parametrize("name", ["random", "extractor", "select_then_predict", "a/b", ".hidden", ""])
def test_scores_have_names_that_can_be_files(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.jsonl").write_text("{}\n")
    scores = json.dumps({name: str(tmp_path / "s.jsonl")})
    assert evaluate.main(["--model=m", f"--scores={scores}"]) == 2
    assert f"scores has the name {name!r}, expected" in capsys.readouterr().err

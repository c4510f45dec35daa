"""A table is of one version of its suite: what was edited in between, and what a command may not set."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import test_suite
from reference.suites import write
from test_ledger import World, entry, world
from test_suite import fake, plotted
from unirex import suite
from unirex.config.identity import digest
from unirex.suites.grid_table import _cells
from unirex.suites.ledger import Ledger
from unirex.suites.one_setting import check_one_setting
from unirex.suites.plan import make_plan
from unirex.suites.recipe import read_suite

__all__ = ["fake", "plotted", "world"]


def edited(path: Path, **changes: Any) -> None:
    content = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def configure(world: World) -> None:
    """Lets the stand-ins make the runs that the suite's file now asks for."""
    for run in make_plan(read_suite(str(world.path)), []):
        name = f"{'_'.join(run.folder.parts[-3:])}.yaml"
        (world.folder / "configs" / name).write_text(yaml.safe_dump(run.config))


def test_results_of_a_setting_before_an_edit_are_not_in_the_table(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run("--only", "one") == 0
    edited(world.path, set={"train.lr": 0.25})
    configure(world)
    capsys.readouterr()
    assert world.run("--only", "slm", "one", "--overwrite", "true") == 0
    said = capsys.readouterr()
    assert "2 of 8 runs done" in said.out
    left = "not in the table, since the ledger has them with other settings: one/grad/0, one/ig/0"
    assert said.err.count(left) == 1
    text = (world.folder / "out" / "s.md").read_text()
    assert text.startswith("2 of 8 runs done")
    states = {
        (run["data"], run["method"]): run["state"] for run in json.loads((world.folder / "out/s-runs.json").read_text())
    }
    assert (states["one", "slm"], states["one", "grad"]) == ("done", "missing")
    # Without the plan nobody knows which are those of the suite: it is refused.
    assert world.run("--table-only") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(
        r"s\.jsonl: train\.lr is [\d.e-]+ of one/\w+/0 and [\d.e-]+ of one/\w+/\d, expected one value: results of two",
        err,
    )


def test_what_may_differ_between_entries_and_what_not(tmp_path: Path) -> None:
    path = write(
        tmp_path, ledger="s.jsonl", set={"train.epochs": 1, "train.precision": "no", "data.masked": "m-{seed}"}
    )
    found = read_suite(str(path))

    def of(who: str, seed: int = 0, **changes: Any) -> dict[Any, Any]:
        config = {"seed": seed, "data": {"masked": f"m-{seed}"}, "train": {"epochs": 1, "lr": 0.1}, "method": {"a": 1}}
        for key, value in changes.items():
            config[key] = {**config[key], **value}  # type: ignore[dict-item]
        return {("one", who, seed): entry(method=who, seed=seed, config=config, digest=digest(config))}

    def check(*entries: dict[Any, Any]) -> None:
        check_one_setting(found, {key: value for one in entries for key, value in one.items()}, Path("s.jsonl"))

    check(of("slm"), of("slm", 1), of("aa", method={"a": 2}), of("aa", 1, method={"a": 2, "since": 3}))
    check(of("slm"), of("aa", train={"lr": 0.2}))  # not of all runs
    for other, key in (
        (of("aa", train={"epochs": 2}), "train.epochs"),
        (of("slm", 1, train={"lr": 0.2}), "train.lr"),
        (of("slm", 1, method={"a": 2}), "method.a"),
    ):
        with pytest.raises(ValueError, match=rf"^s\.jsonl: {key} is .* of one/\w+/\d and .* expected one value"):
            check(of("slm"), other)


def test_a_transfer_that_is_not_done_is_missed(fake: Path) -> None:
    world = test_suite.World(fake, transfer={"far": {"set": {"data.toy.n_test": 10}}})
    assert world.run() == 0
    table, state = world.folder / "out" / "table.md", world.folder / "out" / "runs.json"
    assert "Not in the table" not in table.read_text()
    edited(world.path, transfer={"far": {"set": {"data.toy.n_test": 11}}})
    assert world.run("--table-only") == 0
    assert "one to far" not in table.read_text()
    assert "Not in the table, or in part:\n\n- one/slm/0: not finished" in table.read_text()
    assert {run["state"] for run in json.loads(state.read_text())} == {"missing"}


@pytest.mark.parametrize(
    ("sweep", "arguments", "message"),
    [
        (
            {"key": "data.gold_share", "values": [0.5, 1.0]},
            ["--set", "data.gold_share=0.1"],
            "--set data.gold_share: expected another setting than that of the suite's sweep",
        ),
        (
            {"key": "data.gold_share", "values": [0.5, 1.0]},
            ["--set", "slm:data.gold_share=0.1"],
            "--set data.gold_share: expected another setting",
        ),
    ],
)
def test_a_sweep_has_its_own_values(
    sweep: dict[str, Any], arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, sweep=sweep)
    assert suite.main([str(path), "--dry-run", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_value_that_is_a_path_makes_one_folder(tmp_path: Path) -> None:
    found = make_plan(read_suite(str(write(tmp_path, sweep={"key": "data.masked", "values": [None, "../../x"]}))), [])
    assert len({run.folder for run in found}) == len(found) == 8
    assert all(run.folder.resolve().parents[2] == (tmp_path / "out" / "runs").resolve() for run in found)


def test_a_line_under_another_name_is_known_by_its_settings_of_today(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run("--only", "one", "slm") == 0
    ledger = world.ledger
    lines = [json.loads(line) for line in ledger.path.read_text().splitlines()]
    for line in lines:  # as before two settings came, and another name of the method
        for key in ("masked", "masked_share"):
            del line["config"]["data"][key]
        old = ledger.rows_at(line["digest"])
        line |= {"method": "before", "digest": digest(line["config"])}
        for source in ("", "random"):
            name = f"{line['digest'][:16]}{source and f'-{source}'}.parquet"
            (old.parent / name).write_bytes((old.parent / f"{old.stem}{source and f'-{source}'}.parquet").read_bytes())
    ledger.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    capsys.readouterr()
    assert world.run("--only", "one", "slm", "--dry-run") == 0
    assert capsys.readouterr().out.count("in the ledger") == 2


def test_a_choice_that_is_none_inside_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = {"suite": "dev", "key": "train.lr", "values": {"one": {"slm": 0.1}}, "trials": {"one": {"slm": 0.8}}}
    (tmp_path / "chosen.json").write_text(json.dumps(chosen))
    path = write(tmp_path, chosen="chosen.json", ledger="s.jsonl", set={"train.precision": "no"})
    assert suite.main([str(path), "--dry-run"]) == 2
    assert "chosen.json: not a choice of `unirex.suite --choose`" in capsys.readouterr().err


def test_a_grid_shows_the_seeds_that_all_its_cells_have() -> None:
    class Grid:
        models, scores = ("m", "n"), ("a", "b")

    def cell(model: str, name: str, seed: int, value: float | None, undefined: int = 0) -> dict[Any, Any]:
        made = entry(metrics={"csd": [value, undefined]}, rows=10, seed=seed, references={"random": {"csd": [seed, 0]}})
        return {(f"one on {model}", name, seed): made}

    def shown(*cells: dict[Any, Any]) -> tuple[dict[Any, str | None], str]:
        found, told = _cells(Grid, "one", {k: v for one in cells for k, v in one.items()})  # type: ignore[arg-type]
        return {key: metrics.get("csd") for key, metrics in found.items()}, told

    assert shown(cell("m", "a", 0, 0.1), cell("m", "b", 0, 0.3, 4)) == (
        {("a", "m"): "0.100", ("b", "m"): "0.300 (6)", ("random (control)", "m"): "0.000"}, ""
    )  # fmt: skip
    both = [cell("m", n, seed, v) for n, seed, v in (("a", 1, 0.1), ("a", 2, 0.2), ("b", 1, 0.5), ("b", 2, 0.8))]
    found, told = shown(cell("m", "a", 0, 0.9), *both)
    assert (found["a", "m"], found["b", "m"], told) == ("0.150", "0.650", ", seeds 1, 2")
    assert found["random (control)", "m"] == "1.500"
    found, told = shown(*both, cell("n", "a", 3, 0.9))  # of one model another seed alone
    assert (found["a", "m"], found["b", "m"], found["a", "n"], told) == ("0.100", "0.500", None, ", seed 1")
    assert shown(cell("m", "a", 0, None, 10))[0]["a", "m"] == "—"


def test_a_grid_takes_the_split_of_its_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(
        tmp_path,
        ledger="s.jsonl",
        set={"train.precision": "no"},
        grid={"models": ["slm"], "scores": ["slm", "aa"]},
    )
    assert suite.main([str(path), "--dry-run", "--set", "eval.split=val"]) == 2
    assert "--set eval.split: expected a setting other than the split of a grid" in capsys.readouterr().err
    assert suite.main([str(path), "--dry-run", "--only", "one"]) == 0
    assert "one/slm/0: to be run" in capsys.readouterr().out
    beside = Ledger(path=tmp_path / "t.jsonl")  # the results of a run, whose model is not here
    for run in make_plan(read_suite(str(path)), []):
        (own,) = run.judged
        beside.add(entry(suite="t", data=run.data, method=run.method, config=own.config, digest=own.digest))
        beside.rows_at(own.digest).parent.mkdir(exist_ok=True)
    assert suite.main([str(path), "--dry-run", "--only", "one"]) == 0
    out = capsys.readouterr().out
    assert "one/slm/0: to be run" in out
    assert "in the ledger" not in out

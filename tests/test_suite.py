"""Suites: what a file asks for, what is run and what is skipped, and the table."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from reference import predictions
from reference.processes import fork_runs
from reference.suites import stand_in, write
from unirex import suite
from unirex.disk import lock
from unirex.suites import launch, session, table
from unirex.suites.override import read_override
from unirex.suites.plan import Planned, make_plan
from unirex.suites.recipe import read_suite
from unirex.suites.table import read_costs, write_page


def test_later_settings_win_and_every_run_is_planned(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        seeds=[0, 3],
        data={"one": {"config": "pair.yaml", "set": {"train.lr": 0.1, "train.clip": 2.0, "train.log_every": 5}}},
        set={"train": {"lr": 0.5, "clip": 1.5, "epochs": 7}},
        sweep={"key": "data.gold_share", "values": [0.5, 1.0]},
    )
    plan = make_plan(read_suite(str(path)), [read_override("train.epochs=2"), read_override("a*:train.lr=0.2")])
    names = [f"one@gold_share={share}/{m}/{s}" for share in (0.5, 1.0) for m in ("slm", "aa") for s in (0, 3)]
    assert [run.name for run in plan] == names
    first, last = plan[0].config, plan[-1].config
    assert (first["train"]["lr"], first["train"]["clip"], first["train"]["log_every"]) == (0.1, 2.0, 5)
    assert (first["train"]["epochs"], first["data"]["toy"]["kind"], first["data"]["toy"]["n_train"]) == (2, "pair", 24)
    assert (first["data"]["gold_share"], last["data"]["gold_share"]) == (0.5, 1.0)
    assert (first["model"]["extractor"], last["model"]["extractor"]) == ("shared", "none")
    assert (first["seed"], last["seed"]) == (0, 3)
    assert last["train"]["lr"] == 0.2


def test_a_method_has_the_seeds_of_the_data_set_its_own_or_the_suites(tmp_path: Path) -> None:
    slm = {"set": {"model": {"extractor": "shared"}}, "seeds": [0, 1]}
    data = {"one": {"seeds": {"slm": [0, 2], "aa": [3]}}, "two": {"config": "pair.yaml"}, "six": {"seeds": {"slm": []}}}
    path = write(tmp_path, seeds=[0], data=data, methods={"slm": slm, "aa": "none.yaml"}, ledger="ran.jsonl")
    path.write_text(path.read_text().replace("train.epochs: 1", "train.epochs: 1\n  train.precision: 'no'"))
    made = read_suite(str(path))
    names = ["one/slm/0", "one/slm/2", "one/aa/3", "two/slm/0", "two/slm/1", "two/aa/0", "six/aa/0"]
    assert [run.name for run in make_plan(made, [])] == names
    less = made.with_seeds([0, 2])
    ends = ["two/slm/0", "two/aa/0", "two/aa/2", "six/aa/0", "six/aa/2"]
    assert [run.name for run in make_plan(less, [])] == ["one/slm/0", "one/slm/2", *ends]
    assert suite.main([str(path), "--table-only", "--output", str(tmp_path / "out")]) == 0
    assert "0 of 7 runs done" in (tmp_path / "out" / f"{path.stem}.md").read_text()


def test_a_page_keeps_what_several_write_at_once(tmp_path: Path) -> None:
    made = [replace(read_suite(str(write(tmp_path))), path=Path(f"{name}.yaml")) for name in "abcdef"]
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- suite {one.path.stem} -->\n<!-- end of suite {one.path.stem} -->\n" for one in made))
    with ThreadPoolExecutor(6) as pool:
        for number in range(5):
            list(pool.map(lambda one, n=number: write_page(page, one, f"{one.path} {n}"), made))  # type: ignore[misc]
            assert all(f"\n{one.path} {number}\n" in page.read_text() for one in made)


def test_means_are_of_independent_data_sets(tmp_path: Path) -> None:
    toy = {"one": {"set": {"data.toy.kind": "pair"}}, "two": []}
    assert read_suite(str(write(tmp_path, data=toy))).independent
    for changes in (
        {"data": {"one": {"set": {"data.gold_share": 0.5}}, "two": {"set": {"data.limit": 9}}}},
        {"data": toy, "transfer": {"three": []}},
        {"data": toy, "sweep": {"key": "data.gold_share", "values": [0.5, 1.0]}},
    ):
        assert not read_suite(str(write(tmp_path, **changes))).independent


def test_a_setting_may_have_the_seed_of_the_run(tmp_path: Path) -> None:
    path = write(
        tmp_path, seeds=[0, 3], set={"data.seed": "{seed}", "train.epochs": 1},
        transfer={"far": {"set": {"data.seed": "{seed}", "eval.seed": 7}}},
    )  # fmt: skip
    seeded = read_override('far:eval.seed="{seed}"')
    first, other = make_plan(read_suite(str(path)), [seeded], ["one", "slm"])[:2]
    for run in (first, other):
        far = next(transfer for transfer in run.transfers if transfer.name == "far")
        assert (far.content["data"]["seed"], far.content["eval"]["seed"]) == (run.seed, run.seed)
    assert [(run.config["seed"], run.config["data"]["seed"]) for run in (first, other)] == [(0, 0), (3, 3)]
    assert "--data.seed=3" in other.arguments


@pytest.mark.parametrize(
    ("only", "expected"),
    [(["two"], {"two/slm", "two/aa"}), (["aa"], {"one/aa", "two/aa"}), (["aa", "one"], {"one/aa"})],
)
def test_only_names_data_sets_methods_or_both(only: list[str], expected: set[str], tmp_path: Path) -> None:
    plan = make_plan(read_suite(str(write(tmp_path))), [], only)
    assert {f"{run.data}/{run.method}" for run in plan} == expected


# A stand-in for a run: notes how it was called and does what the file `behaviour` in its folder says.
FAKE = """
import json, os, pathlib, shutil, sys, time
module, *arguments = sys.argv[1:]
if module == "unirex.evaluate":
    import yaml
    folder = pathlib.Path(yaml.safe_load(open(arguments[0].partition("=")[2]))["output"])
else:
    folder = pathlib.Path(next(a for a in arguments if a.startswith("--output=")).partition("=")[2])
here = pathlib.Path(__file__).parent
with open(here / "calls", "a") as calls:
    calls.write(json.dumps([module, str(folder), arguments[-1]]) + "\\n")
behaviour = (folder / "behaviour").read_text() if (folder / "behaviour").exists() else ""
if behaviour == "fail":
    sys.exit("error: the data\\x1b[31m are bad")
if behaviour == "die":
    os._exit(7)
folder.mkdir(parents=True, exist_ok=True)
if module == "unirex.train":
    shutil.copy(here / "configs" / f"{'_'.join(folder.parts[-3:])}.yaml", folder / "config.yaml")
if behaviour == "wait":
    (folder / "waits.new").write_text(str(os.getpid()))
    (folder / "waits.new").rename(folder / "waits")
    for _ in range(600):  # a signal that comes before a sleep begins does not end it
        time.sleep(0.1)
record = {"event": "end", "step_seconds": 6.0, "step_instances": 3, "explain_seconds": 1.0, "explain_instances": 4}
(folder / "log.jsonl").write_text(json.dumps(record) + "\\n")
shutil.copy(here / f"{len(str(folder)) % 2}.parquet", folder / "predictions.parquet")
(folder / "metrics.json").write_text("{}")
"""


class World:
    """A suite whose runs are stand-ins."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.path = write(folder, table={"replicates": 20}, **changes)
        self.plan = make_plan(read_suite(str(self.path)), [])
        (folder / "fake.py").write_text(FAKE)
        (folder / "configs").mkdir()
        for run in self.plan:
            (folder / "configs" / f"{'_'.join(run.folder.parts[-3:])}.yaml").write_text(yaml.safe_dump(run.config))
        for number in (0, 1):
            rows = predictions.rows(7, 20, hows=("attention",))
            for i, row in enumerate(rows):
                row["scores"] = [None if s is None else float((i + number) % 3) for s in row["scores"]]
            pq.write_table(predictions.as_table(rows, hows=("attention",)), folder / f"{number}.parquet")

    def run(self, *arguments: str) -> int:
        return suite.main([str(self.path), *arguments])

    def calls(self) -> list[list[str]]:
        lines = (self.folder / "calls").read_text().splitlines() if (self.folder / "calls").exists() else []
        (self.folder / "calls").unlink(missing_ok=True)
        return [
            [module, Path(folder).relative_to(self.folder / "out").as_posix(), last]
            for module, folder, last in map(json.loads, lines)
        ]

    def set(self, run: Planned, behaviour: str) -> None:
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / "behaviour").write_text(behaviour)


@pytest.fixture
def plotted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stand_in(monkeypatch, tmp_path / "fake.py")
    return tmp_path


@pytest.fixture
def fake(plotted: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Without plots, which take as long as all else and are drawn anew after every run."""
    monkeypatch.setattr(table, "draw", lambda *_: [])
    return plotted


def rows_of(world: World) -> list[dict[str, str]]:
    return list(csv.DictReader((world.folder / "out" / "table.csv").read_text().splitlines()))


def test_done_runs_are_skipped_and_a_new_setting_is_refused(fake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(fake)
    assert world.run() == 0
    assert [call[1] for call in world.calls()] == ["runs/one/slm/0", "runs/one/aa/0", "runs/two/slm/0", "runs/two/aa/0"]
    assert world.run() == 0
    assert world.calls() == []
    assert capsys.readouterr().out.count(": skipped") == 4
    assert world.run("--set", "train.epochs=5") == 2
    assert "(train.epochs is 1 there, 5 here), expected another --output" in capsys.readouterr().err
    assert world.calls() == []
    world.plan[0].folder.joinpath("metrics.json").write_text("{")
    assert world.run() == 0
    assert world.calls() == [["unirex.train", "runs/one/slm/0", "--overwrite=true"]]
    world.plan[1].folder.joinpath("metrics.json").unlink()
    (world.plan[1].folder / "checkpoints" / "step-00000001").mkdir(parents=True)
    assert world.run() == 0
    assert world.calls() == [["unirex.train", "runs/one/aa/0", "--resume=true"]]
    world.plan[2].folder.joinpath("metrics.json").unlink()
    (world.plan[2].folder / "stages" / "support" / "checkpoints" / "step-00000001").mkdir(parents=True)
    assert world.run() == 0
    assert world.calls() == [["unirex.train", "runs/two/slm/0", "--resume=true"]]


def test_a_start_that_left_nothing_takes_no_place_and_damaged_rows_are_made_again(fake: Path) -> None:
    world = World(fake)
    begun = world.plan[0].folder
    begun.mkdir(parents=True)
    (begun / "config.yaml").write_text(yaml.safe_dump({**world.plan[0].config, "seed": 9}))
    assert world.run() == 0
    assert len(world.calls()) == 4
    rows = begun / "predictions.parquet"
    rows.write_bytes(rows.read_bytes()[:-9])
    assert world.run("--table-only") == 0
    assert "- one/slm/0: not finished" in (world.folder / "out" / "table.md").read_text()
    assert world.run() == 0
    assert [call[1] for call in world.calls()] == ["runs/one/slm/0"]


def test_a_failed_run_is_reported_and_the_others_go_on(fake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(fake)
    world.set(world.plan[1], "fail")
    assert world.run("--jobs", "2") == 1
    out, err = capsys.readouterr()
    assert len(world.calls()) == 4
    assert "failed: one/aa/0: exit code 1: error: the data\\u001b[31m are bad" in err
    assert "[4/4]" in out
    assert {(r["data"], r["method"]) for r in rows_of(world)} >= {("one", "slm"), ("two", "slm"), ("two", "aa")}
    assert ("one", "aa") not in {(r["data"], r["method"]) for r in rows_of(world)}
    assert "- one/aa/0: failed: exit code 1" in (world.folder / "out" / "table.md").read_text()
    states = {
        f"{e['data']}/{e['method']}": e["state"] for e in json.loads((world.folder / "out/runs.json").read_text())
    }
    assert states == {"one/slm": "done", "one/aa": "failed", "two/slm": "done", "two/aa": "done"}
    world.set(world.plan[1], "die")  # the log has the error of the first attempt, which is not this one's
    assert world.run() == 1
    assert "failed: one/aa/0: exit code 7: no output" in capsys.readouterr().err
    world.set(world.plan[1], "")
    assert world.run() == 0
    assert [call[1] for call in world.calls()] == ["runs/one/aa/0"] * 2


def test_the_table_has_what_other_commands_ran(fake: Path) -> None:
    world = World(fake)
    assert world.run() == 0
    rows, states = rows_of(world), json.loads((world.folder / "out/runs.json").read_text())
    assert len(states) == 4
    for part in (["--only", "one", "slm"], ["--shard", "2/3"], ["--shard", "9/9"]):
        assert world.run(*part) == 0
        assert rows_of(world) == rows
        assert json.loads((world.folder / "out/runs.json").read_text()) == states
    shutil.rmtree(world.plan[0].folder)
    assert world.run("--only", "two", "--table-only") == 0
    assert "- one/slm/0: not finished" in (world.folder / "out" / "table.md").read_text()


def test_a_run_that_ends_without_metrics_failed(fake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(fake)
    for file in (fake / "configs").iterdir():
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "seed": 9}))
    assert world.run("--only", "one", "slm") == 1
    assert "ended without the metrics of this configuration" in capsys.readouterr().err


def test_models_are_judged_on_other_data_past_failures(fake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    far = {"far": {"set": {"data.other_labels": "missing"}}, "two": "pair.yaml"}
    world = World(fake, transfer=far)
    broken = world.plan[0].folder / "transfer" / "far"
    broken.mkdir(parents=True)
    (broken / "behaviour").write_text("fail")
    assert world.run() == 1
    assert "failed: one/slm/0: far: exit code 1" in capsys.readouterr().err
    assert [call[1] for call in world.calls() if "one/slm" in call[1]] == [
        "runs/one/slm/0", "runs/one/slm/0/transfer/far", "runs/one/slm/0/transfer/two"
    ]  # fmt: skip
    content = yaml.safe_load((broken / "evaluate.yaml").read_text())
    assert content["model"] == str(world.plan[0].folder / "model")
    assert content["data"]["other_labels"] == "missing"
    found = {r["data"] for r in rows_of(world)}
    assert {"one", "two", "one to far", "one to two", "two to far"} <= found
    assert "two to two" not in found
    (broken / "behaviour").unlink()
    assert world.run() == 0
    assert [call[1] for call in world.calls()] == ["runs/one/slm/0/transfer/far"]


def test_ctrl_c_stops_running_runs_and_starts_no_other(fake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(fake)
    world.set(world.plan[0], "wait")

    def press() -> None:
        wait_for(world.plan[0].folder / "waits")
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    started = time.monotonic()
    assert world.run() == 130
    presser.join()
    assert time.monotonic() - started < 50
    out, err = capsys.readouterr()
    assert "one/slm/0: stopped" in out
    assert "the same command continues from there" in err
    assert len(world.calls()) == 1
    world.set(world.plan[0], "")
    assert world.run() == 0
    assert len(world.calls()) == 4


def test_the_table_names_costs_controls_and_the_sweep(plotted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(
        plotted,
        data={"one": []},
        sweep={"key": "data.gold_share", "values": [0.01, 1.0]},
        methods={"slm": [], "aa": {"config": "none.yaml", "control": True}},
    )
    assert world.run() == 0
    rows = rows_of(world)
    assert [r["data"] for r in rows[:4]] == ["one@gold_share=0.01"] * 2 + ["one@gold_share=1.0"] * 2
    assert {r["method"]: r["control"] for r in rows} == {"slm": "false", "aa": "true"}
    assert {(r["train_seconds"], r["explain_seconds"]) for r in rows[:4]} == {("2.0", "0.25")}
    for row in rows[:4]:
        assert float(row["auprc_low"]) <= float(row["auprc"]) <= float(row["auprc_high"])
    out = plotted / "out"
    assert {p.name for p in out.glob("table.*")} == {f"table.{k}" for k in ("md", "csv", "json", "tex", "png", "svg")}
    assert "gold_share" in (out / "table.svg").read_text()
    page = plotted / "page.md"
    page.write_text("before\n<!-- suite s -->\nstale\n<!-- end of suite s -->\nafter\n")
    for _ in range(2):
        assert world.run("--table_only", "--page", str(page)) == 0
        text = page.read_text()
        assert text.startswith("before\n<!-- suite s -->\n\n**one")
        assert text.endswith("<!-- end of suite s -->\nafter\n")
        assert "stale" not in text
        assert text.count("train_seconds |") == 2
    page.write_text("no marks")
    capsys.readouterr()
    assert world.run("--table-only", "--page", str(page)) == 2
    assert "expected one line <!-- suite s -->" in capsys.readouterr().err


def test_controls_stand_below_the_methods(plotted: Path) -> None:
    methods = {"aa": {"config": "none.yaml", "control": True}, "slm": []}
    world = World(plotted, methods=methods)
    assert world.run() == 0
    assert [r["method"] for r in rows_of(world)[:2]] == ["slm", "aa"]
    drawn = (plotted / "out" / "table.svg").read_text()
    assert all(f">{name}<" in drawn for name in ("one", "two", "slm"))


def test_costs_come_from_the_last_line_of_the_log(tmp_path: Path) -> None:
    assert read_costs(tmp_path) == {}
    (tmp_path / "cost.json").write_text('{"explain_seconds": 3, "explain_instances": 6}')
    assert read_costs(tmp_path) == {"explain_seconds": 0.5}
    end = {"event": "end", "step_seconds": 9, "step_instances": 3, "explain_seconds": 1, "explain_instances": 0}
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n' + json.dumps(end) + "\n")
    assert read_costs(tmp_path) == {"train_seconds": 3.0}
    stage = {"event": "stage", "stage": "support", "step_seconds": 8, "step_instances": 2}
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in (stage, stage, end)))
    assert read_costs(tmp_path) == {"train_seconds": 7.0}


SUITE = """
import sys
from unirex import suite
from unirex.suites.launch import Launcher
Launcher._command = lambda self, module, own: [sys.executable, sys.argv[1], module, *own]
sys.exit(suite.main(sys.argv[2:]))
"""


def wait_for(path: Path, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()


def test_what_a_killed_suite_left_behind_is_waited_for(
    fake: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(fake)
    world.set(world.plan[0], "wait")
    first = subprocess.Popen([sys.executable, "-c", SUITE, str(fake / "fake.py"), str(world.path)])
    wait_for(world.plan[0].folder / "waits")
    first.kill()
    first.wait()
    world.set(world.plan[0], "")
    orphan = int((world.plan[0].folder / "waits").read_text())
    say, killed = launch.say, []

    def kill() -> None:
        os.kill(orphan, signal.SIGKILL)
        killed.append(orphan)

    def say_and_kill(text: str, **how: Any) -> None:
        say(text, **how)
        if "waiting for another" in text:
            threading.Timer(0.2, kill).start()

    monkeypatch.setattr(launch, "say", say_and_kill)
    assert world.run("--only", "one", "slm") == 0
    assert killed == [orphan]  # and not before
    assert "one/slm/0: waiting for another process that writes it" in capsys.readouterr().out
    assert [call[2] for call in world.calls()] == ["--overwrite=true"] * 2


def test_what_another_process_writes_comes_last(
    fake: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(fake)
    first, second, *_ = world.plan
    assert world.run("--only", "one", "aa") == 0
    world.calls()
    say, held = launch.say, []
    for run in (first, second):  # one of them is finished, and asks for nothing
        run.folder.mkdir(parents=True, exist_ok=True)
        held.append(lock.take(run.folder / ".lock"))

    def say_and_free(text: str, **how: Any) -> None:
        say(text, **how)
        if text.startswith("[3/4]"):
            os.close(held[0] or 0)

    monkeypatch.setattr(session, "say", say_and_free)
    assert world.run() == 0
    os.close(held[1] or 0)
    assert [call[1] for call in world.calls()] == ["runs/two/slm/0", "runs/two/aa/0", "runs/one/slm/0"]
    said = [line for line in capsys.readouterr().out.splitlines() if "/0: " in line]
    assert said.count("one/slm/0: waiting for another process that writes it") == 1
    assert [line.split(":")[0] for line in said[-4:]] == [
        "[1/4] one/aa/0", "[2/4] two/slm/0", "[3/4] two/aa/0", "[4/4] one/slm/0",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_run_is_reported_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fork_runs(monkeypatch)
    settings = {"train.epochs": 6, "train.log_every": 1, "train.batch_size": 8, "train.patience": None}
    few = {"data.other_labels": "missing", "data.toy.n_train": 8, "data.toy.n_val": 8, "data.toy.n_test": 8}
    far = {"far": {"config": "pair.yaml", "set": few}}
    path = write(tmp_path, data={"one": []}, methods={"slm": []}, set=settings, transfer=far)
    folder = tmp_path / "out" / "runs" / "one" / "slm" / "0"

    def kill() -> None:
        while not list(folder.glob("checkpoints/step-*/manifest.json")) and not ended.is_set():
            time.sleep(0.01)
        os.kill(int((folder / ".train.lock").read_text().split()[1]), signal.SIGKILL)

    killer, ended = threading.Thread(target=kill), threading.Event()
    killer.start()
    assert suite.main([str(path)]) == 1
    ended.set()
    killer.join()
    assert "failed: one/slm/0: exit code -9" in capsys.readouterr().err
    assert suite.main([str(path)]) == 0
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log if "loss" in entry] == list(range(1, 19))
    assert "--resume=true" in (folder / "output.log").read_text()
    assert log[-1]["step_instances"] == 6 * 24
    assert log[-1]["step_seconds"] > 0.5 * sum(entry["seconds"] for entry in log if "loss" in entry)
    lines = (tmp_path / "out" / "table.csv").read_text().splitlines()
    rows = {row["data"]: row for row in csv.DictReader(lines) if row["method"] == "slm"}
    assert float(rows["one"]["train_seconds"]) > 0
    assert float(rows["one to far"]["explain_seconds"]) > 0
    assert (rows["one"]["task"] != "", rows["one to far"]["task"]) == (True, "")

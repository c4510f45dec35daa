"""The ledger: what is done is not run again, anywhere; shared models; shares of a plan; the table without torch."""

import errno
import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from reference import predictions
from reference.suites import stand_in
from unirex import suite, train
from unirex.config.identity import determining, digest, trained_alike, training_part
from unirex.config.run import parse, to_yaml
from unirex.disk.made import weights_digest
from unirex.metrics import score
from unirex.suites import record
from unirex.suites.launch import groups
from unirex.suites.ledger import Entry, Ledger, newest, one_model
from unirex.suites.plan import completed_digest, make_plan
from unirex.suites.recipe import read_suite
from unirex.suites.session import share


def entry(**changes: Any) -> Entry:
    config = changes.pop("config", {"seed": 0, "train": {"lr": 0.1}})
    known: dict[str, Any] = {
        "suite": "s", "data": "one", "method": "slm", "seed": 0, "split": "test", "digest": digest(config),
        "config": config, "rows": 3, "metrics": {"auprc": [0.5, 0]}, "references": {}, "cost": {"columns": {}},
        "trained": "x", "commit": None, "date": "2026-01-01",
    }  # fmt: skip
    return Entry(**known | changes)


def test_entries_come_back_and_the_first_of_a_name_and_digest_counts(tmp_path: Path) -> None:
    ledger = Ledger(path=tmp_path / "results" / "s.jsonl")
    assert ledger.entries() == []
    assert ledger.add(entry())
    assert not ledger.add(entry(date="2027-01-01"))
    assert ledger.add(entry(config={"seed": 0, "train": {"lr": 0.2}}))
    assert [e.date for e in ledger.entries()] == ["2026-01-01"] * 2
    assert newest(ledger.entries(), "s")["one", "slm", 0].config["train"]["lr"] == 0.2
    assert newest(ledger.entries(), "other") == {}
    with ledger.path.open("a") as file:  # as a merge of two clones leaves it
        file.write(ledger.path.read_text())
    assert len(ledger.entries()) == 2


def test_a_line_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(path=tmp_path / "s.jsonl")
    monkeypatch.setattr("unirex.suites.ledger.read_json", lambda line: read.append(line) or json.loads(line))
    read: list[bytes] = []
    for seed in range(3):  # a suite of many runs asks before each
        ledger.add(entry(seed=seed, config={"seed": seed}))
        assert (len(ledger.entries()), len(ledger.entries()), len(set(read))) == (seed + 1, seed + 1, len(read))


def test_a_cut_off_last_line_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(path=tmp_path / "s.jsonl")
    ledger.add(entry())
    whole = ledger.path.read_text()
    ledger.path.write_text(whole + whole[:40])
    for _ in range(2):
        assert len(ledger.entries()) == 1
    assert capsys.readouterr().out == f"{ledger.path}: line 2 is cut off, and left out\n"
    ledger.add(entry(seed=1))
    assert [json.loads(line)["seed"] for line in ledger.path.read_text().splitlines()] == [0, 1]


def test_a_file_system_without_locks_keeps_a_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", refuse)
    ledger = Ledger(path=tmp_path / "s.jsonl")
    assert ledger.add(entry())
    assert len(ledger.entries()) == 1


def test_the_cost_of_a_run_stands_before_warnings_about_its_result(tmp_path: Path) -> None:
    events = [{"event": "step"}, {"event": "end", "train_seconds": 3.0, "judge_seconds": 6.0}, {"event": "warning"}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    cost = record._cost(tmp_path, 2)
    assert (cost["train_seconds"], cost["judge_seconds"]) == (3.0, 3.0)


def test_a_line_that_is_no_entry_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(path=tmp_path / "s.jsonl")
    ledger.add(entry())
    line = json.loads(ledger.path.read_text())
    ledger.path.write_text(json.dumps({**line, "config": {"seed": 1}}) + "\n")
    with pytest.raises(ValueError, match=r"s.jsonl: line 1: digest is .* expected that of its config"):
        ledger.entries()
    del line["rows"]
    ledger.path.write_text(json.dumps(line) + "\n")
    with pytest.raises(ValueError, match=r"line 1: not an entry of a ledger .*'rows'"):
        ledger.entries()


def settings(*arguments: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(to_yaml(parse(arguments, prog="x", description="")))
    return content


def test_a_digest_holds_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for root in ("/a", "/b/c/"):
        monkeypatch.setenv("UNIREX_DATA", root)
        where = f"--data.path={root.rstrip('/')}/sst"
        more = ["--output=runs/x", "--train.log_every=3"] if root == "/a" else ["--data.cache=/tmp/cache"]
        config = determining(settings("--data.source=eraser", where, *more))
        assert config["data"]["path"] == "$UNIREX_DATA/sst"
        found.add(digest(config))
    assert len(found) == 1
    assert digest(determining(settings("--train.lr=0.5"))) != digest(determining(settings()))


def test_an_entry_from_before_a_setting_came_is_of_its_default() -> None:
    now = determining(settings("--train.lr=0.5"))
    before = {**now, "train": {k: v for k, v in now["train"].items() if k != "clip"}}
    assert digest(before) != digest(now)
    assert completed_digest(before) == completed_digest(now) == digest(now)
    assert completed_digest({**before, "train": {**before["train"], "clip": 3.0}}) != digest(now)


def test_entries_of_one_model_are_known_whenever_they_were_made_and_whatever_it_was_judged_on() -> None:
    common = ["--model.extractor=shared", "--train.best_metric=headline", "--seed=1"]
    now, led, other, masked = (
        determining(settings(*common, *more))
        for more in (
            ["--method.gradient_weight=0"],
            ["--method.gradient_weight=0.1"],
            ["--seed=2"],
            ["--data.masked=x", "--data.masked_share=0.2"],
        )
    )
    before = {**now, "data": {k: v for k, v in now["data"].items() if not k.startswith("masked")}}
    far = {**led, "transfer": {"data": now["data"], "eval": now["eval"]}}
    on_it = {**now, "grid": {"scores": other, "eval": now["eval"]}}
    assert all(trained_alike(one, now) and trained_alike(now, one) for one in (before, led, far, on_it))
    assert not any(trained_alike(one, before) for one in (other, masked, {**far, "seed": 2}))
    by_scores = [{**one, "train": {**one["train"], "best_metric": "composite"}} for one in (now, led)]
    assert not trained_alike(*by_scores)


def test_entries_are_of_one_model_by_its_weights_and_without_them_by_the_settings() -> None:
    one, other = (entry(config=determining(settings("--model.extractor=shared", f"--seed={n}"))) for n in (0, 1))
    assert one_model(one, one)
    assert not one_model(one, other)
    assert one_model(replace(one, weights="a"), replace(other, weights="a"))
    for first, second in (("a", "a"), ("a", "b"), (None, "a"), ("a", None)):
        assert one_model(replace(one, weights=first), replace(one, weights=second)) is (first == second)


def test_a_setting_that_a_preset_has_since_was_off_before() -> None:
    now, off = (determining(settings(*more)) for more in ([], ["--method.gradient_weight=0"]))
    before = {**now, "method": {k: v for k, v in now["method"].items() if k != "gradient_weight"}}
    assert now["method"]["gradient_weight"] > 0
    assert completed_digest(before) == digest(off) != digest(now)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (["--method.attribution=grad"], ["--method.attribution=ig", "--method.attribution_settings.ig_steps=9"], True),
        (["--method.attribution=grad"], ["--method.attribution=grad", "--eval.how=[attention,delete]"], True),
        (["--method.attribution=grad"], ["--method.attribution=grad", "--seed=1"], False),
        (["--method.attribution=grad"], ["--method.attribution=grad", "--train.lr=0.1"], False),
        (["--method.attribution=grad"], ["--method.attribution=grad", "--eval.max_tokens=100"], False),
        # The best epoch is chosen by the scores, or they are trained: they count.
        (["--train.best_metric=composite"], ["--train.best_metric=composite", "--method.attribution=ig"], False),
        (["--train.best_metric=composite"], ["--train.best_metric=composite", "--eval.split=val"], True),
        # Where the method has no share of its own, it is trained with that of the evaluation.
        (
            ["--model.extractor=null", "--method.name=fresh"],
            ["--model.extractor=null", "--method.name=fresh", "--eval.rationale_fraction=0.5"],
            False,
        ),
        # What leads an extractor's scores is not trained.
        (["--model.extractor=shared"], ["--model.extractor=shared", "--method.gradient_weight=0"], True),
        (
            ["--model.extractor=shared", "--train.best_metric=composite"],
            ["--model.extractor=shared", "--train.best_metric=composite", "--method.gradient_weight=0"],
            False,
        ),
        (
            ["--model.extractor=attribution", "--method.attribution=grad"],
            ["--model.extractor=attribution", "--method.attribution=input_x_grad"],
            False,
        ),
    ],
)
def test_runs_are_trained_alike(one: list[str], other: list[str], *, same: bool) -> None:
    parts = [
        training_part(settings("--model.extractor=none", "--train.best_metric=headline", *arguments))
        for arguments in (one, other)
    ]
    assert (parts[0] == parts[1]) is same


FAKE = """
import json, pathlib, shutil, sys
module, *arguments = sys.argv[1:]
named = dict(a[2:].split("=", 1) for a in arguments)
folder, here = pathlib.Path(named["output"]), pathlib.Path(__file__).parent
with open(here / "calls", "a") as calls:
    trained = named.get("trained", "")
    calls.write(f"{'/'.join(folder.parts[-3:])} {'/'.join(pathlib.Path(trained).parts[-3:])}".strip() + "\\n")
shutil.copy(here / "configs" / f"{'_'.join(folder.parts[-3:])}.yaml", folder / "config.yaml")
(folder / "model").mkdir(exist_ok=True)
(folder / "model" / "model.safetensors").write_text(named.get("trained", str(folder)))
end = {"event": "end", "train_seconds": 60.0, "judge_seconds": 30.0, "step_seconds": 6.0, "step_instances": 3,
    "explain_seconds": 1.0, "explain_instances": 4, "threads": 1}
(folder / "log.jsonl").write_text(json.dumps(end) + "\\n")
for name in ("predictions", "reference/random"):
    (folder / name).parent.mkdir(exist_ok=True)
    shutil.copy(here / f"{named['seed']}.parquet", folder / f"{name}.parquet")
shutil.copy(here / "metrics.json", folder / "metrics.json")
"""


class World:
    """A suite with a ledger whose runs are stand-ins: two task models explained twice, and an extractor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        none = {"model.extractor": "none", "train.best_metric": "headline"}
        content = {
            "output": str(folder / "out"),
            "ledger": "results/s.jsonl",
            "data": {"one": [], "two": {"set": {"data.toy.kind": "pair"}}},
            "methods": {
                "grad": {"set": {**none, "method.attribution": "grad"}},
                "ig": {"set": {**none, "method.attribution": "ig"}},
                "slm": {"set": {"model.extractor": "shared"}, "seeds": [0, 1]},
            },
            "set": {"train.precision": "no"},
            "references": "slm",
            "table": {"replicates": 20, "against": "slm"},
        }
        self.path = folder / "s.yaml"
        self.path.write_text(yaml.safe_dump(content, sort_keys=False))
        self.suite = read_suite(str(self.path))
        self.plan = make_plan(self.suite, [])
        (folder / "fake.py").write_text(FAKE)
        (folder / "configs").mkdir()
        for run in self.plan:
            (folder / "configs" / f"{'_'.join(run.folder.parts[-3:])}.yaml").write_text(yaml.safe_dump(run.config))
        for seed in (0, 1):
            rows = predictions.rows(7, 20, hows=("attention",))
            for i, row in enumerate(rows):
                row["scores"] = [None if s is None else float((i + seed) % 3) for s in row["scores"]]
            pq.write_table(predictions.as_table(rows, hows=("attention",)), folder / f"{seed}.parquet")
        systems = [own := score(str(folder / "0.parquet")).as_dict(), {**own, "about": {"scores_from": "random"}}]
        (folder / "metrics.json").write_text(json.dumps({"systems": systems}))

    def run(self, *arguments: str) -> int:
        return suite.main([str(self.path), *arguments])

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    @property
    def ledger(self) -> Ledger:
        assert self.suite.ledger is not None
        return Ledger(path=self.suite.ledger)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    stand_in(monkeypatch, tmp_path / "fake.py")
    return World(tmp_path)


def test_what_is_in_the_ledger_is_not_run_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("--only", "one") == 0
    assert world.calls() == ["one/grad/0", "one/ig/0 one/grad/0", "one/slm/0", "one/slm/1"]
    assert "4 of 8 runs done" in capsys.readouterr().out
    entries = world.ledger.entries()
    for found in entries:
        assert found.digest == digest(found.config)
        assert found.cost["columns"] == {"train_seconds": 2.0, "explain_seconds": 0.25, "run_minutes": 1.5}
        assert len(json.dumps(found.__dict__)) < 8000
    assert entries[0].trained == entries[1].trained != entries[2].trained
    assert entries[0].weights == entries[1].weights != entries[2].weights
    assert None not in {found.weights for found in entries}
    # Another machine has the ledger alone.
    assert world.run("--output", str(world.folder / "elsewhere")) == 0
    assert [call.split()[0] for call in world.calls()] == ["two/grad/0", "two/ig/0", "two/slm/0", "two/slm/1"]
    assert len(world.ledger.entries()) == 8
    # A finished run that a kill kept from the ledger is added, not run again.
    kept = world.ledger.path.read_text().splitlines(keepends=True)
    world.ledger.path.write_text("".join(kept[1:]))
    assert world.run() == 0
    assert world.calls() == []
    assert len(world.ledger.entries()) == 8
    # A new setting is another run, which does not take the place of the first by itself.
    capsys.readouterr()
    again = ["--only", "one", "slm", "--seeds", "1", "--set", "train.lr=0.1"]
    assert world.run(*again) == 2
    error = capsys.readouterr().err
    assert f"{world.ledger.path} has a result of other settings for one/slm/1 (train.lr is " in error
    assert "there, 0.1 here), expected the same, another suite, or --overwrite true" in error
    assert world.run(*again, "--dry-run") == 2
    assert "one/slm/1: refused: " in capsys.readouterr().out
    assert world.run(*again, "--overwrite", "true") == 1
    assert world.calls() == ["one/slm/1"]


def test_a_model_is_taken_from_a_run_that_the_command_leaves_out(world: World) -> None:
    content = yaml.safe_load(world.path.read_text())
    content["methods"]["wrong"] = {"set": {"train.lr": "fast"}}  # no reason to refuse the others
    world.path.write_text(yaml.safe_dump(content, sort_keys=False))
    for method in ("grad", "ig"):
        assert world.run("--only", "one", method) == 0
    assert world.calls() == ["one/grad/0", "one/ig/0 one/grad/0"]
    assert world.run("--only", "one", "wrong") == 2


def test_the_same_run_under_another_name_is_not_run_again(world: World) -> None:
    assert world.run("--only", "one", "--only", "slm", "--seeds", "0") == 0
    world.calls()
    world.path.write_text(world.path.read_text().replace("slm", "extractor"))
    assert world.run("--only", "one", "extractor", "--seeds", "0") == 0
    assert world.calls() == []
    assert [e.method for e in world.ledger.entries()] == ["slm", "extractor"]


def test_what_a_ledger_beside_it_has_is_not_run_again(world: World) -> None:
    """Else the row values of the second run, which may differ, would take the place of those of the first."""
    assert world.run("--only", "one", "slm", "--seeds", "0") == 0
    world.calls()
    (entry,) = world.ledger.entries()
    rows = world.ledger.rows(entry).read_bytes()
    world.ledger.path.with_name("notes.jsonl").write_text("{}\n")  # no ledger
    world.path.with_name("other.yaml").write_text(world.path.read_text().replace("slm", "extractor"))
    world.path = world.path.with_name("other.yaml")
    again = ["--only", "one", "extractor", "--seeds", "0", "--output", str(world.folder / "elsewhere")]
    content = yaml.safe_load(world.path.read_text())
    other = world.ledger.path.with_name("other.jsonl")
    world.path.write_text(yaml.safe_dump({**content, "ledger": str(other)}, sort_keys=False))
    assert world.run(*again) == 0
    assert world.calls() == []
    (adopted,) = Ledger(path=other).entries()
    assert (adopted.suite, adopted.method, adopted.digest) == ("other", "extractor", entry.digest)
    assert adopted.metrics == entry.metrics
    assert world.ledger.rows(entry).read_bytes() == rows
    # Of another convention its row values are not those that this suite would take, which is refused.
    other.unlink()
    content["table"] = {**content.get("table", {}), "convention": "paper"}
    world.path.write_text(yaml.safe_dump({**content, "ledger": str(other)}, sort_keys=False))
    assert world.run(*again) == 2
    assert world.calls() == []
    assert world.ledger.rows(entry).read_bytes() == rows


def test_a_dry_run_writes_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("--only", "one", "slm", "--seeds", "0") == 0
    world.path.write_text(world.path.read_text().replace("slm", "extractor"))
    before = world.ledger.path.read_text()
    assert world.run("--only", "one", "extractor", "--seeds", "0", "--dry-run") == 0
    assert "one/extractor/0: in the ledger" in capsys.readouterr().out
    assert world.ledger.path.read_text() == before


def test_shares_cover_the_plan_and_keep_models_together(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert [len(group) for group in groups(world.plan)] == [2, 1, 1, 2, 1, 1]
    parts = [share(world.plan, f"{i}/3") for i in (1, 2, 3)]
    assert sorted(run.name for part in parts for run in part) == sorted(run.name for run in world.plan)
    assert {run.name for run in parts[0]} == {"one/grad/0", "one/ig/0", "two/grad/0", "two/ig/0"}
    for number in ("1", "2"):
        assert world.run("--shard", f"{number}/2") == 0
    assert len(world.calls()) == len(world.ledger.entries()) == 8
    for wrong in ("0/2", "3/2", "2", "a/b"):
        assert world.run("--shard", wrong) == 2
        assert f"--shard is '{wrong}', expected I/N" in capsys.readouterr().err


WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "accelerate", "datasets"):
    sys.modules[name] = None
from unirex import suite
sys.exit(suite.main(sys.argv[1:]))
"""


def test_the_table_needs_the_ledger_alone(world: World) -> None:
    page = world.folder / "page.md"
    page.write_text("a\n<!-- suite s -->\n<!-- end of suite s -->\nb\n")

    def show() -> str:
        arguments = [str(world.path), "--table-only", "--page", str(page), "--output", str(world.folder / "table")]
        subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *arguments], check=True)
        return page.read_text()

    assert "\n0 of 8 runs done; — = no run. None of one, two.\n" in show()
    assert world.run("--only", "one", "slm", "grad") == 0
    text = show()
    assert text.startswith("a\n<!-- suite s -->\n\n3 of 8 runs done; — = no run. None of two.")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert len({len(row) for row in rows[:6]}) == 1
    by_name = {row[0]: row for row in reversed(rows)}
    assert (by_name["slm"][1], by_name["grad"][1], by_name["ig"][1]) == ("2", "1", "0 of 1")
    assert by_name["ig"][2:] == ["—"] * (len(by_name["ig"]) - 2)
    assert by_name["slm"][-3:] == ["2", "0.25", "1.5"]
    assert by_name["random (control)"][0]
    assert "**one: slm minus the method of the row**" in text
    apart = [row for row in rows if row[0] == "grad"][-1]
    assert apart[:2] == ["grad", "1"]
    assert all(
        re.fullmatch(r"\+0\.000 \[-0\.\d+, \+0\.\d+\]( \(\d+\))?", cell) for cell in apart[2:-1]
    )  # the same predictions, seed 0
    assert apart[-1] == "—"  # all composites are .5 and have no interval
    assert text == show()


def test_a_lost_file_of_row_values_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("--only", "one", "slm") == 0
    lost = world.ledger.rows(world.ledger.entries()[0])
    lost.unlink()
    assert world.run("--table-only") == 2
    assert f"{lost}: no such file, expected the row values of s/one/slm/0" in capsys.readouterr().err


def small(output: Path, attribution: str, *more: str) -> list[str]:
    sizes = [f"--data.toy.n_{split}=24" for split in ("train", "val", "test")]
    model = ["--model.extractor=none", "--model.random.hidden_size=32", "--model.random.num_hidden_layers=1"]
    rest = [
        "--train.epochs=2",
        "--train.lr=0.01",
        "--train.best_metric=headline",
        "--eval.references=[random]",
        f"--output={output}",
    ]
    return [*sizes, *model, *rest, f"--method.attribution={attribution}", *more]


@pytest.mark.slow
def test_a_shared_model_gives_the_numbers_of_one_trained_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(small(tmp_path / "grad", "grad")) == 0
    for attribution in ("deeplift", "gradient_shap"):
        alone, shared = tmp_path / f"{attribution}-alone", tmp_path / attribution
        assert train.main(small(alone, attribution)) == 0
        assert train.main(small(shared, attribution, f"--trained={tmp_path / 'grad'}")) == 0
        tables = [pq.read_table(folder / "predictions.parquet").drop_columns("model") for folder in (alone, shared)]
        assert tables[0].equals(tables[1])
        weights = {weights_digest(folder / "model") for folder in (alone, shared, tmp_path / "grad")}
        assert len(weights) == 1
        assert weights != {None}
        log = [json.loads(line) for line in (shared / "log.jsonl").read_text().splitlines()]
        log = [entry for entry in log if entry["event"] != "warning"]  # a small split may answer one class
        own = [json.loads(line) for line in (tmp_path / "grad" / "log.jsonl").read_text().splitlines()]
        own = [entry for entry in own if entry.get("event") == "end"]
        assert [e["event"] for e in log] == ["end"]
        assert {k: log[0][k] for k in ("step", "step_seconds", "train_seconds")} == {
            k: own[-1][k] for k in ("step", "step_seconds", "train_seconds")
        }
    capsys.readouterr()
    assert train.main(small(tmp_path / "x", "ig", f"--trained={tmp_path / 'grad'}", "--train.lr=0.02")) == 2
    assert "its train settings differ, expected a run with the same" in capsys.readouterr().err


def test_of_a_run_with_several_settings_the_latest_counts_wherever_it_stands(tmp_path: Path) -> None:
    old, new = entry(), replace(entry(), digest="x", date="2026-01-02")
    for order in ([old, new], [new, old]):
        assert newest(order, "s")["one", "slm", 0] is new
    ledger = Ledger(path=tmp_path / "s.jsonl")
    config = {**old.config, "another": 1}
    for one in (old, replace(old, config=config, digest=digest(config), date="2026-01-02")):
        assert ledger.add(one)
        assert not ledger.add(one)
    assert ledger.add(replace(old, date="2026-01-03")), "it no longer counted"
    assert [one.date for one in ledger.entries()] == ["2026-01-03", "2026-01-02"]
    assert newest(ledger.entries(), "s")["one", "slm", 0].digest == old.digest


def test_an_entry_of_another_suite_does_not_count() -> None:
    found = newest([entry(), replace(entry(), suite="t", date="later")], "s")
    assert found["one", "slm", 0].date == "2026-01-01"


def test_of_equal_settings_the_latest_line_counts_wherever_it_stands(tmp_path: Path) -> None:
    old, new = entry(), replace(entry(), date="2026-01-02")
    for number, order in enumerate(([old, new], [new, old])):
        ledger = Ledger(path=tmp_path / f"{number}.jsonl")
        ledger.path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in order))
        assert [one.date for one in ledger.entries()] == ["2026-01-02"]

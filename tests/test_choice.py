"""A sweep decides for the suite that follows it: on dev, by the highest CNRG between the ends of all trials."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from reference import predictions
from unirex import suite
from unirex.config.identity import digest
from unirex.metrics import Resampling, row_values, score
from unirex.suites.choice import read_choice
from unirex.suites.launch import _trained
from unirex.suites.ledger import Entry, Ledger
from unirex.suites.plan import make_plan
from unirex.suites.recipe import read_suite

ROOT = Path(__file__).parents[1]
RATES = (1.0e-4, 3.0e-4)
METHODS = ("a", "b", "c", "d")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A suite of trials, dev.yaml, and the one that follows it, test.yaml."""
    toy = str(ROOT / "recipes" / "data" / "toy.yaml")
    common: dict[str, Any] = {
        "base": str(ROOT / "recipes" / "backbones" / "tiny.yaml"),
        "data": {"one": toy, "two": toy},
        "methods": {name: {"set": {"method.name": "joint"}} for name in METHODS},
    }
    common["set"] = {"train.precision": "no"}
    trials = {**common, "ledger": "dev.jsonl", "sweep": {"key": "train.lr", "values": list(RATES)}}
    (tmp_path / "dev.yaml").write_text(yaml.safe_dump(trials))
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({**common, "chosen": "chosen.json"}))
    return tmp_path


def judged(seed: int) -> list[dict[str, Any]]:
    """What a model of this seed made of the same 60 instances."""
    rng = np.random.default_rng(seed)
    rows = predictions.rows(7, 60, hows=("attention",))
    for row, other in zip(rows, predictions.rows(seed, 60, hows=("attention",)), strict=True):
        row["rationale"] = (rng.random(len(row["words"])) < 0.4).tolist()
        row["scores"] = rng.normal(size=len(row["words"])).astype(np.float32).tolist()
        row |= {k: other[k] for k in other if k in ("prediction", "probabilities") or k.endswith(".self")}
    return rows


def trial(folder: Path, data: str, method: str, rate: Any, rows: list[dict[str, Any]], split: str = "val") -> Path:
    """Adds a trial to the ledger; returns its predictions."""
    ledger = Ledger(path=folder / "dev.jsonl")
    config = {
        "data": {"name": data},
        "method": {"name": method},
        "model": {"extractor": "shared"},
        "train": {"lr": rate, "best_metric": "headline"},
        "eval": {"split": split},
    }
    entry = Entry(
        suite="dev", data=f"{data}@lr={rate}", method=method, seed=0, split=split, digest=digest(config), config=config,
        rows=60, metrics={}, references={}, cost={"columns": {}}, trained="x", commit=None, date="2026-01-01",
    )  # fmt: skip
    path = folder / f"{data}-{method}-{rate}.parquet"
    pq.write_table(predictions.as_table(rows, hows=("attention",)), path)
    row_values.write(row_values.from_predictions(str(path)), ledger.rows(entry))
    ledger.add(entry)
    return path


def whole(folder: Path, data: str) -> dict[tuple[str, float], Path]:
    """All trials of a data set; both of `d` are the same."""
    keys = [(method, rate) for method in METHODS for rate in RATES]
    seeds = {key: 5 if key[0] == "d" else 10 + place for place, key in enumerate(keys)}
    return {key: trial(folder, data, *key, judged(seeds[key])) for key in keys}


def cnrg(paths: dict[tuple[str, float], Path]) -> dict[tuple[str, float], float]:
    """By the definition: each metric between its worst and best, then means of means."""
    names = ("macro_f1", "comprehensiveness", "sufficiency", "auprc", "token_f1")
    reports = {key: score(str(path), resampling=Resampling(replicates=0)) for key, path in paths.items()}
    values = {key: np.array([report[name].value for name in names]) for key, report in reports.items()}
    low, high = np.min(list(values.values()), axis=0), np.max(list(values.values()), axis=0)
    found = {}
    for key, value in values.items():
        gain = (value - low) / (high - low)
        gain[2] = 1 - gain[2]
        found[key] = float(np.mean([gain[0], gain[1:3].mean(), gain[3:].mean()]))
    return found


def choose(folder: Path) -> int:
    return suite.main([str(folder / "dev.yaml"), "--choose", str(folder / "chosen.json")])


def test_the_highest_cnrg_is_chosen_and_of_equals_the_first(folder: Path) -> None:
    expected = cnrg(whole(folder, "one"))
    assert choose(folder) == 0
    choice = read_choice(folder / "chosen.json")
    assert (choice.suite, choice.key, list(choice.values)) == ("dev", "train.lr", ["one"])
    best = {method: max(RATES, key=lambda rate, m=method: expected[m, rate]) for method in METHODS}  # type: ignore[misc]
    assert choice.values["one"] == best
    assert best["d"] == RATES[0]
    assert len({best[method] for method in METHODS}) == 2, "no trial in which the second value wins: change the seeds"
    for (method, rate), value in expected.items():
        assert choice.trials["one"][method][str(rate)] == pytest.approx(value, abs=1e-6)


def test_values_may_be_lists(folder: Path) -> None:
    """Such as those of `method.fractions`: they are chosen among, and drawn in their order."""
    lists = ([0.2], [0.1, 0.5])
    content = yaml.safe_load((folder / "dev.yaml").read_text())
    content |= {"sweep": {"key": "some.lr", "values": [*lists]}, "table": {"replicates": 0, "plot": ["auprc"]}}
    (folder / "dev.yaml").write_text(yaml.safe_dump({**content, "output": str(folder / "out")}))
    paths = {(m, place): trial(folder, "one", m, lists[place], judged(10 + place)) for m in METHODS for place in (0, 1)}
    assert choose(folder) == 0
    expected, found = cnrg(paths), read_choice(folder / "chosen.json")
    best = lists[max((0, 1), key=lambda place: expected["a", place])]
    assert found.values["one"] == dict.fromkeys(METHODS, best)
    assert list(found.trials["one"]["a"]) == ["[0.2]", "[0.1, 0.5]"]
    assert suite.main([str(folder / "dev.yaml"), "--table-only"]) == 0
    drawn = (folder / "out" / "dev.svg").read_text()
    assert 0 < drawn.index(">[0.2]<") < drawn.index(">[0.1, 0.5]<")


def test_the_suite_that_follows_takes_what_was_chosen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    following = read_suite(str(folder / "test.yaml"))
    with pytest.raises(ValueError, match=r"test.yaml: .*chosen.json has no choice for one, two, expected one"):
        make_plan(following, [])
    whole(folder, "one")
    assert choose(folder) == 0
    assert "train.lr chosen for one; trials are missing for two" in capsys.readouterr().out
    values = read_choice(folder / "chosen.json").values["one"]
    plan = make_plan(following, [])
    assert {run.method: run.config["train"]["lr"] for run in plan} == values
    assert {run.data for run in plan} == {"one"}
    with pytest.raises(ValueError, match="no choice for two"):
        make_plan(following, [], ["one", "two"])


def test_the_model_of_the_chosen_trial_is_taken_and_no_other(folder: Path) -> None:
    whole(folder, "one")
    choose(folder)
    following = read_suite(str(folder / "test.yaml"))
    run = next(run for run in make_plan(following, []) if run.method == "b")
    rate = read_choice(folder / "chosen.json").values["one"]["b"]
    trials = following.output.parent / "dev" / "runs"
    assert run.trial == trials / f"one@lr={rate}" / "b" / "0"
    assert run.trial in {planned.folder for planned in make_plan(read_suite(str(folder / "dev.yaml")), [])}
    other = replace(run, trial=folder / "trial")
    assert not other.trial_is_the_same()
    (folder / "trial" / "model").mkdir(parents=True)
    (folder / "trial" / "metrics.json").write_text("{}")
    pq.write_table(pa.table({"id": ["a"]}), folder / "trial" / "predictions.parquet")
    stored: dict[str, Any] = {**run.config, "eval": {**run.config["eval"], "split": "val"}}
    # The trial is older than this setting.
    stored["method"] = {k: v for k, v in run.config["method"].items() if k != "mask_weight"}
    for content, same in (
        (stored, True),
        ({**stored, "train": {**stored["train"], "lr": 0.5}}, False),
        ({**stored, "seed": 1}, False),
        ([], False),
        ({"method": 3}, False),
    ):
        (folder / "trial" / "config.yaml").write_text(yaml.safe_dump(content))
        assert other.trial_is_the_same() is same, content
        assert _trained(other, [other]) == ([f"--trained={folder / 'trial'}"] if same else [])


def test_a_data_set_may_have_some_of_the_trials(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load((folder / "dev.yaml").read_text())
    content["data"]["two"] = {"config": content["data"]["two"], "sweep": [RATES[0]]}
    (folder / "dev.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    trials = read_suite(str(folder / "dev.yaml"))
    labels = [f"one@lr={RATES[0]}", f"two@lr={RATES[0]}", f"one@lr={RATES[1]}"]
    assert [run.label for run in make_plan(trials, [])] == [label for label in labels for _ in METHODS]
    whole(folder, "one")
    for place, method in enumerate(METHODS):
        assert choose(folder) == 0
        assert "trials are missing for two" in capsys.readouterr().out
        before = read_choice(folder / "chosen.json")
        assert before.values["two"] == dict.fromkeys(METHODS, RATES[0]), "one value is no choice: no trial decides it"
        assert list(before.trials) == ["one"]
        trial(folder, "two", method, RATES[0], judged(40 + place))
    assert {run.data for run in make_plan(read_suite(str(folder / "test.yaml")), [])} == {"one", "two"}
    assert choose(folder) == 0
    assert "missing" not in capsys.readouterr().out
    choice = read_choice(folder / "chosen.json")
    assert choice.values["two"] == dict.fromkeys(METHODS, RATES[0])
    assert {tuple(each) for each in choice.trials["two"].values()} == {(str(RATES[0]),)}
    assert len(set(choice.values["one"].values())) == 2


def test_a_method_may_be_left_out_on_a_data_set_and_come_later(folder: Path) -> None:
    content = {name: yaml.safe_load((folder / name).read_text()) for name in ("dev.yaml", "test.yaml")}

    def write(**data: Any) -> None:
        for name, one in content.items():
            (folder / name).write_text(yaml.safe_dump({**one, "data": {**one["data"], **data}}, sort_keys=False))

    write(one={"config": content["dev.yaml"]["data"]["one"], "seeds": {"d": []}})
    paths = whole(folder, "one")
    assert choose(folder) == 0
    before = read_choice(folder / "chosen.json")
    assert set(before.values["one"]) == {"a", "b", "c"}
    expected = cnrg({key: path for key, path in paths.items() if key[0] != "d"})
    assert before.trials["one"]["a"][str(RATES[0])] == pytest.approx(expected["a", RATES[0]], abs=1e-6)
    plan = make_plan(read_suite(str(folder / "test.yaml")), [])
    assert {run.method for run in plan} == {"a", "b", "c"}
    write()
    with pytest.raises(ValueError, match=r"has no choice for methods\.d on one"):
        make_plan(read_suite(str(folder / "test.yaml")), [])
    assert choose(folder) == 0
    after = read_choice(folder / "chosen.json")
    assert set(after.values["one"]) == set(METHODS)
    assert {m: after.values["one"][m] for m in "abc"} == before.values["one"]
    expected = cnrg(paths)  # of one scale: the ends are those of all trials
    assert {(m, str(r)) for m, r in expected} == {(m, r) for m, each in after.trials["one"].items() for r in each}
    for (method, rate), value in expected.items():
        assert after.trials["one"][method][str(rate)] == pytest.approx(value, abs=1e-6)
    assert "d" in {run.method for run in make_plan(read_suite(str(folder / "test.yaml")), [])}


def test_what_is_chosen_stays(folder: Path) -> None:
    whole(folder, "one")
    choose(folder)
    before = read_choice(folder / "chosen.json")
    trial(folder, "one", "a", RATES[1], judged(99))  # the same name and digest: not added
    (folder / "dev.jsonl").write_text("")
    for key in before.trials["one"]:
        for place, rate in enumerate(RATES):
            trial(folder, "one", key, rate, judged(70 + place))
    whole(folder, "two")
    assert choose(folder) == 0
    after = read_choice(folder / "chosen.json")
    assert after.values["one"] == before.values["one"]
    assert after.trials["one"] == before.trials["one"]
    assert set(after.values) == {"one", "two"}


def test_what_decides_nothing_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert choose(folder) == 1
    assert "nothing is chosen: every data set lacks trials (one, two)" in capsys.readouterr().err
    assert not (folder / "chosen.json").exists()
    keys = [(method, rate) for method in METHODS for rate in RATES]
    for place, key in enumerate(keys):
        trial(folder, "one", *key, judged(place), split="test" if place == 3 else "val")
    assert choose(folder) == 2
    assert "dev/one@lr=0.0003/b/0 was judged on test, expected val" in capsys.readouterr().err
    (folder / "chosen.json").write_text('{"suite": "other", "key": "train.lr"}')
    assert suite.main([str(folder / "test.yaml"), "--choose", str(folder / "chosen.json")]) == 2
    assert "no ledger, expected one" in capsys.readouterr().err
    (folder / "chosen.json").write_text('{"suite": 3}')
    assert suite.main([str(folder / "test.yaml"), "--dry-run"]) == 2
    assert "chosen.json: not a choice of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "name", "mode"),
    [
        (["--choose", "FILE", "--dry-run"], "--dry-run", "--choose"),
        (["--choose", "FILE", "--only", "one"], "--only", "--choose"),
        (["--choose", "FILE", "--page", "page.md"], "--page", "--choose"),
        (["--table-only", "--set", "train.lr=1"], "--set", "--table-only and a ledger"),
        (["--table-only", "--shard", "1/2"], "--shard", "--table-only and a ledger"),
    ],
)
def test_options_of_runs_are_refused_where_none_is_started(
    folder: Path, more: list[str], name: str, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole(folder, "one")
    file = folder / "chosen.json"
    arguments = [str(file) if word == "FILE" else word for word in more]
    assert suite.main([str(folder / "dev.yaml"), *arguments, "--output", str(folder / "out")]) == 2
    assert f"{name}: nothing reads it with {mode}, expected it left out" in capsys.readouterr().err
    assert not file.exists()
    assert not (folder / "out").exists()

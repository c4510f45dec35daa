"""What a suite's page says of the claim: the rival that dev chose, and what each interval shows."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from reference import predictions
from unirex.config.identity import digest
from unirex.metrics import Resampling, Run, gain_table, row_values
from unirex.metrics.nrg_table import GainTable
from unirex.metrics.paired import Paired, paired
from unirex.suites.choice import Choice
from unirex.suites.claim import best, best_in_mean, claim, finding, mean, of_task, verdict
from unirex.suites.ledger import Entry, Ledger, newest
from unirex.suites.recipe import read_suite

ROOT = Path(__file__).parents[1]
N = 120


def difference(low: float | None, value: float, high: float | None, direction: Any = "higher") -> Paired:
    return Paired(metric="x", direction=direction, difference=value, low=low, high=high, rows=10)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        ((0.01, 0.2, 0.3), "better"),
        ((-0.3, -0.2, -0.01), "worse"),
        ((-0.01, 0.2, 0.3), "not shown"),
        ((0.0, 0.2, 0.3), "not shown"),
        ((None, 0.2, None), "not shown"),
    ],
)
def test_what_an_interval_shows(one: tuple[Any, float, Any], expected: str) -> None:
    assert verdict(difference(*one)) == expected
    turned = {"better": "worse", "worse": "better"}.get(expected, expected)
    assert verdict(difference(*one, "lower")) == turned


@pytest.mark.parametrize(
    ("task", "near", "expected"),
    [
        ((0.001, 0.02, 0.04), (0.003, 0.02, 0.037), "better"),
        ((-0.012, 0.0, 0.012), (-0.01, 0.0, 0.01), "equivalent"),
        ((-0.012, -0.001, 0.012), (-0.0101, -0.001, 0.01), "not shown"),
        ((-0.009, -0.005, -0.001), (-0.008, -0.005, -0.002), "equivalent"),
        ((-0.03, -0.02, -0.01), (-0.028, -0.02, -0.012), "worse"),
        ((None, 0.0, None), (None, 0.0, None), "not shown"),
    ],
)
def test_a_task_score_can_be_equivalent(task: Any, near: Any, expected: str) -> None:
    assert of_task(difference(*task), difference(*near), 0.01) == expected
    assert of_task(difference(*task), None, 0.01) == verdict(difference(*task))


def test_a_mean_has_the_interval_of_independent_parts() -> None:
    found = mean([difference(-0.2, 0.1, 0.4), difference(-0.1, 0.3, 0.7)])
    assert found is not None
    assert found.difference == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.2 - 0.25), pytest.approx(0.2 + 0.25))  # 3-4-5
    half = mean([difference(-0.2, 0.1, 0.4), difference(None, 0.3, None)])
    assert half is not None
    assert half.low is None
    assert mean([difference(-0.2, 0.1, 0.4), None]) is None
    near = mean([difference(-0.2, 0.1, 0.4), difference(-0.1, 0.3, 0.7)], 0.9)
    assert near is not None
    assert (near.low, near.high) == pytest.approx((found.low, found.high)), "that of the parts"


def test_the_rival_is_the_best_on_dev_at_its_chosen_setting() -> None:
    trials = {"d": {"a": {"0.1": 0.5, "0.3": 0.9}, "b": {"0.1": 0.6, "0.3": 0.2}, "c": {"0.1": 0.6, "0.3": 0.1}}}
    choice = Choice(suite="s", key="train.lr", values={"d": {"a": 0.1, "b": 0.1, "c": 0.1}}, trials=trials)
    assert best(choice, "d", ["a", "b", "c"]) == "b"
    assert best(choice, "d", ["a", "c"]) == "c"
    with pytest.raises(ValueError, match="the choice of suite s has no e on d, expected its trials"):
        best(choice, "d", ["a", "e"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    toy = str(ROOT / "recipes" / "data" / "toy.yaml")
    content = {
        "base": str(ROOT / "recipes" / "backbones" / "tiny.yaml"),
        "data": {
            name: {"config": toy, "set": {"data.toy.n_test": 20 + n}} for n, name in enumerate(("one", "two", "three"))
        },
        "methods": {name: {"set": {"method.name": "joint"}} for name in ("ours", "weak", "strong")},
        "ledger": "s.jsonl",
        "chosen": "chosen.json",
        "table": {"against": "ours", "rivals": ["weak", "strong"], "replicates": 200},
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    trials = {
        "one": {"weak": {"0.1": 0.1}, "strong": {"0.1": 0.8}},
        "two": {"weak": {"0.1": 0.7}, "strong": {"0.1": 0.6}},
    }
    # One value was to be chosen on `three`, whose trials are not all there.
    values = {data: dict.fromkeys(("weak", "strong"), 0.1) for data in (*trials, "three")}
    chosen = {"suite": "dev", "key": "train.lr", "values": values, "trials": trials}
    (tmp_path / "chosen.json").write_text(json.dumps(chosen))
    return tmp_path


def add(folder: Path, data: str, method: str, seed: int, of: int, *, gold: bool = True) -> None:
    """An entry whose row values are those of made-up predictions."""
    ledger = Ledger(path=folder / "s.jsonl")
    config = {
        "data": {"name": data},
        "model": {"extractor": "shared"},
        "method": {"name": method},
        "train": {"best_metric": "headline"},
        "eval": {"max_tokens": 9, "batch_size": 8},
        "seed": seed,
    }
    entry = Entry(
        suite="s", data=data, method=method, seed=seed, split="test", digest=digest(config), config=config, rows=N,
        metrics={}, references={}, cost={"columns": {}}, trained="x", commit=None, date="2026-01-01",
    )  # fmt: skip
    made = predictions.rows(7, N, hows=("attention",))
    rng = np.random.default_rng(of)
    for row, other in zip(made, predictions.rows(of, N, hows=("attention",)), strict=True):
        row["scores"] = rng.normal(size=len(row["words"])).astype(np.float32).tolist()
        row |= {k: other[k] for k in other if k in ("prediction", "probabilities") or k.endswith(".self")}
    path = folder / f"{data}-{method}-{seed}.parquet"
    made_table = predictions.as_table(made, hows=("attention",))
    pq.write_table(made_table if gold else made_table.drop_columns("gold"), path)
    row_values.write(row_values.from_predictions(str(path)), ledger.rows(entry))
    ledger.add(entry)


def test_each_data_set_stands_beside_its_own_rival(folder: Path) -> None:
    for seed in (0, 1):
        add(folder, "one", "ours", seed, 10 + seed)
    add(folder, "one", "strong", 0, 20)
    add(folder, "one", "weak", 0, 21)
    for method, of in (("ours", 30), ("strong", 31), ("weak", 32)):
        add(folder, "two", method, 0, of)
    add(folder, "three", "ours", 0, 40)  # no rival is chosen there
    suite = read_suite(str(folder / "s.yaml"))
    ledger = Ledger(path=folder / "s.jsonl")
    entries = newest(ledger.entries(), "s")
    table, sentence = claim(suite, ledger, entries)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]
    assert [line[:3] for line in lines[2:]] == [["one", "strong", "1"], ["two", "weak", "1"], ["mean of 2", "", ""]]
    for place, (data, rival) in enumerate((("one", "strong"), ("two", "weak"))):
        sides = [[row_values.read(str(ledger.rows(entries[data, m, 0])))] for m in ("ours", rival)]
        for found, cell in zip(
            [
                next(o for o in paired(sides[0], sides[1], Resampling(replicates=200)) if o.metric == name)
                for name in ("macro_f1", "auprc", "normalised_comprehensiveness", "normalised_sufficiency")
            ],
            lines[2 + place][3:],
            strict=True,
        ):
            fewer = "" if found.rows == N else f"({found.rows}) "
            assert cell.startswith(f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}] {fewer}"), cell
    assert "2 of 3 data sets are judged, so nothing is claimed yet" in sentence
    assert claim(suite.with_seeds([0]), ledger, entries) == [], "a part of the seeds is no ground for a claim"
    words = [[re.sub(r".*\] (\(\d+\) )?", "", cell) for cell in line[3:]] for line in lines[2:]]
    assert {word for line in words for word in line} <= {"better", "equivalent", "not shown", "worse"}
    held = sum(line[0] in ("better", "equivalent") for line in words[:2])
    assert f"task score equivalent or better on each: {held} of 2; " in sentence
    assert f"AUPRC not shown lower on any: {sum(line[1] != 'worse' for line in words[:2])} of 2; " in sentence
    wins = sum(line[3] == "better" for line in words[:2])
    assert f"norm. suff better on all but one: {wins} of 2, in the mean {words[2][3]}." in sentence
    apart = replace(suite, table=replace(suite.table, shaped=("one",)))
    assert (
        " Without one, which shaped ours: task score equivalent or better on each: " in claim(apart, ledger, entries)[1]
    )
    said = claim(apart, ledger, entries)[1].partition("Without one")[2]
    assert f"AUPRC not shown lower on any: {int(words[1][1] != 'worse')} of 1; " in said
    alone = "better" if words[1][3] == "better" else "worse" if words[1][3] == "worse" else "not shown"
    assert f"norm. suff better on each: {int(alone == 'better')} of 1, in the mean {alone}." in said
    both = replace(suite, table=replace(suite.table, shaped=("one", "two")))
    assert " None is judged yet without one and two, which shaped ours." in claim(both, ledger, entries)[1]
    # With a run of whatever method missing, nothing is said of a data set.
    table, sentence = claim(suite, ledger, {k: e for k, e in entries.items() if k != ("two", "strong", 0)})
    row = next(line for line in table.splitlines() if line.startswith("| two "))
    assert row == "| two | weak |  | 2 of 3 runs done | — | — | — |"
    assert "mean of" not in table
    assert "1 of 3 data sets are judged" in sentence
    more = replace(suite, seeds=(0, 1))
    table, sentence = claim(more, ledger, entries)
    assert "| one | strong |  | 4 of 6 runs done |" in table
    assert sentence == "0 of 3 data sets are judged, so nothing is claimed yet."


def test_a_rival_that_does_not_run_on_a_data_set_is_none_of_its_rivals(folder: Path) -> None:
    """Whether or not it has a trial there."""
    content, chosen = yaml.safe_load((folder / "s.yaml").read_text()), json.loads((folder / "chosen.json").read_text())
    content["data"]["one"]["seeds"] = {"strong": []}
    (folder / "s.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for place, method in enumerate(("ours", "weak")):
        add(folder, "one", method, 0, 20 + place)
    ledger = Ledger(path=folder / "s.jsonl")
    suite, entries = read_suite(str(folder / "s.yaml")), newest(ledger.entries(), "s")
    for trials in ({"weak": {"0.1": 0.1}, "strong": {"0.1": 0.8}}, {"weak": {"0.1": 0.1}}):
        (folder / "chosen.json").write_text(json.dumps({**chosen, "trials": {**chosen["trials"], "one": trials}}))
        table, _ = claim(suite, ledger, entries)
        assert table.splitlines()[-1].startswith("| one | weak | 1 | ")
    content["data"]["one"]["seeds"] = {"strong": [], "weak": []}
    (folder / "s.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(ValueError, match=r"s\.yaml: none of weak, strong runs on one, expected one or more"):
        claim(read_suite(str(folder / "s.yaml")), ledger, entries)


def test_without_gold_plausibility_is_not_judged(folder: Path) -> None:
    for method, of in (("ours", 30), ("strong", 31), ("weak", 32)):
        add(folder, "one", method, 0, of, gold=False)
    ledger = Ledger(path=folder / "s.jsonl")
    table, sentence = claim(read_suite(str(folder / "s.yaml")), ledger, newest(ledger.entries(), "s"))
    assert table.splitlines()[-1].split(" | ")[4] == "— not shown"
    assert "AUPRC not shown lower on any: 0 of 0, unknown on 1; " in sentence


def test_nothing_is_said_without_rivals_runs_or_a_choice(folder: Path) -> None:
    suite = read_suite(str(folder / "s.yaml"))
    ledger = Ledger(path=folder / "s.jsonl")
    assert claim(suite, ledger, {}) == []
    (folder / "chosen.json").unlink()
    assert claim(suite, ledger, {}) == []


def test_the_best_variant_in_the_mean_of_dev_stands_beside_the_best_of_the_others(folder: Path) -> None:
    content = yaml.safe_load((folder / "s.yaml").read_text())
    content["table"] |= {"rivals": ["weak", "strong"], "variants": ["weak"]}
    (folder / "s.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    suite = read_suite(str(folder / "s.yaml"))
    ledger = Ledger(path=folder / "s.jsonl")

    def made() -> tuple[GainTable, list[str]]:
        runs = [
            Run(method=entry.method, data=entry.data, seed=str(entry.seed), path=str(ledger.rows(entry)))
            for entry in newest(ledger.entries(), "s").values()
        ]
        table = gain_table(runs, resampling=Resampling(replicates=100))
        return table, finding(suite, table, newest(ledger.entries(), "s"))

    for seed in (0, 1):
        add(folder, "one", "weak", seed, 10 + seed)
    for place, method in enumerate(("strong", "ours")):
        add(folder, "one", method, 0, 20 + place)
    table, (block, sentence) = made()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines() if line.startswith("|")]
    assert lines[0][1:4] == ["seeds", "weak CNRG ↑", "strong CNRG ↑"]
    assert [line[:2] for line in lines[2:]] == [["one", "2; 1"]]
    values = [table.cells["one", name].composites["CNRG"] for name in ("weak", "strong")]
    assert lines[2][2:4] == [f"{value:.3f}" for value in values]
    assert lines[2][4].startswith(f"{values[0] - values[1]:+.3f} [")
    assert f": {lines[2][4]} ({values[0] / values[1] - 1:+.1%}). 1 of 3 data sets are judged, so nothing" in sentence
    add(folder, "two", "strong", 0, 31)
    assert " 1 of 3 data sets are judged, so nothing is claimed yet." in made()[1][1], "a run is missing"
    add(folder, "three", "ours", 0, 40)  # no rival is chosen there, and it is no part of the mean
    for place, method in enumerate(("weak", "ours")):
        add(folder, "two", method, 0, 32 + place)
    table, (block, sentence) = made()
    gains = [gain for data in ("one", "two") if (gain := table.over(data, "weak", "strong"))]
    level = np.mean([table.cells[data, "weak"].composites["CNRG"] for data in ("one", "two")])
    assert f"| mean of 2 |  | {level:.3f} |" in block
    value = np.mean([gain.difference for gain in gains])
    half = np.hypot(*[((gain.high or 0) - (gain.low or 0)) / 2 for gain in gains]) / 2
    shown_here = "shown" if value > half else "contradicted" if value < -half else "not shown"
    assert sentence.startswith(
        f"On these the finding is {shown_here}: {value:+.3f} [{value - half:+.3f}, {value + half:+.3f}] ("
    )
    assert ". 2 of 3 data sets are judged, so nothing is claimed yet." in sentence


def test_both_sides_are_picked_by_their_mean_on_dev() -> None:
    trials = {"d": {"a": {"0.1": 0.5, "0.3": 0.9}, "b": {"0.1": 0.8}}, "e": {"a": {"0.1": 0.7}, "b": {"0.1": 0.3}}}
    values = {data: {"a": 0.1, "b": 0.1} for data in trials}
    choice = Choice(suite="s", key="train.lr", values=values, trials=trials)
    assert best_in_mean(choice, ["d"], ["a", "b"]) == "b"
    assert best_in_mean(choice, ["d", "e"], ["b", "a"]) == "a"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"against": "ours", "rivals": ["weak"], "variants": ["weak"]}, r"variants is \['weak'\], expected some of"),
        ({"against": "ours", "rivals": ["weak"], "variants": 3}, r"table.variants is 3, expected a list of methods"),
        ({"against": "ours", "rivals": "weak"}, r"table.rivals is 'weak', expected a list of methods"),
        ({"against": "ours", "rivals": ["wek"]}, r"table.rivals is 'wek', expected a method or null.*weak"),
        ({"rivals": ["weak"]}, r"table.rivals is set, expected one table.against and a file `chosen` with it"),
        ({"against": ["ours", "weak"], "rivals": ["weak"]}, r"table.rivals is set, expected one table.against and a"),
        ({"against": ["ours", "wek"]}, r"table.against is 'wek', expected a method or null.*weak"),
        ({"against": 3}, r"table.against is 3, expected a list of methods"),
        ({"shaped": ["on"]}, r"table.shaped is 'on', expected a data set.*one"),
        ({"shaped": "one"}, r"table.shaped is 'one', expected a list of data sets"),
        (
            {"against": "ours", "rivals": ["ours", "weak"]},
            r"table.rivals has 'ours', expected others than table.against",
        ),
        ({"convention": "eraser"}, r"table.convention is 'eraser', expected strict or paper with a ledger"),
        ({"against": "ours", "margin": 2}, r"table.margin is 2, expected a number between 0 and 1"),
    ],
)
def test_wrong_tables_are_refused(folder: Path, table: dict[str, Any], message: str) -> None:
    content = yaml.safe_load((folder / "s.yaml").read_text())
    (folder / "s.yaml").write_text(yaml.safe_dump({**content, "table": table}))
    with pytest.raises(ValueError, match=message):
        read_suite(str(folder / "s.yaml"))

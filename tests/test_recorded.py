"""What a run adds to the ledger: all that is done of it, and nothing of another's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from reference import predictions
from unirex.config.identity import digest
from unirex.metrics import score
from unirex.suites.ledger import Entry, Ledger, newest
from unirex.suites.plan import make_plan
from unirex.suites.recipe import read_suite
from unirex.suites.session import Recorded


def test_what_is_done_of_a_run_that_failed_elsewhere_is_in_the_ledger(tmp_path: Path) -> None:
    far = {name: {"set": {"data.toy.kind": "pair", "data.toy.n_test": n}} for n, name in enumerate(("near", "far"), 8)}
    content = {
        "output": str(tmp_path / "out"),
        "ledger": "results/s.jsonl",
        "data": {"one": []},
        "methods": {"slm": {"set": {"model.extractor": "shared"}}},
        "set": {"train.precision": "no"},
        "transfer": far,
    }
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    suite = read_suite(str(path))
    [run] = make_plan(suite, [])

    def leave(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rows = predictions.as_table(predictions.rows(7, 6, hows=("attention",)), hows=("attention",))
        pq.write_table(rows, folder / "predictions.parquet")
        own = score(str(folder / "predictions.parquet")).as_dict()
        (folder / "metrics.json").write_text(json.dumps({"systems": [own]}))
        (folder / "log.jsonl").write_text(json.dumps({"event": "end", "train_seconds": 6.0, "judge_seconds": 3.0}))

    ledger = Ledger(path=tmp_path / "results" / "s.jsonl")
    checkpoint = run.folder / "checkpoints" / "step-1"
    checkpoint.mkdir(parents=True)
    Recorded(suite=suite).add(run)  # it has left nothing yet
    assert ledger.entries() == []
    assert checkpoint.is_dir()
    leave(run.folder)
    (run.folder / "config.yaml").write_text(yaml.safe_dump(run.config))
    near, last = run.transfers
    leave(near.folder)
    near.recipe.write_text(yaml.safe_dump(dict(near.content)))
    last.folder.mkdir(parents=True)
    Recorded(suite=suite).add(run)
    assert [entry.data for entry in ledger.entries()] == ["one", "one to near"]
    leave(last.folder)
    last.recipe.write_text(yaml.safe_dump(dict(last.content)))
    Recorded(suite=suite).add(run)
    assert [entry.data for entry in ledger.entries()] == ["one", "one to near", "one to far"]
    assert not checkpoint.is_dir()
    # Row values that are lost (not committed, say) are those of a line that stands again.
    ledger.rows(ledger.entries()[1]).unlink()
    assert not Recorded(suite=suite)(run)
    Recorded(suite=suite).add(run)
    assert Recorded(suite=suite)(run)
    assert len(ledger.path.read_text().splitlines()) == 4
    # In the folder of a run with other settings, its transfers are not this one's.
    (run.folder / "config.yaml").write_text(yaml.safe_dump({**run.config, "seed": 9}))
    ledger.path.unlink()
    Recorded(suite=suite).add(run)
    assert ledger.entries() == []


def test_a_result_that_takes_the_place_of_another_is_the_later_whatever_the_clocks(tmp_path: Path) -> None:
    ledger = Ledger(path=tmp_path / "s.jsonl")
    other = {"seed": 0, "train": {"lr": 0.2}}
    first = Entry(
        suite="s", data="one", method="slm", seed=0, split="test", digest=digest({}), config={}, rows=3, metrics={},
        references={}, cost={}, trained="x", commit=None, date="2030-01-01",
    )  # fmt: skip
    assert ledger.add(first)
    assert ledger.add(replace(first, config=other, digest=digest(other), date="2026-01-01"))
    assert newest(ledger.entries(), "s")["one", "slm", 0].config == other


@pytest.mark.parametrize("change", [{"date": 5}, {"data": ["toy"]}, {"seed": "0"}])
def test_a_line_of_other_kinds_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    line = {
        "suite": "s", "data": "one", "method": "slm", "seed": 0, "split": "test", "digest": digest({}), "config": {},
        "rows": 3, "metrics": {}, "references": {}, "cost": {}, "trained": "x", "commit": None, "date": "2026-01-01",
    }  # fmt: skip
    (tmp_path / "s.jsonl").write_text(json.dumps(line | change) + "\n")
    with pytest.raises(ValueError, match=rf"s.jsonl: line 1: not an entry of a ledger \({next(iter(change))} is"):
        Ledger(path=tmp_path / "s.jsonl").entries()

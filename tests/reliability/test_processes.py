"""Several processes: what can't be trained over is refused, and a fork after threads were used does not hang."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from unirex import _rust
from unirex.metrics import score
from unirex.training import launched


@pytest.mark.parametrize(
    "kind", [DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM, DistributedType.XLA]
)
def test_sharded_training_is_refused_in_one_line(kind: DistributedType, monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator = Accelerator(cpu=True)
    monkeypatch.setattr(type(accelerator), "distributed_type", kind)
    with pytest.raises(ValueError, match=rf"distributed_type is {kind.value}, expected one process or data-parallel"):
        launched.check_launch(accelerator)


def in_a_fork(work: Callable[[], Any], seconds: float = 60) -> bool:
    """Whether `work` came to an end in a forked process."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def folder(path: Path, instances: int) -> Path:
    path.mkdir()
    docs, rows, results = [], [], []
    for i in range(instances):
        name = f"d{i}"
        docs.append({"docid": name, "document": "a b c d"})
        evidence = {"docid": name, "start_token": 0, "end_token": 2, "text": "a b"}
        rows.append({"annotation_id": name, "query": "", "classification": "xy"[i % 2], "evidences": [[evidence]]})
        found = {"docid": name, "hard_rationale_predictions": [{"start_token": 1, "end_token": 3}]}
        results.append({"annotation_id": name, "rationales": [found]})
    for file, entries in (("docs.jsonl", docs), ("test.jsonl", rows), ("results.jsonl", results)):
        (path / file).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_readers_opened_before_a_fork_go_on_after_it(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", 20_000)
    files = ([data / "results.jsonl"], data, "test")
    scorer = _rust.EraserScorer(*files, iou_thresholds=[0.5], aopc_thresholds=[0.1])
    rows = _rust.EraserRows(*files)
    assert rows.step() is not None
    assert scorer.step()
    assert in_a_fork(scorer.step)
    assert in_a_fork(rows.step)
    assert in_a_fork(lambda: _rust.EraserScorer(*files, iou_thresholds=[0.5], aopc_thresholds=[0.1]).step())
    while scorer.step():
        pass
    assert scorer.scores()


class Scored(torch.utils.data.Dataset[float]):
    """Uses the Rust pool in whatever process a data loader puts it."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> float:
        rows, ones = np.arange(2000, dtype=np.uint64), np.ones(1000)
        sums, _ = _rust.weighted_sums(rows, ones, np.ones(1), replicates=1000, seed=index, swap=False)
        return float(sums.sum())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_workers_of_a_data_loader_do_not_hang(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "v1" / "predictions.parquet"
    before = score(golden).to_json()  # uses the pool in this process
    loader = torch.utils.data.DataLoader(Scored(), num_workers=2, multiprocessing_context="fork", timeout=60)
    assert len([float(value) for value in loader]) == 8
    assert in_a_fork(lambda: score(golden))
    assert score(golden).to_json() == before

"""Toy runs in forked processes, so that hundreds of them start, die and resume in minutes; what they leave compared."""

import hashlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1", ACCELERATE_USE_CPU="true")

import torch

from reference.checkpoints import latest
from unirex import train
from unirex.disk import checkpoint

TINY = [
    "--data.toy.n_train=72", "--data.toy.n_val=21", "--data.toy.n_test=17", "--model.random.hidden_size=32",
    "--train.lr=0.001", "--train.batch_size=24", "--train.log_every=1", "--train.epochs=4", "--train.save_every=2",
]  # fmt: skip
"""Four epochs of three steps; dropout is on, so resumption must bring back what is drawn."""


def child(work: Callable[[], int], *, env: dict[str, str] | None = None, log: Path | None = None) -> int:
    """The id of a forked process that does `work` and leaves with its result."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        os.setsid()
        out = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ.update(env or {})
        torch.set_num_threads(1)
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def start(arguments: Sequence[str], processes: int, log: Path | None = None) -> list[int]:
    """The ids of the processes of one run."""
    if processes == 1:
        return [child(lambda: train.main(list(arguments)), log=log)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    return [
        child(lambda: train.main(list(arguments)), env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, log=log)
        for rank in range(processes)
    ]


def whole(prefix: str, processes: int) -> tuple[Path, float]:
    """A new folder with a run that nothing happens to, `whole`, and the seconds it took."""
    work = Path(tempfile.mkdtemp(prefix=prefix))
    began = time.monotonic()
    if any(wait(start([*TINY, f"--output={work / 'whole'}"], processes, work / "whole.log"))):
        raise SystemExit((work / "whole.log").read_text())
    return work, time.monotonic() - began


def wait(pids: Sequence[int], timeout: float = 120, patience: float = 0) -> list[int]:
    """The exit codes (negative: the signal); the others are killed `patience` seconds after one has failed.

    A launcher has no patience.
    """
    codes: dict[int, int] = {}
    deadline = time.monotonic() + timeout
    failed = False
    while len(codes) < len(pids):
        for pid in pids:
            if pid not in codes:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    codes[pid] = os.waitstatus_to_exitcode(status)
        if any(codes.values()) and not failed:
            failed, deadline = True, time.monotonic() + patience
        if time.monotonic() > deadline:
            end([pid for pid in pids if pid not in codes])
        time.sleep(0.005)
    return [codes[pid] for pid in pids]


def end(pids: Sequence[int]) -> None:
    """Kills processes that this module started."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def result(run: Path) -> dict[str, Any]:
    """What a run came to, down to the bit: weights, predictions, metrics, losses, dev metrics, lines of the log."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    weights = sorted((run / "model").glob("*.safetensors")) + sorted((run / "checkpoints").rglob("*.safetensors"))
    tables = [run / "predictions.parquet", *sorted((run / "reference").iterdir())]
    return {
        "weights": [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in weights],
        "predictions": [rows(path) for path in tables],
        "metrics": [system["metrics"] for system in json.loads((run / "metrics.json").read_text())["systems"]],
        "losses": [(line["step"], line["loss"]) for line in lines if "loss" in line],
        "events": [(line.get("event", "step"), line.get("step")) for line in lines],
        "dev": [
            {k: v for k, v in line.items() if k != "judge_seconds"} for line in lines if line.get("event") == "dev"
        ],
    }


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a prediction file, but for the name of the model, which is its folder."""
    import pyarrow.parquet as pq

    return [{k: v for k, v in row.items() if k != "model"} for row in pq.read_table(path).to_pylist()]


def same(a: Any, b: Any) -> list[str]:
    """Which parts of two results differ; NaN equals NaN."""
    return [part for part in a if json.dumps(a[part]) != json.dumps(b[part])]


def sound(run: Path) -> str:
    """Checks the newest checkpoint against its manifest, after what a kill left was put right; its name or none."""
    checkpoint.recover(run)
    newest = latest(run)
    if newest is None:
        return "none"
    checkpoint.check(newest)
    return newest.name

"""The same run on 1, 2 and 3 processes, on 1 and 2 threads, twice, cut and resumed: which numbers are the same.

`python tests/reliability/agreement.py` prints a table: same to the bit, or the largest difference. The set has 73
training instances in batches of 24 (the last of an epoch is uneven for any number of processes) and 17 to judge.
"""

import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
import torch
from toy_runs import child, result, start, wait

from unirex import train

RUN = [
    "--data.toy.n_train=73", "--data.toy.n_val=21", "--data.toy.n_test=17", "--model.random.hidden_size=32",
    "--train.lr=0.001", "--train.batch_size=24", "--train.log_every=1", "--train.epochs=3", "--train.save_every=2",
]  # fmt: skip
NO_DROPOUT = ["--model.dropout=0", "--model.backbone_dropout=0"]


def finish(pids: list[int], log: Path) -> None:
    if any(wait(pids, timeout=400)):
        raise SystemExit(log.read_text())


def threads(count: int, arguments: list[str]) -> int:
    torch.set_num_threads(count)
    return train.main(arguments)


def largest(a: Any, b: Any) -> float:
    """The largest difference between the numbers of two results; infinite where anything else differs."""
    if isinstance(a, dict):
        return max((largest(a[k], b[k]) for k in a), default=0.0) if a.keys() == b.keys() else math.inf
    if isinstance(a, (list, tuple)):
        return max((largest(x, y) for x, y in zip(a, b, strict=True)), default=0.0) if len(a) == len(b) else math.inf
    if isinstance(a, float) and isinstance(b, float):
        return 0.0 if a == b or (math.isnan(a) and math.isnan(b)) else abs(a - b)
    return 0.0 if a == b else math.inf


def column(rows: list[list[dict[str, Any]]], *names: str) -> list[Any]:
    return [[[row[name] for name in names] for row in table] for table in rows]


def values(systems: list[Any]) -> list[Any]:
    """The metrics; normalised ones are quotients of differences at rounding level on a model that is hardly trained."""
    return [[m["value"] for m in system if not m["name"].startswith("normalised")] for system in systems]


def compare(name: str, a: dict[str, Any], b: dict[str, Any]) -> None:
    parts = {
        "weights": math.nan if json.dumps(a["weights"]) != json.dumps(b["weights"]) else 0.0,
        "losses": largest(a["losses"], b["losses"]),
        "metrics": largest(values(a["metrics"]), values(b["metrics"])),
        "ids, order": largest(column(a["predictions"], "id"), column(b["predictions"], "id")),
        "predictions": largest(column(a["predictions"], "prediction"), column(b["predictions"], "prediction")),
        "probabilities": largest(column(a["predictions"], "probabilities"), column(b["predictions"], "probabilities")),
    }
    shown = {0.0: "same"}
    cells = [shown.get(v, "differ" if not v < math.inf else f"{v:.1e}") for v in parts.values()]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main() -> int:
    work = Path(tempfile.mkdtemp(prefix="unirex-agreement-"))
    log = work / "log"

    def run(name: str, *more: str, processes: int = 1) -> dict[str, Any]:
        finish(start([*RUN, *more, f"--output={work / name}"], processes, log), log)
        return result(work / name)

    print("| against one process, one thread | weights | losses | metrics | ids, order | predictions | probabilities |")
    print("|---|---|---|---|---|---|---|")
    whole = run("one")
    compare("the same again", whole, run("again"))
    for count in (2, 4):
        output = f"--output={work / f'threads-{count}'}"
        finish([child(lambda: threads(count, [*RUN, output]), log=log)], log)  # noqa: B023
        compare(f"{count} threads in torch", whole, result(work / f"threads-{count}"))
    plain = run("plain", *NO_DROPOUT)
    for processes in (2, 3):
        found = run(f"processes-{processes}", *NO_DROPOUT, processes=processes)
        compare(f"{processes} processes, no dropout", plain, found)
    compare("2 processes twice, dropout", run("a", processes=2), run("b", processes=2))
    compare("2 micro-batches, no dropout", plain, run("micro", *NO_DROPOUT, "--train.accumulation=2"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

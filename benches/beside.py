"""What training costs at another commit and here, in turns in one run: processor time, wall time, memory.

    git worktree add ../before COMMIT && cp python/unirex/_rust*.so ../before/python/unirex/   # or build it there
    python benches/beside.py ../before --rounds 3

The command is timed as a user starts it, imports and judgment included, on a few batches of SST (UNIREX_DATA) with
MiniLM. Processor time is that of all threads.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = (
    "sst/minilm", "data.limit=160", "train.epochs=1", "train.precision=no", "train.dev_limit=4", "eval.split=val",
    "eval.references=[]", "eval.fractions=[0.2]",
)  # fmt: skip


def train(checkout: Path, recipe: str, args: argparse.Namespace) -> dict[str, float]:
    """What a run of a recipe by the package in a checkout cost."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "python"), "OMP_NUM_THREADS": str(args.threads)}
    config, *settings = SETTINGS
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "unirex.train", f"--config={config}/{recipe}", *(f"--{s}" for s in settings),
            f"--train.batch_size={args.batch_size}", f"--output={folder}/run",
        ]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wall = time.perf_counter() - started
        events = [json.loads(line) for line in Path(f"{folder}/run/log.jsonl").read_text().splitlines()]
    end = next(event for event in events if event.get("event") == "end")
    return {
        "processor s": end["cpu_seconds"],
        "wall s": wall,
        "wall s a step": end["step_seconds"] / end["step"],
        "GiB": end["peak_memory"] / 2**30,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="folder of a checkout of another commit, built")
    parser.add_argument("--recipes", nargs="+", default=["slm-fp-relaxed", "slm-fp"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    here = Path(__file__).resolve().parent.parent
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(args.rounds):
        for recipe in args.recipes:
            for title, checkout in (("before", args.before.resolve()), ("here", here)):
                found.setdefault((recipe, title), []).append(train(checkout, recipe, args))
    for recipe in args.recipes:
        before, after = found[recipe, "before"], found[recipe, "here"]
        for name in before[0]:
            ratio = statistics.median(a[name] / b[name] for a, b in zip(after, before, strict=True))
            values = (statistics.median(run[name] for run in runs) for runs in (before, after))
            print(f"{recipe:16} {name:14} {next(values):8.2f} before {next(values):8.2f} here, x {ratio:.2f}")


if __name__ == "__main__":
    main()

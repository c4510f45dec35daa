"""Stops toy runs by signals at random moments and resumes them: `python tests/reliability/signals.py --signals 30`.

SIGTERM, SIGUSR1 and SIGINT come in turn, each to one process of a run. All its processes must end by themselves with
128 and the signal; while it trains, with a checkpoint of the step that its log ends at. When a life reaches the end,
everything the run left is compared with a run that nothing happened to.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from toy_runs import TINY, result, same, sound, start, wait, whole

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
STEPS = 12
LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT  # leaves the exit code for `wait`


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signals", type=int, default=30)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    work, length = whole("unirex-signals-", options.processes)
    expected = ending(work / "whole")
    tries: Counter[tuple[str, str]] = Counter()
    sent = runs = wrong = 0
    while sent < options.signals:
        run, log, seen = work / f"run-{runs}", work / f"log-{runs}", []
        runs += 1
        while ended := one_life(
            run, log, rng, SIGNALS[sent % 3] if sent < options.signals else None, options.processes
        ):
            name, what = ended
            sent += 1
            seen.append(name)
            tries.update([(name, "tried"), (name, what)])
            wrong += what == "otherwise"
        differ = same(expected, ending(run))
        rest = [str(p.relative_to(run)) for p in run.rglob(".*") if p.name != ".train.lock"]
        wrong += bool(differ or rest)
        outcome = f"DIFFERS: {differ} {rest}" if differ or rest else "equal"
        print(f"run {runs}: {len(seen)} signals, {outcome}", flush=True)
        if not (differ or rest):
            tries.update((name, "equal") for name in seen)
            shutil.rmtree(run)
    print(f"{options.processes} process(es), {runs} runs of {length:.1f} s")
    for number in SIGNALS:
        print(number.name, {what: n for (name, what), n in sorted(tries.items()) if name == number.name})
    if not wrong:
        shutil.rmtree(work)
    return int(wrong > 0)


def one_life(
    run: Path, log: Path, rng: random.Random, number: signal.Signals | None, processes: int
) -> tuple[str, str] | None:
    """The signal and how the run ended: saved, at once (before or after training) or otherwise; None at the end."""
    before = opened(run)
    pids = start([*TINY, f"--output={run}", "--resume=true"], processes, log)
    while opened(run) == before:  # until the processes are connected
        time.sleep(0.01)
    after = rng.randint(len(steps_of(run)) - 1, STEPS + 1)
    if len(steps_of(run)) == STEPS and rng.random() < 0.5:
        number = None  # else most signals would come after training
    victim = rng.choice(pids)
    while len(steps_of(run)) < min(after, STEPS) and os.waitid(os.P_PID, victim, LOOK) is None:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.4))
    if number and os.waitid(os.P_PID, victim, LOOK) is None:
        os.kill(victim, number)
    codes = wait(pids, patience=60)
    if not any(codes) or number is None:  # it came too late
        return None
    newest, path = sound(run), run / "log.jsonl"
    last = json.loads(path.read_text().splitlines()[-1]) if path.exists() and path.stat().st_size else {}
    if codes != [128 + number] * processes:
        print(f"{number.name}: exit codes {codes}\n{log.read_text()[-300:]}")
        return number.name, "otherwise"
    if "stopped after step" not in log.read_text().splitlines()[-1]:
        return number.name, "at once"
    saved = newest == f"step-{last['step']:08d}" and last["step"] == steps_of(run)[-1]
    return number.name, "saved" if saved else "otherwise"


def ending(run: Path) -> dict[str, Any]:
    """What a run came to; of its checkpoints the last, since a stop adds one."""
    for other in sorted((run / "checkpoints").glob("step-*"))[:-1]:
        shutil.rmtree(other)
    return result(run)


def opened(run: Path) -> int:
    """When a start of a run has opened its folder, 0 before the first."""
    config = run / "config.yaml"
    return config.stat().st_mtime_ns if config.exists() else 0


def steps_of(run: Path) -> list[int]:
    """The steps in a run's log."""
    path = run / "log.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line)["step"] for line in lines if line.endswith("\n") and '"loss"' in line]


if __name__ == "__main__":
    sys.exit(main())

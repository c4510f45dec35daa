"""Kills toy runs at random moments and resumes them: `python tests/reliability/kills.py --kills 60 --processes 1`.

Every life of a run ends by SIGKILL at a moment drawn from the length of a whole run; with several processes one of
them dies and the others are ended as a launcher does. After each death the newest checkpoint is compared with its
manifest; when a life reaches the end, everything it left is compared with a run that nothing happened to.
With `--patience SECONDS` nobody ends the others so soon: they must end by themselves, with an exit code that says so.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from toy_runs import TINY, result, same, sound, start, wait, whole


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=0, help="seconds in which the others may end by themselves")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    work, length = whole("unirex-kills-", options.processes)
    expected = result(work / "whole")
    kills, lives, runs, wrong = 0, 0, 0, 0
    at: Counter[str] = Counter()
    ends: Counter[int] = Counter()
    longest = 0.0
    while kills < options.kills:
        run = work / f"run-{runs}"
        runs += 1
        while True:
            pids = start([*TINY, f"--output={run}", "--resume=true"], options.processes, work / "log")
            lives += 1
            time.sleep(rng.uniform(0.15, 1.0) * length)
            victim = rng.choice(pids)
            # WNOWAIT leaves the exit code for `wait`.
            alive = os.waitid(os.P_PID, victim, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            if alive:
                os.kill(victim, signal.SIGKILL)
            died = time.monotonic()
            codes = wait(pids, patience=options.patience)
            if -signal.SIGKILL in codes and alive:
                kills += 1
                others = [code for pid, code in zip(pids, codes, strict=True) if pid != victim]
                if others and options.patience:
                    longest = max(longest, time.monotonic() - died)
                    ends.update(others)
                at[sound(run)] += 1
                continue
            if any(codes):
                print(f"FAILED: exit codes {codes}\n{(work / 'log').read_text()}")
                return 1
            break
        differ = same(expected, result(run))
        rest = [str(p.relative_to(run)) for p in run.rglob(".*") if p.name != ".train.lock"]
        if differ or rest:
            wrong += 1
            print(f"DIFFERS: run {run}: {differ} {rest}")
        else:
            shutil.rmtree(run)
        (work / "log").unlink()
    print(
        f"{options.processes} process(es): {kills} kills in {lives} lives of {runs} runs of {length:.1f} s each; "
        f"checkpoints damaged 0, runs that ended otherwise {wrong}; "
        f"newest checkpoint at death: {dict(sorted(at.items()))}"
    )
    if options.patience:
        print(f"the others' exit codes: {dict(ends)}; the last of them ended after at most {longest:.1f} s")
        wrong += ends[-signal.SIGKILL]
    if not wrong:
        shutil.rmtree(work)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

"""How long commands take to answer help, a typo and a missing file, beside `python -c "import torch"`.

    python benches/startup.py [--rounds 5]

Medians of wall time and processor time. None of these commands needs torch; a ratio near 1 would say that one of them
imports it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

UNIREX = [sys.executable, "-m", "unirex.cli"]
COMMANDS = {
    "import torch": [sys.executable, "-c", "import torch"],
    "python": [sys.executable, "-c", "pass"],
    "import unirex": [sys.executable, "-c", "import unirex"],
    **{
        f"unirex {' '.join(words)}": [*UNIREX, *words]
        for words in (
            ["--help"],
            *([name, "--help"] for name in ("train", "evaluate", "explain", "score", "compare", "nrg", "validate")),
            *([name, "--help"] for name in ("report", "suite")),
            ["ls", "recipes"],
            ["train", "train.lrr=1"],
            ["train", "--config", "nowhere.yaml"],
            ["explain", "--model", "nowhere", "--input", "nowhere.csv", "--output", "x.csv"],
            ["score", "nowhere.parquet"],
        )
    },
}


def once(command: list[str], folder: str) -> tuple[float, float]:
    """Wall and processor seconds of a command."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, spent


def main() -> None:
    """Prints the table; commands take turns, so that a busy minute hits all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds + 1):
            for name, command in COMMANDS.items():
                found[name].append(once(command, folder))
    medians = {
        name: [statistics.median(column) for column in zip(*times[1:], strict=True)] for name, times in found.items()
    }
    wall_of_torch = medians["import torch"][0]
    print("| command | wall s | processor s | of import torch |\n|---|---|---|---|")
    for name, (wall, spent) in medians.items():
        print(f"| `{name}` | {wall:.2f} | {spent:.2f} | {wall / wall_of_torch:.2f} |")


if __name__ == "__main__":
    main()

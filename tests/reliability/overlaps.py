"""Time of scoring many spans that overlap: `python tests/reliability/overlaps.py --sizes 20000 50000 100000`.

One document of n tokens, n different gold spans that all hold its middle, and every token predicted as a span of its
own: n * n / 2 pairs or so that share a token.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path


def write(folder: Path, n: int) -> None:
    rng = random.Random(n)
    gold: set[tuple[int, int]] = set()
    while len(gold) < n:
        gold.add((rng.randrange(n // 2), rng.randrange(n // 2 + 1, n)))
    spans = [{"text": "", "docid": "d", "start_token": start, "end_token": end} for start, end in sorted(gold)]
    rationale = {
        "docid": "d",
        "hard_rationale_predictions": [{"start_token": i, "end_token": i + 1} for i in range(n)],
        "soft_rationale_predictions": [0.5] * n,
    }
    files = {
        "docs": {"docid": "d", "document": " ".join(["w"] * n)},
        "test": {"annotation_id": "d", "query": "", "classification": "x", "evidences": [spans]},
        "results": {"annotation_id": "d", "rationales": [rationale]},
    }
    for name, content in files.items():
        (folder / f"{name}.jsonl").write_text(json.dumps(content) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 50_000, 100_000])
    options = parser.parse_args()
    print("| n | eraser | strict |\n|---|---|---|")
    for n in options.sizes:
        seconds = []
        with tempfile.TemporaryDirectory(prefix="unirex-overlaps-") as name:
            write(Path(name), n)
            for convention in ("eraser", "strict"):
                before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
                command = [
                    sys.executable,
                    "-m",
                    "unirex.metrics.commands.cli",
                    "score",
                    f"{name}/results.jsonl",
                    "--json",
                ]
                command += ["--json", "--data-dir", name, f"--convention={convention}", "--replicates=0"]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                seconds.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
        print(f"| {n:,} | {seconds[0]:.2f} s | {seconds[1]:.2f} s |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

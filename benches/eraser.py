"""Speed and memory of scoring ERASER results, as a whole process, beside a scorer in Python and scikit-learn.

    python benches/eraser.py                          # 10,000 instances of 100 to 300 words, 60 MB of results
    python benches/eraser.py --instances 100000       # 600 MB; peak of memory: 240 bytes an instance more

The rival is the slow twin of the tests. It scores `--rival` instances and its time is taken to be proportional to
their number, which flatters it: it keeps everything in memory. The benchmark's own scorer is not part of this project.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from reference import eraser_twin

WORDS = np.array(["the", "of", "film", "plot", "actor", "scene", "great", "bad", "never", "always", "people", "good"])
CLASSES = ("CLASS_0", "CLASS_1")
THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.5)


def distribution(rng: np.random.Generator) -> dict[str, float]:
    p = float(np.float32(rng.random()))
    return dict(zip(CLASSES, (p, 1 - p), strict=True))


def spans(rng: np.random.Generator, n: int, count: int) -> list[tuple[int, int]]:
    cuts = np.unique(rng.integers(0, n + 1, size=2 * count))
    return [(int(a), int(b)) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]


def instance(rng: np.random.Generator, name: str) -> tuple[dict, dict, dict]:
    """A document of three lines, its annotation and the predictions for it."""
    n = int(rng.integers(100, 301))
    words = rng.choice(WORDS, size=n)
    lines = np.split(words, np.sort(rng.integers(1, n, size=2)))
    parts = {f"{side}_classification_scores": distribution(rng) for side in ("comprehensiveness", "sufficiency")}
    evidences = [{"text": "", "docid": name, "start_token": a, "end_token": b} for a, b in spans(rng, n, 2)]
    scores = distribution(rng)
    rationale = {
        "docid": name,
        "hard_rationale_predictions": [{"start_token": a, "end_token": b} for a, b in spans(rng, n, 3)],
        "soft_rationale_predictions": rng.random(n, dtype=np.float32).astype(float).tolist(),
    }
    return (
        {"docid": name, "document": "\n".join(" ".join(line) for line in lines if len(line))},
        {
            "annotation_id": name,
            "query": "",
            "evidences": [evidences],
            "classification": CLASSES[int(rng.integers(2))],
        },
        {
            "annotation_id": name,
            "rationales": [rationale],
            "classification": max(scores, key=scores.__getitem__),
            "classification_scores": scores,
            **parts,
            "thresholded_scores": [{"threshold": t, **parts} for t in THRESHOLDS],
        },
    )


def write(folder: Path, instances: int) -> None:
    rng = np.random.default_rng(0)
    names = ("docs.jsonl", "test.jsonl", "results.jsonl")
    files = [(folder / name).open("w") for name in names]
    for i in range(instances):
        for file, row in zip(files, instance(rng, f"inst_{i:07d}"), strict=True):
            file.write(json.dumps(row) + "\n")
    for file in files:
        file.close()


def first(folder: Path, count: int, into: Path) -> None:
    """The first instances of a folder, as a folder."""
    for name in ("docs.jsonl", "test.jsonl", "results.jsonl"):
        with (folder / name).open() as file:
            (into / name).write_text("".join(islice(file, count)))


# What the system counts for a child includes its parent's memory from before it was replaced; this file does not.
RUN = """
import re, sys
from unirex.metrics.commands.cli import main
main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""


def timed(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak MiB of the command as a process."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", RUN, *arguments], check=True, capture_output=True, text=True)
    return time.perf_counter() - start, int(done.stderr) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--rival", type=int, default=500, help="instances that the rival scores")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as small:
        folder, part = Path(name), Path(small)
        write(folder, arguments.instances)
        first(folder, arguments.rival, part)
        output = part / "scores.json"
        score = ["score", "--convention", "eraser"]
        timed([*score, str(part / "results.jsonl"), "--data-dir", small, "--output", str(output)])
        start = time.perf_counter()
        expected = eraser_twin.score(part / "results.jsonl", part, "test")
        rival = (time.perf_counter() - start) * arguments.instances / arguments.rival
        eraser_twin.assert_same(json.loads(output.read_text()), expected)
        ours, peak = min(timed([*score, str(folder / "results.jsonl"), "--data-dir", name]) for _ in range(3))
        size = (folder / "results.jsonl").stat().st_size / 1e6
        print(f"{arguments.instances:,} instances, {size:.0f} MB of results")
        print(f"unirex-metrics, whole process: {ours:.2f} s, peak {peak:.0f} MiB")
        print(f"Python and scikit-learn: {rival:.1f} s, {rival / ours:.0f} times as long")


if __name__ == "__main__":
    main()

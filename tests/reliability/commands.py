"""Kills, interrupts and full disks while `unirex-metrics` works: `python tests/reliability/commands.py --signals 20`.

Every command runs in a forked process over generated input and gets SIGKILL, then SIGINT, at moments drawn from the
length of a whole run. An output file that was there must stay as it was or be the new one, whole. After SIGINT the
exit code is 130, after a fault of the disk it is 2 with one line that names the file, and nothing else is left behind.
"""

import argparse
import importlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unirex.metrics.commands import cli

# What a command imports late is imported here, once for all forks.
for late in (
    "commands.compare",
    "commands.eraser",
    "eraser.rows",
    "commands.nrg",
    "commands.score",
    "commands.validate",
):
    importlib.import_module(f"unirex.metrics.{late}")

GOLDEN = Path(__file__).parents[1] / "golden" / "v1" / "predictions.parquet"
OLD = '{"is": "old"}\n'


def fork(work: Callable[[], int], stderr: Path, stdout: Path = Path(os.devnull)) -> int:
    """The id of a forked process that does `work` and leaves with its result."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until the child is ready to leave by itself
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return pid
    code = 99
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT), 1)
        os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            code = work()
            sys.stderr.flush()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        except KeyboardInterrupt:  # before or after the command itself
            code = 130
        except BaseException:
            os.write(2, traceback.format_exc().encode())
            raise
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@dataclass
class Command:
    """A command, the files it writes, and what came of it."""

    name: str
    arguments: list[str]
    outputs: tuple[str, ...] = ("--output",)
    whole: tuple[bytes, ...] = ()
    length: float = float("inf")

    def start(self, folder: Path, error: Path, prepare: Callable[[], None] = lambda: None) -> int:
        written = [f"{option}={folder / option.strip('-')}.json" for option in self.outputs]

        def work() -> int:
            prepare()
            return cli.main([*self.arguments, *written])

        return fork(work, error)

    def found(self, folder: Path) -> tuple[bytes | None, ...]:
        files = [folder / f"{option.strip('-')}.json" for option in self.outputs]
        return tuple(file.read_bytes() if file.exists() else None for file in files)


def rows(folder: Path, n: int) -> None:
    """Prediction files of two methods on one data set, n rows each."""
    table = pq.read_table(GOLDEN)
    table = pa.concat_tables([table] * -(-n // table.num_rows)).slice(0, n).combine_chunks()
    ids = pa.array([f"id{i}" for i in range(n)])
    table = table.set_column(table.schema.get_field_index("id"), table.schema.field("id"), ids)
    # The second method tells the same instances in another order, and scores their words the other way round.
    place = table.schema.get_field_index("scores")
    scores = table["scores"].to_pylist()
    turned = [None if row is None else [None if s is None else -s for s in row] for row in scores]
    other = table.set_column(place, table.schema.field(place), pa.array(turned, table.schema.field(place).type)).take(
        pa.array(range(n - 1, -1, -1))
    )
    for method, rows_of in (("a", table), ("b", other)):
        (folder / method / "toy" / "0").mkdir(parents=True)
        pq.write_table(rows_of, folder / method / "toy" / "0" / "predictions.parquet", row_group_size=1000)


def eraser(folder: Path, n: int, rng: random.Random) -> None:
    """A folder of the benchmark with n documents, and results."""
    folder.mkdir()
    files: dict[str, list[dict[str, Any]]] = {"docs": [], "test": [], "results": []}
    for i in range(n):
        length = rng.randint(20, 60)
        start, end = sorted(rng.sample(range(length), 2))
        evidence = {"text": "", "docid": f"d{i}", "start_token": start, "end_token": end}
        share = rng.uniform(0.5, 1)
        scores = {"x": share, "y": 1 - share}
        rationale = {
            "docid": f"d{i}",
            "hard_rationale_predictions": [{"start_token": end // 2, "end_token": end}],
            "soft_rationale_predictions": [rng.random() for _ in range(length)],
        }
        files["docs"].append({"docid": f"d{i}", "document": " ".join(["w"] * length)})
        files["test"].append(
            {"annotation_id": f"d{i}", "query": "", "classification": "xy"[i % 2], "evidences": [[evidence]]}
        )
        files["results"].append(
            {
                "annotation_id": f"d{i}",
                "rationales": [rationale],
                "classification": "x",
                "classification_scores": scores,
                "comprehensiveness_classification_scores": scores,
                "sufficiency_classification_scores": scores,
            }
        )
    for name, records in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def commands(data: Path) -> list[Command]:
    a, b = (str(data / "runs" / method / "toy" / "0" / "predictions.parquet") for method in "ab")
    benchmark = [str(data / "eraser" / "results.jsonl"), "--data-dir", str(data / "eraser")]
    return [
        *(
            Command(f"score, {convention}", ["score", a, b, f"--convention={convention}", "--replicates=300"])
            for convention in ("strict", "paper")
        ),
        *(
            Command(
                f"score --data-dir, {convention}",
                ["score", *benchmark, f"--convention={convention}", *draws],
            )
            for convention, draws in (("eraser", []), *((one, ["--replicates=100"]) for one in ("strict", "paper")))
        ),
        Command("compare", ["compare", a, b, "--replicates=1000"]),
        Command(
            "nrg",
            ["nrg", f"{data}/runs/{{method}}/{{data}}/{{seed}}/predictions.parquet", "--format=json"],
            ("--output", "--freeze"),
        ),
        Command("validate", ["validate", a], ()),
        Command("validate --data-dir", ["validate", *benchmark], ()),
    ]


def check(command: Command, folder: Path, killed: bool) -> str:
    """What is wrong with what a command left, or nothing."""
    for found, whole in zip(command.found(folder), command.whole, strict=True):
        if found not in (OLD.encode(), whole):
            return f"an output of {None if found is None else len(found)} bytes"
    left = [path for path in folder.iterdir() if path.name.startswith(".")]
    # A killed process may leave its temporary file.
    for path in left if killed else ():
        path.unlink()
    return "" if killed or not left else f"left {left}"


def signals(command: Command, work: Path, rng: random.Random, count: int, outcomes: Counter[str]) -> list[str]:
    wrong = []
    for kind in (signal.SIGKILL, signal.SIGINT):
        for _ in range(count):
            for option in command.outputs:
                (work / f"{option.strip('-')}.json").write_text(OLD)
            pid = command.start(work, work / "error")
            time.sleep(rng.uniform(0.0, 1.1) * command.length)
            os.kill(pid, kind)
            sent = time.monotonic()
            code = ended(pid)
            outcomes[f"{kind.name} {code}"] += 1
            problem = check(command, work, kind == signal.SIGKILL)
            said = (work / "error").read_text()
            if kind == signal.SIGINT and (said.count("\n") > 1 or "Traceback" in said):
                problem = f"said {said!r}"
            if code not in ((0, -signal.SIGKILL) if kind == signal.SIGKILL else (0, 130)):
                problem = f"exit code {code}, said {said!r}"
            if time.monotonic() - sent > max(5.0, 2 * command.length):
                problem = f"ended {time.monotonic() - sent:.1f} s after the signal"
            if problem:
                wrong.append(f"{command.name}, {kind.name}: {problem}")
    return wrong


def faults(command: Command, work: Path, outcomes: Counter[str]) -> list[str]:
    """Disks that do not take the output: a limit on the size of a file, a full device, a folder that takes nothing."""
    wrong = []

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))  # what is said must still fit

    def tries(what: str, folder: Path, prepare: Callable[[], None] = lambda: None) -> None:
        code = ended(command.start(folder, work / "error", prepare))
        said = (work / "error").read_text()
        outcomes[f"{what} {code}"] += 1
        if code != 2 or said.count("\n") != 1 or str(folder) not in said:
            wrong.append(f"{command.name}, {what}: exit code {code}, said {said!r}")

    places = [("full", "size=4k"), ("read-only", "size=4k,ro")]
    if command.outputs:
        for option in command.outputs:
            (work / f"{option.strip('-')}.json").write_text(OLD)
        tries("limit", work, limited)
        if check(command, work, killed=False) or OLD.encode() not in command.found(work):
            wrong.append(f"{command.name}, limit: {check(command, work, killed=False)} {command.found(work)}")
        tries("no folder", work / "nowhere")
        for what, options in places:
            place = work / what
            place.mkdir(exist_ok=True)
            mount = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, check=False
            )
            if mount.returncode:  # not root
                continue
            try:
                if what == "full":
                    (place / "rest").write_bytes(b"x" * 4096)
                tries(what, place)
                if [path.name for path in place.iterdir()] != (["rest"] if what == "full" else []):
                    wrong.append(f"{command.name}, {what}: left {list(place.iterdir())}")
            finally:
                subprocess.run(["umount", str(place)], check=True)
    written = [f"{option}={work / option.strip('-')}.json" for option in command.outputs]
    arguments = [*command.arguments, *written]
    code = ended(fork(lambda: cli.main(arguments), work / "error", Path("/dev/full")))
    said = (work / "error").read_text()
    outcomes[f"full stdout {code}"] += 1
    if code != 2 or said.count("\n") != 1 or check(command, work, killed=False):
        wrong.append(f"{command.name}, full stdout: exit code {code}, said {said!r}")
    read, write = os.pipe()
    os.close(read)
    code = ended(fork(lambda: os.dup2(write, 1) and cli.main(arguments), work / "error"))
    os.close(write)
    said = (work / "error").read_text()
    outcomes[f"closed stdout {code}"] += 1
    if code != 141 or said or check(command, work, killed=False):
        wrong.append(f"{command.name}, closed stdout: exit code {code}, said {said!r}")
    return wrong


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signals", type=int, default=20, help="of each kind for each command")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    rng = random.Random(options.seed)
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="unirex-commands-") as name:
        data, work = Path(name) / "data", Path(name) / "work"
        data.mkdir()
        work.mkdir()
        rows(data / "runs", options.rows)
        eraser(data / "eraser", options.rows, rng)
        for command in commands(data):
            for _ in range(3):  # after the first time nothing is read from disk for the first time
                began = time.monotonic()
                code = ended(command.start(work, work / "error"))
                command.length = min(command.length, time.monotonic() - began)
            if code:
                print(f"{command.name}: exit code {code}: {(work / 'error').read_text()}")
                return 1
            command.whole = tuple(found or b"" for found in command.found(work))
            outcomes: Counter[str] = Counter()
            wrong += signals(command, work, rng, options.signals, outcomes)
            wrong += faults(command, work, outcomes)
            print(f"{command.name} ({command.length:.2f} s): {dict(outcomes)}", flush=True)
    print(f"{len(wrong)} wrong")
    for problem in wrong:
        print(problem)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

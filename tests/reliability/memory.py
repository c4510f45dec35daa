"""Peak memory of commands over files that are small on disk and large to read: `python tests/reliability/memory.py`."""

import gzip
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """
import resource, sys
from unirex.metrics.commands import cli
code = cli.main(sys.argv[1:])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.__stdout__)
"""
GOOD = b'{"id": "a", "label": "x", "prediction": "x"}\n'


def bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


def peak(*arguments: str) -> tuple[int, int]:
    """Exit code and peak memory (MiB) of a command of its own that may take 4 GiB of addresses."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, preexec_fn=bounded, check=False)
    assert "panicked" not in done.stderr
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    code, memory = done.stdout.split()[-2:]
    return int(code), int(memory)


def bomb(path: Path, start: bytes, filling: bytes, mebibytes: int) -> Path:
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(start)
        for _ in range(mebibytes):
            file.write(filling * ((1 << 20) // len(filling)))
    return path


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small.jsonl").write_bytes(GOOD)
        print("| input | on disk | unpacked | exit code | peak |\n|---|---|---|---|---|")
        _, least = peak("score", str(folder / "small.jsonl"))
        print(f"| one row | 46 B | 46 B | 0 | {least} MiB |")
        blank = bomb(folder / "blank.jsonl.gz", GOOD, b" ", 64)
        code, memory = peak("score", str(blank))
        print(f"| predictions: a line of blanks | {blank.stat().st_size >> 10} KiB | 64 MiB | {code} | {memory} MiB |")
        for file, start in (
            ("docs", b'{"docid": "'),
            ("test", b'{"annotation_id": "'),
            ("results", b'{"rationales": ["'),
        ):
            bomb(folder / f"{file}.jsonl.gz", start, b"a", 400)
        size = (folder / "docs.jsonl.gz").stat().st_size >> 10
        data = ["--data-dir", str(folder), "--split", "test"]
        code, memory = peak("validate", str(folder / "results.jsonl.gz"), *data)
        print(f"| ERASER files: a line without end | {size} KiB | 400 MiB each | {code} | {memory} MiB |")
        for file in ("docs", "test", "results"):
            bomb(folder / f"{file}.jsonl.gz", b"", b"[[[[[[[\n", 100)
        code, memory = peak("validate", str(folder / "results.jsonl.gz"), *data)
        print(f"| ERASER files: 13 M bad lines each | {size >> 2} KiB | 100 MiB each | {code} | {memory} MiB |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Toy runs on disks that are too small or read-only: `python tests/reliability/disk.py` (as root, on Linux).

A tmpfs of N KiB holds the run, for many N up to what a whole run takes, so that writing fails in the middle of every
kind of file. Each run must stop with one line that names a file and exit code 2, leave nothing torn, and go on to the
same bits once there is room.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from toy_runs import TINY, result, same, sound, start, wait


def mount(place: Path, *options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)], check=True)


def tries(place: Path, run: Path, log: Path, expected: dict[str, object]) -> list[str]:
    """What is wrong with a run on the disk at `place`; it is given room after its first failure."""
    wrong = []
    log.unlink(missing_ok=True)
    codes = wait(start([*TINY, f"--output={run}", "--resume=true"], 1, log))
    said = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("error: ")]
    if codes == [0]:
        return ["fitted"]
    if codes != [2] or len(said) != 1 or str(place) not in said[0]:
        wrong.append(f"exit codes {codes}, said {said or log.read_text()[-2000:]}")
    subprocess.run(["mount", "-o", "remount,rw,size=64m", str(place)], check=True)
    sound(run)
    codes = wait(start([*TINY, f"--output={run}", "--resume=true"], 1, log))
    if codes != [0]:
        return [*wrong, f"resumed: {codes} {log.read_text()[-2000:]}"]
    differ = same(expected, result(run))
    return [*wrong, *([f"differs in {differ}"] if differ else [])]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, default=24, help="how many sizes of disk")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="unirex-disk-"))
    log = work / "log"
    codes = wait(start([*TINY, f"--output={work / 'whole'}"], 1, log))
    if any(codes):
        print(log.read_text())
        return 1
    expected = result(work / "whole")
    largest = sum(path.stat().st_size for path in (work / "whole").rglob("*") if path.is_file()) // 1024
    failed, stopped, fitted = 0, 0, 0
    place = work / "disk"
    place.mkdir()
    disks = [[f"size={4 + largest * 2 * n // options.sizes}k"] for n in range(options.sizes)] + [["ro", "size=1m"]]
    for disk in disks:
        mount(place, *disk)
        try:
            wrong = tries(place, place / "run", log, expected)
        finally:
            subprocess.run(["umount", str(place)], check=True)
        fitted += wrong == ["fitted"]
        stopped += wrong != ["fitted"]
        if wrong not in ([], ["fitted"]):
            failed += 1
            print(f"{disk}: {wrong}")
    print(
        f"{len(disks)} disks: {stopped} too small or read-only, all but {failed} named the file, left nothing torn and "
        f"went on to the same bits; {fitted} large enough (a run takes {largest} KiB)"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

"""The script for one run under SLURM, played by an `srun` and an `scontrol` of our own in PATH."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reference.forks import stand_in
from reliability.test_stopped import TINY, losses

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SLURM needs POSIX")

SCRIPT = Path(__file__).resolve().parents[2] / "recipes" / "slurm" / "run.sbatch"
SRUN = """#!/bin/bash
[ -z "${FAKE_CODE:-}" ] || exit "$FAKE_CODE"
while [[ $1 == --* ]]; do shift; done
code=0
for ((task = 0; task < SLURM_NTASKS; task++)); do
    SLURM_PROCID=$task SLURM_LOCALID=$task "$@" &
    pids+=($!)
done
echo "${pids[@]}" > "$PLAYED/pids"
for pid in "${pids[@]}"; do
    wait "$pid"
    own=$?
    echo "$own" >> "$PLAYED/codes"
    [ "$own" -le "$code" ] || code=$own
done
exit "$code"
"""
SCONTROL = """#!/bin/bash
if [ "$1" = show ]; then echo 127.0.0.1; else echo "$@" >> "$PLAYED/told"; fi
"""


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """The environment of a job."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    played = {"PLAYED": str(tmp_path), "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_CPUS_PER_TASK": "1"}
    return {**os.environ, **played, **job, "SLURM_NTASKS": "1", "ACCELERATE_USE_CPU": "true"}


def job(cluster: dict[str, str], log: Path, *arguments: str, **more: str) -> "subprocess.Popen[bytes]":
    with log.open("ab") as out:
        return subprocess.Popen(["bash", SCRIPT, *arguments], env={**cluster, **more}, stdout=out, stderr=out)


@pytest.mark.slow
def test_a_job_that_runs_out_of_time_is_put_back_and_ends(cluster: dict[str, str], tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    arguments = [*TINY, "--train.epochs=10", "--train.lr=0.001", f"--output={run}"]
    cluster["SLURM_NTASKS"] = "2"
    stand_in(tmp_path / "python")
    first = job(cluster, log, *arguments)
    deadline = time.monotonic() + 200
    while len(losses(run)) < 3:
        assert first.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for pid in (tmp_path / "pids").read_text().split():
        os.kill(int(pid), signal.SIGUSR1)
    assert first.wait(timeout=60) == 128 + signal.SIGUSR1, log.read_text()
    assert (tmp_path / "codes").read_text().split() == [str(128 + signal.SIGUSR1)] * 2
    assert (tmp_path / "told").read_text() == f"requeue {cluster['SLURM_JOB_ID']}\n"
    done = len(losses(run))
    assert done < 20
    assert (run / "checkpoints" / f"step-{done:08d}").is_dir()
    again = job(cluster, log, *arguments, SLURM_RESTART_COUNT="1", SLURM_NTASKS="1")  # one is left of the two
    assert again.wait(timeout=200) == 0, log.read_text()
    assert len(losses(run)) == 20
    assert (run / "metrics.json").exists()
    assert (tmp_path / "told").read_text().count("requeue") == 1


@pytest.mark.parametrize(("code", "put_back"), [(0, 0), (1, 0), (2, 0), (124, 1), (130, 0), (138, 1), (143, 0)])
def test_only_an_end_of_time_puts_a_job_back(code: int, put_back: int, cluster: dict[str, str], tmp_path: Path) -> None:
    told = tmp_path / "told"
    assert job(cluster, tmp_path / "log", FAKE_CODE=str(code)).wait(timeout=60) == code
    assert (told.read_text() if told.exists() else "") == f"requeue {cluster['SLURM_JOB_ID']}\n" * put_back


def test_a_job_that_never_gets_on_is_not_put_back(cluster: dict[str, str], tmp_path: Path) -> None:
    script = job(cluster, tmp_path / "log", FAKE_CODE="138", SLURM_RESTART_COUNT="3", MOST_RESTARTS="3")
    assert script.wait(timeout=60) == 138
    assert "not put back: already started again 3 times" in (tmp_path / "log").read_text()
    assert not (tmp_path / "told").exists()


def test_the_scripts_are_sound() -> None:
    for script in SCRIPT.parent.glob("*.sbatch"):
        assert subprocess.run(["bash", "-n", script], check=False, capture_output=True).stderr == b""
    asked = [line for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    assert {"#SBATCH --requeue", "#SBATCH --signal=USR1@120"} <= set(asked)


def test_each_task_of_an_array_does_its_share(tmp_path: Path) -> None:
    (tmp_path / "python").write_text('#!/bin/bash\nprintf "%s|" "$OMP_NUM_THREADS" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    task = {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_CPUS_PER_TASK": "4"}
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", **task}
    command = ["bash", SCRIPT.with_name("shards.sbatch"), "explain", "--input", "a b.csv", "c.csv"]
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert said == "4|-m|unirex.cli|explain|--input|a b.csv|c.csv|--shard|2/3|"

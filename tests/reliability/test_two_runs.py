"""Two runs do not write one folder at once; a killed one does not stand in the way."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reference.forks import Fork
from reference.processes import start
from unirex import train
from unirex.disk import lock

TINY = [
    "--data.toy.n_train=48", "--data.toy.n_val=12", "--data.toy.n_test=9", "--model.random.hidden_size=16",
    "--model.random.num_attention_heads=2", "--train.batch_size=24", "--train.log_every=1", "--train.patience=null",
    "--eval.references=[random]",
]  # fmt: skip


def wait_for(path: Path, process: Fork) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.exitcode is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_run_is_refused_and_a_killed_one_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    same = [*TINY, f"--output={run}"]
    first = start(train.main, [*same, "--train.epochs=2000"], output=tmp_path / "output")
    try:
        wait_for(run / "model", first)
        for wish in ("--overwrite=true", "--resume=true"):
            assert train.main([*same, "--train.epochs=1", wish]) == 2
            error = capsys.readouterr().err.strip()
            assert f"{run}: process {first.pid} on {socket.gethostname()} writes it" in error
            assert "\n" not in error
        assert (run / "model").exists(), "the second run has cleared the folder of the first"
    finally:
        first.kill()
        first.join()
    assert train.main([*same, "--train.epochs=1", "--overwrite=true"]) == 0
    assert (run / "metrics.json").exists()


def test_a_lock_is_held_until_the_last_who_inherited_it_ends(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    descriptor = lock.take(path)
    assert descriptor is not None
    heir = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1, pass_fds=[descriptor])
    try:
        os.close(descriptor)
        assert lock.take(path) is None
        with pytest.raises(ValueError, match=rf"process {os.getpid()} on .* writes it"), lock.only_here(path):
            pass
    finally:
        heir.send_signal(signal.SIGKILL)
        heir.communicate()
    with lock.only_here(path):
        assert lock.take(path) is None
    again = lock.take(path)
    assert again is not None
    os.close(again)

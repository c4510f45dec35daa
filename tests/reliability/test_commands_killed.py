"""Kills, interrupts and full disks during `unirex-metrics`, a few of each; commands.py does many."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists() or not hasattr(os, "fork"), reason="for Linux")


def test_no_command_leaves_half_an_output() -> None:
    script = Path(__file__).with_name("commands.py")
    command = [sys.executable, str(script), "--signals=2", "--rows=400"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("0 wrong\n")
    assert "SIGINT 130" in done.stdout
    assert "SIGKILL -9" in done.stdout
    assert done.stdout.count("limit 2") == 7
    assert done.stdout.count("full stdout 2") == 9


INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
from unirex import _rust

folder = Path(sys.argv[1])
results = folder / "results.jsonl"
line = (folder / "line").read_bytes()

def write():
    with results.open("wb") as file:
        file.write(line)
        file.write(b'{"more": "' + b"a" * (1 << 22))  # fills the first batch, and goes on in the next
        file.flush()
        ready.wait()
        time.sleep(0.5)  # by then the main thread waits in Rust
        os.kill(os.getpid(), signal.SIGINT)

ready = threading.Event()
threading.Thread(target=write, daemon=True).start()
rows = _rust.EraserRows([results], folder, "test")
ready.set()
try:
    rows.step()
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_an_interrupt_before_the_first_array_is_no_panic(tmp_path: Path) -> None:
    """The bindings look up the functions of numpy when an array is first made, by Python code that Ctrl-C can end."""
    evidence = {"annotation_id": "d", "query": "", "evidences": [], "classification": "x"}
    rationale = {"docid": "d", "soft_rationale_predictions": [1, 2, 3]}
    (tmp_path / "docs.jsonl").write_text(json.dumps({"docid": "d", "document": "a b c"}) + "\n")
    (tmp_path / "test.jsonl").write_text(json.dumps(evidence) + "\n")
    (tmp_path / "line").write_text(json.dumps({"annotation_id": "d", "rationales": [rationale]}) + "\n")
    os.mkfifo(tmp_path / "results.jsonl")
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "")


PENDING = """
import functools, operator, signal, sys
import numpy as np
from unirex import _rust

def stop(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, stop)
ids, offsets = np.zeros(1, np.uint8), np.array([0, 1])
slow = functools.partial(sum, range(20_000_000))  # C all along: the signal waits for the next line of Python
hashed = functools.partial(_rust.hash_ids, ids, offsets)
signal.setitimer(signal.ITIMER_REAL, 0.02)
try:
    list(map(operator.call, [slow, hashed]))
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_an_interrupt_that_waits_when_the_first_array_comes_is_no_panic() -> None:
    done = subprocess.run([sys.executable, "-c", PENDING], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "")

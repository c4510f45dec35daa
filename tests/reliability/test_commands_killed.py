"""Kills, interrupts and full disks during `unirex-metrics`, a few of each; commands.py does many."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not Path("/dev/full").exists() or not hasattr(os, "fork"), reason="for Linux")
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

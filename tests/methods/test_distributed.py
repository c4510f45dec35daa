"""Two processes train every mode as one does."""

import os
import subprocess
import sys
from pathlib import Path

from reference import two_processes
from reference.method_worlds import CASES


def test_two_processes_have_the_gradients_of_one() -> None:
    script = Path(two_processes.__file__)
    path = os.pathsep.join([str(script.parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone"]
    done = subprocess.run(
        [*command, str(script)], env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, timeout=280,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    passed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" ok")}
    assert passed == set(CASES)

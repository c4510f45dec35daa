"""Two processes train every mode as one does."""

from pathlib import Path

from reference import two_processes
from reference.method_worlds import CASES
from reference.processes import end, start_two


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    output = tmp_path / "output"
    codes = end(*start_two(two_processes.main, output=output))
    assert codes == [0, 0], output.read_text()[-4000:]
    passed = {line.split()[0] for line in output.read_text().splitlines() if line.endswith(" ok")}
    assert passed == set(CASES)

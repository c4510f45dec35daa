"""Pages of freed blocks stay while training runs, and go back to the system afterwards."""

import platform
from pathlib import Path

import pytest

pytest.importorskip("resource")

from reference.pages import pages_of_blocks
from reference.processes import end, start

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


@pytest.mark.parametrize(("decided", "kept"), [(None, True), ("MALLOC_ARENA_MAX", False)])
def test_pages_are_paid_for_once_unless_somebody_set_the_allocator(
    decided: str | None, kept: bool, tmp_path: Path
) -> None:
    process = start(pages_of_blocks, decided, output=tmp_path / "output")
    assert end(process, seconds=60) == [0], (tmp_path / "output").read_text()
    before, inside, after = map(float, (tmp_path / "output").read_text().split())
    assert before > 1000
    assert (inside < 0.1 * before) if kept else (inside > 0.9 * before)
    assert after > 0.9 * before

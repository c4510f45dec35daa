"""Pages of freed blocks stay while training runs, and go back to the system afterwards."""

import platform

import pytest
import torch

from unirex.training.memory import keeping_pages

resource = pytest.importorskip("resource")
BLOCK = 12_000_000  # floats; more than glibc would keep by itself


def new_pages(n_blocks: int = 4) -> float:
    """Page faults of making a block of zeros and freeing it, a mean."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n_blocks):
        torch.zeros(BLOCK)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / n_blocks


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> float:
    """Page faults of a block that is all new."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("another C library")
    for name in ("MALLOC_ARENA_MAX", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    return new_pages()


def test_pages_are_paid_for_once_inside_and_given_back_afterwards(whole: float) -> None:
    with keeping_pages():
        new_pages()
        assert new_pages() < 0.1 * whole
    assert new_pages(1) > 0.9 * whole


def test_who_sets_the_allocator_decides(whole: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    with keeping_pages():
        assert new_pages() > 0.9 * whole

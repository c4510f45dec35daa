"""What a block of memory costs in page faults; measured in a process of its own, whose heap has no large holes."""

import os
import resource

import torch

from unirex.training.memory import keeping_pages

_BLOCK = 12_000_000  # floats; more than glibc would keep by itself


def new_pages(n_blocks: int = 4) -> int:
    """Page faults of making a block of zeros and freeing it: the fewest of some.

    A small object can come to lie in the hole that a freed block left; the next block then needs new pages once more.
    """
    faults = []
    for _ in range(n_blocks):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(_BLOCK)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return min(faults)


def pages_of_blocks(decided: str | None) -> int:
    """Prints page faults of a block before, inside and after the time in which pages are kept."""
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))]:
        del os.environ[name]
    if decided:
        os.environ[decided] = "2"
    before = new_pages()
    with keeping_pages():
        inside = new_pages(40)
    print(before, inside, new_pages(1))
    return 0

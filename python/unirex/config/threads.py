"""How the threads of torch wait for one another, which is settled when it is imported."""

import os

_DECIDE = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}


def spin_briefly() -> None:
    """Lets OpenMP's threads sleep soon where they wait, unless the environment says how; to be called before torch.

    They would spin for milliseconds, and where other work wants the cores, take the time of the very thread they wait
    for: ten times the processor time of a training step (docs/performance.md).

    >>> spin_briefly(); bool(_DECIDE & os.environ.keys())
    True
    """
    if not _DECIDE & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "10000"  # of libgomp, which torch has on Linux; 300,000 by itself

"""How the threads of torch wait for one another, which is settled when it is imported."""

import os

_DECIDE = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}


def wait_asleep() -> None:
    """Lets OpenMP's threads sleep where they wait, unless the environment says how; to be called before torch comes.

    They would spin, and where other work wants the cores, take the time of the very thread they wait for: ten times the
    processor time of a training step (docs/performance.md).

    >>> wait_asleep(); bool(_DECIDE & os.environ.keys())
    True
    """
    if not _DECIDE & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "passive"

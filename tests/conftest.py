"""Small runs are faster on one thread, start faster from bytecode, and never ask a network."""

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from types import SimpleNamespace

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
if sys.dont_write_bytecode:
    # Without bytecode each process that a test starts compiles all of torch again: as long as importing it.
    _BYTECODE = tempfile.TemporaryDirectory(prefix="unirex-bytecode-")
    sys.dont_write_bytecode, sys.pycache_prefix = False, _BYTECODE.name
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = _BYTECODE.name

import pytest
from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell in the background ignores Ctrl-C, and so would every process that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A deadline is a timed test, and fails where the machine is busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

os.fsync = int  # type: ignore[assignment]  # no test cuts the power


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    import torch  # the process that only hands out tests to others needs none

    torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # pytest-xdist begins with the files of many tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no worker is left with one when the others have ended."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Imports make no garbage: to look for it all the same takes a sixth of their time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Modules stay: what collects garbage after every run need not look through all of torch each time."""
    gc.collect()
    gc.freeze()
    if "accelerate.utils.memory" in sys.modules:  # which collects at the end of each run what nobody waits for here
        sys.modules["accelerate.utils.memory"].gc = SimpleNamespace(collect=int)  # type: ignore[attr-defined]
    if "reference.processes" in sys.modules:
        sys.modules["reference.processes"].server()


def pytest_sessionfinish() -> None:
    gc.unfreeze()

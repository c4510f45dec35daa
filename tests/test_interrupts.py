"""Ctrl-C where Python only prints errors is heard all the same, on a busy machine too."""

import threading
import time
from typing import Any

import pytest

from unirex import interrupts


class _Left:
    def __del__(self) -> None:
        raise KeyboardInterrupt


def _wait(seconds: float) -> None:
    """An interrupt from a thread ends no sleep."""
    for _ in range(round(seconds / 0.01)):
        time.sleep(0.01)


def _leave_and_wait() -> None:
    with interrupts.heard():
        _Left()
        _wait(5)


@pytest.mark.parametrize("busy", [False, True])
def test_an_interrupt_that_python_would_only_print_is_raised_again(
    busy: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start = threading.Thread.start

    def slow(self: Any) -> None:  # the thread has done its work before this one goes on
        start(self)
        _wait(0.2)

    if busy:
        monkeypatch.setattr(threading.Thread, "start", slow)
    with pytest.raises(KeyboardInterrupt):
        _leave_and_wait()
    assert capsys.readouterr().err == ""


def test_nothing_is_raised_behind_the_block() -> None:
    with interrupts.heard():
        _Left()
    _wait(0.1)

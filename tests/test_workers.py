"""The workers of a suite: they share the ledger's state, and an error that no run accounts for ends the command."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_ledger import World, world
from unirex.suites.launch import LaunchConfig, Launcher, Result
from unirex.suites.ledger import Entry, Ledger
from unirex.suites.session import Recorded

__all__ = ["world"]


def test_a_worker_asks_for_a_run_while_another_is_added(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.run("--only", "one") == 0
    assert len(world.calls()) == 4
    recorded = Recorded(suite=world.suite)
    beside = Ledger.beside

    def slow(ledger: Ledger) -> Iterator[Entry]:
        adding = threading.Thread(target=recorded.add, args=(world.plan[0],))
        adding.start()
        threads.append(adding)
        adding.join(timeout=0.2)  # it waits until this is read, or it takes away what has been read
        yield from ledger.entries()

    threads: list[threading.Thread] = []
    monkeypatch.setattr(Ledger, "beside", slow)
    assert recorded.lacks(world.plan[-1]) == list(world.plan[-1].judged)
    monkeypatch.setattr(Ledger, "beside", beside)
    (adding,) = threads
    adding.join(timeout=20)
    assert not adding.is_alive()


def test_an_error_that_no_run_accounts_for_is_raised(world: World, tmp_path: Path) -> None:
    asked: list[str] = []
    told: list[Result] = []

    def known(run: object) -> bool:
        asked.append(str(run))
        if len(asked) == 2:
            raise RuntimeError("a mistake of ours")
        return True

    launcher = Launcher(config=LaunchConfig(jobs=2), report=told.append, known=known)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        launcher.run_all(world.plan)
    assert len(told) >= len(asked) - 2  # what others did is told first
    assert list(tmp_path.glob("out/*/*/*/log.jsonl")) == []

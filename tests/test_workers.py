"""The workers of a suite: they share the ledger's state, and an error that no run accounts for ends the command."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import test_suite
from test_ledger import World, entry, world
from unirex.suites.launch import LaunchConfig, Launcher, Result
from unirex.suites.ledger import Entry, Ledger
from unirex.suites.override import read_override
from unirex.suites.plan import complete, make_plan
from unirex.suites.recipe import read_suite
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


def test_a_model_is_judged_elsewhere_by_all_settings_of_its_run(tmp_path: Path) -> None:
    """Those of files and presets too; the other data set's own come first, and the command line before all."""
    (tmp_path / "eval.yaml").write_text(yaml.safe_dump({"eval": {"how": ["delete"], "fractions": [0.5], "seed": 7}}))
    far = {"far": {"set": {"data.other_labels": "missing", "data.limit": 200, "eval.seed": 3}}}
    suite = read_suite(str(test_suite.write(tmp_path, base=["small.yaml", "eval.yaml"], transfer=far)))
    (transfer,) = make_plan(suite, [])[0].transfers
    judged = transfer.content["eval"]
    assert (judged["how"], judged["fractions"], judged["seed"]) == (["delete"], [0.5], 3)
    assert transfer.content["data"]["limit"] == 200
    (transfer,) = make_plan(suite, [read_override("data.limit=8"), read_override("eval.seed=5")])[0].transfers
    assert (transfer.content["data"]["limit"], transfer.content["eval"]["seed"]) == (8, 5)


@pytest.mark.parametrize(
    ("error", "told"), [(pa.ArrowInvalid, True), (pa.ArrowNotImplementedError, True), (pa.ArrowMemoryError, False)]
)
def test_rows_that_cannot_be_read_are_not_done_and_too_little_memory_is_an_error(
    error: type[Exception], told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_: object) -> None:
        raise error("found")

    (tmp_path / "metrics.json").write_text("{}")
    monkeypatch.setattr(pq, "read_metadata", read)
    if told:
        assert not complete(tmp_path)
    else:
        with pytest.raises(pa.ArrowMemoryError):
            complete(tmp_path)


def test_a_model_trained_anew_is_judged_elsewhere_anew(tmp_path: Path) -> None:
    far = {"far": {"set": {"data.other_labels": "missing"}}}
    run = make_plan(read_suite(str(test_suite.write(tmp_path, transfer=far))), [])[0]
    (transfer,) = run.transfers
    transfer.folder.mkdir(parents=True)
    (transfer.folder / "metrics.json").write_text("{}")
    pq.write_table(pa.table({"id": ["a"]}), transfer.folder / "predictions.parquet")
    transfer.recipe.write_text(yaml.safe_dump(dict(transfer.content)))
    assert transfer.done()
    model = Path(transfer.content["model"]) / "config.json"
    model.parent.mkdir(parents=True)
    model.write_text("{}")
    made = (transfer.folder / "metrics.json").stat().st_mtime
    os.utime(model, (made - 5, made - 5))
    assert transfer.done()
    os.utime(model, (made + 5, made + 5))
    assert not transfer.done()


def test_other_controls_than_before_leave_a_table(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run() == 0
    world.path.write_text(world.path.read_text().replace("references: slm", "references: grad"))
    capsys.readouterr()
    assert world.run("--table-only") == 0
    assert re.search(r"no random control of one: .*\.parquet is not there", capsys.readouterr().err)
    assert (world.folder / "out" / "s.md").is_file()


def test_a_line_torn_inside_a_character_is_cut_off(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("--only", "one") == 0
    ledger = world.ledger
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + '{"suite": "\u00e9'.encode()[:-1])
    assert len(ledger.entries()) == 4
    assert "line 5 is cut off, and left out" in capsys.readouterr().out
    assert world.run() == 0
    assert len(ledger.entries()) == 8
    assert ledger.path.read_bytes().startswith(whole)


def test_half_a_line_of_a_log_is_passed_over(world: World) -> None:
    assert world.run("--only", "one", "grad") == 0
    world.ledger.path.unlink()
    with (world.plan[0].folder / "log.jsonl").open("a") as log:
        log.write('{"event": "warning", "epoch": nu')
    assert world.run("--only", "one", "grad") == 0
    (entry,) = world.ledger.entries()
    assert entry.cost["columns"]["run_minutes"] == 1.5


def test_a_failure_is_told_where_there_is_no_table_too(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    page = world.folder / "lost.md"
    page.write_text("<!-- suite s -->\n<!-- end of suite s -->\n")
    lost = f"import os, sys; os.path.exists({str(page)!r}) and os.unlink({str(page)!r}); sys.exit('error: broken')"
    (world.folder / "fake.py").write_text(lost)
    assert world.run("--only", "one", "grad", "--page", str(page)) == 2
    error = capsys.readouterr().err
    assert "failed: one/grad/0: exit code 1: error: broken" in error
    assert f"{page}: no such file" in error


@pytest.mark.parametrize("again", [0.0, 1.5])
def test_a_repeated_signal_kills_after_a_second_only(
    again: float, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launcher repeats to all of its processes what the terminal has sent to them."""
    sent: list[signal.Signals] = []
    launcher = Launcher(config=LaunchConfig(), report=print, known=lambda _: True)
    monkeypatch.setattr(launcher, "_signal", sent.append)
    calls = iter([KeyboardInterrupt, KeyboardInterrupt, None])
    clock = iter([0.0, again])
    monkeypatch.setattr("unirex.suites.launch.time.monotonic", lambda: next(clock))

    def collect(*_: object) -> None:
        if (error := next(calls)) is not None:
            raise error

    monkeypatch.setattr(launcher, "_collect", collect)
    launcher._see_to([], None)  # type: ignore[arg-type]
    assert launcher.stopped
    assert sent == [signal.SIGINT, signal.SIGKILL][: 2 if again else 1]


def test_row_values_are_those_of_the_line(tmp_path: Path) -> None:
    """Of two machines that finish the same run, one adds the line and the rows, and the other neither."""
    ledger, written = Ledger(path=tmp_path / "s.jsonl"), []
    added = [ledger.add(entry(), lambda name=name: written.append(name)) for name in "ab"]  # type: ignore[misc]
    assert (added, written) == ([True, False], ["a"])
    with pytest.raises(OSError, match="full"):
        ledger.add(entry(seed=1, config={"seed": 1}), fails)
    assert [one.seed for one in ledger.entries()] == [0]


def fails() -> None:
    raise OSError("full")

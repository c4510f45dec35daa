"""Killed before every single call that changes the disk: what is loaded afterwards is the old state or the new one."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reference.checkpoints import latest
from unirex.disk import checkpoint
from unirex.disk.atomic import atomic_write
from unirex.disk.run_folder import RunFolder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "shutil.rmtree"}


def dies_before(call: int, work: Callable[[], None]) -> bool:
    """Does `work` in a forked process that is killed before its `call`-th change of the disk; whether it got there."""
    pid = os.fork()
    if pid == 0:
        left = call

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in CHANGES:
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

        sys.addaudithook(hook)
        work()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def trained(value: float) -> tuple[dict[str, torch.Tensor], torch.optim.Optimizer]:
    model = torch.nn.Linear(3, 2)
    torch.nn.init.constant_(model.weight, value)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model.state_dict(), optimizer


def loaded(run: Path) -> float | None:
    """The weight that a resumed run starts from, None if it starts anew."""
    checkpoint.recover(run)
    assert not [p for p in run.rglob(".*") if p.name != ".keep"]
    newest = latest(run)
    if newest is None:
        return None
    weights, state = checkpoint.load(newest, trained(0.0)[1])
    value = float(weights["weight"][0, 0])
    assert state["value"] == value
    return value


@pytest.mark.parametrize(("first", "second"), [(None, 1), (1, 2), (1, 1)], ids=["first", "next", "same step again"])
def test_a_checkpoint_is_the_old_or_the_new_one(first: int | None, second: int, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    new, old = trained(2.0), trained(1.0)
    outcomes = []
    for call in range(1000):
        run = tmp_path / str(call)
        run.mkdir()
        if first is not None:
            checkpoint.save(run, first, *old, {"value": 1.0})
        died = dies_before(call, lambda: checkpoint.save(run, second, *new, {"value": 2.0}))  # noqa: B023
        outcomes.append(loaded(run))
        if not died:
            break
    before = None if first is None else 1.0
    turn = outcomes.index(2.0)
    assert outcomes == [before] * turn + [2.0] * (len(outcomes) - turn)
    assert turn > 5
    assert outcomes[-1] == 2.0


def test_a_saved_model_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    def save(run: Path, text: str) -> None:
        with checkpoint.atomic_folder(run / "model") as folder:
            for name in ("config.json", "model.safetensors"):
                (folder / name).write_text(text)

    outcomes = []
    for call in range(1000):
        run = tmp_path / str(call)
        run.mkdir()
        save(run, "old")
        died = dies_before(call, lambda: save(run, "new"))  # noqa: B023
        checkpoint.recover(run)
        contents = {path.read_text() for path in (run / "model").iterdir()}
        assert len(contents) == 1
        assert [p.name for p in run.iterdir()] == ["model"]
        outcomes += contents
        if not died:
            break
    assert outcomes == ["old"] * outcomes.index("new") + ["new"] * outcomes.count("new")


def test_a_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    outcomes = []
    for call in range(100):
        path = tmp_path / str(call) / "metrics.json"
        path.parent.mkdir()
        path.write_text('{"is": "old"}')

        def save() -> None:
            with atomic_write(path, "w") as file:  # noqa: B023
                file.write('{"is": "new"}')

        died = dies_before(call, save)
        outcomes.append(json.loads(path.read_text())["is"])
        checkpoint.recover(path.parent)
        assert [p.name for p in path.parent.iterdir()] == ["metrics.json"]
        if not died:
            break
    assert outcomes == ["old"] * outcomes.index("new") + ["new"] * outcomes.count("new")


def test_an_overwritten_run_never_mixes_with_its_successor(tmp_path: Path) -> None:
    """A kill while `--overwrite` clears the folder leaves the old configuration, so that nothing else goes on there."""
    from accelerate import Accelerator

    from unirex.config.run import parse, to_yaml
    from unirex.training.opening import open_run, stored_config

    run = tmp_path / "run"
    old, new = (
        parse([f"--output={run}", f"--seed={seed}", "--overwrite=true"], prog="p", description="d") for seed in (0, 7)
    )
    accelerator = Accelerator(cpu=True)
    (run / "checkpoints" / "step-00000009").mkdir(parents=True)
    (run / "log.jsonl").write_text("{}\n")
    (run / "config.yaml").write_text(to_yaml(old))
    seeds = []
    for call in range(100):
        died = dies_before(call, lambda: open_run(accelerator, new, RunFolder(run)))
        seeds.append(stored_config(run / "config.yaml")["seed"])
        if seeds[-1] == 7:
            assert not (run / "checkpoints").exists()
            assert not (run / "log.jsonl").exists()
        if not died:
            break
    assert seeds == [0] * seeds.index(7) + [7] * seeds.count(7)
    assert seeds[0] == 0

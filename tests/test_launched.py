"""What a launcher was asked for and did not do is said, in one line."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from unirex.training import launched


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "WORLD_SIZE", "ACCELERATE_DYNAMO_BACKEND"):
        monkeypatch.delenv(name, raising=False)


def under(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """As if the parent of this process were that command."""
    monkeypatch.setattr(launched, "_launcher", command.split)


def test_what_was_asked_for_and_done_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    launched.check_launch(Accelerator(cpu=True))
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")
    under(monkeypatch, "accelerate launch --num_processes 1 --gradient-accumulation-steps=1 -m unirex.train")
    launched.check_launch(Accelerator(cpu=True))


@pytest.mark.parametrize(("command", "asked"), [("accelerate launch --num-processes=3 x.py", "3"), ("", "several")])
def test_one_process_for_several_is_refused(command: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    under(monkeypatch, command)
    with pytest.raises(ValueError, match=rf"asked for {asked} processes .* and started 1, expected --multi_gpu"):
        launched.check_launch(Accelerator(cpu=True))


def test_a_meeting_place_in_the_environment_of_one_process_is_no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")
    monkeypatch.setenv("MASTER_ADDR", "node1")
    under(monkeypatch, "accelerate launch --num_processes 1 -m unirex.train")
    launched.check_launch(Accelerator(cpu=True))


@pytest.mark.parametrize(
    ("asked", "launcher", "processor", "found"),
    [
        ("auto", None, {"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ("auto", "no", {"avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ("auto", "no", {"avx2": True}, "no"),
        ("auto", "bf16", {"avx2": True}, "bf16"),
        ("no", "bf16", {"amx_bf16": True}, "no"),
        (None, "bf16", {"amx_bf16": True}, None),
    ],
)
def test_auto_is_bf16_where_the_processor_has_it(
    asked: str | None, launcher: str | None, processor: dict[str, bool], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor, raising=False)
    if launcher is None:
        monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    else:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launcher)
    assert launched.precision_of(asked) == found


def test_auto_on_a_gpu_is_bf16_where_it_computes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda _: torch.device("cuda"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    for able, on_cpu, found in ((True, "false", "bf16"), (False, "false", "no"), (True, "true", "no")):
        monkeypatch.setenv("ACCELERATE_USE_CPU", on_cpu)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda able=able, **_: able)
        assert launched.precision_of("auto") == found


def test_processes_of_two_precisions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    several = SimpleNamespace(num_processes=2, mixed_precision="bf16")
    monkeypatch.setattr(launched, "gather_object", lambda own: [*own, "no"])
    with pytest.raises(ValueError, match=r"train\.precision is bf16 and no on different machines, expected one"):
        launched.check_one_precision(several)  # type: ignore[arg-type]
    monkeypatch.setattr(launched, "gather_object", lambda own: own * 2)
    launched.check_one_precision(several)  # type: ignore[arg-type]


def test_fp16_on_a_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator = Accelerator(cpu=True)
    monkeypatch.setattr(type(accelerator), "mixed_precision", "fp16")
    with pytest.raises(ValueError, match=r"precision is fp16, .* expected bf16 or no"):
        launched.check_launch(accelerator)


@pytest.mark.parametrize("option", ["--gradient_accumulation_steps 4", "--gradient-accumulation-steps=4"])
def test_the_launchers_accumulation_is_refused(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    under(monkeypatch, f"python accelerate launch {option} -m unirex.train --config a.yaml")
    with pytest.raises(ValueError, match=r"gradient_accumulation_steps is 4, expected 1: train\.accumulation"):
        launched.check_launch(Accelerator(cpu=True))


def test_arguments_behind_our_module_are_not_the_launchers(monkeypatch: pytest.MonkeyPatch) -> None:
    under(monkeypatch, "accelerate launch -m unirex.train --gradient_accumulation_steps 4")
    launched.check_launch(Accelerator(cpu=True))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not show the launcher's command line")
def test_a_launcher_that_starts_one_process_for_two_is_refused(tmp_path: Path) -> None:
    """`type: MULTI_CPU` in accelerate's configuration, as `accelerate config` writes it."""
    config = tmp_path / "accelerate.yaml"
    config.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_CPU\nmachine_rank: 0\nmain_process_port: 0\n"
        "mixed_precision: 'no'\nnum_machines: 1\nnum_processes: 2\nuse_cpu: true\n"
    )
    run = tmp_path / "run"
    command = ["-m", "accelerate.commands.launch", f"--config_file={config}", "-m", "unirex.train", f"--output={run}"]
    done = subprocess.run([sys.executable, *command], check=False, capture_output=True, text=True, timeout=250)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert "processes (MASTER_ADDR is 127.0.0.1) and started 1, expected --multi_gpu" in lines[0]
    assert not run.exists()


def test_processes_that_do_not_know_of_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator = Accelerator(cpu=True)
    under(monkeypatch, "accelerate launch --num_processes 1 -m unirex.train")
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")
    monkeypatch.setenv("WORLD_SIZE", "1")
    launched.check_launch(accelerator)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="WORLD_SIZE is 2, expected 1, the processes that accelerate sees"):
        launched.check_launch(accelerator)

"""How this process was started: whether the launcher did what it was asked, and what happens when it ends."""

import ctypes
import os
import signal
import sys
from itertools import pairwise
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object, parse_flag_from_env

_LAUNCHERS = {"accelerate", "accelerate-launch", "accelerate.commands.launch", "torchrun", "torch.distributed.run"}
_PR_SET_PDEATHSIG = 1


def precision_of(asked: str | None) -> str | None:
    """What `train.precision` means on this machine: `no`, `bf16` or `fp16`; None = what accelerate's launcher says.

    `auto` is a half that the launcher was asked for, else bf16 where it is faster: on a GPU that computes in it, and on
    an x86 processor with AVX-512-BF16 or AMX. Others would convert every product.
    """
    if asked != "auto":
        return asked
    told = os.environ.get("ACCELERATE_MIXED_PRECISION")  # `no` where the launcher was asked for nothing
    if told in {"bf16", "fp16"}:
        return told
    found = None if parse_flag_from_env("ACCELERATE_USE_CPU") else torch.accelerator.current_accelerator(True)
    device = "cpu" if found is None else found.type
    if device == "cpu":
        # The first versions of torch that are supported do not say.
        able: dict[str, bool] = dict(getattr(torch.cpu, "get_capabilities", dict)())
        return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "no"
    return "bf16" if device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "no"


def forget_precision() -> None:
    """Lets this process train in another precision than before, as a notebook does; accelerate keeps the first."""
    AcceleratorState._reset_state()


def check_one_precision(accelerator: Accelerator) -> None:
    """Refuses processes on unlike machines, of which `auto` means one thing on some and another on others.

    Raises:
        ValueError: one line, in every process.
    """
    if accelerator.num_processes > 1:
        found = sorted(set(gather_object([accelerator.mixed_precision])))
        if len(found) > 1:
            raise ValueError(
                f"train.precision is {' and '.join(found)} on different machines, expected one: say --train.precision"
            )


def check_launch(accelerator: Accelerator) -> None:
    """Refuses requests to accelerate that it ignores, and ways of running that training does not support.

    Raises:
        ValueError: one line: other processes than those asked for, sharding, fp16 on a CPU, accelerate's accumulation.
    """
    _check_processes(accelerator)
    if accelerator.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise ValueError(
            "precision is fp16, which accelerate silently ignores on a CPU; expected bf16 or no "
            "(train.precision or accelerate's --mixed_precision)"
        )
    asked = _asked_of_launcher("--gradient_accumulation_steps") or str(accelerator.gradient_accumulation_steps)
    if asked != "1":
        raise ValueError(
            f"accelerate's gradient_accumulation_steps is {asked}, expected 1: train.accumulation cuts each batch of "
            "train.batch_size into as many micro-batches"
        )


def _check_processes(accelerator: Accelerator) -> None:
    """Refuses processes that are not connected and would write one run twice, and one process instead of several.

    Sharded training (FSDP, DeepSpeed and their kin) is refused too: checkpoints hold the state of one process.
    """
    kind = accelerator.distributed_type.value
    if kind != "NO" and not kind.startswith("MULTI_"):
        raise ValueError(
            f"distributed_type is {kind}, expected one process or data-parallel ones (accelerate launch --multi_gpu)"
        )
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != accelerator.num_processes:
        raise ValueError(
            f"WORLD_SIZE is {started}, expected {accelerator.num_processes}, the processes that accelerate sees; "
            "to run several on the CPU set ACCELERATE_USE_CPU=true"
        )
    # Without --multi_gpu `accelerate launch` silently starts one process, with the address where several would meet.
    meeting = os.environ.get("MASTER_ADDR")
    if "ACCELERATE_DYNAMO_BACKEND" in os.environ and meeting and "WORLD_SIZE" not in os.environ:
        asked = _asked_of_launcher("--num_processes")
        if asked != "1":
            raise ValueError(
                f"accelerate launch was asked for {asked or 'several'} processes (MASTER_ADDR is {meeting}) and "
                "started 1, expected --multi_gpu --num_processes N (on a CPU with ACCELERATE_USE_CPU=true in front, "
                "not --cpu), or --num_processes 1"
            )


def end_with_launcher() -> None:
    """Makes this process receive SIGTERM when the launcher that started it ends (Linux only).

    Otherwise a stopped launcher would leave it training next to the run that replaces it.
    """
    parent = os.getppid()
    if sys.platform != "linux" or not _launcher():
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it ended meanwhile
        os.kill(os.getpid(), signal.SIGTERM)


def _launcher() -> list[str]:
    """The command line of the parent process if that is a launcher and can be seen (Linux)."""
    try:
        words = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
    return words if any(Path(word).name in _LAUNCHERS for word in words[:4]) else []


def _asked_of_launcher(option: str) -> str | None:
    """The value of an option of the launcher's own, written with either kind of dash; None if it was not given."""
    for word, after in pairwise([*_launcher(), ""]):
        name, _, value = word.partition("=")
        if name.startswith("--") and name.replace("-", "_") == option.replace("-", "_"):
            return value or after
        if word in {"-m", "--module"} and after.startswith("unirex."):
            return None
    return None

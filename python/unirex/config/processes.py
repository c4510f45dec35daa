"""Several processes: `unirex train --num-processes 4 …` becomes `accelerate launch … -m unirex.train …`."""

import os
import sys
from collections.abc import Sequence

_VALUED = frozenset({
    "config_file", "dynamo_backend", "gpu_ids", "log_dir", "machine_rank", "main_process_ip", "main_process_port",
    "max_restarts", "mixed_precision", "monitor_interval", "num_cpu_threads_per_process", "num_machines",
    "num_processes", "rdzv_backend", "rdzv_conf", "role", "tee",
})  # fmt: skip
_FLAGS = frozenset({"cpu", "debug", "enable_cpu_affinity", "multi_gpu", "same_network"})


def launch(module: str, arguments: Sequence[str]) -> list[str]:
    """The arguments of the module itself; where the others ask for several processes, it starts them and is replaced.

    Options of `accelerate launch`, with either kind of dash, may stand anywhere among the module's own.

    Raises:
        ValueError: a number of processes that is none.
    """
    options, own = split(arguments)
    several, words = bool(options.keys() - {"cpu"}), command(module, options, own)
    if "cpu" in options or (several and "config_file" not in options and not _has_gpu()):
        os.environ["ACCELERATE_USE_CPU"] = "true"
    if several:
        os.execv(sys.executable, words)  # noqa: S606 (our own command, without a shell)
    return own


def split(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The launcher's options by name, and the other arguments.

    >>> split(["--num-processes", "4", "--config", "a.yaml", "--main_process_port=0", "--cpu"])
    ({'num_processes': '4', 'main_process_port': '0', 'cpu': ''}, ['--config', 'a.yaml'])
    """
    options: dict[str, str] = {}
    own: list[str] = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        name = option.removeprefix("--").replace("-", "_") if option.startswith("--") else ""
        if name in _VALUED:
            options[name] = value if equals else next(words, "")
            if not options[name]:
                raise ValueError(f"{option} has no value, expected one")
        elif name in _FLAGS and not equals:
            options[name] = ""
        else:
            own.append(word)
    return options, own


def command(module: str, options: dict[str, str], own: Sequence[str]) -> list[str]:
    """The command line that starts the module through accelerate's launcher.

    What the launcher would ask or warn about is given, unless a configuration file of its own decides.

    >>> command("unirex.train", {"num_processes": "2"}, ["--seed=1"])[1:6]
    ['-m', 'accelerate.commands.launch', '--multi_gpu', '--num_processes=2', '--num_machines=1']
    """
    options = {name: value for name, value in options.items() if name != "cpu"}  # it would start one process only
    for name in ("num_processes", "num_machines"):
        if name in options and not (options[name].isdecimal() and int(options[name]) >= 1):
            shown = f"--{name.replace('_', '-')}"
            raise ValueError(f"{shown} is {options[name]!r}, expected a whole number of at least 1")
    if "config_file" not in options:
        usual = {"num_processes": "1", "num_machines": "1", "mixed_precision": "no", "dynamo_backend": "no"}
        if options.get("num_machines", "1") == "1":
            usual["main_process_port"] = "0"  # any that is free
        several = {"multi_gpu": ""} if options.get("num_processes", "1") != "1" else {}
        options = {**several, **options, **{name: value for name, value in usual.items() if name not in options}}
    words = [f"--{name}={value}" if value else f"--{name}" for name, value in options.items()]
    return [sys.executable, "-m", "accelerate.commands.launch", *words, "-m", module, *own]


def _has_gpu() -> bool:
    """Whether there is a device that several processes can share the work on."""
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    return found is not None and found.type != "mps"

"""What a process used of its machine, for the log of a run."""

import os
import platform
import sys
import time
from typing import Any

import torch
import transformers

from unirex._rust import __version__

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def footprint(device: torch.device) -> dict[str, Any]:
    """Processor seconds and most memory so far, the device, threads, and the versions that took part.

    `cpu_seconds` are this process's, over all of its threads; for the memory see `peak_memory`.
    """
    found: dict[str, Any] = {
        "cpu_seconds": round(time.process_time(), 2),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "versions": {
            "unirex": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        **peak_memory(device),
    }
    return found


def peak_memory(device: torch.device) -> dict[str, int]:
    """The most bytes so far: `peak_memory` resident (not on Windows), `peak_device_memory` of a GPU's allocator."""
    found = {}
    if resource is not None:
        unit = 1 if sys.platform == "darwin" else 1024
        found["peak_memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if device.type == "cuda":
        found["peak_device_memory"] = torch.cuda.max_memory_allocated(device)
    return found


def _processor() -> str:
    """The kind of processor: what Linux calls it, else the architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else platform.machine()} ({os.cpu_count()} cores)"

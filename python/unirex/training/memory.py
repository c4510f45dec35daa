"""Memory of training: recomputed layers, pages that are kept, and how an error says that memory ran out."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers import PreTrainedModel

from unirex.encoder.softmax_gates import recomputing

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h
_NEVER, _USUAL_MMAPS, _USUAL_TRIM = -1, 65536, 64 << 20  # glibc's own, once large blocks were freed


@contextmanager
def keeping_pages() -> Iterator[None]:
    """Inside, glibc keeps freed memory for the next step; it would return it after each, and pay for new pages.

    Afterwards free memory goes back to the system. Who sets `MALLOC_…` or `GLIBC_TUNABLES` decides; other C libraries
    do as they do.
    """
    decided = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if decided or platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_M_MMAP_MAX, _USUAL_MMAPS)
        library.mallopt(_M_TRIM_THRESHOLD, _USUAL_TRIM)
        library.malloc_trim(0)


def checkpoint_layers(method: nn.Module) -> None:
    """Makes every backbone in a method keep only the hidden states between its layers, and compute the rest twice.

    Raises:
        ValueError: a backbone does not support it.
    """
    for module in method.modules():
        if isinstance(module, PreTrainedModel) and module.config.model_type != "unirex":
            if not module.supports_gradient_checkpointing:
                raise ValueError(
                    f"train.gradient_checkpointing is true, expected false: model type {module.config.model_type} "
                    "does not support it"
                )
            # Renamed in later versions of transformers.
            enable = getattr(module, "activation_checkpointing_enable", module.gradient_checkpointing_enable)
            enable({"use_reentrant": False, "context_fn": recomputing})


def memory_ran_out(error: Exception) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # PyTorch has no class of its own for it on the CPU.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error) and "memory" in str(error)

"""Training in less memory: recomputed layers, and how an error says that memory ran out."""

import torch
from torch import nn
from transformers import PreTrainedModel

from unirex.encoder.softmax_gates import recomputing


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

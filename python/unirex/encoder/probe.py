"""Whether hiding is exact in a model: tried once, on one tiny batch, before anything is trained or answered.

Faithfulness is measured by hiding tokens. In an encoder that mixes neighbours by anything but attention (a convolution,
a Fourier transform, an approximation over all places) what is hidden still acts, and the measurement means nothing.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from unirex.data.collate import Rows
from unirex.encoder.backbone import can_pack, encode, encode_padded
from unirex.encoder.gates import forbid_gates
from unirex.text import brief

_WIDTH, _HIDDEN = 8, (2, 4, 6)
_LEAK = 1e-5
"""Most by which hidden tokens may move the output, relative to its largest value; rightly not at all."""
_AGREE = {torch.float32: 1e-3, torch.float64: 1e-3}
"""Most by which two ways of hiding may differ, which add in another order; half precision is coarser."""

_passed: set[str] = set()

Run = Callable[[Rows], Tensor]
"""From rows to outputs [B, …] at the visible tokens."""


def check_model(model: nn.Module) -> None:
    """Tries hiding in the backbones of a model of ours, the extractor's among them.

    Raises:
        ValueError: as `check_hiding`.
    """
    for part in (model, getattr(model, "extractor", None)):
        backbone = getattr(part, "backbone", None)
        if isinstance(backbone, PreTrainedModel):
            _check_backbone(backbone)


def _check_backbone(backbone: PreTrainedModel) -> None:
    kept = [place for place in range(_WIDTH) if place not in _HIDDEN]

    def at_kept(found: tuple[Tensor, Tensor | None]) -> Tensor:
        outputs = [found[0][:, kept].flatten(1), *([] if found[1] is None else [found[1]])]
        return torch.cat(outputs, 1)

    def dropped(rows: Rows) -> Tensor:
        return at_kept(encode(backbone, rows))

    check_hiding(backbone, lambda rows: at_kept(encode_padded(backbone, rows)), dropped if can_pack(backbone) else None)


def check_hiding(model: PreTrainedModel, run: Run, dropped: Run | None = None) -> None:
    """Refuses a model in which a hidden token acts; forbids gates where they are not the same as hiding.

    Args:
        model: any; each configuration is tried once in a process.
        run: its outputs with hidden tokens masked in place, or gated.
        dropped: the same with hidden tokens left out; None = no such way.

    Raises:
        ValueError: model type, and what differs by how much.
    """
    key = f"{type(model).__name__} {model.config.to_json_string(use_diff=False)}"
    if key in _passed:
        return
    training, attention = model.training, model.config._attn_implementation
    model.eval()
    try:
        with torch.no_grad():
            _check(model, run, dropped)
    finally:
        model.train(training)
        if model.config._attn_implementation != attention:
            model.set_attn_implementation(attention)
    _passed.add(key)


def _check(model: PreTrainedModel, run: Run, dropped: Run | None) -> None:
    kind = model.config.model_type
    rows = _rows(model)
    try:
        masked = run(rows)
    except Exception as error:
        reason = brief(error)
        raise ValueError(f"model type {kind} cannot be run on a row with hidden tokens: {reason}") from error
    masked, other = masked[:1], masked[1:]
    leak = _difference(other, masked)
    if not leak <= _LEAK:
        raise ValueError(f"model type {kind}: hidden tokens change the output by {leak:.2g}, expected no influence")
    rows = rows.take(torch.zeros(1, dtype=torch.int64, device=rows.input_ids_BL.device))
    most = _AGREE.get(masked.dtype, 0.05)
    if dropped is not None and not (found := _difference(dropped(rows), masked)) <= most:
        raise ValueError(f"model type {kind}: dropping tokens differs by {found:.2g} from masking them, expected 0")
    gated = replace(rows, visible_BL=torch.ones_like(rows.visible_BL), gates_BL=rows.visible_BL.float())
    try:
        if not (found := _difference(run(gated), masked)) <= most:
            forbid_gates(model, f"it differs by {found:.2g} from masking")
    except ValueError:
        pass  # take_gates says so itself, where gates are asked for
    except (TypeError, RuntimeError) as error:
        forbid_gates(model, f"{type(error).__name__}: {brief(error)}")


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def _rows(model: PreTrainedModel) -> Rows:
    """Two rows that differ at hidden tokens alone."""
    size = int(getattr(model.config, "vocab_size", None) or 128)
    special = _special(model.config)
    plain = torch.tensor([i for i in range(size) if i not in special][:: max(1, size // 40)] or [0])
    ids_BL = plain[torch.arange(_WIDTH) % len(plain)].repeat(2, 1)
    visible_BL = torch.ones(2, _WIDTH, dtype=torch.bool)
    visible_BL[:, list(_HIDDEN)] = False
    ids_BL[1][~visible_BL[1]] = plain[(torch.arange(len(_HIDDEN)) + _WIDTH) % len(plain)]
    end = model.config.eos_token_id if getattr(model.config, "is_encoder_decoder", False) else None
    if isinstance(end, int) and end < size:
        ids_BL[:, -1] = end  # where such classifiers answer
    ids_BL, visible_BL = ids_BL.to(model.device), visible_BL.to(model.device)
    return Rows(input_ids_BL=ids_BL, visible_BL=visible_BL, token_types_BL=torch.zeros_like(ids_BL))


def _special(config: PretrainedConfig) -> set[int]:
    found = (getattr(config, f"{name}_token_id", None) for name in ("pad", "bos", "eos", "cls", "sep"))
    return {value for value in found if isinstance(value, int)}

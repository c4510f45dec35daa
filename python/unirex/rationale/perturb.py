"""Keep or remove selected tokens: the only code that does it, for losses and for metrics alike."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from unirex.data.collate import Batch, FillTokens, Rows
from unirex.schema import Perturbation

Kind = Literal["keep", "remove"]
"""`keep` leaves the rationale, `remove` leaves its complement; both leave every token that is not selectable."""

View = Literal["keep", "remove", "full"]
"""What a pass shows of the input: `full` hides nothing."""


def hidden_tokens(rationale: Tensor, selectable_BL: Tensor, kind: Kind) -> Tensor:
    """Which tokens a perturbation hides, as a bool tensor of the shape of `rationale`.

    Args:
        rationale: bool [..., B, L], the selected tokens.
        selectable_BL: bool [B, L], the tokens that could be selected.
        kind: `keep` hides the selectable tokens outside the rationale, `remove` those inside.

    >>> rationale = torch.tensor([[False, True, False, False]])
    >>> selectable = torch.tensor([[False, True, True, False]])
    >>> hidden_tokens(rationale, selectable, "keep").tolist()
    [[False, False, True, False]]
    """
    return selectable_BL & (rationale if kind == "remove" else ~rationale)


def gate_tokens(rationale: Tensor, selectable_BL: Tensor, kind: Kind) -> Tensor:
    """Gates, float [..., B, L] with the gradient of `rationale`: 0 at the tokens of `hidden_tokens`, else 1.

    >>> rationale = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    >>> selectable = torch.tensor([[False, True, True, False]])
    >>> gate_tokens(rationale, selectable, "keep").tolist(), gate_tokens(rationale, selectable, "remove").tolist()
    ([[1.0, 1.0, 0.0, 1.0]], [[1.0, 0.0, 1.0, 1.0]])
    """
    return torch.where(selectable_BL, rationale if kind == "keep" else 1 - rationale, 1.0)


def perturb(rows: Rows, hidden_BL: Tensor, perturbation: Perturbation, fill: FillTokens) -> Rows:
    """Rows in which the tokens marked in `hidden_BL` are hidden.

    - `attention`: hidden from attention in place; every other token keeps its position.
    - `delete`: taken out; the tokens after it move up and are counted again.
    - `mask_token`, `pad_token`: replaced by that token, which is still attended to.

    Args:
        rows: B rows of L tokens, with no positions of their own yet.
        hidden_BL: bool, true only at visible tokens.
        perturbation: see above.
        fill: the replacing ids.

    Raises:
        ValueError: `perturbation` is none of the four.
    """
    if perturbation == "attention":
        return replace(rows, visible_BL=rows.visible_BL & ~hidden_BL)
    if perturbation == "delete":
        return drop_hidden(replace(rows, visible_BL=rows.visible_BL & ~hidden_BL))
    if perturbation in ("mask_token", "pad_token"):
        token = fill.mask_id if perturbation == "mask_token" else fill.pad_id
        return replace(rows, input_ids_BL=rows.input_ids_BL.masked_fill(hidden_BL, token))
    raise ValueError(f"perturbation is {perturbation!r}, expected attention, delete, mask_token or pad_token")


def drop_hidden(rows: Rows) -> Rows:
    """The same rows without their invisible tokens, as narrow as the longest of them; the others move up."""
    lengths_B = rows.visible_BL.sum(1)
    width = max(int(lengths_B.max()), 1)
    # A stable sort brings the visible tokens to the front in their order.
    order_BL = torch.argsort(~rows.visible_BL, dim=1, stable=True)[:, :width]
    visible_BL = torch.arange(width, device=lengths_B.device) < lengths_B[:, None]
    return Rows(
        input_ids_BL=rows.input_ids_BL.gather(1, order_BL),
        visible_BL=visible_BL,
        token_types_BL=rows.token_types_BL.gather(1, order_BL),
    )


def perturbed_logits(
    run: Callable[[Rows], Tensor],
    batch: Batch,
    rationale_KBL: Tensor,
    views: Sequence[View],
    perturbation: Perturbation,
    fill: FillTokens,
) -> dict[View, Tensor]:
    """The logits of each view, float [K, instances, C]; of the full input [1, instances, C].

    A rationale with a gradient (`unirex.rationale.selection.relaxed_masks`) hides by gates: every token stays in
    the rows, at the price of full-length passes, so that the hidden ones get a gradient too. All perturbed rows go
    to `run` in one call. An instance whose rationale does not grow from one fraction to the next (short texts: 1 %
    and 5 % both round to one token) is run once, and its logits serve both.

    Args:
        run: rows to logits [instances, C].
        batch: the full input.
        rationale_KBL: bool, or float of 0 and 1 with gradient; nested from fraction to fraction.
        views: what to show.
        perturbation: `attention` where the rationale carries gradient.
        fill: the replacing ids.
    """
    marked_KBL, selectable_BL, n_choices = rationale_KBL > 0, batch.selectable_BL, batch.n_choices
    nothing_1BL = torch.zeros_like(marked_KBL[:1])
    shown = [nothing_1BL if view == "full" else hidden_tokens(marked_KBL, selectable_BL, view) for view in views]
    hidden = torch.cat(shown)
    n_masks, n_rows, width = hidden.shape
    n_instances = n_rows // n_choices
    by_instance = hidden.view(n_masks, n_instances, n_choices * width)
    fresh = torch.ones(n_masks, n_instances, dtype=torch.bool, device=hidden.device)
    fresh[1:] = (by_instance[1:] != by_instance[:-1]).any(-1)
    mask_index, instance_index = fresh.nonzero(as_tuple=True)
    choice = torch.arange(n_choices, device=hidden.device)
    row_index = (instance_index[:, None] * n_choices + choice).reshape(-1)
    chosen = mask_index.repeat_interleave(n_choices), row_index
    rows = batch.rows.take(row_index)
    if rationale_KBL.requires_grad:
        if perturbation != "attention":
            raise ValueError(f"perturbation is {perturbation!r}, expected attention where the selection has a gradient")
        gates = torch.cat([_gates(rationale_KBL, selectable_BL, view) for view in views])
        logits = run(replace(rows, gates_BL=gates[chosen]))
    else:
        logits = run(perturb(rows, hidden[chosen], perturbation, fill))
    # The logits of a (mask, instance) are those of the last fresh mask up to it.
    place = torch.zeros_like(fresh, dtype=torch.int64)
    place[mask_index, instance_index] = torch.arange(len(mask_index), device=hidden.device)
    masks = torch.arange(n_masks, device=hidden.device)[:, None]
    last_fresh = torch.where(fresh, masks, 0).cummax(0).values
    found = logits[place.gather(0, last_fresh)].split([len(part) for part in shown])
    return dict(zip(views, found, strict=True))


def _gates(rationale_KBL: Tensor, selectable_BL: Tensor, view: View) -> Tensor:
    return torch.ones_like(rationale_KBL[:1]) if view == "full" else gate_tokens(rationale_KBL, selectable_BL, view)

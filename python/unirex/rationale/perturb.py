"""Keep or remove selected tokens: the only code that does it, for losses and for metrics alike."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, NotRequired, TypedDict, Unpack

import torch
from torch import Tensor

from unirex.data.collate import FillTokens, Rows

How = Literal["attention", "delete", "mask_token", "pad_token"]
"""How a token is hidden; see `perturb`."""

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


def perturb(rows: Rows, hidden_BL: Tensor, how: How, fill: FillTokens) -> Rows:
    """Rows in which the tokens marked in `hidden_BL` are hidden.

    - `attention`: hidden from attention in place; every other token keeps its position.
    - `delete`: taken out; the tokens after it move up and are counted again.
    - `mask_token`, `pad_token`: replaced by that token, which is still attended to.

    Args:
        rows: B rows of L tokens, with no positions of their own yet.
        hidden_BL: bool, true only at visible tokens.
        how: see above.
        fill: the replacing ids.

    Raises:
        ValueError: `how` is none of the four.
    """
    if how == "attention":
        return replace(rows, visible_BL=rows.visible_BL & ~hidden_BL)
    if how == "delete":
        return drop_hidden(replace(rows, visible_BL=rows.visible_BL & ~hidden_BL), keep_positions=False)
    if how in ("mask_token", "pad_token"):
        token = fill.mask_id if how == "mask_token" else fill.pad_id
        return replace(rows, input_ids_BL=rows.input_ids_BL.masked_fill(hidden_BL, token))
    message = f"how is {how!r}, expected attention, delete, mask_token or pad_token"
    raise ValueError(message)


def drop_hidden(rows: Rows, *, keep_positions: bool) -> Rows:
    """The same rows without their invisible tokens, as narrow as the longest of them.

    With `keep_positions` every token keeps the position it had. For an encoder in which every token attends to
    every other and positions are given by `position_ids`, this is hiding by attention at a lower price: a token
    that nothing attends to changes no other token.
    """
    lengths_B = rows.visible_BL.sum(1)
    width = max(int(lengths_B.max()), 1)
    # A stable sort brings the visible tokens to the front in their order.
    order_BL = torch.argsort(~rows.visible_BL, dim=1, stable=True)[:, :width]
    visible_BL = torch.arange(width, device=lengths_B.device) < lengths_B[:, None]
    positions_BL = None
    if keep_positions:
        positions_BL = order_BL if rows.positions_BL is None else rows.positions_BL.gather(1, order_BL)
        positions_BL = positions_BL * visible_BL
    return Rows(
        input_ids_BL=rows.input_ids_BL.gather(1, order_BL),
        visible_BL=visible_BL,
        token_types_BL=rows.token_types_BL.gather(1, order_BL),
        positions_BL=positions_BL,
    )


class Perturbing(TypedDict):
    """How `perturbed_logits` hides tokens.

    Attributes:
        kinds: which perturbations.
        how: how tokens are hidden.
        fill: replacing ids.
        n_choices: rows per instance; 1 by default.
    """

    kinds: Sequence[View]
    how: How
    fill: FillTokens
    n_choices: NotRequired[int]


def perturbed_logits(
    run: Callable[[Rows], Tensor],
    rows: Rows,
    rationale_KBL: Tensor,
    selectable_BL: Tensor,
    **settings: Unpack[Perturbing],
) -> list[Tensor]:
    """The logits under each kind of perturbation, float [K, instances, C] each; of the full input [1, instances, C].

    A rationale with a gradient (`unirex.rationale.selection.relaxed_masks`) hides by gates: every token stays in
    the rows, at the price of full-length passes, so that the hidden ones get a gradient too. All perturbed rows go
    to `run` in one call. An instance whose rationale does not grow from one fraction to the next (short texts: 1 %
    and 5 % both round to one token) is run once and its logits stand at both.

    Args:
        run: rows to logits [instances, C]; an instance owns `n_choices` neighbouring rows.
        rows: the full input.
        rationale_KBL: bool, or float of 0 and 1 with gradient; nested from fraction to fraction.
        selectable_BL: bool.
        settings: which perturbations, and how; `attention` where the rationale carries gradient.
    """
    kinds, how, fill, n_choices = (settings["kinds"], settings["how"], settings["fill"], settings.get("n_choices", 1))
    marked_KBL = rationale_KBL > 0
    nothing_1BL = torch.zeros_like(marked_KBL[:1])
    views = [nothing_1BL if kind == "full" else hidden_tokens(marked_KBL, selectable_BL, kind) for kind in kinds]
    hidden = torch.cat(views)
    n_masks, n_rows, width = hidden.shape
    n_instances = n_rows // n_choices
    by_instance = hidden.view(n_masks, n_instances, n_choices * width)
    fresh = torch.ones(n_masks, n_instances, dtype=torch.bool, device=hidden.device)
    fresh[1:] = (by_instance[1:] != by_instance[:-1]).any(-1)
    mask_index, instance_index = fresh.nonzero(as_tuple=True)
    choice = torch.arange(n_choices, device=hidden.device)
    row_index = (instance_index[:, None] * n_choices + choice).reshape(-1)
    chosen = mask_index.repeat_interleave(n_choices), row_index
    if rationale_KBL.requires_grad:
        if how != "attention":
            raise ValueError(f"how is {how!r}, expected attention where the selection carries gradient")
        gates = torch.cat(
            [
                torch.ones_like(rationale_KBL[:1])
                if kind == "full"
                else gate_tokens(rationale_KBL, selectable_BL, kind)
                for kind in kinds
            ]
        )
        logits = run(replace(rows.take(row_index), gates_BL=gates[chosen]))
    else:
        logits = run(perturb(rows.take(row_index), hidden[chosen], how, fill))
    # Where each (mask, instance) finds its logits: at the last fresh mask before it.
    place = torch.zeros_like(fresh, dtype=torch.int64)
    place[mask_index, instance_index] = torch.arange(len(mask_index), device=hidden.device)
    masks = torch.arange(n_masks, device=hidden.device)[:, None]
    last_fresh = torch.where(fresh, masks, 0).cummax(0).values
    return list(logits[place.gather(0, last_fresh)].split([len(view) for view in views]))

"""What a frozen model says of each training row, kept so that every row is asked about once."""

from collections.abc import Callable

import torch
from torch import Tensor

from unirex.data.collate import Batch


class Remembered:
    """Token values of training rows by their place in the data set; one small tensor per row, on the CPU.

    They are computed in the precision of the weights, as they are judged: rounded to bfloat16 most of what a token
    moves a logit by is equal, and equal scores go by position. Each process remembers the rows that came its way.
    Nothing of it is saved: a resumed run asks again.
    """

    def __init__(self) -> None:
        self._rows: dict[int, Tensor] = {}

    def __call__(self, batch: Batch, ask: Callable[[], Tensor]) -> Tensor:
        """Values [B, L] of the batch's rows, 0 at padding; `ask` computes them where a row is new."""
        keys = [
            int(index) * batch.n_choices + choice
            for index in batch.index_I.tolist()
            for choice in range(batch.n_choices)
        ]
        if any(key not in self._rows for key in keys):
            with torch.autocast(batch.words_BL.device.type, enabled=False):
                values_BL = ask().cpu()
            lengths = batch.rows.visible_BL.sum(1).tolist()
            for key, row, length in zip(keys, values_BL, lengths, strict=True):
                self._rows.setdefault(key, row[:length].clone())
        known = [self._rows[key] for key in keys]
        found_BL = torch.zeros(batch.words_BL.shape, dtype=known[0].dtype)
        for place, row in enumerate(known):
            found_BL[place, : len(row)] = row
        return found_BL.to(batch.words_BL.device)

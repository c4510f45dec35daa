"""Rationales without an edge: every token keeps as much of its embedding as its score says (Zhao & Aletras 2023)."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unirex.data.collate import Batch
from unirex.judging.settings import EvalConfig
from unirex.methods.method import Explainable
from unirex.rationale.selection import pool_words
from unirex.schema import WordScore

SOFT = "soft"
"""The perturbation's name in `eval.how` and in columns."""


def soft_logits(
    method: Explainable, batch: Batch, shares_BL: Tensor, ids: list[str], config: EvalConfig
) -> dict[str, Tensor]:
    """Logits of what is kept and of what is removed, float [K, I, C], and of nothing, [I, C].

    A number of a token's embedding is kept with the probability that the token's share says, and what is removed is the
    rest: the numbers that a draw keeps are 0 there. Special tokens and others that cannot be selected stay whole.
    There are no fractions: each of the K places holds one draw. A draw depends on `eval.seed`, the instance's id
    and the place in the row alone.

    Args:
        method: the model.
        batch: I instances.
        shares_BL: float in [0, 1]; see `soft_shares`.
        ids: of the instances.
        config: `seed`, and how many `fractions` there are.
    """
    device, n_choices = shares_BL.device, batch.n_choices
    selectable_BL1 = batch.selectable_BL[..., None]
    keys = [f"{name}\0{choice}" for name in ids for choice in range(n_choices)]
    lengths = batch.rows.visible_BL.sum(1).tolist()

    def logits(factors_BLD: Tensor) -> Tensor:
        return method.embedded(batch, factors_BLD.where(selectable_BL1, 1.0), config.max_tokens)

    found: dict[str, list[Tensor]] = {"keep": [], "remove": []}
    width = method.embedding_width
    for draw in range(len(config.fractions)):
        drawn_BLD = torch.zeros(*shares_BL.shape, width)
        for row, (key, length) in enumerate(zip(keys, lengths, strict=True)):
            drawn_BLD[row, :length] = torch.from_numpy(drawn(f"{config.seed}\0soft\0{draw}\0{key}", length, width))
        kept_BLD = (drawn_BLD.to(device) < shares_BL[..., None]).float()
        found["keep"].append(logits(kept_BLD))
        found["remove"].append(logits(1 - kept_BLD))
    nothing = torch.zeros(*shares_BL.shape, 1, device=device)
    return {kind: torch.stack(draws) for kind, draws in found.items()} | {"null": logits(nothing)}


def drawn(key: str, *shape: int) -> NDArray[np.float32]:
    """Numbers from [0, 1) that depend on the key alone."""
    seed = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(seed, "little")).random(shape, dtype=np.float32)


def soft_shares(scores_BL: Tensor, words_BL: Tensor, unit: str, word_score: WordScore) -> Tensor:
    """Scores between the lowest (0) and the highest (1) of their row's selectable units, float32 [B, L]; equal: .5.

    With unit `word` the tokens of a word have its score. What has the score -inf (none was given) has 0.

    >>> words = torch.tensor([[-1, 0, 0, 1, -1]])
    >>> scores = torch.tensor([[9.0, 1.0, 3.0, 2.0, 9.0]])
    >>> soft_shares(scores, words, "token", "max").tolist()
    [[0.0, 0.0, 1.0, 0.5, 0.0]]
    >>> soft_shares(scores, words, "word", "max").tolist()
    [[0.0, 1.0, 1.0, 0.0, 0.0]]
    """
    selectable_BL, scores_BL = words_BL >= 0, scores_BL.float()
    if unit == "word":
        pooled_BW = pool_words(scores_BL, words_BL, max(1, int(words_BL.max()) + 1), word_score)
        scores_BL = pooled_BW.gather(1, words_BL.clamp(min=0)).float()
    scored_BL = selectable_BL & (scores_BL > -torch.inf)  # given scores may lack some
    low_B1 = scores_BL.masked_fill(~scored_BL, torch.inf).amin(1, keepdim=True)
    span_B1 = scores_BL.masked_fill(~scored_BL, -torch.inf).amax(1, keepdim=True) - low_B1
    shares_BL = torch.where(span_B1 > 0, (scores_BL - low_B1) / span_B1, 0.5)
    return shares_BL.where(scored_BL, 0.0)

"""What the order of the words is worth among all orders, on one model: the outcomes that NAOPC is computed from."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unirex import _rust
from unirex.data.collate import Batch
from unirex.judging.settings import EvalConfig
from unirex.methods.method import Explainable
from unirex.rationale.perturb import perturb
from unirex.rationale.selection import pool_words
from unirex.schema import Perturbation, WordScore

EXACT = 9
"""Units up to which all sets are tried: 511 for nine, about as many as a beam of five asks about for eleven."""
AT_ONCE = 8
"""Perturbed rows that stand together have as many tokens as this many passes."""

Sets = NDArray[np.int64]
Floats = NDArray[np.float64]


class Orders:
    """The orders in which the words of a batch can be hidden from one model, one after another (Edin et al. 2024).

    The units are the words that the model sees, or where there are more than `eval.naopc_units`, as many runs of
    neighbors of nearly equal length. The words of a multiple choice are hidden from all its choices alike.

    Args:
        method: the model.
        batch: I instances.
        answer_I: int64, the class whose probability is followed.
        wanted_I: bool, which instances are asked about.
        how: how words are hidden.
        config: `naopc_beam`, `naopc_units`, and `max_tokens` of a pass.
    """

    def __init__(
        self,
        method: Explainable,
        batch: Batch,
        answer_I: Sets,
        wanted_I: NDArray[np.bool_],
        how: Perturbation,
        config: EvalConfig,
    ) -> None:
        self.method, self.batch, self.how, self.config = method, batch, how, config
        self.answer_I = torch.from_numpy(answer_I).to(batch.words_BL.device)
        words_IT = batch.words_BL.reshape(len(answer_I), -1).cpu().numpy()
        self.unit_of_word = [
            _units(words_T, config.naopc_units if wanted else 0)
            for words_T, wanted in zip(words_IT, wanted_I, strict=True)
        ]
        unit_IT = np.stack([_of_tokens(*one) for one in zip(self.unit_of_word, words_IT, strict=True)])
        self.unit_BL = torch.from_numpy(unit_IT).view(batch.words_BL.shape).to(batch.words_BL.device)
        self.broken_I = np.zeros(len(answer_I), dtype=np.bool_)
        self.low_I, self.high_I = self._ends()

    def outcomes(self, scores: Mapping[str, Tensor], word_score: WordScore) -> dict[str, Floats]:
        """The four numbers of `unirex.schema.ORDERS` for each source's scores of tokens, [I, 4].

        NaN where nothing is asked or seen, or where the model answers NaN. A unit has the mean score of its words,
        those without a score left out; of equal ones the first goes first, and last in the opposite order. The ends are
        those of the search and of all these orders (a beam may miss the best), so that sources share them.

        Args:
            scores: float [B, L] by source.
            word_score: score of a word from those of its tokens.
        """
        found = {source: self._means(scores_BL, word_score) for source, scores_BL in scores.items()}
        every = np.stack([self.low_I, self.high_I, *(means for pair in found.values() for means in pair)])
        ends = every.min(0), every.max(0)
        return {
            source: np.where(self.broken_I[:, None], np.nan, np.stack([*pair, *ends], axis=1))
            for source, pair in found.items()
        }

    def _means(self, scores_BL: Tensor, word_score: WordScore) -> tuple[Floats, Floats]:
        """The mean probability in the order of the scores and in the opposite one, [I] each; NaN where not asked."""
        n_choices = self.batch.n_choices
        row_I = torch.arange(len(self.answer_I), device=scores_BL.device) * n_choices
        row_I = row_I + (self.answer_I if n_choices > 1 else 0)
        words_IL = self.batch.words_BL[row_I]
        width = max(1, int(self.batch.words_BL.max()) + 1)
        pooled_IW = pool_words(scores_BL[row_I], words_IL, width, word_score).cpu().numpy()
        chains = []
        for pooled_W, words_L, unit_W in zip(pooled_IW, words_IL.cpu().numpy(), self.unit_of_word, strict=True):
            seen_W = np.isin(np.arange(len(unit_W)), words_L)  # of several choices, the answer's
            chains.append(_chains(np.where(seen_W, pooled_W[: len(unit_W)], -np.inf), unit_W))
        instance = np.repeat(np.arange(len(chains)), [chain.size for chain in chains])
        values = self._values(np.concatenate([chain.reshape(-1) for chain in chains]), instance)
        means = np.full((2, len(chains)), np.nan)
        for row, (start, end) in enumerate(pairwise(np.cumsum([0, *(chain.size for chain in chains)]))):
            if end > start:
                means[:, row] = values[start:end].reshape(2, -1).mean(1)
        return means[0], means[1]

    def _ends(self) -> tuple[Floats, Floats]:
        """The lowest and the highest mean of an order, [I] each."""
        units = np.array([unit_W.max(initial=-1) + 1 for unit_W in self.unit_of_word], dtype=np.int64)
        search = _rust.OrderSearch(units, width=self.config.naopc_beam, exact=EXACT)
        while True:
            sets, offsets = search.wanted()
            if not len(sets):
                return search.bounds()
            search.tell(self._values(sets, np.repeat(np.arange(len(units)), np.diff(offsets))))

    def _values(self, sets: Sets, instance: Sets) -> Floats:
        """The probability of the answer when these sets of units (bit u = unit u) are hidden, of these instances."""
        n, width = self.batch.n_choices, self.batch.words_BL.shape[1]
        values = np.empty(len(sets))
        size = max(1, AT_ONCE * self.config.max_tokens // (n * width))
        for start in range(0, len(sets), size):
            part = slice(start, start + size)
            instance_S = torch.from_numpy(instance[part]).to(self.unit_BL.device)
            row_P = (instance_S[:, None] * n + torch.arange(n, device=instance_S.device)).reshape(-1)
            unit_PL = self.unit_BL[row_P]
            set_P1 = torch.from_numpy(sets[part]).to(unit_PL.device).repeat_interleave(n)[:, None]
            hidden_PL = (unit_PL >= 0) & ((set_P1 >> unit_PL.clamp(min=0)) & 1).bool()
            rows = perturb(self.batch.rows.take(row_P), hidden_PL, self.how, self.method.fill)
            probability_SC = self.method.perturbed(rows, n, self.config.max_tokens).double().softmax(-1)
            values[part] = probability_SC.gather(1, self.answer_I[instance_S][:, None])[:, 0].cpu().numpy()
        # Scoring names an instance whose probabilities are NaN by its id.
        self.broken_I[instance[np.isnan(values)]] = True
        return np.nan_to_num(values)


def _units(words_T: Sets, most: int) -> Sets:
    """The unit of each word up to the last that is seen, -1 = not seen; units are numbered from 0.

    >>> _units(np.array([-1, 0, 0, 2, 3, 5]), 2).tolist()
    [0, -1, 0, 1, -1, 1]
    """
    seen = np.unique(words_T[words_T >= 0])
    unit_W = np.full(int(seen[-1]) + 1 if len(seen) and most else 0, -1, dtype=np.int64)
    if most:
        unit_W[seen] = np.arange(len(seen)) * min(len(seen), most) // max(1, len(seen))
    return unit_W


def _of_tokens(unit_W: Sets, words_T: Sets) -> Sets:
    """The unit of each token, -1 = none."""
    of_word: Sets = np.append(unit_W, -1)  # the last is that of word -1, and of words that no unit holds
    return of_word[np.minimum(words_T, len(unit_W))]


def _chains(scores_W: NDArray[np.float32], unit_W: Sets) -> Sets:
    """The sets that hide one unit after another: by falling score, and the other way round, [2, n].

    >>> _chains(np.array([9.0, -np.inf, 1.0, 1.0], dtype=np.float32), np.array([0, 0, 1, 1])).tolist()
    [[1, 3], [2, 3]]
    """
    n, scored_W = int(unit_W.max(initial=-1)) + 1, (unit_W >= 0) & (scores_W > -np.inf)
    count_U = np.bincount(unit_W[scored_W], minlength=n)
    sum_U = np.bincount(unit_W[scored_W], scores_W[scored_W].astype(np.float64), minlength=n)
    scores_U = np.where(count_U > 0, sum_U / np.maximum(count_U, 1), -np.inf)
    order = np.argsort(-scores_U, kind="stable")
    return np.stack([np.cumsum(1 << order), np.cumsum(1 << order[::-1])]).astype(np.int64)


def sampled(ids: Sequence[str], most: int | None, seed: int) -> NDArray[np.bool_]:
    """Which instances are asked about, bool [N]: all, or `most` whose seeded hashes of the id are lowest."""
    if most is None:
        return np.ones(len(ids), dtype=np.bool_)
    keys = [blake2b(f"{seed}\0naopc\0{name}".encode(), digest_size=8).digest() for name in ids]
    chosen = np.zeros(len(ids), dtype=np.bool_)
    chosen[sorted(range(len(ids)), key=keys.__getitem__)[:most]] = True
    return chosen

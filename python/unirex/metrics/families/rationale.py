"""What rationales and scores look like, and what truncation took."""

import numpy as np

from unirex.metrics import arrays
from unirex.metrics.definitions import LOG_STEP, Count, Family, Pooled, ratio
from unirex.metrics.inputs import given
from unirex.metrics.ragged import where

LENGTH_STEP = 2.0**-6
_WORDS = Count(name="#words", values=lambda rows: rows.words)
_WORDS_CUT = Count(name="#words_cut", values=lambda rows: given("words_cut", rows.batch.words_cut).astype(np.float64))
_GOLD_WORDS = Count(name="#gold_words", values=lambda rows: rows.gold_words)
_GOLD_CUT = Count(name="#gold_cut", values=lambda rows: where(rows.has_gold, given("gold_cut", rows.batch.gold_cut)))


FAMILIES: tuple[Family, ...] = (
    Family(
        name="rationale_share",
        group="rationale",
        direction="none",
        meaning="share of a row's words that is selected",
        needs=frozenset({"rationale"}),
        values=lambda rows: ratio(rows.rationale_length, rows.words),
    ),
    Family(
        name="rationale_length",
        group="rationale",
        direction="none",
        meaning="number of words selected",
        needs=frozenset({"rationale"}),
        values=lambda rows: rows.rationale_length,
        range=(0, np.inf),
        step=LENGTH_STEP,
    ),
    Family(
        name="words_cut",
        group="rationale",
        direction="lower",
        meaning="share of all words that truncation took from the model",
        needs=frozenset({"cuts"}),
        pooled=Pooled(top=_WORDS_CUT, bottom=(_WORDS,)),
        main=False,
    ),
    Family(
        name="gold_cut",
        group="rationale",
        direction="lower",
        meaning="share of all gold words that truncation took",
        needs=frozenset({"cuts", "gold"}),
        pooled=Pooled(top=_GOLD_CUT, bottom=(_GOLD_WORDS,)),
        main=False,
    ),
    Family(
        name="gold_available",
        group="rationale",
        direction="none",
        meaning="share of rows whose gold rationale is known",
        needs=frozenset({"gold"}),
        values=lambda rows: rows.has_gold.astype(np.float64),
        hits=True,
    ),
    Family(
        name="complexity",
        group="rationale",
        direction="lower",
        meaning="entropy of the words' shares of the scores: how many words it takes to read an explanation",
        source="Bhatt et al. 2020",
        needs=frozenset({"scores"}),
        values=lambda rows: arrays.complexity(rows.scores.parts),
        range=(0, np.inf),
        step=LOG_STEP,
        # The short table compares methods, whose scores may be of kinds that do not compare.
        main=False,
    ),
)

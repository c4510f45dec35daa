"""What flows between the layers: an example on its way in, the columns of saved predictions on their way out.

Shape legend, used as suffixes of names in tensor code (`scores_BL`, `logits_KBC`):

    I  instances of a batch             B  rows of a batch: one per instance, or one per choice
    P  rows of a part of a batch        L  tokens of a row, special tokens and padding included
    T  tokens of packed rows            W  words of a row
    U  units of a row, tokens or words  K  fractions
    C  classes, or choices              S  samples, or points of an integral
    D  width of an embedding            H  heads of attention
    d  width of a head                  N  instances of a data set
    1  an axis of length one
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

FRACTIONS: tuple[float, ...] = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of the selectable units that faithfulness is averaged over, by default (DeYoung et al. 2020)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Segment:
    """A stretch of text and where its words lie in it.

    Attributes:
        text: the text as the tokenizer sees it.
        starts: int64 [words], first character of each word.
        ends: int64 [words], one past the last character of each word. Words are in reading order, do not overlap
            and are not empty.
        selectable: whether these words may enter a rationale. A fixed query is not selectable: it is never scored
            and is kept in the rationale input and in its complement.
    """

    text: str
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    selectable: bool = True

    @property
    def words(self) -> list[str]:
        """The words as text."""
        return [self.text[a:b] for a, b in zip(self.starts.tolist(), self.ends.tolist(), strict=True)]

    @classmethod
    def from_words(cls, words: list[str], *, selectable: bool = True) -> "Segment":
        """A segment whose text is the words joined by one space.

        >>> Segment.from_words(["a", "fine", "film"]).ends.tolist()
        [1, 6, 11]
        """
        lengths = np.fromiter((len(w) for w in words), dtype=np.int64, count=len(words))
        ends = np.cumsum(lengths + 1) - 1
        return cls(text=" ".join(words), starts=ends - lengths, ends=ends, selectable=selectable)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Example:
    """One instance: text, label and, where a human gave one, the rationale.

    Attributes:
        id: unique inside its data set.
        segments: one segment, or two for a pair (premise and hypothesis, query and document).
        label: the class by name, or None where it is unknown.
        gold: float32 [W], the human rationale over the words of the selectable segments in order, 1 = marked, values
            between 0 and 1 = share of annotators who marked the word. None = no human rationale is known, which is
            not the same as all zeros (a human looked and marked nothing).
        choices: multiple choice only: the answers, one model row each, all scored by one softmax. The text of a
            choice is never selectable. `segments` then holds one segment and `label` names one of `choice_labels`.
        choice_labels: the names of the choices, as many as there are choices.
    """

    id: str
    segments: tuple[Segment, ...]
    label: str | None
    gold: NDArray[np.float32] | None = None
    choices: tuple[str, ...] = ()
    choice_labels: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The selectable words, in order: what scores, rationale and gold refer to."""
        return [word for segment in self.segments if segment.selectable for word in segment.words]

    @property
    def n_words(self) -> int:
        """Number of selectable words (W)."""
        return sum(len(segment.starts) for segment in self.segments if segment.selectable)


Perturbation = Literal["attention", "delete", "mask_token", "pad_token"]
"""How a token is hidden; `unirex.rationale.perturb` does it."""

PERTURBATIONS: tuple[Perturbation, ...] = get_args(Perturbation)

Hiding = Literal[Perturbation, "soft"]
"""How rationales are judged: by hiding tokens, or `soft`, by taking from every token as much as its score says
(`unirex.judging.soft`)."""

WordScore = Literal["max", "mean", "sum", "first"]
"""How the scores of a word's tokens become the word's."""

PREDICTIONS_VERSION = 1
"""Version of the prediction files. Later versions only add columns; docs/predictions.md says what each holds."""

PREDICTIONS_KEY = b"unirex"
"""Key of the Parquet schema metadata that holds the file's header as JSON."""


ORDERS = ("highest first", "lowest first", "lowest", "highest")
"""What a column of kind `orders` holds of a row: the mean probability while its words are hidden one after another, in
the order of their scores, in the opposite order, and in the orders where that mean is lowest and highest."""


def perturbed_column(kind: str, how: str, scorer: str) -> str:
    """The column that holds probabilities under a perturbation.

    `kind` is keep, remove (list of fractions of list of classes), null (list of classes: every selectable token
    removed) or orders (the four numbers of `ORDERS`); `how` is a perturbation (attention, delete, mask_token,
    pad_token, soft); `scorer` is `self` for the task model itself, or the name of a check model.

    >>> perturbed_column("keep", "attention", "self")
    'keep.attention.self'
    """
    return f"{kind}.{how}.{scorer}"

"""A corpus made in code from a seed: neutral words and planted cues, which decide the label and are its rationale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_uppercase
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from unirex.ranges import Natural, Share, check_ranges
from unirex.schema import Example, Segment

Kind = Literal["single", "pair", "choice"]
Words = tuple[str, ...]

SPLITS = ("train", "val", "test")
_NEUTRAL = """
about after afternoon again along already also always another around arrived asked because before began behind
below beside between bridge brother building called carried chair city class clock closed coat colour corner
country course crowd daughter desk doctor door during each early evening every family farmer father field first
floor found friday friend front garden given glass green group hall hand heard hill hotel hour house idea inside
island kitchen known lake large later letter light little long looked lunch made many market meeting middle
minute monday month morning mother mountain moved music name near neighbour never newspaper night north number
office often once orange other outside over page paper park people picture place plan played pocket quarter quiet
read really rest river road room school second seen several shop short side simply sister small snow some
sometimes south square stairs started station still stone story street summer sunday table taken talked teacher
then there thing thought today together tower town train tree truly turned twice under until upon village visit
voice waited walked wall watch water week west while white window winter within wood word work world wrote year
"""
NEUTRAL: Words = tuple(_NEUTRAL.split())
INTENSIFIERS: Words = ("quite", "really", "simply", "truly")
_NEGATIVE = "awful boring clumsy dreadful dull feeble poor sloppy terrible tiresome"
_POSITIVE = "charming clever delightful excellent fine graceful lovely moving superb witty"
CUES: dict[str, Words] = {"negative": tuple(_NEGATIVE.split()), "positive": tuple(_POSITIVE.split())}
_OPPOSITES = "asleep/awake cold/hot dirty/clean empty/full loud/silent old/young slow/fast wet/dry"
OPPOSITES: tuple[Words, ...] = tuple(tuple(pair.split("/")) for pair in _OPPOSITES.split())
RELATIONS: Words = ("contradiction", "entailment", "neutral")
TOPICS: dict[str, Words] = {
    "bakery": ("bread", "cake", "dough", "flour", "oven"),
    "beach": ("sand", "seagull", "shell", "surf", "tide"),
    "hospital": ("ambulance", "nurse", "patient", "surgeon", "ward"),
    "library": ("book", "catalogue", "librarian", "reader", "shelf"),
    "stable": ("bridle", "hay", "hoof", "horse", "saddle"),
    "theatre": ("actor", "audience", "curtain", "rehearsal", "stage"),
}
N_CHOICES = 4


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    """How large the toy corpus is and of what kind.

    Attributes:
        kind: `single` = the label is the majority of positive and negative cues; `pair` = a word of the premise
            reappears, reappears as its opposite, or does not reappear in the hypothesis; `choice` = the label is the
            topic of the cues, among four.
        n_train: instances of the training split.
        n_val: instances of the validation split.
        n_test: instances of the test split.
        without_gold: share of the instances whose rationale is not given.
    """

    kind: Kind = "single"
    n_train: Natural = 2000
    n_val: Natural = 200
    n_test: Natural = 400
    without_gold: Share = 0.1

    def __post_init__(self) -> None:
        check_ranges("data.toy", self)


def toy_examples(split: str, *, config: ToyConfig, seed: int) -> list[Example]:
    """One split of the toy corpus: the same for the same sizes and seed; no text occurs twice in all splits.

    >>> len(toy_examples("val", config=ToyConfig(n_train=10, n_val=5), seed=0))
    5
    """
    return list(_corpus(config, seed)[split])


@lru_cache(maxsize=4)  # what is in a split depends on those before it, and a run reads all of them
def _corpus(config: ToyConfig, seed: int) -> Mapping[str, Sequence[Example]]:
    make = {"single": _single, "pair": _pair, "choice": _choice}[config.kind]
    rng = np.random.default_rng(seed)
    seen: set[tuple[str, ...]] = set()
    made: dict[str, list[Example]] = {}
    for name, size in zip(SPLITS, (config.n_train, config.n_val, config.n_test), strict=True):
        made[name] = []
        while len(made[name]) < size:
            gold_known = rng.random() >= config.without_gold
            example = make(rng, f"toy_{name}_{len(made[name])}", gold_known)
            text = tuple(segment.text for segment in example.segments)
            if text not in seen:
                seen.add(text)
                made[name].append(example)
    return made


def _single(rng: Generator, name: str, gold_known: bool) -> Example:
    label, other = rng.permutation(list(CUES)).tolist()
    n_cues = int(rng.integers(2, 5))
    units = [(_phrase(rng, cue), True) for cue in _some(rng, CUES[label], n_cues)]
    units += [(_phrase(rng, cue), False) for cue in _some(rng, CUES[other], int(rng.integers(0, 2)))]
    segment, gold = _plant(rng, int(rng.integers(12, 23)), units)
    return Example(id=name, segments=(segment,), label=label, gold=gold if gold_known else None)


def _pair(rng: Generator, name: str, gold_known: bool) -> Example:
    label = str(rng.choice(RELATIONS))
    first, second = rng.permutation(len(OPPOSITES))[:2].tolist()
    side = int(rng.integers(2))
    word = OPPOSITES[first][side]
    reply = {"entailment": word, "contradiction": OPPOSITES[first][1 - side], "neutral": OPPOSITES[second][side]}[label]
    premise, gold = _plant(rng, int(rng.integers(8, 16)), [((word,), label != "neutral")])
    hypothesis, more_gold = _plant(rng, int(rng.integers(4, 10)), [((reply,), True)])
    both = np.concatenate([gold, more_gold])
    return Example(id=name, segments=(premise, hypothesis), label=label, gold=both if gold_known else None)


def _choice(rng: Generator, name: str, gold_known: bool) -> Example:
    topics = _some(rng, tuple(TOPICS), N_CHOICES)
    right = int(rng.integers(N_CHOICES))
    units = [((cue,), True) for cue in _some(rng, TOPICS[topics[right]], int(rng.integers(2, 5)))]
    segment, gold = _plant(rng, int(rng.integers(10, 26)), units)
    return Example(
        id=name,
        segments=(segment,),
        label=ascii_uppercase[right],
        gold=gold if gold_known else None,
        choices=topics,
        choice_labels=tuple(ascii_uppercase[:N_CHOICES]),
    )


def _some(rng: Generator, words: Words, n: int) -> Words:
    return tuple(words[i] for i in rng.permutation(len(words))[:n].tolist())


def _phrase(rng: Generator, cue: str) -> Words:
    """The cue, once in three times after an intensifier, so that a rationale has spans of several lengths."""
    return (str(rng.choice(INTENSIFIERS)), cue) if rng.random() < 1 / 3 else (cue,)


def _plant(rng: Generator, n_neutral: int, units: Sequence[tuple[Words, bool]]) -> tuple[Segment, NDArray[np.float32]]:
    """Neutral words with each unit in a gap of its own, and which words belong to a marked unit."""
    neutral = rng.integers(len(NEUTRAL), size=n_neutral).tolist()
    gaps = dict(zip(rng.permutation(n_neutral + 1)[: len(units)].tolist(), units, strict=True))
    words: list[str] = []
    gold: list[bool] = []
    for gap in range(n_neutral + 1):
        planted, marked = gaps.get(gap, ((), False))
        words += planted
        gold += [marked] * len(planted)
        if gap < n_neutral:
            words.append(NEUTRAL[neutral[gap]])
            gold.append(False)
    return Segment.from_words(words), np.array(gold, dtype=np.float32)

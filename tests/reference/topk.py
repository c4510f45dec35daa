"""Top-k rationales by sorting Python lists."""

import operator
from fractions import Fraction
from functools import reduce


def count(n, fraction):
    """max(1, round-half-even(f * n)) in exact arithmetic on the float64 product."""
    return min(n, max(1, round(Fraction(fraction * n)))) if n else 0


def marks(scores, selectable, fraction):
    order = sorted((i for i, s in enumerate(selectable) if s), key=lambda i: (-scores[i], i))
    chosen = set(order[: count(len(order), fraction)])
    return [i in chosen for i in range(len(scores))]


def word_scores(scores, words, how):
    """Score of each word that has a token, by id."""
    tokens = {}
    for score, word in zip(scores, words, strict=True):
        if word >= 0:
            tokens.setdefault(word, []).append(score)
    total = {w: reduce(operator.add, s) for w, s in tokens.items()}  # sum() compensates from Python 3.12 on
    return {
        w: {"max": max(s), "mean": total[w] / len(s), "sum": total[w], "first": s[0]}[how] for w, s in tokens.items()
    }


def word_marks(scores, words, how, fraction, as_stored):
    by_word = {w: as_stored(s) for w, s in word_scores(scores, words, how).items()}
    ids = sorted(by_word)
    chosen = {w for w, m in zip(ids, marks([by_word[w] for w in ids], [True] * len(ids), fraction), strict=True) if m}
    return [w in chosen for w in words]

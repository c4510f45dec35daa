"""Alignment one character at a time."""

from collections import Counter


def strip(text, start, end):
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def owners(text, words):
    """The word of each character, None for the others."""
    found = [None] * len(text)
    for w, (start, end) in enumerate(words):
        found[start:end] = [w] * (end - start)
    return found


def align(text, tokens, words):
    """(word of each token, tidied places)."""
    word_of, places, owner = [], [], owners(text, words)
    for token in tokens:
        start, end = strip(text, *token)
        places.append((start, end))
        shared = Counter(w for w in owner[start:end] if w is not None)
        word_of.append(min(shared, key=lambda w: (-shared[w], w), default=-1))
    return word_of, places


def link(targets, sources):
    """For each target token {source token: share}."""
    found = []
    for a, b in targets:
        shared = {i: len(set(range(a, b)) & set(range(c, d))) for i, (c, d) in enumerate(sources)}
        total = sum(shared.values())
        found.append({i: n / total for i, n in shared.items() if n})
    return found


def truncate(first, second, room, whole, max_length):
    """Sizes of two texts after losing tokens one by one."""
    sizes = [first, second]
    spared = whole is not None and 2 * sizes[whole] < max_length
    while sum(sizes) > room:
        longer = 0 if sizes[0] > sizes[1] else 1
        other = (1 - whole if sizes[1 - whole] else whole) if spared else None
        sizes[longer if other is None else other] -= 1
    return tuple(sizes)

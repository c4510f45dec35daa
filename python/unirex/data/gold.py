"""Human rationales: one number per word from any notation of a file, and one rationale from several annotators.

A word is marked when at least one of its characters is.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unirex.data.errors import DataError, shown
from unirex.data.record import split_words
from unirex.data.store import ExampleStore, windows
from unirex.disk.untrusted import read_json
from unirex.schema import Segment

GoldFormat = Literal["mask", "indices", "char_spans", "marked"]
Vote = Literal["majority", "any", "all", "soft"]
Marks = tuple[str, str]


def read_gold(cell: object, segment: Segment, *, form: GoldFormat, marks: Marks = ("*", "*")) -> NDArray[np.float32]:
    """One annotator's gold over the words of a segment, float32 [words], from one cell of a file.

    The cell holds a number from 0 to 1 for each word (`mask`), the numbers of the marked words counted from 0
    (`indices`), `[start, end]` pairs of characters, the end exclusive (`char_spans`), or the text itself with marks in
    it (`marked`). Lists may be written as JSON, flat ones also as numbers between commas or spaces.

    >>> read_gold("[1, 3]", Segment.from_words(["a", "very", "fine", "film"]), form="indices").tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    if form == "mask":
        return _mask(cell_list(cell), len(segment.starts))
    if form == "indices":
        return _indices(cell_list(cell), len(segment.starts))
    if form == "char_spans":
        return _cover(segment, _char_spans(cell_list(cell), len(segment.text)))
    return _marked(cell, segment, marks)


def vote(golds: Sequence[NDArray[np.float32]], rule: Vote) -> NDArray[np.float32]:
    """The gold of several annotators, float32 [words]; that of a single one stays as it is.

    `soft` is the share of annotators who marked the word; `majority` is 1 where this is above a half, `any` where it
    is above 0, `all` where it is 1.

    >>> votes = [np.array(v, dtype=np.float32) for v in ([1, 1, 0], [1, 0, 0], [1, 1, 0])]
    >>> vote(votes, "majority").tolist(), vote(votes, "all").tolist()
    ([1.0, 1.0, 0.0], [1.0, 0.0, 0.0])
    """
    if len(golds) == 1:
        return golds[0]
    share: NDArray[np.float64] = np.mean(np.stack(golds), axis=0, dtype=np.float64)
    if rule == "soft":
        return share.astype(np.float32)
    marked: NDArray[np.bool_] = {"majority": share > 0.5, "any": share > 0, "all": share == 1}[rule]
    return marked.astype(np.float32)


def unmark(text: str, marks: Marks) -> tuple[str, list[tuple[int, int]]]:
    r"""The text without its marks, and where in it the marked stretches lie.

    A backslash before a mark, a character of one that is no letter or digit, or another backslash, makes that ordinary.

    >>> unmark(r"a *very fine* film, 3\*4", ("*", "*"))
    ('a very fine film, 3*4', [(2, 11)])
    >>> unmark(r"<b>C:\bin</b> \<b>", ("<b>", "</b>"))
    ('C:\\bin <b>', [(0, 6)])
    """
    opening, closing = marks
    signs = "".join(sign for sign in opening + closing if not sign.isalnum())
    mark = f"{re.escape(opening)}|{re.escape(closing)}"
    special = rf"\\(?:[{re.escape(signs)}\\]|{mark})|{mark}"
    parts: list[str] = []
    spans: list[tuple[int, int]] = []
    start: int | None = None
    end = length = opened = 0
    for match in re.finditer(special, text):
        parts.append(text[end : match.start()])
        length += match.start() - end
        end = match.end()
        found = match.group()
        if found.startswith("\\"):
            parts.append(found[1:])
            length += len(found) - 1
        elif start is None and found == opening:
            start, opened = length, match.start()
        elif start is not None and found == closing:
            if start == length:
                raise _misplaced(opening, text, opened, " is closed at once, expected marked text")
            spans.append((start, length))
            start = None
        else:
            expected = opening if start is None else closing
            raise _misplaced(found, text, match.start(), f", expected {expected!r}")
    if start is not None:
        raise _misplaced(opening, text, opened, f" is not closed, expected {closing!r} after it")
    return "".join([*parts, text[end:]]), spans


def _misplaced(mark: str, text: str, place: int, fault: str) -> DataError:
    """What is wrong with a mark, with the text near it, and how to write what is no mark."""
    first, last = max(0, place - 20), place + 40
    near = f"{'…' if first else ''}{text[first:last]}{'…' if last < len(text) else ''}"
    escaped = f"\\{mark}" if mark.isalnum() else "".join(sign if sign.isalnum() else f"\\{sign}" for sign in mark)
    return DataError(
        f"mark {mark!r} at character {place} in {near!r}{fault} "
        f"({escaped} where it is no mark; other marks: data.hub.marks)"
    )


def cell_list(cell: object) -> list[object]:
    """The list in a cell, or in its text: JSON, or numbers between commas or spaces (`{}` = none)."""
    if isinstance(cell, str):
        text = cell.strip()
        if text.startswith("["):
            try:
                cell = read_json(text)
            except json.JSONDecodeError as error:
                raise DataError(f"{shown(text)} is bad JSON at character {error.pos + 1}, expected a list") from None
            except ValueError as error:
                raise DataError(f"{shown(text)} is {error}, expected a list") from None
        else:
            parts = [] if text == "{}" else re.split(r"[,\s]+", text)
            try:  # 1e-05 has no point, and is none of the whole numbers
                return [int(part) if part.lstrip("+-").isdecimal() else float(part) for part in parts]
            except ValueError:
                raise DataError(f"{shown(text)}, expected a list") from None
    if not isinstance(cell, list):
        raise DataError(f"{shown(cell)}, expected a list")
    return cell


def keep_gold_share(examples: ExampleStore, share: float, *, seed: int) -> ExampleStore:
    """The examples; of those with gold only a share keeps it: a seeded sample of each class, at least one of each.

    A larger share with the same seed includes the sample of a smaller one. Shares of a class round half to even.
    """
    by_label: dict[str | None, list[NDArray[np.int64]]] = {}
    start = 0
    for part in windows(examples):
        labels = np.array(part.texts_of("label"), dtype=object)
        for label in dict.fromkeys(labels[part.gold_known].tolist()):
            members = start + np.flatnonzero(part.gold_known & (labels == label))
            by_label.setdefault(label, []).append(members)
        start += len(part)
    rng = np.random.default_rng(seed)
    lost = np.ones(len(examples), np.bool_)
    for parts in by_label.values():
        order = rng.permutation(np.concatenate(parts))
        lost[order[: max(1, round(share * len(order)))]] = False
    return examples.without_gold(lost)


def _mask(values: Sequence[object], n_words: int) -> NDArray[np.float32]:
    if len(values) != n_words:
        raise DataError(f"a mask of {len(values)} values, expected {n_words} (one for each word)")
    for value in values:
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise DataError(f"value {shown(value)} in a mask, expected 0 to 1")
    return np.array(values, dtype=np.float32)


def _indices(values: Iterable[object], n_words: int) -> NDArray[np.float32]:
    gold = np.zeros(n_words, dtype=np.float32)
    for value in values:
        index = whole(value)
        if index is None or not 0 <= index < n_words:
            raise DataError(f"word number {shown(value)}, expected 0 to {n_words - 1}")
        gold[index] = 1
    return gold


def _char_spans(values: Iterable[object], length: int) -> list[tuple[int, int]]:
    spans = []
    for value in values:
        pair = value if isinstance(value, list) and len(value) == 2 else [None, None]
        start, end = map(whole, pair)
        if start is None or end is None or not 0 <= start <= end <= length:
            expected = f"[start, end] with 0 <= start <= end <= {length} (characters)"
            raise DataError(f"span {shown(value)}, expected {expected}")
        spans.append((start, end))
    return spans


def whole(value: object) -> int | None:
    """The whole number in a cell (a float in a column with nulls), or None."""
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _marked(cell: object, segment: Segment, marks: Marks) -> NDArray[np.float32]:
    if not isinstance(cell, str):
        raise DataError(f"{shown(cell)}, expected the text with marks in it")
    text, spans = unmark(cell, marks)
    found = split_words(text)
    if found.words != segment.words:
        raise DataError(f"without its marks {shown(text)}, expected the words of {shown(segment.text)}")
    return _cover(found, spans)


def _cover(segment: Segment, spans: Iterable[tuple[int, int]]) -> NDArray[np.float32]:
    """Which words share a character with a span."""
    gold = np.zeros(len(segment.starts), dtype=np.float32)
    for start, end in spans:
        gold[(segment.starts < end) & (segment.ends > start) & (start < end)] = 1
    return gold

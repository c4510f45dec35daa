"""Gold rationales given as spans, as marks of the words."""

import re
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa

from unirex.text import shown

CHARS, WORDS = "gold_char_spans", "gold_word_spans"


def refuse_in_file(names: Collection[str], file: str) -> None:
    """Refuses a file whose gold stands in spans alone, which are read from tables in memory.

    Raises:
        ValueError: which column.
    """
    for column in (CHARS, WORDS):
        if column in names and "gold" not in names:
            raise ValueError(
                f"{file}: has {column} and no gold, expected gold for each word (spans are read from tables in memory)"
            )


def with_gold(table: pa.Table, name: str) -> pa.Table:
    """The table with a column `gold` made of its spans, if it has spans and no such column.

    `gold_char_spans` are [start, end) in characters of `text`, `gold_word_spans` [start, end) in words; pairs or
    objects with `start` and `end`. A word is marked if a span touches it. The words are `words`, without that column
    those of `text` between blanks, and word spans need only their number, which `scores` or `rationale` give too. A
    row of null spans has no gold.

    >>> table = pa.table({"id": ["a"], "text": ["a very good film"], "gold_char_spans": [[[7, 11]]]})
    >>> with_gold(table, "table")["gold"].to_pylist()
    [[False, False, True, False]]

    Raises:
        ValueError: a span that ends before it starts or lies outside, a word that is not in the text.
    """
    names = table.column_names
    if "gold" in names or not {CHARS, WORDS} & set(names):
        return table
    column = CHARS if CHARS in names else WORDS
    needed = ("text",) if column == CHARS else ("words", "scores", "rationale", "text")
    measure = next((n for n in needed if n in names), None)
    if measure is None:
        raise ValueError(f"{name}: column {column!r} needs a column {' or '.join(map(repr, needed))}")
    gold: list[list[bool] | None] = []
    wanted = ["id", column, measure] + ["words"] * (column == CHARS and "words" in names)
    for row in table.select(list(dict.fromkeys(wanted))).to_pylist():
        try:
            gold.append(None if row[column] is None else _marks(row, column, measure))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{name}: row id {shown(row['id'])}: {error}") from error
    return table.append_column("gold", pa.array(gold, pa.list_(pa.bool_())))


def _marks(row: dict[str, Any], column: str, measure: str) -> list[bool]:
    if row[measure] is None:
        raise ValueError(f"{measure} is null, expected a value with {column}")
    if column == CHARS:
        places = words_in(row["text"], row.get("words"))
        length, unit = len(row["text"]), "characters of text"
    else:
        n = len(row["text"].split()) if measure == "text" else len(row[measure])
        places = [(i, i + 1) for i in range(n)]
        length, unit = n, f"words of {measure}"
    marks = [False] * len(places)
    for i, span in enumerate(row[column]):
        start, end = _ends(span, f"{column}[{i}]")
        if not 0 <= start <= end <= length:
            expected = f"0 <= start <= end <= {length} ({unit})"
            raise ValueError(f"{column}[{i}] is [{start}, {end}], expected {expected}")
        touched = [word for word, (first, last) in enumerate(places) if start < end and first < end and start < last]
        if start < end and not touched:
            raise ValueError(f"{column}[{i}] is [{start}, {end}], expected a span that touches a word")
        for word in touched:
            marks[word] = True
    return marks


def _ends(span: Any, name: str) -> tuple[int, int]:
    found = (span.get("start"), span.get("end")) if isinstance(span, dict) else tuple(span or ())
    if len(found) != 2 or not all(isinstance(end, int) for end in found):
        raise ValueError(f"{name} is {shown(span)}, expected a pair of whole numbers")
    return found


def words_in(text: str, words: Sequence[str] | None = None) -> list[tuple[int, int]]:
    """The place of each word in a text, [start, end) in characters; without words, of what blanks separate.

    >>> words_in("not good, not bad", ["not", "good", "not"])
    [(0, 3), (4, 8), (10, 13)]

    Raises:
        ValueError: a word that does not follow in the text.
    """
    if words is None:
        return [match.span() for match in re.finditer(r"\S+", text)]
    places, end = [], 0
    for i, word in enumerate(words):
        start = text.find(word, end)
        if start < 0 or any(letter.isalnum() for letter in text[end:start]):
            ahead = shown(text[end : end + 30].strip())
            raise ValueError(
                f"words[{i}] is {shown(word)}, expected what text goes on with at character {end}: {ahead}"
            )
        end = start + len(word)
        places.append((start, end))
    return places

"""Words of raw text, for texts without given words."""

import re
import unicodedata
from functools import cache
from typing import Literal

from unirex.data.record import split_words
from unirex.schema import Segment

Words = Literal["text", "space"]
"""What a word is: `text` = letters and digits together, marks by themselves; `space` = what white space separates."""


def find_words(text: str, words: Words = "text", *, selectable: bool = True) -> Segment:
    r"""A segment with this very text and its words.

    `text` keeps what belongs together: `don't`, `well-made`, `3.5`, `U.S.`, `...`, an emoji with its modifiers, a
    letter with its accents. Other punctuation and symbols are words by themselves, as are characters of scripts written
    without spaces (Chinese, Japanese). Control and invisible formatting characters belong to no word. `space` is how
    the readers of data sets cut texts (ERASER, CSV, JSONL), so use it to compare with their scores.

    >>> find_words("It's a well-made film (3.5/5)...").words
    ["It's", 'a', 'well-made', 'film', '(', '3.5', '/', '5', ')', '...']
    >>> find_words("a fine film.", "space").words
    ['a', 'fine', 'film.']
    """
    if words == "space":
        return split_words(text, selectable=selectable)
    if words != "text":
        raise ValueError(f"words is {words!r}, expected 'text' or 'space'")
    return split_words(text, selectable=selectable, word=_ASCII if text.isascii() else _pattern())


def _words(start: str, letters: str, apostrophes: str) -> str:
    """Abbreviations such as U.S., and runs of letters and digits with apostrophes, hyphens or decimal points inside."""
    return rf"(?:[^\W\d_]\.){{2,}}|{start}(?:(?:[{apostrophes}-]|(?<=\d)[.,:](?=\d)){letters})*"


_ASCII = re.compile(_words(r"\w+", r"\w+", "'") + r"|([!-/:-@\[-`{-~])\1*", re.ASCII)


@cache
def _pattern() -> re.Pattern[str]:
    r"""The pattern of a word. `\w` leaves out combining marks, without which Hindi or decomposed accents fall apart."""
    categories = {chr(code): unicodedata.category(chr(code)) for code in [*range(0x20000), *range(0xE0000, 0xE01F0)]}
    marks = "".join(c for c, category in categories.items() if category.startswith("M"))
    hidden = re.escape("".join(c for c, category in categories.items() if category in {"Cc", "Cf"}))
    spaceless = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    letter, symbol = rf"[^\W{spaceless}]", rf"[^\w\s{hidden}{marks}]"
    letters = rf"{letter}+(?:[{marks}]+{letter}*)*"
    modifier = rf"[{marks}\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"
    emoji = rf"{symbol}{modifier}+(?:\u200d{symbol}{modifier}*)*|{symbol}(?:\u200d{symbol}{modifier}*)+"
    return re.compile(
        rf"[{spaceless}][{marks}]*|{_words(letters, letters, chr(39) + chr(0x2019))}"
        rf"|[\U0001f1e6-\U0001f1ff]{{2}}|{emoji}|({symbol})\1*|[{marks}]"
    )

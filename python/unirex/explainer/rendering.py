"""A text with its important words, for a terminal and for a notebook; marked as reports mark words."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import NamedTuple

from unirex.report.marks import LEVELS, STYLES, ShownWord, to_html, to_terminal
from unirex.text import plain


class Piece(NamedTuple):
    """A stretch of text: its importance from 0 to 1 (None = not a word the model saw), and whether it is marked."""

    text: str
    shade: float | None
    marked: bool


def terminal(pieces: Sequence[Piece], *, color: bool) -> str:
    """The text on one line, with marked stretches between brackets and, in color, important words shaded."""
    before, words = _words(pieces, lines=False)
    printed = to_terminal(words, color=color)
    return before + "".join(text + word.after for (text, _), word in zip(printed, words, strict=True))


def html(pieces: Sequence[Piece]) -> str:
    """The text as HTML: important words shaded, marked stretches framed; all of it escaped."""
    before, words = _words(pieces, lines=True)
    return escape(before) + to_html(words, STYLES)


def _words(pieces: Sequence[Piece], *, lines: bool) -> tuple[str, list[ShownWord]]:
    """What stands before the first word, and the words with what follows each, safe to show."""
    before, words = "", []
    for piece in pieces:
        text = plain(piece.text, lines=lines)
        if piece.shade is not None:
            level = round(LEVELS * piece.shade)
            words.append(ShownWord(text, level, None, piece.marked, gold=None, seen=True, after=""))
        elif words:
            words[-1] = replace(words[-1], after=words[-1].after + text)
        else:
            before += text
    return before, words

"""A text with its important words, for a terminal and for a notebook; text from data is made harmless for both."""

from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

JOINERS = "\u200c\u200d"
"""Invisible, but parts of emoji and of Persian and Indian words."""


class Piece(NamedTuple):
    """A stretch of text: its importance from 0 to 1 (None: no word, or never seen), and whether it is marked."""

    text: str
    shade: float | None
    marked: bool


def harmless(text: str) -> str:
    r"""The text on one line, without anything that a terminal would obey.

    White space becomes spaces; control characters (escape sequences begin with one), characters that turn the reading
    direction and all else that is not printable become backslash escapes.

    >>> harmless("a\x1b[31m\n\u202eb")
    'a\\x1b[31m \\u202eb'
    """
    if text.isprintable():
        return text
    return "".join(_harmless(c) for c in text)


def _harmless(character: str) -> str:
    if character.isprintable() or character in JOINERS:
        return character
    return " " if character.isspace() and character not in "\x1c\x1d\x1e\x1f\x85" else ascii(character)[1:-1]


def terminal(pieces: Sequence[Piece], *, color: bool) -> str:
    """The text with marked stretches underlined (or, without colour, between brackets) and important words shaded."""
    if not color:
        runs = groupby(pieces, key=lambda piece: piece.marked)
        plain = ((marked, "".join(harmless(piece.text) for piece in run)) for marked, run in runs)
        return "".join(f"[{text}]" if marked else text for marked, text in plain)
    parts = []
    for piece in pieces:
        text = harmless(piece.text)
        codes = ["1", "4"] if piece.marked else []
        if piece.shade is not None and piece.shade >= 1 / 3:
            codes.append("48;5;153;30" if piece.shade >= 2 / 3 else "48;5;195;30")
        parts.append(f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if codes else text)
    return "".join(parts)


def html(pieces: Sequence[Piece]) -> str:
    """The text as HTML: important words with a blue background, marked ones underlined and bold; all of it escaped."""
    parts = []
    for piece in pieces:
        text = escape("\n".join(harmless(line) for line in piece.text.split("\n")))
        style = ""
        if piece.shade is not None and piece.shade >= 0.05:
            style = f' style="background:rgba(0,114,178,{0.55 * piece.shade:.2f});border-radius:3px"'
        if piece.marked:
            text = f"<b><u>{text}</u></b>"
        parts.append(f"<span{style}>{text}</span>" if style else text)
    return "".join(parts)

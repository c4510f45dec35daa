"""A text with its important words, for a terminal and for a notebook; text from data is made safe for both."""

from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

from unirex.text import plain


class Piece(NamedTuple):
    """A stretch of text: its importance from 0 to 1 (None = not a word the model saw), and whether it is marked."""

    text: str
    shade: float | None
    marked: bool


def terminal(pieces: Sequence[Piece], *, color: bool) -> str:
    """The text with marked stretches underlined (or, without color, between brackets) and important words shaded."""
    if not color:
        runs = groupby(pieces, key=lambda piece: piece.marked)
        marks = ((marked, "".join(plain(piece.text, lines=False) for piece in run)) for marked, run in runs)
        return "".join(f"[{text}]" if marked else text for marked, text in marks)
    parts = []
    for piece in pieces:
        text = plain(piece.text, lines=False)
        codes = ["1", "4"] if piece.marked else []
        if piece.shade is not None and piece.shade >= 1 / 3:
            codes.append("48;5;153;30" if piece.shade >= 2 / 3 else "48;5;195;30")
        parts.append(f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if codes else text)
    return "".join(parts)


def html(pieces: Sequence[Piece]) -> str:
    """The text as HTML: important words with a blue background, marked ones underlined and bold; all of it escaped."""
    parts = []
    for piece in pieces:
        text = escape("\n".join(plain(line, lines=False) for line in piece.text.split("\n")))
        style = ""
        if piece.shade is not None and piece.shade >= 0.05:
            style = f' style="background:rgba(0,114,178,{0.55 * piece.shade:.2f});border-radius:3px"'
        if piece.marked:
            text = f"<b><u>{text}</u></b>"
        parts.append(f"<span{style}>{text}</span>" if style else text)
    return "".join(parts)

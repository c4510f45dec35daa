"""The one way in which words are marked, on the page, in a notebook and in a terminal.

A shade is a word's score; a frame (in a terminal brackets) holds neighbors that the model selected; a line under
neighbors says that people marked them. A word that the model never saw has neither shade nor frame.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate, groupby
from typing import Literal

LEVELS = 8
"""Shades of a word's score; the lowest has none."""
RESET = "\x1b[0m"
SHADES = (None, None, 230, 229, 223, 222, 221, 215, 214)
"""Backgrounds of the 256 colors, from the lowest score to the highest; black text is readable on all of them."""


@dataclass(frozen=True, slots=True)
class ShownWord:
    """A word of an instance.

    Attributes:
        text: safe to show, but not escaped for HTML.
        level: 0 (lowest score of the text) to 8 (highest); None where the model never saw the word or has no scores.
        score: None likewise.
        rationale: whether it is in the hard rationale.
        gold: the human rationale, None where none is known.
        seen: whether the model saw it.
        after: what stands between it and the next word.
        last: whether it is the last word of a text and another text follows, into which no span runs on.
    """

    text: str
    level: int | None
    score: float | None
    rationale: bool
    gold: float | None
    seen: bool
    after: str = " "
    last: bool = False

    @property
    def framed(self) -> bool:
        """Whether it is shown as selected."""
        return self.rationale and self.seen

    @property
    def people(self) -> Literal["none", "few", "most"]:
        """How many people marked it: nobody, at most half of them, or more."""
        if not self.gold:
            return "none"
        return "most" if self.gold > 0.5 else "few"


@dataclass(frozen=True, kw_only=True)
class Look:
    """How HTML says it: opening tags, and the attribute of a word with a shade."""

    frame: str
    most: str
    few: str
    unseen: str
    shade: Callable[[int], str]


CLASSES = Look(
    frame="<mark>",
    most="<u>",
    few="<u class=few>",
    unseen="<i class=unseen>",
    shade=lambda level: f" class=s{level}",
)
"""For the page, whose policy allows only its one style sheet."""
STYLES = Look(
    frame='<mark style="color:inherit;background:none;box-shadow:0 0 0 1.5px currentColor;border-radius:3px;'
    'padding:.1em .2em;-webkit-box-decoration-break:clone;box-decoration-break:clone">',
    most='<u style="text-decoration:underline 2.5px solid #3d8fd1;text-underline-offset:.26em">',
    few='<u style="text-decoration:underline 2.5px dotted #3d8fd1;text-underline-offset:.26em">',
    unseen='<i style="opacity:.7">',
    shade=lambda level: f' style="background:rgba(238,134,0,{0.55 * level / LEVELS:.2f});border-radius:3px"',
)
"""For a notebook, which has no style sheet of ours."""


def to_html(words: Sequence[ShownWord], look: Look) -> str:
    """The words as HTML, all text escaped: neighbors with the same mark are in one element.

    >>> film = ShownWord("fine", 8, 0.9, True, 1.0, True), ShownWord("<film>", 0, 0.1, True, None, True)
    >>> to_html(film, CLASSES)
    '<mark><u><span class=s8 title=0.9>fine</span></u> <span title=0.1>&lt;film&gt;</span></mark> '
    """
    parts = []
    ends = list(accumulate((word.last for word in words), initial=0))
    for (framed, _), run in groupby(enumerate(words), key=lambda placed: (placed[1].framed, ends[placed[0]])):
        inside = [word for _, word in run]
        text = "".join(_underlined(inside, look))
        parts.append(f"{look.frame}{text}</mark>" if framed else text)
        parts.append("<br>" if inside[-1].last else escape(inside[-1].after))
    return "".join(parts)


def _underlined(words: Sequence[ShownWord], look: Look) -> Iterator[str]:
    """Words of one frame, or of none; what follows the last one is outside of it."""
    for people, run in groupby(words, key=lambda word: word.people):
        inside = list(run)
        text = "".join(f"{_word(word, look)}{escape(word.after)}" for word in inside[:-1]) + _word(inside[-1], look)
        yield text if people == "none" else f"{look.most if people == 'most' else look.few}{text}</u>"
        if inside[-1] is not words[-1]:
            yield escape(inside[-1].after)


def _word(word: ShownWord, look: Look) -> str:
    if not word.seen:
        return f"{look.unseen}{escape(word.text)}</i>"
    shade = look.shade(word.level) if word.level else ""
    score = "" if word.score is None else f" title={word.score:.3g}"
    return f"<span{shade}{score}>{escape(word.text)}</span>"


def to_terminal(words: Sequence[ShownWord], *, color: bool) -> list[tuple[str, int]]:
    """Each word as it is printed, and its width in columns; without `color` there is no escape sequence.

    >>> film = [ShownWord(text, 0, 0.0, chosen, 0.0, True) for text, chosen in zip("abc", (True, True, False))]
    >>> to_terminal(film, color=False)
    [('[a', 2), ('b]', 2), ('c', 1)]
    """
    found = []
    frames, lines = _ends([word.framed for word in words]), _ends([word.people == "most" for word in words])
    for word, (opens, closes), (begins, ends) in zip(words, frames, lines, strict=True):
        left, right = "[" * opens, "]" * closes
        if color:
            left, right = (f"\x1b[1m{sign}{RESET}" if sign else "" for sign in (left, right))
            text = _colored(word)
        else:
            text = f"{'_' * begins}{word.text}{'' if word.seen else '?'}{'_' * ends}"
        width = len(word.text) + opens + closes if color else len(text) + opens + closes
        found.append((f"{left}{text}{right}", width))
    return found


def _colored(word: ShownWord) -> str:
    codes = ["1"] * word.framed + ["4"] * (word.people == "most") + ["3"] * (not word.seen)
    shade = None if word.level is None else SHADES[min(word.level, LEVELS)]
    if shade is not None:
        codes += ["30", f"48;5;{shade}"]
    return f"\x1b[{';'.join(codes)}m{word.text}{RESET}" if codes else word.text


def _ends(flags: Sequence[bool]) -> list[tuple[bool, bool]]:
    """Whether a run of marked neighbors begins and ends at each place.

    >>> _ends([True, True, False])
    [(True, False), (False, True), (False, False)]
    """
    padded = [False, *flags, False]
    return [(here and not padded[i], here and not padded[i + 2]) for i, here in enumerate(flags)]


def terminal_key(*, color: bool) -> str:
    """What the marks say, in marks."""
    if not color:
        return "[words]: selected   _words_: marked by people   word?: never seen by the model"
    shades = "".join(f"\x1b[48;5;{shade}m  " for shade in SHADES if shade is not None)
    frame = f"\x1b[1m[words]{RESET}: selected"
    return f"scores from low to high {shades}{RESET}  {frame}  \x1b[4munderlined{RESET}: marked by people"

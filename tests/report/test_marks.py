"""One way to mark words: the same on the page, in a notebook and in a terminal."""

import re

from unirex.explainer.rendering import Piece, html, terminal
from unirex.report.marks import CLASSES, SHADES, STYLES, ShownWord, terminal_key, to_html, to_terminal


def word(text: str, level: int | None = 0, *, chosen: bool = False, gold: float | None = None) -> ShownWord:
    return ShownWord(text, level, None if level is None else level / 8, chosen, gold, level is not None)


FILM = [
    word("a", 1),
    word("truly", 5, chosen=True, gold=1.0),
    word("fine", 8, chosen=True, gold=1.0),
    word("film", 0, gold=0.4),
    word("unseen", None, chosen=True),
]


def test_neighbors_are_one_phrase() -> None:
    page = to_html(FILM, CLASSES)
    assert re.findall("<mark>(.*?)</mark>", page) == [
        "<u><span class=s5 title=0.625>truly</span> <span class=s8 title=1>fine</span></u>"
    ]
    assert "<u class=few><span title=0>film</span></u>" in page
    assert re.sub("<[^>]*>", "", page) == "a truly fine film unseen "


def test_a_word_without_a_score_has_no_frame_and_no_shade() -> None:
    assert to_html(FILM, CLASSES).endswith("<i class=unseen>unseen</i> ")
    assert to_terminal(FILM, color=False)[-1] == ("unseen?", 7)
    unscored = [ShownWord("fine", None, None, True, None, True)]  # a file of rationales alone
    assert to_html(unscored, CLASSES) == "<mark><span>fine</span></mark> "


def test_a_line_of_people_may_reach_beyond_a_frame() -> None:
    words = [word("a", 1, gold=1.0), word("b", 8, chosen=True, gold=1.0), word("c", 4, chosen=True)]
    assert re.sub(r"<span[^>]*>|</span>", "", to_html(words, CLASSES)) == "<u>a</u> <mark><u>b</u> c</mark> "
    assert [text for text, _ in to_terminal(words, color=False)] == ["_a", "[b_", "c]"]


def test_text_is_escaped_in_both_looks() -> None:
    for look in (CLASSES, STYLES):
        page = to_html([word("<script>\"'&", 3, chosen=True)], look)
        assert "<script" not in page
        assert "&lt;script&gt;&quot;&#x27;&amp;" in page


def test_terminal_says_the_same() -> None:
    assert [text for text, _ in to_terminal(FILM, color=False)] == ["a", "[_truly", "fine_]", "film", "unseen?"]
    colored = to_terminal(FILM, color=True)
    plain = [re.sub("\x1b[^m]*m", "", text) for text, _ in colored]
    assert plain == ["a", "[truly", "fine]", "film", "unseen"]
    assert [len(text) for text in plain] == [width for _, width in colored]
    assert f"\x1b[1;4;30;48;5;{SHADES[8]}mfine" in colored[2][0]
    for color in (False, True):
        assert "[words]" in terminal_key(color=color)


def test_explained_texts_look_as_in_reports() -> None:
    pieces = [Piece("“", None, False), Piece("truly", 0.6, True), Piece(", ", None, True), Piece("fine", 1.0, True)]
    pieces += [Piece(" ", None, False), Piece("film", 0.0, False), Piece(" …", None, False)]
    assert terminal(pieces, color=False) == "“[truly, fine] film …"
    assert re.sub("\x1b[^m]*m", "", terminal(pieces, color=True)) == "“[truly, fine] film …"
    page = html(pieces)
    assert page.count("<mark") == 1
    assert re.sub("<[^>]*>", "", page) == "“truly, fine film …"
    assert STYLES.shade(8) in page
    assert f"48;5;{SHADES[8]}mfine" in terminal(pieces, color=True)

"""One way to mark words: the same on the page, in a notebook and in a terminal."""

import re

import numpy as np

from unirex.disk.predictions import Prediction
from unirex.explainer.answer import ExplainedText
from unirex.report.marks import CLASSES, SHADES, STYLES, ShownWord, terminal_key, to_html, to_terminal
from unirex.schema import Example, Segment


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
    text = "“truly, fine film and more"
    starts, ends = np.array([1, 8, 13, 18, 22]), np.array([6, 12, 17, 21, 26])
    example = Example(id="x", segments=(Segment(text=text, starts=starts, ends=ends),), label=None)
    answer = Prediction(
        id="x", label=None, prediction="good", probabilities=np.array([0.1, 0.9]), words=example.words, documents=None,
        context=None, scores=np.array([0.6, 1.0, 0.0, np.nan, np.nan], np.float32), gold=None, words_cut=2, gold_cut=0,
        rationale=np.array([True, True, False, False, False]), perturbed={},
    )  # fmt: skip
    explained = ExplainedText(example, answer, ("bad", "good"), rule="")
    assert explained.to_text().splitlines()[1] == "“[truly, fine] film …"
    colored = explained.to_text(color=True).splitlines()[1]
    assert re.sub("\x1b[^m]*m", "", colored) == "“[truly, fine] film …"
    assert f"48;5;{SHADES[8]}mfine" in colored
    page = explained._repr_html_()
    assert page.count("<mark") == 1
    assert "“truly, fine film …</p>" in re.sub("<(?!/p>)[^>]*>", "", page)
    assert STYLES.shade(8) in page

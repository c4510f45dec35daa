"""One answer: the model's label for a text, and the words that the label rests on."""

from collections.abc import Sequence
from functools import cached_property
from html import escape
from typing import Any, NamedTuple

from unirex.disk.predictions import Prediction, nullable
from unirex.metrics.arrays import aopc, comprehensiveness, sufficiency
from unirex.report.instances import levels
from unirex.report.marks import STYLES, ShownWord, to_html, to_terminal
from unirex.schema import Example, perturbed_column
from unirex.text import plain


class Word(NamedTuple):
    """A word that may enter a rationale.

    Attributes:
        text: as in the input.
        start, end: its characters in the text it belongs to.
        part: which text of the input: 0, or 1 for the second text of a pair.
        score: importance, higher = more important; None if truncation removed the word.
        selected: whether it is in the hard rationale.
    """

    text: str
    start: int
    end: int
    part: int
    score: float | None
    selected: bool


class Span(NamedTuple):
    """A stretch of the rationale: neighboring words of it, and the text between them."""

    text: str
    start: int
    end: int
    part: int


class Faithfulness(NamedTuple):
    """How hiding the top words changes the probability of the answer, at several fractions and on average.

    Attributes:
        comprehensiveness: p(full) - p(without the top words), mean over the fractions; higher is better.
        sufficiency: p(full) - p(only the top words), mean over the fractions; lower is better.
        fractions: shares of the selectable units.
        comprehensiveness_at, sufficiency_at: the same at each fraction.
        how: how tokens were hidden.
    """

    comprehensiveness: float
    sufficiency: float
    fractions: tuple[float, ...]
    comprehensiveness_at: tuple[float, ...]
    sufficiency_at: tuple[float, ...]
    how: str


class ExplainedText:
    """A text, the model's answer, and the words it rests on.

    Attributes:
        id: of the input, or its number.
        label: the class with the highest probability; of a multiple choice, the name of the choice.
        probabilities: by class name, in the model's order.
        texts: the input: one text or two. Positions of words and spans refer to these.
        choices: the answers of a multiple choice, in the order of `probabilities`; else empty.
        rule: how the hard rationale was cut.
        words_cut: words that the model did not see, because the input was too long.
        tokens_cut: tokens that were cut for the same reason.
    """

    def __init__(
        self,
        example: Example,
        prediction: Prediction,
        names: tuple[str, ...],
        *,
        rule: str,
        tokens_cut: int = 0,
        checked: tuple[str, tuple[float, ...]] | None = None,
    ) -> None:
        self.row = prediction
        self.id = prediction.id
        self.label = prediction.prediction
        self.probabilities: dict[str, float] = dict(zip(names, prediction.probabilities.tolist(), strict=True))
        self.segments = example.segments
        self.choices = example.choices
        self.rule = rule
        self.words_cut = prediction.words_cut
        self.tokens_cut = tokens_cut
        self._checked = checked

    @property
    def texts(self) -> tuple[str, ...]:
        """One text, or two."""
        return tuple(segment.text for segment in self.segments)

    @property
    def probability(self) -> float:
        """Of the label."""
        return self.probabilities[self.label]

    @property
    def _place(self) -> int:
        """Of the label among the classes or choices."""
        return list(self.probabilities).index(self.label)

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words that may enter a rationale, in reading order."""
        places = (
            (segment.text[start:end], start, end, part)
            for part, segment in enumerate(self.segments)
            if segment.selectable
            for start, end in zip(segment.starts.tolist(), segment.ends.tolist(), strict=True)
        )
        scores, rationale = nullable(self.row.scores), self.row.rationale.tolist()
        found = zip(places, scores, rationale, strict=True)
        return tuple(Word(*place, score, selected) for place, score, selected in found)

    @cached_property
    def rationale(self) -> tuple[Span, ...]:
        """The hard rationale as stretches of characters: selected words that stand side by side are one."""
        spans: list[Span] = []
        before: Word | None = None
        for word in self.words:
            if word.selected:
                joined = before is not None and before.selected and before.part == word.part
                start = spans.pop().start if joined else word.start
                spans.append(Span(self.segments[word.part].text[start : word.end], start, word.end, word.part))
            before = word
        return tuple(spans)

    def top(self, n: int = 5) -> list[tuple[str, float]]:
        """The `n` most important words with their scores, most important first."""
        seen = [(word.text, word.score) for word in self.words if word.score is not None]
        return sorted(seen, key=lambda entry: -entry[1])[:n]

    @cached_property
    def faithfulness(self) -> Faithfulness | None:
        """How hiding the top words changes the answer; None if it was not measured."""
        if self._checked is None:
            return None
        how, fractions = self._checked
        answer = self._place
        full = self.row.probabilities[answer : answer + 1]

        def p(kind: str) -> Any:
            return self.row.perturbed[perturbed_column(kind, how, "self")][None, :, answer]

        comp, suff = comprehensiveness(full, p("remove")), sufficiency(full, p("keep"))
        return Faithfulness(
            float(aopc(comp)[0]),
            float(aopc(suff)[0]),
            fractions,
            tuple(comp[0].tolist()),
            tuple(suff[0].tolist()),
            how,
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values that JSON can hold."""
        pair = len(self.segments) > 1
        content: dict[str, Any] = {
            "id": self.id,
            "label": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
            "words": [
                {"word": w.text, "start": w.start, "end": w.end, "score": w.score, "selected": w.selected}
                | ({"part": w.part} if pair else {})
                for w in self.words
            ],
            "rationale": [
                {"text": s.text, "start": s.start, "end": s.end} | ({"part": s.part} if pair else {})
                for s in self.rationale
            ],
            "words_cut": self.words_cut,
            "tokens_cut": self.tokens_cut,
        }
        if self.faithfulness is not None:
            content["faithfulness"] = {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in self.faithfulness._asdict().items()
            }
        return content

    def to_text(self, *, color: bool = False) -> str:
        """The answer for a terminal: label, text with the rationale marked, most important words.

        Nothing in the data reaches the terminal as a command (see `unirex.text.plain`).

        Args:
            color: whether to mark by color (ANSI) as well as by brackets.
        """
        others = ", ".join(f"{plain(n, lines=False)} {p:.3f}" for n, p in self.probabilities.items() if n != self.label)
        head = f"{plain(self.label, lines=False)} {self.probability:.3f}"
        lines = [(f"\x1b[1m{head}\x1b[0m" if color else head) + (f"  ({others})" if others else "")]
        lines += [before + _printed(words, color=color) for before, words in self._shown(lines=False)]
        if self.choices:
            lines.append(f"answer: {plain(self.choices[self._place], lines=False)}")
        if top := self.top():
            lines.append("top words: " + ", ".join(f"{plain(word, lines=False)} {score:.3g}" for word, score in top))
        return "\n".join([*lines, *self._notes()])

    def _notes(self) -> list[str]:
        notes = []
        if self.faithfulness is not None:
            f = self.faithfulness
            notes.append(f"comprehensiveness {f.comprehensiveness:.3f} ↑, sufficiency {f.sufficiency:.3f} ↓")
        if self.words_cut:
            notes.append(f"too long: the model did not see {self.words_cut} words ({self.tokens_cut} tokens)")
        return notes

    def __repr__(self) -> str:
        spans = [plain(span.text, lines=False) for span in self.rationale]
        shown = ", ".join(repr(span) for span in spans[:4]) + (", ..." if len(spans) > 4 else "")
        return (
            f"<ExplainedText {plain(self.label, lines=False)!r} {self.probability:.3f}, rationale: {shown or 'none'}>"
        )

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        names = "".join(
            f"<li>{escape(plain(name))}: {p:.3f}</li>" for name, p in self.probabilities.items() if name != self.label
        )
        texts = "".join(
            '<p style="line-height:1.7;white-space:pre-wrap;unicode-bidi:isolate;margin:.4em 0">'
            f"{escape(before)}{to_html(words, STYLES)}</p>"
            for before, words in self._shown(lines=True)
        )
        if self.choices:
            texts += f"<p>answer: {escape(plain(self.choices[self._place]))}</p>"
        notes = "".join(f'<p style="opacity:.75;margin:.2em 0">{note}</p>' for note in self._notes())
        return (
            f'<div style="font-family:sans-serif;max-width:48em"><p style="margin:.2em 0"><b>'
            f"{escape(plain(self.label))}</b> {self.probability:.3f}</p>{texts}"
            f'<ul style="opacity:.75;margin:.2em 0">{names}</ul>{notes}</div>'
        )

    def _shown(self, *, lines: bool) -> list[tuple[str, list[ShownWord]]]:
        """Of each text what stands before its first seen word, and the seen words with what follows each."""
        shades = levels([word.score for word in self.words])
        found = []
        for part, segment in enumerate(self.segments):
            own = [(word, shade) for word, shade in zip(self.words, shades, strict=True) if word.part == part]
            seen = [(word, shade) for word, shade in own if shade is not None]
            cut = self.words_cut > 0 and len(seen) < len(own)
            end = len(segment.text) if not cut else seen[-1][0].end if seen else 0
            gaps = zip([0, *(word.end for word, _ in seen)], [*(word.start for word, _ in seen), end], strict=True)
            between = [plain(segment.text[start:stop], lines=lines) for start, stop in gaps]
            if cut:
                between[-1] += " …"
            words = [
                ShownWord(plain(word.text, lines=lines), shade, None, word.selected, gold=None, seen=True, after=after)
                for (word, shade), after in zip(seen, between[1:], strict=True)
            ]
            found.append((between[0], words))
        return found


def _printed(words: Sequence[ShownWord], *, color: bool) -> str:
    shown = to_terminal(words, color=color)
    return "".join(text + word.after for (text, _), word in zip(shown, words, strict=True))

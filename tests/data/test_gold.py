from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unirex.data.errors import DataError
from unirex.data.gold import cell_list, keep_gold_share, read_gold, unmark, vote
from unirex.data.record import split_words
from unirex.data.store import store_of, windows
from unirex.schema import Example, Segment

TEXT = "A very fine film, seen twice."
SEGMENT = split_words(TEXT)
WORDS = st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=6), min_size=1, max_size=12)
MARKS = st.sampled_from([("*", "*"), ("<b>", "</b>"), ("[", "]"), ("**", "**"), ("a", "b"), ("{{", "}}"), ("-]", "^")])


@st.composite
def masked_words(draw: st.DrawFn) -> tuple[list[str], list[int]]:
    words = draw(WORDS)
    return words, draw(st.lists(st.integers(0, 1), min_size=len(words), max_size=len(words)))


def runs(mask: list[int]) -> list[tuple[int, int]]:
    """First word and one past the last of each run of marked words."""
    edges = np.flatnonzero(np.diff([0, *mask, 0]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


class TestOneMeaning:
    """A mask, the indices, the character spans and the marked text made from it are read as that mask."""

    @given(masked_words())
    def test_mask(self, case: tuple[list[str], list[int]]) -> None:
        words, mask = case
        segment = Segment.from_words(words)
        assert read_gold(mask, segment, form="mask").tolist() == mask
        assert read_gold([bool(mark) for mark in mask], segment, form="mask").tolist() == mask
        assert read_gold(str(mask), segment, form="mask").tolist() == mask

    @given(masked_words())
    def test_indices(self, case: tuple[list[str], list[int]]) -> None:
        words, mask = case
        marked = np.flatnonzero(mask).tolist()
        segment = Segment.from_words(words)
        assert read_gold(marked[::-1] + marked, segment, form="indices").tolist() == mask
        assert read_gold(",".join(map(str, marked)) or "{}", segment, form="indices").tolist() == mask

    @given(masked_words())
    def test_char_spans(self, case: tuple[list[str], list[int]]) -> None:
        words, mask = case
        segment = Segment.from_words(words)
        spans = [[int(segment.starts[a]), int(segment.ends[b - 1])] for a, b in runs(mask)]
        assert read_gold(spans, segment, form="char_spans").tolist() == mask
        # A span that takes the space behind it, and one character of each word, mean the same.
        wide = [[start, min(end + 1, len(segment.text))] for start, end in spans]
        assert read_gold(wide, segment, form="char_spans").tolist() == mask
        single = [[int(start), int(start) + 1] for start, mark in zip(segment.starts, mask, strict=True) if mark]
        assert read_gold(single, segment, form="char_spans").tolist() == mask

    @given(masked_words(), MARKS)
    def test_marked_text(self, case: tuple[list[str], list[int]], marks: tuple[str, str]) -> None:
        words, mask = case
        # A letter needs a backslash where it is a whole mark, and has none elsewhere: `<b>` is written `\<b\>`.
        special = {"\\", *marks, *(sign for sign in "".join(marks) if not sign.isalnum())}
        escaped = ["".join("\\" + c if c in special else c for c in word) for word in words]
        for a, b in runs(mask):
            escaped[a] = marks[0] + escaped[a]
            escaped[b - 1] += marks[1]
        segment = Segment.from_words(words)
        assert unmark(" ".join(escaped), marks)[0] == segment.text
        assert read_gold(" ".join(escaped), segment, form="marked", marks=marks).tolist() == mask


class TestByHand:
    @pytest.mark.parametrize(
        ("cell", "form", "expected"),
        [
            ([0, 0.25, 1, 0, 0, 1.0], "mask", [0, 0.25, 1, 0, 0, 1]),
            ("0 1 1 0 0 0", "mask", [0, 1, 1, 0, 0, 0]),
            ("0.5,1,1,0,0,0", "mask", [0.5, 1, 1, 0, 0, 0]),
            ("5e-1 1 1 0e0 0 0", "mask", [0.5, 1, 1, 0, 0, 0]),
            ("[true, false, false, false, false, false]", "mask", [1, 0, 0, 0, 0, 0]),
            ([2, 3.0, 2], "indices", [0, 0, 1, 1, 0, 0]),
            ([], "indices", [0] * 6),
            ("{}", "indices", [0] * 6),
            (" 5 ", "indices", [0, 0, 0, 0, 0, 1]),
            ([[2, 11]], "char_spans", [0, 1, 1, 0, 0, 0]),
            ("[[1, 3], [16, 17]]", "char_spans", [0, 1, 0, 1, 0, 0]),
            ([[1, 2], [4, 4], [0, 0]], "char_spans", [0, 0, 0, 0, 0, 0]),
            ([[0, 29], [3, 5]], "char_spans", [1] * 6),
            ([], "char_spans", [0] * 6),
            ("A *very fine* film, seen *twice*.", "marked", [0, 1, 1, 0, 0, 1]),
            ("A *very* *fine* film*,* seen twice.", "marked", [0, 1, 1, 1, 0, 0]),
            ("A  very fine\nfilm, seen twice.", "marked", [0] * 6),
        ],
    )
    def test_read(self, cell: Any, form: Any, expected: list[float]) -> None:
        gold = read_gold(cell, SEGMENT, form=form)
        assert gold.dtype == np.float32
        assert gold.tolist() == expected

    def test_escapes(self) -> None:
        assert unmark(r"3\*4 \\*is 12* \n", ("*", "*")) == (r"3*4 \is 12 \n", [(5, 10)])
        assert unmark(r"\<b> <b>x</b>", ("<b>", "</b>")) == ("<b> x", [(4, 5)])

    def test_offsets_count_characters_not_bytes(self) -> None:
        segment = split_words("naïve 🎬 film")
        assert read_gold([[6, 7]], segment, form="char_spans").tolist() == [0, 1, 0]


class TestErrors:
    @pytest.mark.parametrize(
        ("cell", "form", "message"),
        [
            ([0, 1], "mask", "a mask of 2 values, expected 6 (one for each word)"),
            ([0, 1, 2, 0, 0, 0], "mask", "value 2 in a mask, expected 0 to 1"),
            ([0, 1, float("nan"), 0, 0, 0], "mask", "value nan in a mask, expected 0 to 1"),
            ([0, 1, "1", 0, 0, 0], "mask", "value '1' in a mask, expected 0 to 1"),
            ([0, 1, None, 0, 0, 0], "mask", "value null in a mask, expected 0 to 1"),
            (3, "mask", "3, expected a list"),
            ("no list", "mask", "'no list', expected a list"),
            ("[0, 1", "mask", "'[0, 1' is bad JSON at character 6, expected a list"),
            ([6], "indices", "word number 6, expected 0 to 5"),
            ([-1], "indices", "word number -1, expected 0 to 5"),
            ([0.5], "indices", "word number 0.5, expected 0 to 5"),
            ([float("inf")], "indices", "word number inf, expected 0 to 5"),
            ([True], "indices", "word number True, expected 0 to 5"),
            ([[0, 30]], "char_spans", "span [0, 30], expected [start, end] with 0 <= start <= end <= 29 (characters)"),
            ([[5, 2]], "char_spans", "span [5, 2], expected [start, end] with 0 <= start <= end <= 29 (characters)"),
            ([3, 5], "char_spans", "span 3, expected [start, end] with 0 <= start <= end <= 29 (characters)"),
            (
                [[1, 2, 3]],
                "char_spans",
                "span [1, 2, 3], expected [start, end] with 0 <= start <= end <= 29 (characters)",
            ),
            ([1], "marked", "[1], expected the text with marks in it"),
            (
                "A *very* nice film, seen twice.",
                "marked",
                f"without its marks 'A very nice film, seen twice.', expected the words of '{TEXT}'",
            ),
            (
                "A *very fine film",
                "marked",
                "mark '*' at character 2 in 'A *very fine film' is not closed, expected '*' after it "
                r"(\* where it is no mark; other marks: data.hub.marks)",
            ),
        ],
    )
    def test_message(self, cell: Any, form: Any, message: str) -> None:
        with pytest.raises(DataError) as error:
            read_gold(cell, SEGMENT, form=form)
        assert str(error.value) == message

    def test_marks_that_do_not_pair(self) -> None:
        where = "where it is no mark; other marks: data.hub.marks)"
        for text, message in (
            ("a ] b", rf"mark ']' at character 2 in 'a ] b', expected '[' (\] {where}"),
            ("[a b[ c]", rf"mark '[' at character 4 in '[a b[ c]', expected ']' (\[ {where}"),
        ):
            with pytest.raises(DataError) as error:
                unmark(text, ("[", "]"))
            assert str(error.value) == message

    def test_a_cell_is_never_silently_another_thing(self) -> None:
        for cell in (None, {"a": 1}, 1.5):
            with pytest.raises(DataError, match=r", expected a list$"):
                cell_list(cell)


class TestVote:
    GOLDS = tuple(np.array(g, dtype=np.float32) for g in ([1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]))

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [("majority", [1, 0, 0, 0]), ("any", [1, 1, 1, 0]), ("all", [1, 0, 0, 0]), ("soft", [1, 0.5, 0.25, 0])],
    )
    def test_four(self, rule: Any, expected: list[float]) -> None:
        assert vote(self.GOLDS, rule).tolist() == expected

    def test_shares_are_cut_like_marks(self) -> None:
        shares = [np.array(g, dtype=np.float32) for g in ([0.2, 1, 0], [0, 0.5, 0])]
        assert vote(shares, "any").tolist() == [1, 1, 0]
        assert vote(shares, "all").tolist() == [0, 0, 0]
        assert vote(shares, "majority").tolist() == [0, 1, 0]
        assert vote(shares, "soft").tolist() == pytest.approx([0.1, 0.75, 0])

    def test_majority_is_more_than_half(self) -> None:
        assert vote(self.GOLDS[:3], "majority").tolist() == [1, 1, 0, 0]
        assert vote(self.GOLDS[:3], "soft").tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0])

    @pytest.mark.parametrize("rule", ["majority", "any", "all", "soft"])
    def test_one_annotator_stays_as_is(self, rule: Any) -> None:
        shares = np.array([0.2, 0.7, 1.0], dtype=np.float32)
        assert vote([shares], rule).tolist() == shares.tolist()

    @given(st.lists(st.lists(st.integers(0, 1), min_size=5, max_size=5), min_size=2, max_size=7))
    def test_rules_are_cuts_of_the_share(self, votes: list[list[int]]) -> None:
        golds = [np.array(one, dtype=np.float32) for one in votes]
        counts = [sum(column) for column in zip(*votes, strict=True)]
        n = len(votes)
        assert vote(golds, "soft").tolist() == pytest.approx([count / n for count in counts])
        assert vote(golds, "majority").tolist() == [float(2 * count > n) for count in counts]
        assert vote(golds, "any").tolist() == [float(count > 0) for count in counts]
        assert vote(golds, "all").tolist() == [float(count == n) for count in counts]


def examples(labels: list[str | None], known: list[bool]) -> list[Example]:
    return [
        Example(
            id=str(index),
            segments=(Segment.from_words(["a"]),),
            label=label,
            gold=np.ones(1, dtype=np.float32) if has else None,
        )
        for index, (label, has) in enumerate(zip(labels, known, strict=True))
    ]


class TestGoldShare:
    def kept(self, share: float, seed: int = 0) -> set[str]:
        labels: list[str | None] = ["neg"] * 200 + ["pos"] * 40 + ["rare"]
        given_ = examples(labels, [index % 2 == 0 for index in range(len(labels))])
        left = keep_gold_share(store_of(given_), share, seed=seed)
        assert [(example.id, example.label, example.words) for example in left] == [
            (example.id, example.label, example.words) for example in given_
        ]
        return {example.id for example in left if example.gold is not None}

    def test_each_class_keeps_its_share_and_at_least_one(self) -> None:
        kept = {int(name) for name in self.kept(0.1)}
        assert all(index % 2 == 0 for index in kept)
        assert [sum(low <= index < high for index in kept) for low, high in ((0, 200), (200, 240), (240, 241))] == [
            10,
            2,
            1,
        ]
        assert len(self.kept(0.0001)) == 3

    def test_shares_are_nested_and_seeded(self) -> None:
        assert self.kept(0.1) < self.kept(0.2) < self.kept(0.9)
        assert self.kept(0.1) == self.kept(0.1)
        assert self.kept(0.1) != self.kept(0.1, seed=1)

    def test_rows_are_counted_through_all_that_are_read_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = self.kept(0.2)
        monkeypatch.setattr("unirex.data.gold.windows", partial(windows, size=7))
        assert self.kept(0.2) == whole

    def test_unknown_labels_are_a_class_too(self) -> None:
        left = keep_gold_share(store_of(examples([None] * 4 + ["a"] * 4, [True] * 8)), 0.5, seed=0)
        assert [sum(e.gold is not None for e in part) for part in (left[:4], left[4:])] == [2, 2]

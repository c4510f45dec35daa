import json
import re
from pathlib import Path
from typing import Any

import pytest

from unirex.data import DataConfig, DataError, HubConfig, load_split
from unirex.schema import Example


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path, *, split: Any = "train", data: dict[str, Any] | None = None, **hub: Any) -> list[Example]:
    return list(load_split(DataConfig(source="hub", path=str(path), hub=HubConfig(**hub), **(data or {})), split))


def one(folder: Path, row: dict[str, Any], data: dict[str, Any] | None = None, **hub: Any) -> Example:
    (example,) = read(write(folder / "train.jsonl", [row]), data=data, **hub)
    return example


def gold(example: Example) -> list[float] | None:
    return None if example.gold is None else example.gold.tolist()


def message(folder: Path, row: dict[str, Any], data: dict[str, Any] | None = None, **hub: Any) -> str:
    with pytest.raises(DataError) as error:
        one(folder, row, data, **hub)
    text = str(error.value)
    assert "\n" not in text
    return text.removeprefix(f"{folder}/")


ROW: dict[str, Any] = {"text": "a fine film", "label": "pos"}
PAIR = {"text": "two boys run", "second": "boys sit", "label": "no"}


class TestText:
    def test_the_text_stays_as_it_is(self, tmp_path: Path) -> None:
        example = one(tmp_path, {"text": " a\tfine  film\n", "label": "x"})
        assert example.segments[0].text == " a\tfine  film\n"
        assert example.words == ["a", "fine", "film"]

    @pytest.mark.parametrize("cell", [["don't", "New York", "!"], '["don\'t", "New York", "!"]'])
    def test_lists_of_words(self, tmp_path: Path, cell: Any) -> None:
        example = one(tmp_path, {"text": cell, "label": "x", "gold": [0, 1, 0]}, words="list", gold=("gold",))
        assert example.words == ["don't", "New York", "!"]
        assert gold(example) == [0, 1, 0]

    def test_character_spans_of_lists_of_words_count_in_the_joined_text(self, tmp_path: Path) -> None:
        row = {"text": ["a", "New York", "flat"], "label": "x", "gold": [[2, 10]]}
        assert gold(one(tmp_path, row, words="list", gold=("gold",), gold_format="char_spans")) == [0, 1, 0]

    def test_ids(self, tmp_path: Path) -> None:
        path = write(tmp_path / "train.jsonl", [{**ROW, "n": 7}, {**ROW, "n": "b"}])
        assert [example.id for example in read(path, id="n")] == ["7", "b"]
        assert [example.id for example in read(path)] == ["train-0", "train-1"]

    def test_columns_inside_columns(self, tmp_path: Path) -> None:
        row = {"post": {"body": {"text": "x y"}, "a.b": 1}, "label": "a", "gold.mask": [0, 1]}
        example = one(tmp_path, row, text="post.body.text", gold=("gold.mask",))
        assert (example.words, gold(example)) == (["x", "y"], [0, 1])

    @pytest.mark.parametrize(
        ("row", "hub", "text"),
        [
            ({"text": None}, {}, "text is null, expected text (hub.words: list reads lists of words)"),
            ({"text": ["a"]}, {}, "text is ['a'], expected text (hub.words: list reads lists of words)"),
            ({"text": " "}, {}, "text is ' ', expected at least one word"),
            ({"text": ""}, {}, "text is '', expected at least one word"),
            ({"text": []}, {"words": "list"}, "text is [], expected a list of one or more words, none of them blank"),
            (
                {"text": ["a", ""]},
                {"words": "list"},
                "text is ['a', ''], expected a list of one or more words, none of them blank",
            ),
            (
                {"text": ["a", 1]},
                {"words": "list"},
                "text is ['a', 1], expected a list of one or more words, none of them blank",
            ),
            ({"text": "a b"}, {"words": "list"}, "text: 'a b', expected a list"),
            ({"id": None}, {"id": "id"}, "id is null, expected text or a whole number"),
            ({"id": True}, {"id": "id"}, "id is True, expected text or a whole number"),
            ({"id": ""}, {"id": "id"}, "id is '', expected text or a whole number"),
            ({"q": None}, {"query": "q"}, "q is null, expected text (query: ignore leaves it out)"),
        ],
    )
    def test_bad_cells_one_line_each(self, tmp_path: Path, row: dict[str, Any], hub: dict[str, Any], text: str) -> None:
        assert message(tmp_path, {**ROW, **row}, **hub) == f"train.jsonl:1: {text}"

    def test_duplicate_ids(self, tmp_path: Path) -> None:
        path = write(tmp_path / "train.jsonl", [{**ROW, "n": 7}, {**ROW, "n": "7"}])
        with pytest.raises(
            DataError, match=r":2: id '7' is a duplicate, expected it once \(first at .*train\.jsonl:1\)$"
        ):
            read(path, id="n")

    @pytest.mark.parametrize("column", ["text", "label", "id", "text_pair", "query"])
    def test_missing_columns(self, tmp_path: Path, column: str) -> None:
        text = message(tmp_path, ROW, **{column: "body"})
        assert text == "train.jsonl: there is no column body, found text, label"
        inside = {"text": "a fine film", "a": {"label": "pos", "gold": [0, 1, 0]}}
        text = message(tmp_path, inside, label="a.lable")
        assert text == "train.jsonl: there is no column a.lable, found text, a"
        text = message(tmp_path, inside, label="a.label", gold=("a.gould",))
        assert text == "train.jsonl: there is no column a.gould, found text, a"
        assert gold(one(tmp_path, inside, label="a.label", gold=("a.gould", "a.gold"))) == [0, 1, 0]

    def test_missing_gold_columns(self, tmp_path: Path) -> None:
        assert (
            message(tmp_path, ROW, gold=("g1", "g2")) == "train.jsonl: there is no column g1 or g2, found text, label"
        )
        assert message(tmp_path, ROW, choices=("a", "b")) == "train.jsonl: there is no column a, found text, label"


class TestLabels:
    @pytest.mark.parametrize(
        ("value", "names", "expected"),
        [
            ("pos", (), "pos"),
            (3, (), "3"),
            (3.0, (), "3"),
            (-1, (), "-1"),
            (True, (), "True"),
            (None, (), None),
            (1, ("neg", "pos"), "pos"),
            ("1", ("neg", "pos"), "pos"),
            (1.0, ("neg", "pos"), "pos"),
            ("1.0", ("neg", "pos"), "pos"),
            ("-1.0", ("neg", "pos"), None),
            (False, ("neg", "pos"), "neg"),
            ("pos", ("neg", "pos"), "pos"),
            ("1", ("1", "0"), "1"),
            (-1, ("neg", "pos"), None),
            (None, ("neg", "pos"), None),
        ],
    )
    def test_label(self, tmp_path: Path, value: Any, names: tuple[str, ...], expected: str | None) -> None:
        assert one(tmp_path, {**ROW, "label": value}, label_names=names).label == expected

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (2, "label is 2, expected 0 to 1 or one of neg, pos"),
            (-2, "label is -2, expected 0 to 1 or one of neg, pos"),
            ("good", "label is 'good', expected 0 to 1 or one of neg, pos"),
            ([1], "label is [1], expected text, a whole number or null"),
            (0.5, "label is 0.5, expected text, a whole number or null"),
            (float("inf"), "label is inf, expected text, a whole number or null"),
        ],
    )
    def test_bad_labels(self, tmp_path: Path, value: Any, text: str) -> None:
        assert message(tmp_path, {**ROW, "label": value}, label_names=("neg", "pos")) == f"train.jsonl:1: {text}"

    def test_text_is_no_number_where_names_are_numbers(self, tmp_path: Path) -> None:
        stars = ("1", "2", "3")
        for value, expected in ((0, "1"), (2, "3"), ("1", "1"), ("3", "3")):
            assert one(tmp_path, {**ROW, "label": value}, label_names=stars).label == expected
        said = message(tmp_path, {**ROW, "label": "0"}, label_names=stars)
        assert said == "train.jsonl:1: label is '0', expected one of 1, 2, 3, since some of them are numbers"

    def test_names_of_the_file(self, tmp_path: Path) -> None:
        datasets = pytest.importorskip("datasets")
        features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["neg", "pos"]))
        whole = datasets.Dataset.from_list([{"text": "x", "label": 1}, {"text": "y", "label": -1}], features=features)
        whole.save_to_disk(tmp_path / "saved")
        assert [example.label for example in read(tmp_path / "saved")] == ["pos", None]
        assert [e.label for e in read(tmp_path / "saved", label_names=("bad", "good"))] == ["good", None]

    def test_no_labels(self, tmp_path: Path) -> None:
        assert one(tmp_path, {"text": "x"}, label=None).label is None

    def test_unknown_and_renamed(self, tmp_path: Path) -> None:
        labels = {"labels": ("neg", "pos")}
        assert message(tmp_path, {**ROW, "label": "POS"}, labels).endswith(
            "the label is 'POS', expected one of neg, pos"
        )
        renamed = {**labels, "rename_labels": {"POS": "pos"}}
        assert one(tmp_path, {**ROW, "label": "POS"}, renamed).label == "pos"


class TestGold:
    @pytest.mark.parametrize(
        ("form", "cell"),
        [
            ("mask", [0, 1, 0]),
            ("mask", "0 1 0"),
            ("indices", [1]),
            ("indices", "1"),
            ("char_spans", [[2, 6]]),
            ("char_spans", "[[2, 6]]"),
            ("marked", "a *fine* film"),
        ],
    )
    def test_forms(self, tmp_path: Path, form: str, cell: Any) -> None:
        assert gold(one(tmp_path, {**ROW, "why": cell}, gold=("why",), gold_format=form)) == [0, 1, 0]

    @pytest.mark.parametrize("form", ["mask", "indices", "char_spans", "marked"])
    @pytest.mark.parametrize("annotators", ["columns", "list"])
    @pytest.mark.parametrize("cell", [None, "", ...])
    def test_missing_gold_is_none_and_never_zeros(self, tmp_path: Path, form: str, annotators: str, cell: Any) -> None:
        row = ROW if cell is ... else {**ROW, "why": cell}
        path = write(tmp_path / "train.jsonl", [row, {**ROW, "why": None}])
        assert gold(read(path, gold=("why",), gold_format=form, annotators=annotators)[0]) is None

    @pytest.mark.parametrize(
        ("form", "cell"), [("mask", [0, 0, 0]), ("indices", []), ("char_spans", []), ("marked", "a fine film")]
    )
    def test_nothing_marked_is_zeros(self, tmp_path: Path, form: str, cell: Any) -> None:
        assert gold(one(tmp_path, {**ROW, "why": cell}, gold=("why",), gold_format=form)) == [0, 0, 0]

    def test_the_text_may_be_the_marked_column(self, tmp_path: Path) -> None:
        row = {"text": r"a <b>fine</b> film \<b>", "label": "x"}
        example = one(tmp_path, row, gold=("text",), gold_format="marked", marks=("<b>", "</b>"))
        assert example.segments[0].text == "a fine film <b>"
        assert gold(example) == [0, 1, 0, 0]

    def test_stars_of_a_text_whose_gold_is_elsewhere_stay(self, tmp_path: Path) -> None:
        row = {"text": "a *fine* film", "label": "x", "why": r"a \*fine\* *film*"}
        example = one(tmp_path, row, gold=("why",), gold_format="marked")
        assert example.words == ["a", "*fine*", "film"]
        assert gold(example) == [0, 0, 1]

    @pytest.mark.parametrize(
        ("vote", "expected"),
        [("majority", [1, 1, 0]), ("any", [1, 1, 1]), ("all", [1, 0, 0]), ("soft", [1, 2 / 3, 1 / 3])],
    )
    def test_annotators(self, tmp_path: Path, vote: str, expected: list[float]) -> None:
        votes = [[0, 1, 2], [0], [0, 1]]
        columns = {f"g{n}": cell for n, cell in enumerate(votes)}
        by_columns = one(tmp_path, {**ROW, **columns}, gold=tuple(columns), gold_format="indices", vote=vote)
        by_list = one(tmp_path, {**ROW, "g": votes}, gold=("g",), gold_format="indices", vote=vote, annotators="list")
        text = {**ROW, "g": str(votes)}
        by_text = one(tmp_path, text, gold=("g",), gold_format="indices", vote=vote, annotators="list")
        for example in (by_columns, by_list, by_text):
            assert gold(example) == pytest.approx(expected)

    def test_an_annotator_who_did_not_look_has_no_vote(self, tmp_path: Path) -> None:
        row = {**ROW, "g1": [1, 0, 0], "g2": None}
        assert gold(one(tmp_path, row, gold=("g1", "g2", "g3"), vote="all")) == [1, 0, 0]
        row = {**ROW, "g": [[1, 0, 0], None, [1, 1, 0]]}
        assert gold(one(tmp_path, row, gold=("g",), vote="soft", annotators="list")) == [1, 0.5, 0]
        assert one(tmp_path, {**ROW, "g": []}, gold=("g",), annotators="list").gold is None
        assert one(tmp_path, {**ROW, "g1": None, "g2": None}, gold=("g1", "g2")).gold is None

    @pytest.mark.parametrize(
        ("cell", "hub", "text"),
        [
            ([0, 1], {}, "why: a mask of 2 values, expected 3 (one for each word)"),
            ([3], {"gold_format": "indices"}, "why: word number 3, expected 0 to 2"),
            (
                [[0, 12]],
                {"gold_format": "char_spans"},
                "why: span [0, 12], expected [start, end] with 0 <= start <= end <= 11 (characters)",
            ),
            (
                "a *fine",
                {"gold_format": "marked"},
                "why: mark '*' at character 2 in 'a *fine' is not closed, expected '*' after it "
                "(\\* where it is no mark; other marks: data.hub.marks)",
            ),
            (
                "a <b>fine",
                {"gold_format": "marked", "marks": ("<b>", "</b>")},
                "why: mark '<b>' at character 2 in 'a <b>fine' is not closed, expected '</b>' after it "
                "(\\<b\\> where it is no mark; other marks: data.hub.marks)",
            ),
            ([0, 1, 0], {"annotators": "list"}, "why: 0, expected a list"),
            (5, {}, "why: 5, expected a list"),
        ],
    )
    def test_bad_gold_one_line_each(self, tmp_path: Path, cell: Any, hub: dict[str, Any], text: str) -> None:
        assert message(tmp_path, {**ROW, "why": cell}, gold=("why",), **hub) == f"train.jsonl:1: {text}"


class TestPair:
    def test_gold_of_both(self, tmp_path: Path) -> None:
        row = {**PAIR, "g1": "2", "g2": "1"}
        example = one(tmp_path, row, text_pair="second", gold=("g1",), gold_pair=("g2",), gold_format="indices")
        assert [segment.text for segment in example.segments] == ["two boys run", "boys sit"]
        assert gold(example) == [0, 0, 1, 0, 1]

    @pytest.mark.parametrize(
        ("hub", "expected"), [({"gold": ("g",)}, [0, 1, 0, 0, 0]), ({"gold_pair": ("g",)}, [0, 0, 0, 0, 1])]
    )
    def test_gold_of_one(self, tmp_path: Path, hub: dict[str, Any], expected: list[float]) -> None:
        assert gold(one(tmp_path, {**PAIR, "g": [1]}, text_pair="second", gold_format="indices", **hub)) == expected

    def test_an_annotator_who_marked_one_text_marked_nothing_in_the_other(self, tmp_path: Path) -> None:
        row = {**PAIR, "a1": [0, 0, 1], "b1": None, "a2": None, "b2": None}
        hub = {"text_pair": "second", "gold": ("a1", "a2"), "gold_pair": ("b1", "b2"), "vote": "soft"}
        assert gold(one(tmp_path, row, **hub)) == [0, 0, 1, 0, 0]
        assert one(tmp_path, {**row, "a1": None}, **hub).gold is None

    def test_lists_of_annotators_must_agree(self, tmp_path: Path) -> None:
        row = {**PAIR, "a": [[0, 0, 1]], "b": [[0, 1], [0, 0]]}
        hub = {"text_pair": "second", "gold": ("a",), "gold_pair": ("b",), "annotators": "list"}
        assert (
            message(tmp_path, row, **hub)
            == "train.jsonl:1: gold and gold_pair have 1 and 2 annotators, expected as many"
        )
        assert gold(one(tmp_path, {**row, "a": []}, **hub, vote="any")) == [0, 0, 0, 0, 1]

    @pytest.mark.parametrize(
        ("query", "texts", "expected"),
        [
            ("ignore", ["two boys run", "boys sit"], [0, 0, 1, 0, 0]),
            ("fixed", ["who runs ?", "two boys run boys sit"], [0, 0, 1, 0, 0]),
            ("selectable", ["who runs ?", "two boys run boys sit"], [0, 0, 0, 0, 0, 1, 0, 0]),
        ],
    )
    def test_query(self, tmp_path: Path, query: str, texts: list[str], expected: list[float]) -> None:
        row = {**PAIR, "q": "who runs ?", "g": [0, 0, 1]}
        example = one(tmp_path, row, {"query": query}, text_pair="second", query="q", gold=("g",))
        assert [segment.text for segment in example.segments] == texts
        assert gold(example) == expected
        assert example.n_words == len(expected)


QUESTION = {"text": "where do fish live ?", "a": "sea", "b": "the moon", "label": 0}


class TestChoices:
    def test_columns(self, tmp_path: Path) -> None:
        example = one(tmp_path, {**QUESTION, "g": [2]}, choices=("a", "b"), gold=("g",), gold_format="indices")
        assert example.choices == ("sea", "the moon")
        assert example.choice_labels == ("A", "B")
        assert example.label == "A"
        assert gold(example) == [0, 0, 1, 0, 0]

    @pytest.mark.parametrize("cell", [["sea", "the moon"], '["sea", "the moon"]'])
    @pytest.mark.parametrize(
        ("label", "labels", "expected"),
        [(1, None, "B"), ("B", None, "B"), ("1", ("1", "2"), "1"), ("x", ("y", "x", "z"), "x")],
    )
    def test_one_column(self, tmp_path: Path, cell: Any, label: Any, labels: Any, expected: str) -> None:
        row = {**QUESTION, "all": {"text": cell}, "label": label}
        example = one(tmp_path, row, {"labels": labels}, choices=("all.text",))
        assert example.choices == ("sea", "the moon")
        assert example.choice_labels == (labels or ("A", "B"))[:2]
        assert example.label == expected

    def test_a_separator_in_the_query(self, tmp_path: Path) -> None:
        row = {"text": "where ?", "q": "sea / moon", "label": "B"}
        example = one(tmp_path, row, {"choices": " / "}, query="q")
        assert (example.choices, example.label, example.words) == (("sea", "moon"), "B", ["where", "?"])

    @pytest.mark.parametrize(
        ("row", "text"),
        [
            ({"all": ["sea"]}, "1 choices, expected 2 to 26"),
            ({"all": ["sea", " "]}, "a choice is ' ', expected text"),
            ({"all": ["sea", None]}, "a choice is null, expected text"),
            ({"all": None}, "all: null, expected a list"),
            ({"label": 2}, "the label is '2', expected one of A, B, or their number from 0"),
            ({"label": "C"}, "the label is 'C', expected one of A, B, or their number from 0"),
        ],
    )
    def test_bad_choices(self, tmp_path: Path, row: dict[str, Any], text: str) -> None:
        given = {**QUESTION, "all": ["sea", "moon"], **row}
        assert message(tmp_path, given, choices=("all",)) == f"train.jsonl:1: {text}"


class TestSplits:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write(tmp_path / "all.jsonl", [{"text": f"w{n}", "label": "x"} for n in range(10)])

    @pytest.mark.parametrize(
        ("spec", "first", "last"),
        [
            ("train", 0, 10),
            ("train[:80%]", 0, 8),
            ("train[80%:]", 8, 10),
            ("train[25%:75%]", 2, 8),
            ("train[3:5]", 3, 5),
            ("train[-2:]", 8, 10),
            ("train[:-30%]", 0, 7),
            ("train[:]", 0, 10),
            ("train[:10]", 0, 10),
        ],
    )
    def test_parts(self, path: Path, spec: str, first: int, last: int) -> None:
        examples = read(path, split="val", splits={"val": spec})
        assert [example.words[0] for example in examples] == [f"w{n}" for n in range(first, last)]

    @pytest.mark.parametrize("part", ["[:99]", "[2:11]", "[-11:]", "[12:20]", "[-3:11]"])
    def test_a_part_ends_where_the_rows_do(self, path: Path, part: str) -> None:
        with pytest.raises(DataError, match=rf"the part train{re.escape(part)} is asked for, expected rows up to 10$"):
            read(path, split="val", splits={"val": f"train{part}"})

    def test_every_file_of_a_table_has_its_columns(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("text,label\none,x\n")
        (tmp_path / "b.csv").write_text("text,Label\ntwo,y\n")
        with pytest.raises(DataError, match=r"b\.csv: there is no column label, found text, Label$"):
            read(tmp_path / "*.csv")

    def test_a_lone_file_is_the_training_split(self, path: Path) -> None:
        assert len(read(path)) == 10
        assert read(path, split="val") == []
        assert len(read(path, split="test", splits={"test": "train"})) == 10

    def test_a_split_that_is_asked_for_must_be_there(self, path: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"all\.jsonl: there is no split held_out$"):
            read(path, split="val", splits={"val": "held_out"})
        with pytest.raises(DataError, match=r": there is no split train$"):
            read(tmp_path)

    def test_an_empty_file_is_no_split(self, tmp_path: Path) -> None:
        for name in ("train", "val"):
            write(tmp_path / f"{name}.jsonl", [])
        with pytest.raises(DataError, match=r": the val split has no rows, expected at least one, or no such split$"):
            read(tmp_path, split="val")
        assert read(tmp_path, split="test") == []
        with pytest.raises(DataError, match=r": the training split is empty, expected at least one instance$"):
            read(tmp_path)


class TestConfig:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"splits": {"dev": "dev"}}, "data.hub.splits names 'dev', expected train, val or test"),
            (
                {"splits": {"val": "dev[1"}},
                "data.hub.splits.val is 'dev[1', expected a name, or a part such as 'train[:90%]'",
            ),
            ({"gold_pair": ("g",)}, "data.hub.gold_pair is ['g'], expected none without text_pair"),
            (
                {"text_pair": "b", "gold": ("g", "h"), "gold_pair": ("i",)},
                "data.hub.gold_pair is ['i'], expected 2 columns (as gold)",
            ),
            (
                {"query": "q", "choices": ("c",)},
                "data.hub.query is 'q', expected none with choices (use text or text_pair)",
            ),
            (
                {"gold_format": "marked", "words": "list"},
                "data.hub.gold_format is 'marked', expected another one for words: list",
            ),
            *(
                (
                    {"marks": marks},
                    f"data.hub.marks is {list(marks)}, expected two texts without a backslash, none inside the other",
                )
                for marks in (("", "*"), ("\\", "*"), ("(", "(("))
            ),
        ],
    )
    def test_contradictions(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            HubConfig(**fields)

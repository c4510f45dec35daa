import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unirex.data import DataConfig, DataError, EraserConfig, load_split
from unirex.schema import Example

DOCS = [
    {"docid": "d1", "document": "a fine film\nnot  dull\n"},
    {"docid": "d2", "document": "seen twice"},
    {"docid": "d3", "document": "third"},
]


def evidence(docid: str = "d1", start: Any = 1, end: Any = 3) -> dict[str, Any]:
    return {
        "docid": docid,
        "start_token": start,
        "end_token": end,
        "start_sentence": 0,
        "end_sentence": 1,
        "text": "",
    }


def annotation(name: Any = "i1", **fields: Any) -> dict[str, Any]:
    row = {
        "annotation_id": name,
        "query": "is it good ?",
        "classification": "pos",
        "evidences": [[evidence()]],
        "query_type": None,
        "docids": ["d1"],
    }
    row.update(fields)
    return {key: value for key, value in row.items() if value is not ...}


def write(folder: Path, rows: list[Any], docs: list[Any] | None = None, split: str = "train") -> Path:
    folder.mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n" if lines else "", encoding="utf-8")
    texts = DOCS if docs is None else docs
    (folder / "docs.jsonl").write_text(
        "".join((doc if isinstance(doc, str) else json.dumps(doc)) + "\n" for doc in texts), encoding="utf-8"
    )
    return folder


def read(folder: Path, split: Any = "train", **options: Any) -> list[Example]:
    return list(
        load_split(DataConfig(**{"source": "eraser", "path": str(folder), "query": "ignore", **options}), split)
    )


def one(folder: Path, row: dict[str, Any], docs: list[Any] | None = None, **options: Any) -> Example:
    (example,) = read(write(folder, [row], docs), **options)
    return example


def gold(example: Example) -> list[float] | None:
    return None if example.gold is None else example.gold.tolist()


class TestWords:
    def test_blank_tokens_count_in_spans_but_are_no_words(self, tmp_path: Path) -> None:
        # Tokens: a fine film | not "" dull | "" (the blank last line)
        example = one(tmp_path, annotation(evidences=[[evidence(start=4, end=6)]]))
        assert example.words == ["a", "fine", "film", "not", "dull"]
        assert example.segments[0].text == "a fine film not dull"
        assert gold(example) == [0, 0, 0, 0, 1]

    def test_a_span_may_end_behind_a_trailing_blank_token(self, tmp_path: Path) -> None:
        assert gold(one(tmp_path, annotation(evidences=[[evidence(start=5, end=7)]]))) == [0, 0, 0, 0, 1]

    def test_tabs_inside_a_line_do_not_split_and_a_lone_one_is_blank(self, tmp_path: Path) -> None:
        docs = [{"docid": "d1", "document": "\ta\tb c \t d"}]
        example = one(tmp_path, annotation(evidences=[[evidence(start=2, end=4)]]), docs)
        assert example.words == ["a\tb", "c", "d"]
        assert gold(example) == [0, 0, 1]

    def test_a_folder_of_documents_drops_blank_tokens_before_counting(self, tmp_path: Path) -> None:
        write(tmp_path, [annotation(evidences=[[evidence(start=3, end=5)]])])
        (tmp_path / "docs.jsonl").unlink()
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs" / "d1").write_bytes(b"a fine film\r\n\r\n not  dull \n\n")
        (example,) = read(tmp_path)
        assert example.words == ["a", "fine", "film", "not", "dull"]
        assert gold(example) == [0, 0, 0, 1, 1]

    @settings(max_examples=60, deadline=None)
    @given(
        lines=st.lists(
            st.lists(st.sampled_from(["", "a", "bc", "\t"]), min_size=1, max_size=5), min_size=1, max_size=4
        ),
        data=st.data(),
    )
    def test_gold_words_are_the_words_of_the_span(
        self, tmp_path_factory: pytest.TempPathFactory, lines: list[list[str]], data: st.DataObject
    ) -> None:
        text = "\n".join(" ".join(line) for line in lines)
        tokens = [token for line in text.split("\n") for token in line.strip().split(" ")]
        words = [token for token in tokens if token.strip()]
        if not words:
            return
        start = data.draw(st.integers(0, len(tokens)))
        end = data.draw(st.integers(start, len(tokens)))
        row = annotation(evidences=[[evidence(start=start, end=end)]])
        example = one(tmp_path_factory.mktemp("eraser"), row, [{"docid": "d1", "document": text}])
        marked = [token for token in tokens[start:end] if token.strip()]
        assert example.words == words
        if marked:
            assert example.gold is not None
            assert [word for word, mark in zip(words, example.gold, strict=True) if mark] == marked
        else:
            assert example.gold is None


class TestGold:
    def test_groups_are_united_and_repeats_count_once(self, tmp_path: Path) -> None:
        groups = [[evidence(start=0, end=2), evidence(start=1, end=2)], [evidence(start=0, end=2)]]
        assert gold(one(tmp_path, annotation(evidences=groups))) == [1, 1, 0, 0, 0]

    def test_no_evidence_is_unknown_and_never_zeros(self, tmp_path: Path) -> None:
        assert one(tmp_path, annotation(evidences=[])).gold is None
        assert one(tmp_path, annotation(evidences=None)).gold is None

    def test_no_evidence_is_zeros_where_the_config_says_so(self, tmp_path: Path) -> None:
        config = EraserConfig(empty_gold="zeros")
        assert gold(one(tmp_path, annotation(evidences=[]), eraser=config)) == [0] * 5

    def test_spans_without_tokens_mark_nothing(self, tmp_path: Path) -> None:
        empty, unknown = evidence(start=2, end=2), evidence(start=-1, end=-1)
        assert one(tmp_path, annotation(evidences=[[empty], [unknown]])).gold is None
        row = annotation(evidences=[[empty, unknown, evidence(start=0, end=1)]])
        assert gold(one(tmp_path, row)) == [1, 0, 0, 0, 0]


class TestSegments:
    def test_two_documents_without_a_query_are_a_pair(self, tmp_path: Path) -> None:
        row = annotation(docids=["d2", "d1"], evidences=[[evidence("d1", 0, 1), evidence("d2", 1, 2)]])
        example = one(tmp_path, row)
        assert [segment.text for segment in example.segments] == ["seen twice", "a fine film not dull"]
        assert all(segment.selectable for segment in example.segments)
        assert gold(example) == [0, 1, 1, 0, 0, 0, 0]

    def test_more_than_two_are_joined(self, tmp_path: Path) -> None:
        row = annotation(docids=["d3", "d2", "d1"], evidences=[[evidence("d2", 0, 1)]])
        example = one(tmp_path, row)
        assert [segment.text for segment in example.segments] == ["third seen twice a fine film not dull"]
        assert example.words == ["third", "seen", "twice", "a", "fine", "film", "not", "dull"]
        assert gold(example) == [0, 1, 0, 0, 0, 0, 0, 0]

    @pytest.mark.parametrize(("query", "marks"), [("fixed", []), ("selectable", [0.0] * 4)])
    def test_a_query_comes_first_and_has_no_gold(self, tmp_path: Path, query: str, marks: list[float]) -> None:
        row = annotation(docids=["d2", "d3"], evidences=[[evidence("d3", 0, 1)]])
        example = one(tmp_path, row, query=query)
        assert [segment.text for segment in example.segments] == ["is it good ?", "seen twice third"]
        assert [segment.selectable for segment in example.segments] == [query == "selectable", True]
        assert gold(example) == [*marks, 0, 0, 1]
        assert example.n_words == len(marks) + 3

    def test_a_query_with_choices_is_cut(self, tmp_path: Path) -> None:
        row = annotation(query="home [sep] a big town [sep] sea", classification="B")
        example = one(tmp_path, row, query="fixed", choices=" [sep] ")
        assert example.choices == ("home", "a big town", "sea")
        assert example.choice_labels == ("A", "B", "C")
        assert example.label == "B"
        assert [segment.text for segment in example.segments] == ["a fine film not dull"]
        assert gold(example) == [0, 1, 1, 0, 0]

    def test_choices_take_the_names_of_the_labels(self, tmp_path: Path) -> None:
        row = annotation(query="home [sep] sea", classification="first")
        example = one(tmp_path, row, query="fixed", choices=" [sep] ", labels=("second", "first", "third"))
        assert example.choice_labels == ("second", "first")
        assert example.label == "first"


class TestDocids:
    @pytest.mark.parametrize("docids", [None, ..., []])
    def test_without_docids_the_evidences_tell(self, tmp_path: Path, docids: Any) -> None:
        row = annotation(
            docids=docids, evidences=[[evidence("d2", 0, 1)], [evidence("d1", 0, 1), evidence("d2", 1, 2)]]
        )
        assert [segment.text for segment in one(tmp_path, row).segments] == ["seen twice", "a fine film not dull"]

    def test_without_either_the_document_has_the_name_of_the_instance(self, tmp_path: Path) -> None:
        assert one(tmp_path, annotation("d3", docids=None, evidences=[])).words == ["third"]


class TestFiles:
    def test_missing_and_empty_files_are_empty_splits_except_in_training(self, tmp_path: Path) -> None:
        write(tmp_path, [], split="val")
        assert read(tmp_path, "val") == []
        assert read(tmp_path, "test") == []
        with pytest.raises(DataError, match=r"train\.jsonl: no such file$"):
            read(tmp_path, "train")
        write(tmp_path, [])
        with pytest.raises(DataError, match=r"the training split is empty, expected at least one instance$"):
            read(tmp_path, "train")

    def test_lines_keep_their_order_and_blank_ones_are_passed_over(self, tmp_path: Path) -> None:
        names = ["z", "a", "m"]
        rows: list[Any] = [annotation(name) for name in names]
        write(tmp_path, [rows[0], "", rows[1], "  ", rows[2]])
        assert [example.id for example in read(tmp_path)] == names

    def test_a_missing_label_is_none(self, tmp_path: Path) -> None:
        assert one(tmp_path, annotation(classification=None), labels=("neg", "pos")).label is None

    def test_byte_order_mark_and_windows_lines(self, tmp_path: Path) -> None:
        write(tmp_path, [])
        content = "\ufeff" + json.dumps(annotation()) + "\r\n"
        (tmp_path / "train.jsonl").write_bytes(content.encode())
        assert [example.id for example in read(tmp_path)] == ["i1"]


BAD_ROWS: list[tuple[Any, str]] = [
    ('{"annotation_id": ', r"train.jsonl:2: bad JSON at character 19 (Expecting value)"),
    ("[1]", r"train.jsonl:2: the line is [1], expected a JSON object"),
    (annotation("i2", annotation_id=...), "train.jsonl:2: annotation_id is missing, expected text"),
    (annotation(7), "train.jsonl:2: annotation_id is 7, expected text"),
    (annotation("i1"), "train.jsonl:2: id 'i1' is a duplicate, expected it once (first at {folder}/train.jsonl:1)"),
    (annotation("i2", classification=...), "train.jsonl:2: classification is missing, expected text or null"),
    (annotation("i2", classification=1), "train.jsonl:2: classification is 1, expected text or null"),
    (
        annotation("i2", classification=" "),
        "train.jsonl:2: the label is ' ', expected text, or null where it is unknown",
    ),
    (annotation("i2", classification="bad"), "train.jsonl:2: the label is 'bad', expected one of neg, pos"),
    (annotation("i2", evidences=...), "train.jsonl:2: evidences is missing, expected a list of groups of evidences"),
    (annotation("i2", evidences="d1"), "train.jsonl:2: evidences is 'd1', expected a list of groups of evidences"),
    (annotation("i2", evidences=[[1]]), "train.jsonl:2: evidences is [[1]], expected a list of groups of evidences"),
    (annotation("i2", evidences=[1]), "train.jsonl:2: evidences is [1], expected a list of groups of evidences"),
    (
        annotation("i2", evidences=[[{"docid": "d1"}]]),
        "train.jsonl:2: start_token is missing, expected a whole number",
    ),
    (
        annotation("i2", evidences=[[evidence(end=2.5)]]),
        "train.jsonl:2: end_token is 2.5, expected a whole number",
    ),
    (
        annotation("i2", evidences=[[evidence(start=True)]]),
        "train.jsonl:2: start_token is True, expected a whole number",
    ),
    (
        annotation("i2", evidences=[[evidence(start=5, end=8)]]),
        "train.jsonl:2: the span in document 'd1' is [5, 8], expected 0 <= start <= end <= 7 (tokens)",
    ),
    (
        annotation("i2", evidences=[[evidence(start=3, end=1)]]),
        "train.jsonl:2: the span in document 'd1' is [3, 1], expected 0 <= start <= end <= 7 (tokens)",
    ),
    (
        annotation("i2", evidences=[[evidence(start=-2, end=1)]]),
        "train.jsonl:2: the span in document 'd1' is [-2, 1], expected 0 <= start <= end <= 7 (tokens)",
    ),
    (
        annotation("i2", evidences=[[evidence(start=-1, end=1)]]),
        "train.jsonl:2: the span in document 'd1' is [-1, 1], expected 0 <= start <= end <= 7 (tokens)",
    ),
    (
        annotation("i2", evidences=[[evidence("d2", 0, 1)]]),
        "train.jsonl:2: an evidence's docid is 'd2', expected one of docids (d1)",
    ),
    (annotation("i2", docids=["d9"]), "train.jsonl:2: docid is 'd9', expected a document in {folder}/docs.jsonl"),
    (annotation("i2", docids="d1"), "train.jsonl:2: docids is 'd1', expected a list of document ids"),
    (
        annotation("i2", docids=None, evidences=[]),
        "train.jsonl:2: docids is null, expected a list of document ids, or a document named 'i2'",
    ),
    (annotation("i2", docids=["d4"], evidences=[]), "docs.jsonl:4: document 'd4' is empty, expected at least one word"),
]


class TestErrors:
    @pytest.mark.parametrize(("row", "message"), BAD_ROWS)
    def test_bad_rows_one_line_each(self, tmp_path: Path, row: Any, message: str) -> None:
        docs = [*DOCS, {"docid": "d4", "document": " \n "}]
        with pytest.raises(DataError) as error:
            read(write(tmp_path, [annotation(), row], docs), labels=("neg", "pos"))
        assert str(error.value) == f"{tmp_path}/" + message.replace("{folder}", str(tmp_path))

    @pytest.mark.parametrize(
        ("doc", "message"),
        [
            ("{", "docs.jsonl:4: bad JSON at character 2 (Expecting property name enclosed in double quotes)"),
            ({"document": "x"}, "docs.jsonl:4: docid is missing, expected text"),
            ({"docid": "d4"}, "docs.jsonl:4: document is missing, expected text"),
            ({"docid": "d4", "document": ["x"]}, "docs.jsonl:4: document is ['x'], expected text"),
            (
                {"docid": "d2", "document": "x"},
                "docs.jsonl:4: docid 'd2' is a duplicate, expected it once (first at {folder}/docs.jsonl:2)",
            ),
        ],
    )
    def test_bad_documents_one_line_each(self, tmp_path: Path, doc: Any, message: str) -> None:
        with pytest.raises(DataError) as error:
            read(write(tmp_path, [annotation()], [*DOCS, doc]))
        assert str(error.value) == f"{tmp_path}/" + message.replace("{folder}", str(tmp_path))

    @pytest.mark.parametrize("query", [None, " ", 3, ...])
    def test_a_query_that_is_used_must_be_there(self, tmp_path: Path, query: Any) -> None:
        with pytest.raises(DataError, match=r":1: query is .*, expected text \(query: ignore leaves it out\)$"):
            one(tmp_path, annotation(query=query), query="fixed")
        assert one(tmp_path, annotation(query=query), query="ignore").words

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"query": "only one"}, "1 choices, expected 2 to 26"),
            ({"query": "a [sep] "}, "a choice is '', expected text"),
            (
                {"query": "a [sep] b", "classification": "C"},
                "the label is 'C', expected one of A, B, or their number from 0",
            ),
        ],
    )
    def test_bad_choices(self, tmp_path: Path, fields: dict[str, str], message: str) -> None:
        with pytest.raises(DataError) as error:
            one(tmp_path, annotation(**fields), query="fixed", choices=" [sep] ")
        assert str(error.value) == f"{tmp_path}/train.jsonl:1: {message}"

    def test_documents_in_neither_or_both_forms(self, tmp_path: Path) -> None:
        write(tmp_path, [annotation()])
        (tmp_path / "docs").mkdir()
        with pytest.raises(DataError, match=r"found both docs\.jsonl and docs/, expected one of them$"):
            read(tmp_path)
        (tmp_path / "docs").rmdir()
        (tmp_path / "docs.jsonl").unlink()
        with pytest.raises(DataError, match=r"found neither docs\.jsonl nor docs/, expected one of them$"):
            read(tmp_path)

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"nowhere: no such folder, expected one with val\.jsonl and docs"):
            read(tmp_path / "nowhere", "val")

    def test_not_utf8(self, tmp_path: Path) -> None:
        write(tmp_path, [annotation()])
        (tmp_path / "train.jsonl").write_bytes(b'\n{"annotation_id": "\xe9"}')
        with pytest.raises(DataError, match=r"train\.jsonl:2: byte 19 is b'\\xe9', expected UTF-8 text$"):
            read(tmp_path)

    def test_a_document_of_the_folder_that_is_missing_or_empty(self, tmp_path: Path) -> None:
        write(tmp_path, [annotation()])
        (tmp_path / "docs.jsonl").unlink()
        (tmp_path / "docs").mkdir()
        with pytest.raises(DataError, match=r"train\.jsonl:1: docid is 'd1', expected a document in .*docs$"):
            read(tmp_path)
        (tmp_path / "docs" / "d1").write_text(" \n\n")
        with pytest.raises(DataError, match=r"docs/d1: document 'd1' is empty, expected at least one word$"):
            read(tmp_path)


def test_gold_is_float32_over_all_selectable_words(tmp_path: Path) -> None:
    example = one(tmp_path, annotation())
    assert example.gold is not None
    assert example.gold.dtype == np.float32
    assert len(example.gold) == example.n_words

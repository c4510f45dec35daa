"""Rows of any table as records, by a mapping of columns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unirex.data.errors import DataError, located, wrong
from unirex.data.gold import GoldFormat, Marks, Vote, cell_list, read_gold, unmark, vote
from unirex.data.record import QueryUse, Record, counts, id_text, query_text, split_words, whole
from unirex.data.rows import cell
from unirex.schema import Segment

ClassNames = Mapping[str, tuple[str, ...]]
"""The names of classes, of the columns that hold their numbers."""

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    "val": ("val", "validation", "valid", "dev"),
    "test": ("test",),
}


@dataclass(frozen=True, kw_only=True)
class HubConfig:
    """Which columns hold what. A column inside another is written with a dot: `choices.text`.

    Attributes:
        subset: configuration of a data set on the Hub.
        revision: branch, tag or commit of a data set on the Hub.
        streaming: whether a data set on the Hub is read as a stream, without a copy in the `datasets` library's cache.
        splits: what train, val and test are called; a part of a split is written `train[:90%]` or `train[100:200]`.
            Default: train; val, validation, valid or dev; test.
        id: column of the ids; default: split and row number.
        text: column of the text.
        text_pair: column of the second text, as of a hypothesis; its words may be selected too.
        query: column of a query, used as data.query says.
        choices: the columns of the choices in order, or one column that holds a list of them; makes a multiple-choice
            task.
        label: column of the label: text, or a number that counts the classes (choices) from 0; null: no labels.
        label_names: names for class numbers; default: those the file itself holds, else the numbers as text.
        words: `split` = white space separates words; `list` = text and text_pair hold lists of words.
        gold: columns of the rationale over the words of text, one for each annotator.
        gold_pair: the same over the words of text_pair; where only one of the two is given the other's words are 0.
        gold_format: `mask` = a number from 0 to 1 for each word, `indices` = numbers of the marked words from 0,
            `char_spans` = [start, end] in characters, end exclusive, `marked` = the text with marks in it.
        annotators: `columns` = each gold column is one annotator, `list` = a gold cell is a list with the gold of
            each.
        vote: how several annotators are combined: 1 where a `majority`, `any` or `all` marked the word, or `soft` =
            the share who did.
        marks: what begins and what ends a marked stretch.
    """

    subset: str | None = None
    revision: str | None = None
    streaming: bool = False
    splits: dict[str, str] = field(default_factory=dict)
    id: str | None = None
    text: str = "text"
    text_pair: str | None = None
    query: str | None = None
    choices: tuple[str, ...] = ()
    label: str | None = "label"
    label_names: tuple[str, ...] = ()
    words: Literal["split", "list"] = "split"
    gold: tuple[str, ...] = ()
    gold_pair: tuple[str, ...] = ()
    gold_format: GoldFormat = "mask"
    annotators: Literal["columns", "list"] = "columns"
    vote: Vote = "majority"
    marks: Marks = ("*", "*")

    def __post_init__(self) -> None:
        unknown = set(self.splits) - set(USUAL_NAMES)
        if unknown:
            raise ValueError(f"data.hub.splits names {min(unknown)!r}, expected train, val or test")
        for ours, theirs in self.splits.items():
            part_of(f"data.hub.splits.{ours}", theirs)
        if self.gold and self.gold_pair and len(self.gold) != len(self.gold_pair):
            raise ValueError(
                f"data.hub.gold_pair is {list(self.gold_pair)}, expected {len(self.gold)} columns (as gold)"
            )
        if self.gold_pair and self.text_pair is None:
            raise ValueError(f"data.hub.gold_pair is {list(self.gold_pair)}, expected none without text_pair")
        if self.query is not None and self.choices:
            raise ValueError(f"data.hub.query is {self.query!r}, expected none with choices (use text or text_pair)")
        if self.gold_format == "marked" and self.words == "list":
            raise ValueError("data.hub.gold_format is 'marked', expected another one for words: list")
        opening, closing = self.marks
        nested = opening != closing and (opening in closing or closing in opening)
        if nested or not all(mark and "\\" not in mark for mark in self.marks):
            raise ValueError(
                f"data.hub.marks is {list(self.marks)}, expected two texts without a backslash, none inside the other"
            )


def part_of(field_name: str, spec: str) -> tuple[str, str, str]:
    """Name, start and end of a part of a split; start and end as written."""
    match = re.fullmatch(r"([^\[\]]+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?", spec)
    if match is None:
        raise ValueError(f"{field_name} is {spec!r}, expected a name, or a part such as 'train[:90%]'")
    for bound in match.groups("")[1:]:
        if bound.endswith("%") and abs(int(bound[:-1])) > 100:
            raise ValueError(f"{field_name} is {spec!r}, expected at most 100%")
    return match[1], match[2] or "", match[3] or ""


def read_record(
    where: str, row: Mapping[str, Any], *, name: str, class_names: ClassNames, query: QueryUse, config: HubConfig
) -> Record:
    """The record of a row; `name` is its id where no column holds one."""
    columns = [column for column in (config.text, config.text_pair) if column]
    texts = tuple(_text(where, row, column, config) for column in columns)
    return Record(
        where=where,
        id=name if config.id is None else id_text(where, config.id, cell(row, config.id)),
        label=None if config.label is None else read_label(where, row, config.label, class_names, config),
        texts=texts,
        query=None
        if config.query is None or query == "ignore"
        else query_text(where, config.query, cell(row, config.query)),
        gold=row_gold(where, row, texts, config),
        choices=_choices(where, row, config.choices),
    )


def _text(where: str, row: Mapping[str, Any], column: str, config: HubConfig) -> Segment:
    value = cell(row, column)
    if config.words == "list":
        with located(where, column):
            words = cell_list(value)
        if not words or not all(isinstance(word, str) and word.strip() for word in words):
            raise wrong(where, column, value, "a list of one or more words, none of them blank")
        return Segment.from_words([str(word) for word in words])
    if not isinstance(value, str):
        raise wrong(where, column, value, "text (hub.words: list reads lists of words)")
    if column in (*config.gold, *config.gold_pair):
        with located(where, column):
            value, _ = unmark(value, config.marks)
    segment = split_words(value)
    if not len(segment.starts):
        raise wrong(where, column, value, "at least one word")
    return segment


def read_label(
    where: str, row: Mapping[str, Any], column: str, class_names: ClassNames, config: HubConfig
) -> str | None:
    """The class that a row names or numbers; None where it is unknown."""
    value = cell(row, column)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is not None and not isinstance(value, str | int):
        raise wrong(where, column, value, "text, a whole number or null")
    names = config.label_names or class_names.get(column, ())
    if value is None or not names or value in names:
        return None if value is None else str(value)
    if isinstance(value, str) and not counts(names):  # others of the column may be such names
        raise wrong(where, column, value, f"one of {', '.join(names)}, since some of them are numbers")
    number = whole(value) if isinstance(value, str) else int(value)
    if number is None or not -1 <= number < len(names):
        raise wrong(where, column, value, f"0 to {len(names) - 1} or one of {', '.join(names)}")
    return None if number == -1 else names[number]  # -1 is how the Hub writes an unknown class


def _choices(where: str, row: Mapping[str, Any], columns: Sequence[str]) -> tuple[Any, ...]:
    if len(columns) != 1:
        return tuple(cell(row, column) for column in columns)
    with located(where, columns[0]):
        return tuple(cell_list(cell(row, columns[0])))


def row_gold(
    where: str, row: Mapping[str, Any], texts: Sequence[Segment], config: HubConfig
) -> NDArray[np.float32] | None:
    """The annotators' common gold over the words of all texts; None if none of them looked."""
    columns = (config.gold, config.gold_pair)[: len(texts)]
    sides = [_annotators(where, row, side, text, config) for side, text in zip(columns, texts, strict=True)]
    n_annotators = max(len(side) for side in sides)
    for side in sides:
        if len(side) not in {0, n_annotators}:
            found = " and ".join(str(len(side)) for side in sides)
            raise DataError(f"{where}: gold and gold_pair have {found} annotators, expected as many")
    golds = []
    for annotator in range(n_annotators):
        parts = [side[annotator] if side else None for side in sides]
        if any(part is not None for part in parts):
            # An annotator who marked words of one text has read the other and marked nothing there.
            blank = [np.zeros(len(text.starts), dtype=np.float32) for text in texts]
            golds.append(np.concatenate([b if p is None else p for b, p in zip(blank, parts, strict=True)]))
    return vote(golds, config.vote) if golds else None


def _annotators(
    where: str, row: Mapping[str, Any], columns: Sequence[str], text: Segment, config: HubConfig
) -> list[NDArray[np.float32] | None]:
    """The gold of each annotator over the words of one text, None where a cell is null or empty text."""
    golds: list[NDArray[np.float32] | None] = []
    for column in columns:
        found = cell(row, column)
        with located(where, column):
            each = [found] if config.annotators == "columns" else [] if found in (None, "") else cell_list(found)
            for one in each:
                unknown = one in (None, "")
                golds.append(None if unknown else read_gold(one, text, form=config.gold_format, marks=config.marks))
    return golds

"""An instance as a reader found it, and the example made of it: how its query, choices and label are used."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from string import ascii_uppercase
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unirex.data.errors import DataError, wrong
from unirex.data.example_columns import Columns, binary
from unirex.schema import Example, Segment

QueryUse = Literal["ignore", "fixed", "selectable"]
"""How a query is used: left out, kept in every input, or part of what a rationale may select."""

OtherLabels = Literal["error", "missing"]
"""What a label that is none of the classes means: bad input, or an instance whose label is unknown."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Record:
    """One instance of a file.

    Attributes:
        where: file and line (or row), for messages.
        id: unique inside its data set.
        label: the class as the file names it, None where it is unknown.
        texts: the documents, in reading order; each has words.
        query: the question about them, None where there is none or it is not used.
        gold: the human rationale over the words of `texts`, None where none is known.
        choices: the answers of a multiple-choice question, if they are fields of their own.
    """

    where: str
    id: str
    label: str | None
    texts: tuple[Segment, ...]
    query: str | None = None
    gold: NDArray[np.float32] | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Records that follow one another.

    Attributes:
        batch: all of them as columns (`example_columns.SCHEMA`), if they could be read at once; labels as in the file.
        one_by_one: reads them one after another, and finds what is wrong with them.
    """

    batch: pa.RecordBatch | None
    one_by_one: Callable[[], Iterator[Record]]


def split_words(text: str, *, selectable: bool = True, word: re.Pattern[str] = re.compile(r"\S+")) -> Segment:
    """A segment with this very text, whose words are the matches of `word`: by default what white space separates.

    >>> split_words(" a  fine film").words
    ['a', 'fine', 'film']
    """
    bounds = np.array([match.span() for match in word.finditer(text)], dtype=np.int64).reshape(-1, 2)
    return Segment(text=text, starts=bounds[:, 0].copy(), ends=bounds[:, 1].copy(), selectable=selectable)


def id_text(where: str, field: str, value: object) -> str:
    """An id, which a file may write as a whole number, and pandas as one with a point beside missing ones."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | Integral) or isinstance(value, bool) or value == "":
        raise wrong(where, field, value, "text or a whole number")
    return str(value)


def query_text(where: str, field: str, value: object) -> str:
    """A query, which must have words."""
    if not isinstance(value, str) or not value.strip():
        raise wrong(where, field, value, "text (query: ignore leaves it out)")
    return value


def join_segments(segments: Sequence[Segment]) -> Segment:
    """One selectable segment: the texts joined by one space.

    >>> join_segments([split_words("a b"), split_words("c")]).words
    ['a', 'b', 'c']
    """
    shifts = np.cumsum([0] + [len(segment.text) + 1 for segment in segments])[:-1]
    return Segment(
        text=" ".join(segment.text for segment in segments),
        starts=np.concatenate([segment.starts + shift for segment, shift in zip(segments, shifts, strict=True)]),
        ends=np.concatenate([segment.ends + shift for segment, shift in zip(segments, shifts, strict=True)]),
    )


@dataclass(frozen=True, kw_only=True)
class Labeling:
    """What a configuration says about queries, choices and classes; see `DataConfig`.

    Attributes:
        renamed: the keys of `rename` that were met so far.
    """

    query: QueryUse
    separator: str | None
    labels: Sequence[str] | None
    rename: Mapping[str, str]
    others: OtherLabels
    renamed: set[str] = field(default_factory=set)

    def name(self, label: str) -> str:
        """A class by the name that the configuration gives it."""
        if label in self.rename:
            self.renamed.add(label)
        return self.rename.get(label, label)

    def example(self, one: Record | Example) -> Example:
        """The example of a record, or a ready example with its class as the configuration names it."""
        if isinstance(one, Record):
            return to_example(one, self)
        if one.choices or one.label is None:
            return one
        label = self.name(one.label)
        return replace(one, label=known_label(one.id, label, self.labels, self.others))

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch | None:
        """The examples with their classes as the configuration names them; None = one has none that it names."""
        found = Columns(batch).texts_of("label")
        names = {label: self.name(label) for label in set(found) if label is not None}
        if not all(name.strip() for name in names.values()):
            return None
        try:
            known = {label: known_label("", name, self.labels, self.others) for label, name in names.items()}
        except DataError:
            return None
        if all(label == name for label, name in known.items()):
            return batch
        labels = binary([known.get(label) for label in found])
        return batch.set_column(batch.schema.get_field_index("label"), "label", labels)


def to_example(record: Record, using: Labeling) -> Example:
    """The example: one segment, or two for a pair of documents or a query and its document(s).

    With choices (fields of their own, or the query cut at `separator`) the documents are the one segment. Without a
    query two documents are a pair; more, or documents together with a query, are joined by one space.
    """
    label = None if record.label is None else using.name(record.label)
    if label is not None and not label.strip():
        raise wrong(record.where, "the label", label, "text, or null where it is unknown")
    choices = record.choices
    if not choices and using.separator is not None and record.query is not None:
        choices = tuple(record.query.split(using.separator))
    if choices:
        names = _choice_labels(record, choices, using.labels)
        return Example(
            id=record.id,
            segments=(join_segments(record.texts),),
            label=name_of(record.where, "the label", label, names),
            gold=record.gold,
            choices=choices,
            choice_labels=names,
        )
    label = known_label(record.where, label, using.labels, using.others)
    gold, segments = record.gold, record.texts
    if record.query is not None:
        asked = split_words(record.query, selectable=using.query == "selectable")
        segments = (asked, join_segments(segments))
        if gold is not None and asked.selectable:
            gold = np.concatenate([np.zeros(len(asked.starts), dtype=np.float32), gold])
    elif len(segments) > 2:
        segments = (join_segments(segments),)
    return Example(id=record.id, segments=segments, label=label, gold=gold)


def known_label(where: str, label: str | None, labels: Sequence[str] | None, others: OtherLabels) -> str | None:
    """The label where `labels` names it (None = any name), else None or an error, as `others` says.

    >>> known_label("val.jsonl:3", "hate", ("neg", "pos"), "missing") is None
    True
    """
    if label is None or labels is None or label in labels:
        return label
    if others == "missing":
        return None
    raise wrong(where, "the label", label, f"one of {', '.join(labels)}")


def _choice_labels(record: Record, choices: Sequence[str], labels: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the choices in order: the first of `labels`, or A, B, C and so on."""
    names = tuple(ascii_uppercase) if labels is None else tuple(labels)
    if not 2 <= len(choices) <= len(names):
        raise DataError(f"{record.where}: {len(choices)} choices, expected 2 to {len(names)}")
    for choice in choices:
        if not isinstance(choice, str) or not choice.strip():
            raise wrong(record.where, "a choice", choice, "text")
    return names[: len(choices)]


def counts(names: Sequence[str]) -> bool:
    """Whether text that is a number counts these names from 0: not where some of them are numbers themselves.

    >>> counts(["neg", "pos"]), counts(["-1", "1"]), counts(["0.5", "one"])
    (True, False, False)
    """
    return all(_number(name) is None for name in names)


def whole(text: str) -> int | None:
    """The whole number that a text is, also as a column of numbers with nulls is written; None for any other text.

    >>> whole("3"), whole("3.0"), whole("-1"), whole("3.5"), whole("three")
    (3, 3, -1, None, None)
    """
    number = _number(text)
    return int(number) if number is not None and number.is_integer() else None


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", text) else None


def name_of(where: str, field: str, label: str | None, names: Sequence[str]) -> str | None:
    """The name of a class or choice; -1 = unknown; a number counts names from 0.

    Where some names are numbers themselves it does not count, but means the one of its value.
    """
    if label is None or label in names:
        return label
    counted, number = counts(names), whole(label)
    equal = [] if counted or _number(label) is None else [name for name in names if _number(name) == _number(label)]
    if len(equal) == 1:
        return equal[0]
    if number == -1:
        return None
    if counted and number is not None and 0 <= number < len(names):
        return names[number]
    raise wrong(where, field, label, f"one of {', '.join(names)}{', or their number from 0' if counted else ''}")

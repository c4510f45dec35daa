"""Inputs to be explained (a text, a pair, a question with choices, a row of a table) as examples."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import isnan
from string import ascii_uppercase
from typing import Any

from unirex.data.errors import DataError, located, shown, wrong
from unirex.data.gold import cell_list
from unirex.data.raw_text import Words, find_words
from unirex.data.record import id_text, name_of
from unirex.metrics.tables import as_table
from unirex.schema import Example, Segment


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which fields of a row hold what. A row must have `text` and every field that is named here.

    Attributes:
        text: the text to explain: a string, or a list of words.
        pair: a second text whose words may be selected too (premise and hypothesis).
        query: a question or claim about the text, which the model reads first and which is never selected.
        choices: a list of answers to choose from.
        id: names the row; default: its number from 0.
        label: the true class, where it is known.
    """

    text: str = "text"
    pair: str | None = None
    query: str | None = None
    choices: str | None = None
    id: str | None = None
    label: str | None = None

    @classmethod
    def read(cls, given: "Columns | Mapping[str, str] | None") -> "Columns | None":
        """The columns that a call names; a dictionary may say `text_pair`, as that of training does, for `pair`.

        Raises:
            ValueError: one line: no dictionary, or an entry of it that is none of ours.

        >>> Columns.read({"text": "review", "text_pair": "other"}).pair
        'other'
        """
        if given is None or isinstance(given, cls):
            return given
        known = [field.name for field in fields(cls)]
        if not isinstance(given, Mapping):
            raise ValueError(f"columns is {shown(given)}, expected a dictionary of {', '.join(known)} to columns")
        named = {"pair" if key == "text_pair" else key: column for key, column in given.items()}
        for key, column in named.items():
            if key not in known or not isinstance(column, str | None):
                what = "a column's name" if key in known else f"one of {', '.join(known)}"
                raise ValueError(f"columns: {shown(column if key in known else key)}, expected {what}")
        return cls(**named)


_USUAL = Columns(pair="text_pair", query="query", choices="choices", id="id")
"""Fields that are read where a row has them."""


@dataclass(frozen=True, kw_only=True)
class InputReader:
    """Makes examples.

    Attributes:
        labels: class names of the model, in order; of a multiple choice the names of its choices.
        choice: whether the model chooses between answers.
        words: what a word of raw text is.
        columns: which fields of a row hold what; None = those of the usual names that the row has.
    """

    labels: Sequence[str]
    choice: bool
    words: Words = "text"
    columns: Columns | None = None

    def example(self, item: Any, number: int, where: str | None = None) -> Example:
        """The example for a text, a pair (tuple of two texts), or a row (mapping of fields).

        Args:
            item: the input.
            number: its place, from 0; also its id if it has none.
            where: place for messages; default `input NUMBER`.

        Raises:
            DataError: one line with place, field, what was found and what was expected.

        >>> reader = InputReader(labels=("neg", "pos"), choice=False)
        >>> reader.example({"text": "fine film", "query": "is it?"}, 0).words
        ['fine', 'film']
        """
        place = f"input {number}" if where is None else where
        if isinstance(item, str):
            row, columns = {"text": item}, Columns()
        elif isinstance(item, tuple):
            if len(item) != 2:
                raise wrong(place, "the input", item, "a pair of two texts")
            row, columns = {"text": item[0], "text_pair": item[1]}, Columns(pair="text_pair")
        elif isinstance(item, Mapping):
            row, columns = dict(item), self.columns or _present(item)
        else:
            raise wrong(place, "the input", item, "a text, a pair of texts, or a row with the field text")
        return self._example(place, row, columns, number)

    def _example(self, where: str, row: Mapping[str, Any], columns: Columns, number: int) -> Example:
        text = self._segment(where, row, columns.text)
        pair = None if columns.pair is None else self._segment(where, row, columns.pair)
        query = None if columns.query is None else self._segment(where, row, columns.query, selectable=False)
        if pair is not None and query is not None:
            raise DataError(f"{where}: {columns.pair} and {columns.query} are both given, expected one of them")
        segments = tuple(segment for segment in (query, text, pair) if segment is not None)
        choices = () if columns.choices is None else _choices(where, row, columns.choices)
        names = self._choice_names(where, columns, choices, segments)
        return Example(
            id=str(number) if columns.id is None else id_text(where, columns.id, _field(where, row, columns.id)),
            segments=segments,
            label=None if columns.label is None else _label(where, row, columns.label, names or self.labels),
            choices=choices,
            choice_labels=names,
        )

    def _segment(self, where: str, row: Mapping[str, Any], field: str, *, selectable: bool = True) -> Segment:
        value = _field(where, row, field)
        if isinstance(value, list) and all(isinstance(word, str) and word.strip() for word in value):
            return Segment.from_words(value, selectable=selectable)
        if isinstance(value, str):
            return find_words(value, self.words, selectable=selectable)
        raise wrong(where, field, value, "text or a list of words")

    def _choice_names(
        self, where: str, columns: Columns, choices: tuple[str, ...], segments: Sequence[Segment]
    ) -> tuple[str, ...]:
        if not self.choice:
            if choices:
                raise DataError(f"{where}: there are choices, expected none: the model has classes")
            return ()
        if len(segments) > 1:
            raise DataError(f"{where}: there is a second text, expected one text with its choices")
        names = tuple(self.labels) if len(choices) <= len(self.labels) else tuple(ascii_uppercase)
        if not 2 <= len(choices) <= len(names):
            raise DataError(
                f"{where}: {columns.choices or 'choices'} has {len(choices)} entries, expected 2 to {len(names)}: "
                "the model chooses between answers"
            )
        return names[: len(choices)]


def _present(row: Mapping[str, Any]) -> Columns:
    """The columns with usual names that a row has."""
    there = {
        name for name, value in row.items() if value is not None and not (isinstance(value, float) and isnan(value))
    }
    return Columns(**{kind: name for kind, name in vars(_USUAL).items() if name in there and kind != "text"})


def _field(where: str, row: Mapping[str, Any], field: str) -> Any:
    if field not in row:
        there = ", ".join(map(str, row)) or "nothing"
        raise DataError(f"{where}: there is no column {field}, found {there[:200]}")
    return row[field]


def _choices(where: str, row: Mapping[str, Any], field: str) -> tuple[str, ...]:
    with located(where, field):
        choices = cell_list(_field(where, row, field))
    for choice in choices:
        if not isinstance(choice, str) or not choice.strip():
            raise wrong(where, f"a choice in {field}", choice, "text")
    return tuple(str(choice) for choice in choices)


def _label(where: str, row: Mapping[str, Any], field: str, names: Sequence[str]) -> str | None:
    value = _field(where, row, field)
    return name_of(where, field, None if _is_missing(value) else str(value), names)


def _is_missing(value: Any) -> bool:
    """Whether a cell has no value: also the NaN of a row of a data frame, or pandas' NA, which has no truth."""
    try:
        return value is None or bool(value == "" or value != value)  # noqa: PLR0124
    except TypeError:
        return True


def rows_of(items: Any) -> Any:
    """The rows of a table in memory, whose iteration would give its columns; anything else as it is."""
    two_ways = len(getattr(items, "shape", ())) == 2 and getattr(items, "columns", None) is not None
    table = as_table(items, numbered=False) if two_ways else None
    return items if table is None else table.to_pylist()


def numbered(items: Any) -> Iterator[tuple[int, Any]]:
    """Items with their places."""
    try:
        return enumerate(items)
    except TypeError:
        raise DataError(
            f"the input is {shown(items)}, expected a text, a pair, a row, or an iterable of these"
        ) from None

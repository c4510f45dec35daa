"""Columns of one record batch, each value checked as it is taken."""

import re

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unirex.metrics import oddities
from unirex.metrics.batch import Known
from unirex.metrics.ragged import (
    Ragged,
    bool_values,
    float_values,
    integer_values,
    is_number,
    list_offsets,
    offsets_of,
    valid,
    value_type,
)
from unirex.schema import ORDERS
from unirex.text import brief, shown

_ALL_PERCENT = 100
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


class ColumnError(ValueError):
    """A column holds another type than ours, so that none of its rows can be read."""


def _known_type(array: pa.Array, depth: int) -> pa.Array:
    """A column of lists that pandas or Arrow had no type for, since all in it is null, as lists of numbers."""
    kinds = [array.type]
    while (inner := value_type(kinds[-1])) is not None:
        kinds.append(inner)
    if not pa.types.is_null(kinds[-1]) or len(kinds) > depth + 1:
        return array
    return array.cast(pa.list_(pa.float64()) if depth == 1 else pa.list_(pa.list_(pa.float64())))


def _broken(names: list[str], reason: str) -> tuple[str, str]:
    """Which column of a batch is broken, and why, from Arrow's reason."""
    found = re.fullmatch(r"In column (\d+): (?:Invalid: )?(.+)", reason)
    return ("", reason) if found is None else (f"column {names[int(found[1])]!r}: ", found[2])


def _beside_null(ids: pa.Array) -> str:
    """Where the first null of a column of ids is: it has no name of its own."""
    row = int(np.argmax(~valid(ids)))
    if row:
        return f"after id {shown(ids[row - 1].as_py())}"
    other = next((name for name in ids.to_pylist() if name is not None), None)
    return "before all that have one" if other is None else f"before id {shown(other)}"


class CheckedRows:
    """Checked access to the columns of one record batch."""

    def __init__(self, batch: pa.RecordBatch, where: str, *, strict: bool) -> None:
        self.batch = batch
        self.where = where
        self.strict = strict
        self.odd: dict[str, NDArray[np.bool_]] = {}
        self.names = batch.schema.names
        ids = batch.column("id")
        try:
            batch.validate(full=True)
        except pa.ArrowInvalid as error:
            column, reason = _broken(self.names, brief(error))
            raise ValueError(f"{where}: {column}broken content ({reason})") from error
        self.ids = self._text("id", ids)
        if ids.null_count:
            place = _beside_null(self.ids)
            raise ValueError(f"{where}: column 'id' is null in the row {place}, expected an id in every row")

    def _text(self, name: str, array: pa.Array) -> pa.Array:
        if pa.types.is_null(array.type):
            array = array.cast(pa.string())
        kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
        if any(is_text(kind) for is_text in _TEXTS) or pa.types.is_integer(kind):
            return array.cast(kind).cast(pa.large_string())
        raise self._wrong_type(name, "text")

    def _wrong_type(self, name: str, expected: str) -> ColumnError:
        return ColumnError(f"{self.where}: column {name!r} holds {self.batch.column(name).type}, expected {expected}")

    def fail(self, row: int, message: str) -> ValueError:
        """The error for a row, which it names by its id."""
        return ValueError(f"{self.where}: row id {shown(self.ids[int(row)].as_py())}: {message}")

    def require(self, fits: NDArray[np.bool_], message) -> None:  # type: ignore[no-untyped-def]
        """Fails on the first row that does not fit."""
        if not fits.all():
            row = int(np.argmin(fits))
            raise self.fail(row, message(row))

    def doubt(self, kind: str, fits: NDArray[np.bool_], message) -> None:  # type: ignore[no-untyped-def]
        """Fails on the first row that does not fit where definitions are strict, and counts such rows elsewhere."""
        if self.strict:
            self.require(fits, message)
        elif not fits.all():
            self.odd[kind] = self.odd.get(kind, False) | ~fits

    def sums(self, name: str, rows: Ragged, blocks: int) -> None:
        """Doubts rows with one of the `blocks` lists of probabilities that does not sum to about 1."""
        sizes = rows.lengths // blocks
        filled = sizes > 0
        ends = offsets_of(np.repeat(sizes[filled], blocks))
        found = np.ones((len(rows), blocks))
        found[filled] = oddities.sums(Ragged(rows.values[rows.offsets[0] :], ends)).reshape(-1, blocks)
        limit = oddities.slack(sizes)
        off = np.abs(found - 1) > limit[:, None] + 1e-9

        def message(row: int) -> str:
            at = int(np.argmax(off[row]))
            place = name if blocks == 1 else f"{name}[{at}]"
            return f"{place} sums to {found[row, at]:.4g}, expected 1 (give or take {limit[row]:g})"

        self.doubt("sums", np.logical_not(off.any(axis=1)), message)

    def preferred(self, prediction: NDArray[np.int64], rows: Ragged, labels: tuple[str, ...]) -> None:
        """Doubts rows whose prediction is not the class with the highest probability, or one that shares it."""
        self.within("prediction", prediction, rows.lengths, labels)
        given = rows.values[rows.offsets[:-1] + prediction]
        highest = oddities.highest(rows)

        def message(row: int) -> str:
            start, end = rows.offsets[row], rows.offsets[row + 1]
            best = shown(labels[int(np.argmax(rows.values[start:end]))])
            found = f"prediction is {shown(labels[prediction[row]])} with probability {given[row]:.4g}"
            return f"{found}, expected {best} with {highest[row]:.4g}, or labels in the order of the probabilities"

        self.doubt("prediction", given >= highest - oddities.ROUNDING, message)

    def within(self, name: str, classes: NDArray[np.int64], sizes: NDArray[np.int64], labels: tuple[str, ...]) -> None:
        """Fails on the first row whose class is none of its choices."""
        self.require(
            classes < sizes, lambda i: f"{name} is {shown(labels[classes[i]])}, expected one of {sizes[i]} choices"
        )

    def words(self) -> Ragged:
        """The number of words in each row; there are no values."""
        array = self.batch.column("words")
        if value_type(array.type) is None:
            raise self._wrong_type("words", "lists of text")
        self.all_known("words", valid(array))
        return Ragged(np.zeros(0), list_offsets(array))

    def borders(self, rationale: Ragged) -> NDArray[np.int64]:
        """Where documents end inside the rows, as places in the rationale; a row of one document may be null."""
        _, documents, known = self._ragged("documents")
        words = rationale.lengths
        total = oddities.sums(documents)
        self.require(~known | (total == words), lambda i: f"documents sum to {total[i]:g}, expected {words[i]} (words)")
        self._first(documents, ~(documents.values >= 0), "documents", "a count of 0 or more")
        before = np.repeat(np.cumsum(np.where(known, total, 0)) - np.where(known, total, 0), documents.lengths)
        ends = np.cumsum(documents.values)
        starts = np.repeat(rationale.offsets[:-1], documents.lengths)
        places: NDArray[np.int64] = (starts + ends - before).astype(np.int64)
        return places

    def all_known(self, name: str, known: NDArray[np.bool_]) -> None:
        """Fails on the first null row."""
        self.require(known, lambda _: f"{name} is null, expected a list")

    def at_most(self, name: str, found: NDArray[np.int64], limit_name: str, limit: NDArray[np.int64]) -> None:
        """Fails on the first row whose count exceeds its limit."""
        self.require(found <= limit, lambda i: f"{name} is {found[i]}, expected at most {limit[i]} ({limit_name})")

    def classes(self, name: str, labels: dict[str, int], *, nulls: bool = False) -> NDArray[np.int64]:
        """Positions of the labels, -1 where null."""
        encoded = self._text(name, self.batch.column(name)).dictionary_encode()
        found = encoded.dictionary.to_pylist()
        # One entry more: a null has index -1 here, the last.
        table = np.array([labels.get(text, -2) for text in found] + [-1 if nulls else -2], dtype=np.int64)
        index = integer_values(encoded.indices, null=-1)
        positions = table[index]

        def message(row: int) -> str:
            text = "null" if index[row] < 0 else shown(found[index[row]])
            return f"{name} is {text}, expected one of {shown(list(labels))}"

        self.require(positions != -2, message)
        return positions

    def _ragged(self, name: str, *, flags: bool = False) -> tuple[pa.Array, Ragged, NDArray[np.bool_]]:
        """A list column: its values in Arrow and numpy, and which rows are known."""
        array = _known_type(self.batch.column(name), depth=1)
        inner = value_type(array.type)
        if not (is_number(inner) or (flags and inner is not None and pa.types.is_boolean(inner))):
            raise self._wrong_type(name, "lists of numbers" + (" or of true and false" if flags else ""))
        values = array.flatten()
        plain = (
            bool_values(values) if pa.types.is_boolean(values.type) and name == "rationale" else float_values(values)
        )
        return values, Ragged(plain, list_offsets(array)), valid(array)

    def _first(self, ragged: Ragged, bad: NDArray[np.bool_], name: str, expected: str) -> None:
        """Fails on the first value marked bad."""
        if bad.any():
            at = int(np.argmax(bad))
            row = int(np.searchsorted(ragged.offsets, at, side="right")) - 1
            within, place, found = at - int(ragged.offsets[row]), name, self.batch.column(name)[row].as_py()
            if isinstance(found[0], list):  # one for each fraction, all of one length
                part, within = divmod(within, len(found[0]))
                place, found = f"{name}[{part}]", found[part]
            value = "null" if found[within] is None else found[within]
            raise self.fail(row, f"{place}[{within}] is {value}, expected {expected}")

    def scores(self) -> Ragged:
        """Scores, minus infinity where null."""
        values, ragged, known = self._ragged("scores")
        self.all_known("scores", known)
        cut = ~valid(values)
        self._first(
            ragged, ~np.isfinite(ragged.values) & ~cut, "scores", "a finite number, or null for a word never seen"
        )
        if cut.any():
            ragged = Ragged(np.where(cut, -np.inf, ragged.values), ragged.offsets)
        return ragged

    def rationale(self) -> Ragged:
        """A list of true and false in every row."""
        values, ragged, known = self._ragged("rationale", flags=True)
        self.all_known("rationale", known)
        self._first(ragged, ~valid(values), "rationale", "true or false")
        if ragged.values.dtype != np.bool_:
            self._first(ragged, (ragged.values != 0) & (ragged.values != 1), "rationale", "0 or 1")
            ragged = Ragged(ragged.values == 1, ragged.offsets)
        return ragged

    def gold(self) -> Known:
        """The human rationale where one is known."""
        _, ragged, known = self._ragged("gold", flags=True)
        self._first(ragged, ~((ragged.values >= 0) & (ragged.values <= 1)), "gold", "a number in [0, 1]")
        return Known(rows=ragged, known=known)

    def probabilities(self, name: str, *, depth: int, blocks: int = 1) -> Known:
        """Lists (depth 1) or lists of `blocks` lists (depth 2) of probabilities, the lists of a row joined."""
        array = _known_type(self.batch.column(name), depth)
        kind = value_type(array.type)
        if depth == 2 and kind is not None:
            kind = value_type(kind)
        if not is_number(kind):
            raise self._wrong_type(name, f"{'lists of ' * depth}numbers")
        known, offsets, values = valid(array), list_offsets(array), array.flatten()
        if depth == 2:
            counts = np.diff(offsets)
            self.require(
                ~known | (counts == blocks), lambda i: f"{name} has {counts[i]} lists, expected {blocks} (as fractions)"
            )
            within = list_offsets(values)
            sizes = np.diff(within).reshape(-1, blocks)
            given = valid(values).reshape(-1, blocks)
            even = np.ones(len(known), dtype=bool)
            even[known] = (given & (sizes == sizes[:, :1])).all(axis=1)

            def message(row: int) -> str:
                at = int(known[:row].sum())
                fits = given[at] & (sizes[at] == sizes[at, 0])
                place = int(np.argmin(fits))
                found = f"has {sizes[at, place]} values" if given[at, place] else "is null"
                return f"{name}[{place}] {found}, expected one probability for each class, as many in each list"

            self.require(even, message)
            offsets, values = within[offsets], values.flatten()
        ragged = Ragged(float_values(values), offsets)
        bad = ~((ragged.values >= 0) & (ragged.values <= 1))
        percent = ", not percent" if bad.any() and 1 < ragged.values[bad][0] <= _ALL_PERCENT else ""
        self._first(ragged, bad, name, f"a probability in [0, 1]{percent}")
        return Known(rows=ragged, known=known)

    def orders(self, name: str) -> Known:
        """Four probabilities where they are known: two, and the lowest and the highest they can be."""
        known = self.probabilities(name, depth=1)
        sizes = known.rows.lengths
        self.require(~known.known | (sizes == len(ORDERS)), lambda i: f"{name} has {sizes[i]} values, expected 4")
        values = np.full((len(sizes), len(ORDERS)), 0.5)
        values[known.known] = known.rows.values.reshape(-1, len(ORDERS))
        for at, what in enumerate(ORDERS[:2]):
            inside = (values[:, 2] <= values[:, at]) & (values[:, at] <= values[:, 3])

            def message(row: int, at: int = at, what: str = what) -> str:
                low, high = values[row, 2:]
                return f"{name}[{at}] ({what}) is {values[row, at]:.6g}, expected {low:.6g} to {high:.6g}"

            self.require(inside, message)
        return known

    def fractions(self, expected: tuple[float, ...]) -> None:
        """Fails unless every row has these fractions."""
        _, ragged, known = self._ragged("fractions")
        self.all_known("fractions", known)
        same = ragged.lengths == len(expected)
        if same.all():
            rows, single = ragged.values.reshape(-1, len(expected)), np.array(expected, dtype=np.float32)
            same = ((rows == np.array(expected)) | (rows == single)).all(axis=1)
        self.require(
            same,
            lambda i: (
                f"fractions are {ragged.values[ragged.offsets[i] : ragged.offsets[i + 1]].tolist()}, "
                f"expected {list(expected)} as in the first row"
            ),
        )

    def integers(self, name: str) -> NDArray[np.int64]:
        """A count in every row."""
        array = self.batch.column(name)
        if not pa.types.is_integer(array.type):
            raise self._wrong_type(name, "integers")
        values = integer_values(array, null=-1)
        self.require(values >= 0, lambda i: f"{name} is {array[i].as_py()}, expected a count of 0 or more")
        return values

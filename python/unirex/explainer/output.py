"""Explanations written to files row by row: Parquet in the layout of prediction files, JSONL and CSV alike."""

import csv
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unirex.config.corpus import PAGE, check_format
from unirex.data.errors import DataError, shown
from unirex.disk.atomic import atomic_write
from unirex.disk.predictions import Header, Prediction, nullable, to_table
from unirex.explainer.answer import ExplainedText
from unirex.metrics.columns import is_known
from unirex.metrics.shown import finite

AT_ONCE = 1024
"""Rows of a Parquet file written together."""

_MEASURES = ("comprehensiveness", "sufficiency")
_SPANS = pa.list_(pa.struct([("part", pa.int32()), ("start", pa.int64()), ("end", pa.int64())]))

Kept = Mapping[str, Any]
"""Columns of the input that are written behind ours."""

Write = Callable[[ExplainedText, Kept], None]


@contextmanager
def explanation_file(
    path: str | Path, header: Header, *, fractions: tuple[float, ...], model: str, data: str
) -> Iterator[Write]:
    """A function that adds an explanation, and columns to keep, to a file that appears once it is complete.

    Columns with a name of ours are left out, and those that the first row lacks. Parquet holds numbers in full (its
    kept columns are text unless they hold numbers), JSONL and CSV scores to 6 digits and probabilities to 6 places.

    Args:
        path: its ending is the format: `.parquet`, `.jsonl` or `.csv`; with `.html` it is a page.
        header: of the file.
        fractions: those that faithfulness was measured at.
        model: its name.
        data: its name.

    Raises:
        ValueError: another ending.
    """
    path = Path(path)
    check_format(path)
    if path.suffix in {".parquet", PAGE}:
        parquet = _parquet if path.suffix == ".parquet" else _page
        opened = parquet(path, partial(to_table, header=header, fractions=fractions, model=model, data=data))
    else:
        opened = _jsonl(path) if path.suffix == ".jsonl" else _csv(path)
    with opened as write:
        yield write if path.suffix in {".jsonl", ".csv"} else partial(_within, write, header)


def _within(write: Write, header: Header, answer: ExplainedText, kept: Kept) -> None:
    """Writes a row whose classes the header of a table names."""
    if len(answer.probabilities) > len(header.labels):
        raise DataError(
            f"row id {answer.row.id!r}: has {len(answer.probabilities)} choices, expected at most {len(header.labels)} "
            "as the model was trained on (JSONL and CSV take any number)"
        )
    write(answer, kept)


def _fields(answer: ExplainedText) -> dict[str, Any]:
    """One row: the columns of docs/predictions.md for a single text, and what docs/explain.md adds."""
    row = answer.row
    return {
        "id": row.id,
        "label": row.label,
        "prediction": row.prediction,
        "labels": list(answer.probabilities),
        "probabilities": [round(p, 6) for p in row.probabilities.tolist()],
        "words": row.words,
        "scores": [None if score is None else _short(score) for score in nullable(row.scores)],
        "rationale": row.rationale.tolist(),
        "documents": row.documents,
        **{name: round(value, 6) + 0.0 if name in _MEASURES else value for name, value in _extra(answer).items()},
        "words_cut": row.words_cut,
    }


def _short(number: float) -> float:
    """A number to 6 significant digits: fewer would make ties, which change a ranking.

    >>> _short(0.123456), _short(-1234.5678)
    (0.123456, -1234.57)
    """
    return float(f"{number:.6g}")


def _extra(answer: ExplainedText) -> dict[str, Any]:
    """What prediction files do not have: the texts, the rationale's place in them, faithfulness of this one row."""
    faithfulness = answer.faithfulness
    measured = {} if faithfulness is None else {name: getattr(faithfulness, name) for name in _MEASURES}
    return {
        "texts": list(answer.texts),
        "spans": [{"part": s.part, "start": s.start, "end": s.end} for s in answer.rationale],
        "tokens_cut": answer.tokens_cut,
        **measured,
    }


@contextmanager
def _jsonl(path: Path) -> Iterator[Write]:
    with atomic_write(path, "w") as file:

        def write(answer: ExplainedText, kept: Kept) -> None:
            fields = _fields(answer)
            others = {name: finite(value) for name, value in _others(kept, fields).items()}
            file.write(json.dumps(fields | others, ensure_ascii=False, default=str) + "\n")

        yield write


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    """Cells that hold lists are JSON; `rationale_text` is the rationale to read."""
    with atomic_write(path, "w") as file:
        writer: csv.DictWriter[str] | None = None

        def write(answer: ExplainedText, kept: Kept) -> None:
            nonlocal writer
            fields = _fields(answer)
            fields["rationale_text"] = " … ".join(span.text for span in answer.rationale)
            fields |= _others(kept, fields)
            if writer is None:
                writer = csv.DictWriter(file, list(fields), lineterminator="\n", extrasaction="ignore")
                writer.writeheader()
            writer.writerow({k: _as_text(v) if isinstance(v, list | dict) else v for k, v in fields.items()})

        yield write
        if writer is None:
            file.write("id,label,prediction\n")


@contextmanager
def _parquet(path: Path, table_of: Callable[[list[Prediction]], pa.Table]) -> Iterator[Write]:
    waiting: list[tuple[ExplainedText, Kept]] = []
    types: dict[str, pa.DataType] | None = None
    with atomic_write(path) as file:
        writer: pq.ParquetWriter | None = None

        def flush() -> None:
            nonlocal writer
            nonlocal types
            table = _widened(table_of([answer.row for answer, _ in waiting]), [answer for answer, _ in waiting])
            kept = [_others(row, table.column_names) for _, row in waiting]
            types = _types(kept) if types is None else types
            for name, kind in types.items():
                table = table.append_column(name, _column(name, kind, table["id"].to_pylist(), kept))
            writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd", write_page_checksum=True)
            writer.write_table(table)
            waiting.clear()

        def write(answer: ExplainedText, kept: Kept) -> None:
            waiting.append((answer, kept))
            if len(waiting) == AT_ONCE:
                flush()

        try:
            yield write
            if waiting or writer is None:
                flush()
        finally:
            if writer is not None:
                writer.close()


def _widened(table: pa.Table, answers: list[ExplainedText]) -> pa.Table:
    """The table of prediction rows with the columns of `_extra`."""
    extra = [_extra(answer) for answer in answers]
    types = {"texts": pa.list_(pa.string()), "spans": _SPANS, "tokens_cut": pa.int32()}
    measured = [name for name in _MEASURES if extra and name in extra[0]]
    for name, kind in (*types.items(), *((name, pa.float64()) for name in measured)):
        table = table.append_column(name, pa.array([row[name] for row in extra], kind))
    return table


@contextmanager
def _page(path: Path, table_of: Callable[[list[Prediction]], pa.Table]) -> Iterator[Write]:
    """The page that `unirex report` makes of the same rows."""
    from tempfile import TemporaryDirectory

    from unirex.report import build

    with TemporaryDirectory() as folder:
        rows = Path(folder) / f"{path.stem}.parquet"
        with _parquet(rows, table_of) as write:
            yield write
        try:
            report = build(rows, names=[path.stem])
            # The rows lie nowhere by now.
            parts = (replace(part, folder=replace(part.folder, predictions=path.name)) for part in report.parts)
            replace(report, parts=tuple(parts)).save(path)
        except ValueError as error:
            raise DataError(str(error).replace(str(rows), str(path))) from None


def _others(kept: Kept, ours: Collection[str]) -> dict[str, Any]:
    """Columns of the input that have no name of ours, in use here or not: a reader would take them for ours."""
    known = {*ours, *_OURS}
    return {name: value for name, value in kept.items() if name not in known and not is_known(name)}


_OURS = frozenset({"labels", "texts", "spans", "tokens_cut", "comprehensiveness", "sufficiency", "rationale_text"})
"""What a file of explanations has beside the columns of prediction files."""


def _types(kept: Sequence[Kept]) -> dict[str, pa.DataType]:
    """By column of the first row: numbers where the first rows hold nothing else, else text."""
    kinds: dict[str, pa.DataType] = {}
    for name in kept[0] if kept else ():
        values = [value for row in kept if (value := row.get(name)) is not None]
        found = {type(value) for value in values}
        kind = next((kind for types, kind in _NUMBERS if found and found <= types), pa.string())
        too_large = kind == pa.int64() and not all(-(2**63) <= value < 2**63 for value in values)
        kinds[name] = pa.string() if too_large else kind
    return kinds


_NUMBERS = (({bool}, pa.bool_()), ({int}, pa.int64()), ({int, float}, pa.float64()))


def _column(name: str, kind: pa.DataType, ids: Sequence[str], kept: Sequence[Kept]) -> pa.Array:
    values = [row.get(name) for row in kept]
    if kind == pa.string():
        values = [value if value is None or isinstance(value, str) else _cell(value) for value in values]
    wrong = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)
    with suppress(*wrong):
        return pa.array(values, kind)
    for key, value in zip(ids, values, strict=True):
        try:
            pa.scalar(value, kind)
        except wrong:
            raise DataError(
                f"row id {key!r}: column {name} is {shown(value)}, expected {kind} as in the first rows (JSONL and CSV "
                "take any value)"
            ) from None
    return pa.array(values, kind)


def _cell(value: object) -> str:
    """A value as text: dates and decimals as they are, what JSON has as JSON."""
    return _as_text(value) if isinstance(value, list | dict | bool | int | float) else str(value)


def _as_text(value: object) -> str:
    return json.dumps(finite(value), ensure_ascii=False, default=str)

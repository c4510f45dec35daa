"""Explanations out to files, row by row: Parquet in the layout of prediction files, JSONL and CSV with its columns."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unirex.disk.atomic import atomic_write
from unirex.disk.predictions import Header, to_table
from unirex.explainer.answer import ExplainedText

AT_ONCE = 1024
"""Rows of a Parquet file written together."""

_SPANS = pa.list_(pa.struct([("part", pa.int32()), ("start", pa.int64()), ("end", pa.int64())]))

Write = Callable[[ExplainedText], None]


@contextmanager
def explanation_file(
    path: str | Path, header: Header, *, fractions: tuple[float, ...], model: str, data: str
) -> Iterator[Write]:
    """A function that adds an explanation to a file; the file appears under `path` once it is complete.

    Args:
        path: its name says the format: `.parquet`, `.jsonl` or `.csv`.
        header: what holds for all rows.
        fractions: those that faithfulness was measured at.
        model: what explained.
        data: which data.

    Raises:
        ValueError: another ending.
    """
    formats = {".parquet": _parquet, ".jsonl": _jsonl, ".csv": _csv}
    make = formats.get(Path(path).suffix)
    if make is None:
        raise ValueError(f"{path}: the file's name ends in {Path(path).suffix!r}, expected one of {', '.join(formats)}")
    with make(Path(path), header, fractions, model, data) as write:
        yield write


def _fields(answer: ExplainedText, header: Header) -> dict[str, Any]:
    """One row: the columns of docs/predictions.md for a single text, and what docs/explain.md adds."""
    row = answer.row
    fields: dict[str, Any] = {
        "id": row.id,
        "label": row.label,
        "prediction": row.prediction,
        "labels": list(answer.probabilities) or list(header.labels),
        "probabilities": row.probabilities.tolist(),
        "words": row.words,
        "scores": [None if score != score else score for score in row.scores.tolist()],  # noqa: PLR0124 - NaN
        "rationale": row.rationale.tolist(),
        "documents": row.documents,
        **_extra(answer),
        "words_cut": row.words_cut,
    }
    if row.label is None:
        del fields["label"]
    return fields


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


_MEASURES = ("comprehensiveness", "sufficiency")


@contextmanager
def _jsonl(path: Path, header: Header, fractions: tuple[float, ...], model: str, data: str) -> Iterator[Write]:
    with atomic_write(path, "w") as file:

        def write(answer: ExplainedText) -> None:
            file.write(json.dumps(_fields(answer, header), ensure_ascii=False) + "\n")

        yield write


@contextmanager
def _csv(path: Path, header: Header, fractions: tuple[float, ...], model: str, data: str) -> Iterator[Write]:
    """Cells that hold lists are JSON; `rationale_text` is the rationale to read."""
    with atomic_write(path, "w") as file:
        writer: csv.DictWriter[str] | None = None

        def write(answer: ExplainedText) -> None:
            nonlocal writer
            fields = {"id": answer.id, "label": None, **_fields(answer, header)}
            fields["rationale_text"] = " … ".join(span.text for span in answer.rationale)
            if writer is None:
                writer = csv.DictWriter(file, list(fields), lineterminator="\n")
                writer.writeheader()
            writer.writerow(
                {k: json.dumps(v, ensure_ascii=False) if isinstance(v, list) else v for k, v in fields.items()}
            )

        yield write
        if writer is None:
            file.write("id,label,prediction\n")


@contextmanager
def _parquet(path: Path, header: Header, fractions: tuple[float, ...], model: str, data: str) -> Iterator[Write]:
    waiting: list[ExplainedText] = []
    with atomic_write(path) as file:
        writer: pq.ParquetWriter | None = None

        def flush() -> None:
            nonlocal writer
            rows = [answer.row for answer in waiting]
            table = _widened(to_table(rows, header, fractions=fractions, model=model, data=data), waiting)
            writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd", write_page_checksum=True)
            writer.write_table(table)
            waiting.clear()

        def write(answer: ExplainedText) -> None:
            waiting.append(answer)
            if len(waiting) == AT_ONCE:
                flush()

        yield write
        if waiting or writer is None:
            flush()
        assert writer is not None
        writer.close()


def _widened(table: pa.Table, answers: list[ExplainedText]) -> pa.Table:
    """The table of prediction rows with the columns of `_extra`."""
    extra = [_extra(answer) for answer in answers]
    types = {"texts": pa.list_(pa.string()), "spans": _SPANS, "tokens_cut": pa.int32()}
    measured = [name for name in _MEASURES if extra and name in extra[0]]
    for name, kind in (*types.items(), *((name, pa.float64()) for name in measured)):
        table = table.append_column(name, pa.array([row[name] for row in extra], kind))
    return table

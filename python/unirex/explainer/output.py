"""Explanations written to files row by row: Parquet in the layout of prediction files, JSONL and CSV alike."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unirex.disk.atomic import atomic_write
from unirex.disk.predictions import FileHeader, Prediction, nullable, to_table
from unirex.explainer.answer import ExplainedText

AT_ONCE = 1024
"""Rows of a Parquet file written together."""

OUTPUTS = (".parquet", ".jsonl", ".csv")
_MEASURES = ("comprehensiveness", "sufficiency")
_SPANS = pa.list_(pa.struct([("part", pa.int32()), ("start", pa.int64()), ("end", pa.int64())]))

Write = Callable[[ExplainedText], None]


@contextmanager
def explanation_file(
    path: str | Path, header: FileHeader, *, fractions: tuple[float, ...], model: str, data: str
) -> Iterator[Write]:
    """A function that adds an explanation to a file; the file appears under `path` once it is complete.

    Args:
        path: its ending is the format: `.parquet`, `.jsonl` or `.csv`.
        header: of the file.
        fractions: those that faithfulness was measured at.
        model: its name.
        data: its name.

    Raises:
        ValueError: another ending.
    """
    path = Path(path)
    check_format(path)
    if path.suffix == ".parquet":
        opened = _parquet(path, partial(to_table, header=header, fractions=fractions, model=model, data=data))
    else:
        opened = _jsonl(path) if path.suffix == ".jsonl" else _csv(path)
    with opened as write:
        yield write


def check_format(path: Path) -> None:
    """Raises ValueError if the name of an output file has an unknown ending."""
    if path.suffix not in OUTPUTS:
        raise ValueError(f"output is {str(path)!r}, expected a name that ends in one of {', '.join(OUTPUTS)}")


def _fields(answer: ExplainedText) -> dict[str, Any]:
    """One row: the columns of docs/predictions.md for a single text, and what docs/explain.md adds."""
    row = answer.row
    return {
        "id": row.id,
        **({} if row.label is None else {"label": row.label}),
        "prediction": row.prediction,
        "labels": list(answer.probabilities),
        "probabilities": row.probabilities.tolist(),
        "words": row.words,
        "scores": nullable(row.scores),
        "rationale": row.rationale.tolist(),
        "documents": row.documents,
        **_extra(answer),
        "words_cut": row.words_cut,
    }


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

        def write(answer: ExplainedText) -> None:
            file.write(json.dumps(_fields(answer), ensure_ascii=False) + "\n")

        yield write


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    """Cells that hold lists are JSON; `rationale_text` is the rationale to read."""
    with atomic_write(path, "w") as file:
        writer: csv.DictWriter[str] | None = None

        def write(answer: ExplainedText) -> None:
            nonlocal writer
            fields = {"id": answer.id, "label": None, **_fields(answer)}
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
def _parquet(path: Path, table_of: Callable[[list[Prediction]], pa.Table]) -> Iterator[Write]:
    waiting: list[ExplainedText] = []
    with atomic_write(path) as file:
        writer: pq.ParquetWriter | None = None

        def flush() -> None:
            nonlocal writer
            table = _widened(table_of([answer.row for answer in waiting]), waiting)
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

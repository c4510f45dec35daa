"""`unirex-metrics validate`: everything that is wrong with files, up to a limit, without scoring them."""

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
from jsonargparse import ArgumentParser

from unirex import _rust
from unirex.metrics.batch import hash_ids
from unirex.metrics.eraser import files as results_of
from unirex.metrics.scoring import plan
from unirex.metrics.source import System
from unirex.terminal import line


def arguments(parser: ArgumentParser) -> None:
    """Adds the arguments of `validate`."""
    add = parser.add_argument
    add("files", nargs="*", type=str, help="prediction files, or with --data-dir results; may be none then")
    add("--data_dir", "--data-dir", type=str | None, help="ERASER folder with SPLIT.jsonl and docs.jsonl or docs/")
    add("--split", type=str, default="test", help="the annotations in that folder")
    add("--aopc_thresholds", "--aopc-thresholds", type=float, nargs="+", help="that thresholded_scores must have")
    add("--limit", type=int, default=20, help="how many problems are enough")


def run(
    files: Sequence[str],
    *,
    data_dir: str | None,
    split: str,
    aopc_thresholds: Sequence[float] | None,
    limit: int,
) -> int:
    """Prints one line a problem; 0 if there is none, else 2.

    Raises:
        ValueError: nothing to look at, or a limit below 1.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}, expected 1 or more")
    if not files and data_dir is None:
        raise ValueError("no file given, expected prediction files, or --data-dir with or without results")
    if data_dir is not None:
        found = eraser_problems(list(files), data_dir, split, limit=limit, aopc_thresholds=aopc_thresholds)
    else:
        found = [problem for file in files for problem in islice(prediction_problems(file), limit)][:limit]
    for problem in found:
        sys.stdout.write(f"{line(problem)}\n")
    count = f"at least {limit} problems" if len(found) == limit else f"{len(found)} problems"
    sys.stdout.write(f"{'no problem' if not found else count}\n")
    return 2 if found else 0


def eraser_problems(
    results: Sequence[str],
    data_dir: str,
    split: str,
    *,
    limit: int,
    aopc_thresholds: Sequence[float] | None = None,
) -> list[str]:
    """What is wrong with ERASER annotations, their documents and results, as `file:line: field: found X, expected Y`.

    Args:
        results: files or glob patterns of them; none = only annotations and documents are looked at.
        data_dir: folder with `SPLIT.jsonl` and `docs.jsonl` or `docs/`.
        split: the annotations.
        limit: how many problems are enough.
        aopc_thresholds: what `thresholded_scores` must have; None = whatever.
    """
    found = _rust.validate_eraser(
        results_of(results), Path(data_dir), split, limit=limit, aopc_thresholds=aopc_thresholds
    )
    return [
        f"{path}:{'' if line is None else f'{line}:'}{f' {field}:' if field else ''} found {value}, expected {expected}"
        for path, line, field, value, expected in found
    ]


def prediction_problems(system: System) -> Iterator[str]:
    """What is wrong with prediction files (docs/predictions.md): the first fault of each row, by file, id and field.

    >>> import pyarrow as pa
    >>> table = pa.table({"id": ["a", "b", "b"], "scores": [[0.1], [float("inf")], [0.2]], "gold": [[2.0], [1.0], [0]]})
    >>> for problem in prediction_problems(table):
    ...     print(problem)
    table: row id 'a': gold[0] is 2.0, expected a number in [0, 1]
    table: row id 'b': scores[0] is inf, expected a finite number, or null for a word never seen
    table: row id 'b': the id occurs again, expected every id once
    """
    try:
        made = plan(system)
    except (ValueError, OSError) as error:
        yield str(error)
        return
    parser = made.state().parser
    seen: set[bytes] = set()
    batches = made.source.batches(parser.columns())
    while True:
        try:
            where, batch = next(batches)
        except StopIteration:
            return
        except ValueError as error:
            yield str(error)
            return
        yield from _row_problems(parser.parse, where, batch)
        yield from _duplicates(where, batch, seen)


def _row_problems(parse, where: str, batch: pa.RecordBatch) -> Iterator[str]:  # type: ignore[no-untyped-def]
    """The faults of a batch, looked for row by row where it has any."""
    try:
        parse(batch, where)
    except ValueError as whole:
        found = False
        for row in range(batch.num_rows):
            try:
                parse(batch.slice(row, 1), where)
            except ValueError as error:
                found = True
                yield str(error)
        if not found:
            yield str(whole)


def _duplicates(where: str, batch: pa.RecordBatch, seen: set[bytes]) -> Iterator[str]:
    ids = batch.column("id").cast("string").drop_null()
    for row, hashed in enumerate(hash_ids(ids)):
        key = hashed.tobytes()
        if key in seen:
            yield f"{where}: row id {ids[row].as_py()!r}: the id occurs again, expected every id once"
        seen.add(key)

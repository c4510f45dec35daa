"""`unirex-metrics validate`: everything that is wrong with files, up to a limit, without scoring them."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
from jsonargparse import ArgumentParser

from unirex import _rust
from unirex.metrics import oddities
from unirex.metrics.batch import Batch, hash_ids
from unirex.metrics.checked_rows import ColumnError
from unirex.metrics.commands.options import Options, add_columns
from unirex.metrics.eraser.benchmark import files as results_of
from unirex.metrics.scoring import plan, scorers
from unirex.metrics.source import System
from unirex.text import line, shown


def arguments(parser: ArgumentParser) -> None:
    """Adds the arguments of `validate`."""
    add = parser.add_argument
    add("files", nargs="*", type=str, help="prediction files, or with --data-dir results; may be none then")
    add("--data_dir", "--data-dir", type=str | None, help="ERASER folder with SPLIT.jsonl and docs.jsonl or docs/")
    add("--split", type=str | None, help="the annotations in that folder; default: test")
    add(
        "--aopc_thresholds",
        "--aopc-thresholds",
        type=float,
        nargs="+",
        action="extend",
        help="that thresholded_scores must have",
    )
    add_columns(parser)
    add("--limit", type=int, default=20, help="how many problems are enough")


def run(options: Options) -> int:
    """Prints one line a problem, and notes on rows that are odd and no problem; 0 if there is no problem, else 2.

    Raises:
        ValueError: nothing to look at, or a limit below 1.
    """
    files, data_dir, limit = options["files"], options["data_dir"], options["limit"]
    columns, labels = options["columns"], options["labels"]
    if limit < 1:
        raise ValueError(f"limit is {limit}, expected 1 or more")
    if not files and data_dir is None:
        raise ValueError("no file given, expected prediction files, or --data-dir with or without results")
    if data_dir is not None and (columns or labels):
        raise ValueError("columns and labels are for prediction files, found --data-dir, expected one or the other")
    if data_dir is None and (options["split"] is not None or options["aopc_thresholds"] is not None):
        raise ValueError("split and aopc_thresholds are for results, expected them with --data-dir")
    noted: list[str] = []
    if data_dir is not None:
        found = eraser_problems(
            list(files), data_dir, options["split"] or "test", limit=limit, aopc_thresholds=options["aopc_thresholds"]
        )
    else:
        found = []
        for file in files:
            sound: Counter[str] = Counter()
            every = prediction_problems(file, columns=columns, labels=labels, sound=sound)
            problems = list(islice(every, limit - len(found)))
            if not sound["rows"] and not problems and len(found) < limit:
                problems = [f"{file}: no rows"]
            found += problems
            noted += [f"note: {file}: {note}" for note in oddities.notes(sound, sound["rows"])]
    for problem in [*found, *noted]:
        sys.stdout.write(f"{line(problem)}\n")
    count = f"at least {limit} problems" if len(found) == limit else f"{len(found)} problem{'s' * (len(found) != 1)}"
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


def prediction_problems(
    system: System,
    *,
    columns: Mapping[str, str] | None = None,
    labels: Sequence[str] | None = None,
    sound: Counter[str] | None = None,
) -> Iterator[str]:
    """What is wrong with prediction files (docs/predictions.md): the first fault of each row, by file, id and field.

    Args:
        system: where the rows are.
        columns: our column name -> name in the file, for files that others wrote.
        labels: class names in the order of the probabilities, for files without our header.
        sound: counts the sound `rows`, and those of them that are odd by kind (`oddities.NOTES`).

    >>> import pyarrow as pa
    >>> table = pa.table({"id": ["a", "b", "b"], "scores": [[0.1], [float("inf")], [0.2]], "gold": [[2.0], [1.0], [0]]})
    >>> for problem in prediction_problems(table):
    ...     print(problem)
    table: row id 'a': gold[0] is 2.0, expected a number in [0, 1]
    table: row id 'b': scores[0] is inf, expected a finite number, or null for a word never seen
    table: row id 'b': the id occurs again, expected every id once
    """
    seen: set[bytes] = set()
    sound = Counter() if sound is None else sound
    told: set[str] = set()
    try:
        made = plan(system, columns=columns, labels=labels)
        parser = made.parser()
        for where, batch in made.source.batches(parser.columns()):
            for problem in _row_problems(parser.parse, where, batch, sound):
                told.add(problem)
                yield problem
            yield from _duplicates(where, batch, seen)
        for scorer in scorers(made.source):
            parser = plan(system, columns=columns, labels=labels, scorer=scorer).parser()
            for where, batch in made.source.batches(parser.columns()):
                for problem in _row_problems(parser.parse, where, batch, Counter()):
                    if problem not in told:
                        yield problem
    except (ValueError, OSError) as error:
        yield str(error)


def _row_problems(
    parse: Callable[[pa.RecordBatch, str], Batch], where: str, batch: pa.RecordBatch, sound: Counter[str]
) -> Iterator[str]:
    """The faults of a batch, row by row if it has any.

    Raises:
        ColumnError: a column of another type, which is the fault of every row.
    """

    def read(rows: pa.RecordBatch) -> None:
        odd = parse(rows, where).odd
        sound.update({"rows": rows.num_rows, **{kind: int(found.sum()) for kind, found in odd.items()}})

    try:
        read(batch)
    except ColumnError:
        raise
    except ValueError as whole:
        found = False
        for row in range(batch.num_rows):
            try:
                read(batch.slice(row, 1))
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
            yield f"{where}: row id {shown(ids[row].as_py())}: the id occurs again, expected every id once"
        seen.add(key)

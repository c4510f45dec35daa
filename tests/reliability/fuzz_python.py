"""Fuzzes the Python readers: `python tests/reliability/fuzz_python.py --runs 1000000 [--seed 0] [--only tables]`.

`tables`: columns of prediction tables of wrong types, with nulls, slices, nesting, NaN, offsets out of order; `json`:
bytes changed in a line of an ERASER file; `states`: bytes changed in a merged state. Every input is read, or refused
by a ValueError of one line; whatever else is raised, and an answer that a slice changes, is a failure.
"""

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unirex.data.eraser import _evidences, _span
from unirex.data.rows import decode, parse_json, take
from unirex.metrics.layout import Layout
from unirex.metrics.scoring import plan
from unirex.metrics.state import Resampling, State

GOLDEN = Path(__file__).parents[1] / "golden" / "v1" / "predictions.parquet"
VALUES: list[Any] = [
    0, 1, -1, 2**63 - 1, 0.5, 1.5, float("nan"), float("inf"), True, None, "", "x", "positive", "\x1b[2J", "a\x00",
    b"\xff", [], [None], [0.5], [float("nan")], [[0.5, 0.5]], [[[1]]], ["x"], [True, False],
    [1e308, -1e308], {"a": 1},
]  # fmt: skip


def one_line(error: ValueError) -> None:
    assert str(error).strip(), "a silent error"
    assert "\n" not in str(error), repr(str(error))


def list_once() -> None:
    """Lists the metrics of equal layouts once: a third of the time of a table goes there."""
    known: dict[Layout, Any] = {}
    listing = Layout.__post_init__

    def once(layout: Layout) -> None:
        if layout not in known:
            listing(layout)
            known[layout] = layout.definitions
            if len(known) > 1000:
                known.clear()
        else:
            object.__setattr__(layout, "definitions", known[layout])

    Layout.__post_init__ = once  # type: ignore[method-assign]


class Tables:
    """Rows of the golden file with some columns replaced by something else."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        list_once()
        self.table = pq.read_table(GOLDEN).slice(0, 3).combine_chunks()
        self.columns = self.table.column_names
        self.pool = [array for _ in range(6000) if (array := self.array()) is not None]

    def array(self) -> pa.Array | None:
        """A column of three rows, of whatever type."""
        rng = self.rng
        if rng.random() < 0.6:  # a column of the file with some rows changed
            values = self.table[rng.choice(self.columns)].to_pylist()
            for _ in range(rng.randint(1, 2)):
                values[rng.randrange(3)] = self.change(rng.choice(values))
        else:
            values = [rng.choice(VALUES)] * 3 if rng.random() < 0.5 else rng.choices(VALUES, k=3)
        try:
            array = pa.array(values)
            if rng.random() < 0.1:
                array = array.dictionary_encode()
            if rng.random() < 0.1 and pa.types.is_list(array.type):
                array = array.cast(pa.large_list(array.type.value_type))
            if rng.random() < 0.1 and pa.types.is_list(array.type):  # offsets out of order, as a damaged file has
                offsets = pa.array(rng.choices(range(-1, 9), k=4), pa.int32())
                array = pa.ListArray.from_arrays(offsets, array.values)
            return pa.concat_arrays([array, array]).slice(rng.randint(0, 3), 3) if rng.random() < 0.3 else array
        except (pa.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError):
            return None

    def change(self, value: Any) -> Any:
        rng = self.rng
        if isinstance(value, list) and value and rng.random() < 0.8:
            value = list(value)
            at = rng.randrange(len(value))
            value[at : at + rng.randint(0, 2)] = [self.change(value[at])] * rng.randint(0, 2)
            return value
        if isinstance(value, float) and rng.random() < 0.5:
            return rng.choice([-value, value * 1e30, float("nan"), 1 - value])
        return rng.choice(VALUES)

    def run(self) -> str:
        """What came of one table: the error or the report."""
        rng = self.rng
        arrays = {name: self.table[name].chunk(0) for name in self.columns}
        for name in rng.sample(self.columns, rng.randint(1, 2)):
            if rng.random() < 0.1:
                del arrays[name]
            else:
                arrays[name] = rng.choice(self.pool)
        try:
            batch = pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
        except pa.ArrowInvalid as error:  # offsets so bad that Arrow itself refuses them
            return str(error)
        batch = batch.replace_schema_metadata(self.table.schema.metadata)
        found = score(batch)
        if rng.random() < 0.02 and found.startswith("{"):
            twice = pa.concat_tables([pa.Table.from_batches([batch])] * 2).combine_chunks().to_batches()[0]
            assert score(twice.slice(3, 3)) == found, "a slice changes the answer"
        return found


def score(batch: pa.RecordBatch) -> str:
    try:
        made = plan(batch, resampling=Resampling(replicates=0))
        state = made.state()
        for where, part in made.source.batches(state.parser.columns()):
            state.update(part, where)
        return json.dumps(state.compute().as_dict(), ensure_ascii=False)
    except ValueError as error:
        one_line(error)
        return str(error)


LINE = json.dumps({
    "annotation_id": "a", "classification": "x", "query": "q", "docids": ["d"],
    "evidences": [[{"docid": "d", "start_token": 0, "end_token": 2, "text": "t"}]],
}).encode()  # fmt: skip
PIECES = [
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b",",
    b":",
    b"null",
    b"NaN",
    b"1e999",
    b"-1",
    b"\\ud800",
    b"\xff",
    b"\x00",
    b"[" * 5000,
]
PIECES += [b"9" * 5000, b"true", b"\\u001b", b"\xc2\x9b", b"2.5", b'"d"', b'"evidences":']


def mutated(content: bytes, rng: random.Random, pieces: list[bytes]) -> bytes:
    for _ in range(rng.randint(1, 4)):
        at, end = rng.randrange(len(content) + 1), rng.randrange(len(content) + 1)
        how = rng.randrange(4)
        if how == 0:
            content = content[:at] + rng.choice(pieces) + content[at:]
        elif how == 1:
            content = content[:at] + content[at + rng.randint(1, 8) :]
        elif how == 2:
            content = content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
        else:
            content = content[:at] + content[min(at, end) : max(at, end)][:40] + content[at:]
    return content


def read_line(content: bytes) -> str:
    try:
        row = parse_json("f:1", decode("f:1", content))
        if not isinstance(row, dict):
            return "no object"
        take("f:1", row, "annotation_id", str, "text")
        for evidence in _evidences("f:1", row):
            docid = take("f:1", evidence, "docid", str, "text")
            start, end = _span("f:1", evidence, docid, 5)
            assert 0 <= start <= end <= 5
        return "read"
    except ValueError as error:
        one_line(error)
        message = str(error)
    assert message.startswith("f:1"), message
    assert len(message) < 400, message
    return message


def states(rng: random.Random) -> Callable[[], str]:
    layout = plan(GOLDEN).state().layout
    resampling = Resampling(replicates=2)
    state = State(layout, resampling)
    n = len(layout.columns)
    state.add(np.arange(4, dtype=np.uint64).reshape(2, 2), np.full((n, 2), 0.5))
    whole = state.to_bytes()
    expected = state.n_rows

    def run() -> str:
        fresh = State(layout, resampling)
        try:
            fresh.merge_bytes(mutated(whole, rng, [b"\xff\xff", b"\x00", b"PK\x03\x04", b"'<i8'", b"(2, 2)", b"|O"]))
        except ValueError as error:
            assert fresh.n_rows == 0, "a refused state left something behind"
            return str(error)[:40]
        assert fresh.n_rows == expected or fresh.n_rows >= 0
        return "merged"

    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["tables", "json", "states"])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop each target after so long")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    targets: dict[str, Callable[[], Callable[[], str]]] = {
        "json": lambda: lambda: read_line(mutated(LINE, rng, PIECES)),
        "states": lambda: states(rng),
        "tables": lambda: Tables(rng).run,
    }
    for name, make in targets.items():
        if options.only not in (None, name):
            continue
        run, outcomes, began, done = make(), set(), time.monotonic(), 0
        while done < options.runs and time.monotonic() - began < options.seconds:
            outcomes.add(run()[:60])
            done += 1
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{name}: {done} inputs, {len(outcomes)} kinds of outcome, peak {peak} MiB: no crash, no wrong answer")
    return 0


if __name__ == "__main__":
    sys.exit(main())

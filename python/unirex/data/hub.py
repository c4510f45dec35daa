"""The splits of a table, whatever holds it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from math import inf
from typing import Any

from unirex.data.at_once import read_at_once
from unirex.data.errors import DataError
from unirex.data.mapping import USUAL_NAMES, HubConfig, part_of, read_record
from unirex.data.record import QueryUse, Record, Records
from unirex.data.rows import Block
from unirex.data.tables import Table, read_table


def read_hub(path: str, split: str, *, query: QueryUse, config: HubConfig) -> Iterator[Records]:
    """Records of one split, in the order of the table; none where the table has no such split."""
    asked = config.splits.get(split)
    name, start, end = part_of(f"data.hub.splits.{split}", asked) if asked else (split, "", "")
    names = (name,) if asked else USUAL_NAMES[split]
    table = read_table(path, names, subset=config.subset, revision=config.revision, streaming=config.streaming)
    if table is None:
        if asked or split == "train":
            raise DataError(f"{path}: there is no split {' or '.join(names)}")
        return
    first, last = _bounds(path, (name, start, end), table)
    index = 0
    beginning = next(table.blocks(), None)
    if beginning is not None:
        _check_columns(path, beginning, table, config)
    files: set[str] = set()
    for block in table.between(first, last):
        if block.columns is not None and block.prefix not in files:  # each has a header of its own
            files.add(block.prefix)
            _check_header(block.prefix.removesuffix(": row "), [*block.columns], config)
        name_rows = f"{split}-", index
        yield Records(
            batch=read_at_once(block, name_rows, table.class_names, query, config),
            one_by_one=partial(_one_by_one, block, name_rows, table, query, config),
        )
        index += len(block)
    if last is not None and index < last - first:
        raise _beyond(path, (name, start, end), first + index if index else len(table))
    if not index and split != "train":  # of which the caller tells
        raise DataError(f"{path}: the {split} split has no rows, expected at least one, or no such split")


def check_apart(path: str, config: HubConfig) -> None:
    """Refuses parts that share rows: none may be trained on and judged, or pick the epoch and be judged.

    Raises:
        DataError: of two splits that do, the part to change.
    """
    read = partial(read_table, path, subset=config.subset, revision=config.revision, streaming=config.streaming)
    parts = {split: part_of(f"data.hub.splits.{split}", asked) for split, asked in config.splits.items()}
    names = {name for name, _, _ in parts.values()}
    for split, usual in USUAL_NAMES.items():
        if split not in parts and names & {*usual}:
            there = next((name for name in usual if read((name,)) is not None), None)
            parts |= {} if there is None else {split: (there, "", "")}
    for one, other in combinations((split for split in USUAL_NAMES if split in parts), 2):
        name = parts[one][0]
        if name != parts[other][0] or (table := read((name,))) is None:
            continue
        (first, last), (its_first, its_last) = (_bounds(path, part, table) for part in (parts[one], parts[other]))
        ends = (end for end in (last, its_last) if end is not None)
        if max(first, its_first) < min(ends, default=inf):
            wrong, right = (other, one) if other in config.splits else (one, other)
            use = "are not trained on" if "train" in (one, other) else "do not pick the epoch"
            raise DataError(
                f"data.hub.splits.{wrong} is {config.splits[wrong]!r}, expected rows that {use} "
                f"({right} is {config.splits.get(right, parts[right][0])!r})"
            )


def _one_by_one(
    block: Block, name_rows: tuple[str, int], table: Table, query: QueryUse, config: HubConfig
) -> Iterator[Record]:
    prefix, first = name_rows
    for index in range(len(block)):
        where, row = block.row(index)
        yield read_record(
            where, row, name=f"{prefix}{first + index}", class_names=table.class_names, query=query, config=config
        )


def _beyond(path: str, part: tuple[str, str, str], n_rows: int) -> DataError:
    name, start, end = part
    return DataError(f"{path}: the part {name}[{start}:{end}] is asked for, expected rows up to {n_rows}")


def _bounds(path: str, part: tuple[str, str, str], table: Table) -> tuple[int, int | None]:
    """The first row and the one behind the last; rows are counted only where a bound depends on their number."""
    _, start, end = part
    if not any(bound.startswith("-") or bound.endswith("%") for bound in (start, end)):
        return int(start or 0), int(end) if end else None
    n_rows = len(table)
    if any(bound and not bound.endswith("%") and abs(int(bound)) > n_rows for bound in (start, end)):
        raise _beyond(path, part, n_rows)
    first, last = (
        (round(int(bound[:-1]) * n_rows / 100) if bound.endswith("%") else int(bound)) if bound else None
        for bound in (start, end)
    )
    first, last, _ = slice(first, last).indices(n_rows)
    return first, last


def _check_columns(path: str, block: Block, table: Table, config: HubConfig) -> None:
    """Looks at one block, and at all of them only where it lacks a column, or a field inside one."""
    if not _missing(partial(_in_block, block), config):
        return
    if missing := _missing(lambda column: any(_in_block(one, column) for one in table.blocks()), config):
        raise _absent(path, missing, table.columns)


def _check_header(where: str, columns: Collection[str], config: HubConfig) -> None:
    if missing := _missing(lambda column: column in columns or column.partition(".")[0] in columns, config):
        raise _absent(where, missing, columns)


def _absent(where: str, missing: Sequence[str], columns: Collection[str]) -> DataError:
    return DataError(f"{where}: there is no column {missing[0]}, found {', '.join(columns)}")


def _missing(has: Callable[[str], bool], config: HubConfig) -> list[str]:
    single = [config.id, config.text, config.text_pair, config.query, config.label, *config.choices]
    missing = [column for column in single if column and not has(column)]
    # Annotators differ between splits (e-SNLI trains on one and tests on three), so one of them will do.
    sides = [side for side in (config.gold, config.gold_pair) if not any(map(has, side))]
    return missing + [" or ".join(side) for side in sides if side]


def _in_block(block: Block, column: str) -> bool:
    """Whether any row has a column, or the field inside one that its name is."""
    if block.columns is None:
        return any(_inside(row, column) for row in block.rows)
    head, _, rest = column.partition(".")
    inside = bool(rest) and head in block.columns and any(_inside(one, rest) for one in block.columns[head])
    return column in block.columns or inside


def _inside(value: Any, name: str) -> bool:
    if not isinstance(value, Mapping):
        return False
    head, _, rest = name.partition(".")
    return name in value or (bool(rest) and _inside(value.get(head), rest))

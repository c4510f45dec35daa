"""Many rows of a table as examples at once: what `mapping.read_record` does to them one by one.

Only what is plain is done here: rows of which one is faulty or unusual are left to be read one by one, which also says
what is wrong with them.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unirex import _rust
from unirex.data.errors import DataError
from unirex.data.example_columns import Texts, code_points, make_batch, offsets_of
from unirex.data.gold import unmark
from unirex.data.mapping import ClassNames, HubConfig, read_label, row_gold
from unirex.data.record import QueryUse
from unirex.data.rows import Block
from unirex.schema import Segment


def read_at_once(
    block: Block, name_rows: tuple[str, int], class_names: ClassNames, query: QueryUse, config: HubConfig
) -> pa.RecordBatch | None:
    """The rows as columns of examples, labels as the file has them; None = they must be read one by one.

    Args:
        block: the rows.
        name_rows: what ids begin with where no column holds them, and the number of the first.
        class_names: as in `Table`.
        query: whether a query is used.
        config: which columns hold what.
    """
    if (config.query is not None and query != "ignore") or config.choices or config.words == "list":
        return None
    try:
        texts = _texts(block, config)
        if texts is None:
            return None
        ids, labels = _ids(block, name_rows, config), _labels(block, class_names, config)
        golds = _golds(block, texts, config)
    except (DataError, TypeError):
        return None
    return None if ids is None else make_batch(ids, labels, golds, texts)


def _texts(block: Block, config: HubConfig) -> Texts | None:
    """The texts of all rows, one or two each, cut into words; None where one is no text or has no word."""
    columns = [_unmarked(block, column, config) for column in (config.text, config.text_pair) if column]
    texts = columns[0] if len(columns) == 1 else list(chain.from_iterable(zip(*columns, strict=True)))
    if set(map(type, texts)) - {str}:
        return None
    starts, ends, word_offsets = _rust.split_words(*code_points(texts))
    n_words = np.diff(word_offsets)
    if not n_words.all():
        return None
    offsets = np.arange(len(block) + 1) * len(columns)
    return Texts(texts, offsets, n_words, np.ones(len(texts), np.uint8), starts, ends)


def _unmarked(block: Block, column: str, config: HubConfig) -> Sequence[Any]:
    texts = block.cells(column)
    if column not in (*config.gold, *config.gold_pair):
        return texts
    special = ("\\", *config.marks)
    return [
        unmark(text, config.marks)[0] if isinstance(text, str) and any(mark in text for mark in special) else text
        for text in texts
    ]


def _ids(block: Block, name_rows: tuple[str, int], config: HubConfig) -> list[str] | None:
    if config.id is None:
        prefix, first = name_rows
        return [f"{prefix}{number}" for number in range(first, first + len(block))]
    found = block.cells(config.id)
    if set(map(type, found)) - {str, int} or "" in found:
        return None
    return [str(value) for value in found]


def _labels(block: Block, class_names: ClassNames, config: HubConfig) -> list[str | None]:
    column = config.label
    if column is None:
        return [None] * len(block)
    cells = block.cells(column)
    # The type is part of the key: True and 1.0 are equal to 1, and not all of them are labels.
    keys = [(type(value), value) for value in cells]
    known = {key: read_label("", {column: key[1]}, column, class_names, config) for key in set(keys)}
    return [known[key] for key in keys]


def _golds(block: Block, texts: Texts, config: HubConfig) -> list[NDArray[np.float32] | None]:
    """The rationale of each row: the rows in which any annotator has looked are read as `row_gold` reads them."""
    golds: list[NDArray[np.float32] | None] = [None] * len(block)
    columns = {column: block.cells(column) for column in (*config.gold, *config.gold_pair)}
    if not columns:
        return golds
    rows = zip(*columns.values(), strict=True)
    looked = [index for index, cells in enumerate(rows) if any(cell not in (None, "") for cell in cells)]
    word_offsets = offsets_of(texts.n_words).tolist()
    first, last = texts.offsets[:-1].tolist(), texts.offsets[1:].tolist()
    for index in looked:
        row: Mapping[str, Any] = {column: cells[index] for column, cells in columns.items()}
        segments = [
            Segment(
                text=texts.texts[place],
                starts=texts.starts[word_offsets[place] : word_offsets[place + 1]],
                ends=texts.ends[word_offsets[place] : word_offsets[place + 1]],
            )
            for place in range(first[index], last[index])
        ]
        golds[index] = row_gold("", row, segments, config)
    return golds

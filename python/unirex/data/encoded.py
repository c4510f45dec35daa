"""Encoded examples, and how many parts of them become one: in memory, or in files that are mapped."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unirex.data.store import mapped, scratch_file

PARTS_IN_MEMORY = 64
"""Parts that are kept in memory before they go to a file."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Encoded:
    """Token rows of a data set: R rows one after another, N examples.

    Attributes:
        input_ids: int32, the tokens of all rows.
        token_types: int8, which text of a pair a token belongs to, as the tokenizer's template says.
        token_words: int32, the index of the example's selectable word; -1 for every other token.
        token_starts, token_ends: int32, the characters of each token, counted in the row's texts put end to end,
            without white space at both ends; equal for special tokens and for pieces without a character of their own.
        row_offsets: int64 [R + 1], row r is `row_offsets[r]:row_offsets[r + 1]` of the columns above.
        example_rows: int64 [N + 1], example i owns rows `example_rows[i]:example_rows[i + 1]`: one, or one per choice.
        words_cut: int32 [N], selectable words that lost all their tokens to truncation, in every row of the example.
        tokens_cut: int32 [N], tokens that truncation took from all rows of the example.
        gold_cut: int32 [N], cut words that gold marks (above 0.5); 0 without gold.
    """

    input_ids: NDArray[np.int32]
    token_types: NDArray[np.int8]
    token_words: NDArray[np.int32]
    token_starts: NDArray[np.int32]
    token_ends: NDArray[np.int32]
    row_offsets: NDArray[np.int64]
    example_rows: NDArray[np.int64]
    words_cut: NDArray[np.int32]
    tokens_cut: NDArray[np.int32]
    gold_cut: NDArray[np.int32]


class Joined:
    """Puts encoded parts one behind another: in memory if they are few, else each column in a file that is mapped."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._parts: list[Encoded] = []
        self._bases = {"row_offsets": 0, "example_rows": 0}
        self._files: dict[str, Any] = {}
        self._types: dict[str, np.dtype[Any]] = {}

    def add(self, part: Encoded) -> None:
        """Adds a part."""
        moved = {}
        for name, base in self._bases.items():
            offsets = getattr(part, name)
            moved[name] = offsets + base if base == 0 else offsets[1:] + base
            self._bases[name] += int(offsets[-1])
        self._parts.append(replace(part, **moved))
        if len(self._parts) == PARTS_IN_MEMORY:
            self._write()

    def finish(self) -> Encoded:
        """All parts as one."""
        if not self._files:
            names = [field.name for field in fields(Encoded)]
            return Encoded(**{name: np.concatenate([getattr(part, name) for part in self._parts]) for name in names})
        self._write()
        return Encoded(**{name: np.frombuffer(mapped(file), self._types[name]) for name, file in self._files.items()})

    def _write(self) -> None:
        for field in fields(Encoded):
            if field.name not in self._files:
                self._files[field.name] = scratch_file(self._folder)
                self._types[field.name] = getattr(self._parts[0], field.name).dtype
            for part in self._parts:
                getattr(part, field.name).tofile(self._files[field.name])
        self._parts = []

"""Words that no run sees: their tokens are the mask token, in training and in judging (ROAR).

Remove and retrain: Hooker et al. 2019 (arXiv 1806.10758); of texts, recursively: Madsen et al. 2022 (arXiv 2110.08412).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unirex.data.encoded import Encoded
from unirex.data.errors import DataError
from unirex.data.example_columns import offsets_of
from unirex.disk.atomic import atomic_write
from unirex.schema import Example

_SCHEMA = pa.schema([("id", pa.string()), ("masked", pa.list_(pa.bool_()))])


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Masked words by instance.

    Attributes:
        path: the file, for messages.
        by_id: id -> bool [selectable words].
    """

    path: str
    by_id: Mapping[str, NDArray[np.bool_]]

    def apply(self, encoded: Encoded, examples: Sequence[Example], mask_id: int) -> Encoded:
        """The same rows, the tokens of masked words being `mask_id`.

        Raises:
            DataError: an instance without a row, or with another number of words.
        """
        masked = [self._of(example) for example in examples]
        flat = np.concatenate([np.zeros(0, np.bool_), *masked])
        first_words = offsets_of(map(len, masked))
        rows = np.repeat(np.arange(len(masked)), np.diff(encoded.example_rows))
        owners = np.repeat(rows, np.diff(encoded.row_offsets))
        places = np.flatnonzero(encoded.token_words >= 0)
        hidden = places[flat[first_words[owners[places]] + encoded.token_words[places]]]
        ids = encoded.input_ids.copy()
        ids[hidden] = mask_id
        return replace(encoded, input_ids=ids)

    def _of(self, example: Example) -> NDArray[np.bool_]:
        mask = self.by_id.get(example.id)
        if mask is None:
            raise DataError(f"{self.path}: no row for instance {example.id!r}, expected one for each of the data set")
        if len(mask) != example.n_words:
            raise DataError(f"{self.path}: id {example.id!r}: {len(mask)} words, expected {example.n_words}")
        return mask


def file_of(folder: str, share: float) -> Path:
    """Where the masks of a share of the words lie.

    >>> file_of("masks", 0.2).as_posix()
    'masks/0.2.parquet'
    """
    return Path(folder) / f"{share:g}.parquet"


def read_masks(path: str | Path) -> Masks:
    """The masks of a file that `write_masks` wrote.

    Raises:
        DataError: no such file, another schema, or an id twice.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, expected masks written by `unirex roar`") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: {' '.join(str(error).split())}") from None
    if not table.schema.equals(_SCHEMA) or any(table[name].null_count for name in _SCHEMA.names):
        raise DataError(f"{path}: holds {', '.join(table.schema.names)}, expected masks written by `unirex roar`")
    found: dict[str, NDArray[np.bool_]] = {}
    for name, mask in zip(table["id"].to_pylist(), table["masked"].to_pylist(), strict=True):
        if name in found:
            raise DataError(f"{path}: id {name!r} is a duplicate, expected it once")
        if None in mask:
            raise DataError(f"{path}: id {name!r}: masked holds null, expected true or false")
        found[name] = np.array(mask, np.bool_)
    return Masks(path=str(path), by_id=found)


def write_masks(path: str | Path, masks: Mapping[str, NDArray[np.bool_]]) -> None:
    """Writes masks as Parquet: `id`, and `masked` for each selectable word."""
    columns = [list(masks), [mask.tolist() for mask in masks.values()]]
    table = pa.table([pa.array(c, field.type) for c, field in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA)
    with atomic_write(path) as file:
        pq.write_table(table, file, compression="zstd")


def with_top(scores: NDArray[np.floating], before: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """The words masked before, and the highest of the others until `share` of all words are masked.

    How many that is gets rounded half to even, and is at least 1; of equal scores the earlier word is taken. What was
    masked before stays, whatever its score.

    Args:
        scores: [words]; minus infinity = ranks behind all others.
        before: [words].
        share: of the words, 0 to 1.

    >>> with_top(np.array([1.0, 5.0, 3.0, 5.0]), np.array([True, False, False, False]), 0.5).tolist()
    [True, True, False, False]
    """
    wanted = min(len(scores), max(1, round(share * len(scores)))) if share > 0 else 0
    found = before.copy()
    order = np.lexsort((-scores, before))  # what was masked before last, then by score, then by place
    found[order[: max(0, wanted - int(before.sum()))]] = True
    return found

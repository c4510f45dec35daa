"""Rows of unequal length as numpy values and offsets, taken from Arrow lists.

Arrow's buffers are read here directly: its own conversions to numpy import pandas where that is installed, which takes
longer than scoring ten thousand rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Row `i` is `values[offsets[i]:offsets[i + 1]]`.

    Attributes:
        values: one-dimensional, contiguous.
        offsets: int64, one entry more than there are rows, never going down.
    """

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.offsets) - 1

    @property
    def parts(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Values and offsets, as the kernels take them."""
        return self.values, self.offsets

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row."""
        return np.diff(self.offsets)


def offsets_of(lengths: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Where rows of these lengths begin, and the end of the last.

    >>> offsets_of(np.array([2, 0, 1])).tolist()
    [0, 2, 2, 3]
    """
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


def select(rows: Ragged, known: NDArray[np.bool_]) -> Ragged:
    """The rows marked in `known`.

    >>> select(Ragged(np.arange(4), np.array([0, 2, 3, 4])), np.array([True, False, True])).values.tolist()
    [0, 1, 3]
    """
    if known.all():
        return rows
    inner = rows.values[rows.offsets[0] : rows.offsets[-1]]
    return Ragged(inner[np.repeat(known, rows.lengths)], offsets_of(rows.lengths[known]))


def spread(values: NDArray[np.generic], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values of the known rows as those of all rows, NaN elsewhere.

    >>> spread(np.array([1.0, 2.0]), np.array([True, False, True])).tolist()
    [1.0, nan, 2.0]
    """
    out = np.full((len(known), *values.shape[1:]), np.nan)
    out[known] = values
    return out


def where(known: NDArray[np.bool_], values: NDArray[np.generic]) -> NDArray[np.float64]:
    """The values, NaN where they are not known.

    >>> where(np.array([True, False]), np.array([3, 4])).tolist()
    [3.0, nan]
    """
    return np.where(known, values.astype(np.float64), np.nan)


def list_offsets(array: pa.Array) -> NDArray[np.int64]:
    """The offsets that go with `array.flatten()`: a slice starts at 0 and a null row is empty.

    >>> list_offsets(pa.array([[1, 2], [3], None, [4]])[1:]).tolist()
    [0, 1, 1, 2]
    """
    return offsets_of(integer_values(array.value_lengths(), null=0))


def value_type(array_type: pa.DataType) -> pa.DataType | None:
    """The type of a list's values, or None if it is no list."""
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return array_type.value_type if any(kind(array_type) for kind in kinds) else None


def is_number(data_type: pa.DataType | None) -> bool:
    """Whether values of this Arrow type are numbers (a boolean is none)."""
    return data_type is not None and (pa.types.is_floating(data_type) or pa.types.is_integer(data_type))


def valid(array: pa.Array) -> NDArray[np.bool_]:
    """Which values are not null.

    >>> valid(pa.array([1, None, 3])[1:]).tolist()
    [False, True]
    """
    bitmap = array.buffers()[0]
    if bitmap is None or not array.null_count:
        return np.ones(len(array), dtype=np.bool_)
    return _bits(bitmap, array)


def float_values(values: pa.Array) -> NDArray[np.float64]:
    """Arrow numbers or booleans as contiguous float64, null as NaN.

    >>> float_values(pa.array([1, None])).tolist()
    [1.0, nan]
    """
    floats = _numbers(values.cast(pa.float64(), safe=False), np.float64)
    return np.where(valid(values), floats, np.nan) if values.null_count else floats


def integer_values(values: pa.Array, *, null: int) -> NDArray[np.int64]:
    """Arrow integers as int64, null as `null`.

    >>> integer_values(pa.array([1, None]), null=-1).tolist()
    [1, -1]
    """
    integers = _numbers(values.cast(pa.int64(), safe=False), np.int64)
    return np.where(valid(values), integers, null) if values.null_count else integers


def bool_values(values: pa.Array) -> NDArray[np.bool_]:
    """Arrow booleans (bit-packed) as one byte each, a null as false.

    >>> bool_values(pa.array([True, False, None])).tolist()
    [True, False, False]
    """
    bits = _bits(values.buffers()[1], values)
    return bits & valid(values) if values.null_count else bits


def _numbers(values: pa.Array, dtype: type[Any]) -> NDArray[Any]:
    """The data buffer of a primitive array."""
    data = values.buffers()[1]
    if data is None or not len(values):  # the buffer of an empty cast may be of any size
        return np.zeros(0, dtype)
    return np.frombuffer(data, dtype)[values.offset :][: len(values)]


def _bits(bitmap: pa.Buffer | None, array: pa.Array) -> NDArray[np.bool_]:
    """The bits of a bitmap of the array, one byte each."""
    if bitmap is None:
        return np.zeros(0, dtype=np.bool_)
    first, last = array.offset, array.offset + len(array)
    packed = np.frombuffer(bitmap, np.uint8)[first // 8 : -(-last // 8)]
    return np.unpackbits(packed, bitorder="little")[first % 8 :][: len(array)].view(np.bool_)

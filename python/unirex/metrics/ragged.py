"""Rows of unequal length as numpy values and offsets, taken from Arrow lists without their traps."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row."""
        return np.diff(self.offsets)


def list_offsets(array: pa.Array) -> NDArray[np.int64]:
    """The offsets that go with `array.flatten()`: a slice starts at 0 and a null row is empty.

    >>> list_offsets(pa.array([[1, 2], [3], None, [4]])[1:]).tolist()
    [0, 1, 1, 2]
    """
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def value_type(array_type: pa.DataType) -> pa.DataType | None:
    """The type of a list's values, or None if it is no list."""
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return array_type.value_type if any(kind(array_type) for kind in kinds) else None


def is_number(data_type: pa.DataType | None) -> bool:
    """Whether values of this Arrow type are numbers (a boolean is none)."""
    return data_type is not None and (pa.types.is_floating(data_type) or pa.types.is_integer(data_type))


def float_values(values: pa.Array) -> NDArray[np.float64]:
    """Arrow numbers or booleans as contiguous float64, null as NaN.

    >>> float_values(pa.array([1, None])).tolist()
    [1.0, nan]
    """
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)


def bool_values(values: pa.Array) -> NDArray[np.bool_]:
    """Arrow booleans (bit-packed) or numbers as one byte each: a number above 0.5 is true, a null false.

    >>> bool_values(pa.array([True, False, None])).tolist(), bool_values(pa.array([0.5, 0.6])).tolist()
    ([True, False, False], [False, True])
    """
    if pa.types.is_boolean(values.type):
        return np.ascontiguousarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False))
    return np.ascontiguousarray(float_values(values) > 0.5)

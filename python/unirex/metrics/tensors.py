"""Arrays of other libraries as numpy or Arrow, found by what they can do: none of those libraries is imported."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from unirex.text import brief


def as_numpy(value: Any) -> Any:
    """A torch tensor, on whatever device, as a numpy array; one in bfloat16 or 8 bits as float32. Others as they are.

    >>> as_numpy([1.0, 2.0])
    [1.0, 2.0]
    """
    if not is_tensor(value):
        return value
    if getattr(value, "is_nested", False):
        raise TypeError("a nested tensor, expected a list of tensors, one a row (tensor.unbind())")
    tensor = value.detach().cpu()
    try:
        return tensor.numpy()
    except TypeError:  # numpy has no such type
        return tensor.float().numpy()


def is_tensor(value: object) -> bool:
    """Whether a value is a torch tensor."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")


def as_lists(name: str, rows: Sequence[Any]) -> pa.Array:
    """Rows given as lists, arrays or tensors of any length as an Arrow list array; None = unknown.

    >>> import numpy as np
    >>> as_lists("scores", [[0.5], np.array([1.0, 2.0]), None]).to_pylist()
    [[0.5], [1.0, 2.0], None]

    Raises:
        TypeError: the rows are not of one kind.
    """
    plain = [as_numpy(row) for row in rows]
    try:
        array = pa.array(plain, from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        reason = brief(error)
        raise TypeError(f"{name} is no list of rows, expected lists of numbers ({reason})") from error
    if pa.types.is_null(array.type) or array.type == pa.list_(pa.null()):  # no row has a value
        return array.cast(pa.list_(pa.float64()))
    return array


def arrow_column(value: Any) -> pa.Array | pa.ChunkedArray | None:
    """A column of another library that speaks Arrow (pandas, polars, pyarrow), or None.

    >>> arrow_column(pa.array([[1.0]])).to_pylist()
    [[1.0]]
    """
    if isinstance(value, pa.Array | pa.ChunkedArray):
        return value
    if hasattr(value, "__arrow_c_stream__"):
        return pa.chunked_array(value)
    if hasattr(value, "__arrow_c_array__"):
        return pa.array(value)
    return None

__version__: str

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Selection (rust/topk.rs)
def rationale_counts(n: NDArray[np.int64], fractions: Sequence[float]) -> NDArray[np.int64]: ...
def rationales(
    scores: NDArray[np.float32],
    selectable: NDArray[np.bool_ | np.uint8],
    fractions: Sequence[float],
    *,
    threads: int | None = None,
) -> NDArray[np.bool_]: ...
def word_rationales(
    scores: NDArray[np.float32],
    words: NDArray[np.int32 | np.int64],
    pooling: str,
    fractions: Sequence[float],
    *,
    threads: int | None = None,
) -> NDArray[np.bool_]: ...
def ragged_rationales(
    values: NDArray[np.float32 | np.float64],
    offsets: NDArray[np.int64],
    selectable: NDArray[np.bool_ | np.uint8] | None,
    fractions: Sequence[float],
    *,
    threads: int | None = None,
) -> NDArray[np.bool_]: ...

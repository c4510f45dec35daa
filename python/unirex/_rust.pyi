import numpy as np
from numpy.typing import NDArray

__version__: str

# ranking

def rank_rows(
    scores: NDArray[np.float32] | NDArray[np.float64],
    gold: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    *,
    threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...

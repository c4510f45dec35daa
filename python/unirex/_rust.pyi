from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

__version__: str

# ranking

def rank_rows(
    scores: NDArray[np.float64],
    offsets: NDArray[np.int64],
    gold: NDArray[np.bool_],
    gold_offsets: NDArray[np.int64],
    *,
    threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...

# metrics

def class_probability(
    probabilities: NDArray[np.float64], offsets: NDArray[np.int64], classes: NDArray[np.int64], n_fractions: int
) -> NDArray[np.float64]: ...
def comprehensiveness(p_full: NDArray[np.float64], p_remove: NDArray[np.float64]) -> NDArray[np.float64]: ...
def sufficiency(p_full: NDArray[np.float64], p_keep: NDArray[np.float64]) -> NDArray[np.float64]: ...
def log_odds(p_full: NDArray[np.float64], p_remove: NDArray[np.float64]) -> NDArray[np.float64]: ...
def normalised_comprehensiveness(
    p_full: NDArray[np.float64], p_remove: NDArray[np.float64], p_null: NDArray[np.float64]
) -> NDArray[np.float64]: ...
def normalised_sufficiency(
    p_full: NDArray[np.float64], p_keep: NDArray[np.float64], p_null: NDArray[np.float64]
) -> NDArray[np.float64]: ...
def decision_flip(
    prediction: NDArray[np.int64], perturbed: NDArray[np.float64], offsets: NDArray[np.int64], n_fractions: int
) -> NDArray[np.float64]: ...
def entropy_shift(
    full: NDArray[np.float64],
    full_offsets: NDArray[np.int64],
    perturbed: NDArray[np.float64],
    perturbed_offsets: NDArray[np.int64],
    n_fractions: int,
) -> NDArray[np.float64]: ...
def kl_divergence(
    full: NDArray[np.float64],
    full_offsets: NDArray[np.int64],
    perturbed: NDArray[np.float64],
    perturbed_offsets: NDArray[np.int64],
    n_fractions: int,
) -> NDArray[np.float64]: ...
def aopc(values: NDArray[np.float64], n_fractions: int, sum_over_one_more: bool) -> NDArray[np.float64]: ...
def token_counts(
    rationale: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    gold: NDArray[np.bool_],
    gold_offsets: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]: ...
def token_agreement(
    rationale: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    gold: NDArray[np.bool_],
    gold_offsets: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def token_f1_both_classes(
    rationale: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    gold: NDArray[np.bool_],
    gold_offsets: NDArray[np.int64],
) -> NDArray[np.float64]: ...
def iou_agreement(
    rationale: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    gold: NDArray[np.bool_],
    gold_offsets: NDArray[np.int64],
    thresholds: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def rationale_length(rationale: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]: ...
def complexity(scores: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]: ...
def extremes(
    values: NDArray[np.float64], counts: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def relative_gain(
    values: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], lower_is_better: bool
) -> NDArray[np.float64]: ...
def column_sums(values: NDArray[np.float64], n_columns: int) -> tuple[list[int], list[int]]: ...
def hash_ids(ids: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]: ...
def weighted_sums(
    rows: NDArray[np.uint64],
    values: NDArray[np.float64],
    steps: NDArray[np.float64],
    *,
    replicates: int,
    seed: int,
    swap: bool = False,
    threads: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...

# Selection (rust/topk.rs)
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
    values: NDArray[np.float32],
    offsets: NDArray[np.int64],
    selectable: NDArray[np.bool_ | np.uint8] | None,
    fractions: Sequence[float],
    *,
    threads: int | None = None,
) -> NDArray[np.bool_]: ...

# Alignment (rust/align.rs, rust/word_scores.rs). Spans are starts, ends and row offsets.
_Spans = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

def align_tokens(
    tokens: _Spans,
    text: NDArray[np.uint32],
    text_offsets: NDArray[np.int64],
    words: _Spans,
    *,
    threads: int | None = None,
) -> NDArray[np.int32]: ...
def link_tokens(
    targets: _Spans, sources: _Spans, *, threads: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]: ...
def split_words(
    text: NDArray[np.uint32], text_offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]: ...
def words_to_tokens(
    values: NDArray[np.float32],
    word_offsets: NDArray[np.int64],
    words: NDArray[np.int32],
    offsets: NDArray[np.int64],
    fill: float,
) -> NDArray[np.float32]: ...

# order_search
@final
class OrderSearch:
    def __new__(cls, units: NDArray[np.int64], *, width: int, exact: int) -> Self: ...
    def wanted(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
    def tell(self, values: NDArray[np.float64]) -> None: ...
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...

# Results in the format of the ERASER benchmark (rust/eraser)
@final
class EraserScorer:
    def __new__(
        cls,
        results: Sequence[Path],
        data_dir: Path,
        split: str,
        *,
        iou_thresholds: Sequence[float],
        aopc_thresholds: Sequence[float],
        threads: int | None = None,
        part: Sequence[Path] | None = None,
    ) -> Self: ...
    def step(self) -> bool: ...
    def progress(self) -> tuple[int, int]: ...
    def odd(self) -> list[int]: ...
    def part(self) -> bytes: ...
    def merge_part(self, content: bytes) -> None: ...
    def scores(self) -> tuple[Any, ...]: ...

@final
class EraserRows:
    def __new__(
        cls,
        results: Sequence[Path],
        data_dir: Path,
        split: str,
        *,
        thresholds: Sequence[float] | None = None,
        part: Sequence[Path] | None = None,
        strict: bool = True,
    ) -> Self: ...
    @property
    def labels(self) -> list[str]: ...
    @property
    def thresholds(self) -> list[float]: ...
    @property
    def fields(self) -> list[str]: ...
    @property
    def total(self) -> int: ...
    def step(self) -> dict[str, Any] | None: ...
    def part(self) -> bytes: ...
    def merge_part(self, content: bytes) -> None: ...
    def finish(self) -> None: ...

def validate_eraser(
    results: Sequence[Path],
    data_dir: Path,
    split: str,
    *,
    limit: int,
    aopc_thresholds: Sequence[float] | None = None,
) -> list[tuple[str, int | None, str, str, str]]: ...

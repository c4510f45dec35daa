"""The fastest ways we know to do our work without unirex: numpy's vectorised sort, numba's loops, BLAS.

numba is no dependency, not even of development: `uv pip install numba` puts its rivals in, else a line says that they
are left out.
"""

import numpy as np

try:
    import numba
except ImportError:
    numba = None

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def compiled(function):
    """The function by numba, compiled when first called; None without numba."""
    return None if numba is None else numba.njit(function, boundscheck=False)


def say_what_is_missing():
    if numba is None:
        print("numba is not installed (uv pip install numba): its rivals are left out")


def sorted_threshold(scores, counts):
    """Top-k marks from one vectorised sort of each row; the rows with ties at the cut are done again, by position."""
    ordered = np.sort(scores, axis=1)
    width = scores.shape[1]
    marks = np.empty((len(counts), *scores.shape), dtype=bool)
    for mark, count in zip(marks, counts.tolist(), strict=True):
        cut = ordered[:, width - count]
        np.greater_equal(scores, cut[:, None], out=mark)
        tied = np.flatnonzero(ordered[:, width - count - 1] == cut) if count < width else ()
        for row in tied:
            over = int(mark[row].sum()) - count
            mark[row, np.flatnonzero(scores[row] == cut[row])[-over:]] = False
    return marks


def _mark_rows(scores, ordered, counts, marks):
    n, width = scores.shape
    for row in range(n):
        for f in range(len(counts)):
            count = counts[f]
            cut = ordered[row, width - count]
            taken = 0
            for i in range(width):
                mark = scores[row, i] >= cut
                marks[f, row, i] = mark
                taken += mark
            for i in range(width - 1, -1, -1):
                if taken <= count:
                    break
                if scores[row, i] == cut:
                    marks[f, row, i] = False
                    taken -= 1


mark_rows = compiled(_mark_rows)


def sort_and_numba(scores, counts):
    """Top-k marks from numpy's vectorised sort and a compiled loop."""
    marks = np.empty((len(counts), *scores.shape), dtype=bool)
    mark_rows(scores, np.sort(scores, axis=1), counts, marks)
    return marks


def packed_rows(scores, gold, offsets, chunk=256):
    """Score and gold flag packed into one integer, sorted in padded rows of like length, highest first.

    Scores are float32, so their bits and the flag fit. Yields the rows' numbers, lengths and keys.
    """
    lengths = np.diff(offsets)
    bits = (scores + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0
    keys = (np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int64) << 1) | gold
    np.negative(keys, out=keys)
    by_length = np.argsort(lengths, kind="stable")
    for start in range(0, len(by_length), chunk):
        rows = by_length[start : start + chunk]
        width = int(lengths[rows].max())
        inside = np.arange(width) < lengths[rows][:, None]
        at = np.minimum(offsets[rows][:, None] + np.arange(width), len(keys) - 1)
        padded = np.where(inside, keys[at], np.iinfo(np.int64).max)
        padded.sort(axis=1)
        yield rows, lengths[rows], padded


def _walk(rows, lengths, keys, out):
    for r in range(len(rows)):
        length, marked = lengths[r], 0
        for i in range(length):
            marked += -keys[r, i] & 1
        others = length - marked
        if marked == 0 or others == 0:
            out[:, rows[r]] = np.nan
            continue
        area, steps, pairs = 0.0, 0.0, 0.0
        hits, i, before = 0, 0, 1.0
        while i < length:
            score, first = -keys[r, i] >> 1, hits
            misses = i - hits
            while i < length and -keys[r, i] >> 1 == score:
                hits += -keys[r, i] & 1
                i += 1
            precision, gained = hits / i, (hits - first) / marked
            area += gained * (precision + before) / 2
            steps += gained * precision
            pairs += (i - hits - misses) * (hits + first) / 2
            before = precision
        out[0, rows[r]], out[1, rows[r]], out[2, rows[r]] = area, steps, pairs / marked / others


walk = compiled(_walk)


def ranking_sort_and_numba(scores, gold, offsets) -> Arrays:
    """AUPRC, average precision and ROC AUC from numpy's vectorised sort of packed keys and one compiled walk."""
    out = np.empty((3, len(offsets) - 1))
    for rows, lengths, keys in packed_rows(scores, gold, offsets):
        walk(rows, lengths, keys, out)
    return out[0], out[1], out[2]


def _token_scores(rationale, gold, offsets, out):
    for row in range(len(offsets) - 1):
        both = selected = marked = np.int32(0)
        for i in range(offsets[row], offsets[row + 1]):
            both += rationale[i] & gold[i]
            selected += rationale[i]
            marked += gold[i]
        out[0, row] = both / selected if selected and marked else np.nan
        out[1, row] = both / marked if marked else np.nan
        out[2, row] = 2 * both / (selected + marked) if marked else np.nan


token_scores = compiled(_token_scores)


def token_f1_numba(rationale, gold, offsets) -> Arrays:
    """Token precision, recall and F1 in one compiled pass."""
    out = np.empty((3, len(offsets) - 1))
    token_scores(rationale.view(np.uint8), gold.view(np.uint8), offsets, out)
    return out[0], out[1], out[2]


def _bootstrap_means(values, replicates, seed, out):
    n = np.uint64(len(values))
    state = np.uint64(seed)
    for r in range(replicates):
        total = 0.0
        for _ in range(len(values) // 2):
            state += np.uint64(0x9E3779B97F4A7C15)
            z = state
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z ^= z >> np.uint64(31)
            total += values[((z & np.uint64(0xFFFFFFFF)) * n) >> np.uint64(32)]
            total += values[((z >> np.uint64(32)) * n) >> np.uint64(32)]
        out[r] = total / len(values)


bootstrap_means = compiled(_bootstrap_means)


def bootstrap_numba(values, replicates, seed=0):
    """Bootstrap means of one column: two draws from each word of SplitMix64, which costs least (even lengths)."""
    out = np.empty(replicates)
    bootstrap_means(values, replicates, seed, out)
    return out


def _bootstrap_counts(counts, seed):
    replicates, n = counts.shape
    state, size = np.uint64(seed), np.uint64(n)
    for r in range(replicates):
        for _ in range(n // 2):
            state += np.uint64(0x9E3779B97F4A7C15)
            z = state
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z ^= z >> np.uint64(31)
            counts[r, ((z & np.uint64(0xFFFFFFFF)) * size) >> np.uint64(32)] += 1
            counts[r, ((z >> np.uint64(32)) * size) >> np.uint64(32)] += 1


bootstrap_counts = compiled(_bootstrap_counts)


def bootstrap_blas(values, replicates, seed=0, dtype=np.float64, chunk=64):
    """Bootstrap means of many columns, [rows, columns]: how often each row is drawn, by numba, times BLAS."""
    out = np.empty((replicates, values.shape[1]))
    values = values.astype(dtype)
    for start in range(0, replicates, chunk):
        counts = np.zeros((min(chunk, replicates - start), len(values)), dtype=dtype)
        bootstrap_counts(counts, seed + start)
        out[start : start + chunk] = counts @ values / len(values)
    return out

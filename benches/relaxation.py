"""What each estimator of the selection's gradient costs, forward and backward: `python benches/relaxation.py`.

Each is timed in turn with `hard`, the paper's selection without a gradient, on the same scores; the best time of each
counts. Marks are compared with those of `hard` first where the estimator draws nothing. `--cosine` compares the
direction of each gradient with the exact one instead.
"""

import argparse
import itertools
import time
from typing import get_args

import torch
from torch.nn.functional import cosine_similarity

from unirex.rationale.relaxation import relax
from unirex.rationale.settings import Estimator, Relaxation

FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5)
SHAPES = ((32, 25), (32, 128), (32, 512))  # a batch of SST, of e-SNLI's longest, of documents
DRAWS = ("gumbel",)  # the marks themselves are drawn


NOISE = 0.3
STEPS = (0.1, 0.3, 1.0, 2.0, 3.0, 10.0)  # of imle


def exact(scores, weight, k):
    """The gradient by the scores of the expected weight of the k highest of scores + Gumbel noise, by enumeration."""
    leaf = (scores / NOISE).requires_grad_()
    orders = torch.tensor(list(itertools.permutations(range(len(scores)), k)))
    left = torch.ones(len(orders), len(scores), dtype=torch.bool)
    log_p = 0.0
    for place in range(k):
        log_p = log_p + leaf[orders[:, place]] - torch.logsumexp(leaf.expand_as(left).masked_fill(~left, -1e30), 1)
        left = left.scatter(1, orders[:, place, None], False)
    return torch.autograd.grad((log_p.exp() * weight[orders].sum(1)).sum(), leaf)[0]


def cosines():
    """Prints the cosine with the exact gradient: of the mean over many draws, and of one call (four draws)."""
    calls = {f"imle {s:g}": Relaxation(estimator="imle", noise=NOISE, imle_step=s) for s in STEPS}
    calls |= {n: Relaxation(estimator=n, noise=NOISE) for n in ("perturbed", "aimle", "logistic", "subset")}
    calls |= {f"capped_simplex {t:g}": Relaxation(estimator="capped_simplex", temperature=t) for t in (0.3, 1.0)}
    found = {(name, k): [] for name in calls for k in (1, 2, 5)}
    torch.manual_seed(0)
    for _ in range(16):
        scores, weight = torch.randn(2, 8, dtype=torch.float64)
        for k in (1, 2, 5):
            target = exact(scores.clone(), weight, k)
            for name, how in calls.items():
                leaf = scores.repeat(1000, 1).requires_grad_()
                marks = relax(leaf, torch.ones(1000, 8).bool(), torch.full((1, 1000), k), how)
                (gradient,) = torch.autograd.grad((marks * weight).sum(), leaf)
                pair = [
                    cosine_similarity(gradient.mean(0), target, 0),
                    cosine_similarity(gradient, target[None]).mean(),
                ]
                found[name, k].append(torch.stack(pair))
    print("cosine with the exact gradient, 8 units, noise 0.3: mean of 4000 draws / one call (4 draws)")
    for name in calls:
        columns = [torch.stack(found[name, k]).mean(0).tolist() for k in (1, 2, 5)]
        print(
            f"  {name:20}"
            + "   ".join(f"k={k}: {a:.2f} / {b:.2f}" for k, (a, b) in zip((1, 2, 5), columns, strict=True))
        )


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
    parser.add_argument("--cosine", action="store_true", help="compare directions, not times")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.cosine:
        cosines()
        return
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

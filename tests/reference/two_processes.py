"""Called by two processes: every training mode wrapped by DDP, its gradients compared with those of one process."""

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from reference.method_worlds import CASES, counts_of, data, method_of, stages_of
from unirex.rationale.adaptive_step import AdaptiveStep


def summed(tally: torch.Tensor) -> torch.Tensor:
    dist.all_reduce(tally)
    return tally


def main() -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    # The second process holds one instance, and that one is without gold.
    shares = [np.array([0, 2, 3, 4, 5]), np.array([1])]
    batches = [data().collate(share) for share in shares]
    counts = counts_of(*batches)
    for case in CASES:
        for stage in stages_of(method_of(case)):
            methods = [method_of(case) for _ in range(2)]
            for method in methods:
                if stage is not None:
                    method.enter(stage)
            alone, shared = methods
            wrapped = DistributedDataParallel(shared)
            for _ in range(2):  # the second step fails where the first left a gradient outstanding
                shared.zero_grad()
                terms = wrapped(batches[rank], counts, 3)
                (2 * sum(shared.weights[name] * term for name, term in terms.items())).backward()
            for batch in batches:
                terms = alone(batch, counts, 3)
                sum(alone.weights[name] * term for name, term in terms.items()).backward()
            for (name, a), (_, b) in zip(alone.named_parameters(), shared.named_parameters(), strict=True):
                assert (a.grad is None) == (b.grad is None), (case, stage, name)
                if a.grad is not None:
                    torch.testing.assert_close(b.grad, a.grad, atol=2e-5, rtol=1e-3, msg=f"{case} {stage} {name}")
            if getattr(alone, "step", None) is not None:
                # Of the same selections, counted here by one process and there by two (twice over).
                alone.after_step({}, lambda tally: tally)
                shared.after_step({}, summed)
                assert alone.step.size != AdaptiveStep(1.0, 1.0).size, case
                for buffer in ("size", "moved"):
                    torch.testing.assert_close(getattr(shared.step, buffer), getattr(alone.step, buffer))
            if rank == 0:
                print(case, stage or "", "ok", flush=True)
    dist.destroy_process_group()

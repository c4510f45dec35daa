"""What is left of a step on a CPU: dropout beside torch's, and whether `torch.compile` gains, in whole steps of slm-fp.

    python benches/step_parts.py --threads 1
    python benches/step_parts.py --compile --rounds 12   # needs a C++ compiler; minutes before the first step

One sampled fraction, SST's lengths, dropout .1 inside the backbone (0 with --compile), the optimizer included; in turns
on the same batches.
"""

import argparse
import copy
import statistics
import time

import torch
from torch.nn import functional as F
from train_step import ENCODERS, SHAPES, OurStep, Timed, drawn_batches, make_model, report

from unirex.config.run import TrainConfig
from unirex.encoder import dropout, packing
from unirex.modeling import UnirexModel
from unirex.training.optimizer import adamw


class TorchDropout(OurStep):
    """The same with torch's own dropout everywhere."""

    def losses(self, batch):
        kept = dropout.drop, packing.drop
        dropout.drop = packing.drop = F.dropout
        try:
            return super().losses(batch)
        finally:
            dropout.drop, packing.drop = kept


def values(threads: int) -> None:
    """Dropout alone, forward and backward: ns a value, the best of 40."""
    for dtype in (torch.float32, torch.bfloat16):
        inputs = torch.randn(600, 1536, dtype=dtype, requires_grad=True)
        grad, found = torch.randn_like(inputs), {}
        for name, drop in (("torch", F.dropout), ("ours", dropout.drop)):
            times = []
            for _ in range(40):
                before = time.process_time()
                drop(inputs, 0.1).backward(grad)
                times.append(time.process_time() - before)
            found[name] = min(times) / inputs.numel() * 1e9
        print(f"{dtype}: torch {found['torch']:.2f} ns a value, ours {found['ours']:.2f}, "
              f"ratio {found['torch'] / found['ours']:.1f}, {threads} threads")  # fmt: skip


def compiled(model: UnirexModel) -> UnirexModel:
    """What treats tokens one by one, compiled for any number of them; attention on packed rows stays as it is.

    Whole layers are compiled again for each plan of blocks, and then given up.
    """
    for layer in model.backbone.encoder.layer:
        for part in (layer.attention.output, layer.intermediate, layer.output):
            part.compile(dynamic=True)
    return model


def steps(args: argparse.Namespace) -> None:
    probability = 0.0 if args.compile else 0.1
    model = make_model(args.encoder, hidden_dropout_prob=probability, attention_probs_dropout_prob=probability)
    batches = drawn_batches(SHAPES["sst"], args.rounds)
    kinds = (
        (("plain", OurStep, copy.deepcopy), ("compiled", OurStep, lambda m: compiled(copy.deepcopy(m))))
        if args.compile
        else (("torch's dropout", TorchDropout, copy.deepcopy), ("ours", OurStep, copy.deepcopy))
    )
    entries = []
    for title, kind, prepare in kinds:
        made = prepare(model)
        step = kind(made, 1)
        entries.append(Timed(title, step, made, adamw(step.method, TrainConfig()), args))
        before = time.perf_counter()
        for batch in batches:  # every shape once: what is compiled is compiled
            entries[-1].run(batch, count=False)
        print(f"{title}: {time.perf_counter() - before:.1f} s for the first {len(batches)} steps")
    for batch in batches:
        for entry in entries:
            entry.run(batch, count=True)
    report(entries, statistics.mean(float(batch.rows.visible_BL.sum()) for batch in batches), "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=sorted(ENCODERS), default="minilm")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=6)
    parser.set_defaults(device="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not args.compile:
        values(args.threads)
    steps(args)


if __name__ == "__main__":
    main()

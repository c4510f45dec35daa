"""What gradients through the selection cost: a step of the default recipe beside one of slm-fp, by length, on a CPU.

    python benches/gated_step.py --threads 1

Gates by plain operations are timed in the same turns. Without dropout, which has no fused kernel on a CPU.
"""

import argparse
import contextlib
import copy
import statistics

import torch
from torch import Tensor
from train_step import ENCODERS, OurStep, Shape, Timed, drawn_batches, make_model, report

from unirex.config.run import TrainConfig
from unirex.data.collate import Batch
from unirex.encoder import backbone as passes
from unirex.encoder import gates
from unirex.training.optimizer import adamw


class PlainGates(OurStep):
    """The same with gates by plain operations: every weight of attention in float32, linear layers on all tokens."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        kept = gates.visible, passes.VisibleLinear
        gates.visible, passes.VisibleLinear = lambda _: [], lambda _: contextlib.nullcontext()
        try:
            return super().losses(batch)
        finally:
            gates.visible, passes.VisibleLinear = kept


def compare(args: argparse.Namespace) -> None:
    """What gradients through the selection cost: one sampled fraction, four rows, no dropout."""
    relaxed = {
        "estimator": "logistic",
        "suff_criterion": "kl",
        "comp_criterion": "probability",
        "plaus_criterion": "ranking",
    }
    for length in (128, 512, 1000):
        shape = Shape(batch=4, longest=length, low=length - 1, high=length)
        batches = drawn_batches(shape, args.rounds)
        model = make_model(args.encoder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        entries = []
        for title, kind, settings in (
            ("gated, plain operations", PlainGates, relaxed),
            ("gated", OurStep, relaxed),
            ("slm-fp", OurStep, {}),
        ):
            copied = copy.deepcopy(model)
            step = kind(copied, 1, **settings)
            entries.append(Timed(title, step, copied, adamw(step.method, TrainConfig()), args))
            entries[-1].run(batches[0], count=False)
        for batch in batches:
            for entry in entries:
                entry.run(batch, count=True)
        print(f"{length} tokens, {args.encoder}, {torch.get_num_threads()} threads")
        report(entries, 4 * length, "cpu")
        plain, fused, slm = (statistics.median(entry.cpu) for entry in entries)
        memory = [entry.peak / entries[2].peak for entry in entries]
        print(f"  x slm-fp, processor time: plain {plain / slm:.2f}, gated {fused / slm:.2f}; "
              f"memory: plain {memory[0]:.2f}, gated {memory[1]:.2f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=sorted(ENCODERS), default="minilm")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.set_defaults(device="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    compare(args)


if __name__ == "__main__":
    main()

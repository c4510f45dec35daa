"""A training step of UNIREX as the paper runs it, beside ours: the same losses and gradients, in less time and memory.

    python benches/train_step.py                          # CPU: all-MiniLM-L6-v2's shape, SST's lengths
    python benches/train_step.py --device cuda            # GPU: BERT-base, the lengths of four data sets, bfloat16
    python benches/train_step.py --processes              # one process of two threads, two of one
    python benches/train_step.py --explain                # explaining a corpus: instances a second

The paper's step is written here from the definitions: rows padded to the data set's longest, one full-length pass for
the input and two for each fraction (hidden tokens masked), then all of them again without gradient for the training
metrics. First both must agree, without dropout, in every loss and every gradient; then they are timed in turns, with
dropout. Memory is the peak above what weights and optimizers hold before a step. With UNIREX_DATA set, the SST rows on
a CPU are real; others are drawn with the data set's lengths.
"""

import argparse
import contextlib
import copy
import ctypes
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoConfig

from unirex.config.run import TrainConfig
from unirex.data.collate import Batch, FillTokens, Rows
from unirex.extractors.settings import AttributionConfig
from unirex.methods.joint import Joint, JointConfig
from unirex.methods.method import Counts
from unirex.modeling import UnirexConfig, UnirexModel
from unirex.training.optimizer import adamw

FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5)
FILL = FillTokens(mask_id=103, pad_id=0)


@dataclass(frozen=True)
class Shape:
    """A data set as the step sees it: instances a step, longest row, and the range most lengths lie in."""

    batch: int
    longest: int
    low: int
    high: int


SHAPES = {
    "sst": Shape(32, 67, 12, 40),
    "esnli": Shape(32, 125, 18, 50),
    "multirc": Shape(8, 748, 250, 480),
    "movies": Shape(8, 1024, 700, 1024),
}
ENCODERS: dict[str, dict[str, int]] = {
    "minilm": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "bert-base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "tiny": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
}


def make_model(encoder: str, **settings: Any) -> UnirexModel:
    torch.manual_seed(0)
    backbone = AutoConfig.for_model("bert", **ENCODERS[encoder], max_position_embeddings=1024, **settings).to_dict()
    return UnirexModel(UnirexConfig(backbone=backbone, num_labels=2))


def drawn_batches(shape: Shape, n: int) -> list[Batch]:
    """Length-grouped batches of random tokens: lengths of one batch lie close together, as in training.

    The batches' mean lengths are spread evenly over the shape's range.
    """
    rng = np.random.default_rng(0)
    batches = []
    for number in range(n):
        centre = shape.low + (number + 0.5) / n * (shape.high - shape.low)
        lengths = np.clip(rng.normal(centre, 0.03 * centre, shape.batch).round().astype(int), 4, shape.longest)
        batches.append(to_batch([rng.integers(1000, 30000, length) for length in lengths], rng))
    return batches


def to_batch(rows: list[np.ndarray], rng: np.random.Generator) -> Batch:
    width = max(map(len, rows))
    ids = np.zeros((len(rows), width), np.int64)
    inside = np.arange(width) < np.array([len(row) for row in rows])[:, None]
    ids[inside] = np.concatenate(rows)
    # The first and the last token are special, every other is a word.
    place = np.arange(width)[None] - 1
    words = np.where(inside & (place >= 0) & (place < inside.sum(1)[:, None] - 2), place, -1)
    gold = (words >= 0) & (rng.random(words.shape) < 0.2)
    return Batch(
        rows=Rows(
            input_ids_BL=torch.from_numpy(ids),
            visible_BL=torch.from_numpy(inside),
            token_types_BL=torch.zeros(ids.shape, dtype=torch.int64),
        ),
        words_BL=torch.from_numpy(words),
        gold_BL=torch.from_numpy(gold.astype(np.float32)),
        has_gold_B=torch.ones(len(rows), dtype=torch.bool),
        labels_I=torch.from_numpy(rng.integers(0, 2, len(rows))),
        n_choices=1,
        index_I=torch.arange(len(rows)),
    )


def real_batches(folder: str, n: int) -> list[Batch]:
    """Batches of SST's training split, cut by the package's tokenizer and length grouping."""
    from unirex.config.run import parse
    from unirex.training.assemble import assemble
    from unirex.training.schedule import epoch_batches

    recipes = Path(__file__).parent.parent / "recipes"
    parts = [f"--config={recipes / name}.yaml" for name in ("data/sst", "backbones/minilm", "methods/slm-fp")]
    settings = ["--method.fractions_per_step=1", "--train.batch_size=32", f"--data.path={folder}/sst"]
    config = parse([*parts, *settings], prog="bench", description="")
    made = assemble(config)
    data = made.tools.encode(made.splits.train, made.splits.labels)
    batches = epoch_batches(data.lengths, config.train, 0, 0)
    # The mean batch of each n-th of the epoch by length: a few stand for all, whose cost goes by their length.
    batches.sort(key=lambda index: int(data.lengths[index].sum()))
    return [data.collate(batches[int((i + 0.5) / n * len(batches))]) for i in range(n)]


class PaperStep:
    """The step from the definitions; shares nothing with the package but the weights."""

    def __init__(self, model: UnirexModel, longest: int) -> None:
        self.model = model
        self.longest = longest

    def fractions(self) -> tuple[float, ...]:
        return FRACTIONS

    def run(self, ids: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, C] and the extractor's scores [B, L]."""
        output = self.model.backbone(input_ids=ids, attention_mask=visible.long())
        logits = self.model.classifier(self.model.dropout(output.pooler_output))
        return logits.float(), self.model.extractor(output.last_hidden_state).squeeze(-1).float()

    def passes(self, batch: Batch) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        extra = (0, self.longest - batch.words_BL.shape[1])
        ids, visible = F.pad(batch.rows.input_ids_BL, extra), F.pad(batch.rows.visible_BL, extra)
        words = F.pad(batch.words_BL, extra, value=-1) >= 0
        logits, scores = self.run(ids, visible)
        ranked = scores.detach().masked_fill(~words, -torch.inf).argsort(dim=1, descending=True, stable=True)
        place = ranked.argsort(dim=1)
        pairs = []
        for fraction in self.fractions():
            count = (fraction * words.sum(1).double()).round().clamp(min=1)
            chosen = words & (place < count[:, None])
            pairs.append((self.run(ids, visible & ~chosen)[0], self.run(ids, visible & ~(words & ~chosen))[0]))
        return logits, scores[:, : batch.words_BL.shape[1]], pairs

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        logits, scores, pairs = self.passes(batch)
        labels, words = batch.labels_I, batch.words_BL >= 0
        full = F.cross_entropy(logits, labels, reduction="none")
        comp, suff = [], []
        for removed, kept in pairs:
            comp.append((full - F.cross_entropy(removed, labels, reduction="none")).clamp(min=-1.0) + 1.0)
            suff.append((F.cross_entropy(kept, labels, reduction="none") - full).clamp(min=-0.1) + 0.1)
        gold = batch.gold_BL[words]
        weight = (len(gold) - gold.sum()) / gold.sum()
        plaus = F.binary_cross_entropy_with_logits(scores[words], gold, pos_weight=weight)
        return {"task": full.mean(), "comp": torch.stack(comp).mean(), "suff": torch.stack(suff).mean(), "plaus": plaus}

    @torch.no_grad()
    def metrics(self, batch: Batch) -> list[float]:
        """Accuracy and the areas over the perturbation curves, from passes of their own."""
        logits, _, pairs = self.passes(batch)
        answer = logits.argmax(1, keepdim=True)
        full = logits.softmax(1).gather(1, answer)
        drops = [[(full - x.softmax(1).gather(1, answer)).mean() for x in pair] for pair in pairs]
        comp, suff = torch.tensor(drops).mean(0).tolist()
        return [float((answer[:, 0] == batch.labels_I).float().mean()), comp, suff]


class PaddedStep(PaperStep):
    """What a competent rival writes with the library alone: padded to the batch's longest row, no metric passes."""

    def __init__(self, model: UnirexModel, sampled: bool) -> None:
        super().__init__(model, 0)
        self.draw = np.random.default_rng(0) if sampled else None

    def fractions(self) -> tuple[float, ...]:
        return FRACTIONS if self.draw is None else (float(self.draw.choice(FRACTIONS)),)

    def passes(self, batch: Batch) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        self.longest = batch.words_BL.shape[1]
        return super().passes(batch)

    def metrics(self, batch: Batch) -> list[float]:
        """None."""
        return []


class OurStep:
    """The package's step, with all fractions or one sampled."""

    def __init__(self, model: UnirexModel, fractions_per_step: int | None, **settings: Any) -> None:
        config = JointConfig(fractions=FRACTIONS, fractions_per_step=fractions_per_step, **settings)
        self.method = Joint(model, config, FILL)
        self.seed = 0

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        self.seed += 1
        instances, tokens, positive, rows = Counts.of(batch).tolist()
        counts = Counts(instances=instances, gold_tokens=tokens, gold_positive=positive, gold_rows=rows)
        return self.method(batch, counts, self.seed)

    def metrics(self, batch: Batch) -> None:
        """None: training metrics are the loss terms, already computed."""


WEIGHTS = {"task": 1.0, "comp": 0.5, "suff": 0.5, "plaus": 0.5}


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack([WEIGHTS[name] * term for name, term in terms.items()]).sum()


def assert_equal(model: UnirexModel, batch: Batch, longest: int) -> None:
    """Stops unless every loss and every gradient of the two agree, without dropout, in float32."""
    twin = copy.deepcopy(model).eval()
    model.eval()
    theirs, ours = PaperStep(twin, longest).losses(batch), OurStep(model, None).losses(batch)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    total(theirs).backward()
    total(ours).backward()
    worst = 0.0
    for (name, a), b in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        if b.grad is None or a.grad is None:
            continue
        worst = max(worst, float((a.grad - b.grad).norm() / b.grad.norm().clamp(min=1e-6)))
    assert worst < 2e-3, f"gradients differ by {worst:.1e} of their length"
    model.zero_grad()
    print(f"  equal: losses within 1e-4, gradients within {worst:.0e} of their length")


def peak_reset(device: str) -> float:
    """Starts a new measurement of peak memory; returns what is in use, in GiB."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**30
    if not Path("/proc/self/clear_refs").exists():
        return math.nan
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # or the heap of the step before would count
    Path("/proc/self/clear_refs").write_text("5")
    return of_status("VmRSS")


def of_status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**20 for line in lines if line.startswith(name))


def peak_gib(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return of_status("VmHWM") if Path("/proc/self/status").exists() else math.nan


class Timed:
    """A step with its optimizer, run on one batch after another."""

    def __init__(self, name: str, step: Any, module: torch.nn.Module, optimizer: Any, args: argparse.Namespace) -> None:
        self.name, self.step, self.module, self.optimizer, self.args = name, step, module, optimizer, args
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self.host: list[float] = []
        self.peak = 0.0

    def run(self, batch: Batch, *, count: bool) -> None:
        device = self.args.device
        batch = batch.to(device)
        self.module.train()
        before = peak_reset(device)
        synchronize(device)
        wall, cpu = time.perf_counter(), time.process_time()
        with torch.autocast(device, torch.bfloat16, enabled=self.args.bf16):
            loss = total(self.step.losses(batch))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=self.args.bf16):
            self.step.metrics(batch)
        host = time.perf_counter() - wall
        synchronize(device)
        if count:
            self.wall.append(time.perf_counter() - wall)
            self.cpu.append(time.process_time() - cpu)
            self.host.append(host)
            self.peak = max(self.peak, peak_gib(device) - before)


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def compare(name: str, args: argparse.Namespace) -> None:
    shape = SHAPES[name]
    folder = os.environ.get("UNIREX_DATA")
    real = name == "sst" and folder is not None and args.encoder == "minilm"
    n = args.rounds
    batches = real_batches(folder, n) if real and folder else drawn_batches(shape, n)
    print(f"{name} ({'real' if real else 'drawn'} rows, padded to {shape.longest}), {args.encoder}, "
          f"{'bfloat16' if args.bf16 else 'float32'}, {args.device}, {torch.get_num_threads()} threads")  # fmt: skip
    model = make_model(args.encoder).to(args.device)
    assert_equal(model, batches[0].to(args.device), shape.longest)
    entries = []
    titles = ("paper-style", "padded, all fractions", "padded, one sampled", "ours, all fractions", "ours, one sampled")
    for title in titles:
        copied = copy.deepcopy(model)
        sampled = "one" in title
        if not title.startswith("ours"):
            optimizer: Any = torch.optim.AdamW(copied.parameters(), lr=2e-5)
            rival = PaperStep(copied, shape.longest) if title == "paper-style" else PaddedStep(copied, sampled)
            entries.append(Timed(title, rival, copied, optimizer, args))
        else:
            step = OurStep(copied, 1 if sampled else None)
            entries.append(Timed(title, step, copied, adamw(step.method, TrainConfig()), args))
    for entry in entries:
        entry.run(batches[len(batches) // 2], count=False)
    for batch in batches:
        for entry in entries:
            entry.run(batch, count=True)
    tokens = statistics.mean(int(batch.rows.visible_BL.sum()) for batch in batches)
    report(entries, tokens, args.device)


def report(entries: list[Timed], tokens: float, device: str) -> None:
    print(f"  {tokens:.0f} tokens in the full inputs of a batch, mean of {len(entries[0].wall)}")
    print(f"  {'step':22} {'ms':>8} {'ratio':>6} {'CPU ms':>8} {'ratio':>6} {'host ms':>8} {'tokens/s':>9} {'+GiB':>6}")
    first = entries[0]
    for entry in entries:
        # All took the same batches in turns, so a ratio of means is what an epoch would show.
        wall, cpu = statistics.mean(entry.wall), statistics.mean(entry.cpu)
        ratio, of_cpu = statistics.mean(first.wall) / wall, statistics.mean(first.cpu) / cpu
        host = statistics.median(entry.host) * 1e3 if device == "cuda" else float("nan")
        print(f"  {entry.name:22} {wall * 1e3:8.0f} {ratio:6.1f} {cpu * 1e3:8.0f} {of_cpu:6.1f} {host:8.1f} "
              f"{tokens / wall:9.0f} {entry.peak:6.2f}")  # fmt: skip


def explain(args: argparse.Namespace) -> None:
    """Instances a second: scores of the shared extractor, and integrated gradients of 3 steps."""
    for name in args.shapes:
        batches = drawn_batches(SHAPES[name], args.rounds)
        model = make_model(args.encoder).to(args.device).eval()

        def slm(batch: Batch, model: UnirexModel = model) -> None:
            with torch.no_grad():
                model.full(batch)

        def ig(batch: Batch, model: UnirexModel = model) -> None:
            with torch.no_grad():
                logits, _ = model.full(batch)
                model.attributions(batch, logits, "ig", AttributionConfig(ig_steps=3), FILL)

        ways: dict[str, Callable[[Batch], None]] = {"SLM scores": slm, "IG, 3 steps": ig}
        for title, way in ways.items():
            way(batches[0].to(args.device))
            synchronize(args.device)
            started = time.perf_counter()
            for batch in batches:
                way(batch.to(args.device))
            synchronize(args.device)
            done = sum(len(batch.labels_I) for batch in batches)
            print(
                f"{name} {args.encoder} {args.device}: {title} {done / (time.perf_counter() - started):.0f} instances/s"
            )


def processes(args: argparse.Namespace) -> None:
    """The same global batches on one process of two threads and on two of one, in turns."""
    base = [sys.executable, __file__, "--worker", f"--rounds={args.rounds}", f"--encoder={args.encoder}"]
    two = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", *base[1:]]
    times: dict[str, list[float]] = {"one of two threads": [], "two of one thread": []}
    for _ in range(args.turns):
        for (title, found), command, threads in zip(times.items(), (base, two), ("2", "1"), strict=True):
            environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": threads}
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            found.append(float(done.stdout.split("seconds ")[1].split()[0]))
            print(f"{title}: {found[-1] * 1e3:.0f} ms a step")
    one, other = (statistics.median(found) for found in times.values())
    print(f"two processes take {other / one:.2f} of the time of one")


def worker(args: argparse.Namespace) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    batches = drawn_batches(SHAPES["sst"], args.rounds + 2)
    step = OurStep(make_model(args.encoder), None)
    wrapped, optimizer = accelerator.prepare(step.method, adamw(step.method, TrainConfig()))
    wrapped.train()
    rank, n = accelerator.process_index, accelerator.num_processes
    times = []
    for number, batch in enumerate(batches):
        part = cut(batch, rank, n)
        instances, tokens, positive, rows = Counts.of(batch).tolist()
        counts = Counts(instances=instances, gold_tokens=tokens, gold_positive=positive, gold_rows=rows)
        accelerator.wait_for_everyone()
        started = time.perf_counter()
        accelerator.backward(total(wrapped(part, counts, number)) * n)
        accelerator.clip_grad_norm_(wrapped.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        accelerator.wait_for_everyone()
        times.append(time.perf_counter() - started)
    if accelerator.is_main_process:
        print(f"seconds {statistics.median(times[2:])}")
    accelerator.end_training()


def cut(batch: Batch, rank: int, n: int) -> Batch:
    index = torch.arange(rank, len(batch.labels_I), n)
    return Batch(
        rows=batch.rows.take(index),
        words_BL=batch.words_BL[index],
        gold_BL=batch.gold_BL[index],
        has_gold_B=batch.has_gold_B[index],
        labels_I=batch.labels_I[index],
        n_choices=1,
        index_I=batch.index_I[index],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), help="default: sst on a CPU, all on a GPU")
    parser.add_argument("--encoder", choices=sorted(ENCODERS), help="default: minilm on a CPU, bert-base on a GPU")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, help="default: on a GPU only")
    parser.add_argument("--threads", type=int, default=None, help="of a CPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3, help="of --processes")
    parser.add_argument("--processes", action="store_true", help="compare one process with two instead")
    parser.add_argument("--explain", action="store_true", help="time explaining a corpus instead")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    on_gpu = args.device == "cuda"
    args.shapes = args.shapes or (list(SHAPES) if on_gpu else ["sst"])
    args.encoder = args.encoder or ("bert-base" if on_gpu else "minilm")
    args.bf16 = on_gpu if args.bf16 is None else args.bf16
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.worker:
        worker(args)
    elif args.processes:
        processes(args)
    elif args.explain:
        explain(args)
    else:
        for name in args.shapes:
            compare(name, args)


if __name__ == "__main__":
    main()

"""Training as a person watches it: one live line, and a table that grows by a row with each epoch."""

import math
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from unirex.data.collate import EncodedSet
from unirex.data.store import count_gold
from unirex.text import say
from unirex.training.assemble import Assembly

QUIET = 30.0
"""Seconds between lines where no bar is shown, as in the log of a batch system."""
COLUMNS = {
    "accuracy": "accuracy ↑",
    "macro_f1": "macro F1 ↑",
    "comprehensiveness": "comp ↑",
    "sufficiency": "suff ↓",
    "auprc": "AUPRC ↑",
    "token_f1": "token F1 ↑",
}
"""Dev metrics of the table, where a run has them, and their headings."""


class TrainingBar(tqdm):  # type: ignore[type-arg] # counts, iterates over nothing
    """A bar of steps with losses, instances per second and the time left.

    If standard error is not a terminal, a line with the same now and then.

    Args:
        total: steps of the whole run.
        initial: steps done before.
        instances: instances of a step, on average.
        main: whether this process may write.
    """

    def __init__(self, *, total: int, initial: int, instances: float, main: bool) -> None:
        self.instances = instances
        self.main = main
        self.rows = 0
        self.steps = total
        self.done: float = initial
        self.first = initial
        self.started = self.spoke = time.monotonic()
        super().__init__(
            total=total,
            initial=initial,
            desc="train",
            unit="step",
            dynamic_ncols=True,
            disable=None if main else True,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps, {speed}, {remaining} left{postfix}",
        )

    def update(self, n: float | None = 1) -> bool | None:
        """Counts steps, which tqdm does not do when it shows nothing."""
        self.done += n or 0
        return super().update(n)

    @property
    def format_dict(self) -> Any:
        """What the line is made of."""
        found = super().format_dict
        rate = found["rate"]
        if rate is None and found["elapsed"] > 0:
            rate = (found["n"] - found["initial"]) / found["elapsed"]
        return {**found, "speed": f"{(rate or 0) * self.instances:,.0f} instances/s"}

    def losses(self, total: float, terms: Mapping[str, float]) -> None:
        """Shows the total loss and, where there are several, its terms."""
        parts = {"loss": total, **(terms if len(terms) > 1 else {})}
        shown = " ".join(f"{name} {value:.3f}" for name, value in parts.items())
        self.set_postfix_str(f"  {shown}", refresh=False)
        now = time.monotonic()
        if self.main and self.disable and now - self.spoke >= QUIET:
            self.spoke = now
            rate = (self.done - self.first) / (now - self.started)
            left = self.format_interval((self.steps - self.done) / rate) if rate else "?"
            speed = f"{rate * self.instances:,.0f} instances/s"
            say(f"train {self.done:.0f}/{self.steps} steps, {speed}, {left} left  {shown}", error=True)

    def epoch(self, number: int, metrics: Mapping[str, float], *, best: bool) -> None:
        """Adds a row of dev metrics to the table, the best so far marked by `*`, the first preceded by a heading."""
        if not self.main:
            return
        found = [name for name in COLUMNS if name in metrics]
        cells = [_cell(metrics[name]) for name in found]
        row = "  ".join([str(number).rjust(9), *(cell.rjust(10) for cell in cells), "* best" if best else ""]).rstrip()
        with self.external_write_mode():
            if self.rows == 0:
                say("  ".join(["dev epoch", *(COLUMNS[name].rjust(10) for name in found)]))
            say(row)
        self.rows += 1


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def describe(parts: Assembly, train: EncodedSet, dev: EncodedSet, processes: int) -> None:
    """Prints the sizes of data and model, and what truncation removes."""
    parameters = sum(p.numel() for p in parts.model.parameters())
    splits = parts.splits
    sizes = ", ".join(
        f"{name} {len(split)} instances ({count_gold(split)} with gold)"
        for name, split in (("train", splits.train), ("val", splits.val), ("test", splits.test))
    )
    drawn = f"{' and '.join(splits.drawn)} drawn from the data by class and gold (data.seed); " if splits.drawn else ""
    sample = f"{len(dev)} of val scored after each epoch; " if len(dev) < len(splits.val) else ""
    lines = [
        f"{sizes}; {drawn}{sample}classes {', '.join(splits.labels)}; "
        f"{processes} process{'es' if processes > 1 else ''}",
        f"model {parts.model.config.backbone['model_type']}, {parameters / 1e6:.1f} M parameters, "
        f"hard rationales: top {parts.rationale_fraction:.3f} of the words",
    ]
    cut = int(train.encoded.words_cut.sum())
    if cut:
        lines.append(
            f"truncation at {parts.tools.max_length} tokens takes {cut} words from "
            f"{int((train.encoded.words_cut > 0).sum())} training instances, "
            f"{int(train.encoded.gold_cut.sum())} of them marked by gold"
        )
    say("\n".join(lines))

"""Training as a person watches it: one live line, and a table that grows by a row with each epoch."""

import math
from collections.abc import Mapping
from typing import Any

from unirex.data.collate import EncodedSet
from unirex.data.store import count_gold
from unirex.judging.bar import Bar
from unirex.text import say
from unirex.training.assemble import Assembly

COLUMNS = {
    "accuracy": "accuracy ↑",
    "macro_f1": "macro F1 ↑",
    "comprehensiveness": "comp ↑",
    "sufficiency": "suff ↓",
    "auprc": "AUPRC ↑",
    "token_f1": "token F1 ↑",
}
"""Dev metrics of the table, where a run has them, and their headings."""


class TrainingBar(Bar):
    """A bar of steps with speed, the time left, losses, memory and what the time goes into.

    Args:
        total: steps of the whole run.
        initial: steps done before.
        main: whether this process may write.
    """

    def __init__(self, *, total: int, initial: int, main: bool) -> None:
        self.speed = ""
        self.rows = 0
        super().__init__(
            total=total,
            initial=initial,
            main=main,
            desc="train",
            unit="step",
            dynamic_ncols=True,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps, {speed}{left}{postfix}",
        )

    @property
    def format_dict(self) -> Any:
        """What the line is made of."""
        return {**super().format_dict, "speed": self.speed, "left": self.told_left}

    def show(self, total: float, terms: Mapping[str, float], costs: Mapping[str, float]) -> None:
        """Shows a line of the log: the total loss, where there are several its terms, and what the steps cost."""
        parts = {"loss": total, **(terms if len(terms) > 1 else {})}
        losses = " ".join(f"{name} {value:.3f}" for name, value in parts.items())
        shown = f"{losses}; {_spent(costs)}"
        self.speed = f"{costs['instances_per_second']:,.0f} instances/s, {costs['tokens_per_second']:,.0f} tokens/s, "
        self.set_postfix_str(shown, refresh=False)
        self.tell(f"train {self.done:.0f}/{self.whole} steps, {self.speed}{self.told_left}, {shown}")

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


def _spent(costs: Mapping[str, float]) -> str:
    """Memory, and what the time goes into, most first.

    >>> _spent({"peak_memory": 3 * 2**29, "share/full": 0.2, "share/backward": 0.504, "share/wait": 0.001})
    'memory 1.5 GiB; time: backward 50 % full 20 % wait 0 %'
    """
    memory = [
        f"{name} {costs[key] / 2**30:.1f} GiB"
        for key, name in (("peak_memory", "memory"), ("peak_device_memory", "of the GPU"))
        if key in costs
    ]
    shares = {name.removeprefix("share/"): costs[name] for name in costs if name.startswith("share/")}
    time = " ".join(f"{name} {shares[name]:.0%}" for name in sorted(shares, key=lambda name: -shares[name]))
    return "; ".join([", ".join(memory), f"time: {time}".replace("%", " %")]).lstrip("; ")


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

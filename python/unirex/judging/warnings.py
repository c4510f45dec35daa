"""What is wrong with data or with a judged model though nothing fails, in words that say what to do."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unirex.data.example_columns import offsets_of
from unirex.data.store import windows
from unirex.disk.atomic import atomic_write
from unirex.disk.run_folder import RunFolder
from unirex.judging.collapse import collapse_signs
from unirex.metrics.report import Report
from unirex.schema import Example
from unirex.text import line, say

_ENOUGH = 10
"""Rows from which one answer for all of them says something."""

_REPEATED = 0.01
"""Share of the rows of a split whose text is trained on, from which its score says less than it seems to."""

_EMPTY = 0.5
"""Share of the rows with gold, all of it zeros, from which zeros look like rows that nobody has annotated."""


def data_warnings(splits: Mapping[str, Sequence[Example]], labels: Sequence[str]) -> list[str]:
    """One line for each split with one class only, without gold, or with gold that is mostly zeros.

    Args:
        splits: name -> examples; an empty split is left out.
        labels: all classes.

    >>> data_warnings({"train": [Example(id="1", segments=(), label="a")]}, ["a", "b"])[0]
    "train: all 1 labels are 'a' of the classes a, b: a model can only learn that one; add rows of the others"
    """
    present = {name: split for name, split in splits.items() if split}
    found = [one for name, split in present.items() for one in _classes(name, split, labels)]
    gold = {name: _gold(split) for name, split in present.items()}
    if not any(known for known, _ in gold.values()):
        return [
            *found,
            "no row has gold, so that plausibility is neither trained nor measured: if people marked words, "
            "name their column (data.hub.gold), else ignore this",
        ]
    for name, (known, empty) in gold.items():
        lost = "plausibility is not trained" if name == "train" else "auprc and token_f1 are undefined there"
        if not known:
            found.append(f"{name} has no gold: {lost}; annotate some of its rows, or let unirex draw the splits")
            continue
        if empty >= _EMPTY * known:
            found.append(
                f"{name}: in {empty} of {known} rows with gold no word is marked, which says that nothing in "
                "them is a reason; if nobody annotated them, their gold must be null (an empty cell of its own column)"
            )
    return found


def repeated(train: Sequence[Example], splits: Mapping[str, Sequence[Example]]) -> list[str]:
    """One line for each split of which 1 % or more have the text (and the query and the choices) of a training row.

    A score there says how well the model remembers, not how well it answers.

    >>> from unirex.schema import Segment
    >>> one, other = (Example(id=name, segments=(Segment.from_words([name]),), label=None) for name in "ab")
    >>> repeated([one], {"test": [one, other], "val": [other]})[0].partition(":")[0]
    'test'
    """
    seen = _texts(train)
    found = []
    for name, split in splits.items():
        again = int(np.isin(_texts(split), seen).sum())
        if again and again >= _REPEATED * len(split):
            found.append(
                f"{name}: {again} of {len(split)} rows have the text of a row that is trained on, which says little "
                "about new text: take them out, or name a part apart from it (data.hub.splits)"
            )
    return found


def _texts(split: Sequence[Example]) -> NDArray[np.int64]:
    """A number for the whole text of each row, equal where the texts are."""
    columns = ("text", "choice")
    found = [hash(row) for part in windows(split) for row in zip(*map(part.keys_of, columns), strict=True)]
    return np.array(found, np.int64)


def _gold(split: Sequence[Example]) -> tuple[int, int]:
    """How many rows have gold, and how many of these have no marked word."""
    known = empty = 0
    for part in windows(split):
        offsets = part.gold[1]
        marked = np.diff(offsets_of(part.flat(part.gold) != 0)[offsets - offsets[0]])
        known += int(part.gold_known.sum())
        empty += int((part.gold_known & (marked == 0)).sum())
    return known, empty


def _classes(name: str, split: Sequence[Example], labels: Sequence[str]) -> list[str]:
    known: Counter[str] = Counter()
    for part in windows(split):
        answers = zip(part.texts_of("label"), part.lengths("choice").tolist(), strict=True)
        known.update(label for label, choices in answers if label is not None and not choices)
    if len(known) != 1:
        return []
    ((label, count),) = known.items()
    so = "a model can only learn that one" if name == "train" else "a score there says little"
    return [
        f"{name}: all {count} labels are {label!r} of the classes {', '.join(labels)}: {so}; add rows of the others"
    ]


def result_warnings(table: pa.Table, report: Report | None = None) -> list[str]:
    """One line for each sign that a judged model is of no use, or that a metric says nothing.

    - it answers one class for all rows though their labels are of several;
    - signs of collapse of its scores (`unirex.judging.collapse`);
    - a main metric that is undefined in every row though the rows have gold.

    Args:
        table: with the columns of docs/predictions.md.
        report: on its rows; None = nothing is said of metrics.
    """
    undefined = [] if report is None else _undefined(table, report)
    return [*_one_answer(table), *map(_collapsed, collapse_signs(table)), *undefined]


def tell(warnings: Sequence[str], about: str, *, known: Collection[str] = ()) -> list[str]:
    """The warnings with what they are about in front, once those that are not `known` are on standard error."""
    lines = {warning: f"{about}: {warning}" for warning in warnings}
    for warning, told in lines.items():
        if warning not in known:
            say(line(f"warning: {told}"), error=True)
    return list(lines.values())


def write_warnings(run: RunFolder, warnings: Sequence[str]) -> None:
    """Writes all warnings of a run for its report, and removes those of another one before it."""
    with atomic_write(run.warnings, "w") as file:
        file.write(json.dumps(list(warnings), ensure_ascii=False, indent=1) + "\n")


def _one_answer(table: pa.Table) -> list[str]:
    if not {"prediction", "label"} <= set(table.column_names):
        return []
    pairs = zip(table["prediction"].to_pylist(), table["label"].to_pylist(), strict=True)
    known = [(answer, label) for answer, label in pairs if label is not None]
    if len(known) < _ENOUGH or len({answer for answer, _ in known}) > 1 or len({label for _, label in known}) == 1:
        return []
    return [
        f"the model answers {known[0][0]!r} for all {len(known)} rows, whose labels are of "
        f"{len({label for _, label in known})} classes: it has learned nothing about the others; train longer "
        "(train.epochs) or at another rate (train.lr 3e-5 to 3e-4 for a pretrained encoder), or, if one class is "
        "much more common, set method.class_weights"
    ]


def _collapsed(sign: str) -> str:
    return f"the scores may have collapsed: {sign}; an extractor is then trained longer, or with more gold"


def _undefined(table: pa.Table, report: Report) -> list[str]:
    if "gold" not in table.column_names or table["gold"].null_count == len(table):
        return []  # said of the data
    found = [m for m in report.metrics if m.main and report.n_rows and np.isnan(m.value)]
    if not found:
        return []
    hint = "; for plausibility, rows must have marked and unmarked words"
    names = ", ".join(metric.name for metric in found)
    return [
        f"{names}: undefined in all {report.n_rows} rows (docs/metrics.md says when each is)"
        f"{hint if any(metric.group == 'plausibility' for metric in found) else ''}"
    ]

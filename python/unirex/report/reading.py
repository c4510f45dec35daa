"""Prediction files are streamed twice: for numbers and candidates, then for the instances that are shown."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unirex import _rust
from unirex.metrics import pairing
from unirex.metrics.batch import Batch, as_keys
from unirex.metrics.families import family_of
from unirex.metrics.layout import Layout
from unirex.metrics.parser import Parser
from unirex.metrics.ragged import float_values, select
from unirex.metrics.report import Report
from unirex.metrics.row_values import RowValues
from unirex.metrics.rows import row_values
from unirex.metrics.scoring import Plan, finish, plan
from unirex.metrics.state import State
from unirex.report.by_class import ByClass
from unirex.report.explanations import MEASURED, Rows
from unirex.report.histogram import Histogram, Spread
from unirex.report.instances import View, views
from unirex.report.picks import Key, Picker

BINS = 240
"""Narrow bins; a figure joins several."""
Floats = NDArray[np.float64]

SHOWN = ("comprehensiveness", "sufficiency", "csd", "auprc", "token_f1")
"""The metrics of single instances that the page shows, where the files allow them."""
FAITHFULNESS = ("csd", "comprehensiveness")
PLAUSIBILITY = ("auprc", "token_f1")


@dataclass(frozen=True, kw_only=True)
class FirstPass:
    """A prediction file after the first pass.

    Attributes:
        plan: how it is read.
        report: its metrics.
        state: what the metrics are computed from.
        picker: candidates for being shown.
        scores: the spread of the words' scores.
        rows: metric -> histogram over the instances.
        explained: whether the file holds explanations of texts.
        classes: its rows by predicted class.
        values: what the rows say in the metrics of the first table, where runs are to be compared.
        told: what they say about the instances themselves, where runs are to be compared.
    """

    plan: Plan
    report: Report
    state: State
    picker: Picker
    scores: Spread
    rows: Mapping[str, Histogram]
    explained: bool
    classes: ByClass
    values: RowValues | None = None
    told: pairing.Rows | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The metrics that each instance has."""
        names = {column.name for column in self.plan.layout.columns}
        return tuple(name for name in SHOWN if name in names)


def read(rows_of: Rows, options: Mapping[str, Any], most: int, *, compared: bool = False) -> FirstPass:
    """The first pass over a file: every metric, and at most `most` candidates for being shown.

    If it is to be `compared` with others, the values of each row are kept.

    Raises:
        ValueError: what is wrong, with file, row id and field.
    """
    labels = rows_of.labels if options.get("labels") is None else options["labels"]
    made = plan(rows_of.system, **{**options, "labels": labels})
    if isinstance(rows_of.system, pa.Table):
        header = replace(made.source.header, choice=rows_of.choice)
        made = replace(made, source=replace(made.source, parts=((rows_of.path, rows_of.system),), header=header))
    state, scores, classes = made.state(), Spread(), ByClass(made)
    picker = Picker(made.layout.labels, most)
    names = [column.name for column in made.layout.columns]
    ranked = {name: _first(options, names) for name, options in (("f", FAITHFULNESS), ("p", PLAUSIBILITY))}
    ranges = {definition.name: definition.family.range for definition in made.layout.definitions}
    rows = {name: Histogram(np.linspace(*ranges[name], BINS + 1)) for name in (*ranked.values(),) if name is not None}
    kept, seen = _Kept(made.layout), pairing.Seen()
    for where, part in made.source.batches(state.parser.columns()):
        batch = state.parser.parse(part, where)
        if not len(batch):
            continue
        values = row_values(batch, made.layout)
        state.take(batch, values)
        classes.add(batch, values)
        if compared:
            kept.add(batch, values)
            seen.add(batch, values[:0])  # what is defined stands in the values
        found = dict(zip(names, values, strict=True))
        if batch.scores is not None:
            scores.add(batch.scores.values)
        for name, histogram in rows.items():
            histogram.add(found[name])
        picker.add(
            batch.hashes,
            wrong=found["accuracy"] == 0 if "accuracy" in found else np.zeros(len(batch), dtype=np.bool_),
            confidence=np.nan_to_num(confidence(batch)),
            faithfulness=None if ranked["f"] is None else _imperfect(found[ranked["f"]], ranges[ranked["f"]][1]),
            plausibility=None if ranked["p"] is None else _imperfect(found[ranked["p"]], ranges[ranked["p"]][1]),
            label=batch.label,
        )
    return FirstPass(
        plan=made,
        report=finish(made, state),
        state=state,
        picker=picker,
        scores=scores,
        rows=rows,
        explained=rows_of.explained,
        classes=classes,
        values=kept.rows() if compared else None,
        told=seen.rows() if compared else None,
    )


class _Kept:
    """Collects what the rows say in the metrics of the first table and of single texts."""

    def __init__(self, layout: Layout) -> None:
        headed = (one.name for one in layout.definitions if one.main and (of := family_of(one.name)) and of.heading)
        self._layout = replace(layout, only=frozenset({*headed, *SHOWN, str(layout.headline)}))
        places = {column.name: place for place, column in enumerate(layout.columns)}
        self._places = [places[column.name] for column in self._layout.columns]
        self._hashes: list[NDArray[np.uint64]] = [np.zeros((0, 2), dtype=np.uint64)]
        self._values: list[Floats] = [np.zeros((len(self._places), 0))]

    def add(self, batch: Batch, values: Floats) -> None:
        """Adds rows with their values, [columns, N]."""
        self._hashes.append(batch.hashes)
        self._values.append(values[self._places])

    def rows(self) -> RowValues:
        """All rows, in the order of their hashes."""
        hashes, values = np.concatenate(self._hashes), np.concatenate(self._values, axis=1)
        return RowValues(layout=self._layout, hashes=hashes, values=values).ordered()


def _imperfect(values: Floats, best: float) -> Floats:
    """The values, NaN where nothing could be better: such a row is not among the worst, however few there are."""
    return np.where(values >= best, np.nan, values)


def _first(names: Sequence[str], known: Collection[str]) -> str | None:
    return next((name for name in names if name in known), None)


def confidence(batch: Batch) -> Floats:
    """The probability of the predicted class on the full input, [N]; NaN where the files have none."""
    if batch.probabilities is None or batch.prediction is None:
        return np.full(len(batch), np.nan)
    full = batch.probabilities
    return _rust.class_probability(full.values, full.offsets, np.ascontiguousarray(batch.prediction), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordScores:
    """Where the scores of words lie: of those a human marked, of the others, and of those without annotation."""

    marked: Histogram
    unmarked: Histogram
    unknown: Histogram

    def add(self, batch: Batch) -> None:
        """Adds the words of a batch."""
        if batch.scores is None:
            return
        if batch.gold is None:
            self.unknown.add(batch.scores.values)
            return
        known = batch.gold.known
        self.unknown.add(select(batch.scores, ~known).values)
        scores, gold = select(batch.scores, known).values, select(batch.gold.rows, known).values
        self.marked.add(scores[gold > 0.5])
        self.unmarked.add(scores[gold <= 0.5])


def read_again(
    reading: FirstPass, wanted: Sequence[Key], most_words: int
) -> tuple[WordScores, dict[Key, tuple[str, View]]]:
    """The second pass: where the words' scores lie, and the wanted rows with their words."""
    made = reading.plan
    parser = made.parser()
    edges = reading.scores.edges(BINS)
    words = WordScores(marked=Histogram(edges), unmarked=Histogram(edges), unknown=Histogram(edges))
    keys = as_keys(np.array(wanted, dtype=np.uint64).reshape(-1, 2))
    columns = parser.columns()
    further = ("label", "prediction", "words", "context", *MEASURED)
    columns += [c for c in further if made.source.has(c) and c not in columns]
    found: dict[Key, tuple[str, View]] = {}
    for where, part in made.source.batches(columns):
        batch = parser.parse(part, where)
        words.add(batch)
        mask = np.isin(as_keys(batch.hashes), keys)
        if mask.any():
            try:
                chosen = part.filter(_as_arrow(mask))
            except pa.ArrowNotImplementedError:  # of views and the like
                kinds = ", ".join(f"{field.name} {field.type}" for field in part.schema if field.name in further)
                raise ValueError(f"{where}: columns are {kinds}, expected text and lists of text") from None
            found |= _shown(parser, reading, chosen, where, most_words)
    return words, found


def _as_arrow(mask: NDArray[np.bool_]) -> pa.BooleanArray:
    """The mask in Arrow; `pa.array` would import pandas where that is installed."""
    bits = pa.py_buffer(np.packbits(mask, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, bits])


def _measured(part: pa.RecordBatch, name: str, where: str) -> Floats:
    """What the rows say about themselves, NaN where null."""
    column = part.column(name)
    try:
        return float_values(column.cast(pa.float64(), safe=False))
    except pa.ArrowException:
        raise ValueError(f"{where}: column {name!r} holds {column.type}, expected numbers") from None


def _shown(
    parser: Parser, reading: FirstPass, part: pa.RecordBatch, where: str, most_words: int
) -> dict[Key, tuple[str, View]]:
    batch = parser.parse(part, where)
    names = [column.name for column in reading.plan.layout.columns]
    values = dict(zip(names, row_values(batch, reading.plan.layout), strict=True))
    kept = {name: values[name] for name in reading.columns}
    for name in MEASURED:
        if name not in kept and name in part.schema.names:
            kept[name] = _measured(part, name, where)
    return views(part, batch, kept, confidence(batch), where=where, most_words=most_words)

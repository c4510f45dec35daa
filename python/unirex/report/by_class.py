"""The metrics of the rows that a model predicts as each class; a mean over all hides what differs between them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unirex.metrics.batch import Batch
from unirex.metrics.report import Report
from unirex.metrics.scoring import Plan, finish, plan
from unirex.metrics.state import State

MOST_CLASSES = 20
"""Classes up to which each is told apart."""


class ByClass:
    """Collects the rows of one file by their predicted class."""

    def __init__(self, made: Plan) -> None:
        self._made = made
        self._labels = made.layout.labels
        self._states: dict[int, State] = {}
        self._true = np.zeros(len(self._labels), dtype=np.int64)

    def add(self, batch: Batch, values: NDArray[np.float64]) -> None:
        """Adds rows with their values, [columns, N]."""
        if batch.label is not None:
            self._true += np.bincount(batch.label[batch.label >= 0], minlength=len(self._true))
        if batch.prediction is None or len(self._labels) > MOST_CLASSES:
            return
        for place in np.unique(batch.prediction):
            rows = batch.prediction == place
            state = self._states.setdefault(int(place), self._made.state())
            state.take(batch, values, rows)

    def reports(self) -> dict[str, Report]:
        """Predicted class -> metrics of its rows, in the order of the classes."""
        return {self._labels[place]: state.compute() for place, state in sorted(self._states.items())}

    def most_common(self) -> tuple[str, float] | None:
        """The most common true class and its share of the rows whose class is known."""
        if not self._true.sum():
            return None
        place = int(np.argmax(self._true))
        return self._labels[place], float(self._true[place] / self._true.sum())


def score_by_class(system: str, options: Mapping[str, Any]) -> tuple[Report, dict[str, Report]]:
    """The metrics of a file, and those of each predicted class."""
    made = plan(system, **options)
    state, classes = made.state(), ByClass(made)
    for batch, values in made.rows():
        state.take(batch, values)
        classes.add(batch, values)
    return finish(made, state), classes.reports()

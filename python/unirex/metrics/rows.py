"""One number per row and column: what the metrics of each convention say about single instances."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from unirex.metrics.arrays import aopc
from unirex.metrics.batch import Batch
from unirex.metrics.definitions import OF_PERTURBED, PERTURBED, Family
from unirex.metrics.inputs import Inputs, Perturbed
from unirex.metrics.layout import Layout
from unirex.metrics.ragged import spread

Floats = NDArray[np.float64]
Found = tuple[list[str], Callable[[], Floats]]
"""Names of columns and what finds them, [N, columns]."""


def row_values(batch: Batch, layout: Layout) -> Floats:
    """The columns of the layout for each row, float64 [columns, N], NaN where undefined."""
    inputs = Inputs(
        batch,
        n_classes=len(layout.labels),
        n_fractions=len(layout.fractions),
        thresholds=layout.iou_thresholds,
        paper=layout.convention == "paper",
    )
    wanted = [column.name for column in layout.columns]
    missing = set(wanted)
    found: dict[str, Floats] = {}
    for family in layout.families:
        for names, find in _columns(family, inputs, layout):
            # A metric that is not wanted costs nothing, and what several pool is found once.
            if not missing.isdisjoint(names):
                found.update(zip(names, find().T, strict=True))
                missing.difference_update(names)
    return np.array([found[name] for name in wanted]).reshape(-1, len(batch))


def _columns(family: Family, inputs: Inputs, layout: Layout) -> Iterator[Found]:
    """The columns of a family."""
    if family.per in OF_PERTURBED:
        for perturbation, kinds in layout.perturbations:
            if layout.offers(family, kinds):
                fractions = layout.fractions if family.per == "fraction" else ()
                names = [layout.name(family.name, perturbation, fraction) for fraction in (None, *fractions)]
                yield names, partial(_perturbed, family, inputs, layout, perturbation)
        return
    sources = [] if family.values is None else [(family.name, family.values)]
    if family.pooled is not None:
        sources = [(count.name, count.values) for count in (family.pooled.top, *family.pooled.bottom)]
    for name, values in sources:
        names = layout.names(family.per, name)
        function = cast("Callable[[Inputs], Floats]", values)
        yield names, partial(_unperturbed, family, function, inputs, len(names))


def _unperturbed(family: Family, function: Callable[[Inputs], Floats], inputs: Inputs, n: int) -> Floats:
    """The values per row, or for each of `n` classes or thresholds, [N, n]."""
    shape = (len(inputs),) if family.per == "row" else (len(inputs), n)
    return _shaped(family, function(inputs), shape).reshape(len(inputs), n)


def _perturbed(family: Family, inputs: Inputs, layout: Layout, perturbation: str) -> Floats:
    """AOPC and the values at each fraction, [N, 1 + K], or the one value, [N, 1].

    NaN in rows where a column that the family needs is null.
    """
    rows = inputs.perturbed(perturbation, family.needs & PERTURBED)
    function = cast("Callable[[Perturbed], Floats]", family.values)
    n = int(rows.known.sum())
    if family.per == "perturbation":
        return spread(_shaped(family, function(rows), (n,)), rows.known)[:, None]
    values = spread(_shaped(family, function(rows), (n, len(layout.fractions))), rows.known)
    return np.column_stack([aopc(values, layout.convention), values])


def _shaped(family: Family, values: Floats, shape: tuple[int, ...]) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.shape != shape:
        raise ValueError(f"metric {family.name!r} gives an array of shape {found.shape}, expected {shape}")
    return found

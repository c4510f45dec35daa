"""The metrics of the task, over rows with a label."""

from functools import partial

from unirex.metrics.definitions import Count, Family, Pooled

_HIT = Count(name="#hit", values=lambda rows: rows.of_classes[2])
_PREDICTED = Count(name="#predicted", values=lambda rows: rows.of_classes[0])
_TRUE = Count(name="#true", values=lambda rows: rows.of_classes[1])

_Task = partial(Family, group="task", direction="higher", needs=frozenset({"label"}))
_OfClass = partial(_Task, per="class", main=False)

FAMILIES: tuple[Family, ...] = (
    _Task(
        name="accuracy",
        meaning="share of rows whose prediction is the label",
        values=lambda rows: rows.accuracy,
        hits=True,
    ),
    _Task(
        name="macro_f1",
        meaning="mean of `f1:CLASS` over the classes that are predicted or a label somewhere",
        mean_of="f1",
    ),
    _OfClass(
        name="precision",
        meaning="of the rows predicted as the class, the share that are",
        pooled=Pooled(top=_HIT, bottom=(_PREDICTED,), rows=True),
    ),
    _OfClass(
        name="recall",
        meaning="of the rows labelled with the class, the share predicted as it",
        pooled=Pooled(top=_HIT, bottom=(_TRUE,), rows=True),
    ),
    _OfClass(
        name="f1",
        meaning="2 · hits / (predicted + labelled)",
        pooled=Pooled(top=_HIT, bottom=(_PREDICTED, _TRUE), times=2.0, rows=True),
    ),
)

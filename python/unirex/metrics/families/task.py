"""The metrics of the task, over rows with a label."""

from unirex.metrics.definitions import Count, Family, Pooled

_HIT = Count(name="#hit", values=lambda rows: rows.of_classes[2])
_PREDICTED = Count(name="#predicted", values=lambda rows: rows.of_classes[0])
_TRUE = Count(name="#true", values=lambda rows: rows.of_classes[1])

FAMILIES: tuple[Family, ...] = (
    Family(
        name="accuracy",
        group="task",
        direction="higher",
        meaning="share of rows whose prediction is the label",
        needs=frozenset({"label"}),
        values=lambda rows: rows.accuracy,
        hits=True,
    ),
    Family(
        name="macro_f1",
        group="task",
        direction="higher",
        meaning="mean of `f1:CLASS` over the classes that are predicted or a label somewhere",
        needs=frozenset({"label"}),
        mean_of="f1",
    ),
    Family(
        name="precision",
        group="task",
        direction="higher",
        meaning="of the rows predicted as the class, the share that are",
        needs=frozenset({"label"}),
        pooled=Pooled(top=_HIT, bottom=(_PREDICTED,), rows=True),
        per="class",
        main=False,
    ),
    Family(
        name="recall",
        group="task",
        direction="higher",
        meaning="of the rows labelled with the class, the share predicted as it",
        needs=frozenset({"label"}),
        pooled=Pooled(top=_HIT, bottom=(_TRUE,), rows=True),
        per="class",
        main=False,
    ),
    Family(
        name="f1",
        group="task",
        direction="higher",
        meaning="2 · hits / (predicted + labelled)",
        needs=frozenset({"label"}),
        pooled=Pooled(top=_HIT, bottom=(_PREDICTED, _TRUE), times=2.0, rows=True),
        per="class",
        main=False,
    ),
)

"""The metrics of agreement with the human rationale, over rows that have one."""

from functools import partial

from unirex.metrics.definitions import Count, Family, Pooled

ERASER = "DeYoung et al. 2020"
_BOTH = Count(name="#both", values=lambda rows: rows.counts[0])
_SELECTED = Count(name="#selected", values=lambda rows: rows.counts[1])
_GOLD = Count(name="#gold", values=lambda rows: rows.counts[2])

_Ranking = partial(Family, group="plausibility", direction="higher", needs=frozenset({"gold", "scores"}))
_Agreement = partial(Family, group="plausibility", direction="higher", needs=frozenset({"gold", "rationale"}))

FAMILIES: tuple[Family, ...] = (
    _Ranking(
        name="auprc",
        meaning="how well the scores rank the words that humans marked",
        source=ERASER,
        values=lambda rows: rows.ranked[0],
        heading="AUPRC",
    ),
    _Ranking(
        name="average_precision",
        meaning="the same as a step sum",
        values=lambda rows: rows.ranked[1],
    ),
    _Ranking(
        name="roc_auc",
        meaning="share of pairs of a marked and an unmarked word that the scores order rightly",
        values=lambda rows: rows.ranked[2],
    ),
    _Agreement(
        name="token_precision",
        meaning="share of the selected words that humans marked",
        source=ERASER,
        values=lambda rows: rows.agreement[0],
    ),
    _Agreement(
        name="token_recall",
        meaning="share of the marked words that are selected",
        source=ERASER,
        values=lambda rows: rows.agreement[1],
    ),
    _Agreement(
        name="token_f1",
        meaning="overlap of the selected words with the marked ones",
        source=ERASER,
        values=lambda rows: rows.agreement[2],
        heading="token F1",
    ),
    _Agreement(
        name="token_precision_micro",
        meaning="token precision of the words of all rows together",
        pooled=Pooled(top=_BOTH, bottom=(_SELECTED,)),
        main=False,
    ),
    _Agreement(
        name="token_recall_micro",
        meaning="token recall of the words of all rows together",
        pooled=Pooled(top=_BOTH, bottom=(_GOLD,)),
        main=False,
    ),
    _Agreement(
        name="token_f1_micro",
        meaning="token F1 of the words of all rows together",
        pooled=Pooled(top=_BOTH, bottom=(_SELECTED, _GOLD), times=2.0),
        main=False,
    ),
    _Agreement(
        name="iou_precision",
        meaning="share of the selected spans that overlap with a marked one",
        source=ERASER,
        values=lambda rows: rows.spans[0],
        per="threshold",
    ),
    _Agreement(
        name="iou_recall",
        meaning="share of the marked spans that overlap with a selected one",
        source=ERASER,
        values=lambda rows: rows.spans[1],
        per="threshold",
    ),
    _Agreement(
        name="iou_f1",
        meaning="overlap of spans of words",
        source=ERASER,
        values=lambda rows: rows.spans[2],
        per="threshold",
        heading="IOU F1",
    ),
)

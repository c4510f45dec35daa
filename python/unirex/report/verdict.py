"""What a report says in one breath, hedged by its intervals, and the texts that show it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from unirex.metrics.report import Report
from unirex.report.document import Document, Part, defined
from unirex.report.instances import Instance, View
from unirex.text import plain

SMALL = 0.1
"""A loss of the answer's probability below which its words hardly matter."""
LEAST = 0.01
"""A gain of the answer's probability below which its words do not speak against it."""
SURE = 0.9
"""A probability from which on no answer is doubtful."""
READABLE = 60
"""Words of a text that is shown first, where there is one so short."""

Standing = Literal["matter", "hardly", "against", "unclear"]
_PHRASES: dict[Standing, str] = {
    "matter": "matter for {}",
    "hardly": "hardly matter for {}",
    "against": "speak against its answer for {}",
    "unclear": "may or may not matter for {}",
}


def verdict(part: Part) -> list[str]:
    """How often the answers are right, and for which of them the marked words matter."""
    return [*_right(part), *_marks(part)]


def _right(part: Part) -> Iterator[str]:
    if not part.n_labeled:
        yield "No labels: right or wrong is unknown."
        return
    if "accuracy" not in part.report or not defined(part.report["accuracy"].value):
        return
    found = part.report["accuracy"]
    hedge = ""
    if found.low is not None and found.high is not None:
        hedge = f" (likely between {100 * found.low:.0f} and {100 * found.high:.0f} %)"
    yield f"Right {round(found.value * found.n)} of {found.n} times{hedge}."
    if part.n_labeled < part.report.n_rows:
        yield f"{part.report.n_rows - part.n_labeled} texts have no label: right or wrong is unknown."
    if part.most_common is not None and found.low is not None and found.low <= part.most_common[1]:
        yield f"Always answering {_quoted([part.most_common[0]])} might do as well ({100 * part.most_common[1]:.0f} %)."


def _marks(part: Part) -> Iterator[str]:
    if not _measured(part.report):
        how = "was measured for each text alone" if part.measured_alone else "was not measured"
        yield f"Whether its marked words matter {how}."
        return
    groups: dict[Standing, list[str]] = {}
    for name, standing in standings(part).items():
        groups.setdefault(standing, []).append(name)
    told_apart = bool(groups)
    if not told_apart:  # too many classes
        groups[standing_of(part.report, part.references.get("random"))] = []
    single = len(groups) == 1
    phrases = [
        phrase.format(_answers(kind, told_apart=told_apart) if single else _quoted(groups[kind]))
        for kind, phrase in _PHRASES.items()
        if kind in groups
    ]
    marked = "rationale_share" not in part.report or part.report["rationale_share"].value != 0
    subject = "Its marked words" if marked else "It marks no word. Those with the highest scores"
    told = f"{subject} {', '.join(phrases)}."
    for answers in ("every answer", "its answers"):
        told = told.replace(f"against its answer for {answers}", "against its answers")
    yield told


def _answers(kind: Standing, *, told_apart: bool) -> str:
    if not told_apart:
        return "its answers on average"
    return "any answer" if kind == "hardly" else "every answer"


def standings(part: Part) -> dict[str, Standing]:
    """Predicted class -> what its marked words do to the answer; classes without any measured row are left out."""
    chance = part.reference_classes.get("random", {})
    return {name: standing_of(report, chance.get(name)) for name, report in part.classes.items() if _measured(report)}


def standing_of(report: Report, chance: Report | None) -> Standing:
    """What removing the words with the highest scores does to the answer, as far as the interval tells.

    They matter if the answer loses more than by random words and at least a tenth of a probability; they speak
    against it if it gains a hundredth or more. Without an interval nothing is clear.
    """
    found = report["comprehensiveness"]
    if found.low is None or found.high is None:
        return "unclear"
    if found.value <= -LEAST and found.high < 0:
        return "against"
    other = chance["comprehensiveness"].value if chance is not None and _measured(chance) else 0.0
    if found.value >= SMALL and found.low > max(other, 0.0):
        return "matter"
    return "hardly" if found.high < SMALL else "unclear"


def _measured(report: Report) -> bool:
    return "comprehensiveness" in report and defined(report["comprehensiveness"].value)


def _quoted(names: Sequence[str]) -> str:
    """At most three names.

    >>> _quoted(["a", "b", "c", "d"])
    '“a”, “b”, “c” and 1 more'
    """
    shown = [f"“{plain(name, longest=40, lines=False)}”" for name in names[:3]]
    rest = [f"{len(names) - 3} more"] if len(names) > 3 else []
    *before, last = [*shown, *rest]
    return f"{', '.join(before)} and {last}" if before else last


def against(part: Part) -> list[str]:
    """A note for each class whose marks speak against its answer."""
    return [
        f"{part.name}: where the answer is {_quoted([name])}, it grows more certain without its marked words: "
        "the marks speak against the answer."
        for name, standing in standings(part).items()
        if standing == "against"
    ]


def examples(report: Document) -> list[tuple[str, Instance]]:
    """One right text, one wrong and one doubtful, of those on the page; short ones if there are any."""
    known = [one for one in report.instances if one.label is not None and _certainty(one) is not None]
    wrong = sorted((one for one in known if one.wrong), key=lambda one: _rank(one, -1))
    right = sorted((one for one in known if not one.wrong), key=lambda one: _rank(one, -1))
    found = [(name, ones[0]) for name, ones in (("Right", right), ("Wrong", wrong)) if ones]
    taken = {id(one) for _, one in found}
    left = (one for one in known if id(one) not in taken and (_certainty(one) or 0) < SURE)
    doubtful = sorted(left, key=lambda one: _rank(one, 1))
    return found + [("Doubtful", one) for one in doubtful[:1]]


def _rank(one: Instance, sign: int) -> tuple[bool, float, str]:
    certainty = _certainty(one)
    assert certainty is not None
    return _length(one) > READABLE, sign * certainty, one.id


def _length(one: Instance) -> int:
    return max(len(view.words) + view.more for view in _views(one))


def _certainty(one: Instance) -> float | None:
    """How sure the least sure run is."""
    return min((view.confidence for view in _views(one) if view.confidence is not None), default=None)


def _views(one: Instance) -> list[View]:
    return [view for view in one.views if view is not None]


def as_json(report: Document) -> Mapping[str, object]:
    """Verdict and metrics by predicted class of each run, as plain JSON content."""
    return {
        "runs": [
            {
                "name": part.name,
                "rows": part.report.n_rows,
                "labeled": part.n_labeled,
                "verdict": verdict(part),
                "classes": {name: _class_json(one) for name, one in part.classes.items()},
                "marks": dict(standings(part)),
            }
            for part in report.parts
        ]
    }


def _class_json(report: Report) -> dict[str, object]:
    metrics = [metric for metric in report.metrics if defined(metric.value)]
    return {
        "rows": report.n_rows,
        "metrics": {metric.name: {"value": metric.value, "low": metric.low, "high": metric.high} for metric in metrics},
    }

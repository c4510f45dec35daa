"""What a reader of a report should know before believing its numbers."""

from collections.abc import Iterator

from unirex.report.document import Document, Part, defined
from unirex.report.figure import number
from unirex.report.verdict import against
from unirex.text import plain


def notes(report: Document) -> list[str]:
    """What a reader should know before believing the numbers."""
    found: list[str] = []
    for part in report.parts:
        found += _control_notes(part) if "random" in part.references else ()
        found += against(part)
        given = {other.folder.predictions for other in report.parts}
        if others := [path for path in part.folder.others if path not in given]:
            found.append(
                f"{part.name}: also judged on its model, and shown where its file is named: {', '.join(others)}."
            )
        name = part.report.headline or "comprehensiveness"
        saved = part.folder.saved.get(name)
        if saved is not None and name in part.report and abs(saved - part.report[name].value) > 1e-6:
            found.append(
                f"{part.name}: metrics.json says {name} {number(saved)}, its predictions say "
                f"{number(part.report[name].value)}: they come from different runs or were read with other settings."
            )
        if "words_cut" in part.report and part.report["words_cut"].value > 0.01:
            found.append(f"{part.name}: truncation took {100 * part.report['words_cut'].value:.1f} % of the words.")
    found += _interval_notes(report)
    if len({part.report.n_rows for part in report.parts}) > 1:
        counts = ", ".join(f"{part.name} {part.report.n_rows}" for part in report.parts)
        found.append(f"The runs have different numbers of rows: {counts}.")
    if report.other_texts:
        what = {"texts": "are different texts", "labels": "are of different labels", "gold": "have different gold"}
        found.append(f"Rows of one id {what[report.other_texts]} in these runs, so nothing is paired and no run leads.")
    if report.gains_missing:
        found.append(f"No relative gains: {report.gains_missing}.")
    return [plain(note, lines=False) for note in found]


def _interval_notes(report: Document) -> list[str]:
    """What the intervals cannot tell: few rows, few seeds, and what training with another seed would change."""
    lines = dict.fromkeys(note for part in report.parts for note in part.report.notes)
    if report.gains is not None:
        lines |= dict.fromkeys(note for note in report.gains.notes if "rows stand behind" not in note)
    texts = [note.removeprefix("note: ") for note in lines]
    found = [f"{text[0].upper()}{text[1:]}." for text in texts]
    if report.seeds:
        found.append("Intervals of means over seeds are over instances and seeds; those of single runs over instances.")
    return found


def _control_notes(part: Part) -> Iterator[str]:
    chance = part.references["random"]
    for name, what in (("comprehensiveness", "removing"), ("sufficiency", "keeping")):
        if name not in part.report or name not in chance:
            continue
        own, other = part.report[name], chance[name]
        if own.low is None or own.high is None or not (defined(own.value) and defined(other.value)):
            continue
        better = own.low > other.value if name == "comprehensiveness" else own.high < other.value
        if not better:
            yield (
                f"{part.name}: {what} the words with the highest scores is not shown to do more than {what} random "
                f"ones ({name} {number(own.value)}, random {number(other.value)}): the scores are not shown "
                "to be faithful."
            )

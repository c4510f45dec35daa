"""The report for a terminal: tables, and instances with words marked; nothing from data can act on the terminal."""

import math
import textwrap
from collections.abc import Iterator

from unirex.metrics.report import aligned
from unirex.report import tables
from unirex.report.document import Document
from unirex.report.figure import number
from unirex.report.instances import Instance, View
from unirex.report.marks import RESET, terminal_key, to_terminal
from unirex.report.notes import notes
from unirex.report.training_figures import summary, training
from unirex.report.verdict import verdict
from unirex.text import plain


def to_text(report: Document, *, color: bool = False, width: int = 100, instances: int = 10) -> str:
    """Overview, curves in numbers and the first instances.

    Args:
        report: what is shown.
        color: shade words by their scores; without it no escape sequence is written.
        width: columns of the terminal.
        instances: most instances.
    """
    blocks = (
        ["\n".join(_head(report, color)), "\n".join(aligned(_rows(tables.headline(report))))] if report.parts else []
    )
    blocks += [f"{title}\n" + "\n".join(aligned(rows)) for title, rows in _gains(report)]
    blocks += [f"{name} at each fraction\n" + "\n".join(aligned(rows)) for name, rows in _curves(report)]
    for part in report.parts:
        if (table := tables.by_class(part)) is not None:
            title = f"{part.name}, by answer" if len(report.parts) > 1 else "by answer"
            blocks.append(f"{title}\n" + "\n".join(aligned(_rows(table))))
    if (found := tables.apart(report)) is not None:
        blocks.append(f"{found[0]}\n" + "\n".join(aligned(_rows(found[1]))))
    for run in report.trained:
        if sentences := summary(run):
            curves = [] if report.parts else [f"  {one.title}: {one.description()}" for one in training([run])]
            blocks.append("\n".join([f"training of {_bold(run.name, color)}: {' '.join(sentences)}", *curves]))
    told = notes(report)
    if told:
        blocks.append("\n".join(f"! {note}" for note in told))
    shown = _worst_first(report)[:instances]
    if shown:
        blocks.append(terminal_key(color=color))
        blocks += ["\n".join(_instance(report, one, color, width)) for one in shown]
        if len(shown) < len(report.instances):
            blocks.append(f"{len(report.instances) - len(shown)} more are in the page.")
    return "\n\n".join(blocks)


def _head(report: Document, color: bool) -> Iterator[str]:
    for part in report.parts:
        yield f"{_bold(part.name, color)}: {plain(part.data, lines=False)}, {part.report.n_rows} instances"
        yield " ".join(verdict(part))
        yield from (f"warning: {warning}" for warning in part.folder.warnings)


def _rows(table: tables.TextTable) -> list[list[str]]:
    rows = [["", "", *(f"{head.text} {head.arrow}".replace("\u00ad", "") for head in table.heads), "rows"]]
    for row in table.rows:
        name = f"  {row.name}" if row.control else row.name
        cells = [f"{cell.value}{' *' if cell.best else ''} {cell.interval}".rstrip() for cell in row.cells]
        rows.append([name, "", *cells, str(row.rows)])
    return rows


def _gains(report: Document) -> Iterator[tuple[str, list[list[str]]]]:
    for data, table in tables.gains(report):
        rows = [["", "", *(head.text for head in table.heads)]]
        rows += [
            [row.name, "", *(f"{cell.value} {cell.interval}".rstrip() for cell in row.cells)] for row in table.rows
        ]
        yield f"relative gain on {plain(data, lines=False)}: 0 the worst, 1 the best of these runs", rows


def _curves(report: Document) -> Iterator[tuple[str, list[list[str]]]]:
    for name in ("comprehensiveness", "sufficiency"):
        fractions = sorted(
            {f for part in report.parts for f in part.report.fractions if f"{name}@{f:g}" in part.report}
        )
        if not fractions:
            continue
        rows = [["", "", *(f"{100 * f:g} %" for f in fractions)]]
        for part in report.parts:
            systems = [(part.name, part.report), *((f"  {c}", r) for c, r in part.references.items() if c != "inverse")]
            for label, system in systems:
                values = [system[at].value if (at := f"{name}@{f:g}") in system else None for f in fractions]
                rows.append([label, "", *map(number, values)])
        yield name, rows


def _worst_first(report: Document) -> list[Instance]:
    """Mistakes first, then by faithfulness."""

    def rank(one: Instance) -> tuple[bool, float]:
        csd = one.worst("csd")
        return not one.wrong, float("inf") if math.isnan(csd) else csd

    return sorted(report.instances, key=rank)


def _instance(report: Document, one: Instance, color: bool, width: int) -> Iterator[str]:
    label = "" if one.label is None else f"  label {one.label}"
    yield f"{_bold(one.id, color)}{label}"
    room = max(20, width - 4)
    for part, view in zip(report.parts, one.views, strict=True):
        prefix = f"  {part.name}: " if len(report.parts) > 1 else "  "
        if view is None:
            yield f"{prefix}{report.absent}"
            continue
        yield prefix + _says(view)
        yield from _wrapped(to_terminal(view.words, color=color), room, view.more)
        if view.context is not None:
            context = f"also read: {' '.join(view.context.split())}"
            yield from textwrap.wrap(context, room, initial_indent="    ", subsequent_indent="    ")


def _says(view: View) -> str:
    parts = []
    if view.prediction is not None:
        at = "" if view.confidence is None else f" at {number(view.confidence, 2)}"
        parts.append(f"predicts {view.prediction}{at}{', wrong' if view.wrong else ''}")
    names = (("comprehensiveness", "comp ↑"), ("sufficiency", "suff ↓"), ("auprc", "AUPRC ↑"), ("token_f1", "F1 ↑"))
    parts += [f"{text} {number(view.values[name], 2)}" for name, text in names if name in view.values]
    return "  ".join(parts)


def _wrapped(words: list[tuple[str, int]], width: int, more: int) -> Iterator[str]:
    """Lines of words, broken by their visible width."""
    if more:
        rest = f"… {more} more words"
        words = [*words, (rest, len(rest))]
    line: list[str] = []
    used = 0
    for text, size in words:
        if line and used + 1 + size > width:
            yield "    " + " ".join(line)
            line, used = [], 0
        line.append(text)
        used += size + (1 if used else 0)
    if line:
        yield "    " + " ".join(line)


def _bold(text: str, color: bool) -> str:
    return f"\x1b[1m{text}{RESET}" if color else text

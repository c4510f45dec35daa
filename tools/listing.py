"""The metrics as a table in Markdown; `python tools/listing.py docs/metrics.md` puts it into a page."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from unirex.metrics.definitions import Family, Per
from unirex.metrics.families import FAMILIES
from unirex.metrics.report import ARROWS

START, END = "<!-- metrics -->", "<!-- end of metrics -->"
_MEMBERS: dict[Per, str] = {"row": "", "fraction": "", "perturbation": "", "class": ":CLASS", "threshold": "@T"}


def table(families: Sequence[Family] = FAMILIES) -> str:
    """A line for each row of the table of metrics."""
    heads = ("metric", "", "range", "needs", "what it says", "source")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for family in families:
        cells = (
            f"`{family.name}{_MEMBERS[family.per]}`{'' if family.main else ' †'}",
            ARROWS[family.direction],
            _range(family.range),
            ", ".join(sorted(family.needs)),
            family.meaning,
            family.source,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def replaced(page: str) -> str:
    r"""The page with the table between the marks.

    >>> replaced(f"a\n{START}\nold\n{END}\nb") == f"a\n{START}\n\n{table()}\n\n{END}\nb"
    True
    """
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"the page has no lines {START} and {END}, expected both")
    return f"{before}{START}\n\n{table()}\n\n{END}{after}"


def _range(ends: tuple[float, float]) -> str:
    low, high = (f"{end:g}".replace("-", "−") for end in ends)  # noqa: RUF001 (a minus sign, as everywhere in the page)
    if all(abs(end) > 100 for end in ends):
        return ""
    return f"≥ {low}" if math.isinf(ends[1]) or ends[1] > 100 else f"{low} – {high}"  # noqa: RUF001


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(replaced(path.read_text(encoding="utf-8")), encoding="utf-8")

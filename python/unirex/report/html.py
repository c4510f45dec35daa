"""The report as one page that needs nothing else; all text from data goes through the template's escaping."""

import base64
import hashlib
import html
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unirex import __version__
from unirex.extras import install
from unirex.report import figures, svg, tables, verdict
from unirex.report.document import Document
from unirex.report.figure import Figure, Series, number, percent
from unirex.report.marks import CLASSES, LEVELS, ShownWord
from unirex.report.marks import to_html as words_to_html
from unirex.report.notes import notes
from unirex.report.training_figures import summary, training
from unirex.text import plain

TEMPLATES = Path(__file__).parent / "templates"
AT_ONCE = 200
"""Instances that a browser lays out at first; the script shows the others when they are scrolled to."""


_BY_TEXT = {
    "csd": "faithfulness (comprehensiveness − sufficiency)",
    "comprehensiveness": "what the answer loses without the top words (comprehensiveness)",
    "auprc": "agreement with people (AUPRC)",
    "token_f1": "overlap with people’s marks (token F1)",
}


def to_html(report: Document) -> str:
    """The page: no network, no other file, no script needed.

    The policy in its head allows the one style sheet and the one script by their hashes and nothing else.

    Raises:
        ValueError: jinja2 is not installed.
    """
    labels = sorted({one.label for one in report.instances if one.label is not None})
    style = _read("page.css") + "".join(_label_rule(place) for place in range(len(labels)))
    script = _read("page.js")
    page = _environment().get_template("page.html.j2")
    places = {id(one): place for place, one in enumerate(report.instances)}
    words = [word for one in report.instances for view in one.views if view is not None for word in view.words]
    text: str = page.render(
        report=report,
        parts=report.parts,
        shown=report.parts or report.trained,
        several=len(report.parts or report.trained) > 1,
        training=_drawn(training(report.trained)),
        costs=[(run, told) for run in report.trained if (told := summary(run))],
        version=__version__,
        policy=policy(style, script),
        style=_markup(style),
        script=_markup(script),
        labels=labels,
        levels=range(LEVELS + 1),
        headline=tables.headline(report),
        gains=tables.gains(report),
        seeds=report.seeds,
        fractions_differ=len({part.report.fractions for part in report.parts}) > 1,
        every_metric=tables.every_metric(report),
        differences=tables.differences(report),
        epochs=[(part, tables.epochs(part)) for part in report.parts],
        notes=notes(report),
        verdicts=[verdict.verdict(part) for part in report.parts],
        examples=verdict.examples(report),
        place=lambda one: places[id(one)],  # names that are cut short may be alike
        classes=[(part, tables.by_class(part)) for part in report.parts],
        differing=tables.apart(report),
        furthest=sorted((one for one in report.instances if one.apart), key=lambda one: -abs(one.apart or 0))[:3],
        at_once=AT_ONCE,
        marked=_marked,
        signs={"gold": any(word.gold for word in words), "unseen": not all(word.seen for word in words)},
        summaries=[(part, tables.summary(part)) for part in report.parts],
        curves=_drawn(figures.curves(report.parts)),
        trade_off=_drawn(figures.trade_off(report.parts)),
        distributions=_drawn(figures.distributions(report.parts)),
        counts=Counter(tag for one in report.instances for tag in one.tags),
        marker=_marker,
        number=number,
        known=math.isfinite,
        percent=percent,
        sortable=_sortable,
    )
    return text


def to_frame(report: Document) -> str:
    """The page in a frame, as a notebook shows it: its styles and script touch nothing outside."""
    page = html.escape(to_html(report), quote=True)
    return (
        f'<iframe title="unirex report" sandbox="allow-scripts" srcdoc="{page}" width="100%" height="640" '
        'style="border:0"></iframe>'
    )


def policy(style: str, script: str) -> str:
    """The content security policy: nothing but this style sheet and this script.

    >>> policy("", "").startswith("default-src 'none'; style-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='")
    True
    """
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _label_rule(place: int) -> str:
    """The rule that hides other labels without a script; it holds our numbers, never text from data."""
    return f'.filters:has(#label option[value="l{place}"]:checked) ~ .listed > * > :not(.l{place}){{display:none}}\n'


def _environment() -> Any:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise ValueError(f"jinja2 is not installed, expected the extra: {install('report')}") from error
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = lambda value: plain(str(value), longest=500, lines=False)
    environment.filters["visible_lines"] = plain
    environment.filters["apart_name"] = lambda name: _BY_TEXT.get(name, name)
    return environment


def _markup(text: str) -> Any:
    """Our own text that is markup already."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 (only files of this package and svg.py and marks.py, which escape)


def _marked(words: Sequence[ShownWord]) -> Any:
    """The words with their marks."""
    return _markup(words_to_html(words, CLASSES))


def _drawn(found: Sequence[Figure]) -> list[tuple[Figure, Any, list[tuple[Any, str]]]]:
    """Each figure, its SVG, and the legend: samples and labels."""
    return [(figure, _markup(svg.to_svg(figure)), _legend(figure)) for figure in found]


def _legend(figure: Figure) -> list[tuple[Any, str]]:
    return [(_markup(svg.swatch(one)), one.label) for one in figure.series if one.in_legend]


def _marker(run: int) -> Any:
    """The marker of a run, as in the figures."""
    return _markup(svg.swatch(Series(label="", kind="point", x=(), y=(), color=run, marker=run)))


def _sortable(value: float) -> str:
    """A number for sorting, empty where it is undefined."""
    return "" if math.isnan(value) else f"{value:.6g}"

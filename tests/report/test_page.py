"""The page as text: what comes from data escaped, a policy that fits, accessible, the same bytes each time."""

import base64
import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from report.made_runs import HOSTILE
from unirex.metrics.state import Resampling
from unirex.report import build, html
from unirex.report.html import TEMPLATES
from unirex.text import plain

FAST = Resampling(replicates=20)


class Page(HTMLParser):
    """Elements with their attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, str] = {}
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            self.raw[self._inside] = self.raw.get(self._inside, "") + data
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


@pytest.fixture(scope="module")
def text(make_run: Callable[..., Path]) -> str:
    extra = tuple(HOSTILE)
    return build(make_run("a", extra=extra), make_run("b", extra=extra, seed=1), resampling=FAST).to_html()


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_data_brings_no_markup_and_no_control_characters(page: Page, text: str) -> None:
    tags = Counter(tag for tag, _ in page.elements)
    assert tags["script"] == tags["style"] == 1
    assert not tags.keys() & {"img", "iframe", "object", "embed", "link", "form", "base"}
    attributes = {name for _, attributes in page.elements for name in attributes}
    assert not [name for name in attributes if name.startswith("on") or name == "style"]
    assert "<script>window.hacked=1</script>" in page.text
    assert r"\u001b[31mred\u001b[0m" in page.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_nothing_is_fetched(page: Page, text: str) -> None:
    addresses = [
        a for _, attributes in page.elements for n, a in attributes.items() if n in ("src", "href", "xlink:href")
    ]
    assert addresses
    assert all(address and address.startswith("#") for address in addresses)
    assert "url(" not in page.raw["style"]
    assert "@import" not in page.raw["style"]
    assert not re.search(r"fetch|XMLHttpRequest|import\(|https?:", page.raw["script"])


def test_the_policy_names_what_is_there(page: Page) -> None:
    metas = [attributes for tag, attributes in page.elements if tag == "meta"]
    policy = next(m["content"] for m in metas if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    for name in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.raw[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_structure(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(attributes["href"])[1:] for tag, attributes in page.elements if tag == "a"]
    assert set(links) <= set(ids)
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((attributes.get(name) or "").split()) <= set(ids)
    figures = [attributes for tag, attributes in page.elements if tag == "svg" and "aria-hidden" not in attributes]
    assert figures
    assert all(attributes.get("role") == "img" for attributes in figures)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert all("scope" in attributes for tag, attributes in page.elements if tag == "th")


def test_the_same_files_make_the_same_page(make_run: Callable[..., Path]) -> None:
    first, second = (build(make_run(), resampling=FAST).to_html() for _ in range(2))
    assert first == second


def test_configuration_is_there_to_the_letter(make_run: Callable[..., Path]) -> None:
    page = Page(build(make_run(), resampling=FAST).to_html())
    assert (make_run() / "config.yaml").read_text() in page.text


def test_filters_look_only_at_their_own_fieldset() -> None:
    """With `body:has`, a browser looks at the whole page again for each instance that arrives."""
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    assert ".filters:has(#f-wrong:checked) ~ .listed >" in css
    assert "body:has" not in css + Path(html.__file__).read_text(encoding="utf-8")


def luminance(color: tuple[float, ...]) -> float:
    """Relative luminance of WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def themes() -> list[dict[str, tuple[float, ...]]]:
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    found = []
    for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]:
        colors = {
            n: tuple(int(v[i : i + 2], 16) for i in (1, 3, 5)) for n, v in re.findall(r"--(\w+): (#\w{6})", block)
        }
        heat = re.search(r"--heat: (\d+) (\d+) (\d+)", block)
        assert heat is not None
        found.append({**colors, "heat": tuple(map(float, heat.groups()))})
    return found


@pytest.mark.parametrize("theme", themes(), ids=["light", "dark"])
def test_colors_can_be_told_apart_and_read(theme: dict[str, tuple[float, ...]]) -> None:
    paper, ink = theme["paper"], theme["ink"]
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    alphas = [0.0, *(float(a) for a in re.findall(r"\.s[1-8] \{ background: rgb\(var\(--heat\) / (\.\d+)\)", css))]
    assert len(alphas) == 9
    shades = [tuple(p + a * (h - p) for p, h in zip(paper, theme["heat"], strict=True)) for a in alphas]
    steps = [luminance(shade) for shade in shades]
    assert steps in (sorted(steps), sorted(steps, reverse=True))  # told by lightness alone
    assert min(contrast(ink, shade) for shade in shades) >= 4.5
    assert min(contrast(theme[name], paper) for name in ("soft", "link", "bad")) >= 4.5
    assert min(contrast(theme[f"c{k}"], paper) for k in range(8)) >= 3
    assert contrast(theme["gold"], shades[-1]) >= 2.4  # a thick line, beside the word's own shape


def test_plain_text_stays_as_it_is() -> None:
    assert plain("naïve 漢字 🙂 שלום 👩\u200d🚀") == "naïve 漢字 🙂 שלום 👩\u200d🚀"
    assert plain("a\nb\tc") == "a\nb\tc"
    assert plain("a\r\nb\x00\x9b", lines=False) == "a b\\u0000\\u009b"
    assert plain("\udc80\U000e0041") == "\\udc80\\udb40\\udc41"

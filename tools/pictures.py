"""Makes the pictures of the documentation from two runs of a sentiment model: see docs/gallery.md.

    python tools/pictures.py runs/default runs/slm-fp

Needs the development environment and Chromium. Nothing is drawn by hand: pages, terminal and notebook are what a user
sees, cut to a size that a page can show.
"""

import argparse
import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Browser, FloatRect, Page, sync_playwright
from rich.console import Console
from rich.text import Text

from unirex.explainer import Explainer
from unirex.report import RunReport, build

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ASKED = "a warm , clever film with one dull scene"
COLUMNS, LINES = 100, 44
MARGIN = 12


class Shot(NamedTuple):
    """One picture: of which page, from which element to which (the screen if none), and how the screen is."""

    name: str
    page: str
    part: str = ""
    until: str = ""
    width: int = 1280
    height: int = 800
    scale: int = 1
    scheme: str = "light"


SHOTS = (
    Shot("report", "one", height=760),
    Shot("rationale", "one", "#verdict .key", "#verdict .example", width=680, scale=2),
    Shot("classes", "one", "[aria-label='Metrics by predicted class']", width=900, scale=2),
    Shot("two", "both", "#apart", width=1000, height=1300),
    Shot("phone", "one", width=390, height=844, scale=2, scheme="dark"),
    Shot("terminal", "terminal", "pre", width=1500),
    Shot("notebook", "notebook", "body > div", width=640, scale=2),
)


def terminal(report: RunReport) -> str:
    """The page that shows the first lines of the terminal's view, in its colors."""
    lines = report.to_text(color=True, width=COLUMNS).splitlines()[:LINES]
    console = Console(record=True, file=io.StringIO(), width=COLUMNS, force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi("\n".join(lines)), soft_wrap=True)
    return console.export_html(inline_styles=True)


def pages(one: Path, other: Path) -> dict[str, str]:
    """Each page by its name."""
    report = build(one)
    return {
        "one": report.to_html(),
        "both": build(one, other).to_html(),
        "terminal": terminal(report),
        "notebook": f"<!doctype html><meta charset=utf-8>{Explainer.from_pretrained(one)(ASKED)._repr_html_()}",
    }


def take(page: Page, shot: Shot) -> bytes:
    """PNG of what the shot names, with at most its height."""
    if not shot.part:
        return page.screenshot(animations="disabled")
    first, last = (page.locator(part).first.bounding_box() for part in (shot.part, shot.until or shot.part))
    if first is None or last is None:
        raise SystemExit(f"{shot.name}: {shot.part} is not shown")
    x, y = max(0, first["x"] - MARGIN), first["y"] - 1
    width, height = first["width"] + 2 * MARGIN, last["y"] + last["height"] - y - 1
    clip = FloatRect(x=x, y=y, width=min(shot.width, width), height=min(shot.height, height))
    return page.screenshot(clip=clip, full_page=True, animations="disabled")


def save(png: bytes, path: Path) -> None:
    """Writes a PNG with a palette of 128 colors, a third of the size."""
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def photograph(browser: Browser, contents: dict[str, str], folder: Path) -> None:
    """Every shot as a file in the folder, its size printed."""
    with tempfile.TemporaryDirectory() as place:
        for name, html in contents.items():
            Path(place, f"{name}.html").write_text(html, encoding="utf-8")
        for shot in SHOTS:
            page = browser.new_page(
                viewport={"width": shot.width, "height": shot.height},
                device_scale_factor=shot.scale,
                color_scheme="dark" if shot.scheme == "dark" else "light",
            )
            page.goto(Path(place, f"{shot.page}.html").as_uri())
            path = folder / f"{shot.name}.png"
            save(take(page, shot), path)
            print(f"{path.stat().st_size / 1000:6.0f} kB  {path}")
            page.close()


def main() -> None:
    """Two folders of runs in, the files of docs/pictures out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run that most pictures show")
    parser.add_argument("other", type=Path, help="folder of the run that it is compared with")
    parser.add_argument("-o", "--output", type=Path, default=PICTURES, help="folder of the pictures")
    given = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        sys.exit(f"no browser found, expected one of {', '.join(BROWSERS)}")
    given.output.mkdir(parents=True, exist_ok=True)
    contents = pages(given.run, given.other)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        photograph(browser, contents, given.output)
        browser.close()


if __name__ == "__main__":
    main()

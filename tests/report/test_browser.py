"""The page in a real browser: it loads cleanly, asks nobody, and filters by mouse, by keyboard, without scripts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from report.made_runs import HOSTILE
from report.test_explanations import explain
from unirex.metrics.state import Resampling
from unirex.report import RunReport, build

FAST = Resampling(replicates=20)


@pytest.fixture(scope="module")
def hostile(make_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[RunReport, Path]:
    """Two runs whose data try everything, side by side."""
    extra = tuple(HOSTILE)
    report = build(make_run("a", extra=extra), make_run("b", extra=extra, seed=1), resampling=FAST)
    path = tmp_path_factory.mktemp("page") / "report.html"
    report.save(path)
    return report, path


@contextmanager
def opened(browser: Any, path: Path, **options: Any) -> Iterator[tuple[Any, list[str], list[str]]]:
    """The page, what the console said, and what was asked of the network."""
    context = browser.new_context(**options)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    try:
        yield page, said, asked
    finally:
        context.close()


def shown(page: Any) -> int:
    return page.locator(".instance:visible").count()


def expected(report: RunReport, name: str) -> int:
    tests: dict[str, Callable[[Any], bool]] = {
        "wrong": lambda one: one.wrong,
        "unfaithful": lambda one: one.unfaithful is not None,
        "implausible": lambda one: one.implausible is not None,
        "differs": lambda one: one.differs,
    }
    return sum(tests[name](one) for one in report.instances)


def test_loads_cleanly_and_asks_nobody(browser: Any, hostile: tuple[RunReport, Path]) -> None:
    report, path = hostile
    with opened(browser, path) as (page, said, asked):
        assert said == []
        assert asked == [path.as_uri()]
        assert shown(page) == len(report.instances)
        assert page.title().startswith("a, b")


def test_the_policy_stops_foreign_scripts(browser: Any, hostile: tuple[RunReport, Path]) -> None:
    with opened(browser, hostile[1]) as (page, said, _):
        stopped: list[str] = []
        page.on("requestfailed", lambda request: stopped.append(f"{request.url} {request.failure}"))
        page.evaluate(
            """() => { for (const [tag, key, value] of [["script", "textContent", "window.hacked = 2"],
            ["img", "src", "https://example.org/x.png"]]) {
            const element = document.createElement(tag); element[key] = value; document.body.append(element); } }"""
        )
        page.wait_for_timeout(50)
        assert page.evaluate("window.hacked") is None
        assert len(said) == 2
        assert stopped == ["https://example.org/x.png csp"]


def test_markup_in_data_stays_text(browser: Any, hostile: tuple[RunReport, Path]) -> None:
    with opened(browser, hostile[1]) as (page, _, _):
        assert page.evaluate("window.hacked") is None
        assert page.evaluate("document.scripts.length") == 1
        assert page.locator("img").count() == 0
        texts = page.locator(".words").all_text_contents()
        assert sum("<script>window.hacked=1</script>" in text for text in texts) > 0
        assert sum("{{7*7}}" in text for text in texts) > 0


@pytest.mark.parametrize("name", ["wrong", "unfaithful", "implausible", "differs"])
@pytest.mark.parametrize("scripts", [True, False])
def test_filters_by_mouse(browser: Any, hostile: tuple[RunReport, Path], name: str, scripts: bool) -> None:
    report, path = hostile
    wanted = expected(report, name)
    assert 0 < wanted < len(report.instances)
    with opened(browser, path, java_script_enabled=scripts) as (page, _, _):
        page.locator(f"label:has(#f-{name})").click()
        assert shown(page) == wanted
        assert page.locator(f".instance.{name}:visible").count() == wanted
        assert page.locator("#status").is_visible() == scripts
        if scripts:
            assert page.locator("#status").text_content() == f"{wanted} of {len(report.instances)} shown"


@pytest.mark.parametrize("scripts", [True, False])
def test_filter_by_label(browser: Any, hostile: tuple[RunReport, Path], scripts: bool) -> None:
    report, path = hostile
    with opened(browser, path, java_script_enabled=scripts) as (page, _, _):
        page.locator("#label").select_option(label="yes")
        assert shown(page) == sum(one.label == "yes" for one in report.instances)
        page.locator("label:has(#f-wrong)").click()
        assert shown(page) == sum(one.label == "yes" and one.wrong for one in report.instances)


def test_filters_by_keyboard_alone(browser: Any, hostile: tuple[RunReport, Path]) -> None:
    report, path = hostile
    with opened(browser, path) as (page, _, _):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")  # to the instances
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "f-all"
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == "f-wrong"
        assert shown(page) == expected(report, "wrong")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "label"
        page.keyboard.press("ArrowDown")
        label = page.evaluate("document.getElementById('label').selectedOptions[0].label")
        assert label == "no"
        wanted = sum(one.label == label and one.wrong for one in report.instances)
        assert shown(page) == wanted
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "search"
        page.keyboard.type("row-1jk")  # letters here are typed, not commands
        assert page.evaluate("document.activeElement.id") == "search"
        assert shown(page) == 0
        assert page.locator("#status").text_content() == "none fits"


def test_steps_by_keys(browser: Any, hostile: tuple[RunReport, Path]) -> None:
    with opened(browser, hostile[1]) as (page, _, _):
        page.locator("label:has(#f-wrong)").click()
        page.keyboard.press("j")
        first = page.evaluate("document.activeElement.closest('.instance').id")
        page.keyboard.press("j")
        page.keyboard.press("k")
        assert page.evaluate("document.activeElement.closest('.instance').id") == first
        assert "wrong" in page.evaluate("document.activeElement.closest('.instance').className")


def test_search_and_order(browser: Any, hostile: tuple[RunReport, Path]) -> None:
    report, path = hostile
    with opened(browser, path) as (page, _, _):
        page.locator("#order").select_option("f")
        values = page.evaluate("[...document.querySelectorAll('.instance')].map(e => Number(e.dataset.f))")
        assert values == sorted(values)
        assert values[0] == pytest.approx(min(one.worst("csd") for one in report.instances), rel=1e-5)
        page.locator("#search").fill("WORD7")
        found = sum(
            any(word.text.startswith("word7") for view in one.views if view for word in view.words)
            for one in report.instances
        )
        assert 0 < shown(page) == found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768])
def test_fits_a_phone(browser: Any, hostile: tuple[RunReport, Path], width: int, scheme: str) -> None:
    size = {"width": width, "height": 800}
    with opened(browser, hostile[1], viewport=size, color_scheme=scheme) as (page, _, _):
        page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_tables_are_cards_on_a_phone(browser: Any, hostile: tuple[RunReport, Path]) -> None:
    with opened(browser, hostile[1], viewport={"width": 390, "height": 800}) as (page, _, _):
        [cell, row, head] = [page.locator(f"#overview .numbers {tag}").first for tag in ("td", "tbody tr", "thead")]
        assert not head.is_visible()
        assert cell.bounding_box()["width"] > 0.8 * row.bounding_box()["width"]
        said = cell.evaluate("e => getComputedStyle(e, '::before').content")
        assert said.startswith('"share of right answers')
        wide = page.locator("main table").evaluate_all("all => all.filter(e => e.scrollWidth > 390).length")
        assert wide == 0


def test_a_score_is_told_by_tap_and_by_keys(browser: Any, hostile: tuple[RunReport, Path]) -> None:
    report, path = hostile
    [view] = report.instances[0].views[:1]
    assert view is not None
    first = next(word for word in view.words if word.score is not None)
    score = f"score {first.score:.3g}".replace("-", "−")
    with opened(browser, path, has_touch=True) as (page, said, _):
        bubble = page.locator("#bubble")
        assert not bubble.is_visible()
        page.locator("#i0 .words [title]").first.tap()
        assert bubble.text_content().startswith(score)
        assert ("selected" in bubble.text_content()) == first.framed
        page.locator("#overview-h").tap()
        assert not bubble.is_visible()
        page.locator("#i0 h3 a").focus()
        page.keyboard.press("ArrowRight")
        assert bubble.text_content().startswith(score)
        page.keyboard.press("Escape")
        assert not bubble.is_visible()
        assert said == []


def test_two_runs_that_are_far_apart(browser: Any, hostile: tuple[RunReport, Path]) -> None:
    report, path = hostile
    far = [one for one in report.instances if one.apart is not None]
    with opened(browser, path) as (page, _, _):
        page.locator("label:has(#f-apart)").click()
        assert shown(page) == len(far) > 0
        page.locator("#order").select_option("d")
        top = max(far, key=lambda one: abs(one.apart or 0))
        assert page.locator(".instance h3 bdi").first.text_content() == top.id
        assert page.locator("#apart .example h3 bdi").first.text_content() == top.id


@pytest.fixture(scope="module")
def long_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    path = explain(folder / "x.jsonl", labels=lambda i: i % 2 == 0, n=450, extra=tuple(HOSTILE))
    build(path, resampling=Resampling(replicates=0)).save(folder / "x.html")
    return folder / "x.html"


def test_what_lies_far_down_is_laid_out_when_it_comes_near(browser: Any, long_list: Path) -> None:
    laid_out = "document.querySelectorAll('.instance').length"
    with opened(browser, long_list) as (page, said, _):
        assert page.evaluate(laid_out) == 200
        assert page.locator("#status").text_content() == "450 of 450 shown"
        page.evaluate("location.hash = 'i449'")
        page.wait_for_selector("#i449:target")
        page.evaluate("document.querySelector('#list > ol:nth-child(2)').scrollIntoView()")
        page.wait_for_selector("#i250")
        page.locator("#search").fill('"><IMG SRC=X')
        assert page.evaluate(laid_out) == sum(HOSTILE[i % len(HOSTILE)].startswith('"><img src=x') for i in range(450))
        assert page.evaluate("document.images.length") == 0
        assert page.evaluate("window.hacked") is None
        page.locator("#search").fill("")
        page.locator("label:has(#f-wrong)").click()
        wrong = page.locator("#status").text_content().split()[0]
        assert page.evaluate("[...document.querySelectorAll('.instance')].every(e => e.matches('.wrong'))")
        assert said == []
    with opened(browser, long_list, java_script_enabled=False) as (page, said, _):
        assert shown(page) == 450
        page.locator("label:has(#f-wrong)").click()
        assert shown(page) == int(wrong) > 0
        assert said == []


def test_print_shows_instances_and_no_controls(browser: Any, hostile: tuple[RunReport, Path]) -> None:
    with opened(browser, hostile[1]) as (page, _, _):
        page.emulate_media(media="print")
        assert not page.locator(".filters").is_visible()
        assert page.locator(".instance").first.is_visible()


def test_notebook_frame(browser: Any, hostile: tuple[RunReport, Path], tmp_path: Path) -> None:
    report, _ = hostile
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><title>n</title>{report._repr_html_()}", encoding="utf-8")
    with opened(browser, path) as (page, said, _):
        frame = page.frames[1]
        frame.wait_for_selector(".instance")
        assert frame.locator("#status").text_content() == f"{len(report.instances)} of {len(report.instances)} shown"
        frame.locator("label:has(#f-wrong)").click()
        assert frame.locator(".instance:visible").count() == expected(report, "wrong")
        assert page.evaluate("window.hacked") is None
        assert said == []

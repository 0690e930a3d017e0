"""The page in a real browser: three widths, dark and light, without network, without script."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import pandas as pd
import pytest
from conftest import REPOSITORY

from analysis.report.study import FIGURE_OF

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions"]
LONGEST = 60  # seconds of a test, which takes 1 to 10
HUNG: list[int] = []  # a time limit that was reached
WIDTHS = (390, 820, 1440)  # pixels: a telephone, a tablet, a desktop
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of the reference results of mini, with the figures that stand beside the paper's."""
    figures = tmp_path_factory.mktemp("figures")
    drawn = REPOSITORY / "figures" / "reference"
    for path in (drawn / "mini").iterdir():
        if path.suffix == ".md" or (path.suffix == ".png" and path.stem in FIGURE_OF):
            shutil.copy(path, figures)
    scorecard = pd.read_csv(drawn / "scorecard.csv", dtype=str)
    of_mini = [name for name in scorecard if name.startswith("mini_")]
    scorecard.rename(columns={name: f"yours{name[4:]}" for name in of_mini}).to_csv(
        figures / "scorecard.csv", index=False
    )
    folders = ["--results", REPOSITORY / "results" / "reference" / "mini", "--figures", figures]
    subprocess.run(
        [sys.executable, "-m", "analysis.report", *folders],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    return figures / "report.html"


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        if not HUNG:
            opened.close()


@contextmanager
def within(seconds: int):
    """Skips what takes longer: on a busy machine chromium was seen to restart its renderer without
    end, and the client waits for it for ever."""

    def give_up(*_):
        HUNG.append(seconds)
        # the client, whose end is that of its chromium; what waits for it then gets an error
        subprocess.run(["pkill", "-KILL", "-P", str(os.getpid()), "-f", "playwright/driver"])
        pytest.skip(f"chromium did not answer for {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def _in_time():
    with within(LONGEST):
        yield


@pytest.fixture
def visit(browser, report):
    """A function that opens the page; afterwards nothing was asked of a network and nothing stands
    on the console."""
    said, asked, contexts = [], [], []

    def open_page(**settings):
        if HUNG:
            pytest.skip("chromium has hung before")
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.as_uri())
        return page

    yield open_page
    if HUNG:
        return
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_size(report):
    assert report.stat().st_size < 5_000_000


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(visit, width):
    page = visit(viewport={"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")


def test_contents_stand_at_the_side_or_on_top(visit):
    boxes = {}
    for width in WIDTHS:
        page = visit(viewport={"width": width, "height": 900})
        boxes[width] = [page.locator(name).bounding_box() for name in ("nav", "main")]
    nav, main = boxes[1440]
    assert nav["x"] + nav["width"] <= main["x"]
    for width in WIDTHS[:2]:
        nav, main = boxes[width]
        assert nav["y"] + nav["height"] <= main["y"]


def test_verdicts_are_on_the_first_screen(visit):
    page = visit(viewport={"width": 1440, "height": 900})
    last = page.locator("header tbody tr").last.bounding_box()
    assert page.locator("header tbody tr").count() == 8
    assert last["y"] + last["height"] < 900
    assert "failed without it 16 of 25, with it 0 of 25" in page.locator("header").inner_text()


def test_every_link_lands(visit):
    page = visit(viewport={"width": 1440, "height": 900})
    links = page.eval_on_selector_all("a[href^='#']", "all => all.map(a => a.getAttribute('href'))")
    assert len(links) > 25
    missing = [link for link in set(links) if page.locator(f"[id='{link[1:]}']").count() != 1]
    assert missing == []


def test_a_column_sorts_both_ways_by_mouse_and_by_keyboard(visit):
    page = visit(viewport={"width": 1440, "height": 900})
    table = page.locator("main .scroll", has=page.locator("th.number", has_text="mean")).first
    head = table.locator("th.number", has_text="mean").first
    column = head.evaluate("th => th.cellIndex")
    rows = "[...t.querySelectorAll('tbody tr')]"
    read = f"t => {rows}.map(r => parseFloat(r.cells[{column}].innerText))"

    def numbers():
        return [x for x in table.evaluate(read) if x is not None and x == x]

    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending" and numbers() == sorted(numbers())
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert numbers() == sorted(numbers(), reverse=True) and len(set(numbers())) > 1


def test_published_and_own_stand_side_by_side(visit):
    page = visit(viewport={"width": 1440, "height": 900})
    pair = page.locator(".pair").first.locator("figure")
    one, other = (pair.nth(i).bounding_box() for i in range(2))
    assert one["x"] + one["width"] <= other["x"] and abs(one["y"] - other["y"]) < 1
    assert page.locator(".pair").count() == 7
    pair.nth(0).locator("img").click()
    assert pair.nth(0).bounding_box()["width"] > 1.5 * one["width"]


def test_on_a_telephone_a_wide_figure_scrolls_instead_of_shrinking(visit):
    page = visit(viewport={"width": 390, "height": 900})
    for figure in page.locator(".pair figure").all():
        image = figure.locator("img")
        natural = int(image.get_attribute("width"))
        assert image.bounding_box()["width"] == pytest.approx(min(natural, 640), abs=1)
        assert figure.bounding_box()["width"] <= 390
        assert figure.locator("figcaption").bounding_box()["width"] <= 390


CONTRAST = """name => {
  const linear = x => (x /= 255) <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4;
  const light = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(linear);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ink = light(getComputedStyle(document.querySelector(name)).color);
  const paper = light(getComputedStyle(document.documentElement).backgroundColor);
  return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
}"""
TALLEST = "Math.max(...[...document.images].map(i => i.getBoundingClientRect().height))"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_wcag_aa(visit, scheme):
    page = visit(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    for name in ("p", "nav a", "td", "figcaption", "h2"):
        assert page.evaluate(CONTRAST, name) >= 4.5, name
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (dark == "rgb(255, 255, 255)") == (scheme == "light")


def test_readable_without_script(visit):
    page = visit(viewport={"width": 1440, "height": 900}, java_script_enabled=False)
    assert page.locator("th button").count() == 0
    assert page.locator("main table").first.is_visible()


def test_print_cuts_no_figure(visit, tmp_path):
    page = visit(viewport={"width": 1440, "height": 900})
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    height = page.evaluate(
        "Math.max(...[...document.images].map(i => i.getBoundingClientRect().height))"
    )
    assert height <= 230 / 25.4 * 96 + 1  # as high as a page of A4 has room


def test_landmarks_and_texts_for_a_screen_reader(visit):
    page = visit(viewport={"width": 1440, "height": 900})
    for name in ("header", "nav", "main"):
        assert page.locator(name).count() == 1
    assert page.evaluate("[...document.images].every(i => i.alt.length > 10)")
    assert page.evaluate("[...document.querySelectorAll('table')].every(t => t.tHead)")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"

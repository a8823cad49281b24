"""The page in a real browser: `pip install playwright`, chromium on the PATH, `pytest -m slow`."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sepcli.page import Page
from tests.page.talks import talk_in

playwright = pytest.importorskip("playwright.sync_api")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]
PLAYS = "[...document.querySelectorAll('audio')].map(audio => !audio.paused)"
TIMES = "[...document.querySelectorAll('audio')].map(audio => audio.currentTime)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Shown:
    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page = browser.new_context(**options).new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())

    def click(self, row: int, seconds: float) -> None:
        """Click the spectrogram of a row where a time stands."""
        view = self.page.locator(".view").nth(row)
        box = view.bounding_box()
        view.click(position={"x": box["width"] * seconds / 6.0, "y": 20})

    def wait(self, condition: str) -> None:
        for _ in range(200):  # wait_for_function is script too, which the page's policy forbids
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never: {condition}")


@pytest.fixture
def shown(browser: Any, tmp_path: Path) -> Iterator[Shown]:
    with Page(tmp_path / "page.html", overwrite=False) as page:
        page.add(talk_in(tmp_path, "<b>talk.wav", "<i>spk</i>"))
        page.publish()
    shown = Shown(browser, tmp_path / "page.html", viewport={"width": 640, "height": 900})
    yield shown
    assert shown.complaints == []
    assert [url for url in shown.requests if not url.startswith(("data:", "file:"))] == []
    assert len([url for url in shown.requests if url.startswith("file:")]) == 1
    shown.page.context.close()


def test_a_click_is_heard_from_there(shown: Shown) -> None:
    begun = time.monotonic()
    shown.click(2, 1.6)
    shown.wait(f"{PLAYS}[2] && {TIMES}[2] > 1.7")
    assert shown.page.evaluate(PLAYS) == [False, False, True, False]
    assert shown.page.evaluate(TIMES)[2] < 1.7 + time.monotonic() - begun
    assert shown.page.locator(".choose[aria-pressed=true]").inner_text() == "<i>spk</i>2"
    assert shown.page.locator(".play").inner_text() == "Pause"
    left = shown.page.evaluate("parseFloat(document.querySelector('.cursor').style.left)")
    assert left == pytest.approx(100 * shown.page.evaluate(TIMES)[2] / 6.0, abs=5)


def test_another_speaker_goes_on_at_the_same_place(shown: Shown) -> None:
    begun = time.monotonic()
    shown.click(1, 1.0)
    shown.wait(f"{PLAYS}[1] && {TIMES}[1] > 1.1")
    shown.page.locator(".choose").nth(3).click()
    shown.wait(f"{PLAYS}[3] && {TIMES}[3] > {TIMES}[1]")
    assert shown.page.evaluate(PLAYS) == [False, False, False, True]
    assert shown.page.evaluate(TIMES)[3] < 1.1 + time.monotonic() - begun
    shown.page.locator(".play").click()
    assert not any(shown.page.evaluate(PLAYS))


def test_turns_are_shown_where_they_are_and_can_be_reached_by_keys(shown: Shown) -> None:
    turns = shown.page.locator(".turns button")
    assert turns.count() == 4
    wide = shown.page.locator(".wide").bounding_box()
    for number, (start, stop) in enumerate(((0.5, 2.0), (5.5, 6.0), (1.5, 3.0), (4.0, 5.0))):
        box = turns.nth(number).bounding_box()
        assert box["x"] - wide["x"] == pytest.approx(wide["width"] * start / 6.0, abs=1)
        assert box["width"] == pytest.approx(wide["width"] * (stop - start) / 6.0, abs=2)
    turns.nth(0).focus()
    shown.page.keyboard.press("ArrowRight")
    assert shown.page.evaluate("document.activeElement.ariaLabel") == "<i>spk</i>1, 0:05 to 0:06"
    shown.page.keyboard.press("Enter")
    shown.wait(f"{PLAYS}[1] && {TIMES}[1] >= 5.5")


def test_doubts_are_marked(shown: Shown) -> None:
    wide = shown.page.locator(".wide").bounding_box()
    box = shown.page.locator(".doubt").bounding_box()
    assert box["x"] - wide["x"] == pytest.approx(wide["width"] * 2.0 / 6.0, abs=1)
    assert box["height"] > 300
    shown.page.locator(".doubts button").click()
    shown.wait(f"{PLAYS}[0] && {TIMES}[0] >= 2.0")


def test_names_are_text(shown: Shown) -> None:
    assert shown.page.locator("h2").inner_text() == "<b>talk.wav"
    assert shown.page.locator("main b, main i").count() == 0


def test_position_and_zoom(shown: Shown) -> None:
    shown.page.locator(".position").fill("3")
    assert shown.page.locator(".clock").inner_text() == "0:03 / 0:06"
    shown.page.locator(".zoom").select_option("5")
    wide, seen = (shown.page.locator(name).bounding_box() for name in (".wide", ".timeline"))
    assert wide["width"] == pytest.approx(5 * seen["width"], rel=0.01)
    cursor = shown.page.locator(".cursor").bounding_box()
    assert seen["x"] < cursor["x"] < seen["x"] + seen["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 640, 1600])
def test_it_fits_wherever_it_is_shown(
    browser: Any, shown: Shown, tmp_path: Path, scheme: str, width: int
) -> None:
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    other = Shown(browser, tmp_path / "page.html", **options)
    assert other.page.evaluate("document.documentElement.scrollWidth") <= width
    colours = other.page.evaluate(
        "['color', 'backgroundColor'].map(key => getComputedStyle(document.body)[key])"
    )
    text, ground = (sum(map(int, colour[4:-1].split(", "))) for colour in colours)
    assert (text < ground) == (scheme == "light")
    other.page.context.close()

"""The page in a browser: no errors, no requests, every plot drawn, in light and in dark, wide and narrow."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.report.pages import html_page
from tests.report.html.browser import PROGRAM, Browser

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on PATH to look at the page with")

BOXES = """[...document.querySelectorAll("figure svg")].map(svg => {
  const box = svg.getBoundingClientRect();
  return [svg.getAttribute("aria-label"), box.x + scrollX, box.y + scrollY, box.width, box.height];
})"""
OVERLAPS = """[...document.querySelectorAll("figure svg")].flatMap(svg => {
  const texts = [...svg.querySelectorAll("text")].filter(text => text.textContent.trim());
  const boxes = texts.map(text => [text.textContent, text.getBoundingClientRect()]);
  return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([b, q]) =>
    Math.min(p.right, q.right) - Math.max(p.left, q.left) > 2 &&
    Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 4).map(([b, q]) => a + " / " + b));
})"""
BLUE, RED = {"light": (0, 114, 178), "dark": (74, 168, 224)}, {"light": (213, 94, 0), "dark": (238, 129, 56)}
PAGE = {"light": (255, 255, 255), "dark": (21, 24, 28)}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(report, texts, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(html_page(report, "out/student", texts), encoding="utf-8")
    return path


def share(pixels, colour):
    """How much of an image has a colour."""
    return float((np.abs(np.asarray(pixels, dtype=int) - colour).max(axis=-1) <= 3).mean())


def test_no_errors_and_no_requests(browser, page):
    browser.open(page)
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith("data:")] == [page.resolve().as_uri()]


def test_an_error_and_a_request_would_be_noticed(browser, page):
    html = page.read_text(encoding="utf-8")
    page.write_text(html.replace("</main>", '<img src="http://127.0.0.1:9/x.png"></main>'), encoding="utf-8")
    browser.open(page)
    assert browser.complaints() != []
    policy = html[html.index('<meta http-equiv="Content') : html.index('<meta name="viewport"')]
    page.write_text(page.read_text(encoding="utf-8").replace(policy, ""), encoding="utf-8")
    browser.open(page)
    assert "http://127.0.0.1:9/x.png" in browser.requests()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_plot_is_drawn(browser, page, scheme):
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.open(page)
    boxes = browser.evaluate(BOXES)
    assert len(boxes) == 6
    assert len({round(width) for _, _, _, width, _ in boxes}) == 1
    for label, *box in boxes:
        pixels = browser.screenshot(*box)
        assert 0.5 < share(pixels, PAGE[scheme]) < 0.99, label
        assert share(pixels, BLUE[scheme]) + share(pixels, RED[scheme]) > 0.001, label
        if label.startswith("Sorted differences"):
            assert share(pixels, BLUE[scheme]) > 0.01 and share(pixels, RED[scheme]) > 0.01, label


def test_no_labels_lie_on_each_other(browser, page):
    browser.open(page)
    assert browser.evaluate(OVERLAPS) == []


@pytest.mark.parametrize("width", [360, 800, 1500])
def test_nothing_is_wider_than_the_window(browser, page, width):
    browser.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.open(page)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    browser.send("Emulation.clearDeviceMetricsOverride")

"""The report in a real browser: read, opened, switched to dark, wide and narrow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from patchctl.report.page import page
from tests.report.browser import CHROMIUM, DRIVER, Browser, browsing
from tests.report.made import make

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# On a developer's machine without a browser this is skipped; CI installs one and fails if that did not work.
pytestmark = pytest.mark.skipif(
    (CHROMIUM is None or DRIVER is None) and "CI" not in os.environ, reason="needs chromium and chromedriver"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    path = root / "report.html"
    path.write_bytes(page(make(root / "workspace")))
    return path


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(window: Browser, report: Path) -> Browser:
    window.call("goog/cdp/execute", {"cmd": "Emulation.clearDeviceMetricsOverride", "params": {}})
    window.prefer("light")
    window.open(report)
    return window


def background(browser: Browser) -> str:
    return str(browser.run("return getComputedStyle(document.body).backgroundColor"))


def test_it_reads(browser: Browser) -> None:
    assert browser.run("return document.querySelector('h1').innerText") == "r9"
    rows = browser.run(
        "return [...document.querySelectorAll('#patches tbody tr')].map(it => it.innerText.replace(/\\s+/g, ' '))"
    )
    assert rows[0].startswith("first-fix Fix the first thing clean review landed with changes pass cpu")
    assert rows[1].startswith("second-fix Second offset keep not in the base skip cpu")
    assert "proven" in browser.run("return document.querySelector('#builds').innerText")


def test_nothing_is_loaded_run_or_complained_about(browser: Browser) -> None:
    assert browser.run("return performance.getEntriesByType('resource').map(it => it.name)") == []
    assert browser.run("return document.title") == "r9: patchctl report"
    assert browser.run("return document.images.length") == 0
    scripts = browser.run("return [...document.scripts].map(it => it.src)")
    assert scripts == [""]
    assert browser.errors() == []


def test_its_policy_refuses_what_somebody_sneaks_in(browser: Browser) -> None:
    browser.run(
        "const it = document.createElement('script'); it.textContent = 'window.taken = 1'; document.body.append(it)"
    )
    browser.run("const it = new Image(); it.src = 'http://127.0.0.1:9/x.png'; document.body.append(it)")
    assert browser.run("return window.taken ?? null") is None
    said = " ".join(browser.errors())
    assert "script-src" in said
    assert "img-src" in said or "default-src" in said


def test_a_log_is_opened_by_a_click(browser: Browser) -> None:
    visible = "return document.querySelector('.tests pre').checkVisibility()"
    assert browser.run(visible) is False
    browser.click(".tests summary")
    assert browser.run(visible) is True
    assert browser.run("return document.querySelector('.tests pre').innerText") == "it boots"


def test_what_failed_is_open_from_the_start(browser: Browser) -> None:
    opened = browser.run("return [...document.querySelectorAll('.tests details[open]')].map(it => it.innerText)")
    assert len(opened) == 1
    assert "the last line" in opened[0]


def test_a_link_to_a_patch_opens_its_rationale(browser: Browser) -> None:
    browser.click('a[href="#patch-first-fix"]')
    assert browser.run("return document.getElementById('patch-first-fix').open") is True
    assert "Because it broke." in browser.run("return document.querySelector('#patch-first-fix .prose').innerText")


def test_the_theme_follows_the_system_and_the_button_and_is_kept_nowhere(browser: Browser, report: Path) -> None:
    light = background(browser)
    browser.click("#theme")
    dark = background(browser)
    assert dark != light
    assert browser.run("return document.querySelector('#theme').getAttribute('aria-pressed')") == "true"
    assert browser.run("return localStorage.length + sessionStorage.length + document.cookie.length") == 0
    browser.open(report)
    assert background(browser) == light
    browser.prefer("dark")
    browser.open(report)
    assert background(browser) == dark
    browser.click("#theme")
    assert background(browser) == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read_on_its_background(browser: Browser, scheme: str) -> None:
    browser.prefer(scheme)
    # WCAG 2.2, 1.4.3: a contrast of 4.5.
    poor = browser.run("""
        const part = (value) => value <= 10.31 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
        const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
        const has_text = (it) => [...it.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
        const under = (it) => {
          for (; it; it = it.parentElement) {
            const found = parts(getComputedStyle(it).backgroundColor);
            if (found.length === 3) return found;
          }
          return parts(getComputedStyle(document.body).backgroundColor);
        };
        document.querySelectorAll('details').forEach(it => it.open = true);
        return [...document.querySelectorAll('body *')]
          .filter(it => it.checkVisibility() && !it.closest('svg') && has_text(it))
          .map(it => {
            const [a, b] = [light(parts(getComputedStyle(it).color)), light(under(it))].sort((x, y) => y - x);
            return [it.tagName, it.className, it.innerText.slice(0, 30), (a + 0.05) / (b + 0.05)];
          })
          .filter(found => found[3] < 4.5);
    """)
    assert poor == []


def test_a_narrow_screen_needs_no_sideways_scrolling(browser: Browser, tmp_path: Path) -> None:
    browser.narrow(360, 800)
    browser.run("document.querySelectorAll('details').forEach(it => it.open = true)")
    wide = browser.run("""
        return [...document.querySelectorAll('body *')]
          .filter(it => it.checkVisibility() && !it.closest('svg') && it.getBoundingClientRect().right > 361)
          .map(it => [it.tagName, it.className, it.innerText?.slice(0, 30)])
    """)
    assert wide == []
    assert browser.run("return document.documentElement.scrollWidth") <= 360
    assert browser.shot(tmp_path / "narrow.png")[:4] == b"\x89PNG"


def test_wide_and_dark_are_two_pictures(browser: Browser, tmp_path: Path) -> None:
    first = browser.shot(tmp_path / "light.png")
    browser.click("#theme")
    assert browser.shot(tmp_path / "dark.png") != first


def test_tables_keep_their_meaning_when_they_are_stacked(browser: Browser) -> None:
    browser.narrow(360, 800)
    assert browser.roles("main > section > table") == {"table"}
    assert browser.roles("#patches > table tbody tr") == {"row"}
    assert browser.roles("#patches > table tbody th") == {"rowheader"}
    assert browser.roles("#patches > table tbody td") == {"cell"}

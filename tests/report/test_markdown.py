from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from patchctl.report.markdown import LIMIT, cell, fenced, inside, markdown
from tests.report.made import make

if TYPE_CHECKING:
    from pathlib import Path


def rendered(text: str) -> str:
    """Return what GitHub makes of it: CommonMark with HTML and tables."""
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


def test_it_says_everything_and_nothing_takes_effect(tmp_path: Path) -> None:
    text = markdown(make(tmp_path)).decode()
    page = rendered(text)
    assert "<script" not in page
    assert "<img" not in page
    assert not re.search(r"[@#]\w", re.sub(r"<pre>.*?</pre>|<[^>]*>|&#?\w+;", "", page, flags=re.DOTALL))
    for words in ("1 clean, 1 offset", "review: landed with changes", "2 min 11 s", "+8.0 % to +13.0 %", "interaction"):
        assert words in text
    assert page.count("<table>") == 7
    assert page.count("<details") == page.count("</details>")


def test_a_failed_test_shows_the_end_of_its_log(tmp_path: Path) -> None:
    page = rendered(markdown(make(tmp_path)).decode())
    assert "the last line\n</code></pre>" in page
    assert "it boots" not in page


def test_it_stays_below_what_github_shows(tmp_path: Path) -> None:
    report = make(tmp_path)
    tests = report["variants"][0]["places"][0]["tests"]
    log = {"name": "x.log", "text": "word " * 5000, "bytes": 25000, "cut": True}
    tests += [{**tests[1], "test": f"failed-{at}", "log": log} for at in range(40)]
    text = markdown(report).decode()
    assert LIMIT - 6000 < len(text) <= LIMIT
    left = re.search(r"The logs of (\d+) more are left out", text)
    assert left
    assert text.count("<details><summary>cpu: failed-") + int(left[1]) == 40


def test_a_stack_without_patches_tests_or_anything(tmp_path: Path) -> None:
    nothing = {"base": {"commit": "b" * 40, "build": 9}, "result": None, "patches": []}
    text = markdown(make(tmp_path, check=nothing, status=None, forecast=None, bisects=[], benches=[])).decode()
    assert "None: this is upstream as it is." in text
    assert "No test has run on this tree." in text
    assert "Forecast" not in text


@given(st.text(max_size=40))
def test_a_cell_stays_a_cell_and_text(text: str) -> None:
    table = f"| a | b |\n|---|---|\n| {cell(text)} | end |\n"
    page = rendered(table)
    assert page.count("<td>") == 2
    assert page.count("<td>end</td>") == 1
    assert set(re.findall(r"<(/?\w+)", page)) <= {
        "table", "thead", "tbody", "tr", "th", "td", "br", "/table", "/thead", "/tbody", "/tr", "/th", "/td",
    }  # fmt: skip


@given(st.text(alphabet="`~ ab\n", max_size=40))
def test_a_fence_holds_whatever_is_in_it(text: str) -> None:
    page = rendered(f"{fenced(text)}\n\nafter\n")
    assert page.endswith("</code></pre>\n<p>after</p>\n")


@pytest.mark.parametrize("text", ["<b>", '"x"', "a\nb", "@you", "&amp;"])
def test_text_within_html_stays_text(text: str) -> None:
    assert "<b>" not in inside(text)
    assert "\n" not in inside(text)
    assert "@y" not in inside(text)

from __future__ import annotations

import html.parser
import re
from typing import TYPE_CHECKING

import pytest

from patchctl.report.chart import chart, depth_words, number, over_depth, over_releases
from patchctl.report.markdown import markdown
from patchctl.report.page import page
from patchctl.report.prose import prose
from patchctl.report.timeline import timeline
from patchctl.report.words import duration, percent, reach, size
from tests.report.made import BISECT, FORECAST, bench, make

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "br", "link", "input", "hr"}


class Outline(html.parser.HTMLParser):
    """Every element with its attributes; complains of what is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()


def outline(content: bytes) -> Outline:
    found = Outline()
    found.feed(content.decode())
    assert found.open == []
    return found


def test_every_element_is_closed_and_every_id_is_one(tmp_path: Path) -> None:
    seen = outline(page(make(tmp_path))).seen
    ids = [attrs["id"] for _, attrs in seen if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {str(attrs["href"])[1:] for tag, attrs in seen if tag == "a" and str(attrs["href"]).startswith("#")}
    assert targets <= set(ids)


def test_nothing_hostile_becomes_markup(tmp_path: Path) -> None:
    content = page(make(tmp_path))
    seen = outline(content).seen
    assert [tag for tag, _ in seen].count("script") == 1
    assert not [tag for tag, _ in seen if tag in {"img", "iframe", "object", "link", "base", "form"}]
    assert not [name for _, attrs in seen for name in attrs if name.startswith("on") or name == "style"]
    links = [str(attrs["href"]) for tag, attrs in seen if tag == "a"]
    assert {re.split("[:/]", link)[0] for link in links if not link.startswith("#")} == {"https"}
    assert b"\x1b" not in content


def test_it_names_no_other_file(tmp_path: Path) -> None:
    seen = outline(page(make(tmp_path))).seen
    assert not [attrs for _, attrs in seen if {"src", "srcset", "data", "poster", "action"} & set(attrs)]
    assert b"@import" not in page(make(tmp_path / "again"))
    assert b"url(" not in page(make(tmp_path / "more"))


def test_the_same_facts_give_the_same_bytes(tmp_path: Path) -> None:
    assert page(make(tmp_path / "a")) == page(make(tmp_path / "b"))


def test_a_report_of_nothing_says_so(tmp_path: Path) -> None:
    nothing = {"base": {"commit": "b" * 40, "build": 9}, "result": None, "patches": []}
    text = page(make(tmp_path, check=nothing, status=None, forecast=None, bisects=[], benches=[])).decode()
    outline(text.encode())
    assert "None: this is upstream as it is." in text
    assert "patchctl smoke r9" in text
    for section in ("bench", "forecast", "bisect"):
        assert f'href="#{section}"' not in text


def test_a_conflict_names_the_commits_that_explain_it(tmp_path: Path) -> None:
    report = make(tmp_path)
    cause = {"commit": "9" * 40, "build": 77, "subject": "move <it>", "pr": 5}
    report["patches"][0]["conflicts"] = [{"path": "a.cpp", "upstream_commits": [cause]}]
    text = page(report).decode()
    assert f'href="https://github.com/o/u/commit/{"9" * 40}"' in text
    assert "move &lt;it&gt;" in text


def test_a_bisect_that_found_nothing_says_why(tmp_path: Path) -> None:
    report = make(tmp_path, bisects=[{**BISECT, "culprit": None, "why": "the budget is spent"}])
    assert "the budget is spent" in page(report).decode()
    assert "not found: the budget is spent" in markdown(report).decode()
    assert (report["answers"][-1]["answer"], report["answers"][-1]["detail"]) == ("unknown", "no bisect has found it")


def test_how_a_test_failed_is_said_once_with_more_lines_below(tmp_path: Path) -> None:
    text = page(make(tmp_path)).decode()
    assert text.count("status 500, not 200") == 1
    assert '<p class="lines">last line</p>' in text


def test_an_upstream_without_a_page_has_no_links(tmp_path: Path) -> None:
    text = page({**make(tmp_path), "repo": "patchctl:demo"}).decode()
    assert "o/u#12" in text
    assert "github.com" not in text


def test_rationales_keep_their_form_and_lose_their_claws() -> None:
    text = prose(
        "# it\n\n## Why\n\n| a |\n|---|\n| b |\n\n<b>x</b> [y](file:///etc/passwd) ![z](https://h/z.png)\n", "it"
    )
    assert "<h5>Why</h5>" in text
    assert "<td>b</td>" in text
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "<img" not in text
    assert 'href="file' not in text
    assert "<h4>it</h4>" in prose("# it\n", "other")


def test_stretches_follow_one_another_in_the_order_of_the_stack() -> None:
    rows = timeline(FORECAST, ["first-fix", "second-fix", "new-one"])
    assert [row["patch"] for row in rows] == ["first-fix", "second-fix"]
    first = [(it["from"], it["to"], it["standing"]) for it in rows[0]["stretches"]]
    assert first == [(9, 34, "applies"), (34, 59, "conflict"), (59, 109, "absorbed")]
    second = [(it["from"], it["to"], it["standing"]) for it in rows[1]["stretches"]]
    assert second == [(9, 34, "applies"), (34, 59, "blocked"), (59, 109, "applies")], "alone is not in the stack"
    assert [(it["x"], it["width"]) for it in rows[0]["stretches"]] == [(0.0, 250.0), (250.0, 250.0), (500.0, 500.0)]
    assert [(it["build"], it["after"], it["where"]) for it in rows[0]["events"]] == [
        (34, "conflict", ""), (59, "absorbed", "in the stack"),
    ]  # fmt: skip
    assert [it["where"] for it in rows[1]["events"]] == ["in the stack", "in the stack", "alone"]


def test_a_chart_starts_at_zero_and_holds_every_measurement() -> None:
    made = chart("t", "u", ["0", "4k"], {"a": {"0": [10, 11, 12], "4k": [5, 5, 5]}, "b": {"0": [43]}})
    assert [line["label"] for line in made["grid"]] == ["0", "20", "40", "60"]
    assert made["grid"][0]["y"] == made["bottom"]
    a, b = made["lines"]
    assert [point["value"] for point in a["points"]] == ["11.0", "5.00"]
    assert len(a["points"][0]["dots"]) == 3
    assert [point["x"] for point in b["points"]] == [a["points"][0]["x"]]
    heights = [dot for line in made["lines"] for point in line["points"] for dot in point["dots"]]
    assert all(16 <= height <= made["bottom"] for height in heights)


def test_a_chart_of_nothing_but_zeros_is_a_flat_line() -> None:
    made = chart("acceptance", "share", ["r8"], {"all refused": {"r8": [0, 0]}})
    assert [line["label"] for line in made["grid"]] == ["0", "1"]
    assert made["lines"][0]["points"][0]["y"] == made["bottom"]


def test_benches_become_charts_over_depth_and_over_releases() -> None:
    (depth,) = over_depth(bench("r9", 9))
    assert depth["title"] == "decode, kv q8_0"
    assert [tick["label"] for tick in depth["ticks"]] == ["0", "4096", "32k"]
    releases = over_releases([bench("r9", 9), bench("r8", 8)])
    assert [tick["label"] for tick in releases[0]["ticks"]] == ["r8", "r9"]
    assert [line["name"] for line in releases[0]["lines"]] == ["depth 0", "depth 4096", "depth 32k"]
    assert over_releases([bench("r9", 9)]) == []
    elsewhere = {**bench("r8", 8), "hardware": {"words": "another"}}
    assert over_releases([bench("r9", 9), elsewhere]) == [], "speeds of two machines are no history"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (duration(0.42), "0.4 s"), (duration(45.4), "45 s"), (duration(185), "3 min 05 s"),
        (size(12), "12 B"), (size(4600), "4.5 KiB"), (size(70 * 2**20), "70 MiB"), (size(3 * 2**30), "3.0 GiB"),
        (percent(1.032), "+3.2 %"), (percent(0.99), "−1.0 %"), (reach({"low": None, "high": 1.5}), "… to +50.0 %"),
        (number(1234.5), "1,234"), (number(12.345), "12.3"), (number(0.01234), "0.0123"), (number(0), "0"),
        (depth_words(131072), "128k"), (depth_words(4096), "4096"),
    ],
)  # fmt: skip
def test_figures_are_for_people(said: str, expected: str) -> None:
    assert said == expected

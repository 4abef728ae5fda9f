"""The report in Markdown, as GitHub shows it in a comment or a job summary: short enough, and calling nobody."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from patchctl.files import package_data
from patchctl.report import chart
from patchctl.report.words import duration, percent, reach, size
from patchctl.text import one_line, redacted, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LIMIT = 65_536  # characters of a comment on GitHub
AROUND = 80  # characters around the log of one failed test
LOG = 4_000  # characters shown of one failed test's log
# What Markdown or HTML would take for markup; a backslash makes it a character.
MARKUP = re.compile(r"([\\`*_\[\]|~<>&])")
# Names and numbers after these would call people and link to issues of whatever repository shows the report.
CALLS = re.compile(r"([@#])(?=\w)")


def markdown(report: Mapping[str, Any]) -> bytes:
    """Return the report in Markdown; logs of failed tests are added while it stays below what GitHub shows."""
    render = _renderer(report)
    failed = list(_failed(report))
    left = LIMIT - len(render([], len(failed)))
    for count, entry in enumerate(failed):
        left -= sum(len(entry[name]) for name in entry) + AROUND
        if left < 0:
            return render(failed[:count], len(failed) - count).encode()
    return render(failed, 0).encode()


def _renderer(report: Mapping[str, Any]) -> Callable[[list[dict[str, str]], int], str]:
    """Return what renders the report with some failed tests, and says how many are left out."""
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - Markdown: ``cell`` and ``inside`` escape what others wrote
    )  # fmt: skip
    environment.filters |= {
        "cell": cell,
        "inside": inside,
        "duration": duration,
        "size": size,
        "number": chart.number,
        "percent": percent,
        "point": chart.point_words,
        "reach": reach,
    }
    template = environment.from_string(package_data("templates/report.md.j2").read_text(encoding="utf-8"))

    def render(failed: list[dict[str, str]], left_out: int) -> str:
        text = template.render(report=report, failed=failed, left_out=left_out)
        return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"

    return render


def _failed(report: Mapping[str, Any]) -> Iterable[dict[str, str]]:
    for variant in report["variants"]:
        for place in variant["places"]:
            for test in place["tests"]:
                if test["result"] in {"fail", "error"} and test["log"]:
                    text = fenced(test["log"]["text"][-LOG:])
                    yield {"variant": inside(variant["name"]), "test": inside(test["test"]), "text": text}


def cell(text: object) -> str:
    """Return text so that it stays text in a cell of a table: one line, no markup, nobody called."""
    escaped = MARKUP.sub(r"\\\1", redacted(visible(str(text))))
    return CALLS.sub("\\1\u200b", escaped).replace("\n", "<br>")


def inside(text: object) -> str:
    """Return text so that it stays text within HTML, where Markdown does not reach."""
    return CALLS.sub("\\1\u200b", html.escape(redacted(one_line(str(text)))))


def fenced(text: str) -> str:
    """Return text as a block of code whose fence is longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"

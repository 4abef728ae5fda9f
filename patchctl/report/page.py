"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from patchctl import __version__
from patchctl.files import package_data
from patchctl.report import chart
from patchctl.report.prose import prose
from patchctl.report.timeline import timeline
from patchctl.report.ways import ways
from patchctl.report.words import duration, percent, reach, size
from patchctl.text import redacted, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    import jinja2

TEMPLATES = "templates"


def page(report: Mapping[str, Any]) -> bytes:
    """Return the report as HTML. What others wrote is text in it, never markup, and nothing is loaded from anywhere."""
    style, script = _piece("report.css"), _piece("report.js")
    text = (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            version=__version__,
            web=_web(report["repo"]),
            own_benches=[it for it in report["benches"] if it["stack"] == report["stack"]],
            over_depth=chart.over_depth,
            over_releases=chart.over_releases(report["benches"]),
            ways=ways,
            timeline=timeline(report["forecast"], [it["id"] for it in report["patches"]]) if report["forecast"] else [],
            style=style,
            script=script,
            policy=_policy(style, script),
        )
    )
    return text.encode()


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(package_data(TEMPLATES)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "prose": prose,
        "duration": duration,
        "size": size,
        "number": chart.number,
        "percent": percent,
        "point": chart.point_words,
        "reach": reach,
    }
    return environment


def _shown(value: Any) -> Any:
    """Return text from outside unable to give orders to anything; what is markup already stays."""
    return redacted(visible(value)) if type(value) is str else value


def _piece(name: str) -> str:
    return package_data(f"{TEMPLATES}/{name}").read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Return the content security policy: this very style and script, and nothing from anywhere."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _web(repo: str) -> str | None:
    """Return the address under which upstream's commits can be looked at, None when it has none."""
    return redacted(repo).removesuffix("/").removesuffix(".git") if repo.startswith("https://") else None

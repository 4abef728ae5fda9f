"""What the state of a pull request says about the patch that came from it; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.upstream.verdict import Evidence, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patchctl.manifest.model import Page
    from patchctl.upstream.history import History
    from patchctl.upstream.pull import Pull, PullName


def absent(name: PullName) -> Evidence:
    """Return the evidence that there is no such pull request, or none that may be seen."""
    return Evidence(
        Kind.MISSING, None, None, f"there is no pull request {name}; was it deleted, or its number mistyped?"
    )


def states(pull: Pull, history: History) -> Iterator[Evidence]:
    """Return what GitHub says of a pull request; a landing in the base is not its business (``landing``)."""
    if pull.state == "merged":
        yield from _merged(pull, history)
    elif pull.state == "open":
        yield Evidence(Kind.OPEN, None, None, f"#{pull.number} is {_open(pull)}")
    elif pull.successor is not None:
        successor, commit = pull.successor
        state = f"merged as {commit[:9]}" if commit else "not merged"
        detail = f"#{pull.number} was closed for {pull.short(successor)}, which is {state}"
        yield Evidence(Kind.SUPERSEDED, commit, None, detail)
    elif pull.closer is not None:
        yield Evidence(Kind.CLOSED, pull.closer, None, f"#{pull.number} was closed by {pull.closer[:9]}")
    else:
        yield Evidence(Kind.CLOSED, None, None, f"#{pull.number} was closed without merging")


def _merged(pull: Pull, history: History) -> Iterator[Evidence]:
    if pull.commit is not None and history.get(pull.commit) is not None:
        return
    where = f"into {pull.repo} {pull.branch}"
    named = f" as {pull.commit[:9]}" if pull.commit else ""
    detail = f"#{pull.number} is merged {where}{named}, which is not in the base"
    yield Evidence(Kind.MERGED, pull.commit, None, detail)


def _open(pull: Pull) -> str:
    words = ["a draft" if pull.draft else "open"]
    words += [pull.review.lower().replace("_", " ")] if pull.review else []
    words += [f"checks: {pull.checks.lower()}"] if pull.checks else []
    words += ["its fork was deleted"] if pull.fork is None else []
    return ", ".join(words)


def due(page: Page, build: int, today: str) -> Iterator[Evidence]:
    """Return whether the page asks for a review from ``build``, or from ``today`` (``2026-01-31``), on."""
    after = page.review_after
    if after is not None and after.build is not None and build >= after.build:
        yield Evidence(Kind.DUE, None, after.build, f"its page asks for a review from b{after.build} on")
    if after is not None and after.date is not None and today >= after.date:
        yield Evidence(Kind.DUE, None, None, f"its page asks for a review from {after.date} on")

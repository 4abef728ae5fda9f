"""What GitHub, other heads and probes say of a stack's patches, for the commands that judge them."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

import click

from patchctl.errors import PatchctlError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from patchctl.cli.common import App
    from patchctl.upstream.github.client import Answer
    from patchctl.upstream.github.transport import Transport
    from patchctl.upstream.pull import PullName
    from patchctl.upstream.survey import Survey, Told

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
HOUR = UNITS["h"]


def age(_: click.Context, __: click.Parameter, value: str) -> int:
    """Return the seconds that ``90s``, ``5m``, ``1h`` or ``2d`` mean."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", value)
    if found is None:
        raise click.BadParameter("a number and s, m, h or d, such as 90s, 5m, 1h, 2d")
    return int(found[1]) * UNITS[found[2]]


class Hearsay:
    """Asks GitHub once about the pull requests of some stacks; ``problems`` are what it could not be asked.

    Answers older than ``max_age`` seconds are asked for again; ``offline`` asks nobody.
    """

    def __init__(self, app: App, surveys: Sequence[Survey], *, max_age: int = HOUR, offline: bool = False) -> None:
        self.app = app
        self.max_age = max_age
        self.offline = offline
        self.problems: list[str] = []
        self.answers = self._ask(surveys)

    def _ask(self, surveys: Sequence[Survey]) -> dict[PullName, Answer]:
        from patchctl.upstream.github.client import Client
        from patchctl.upstream.github.service import service_for

        names: dict[str, list[PullName]] = {}
        for survey in surveys:
            names.setdefault(survey.detectors.store.url, []).extend([*survey.wanted(), *survey.reviewed()])
        services = {url: service_for(url, os.environ) for url in names}
        answers: dict[PullName, Answer] = {}
        for service in dict.fromkeys(filter(None, services.values())):
            wanted = [name for url, some in names.items() if services[url] == service for name in some]
            with self.app.ui.progress("GitHub") as show:
                show(f"{len(wanted)} pull requests")
                client = Client(service, self.app.ledger, _transport)
                asked = client.pulls(wanted, max_age=self.max_age, offline=self.offline)
            answers |= asked.answers
            self.problems += [asked.problem] if asked.problem else []
        return answers

    def told(self, survey: Survey, probes: Mapping[str, tuple[str, str]] | None = None) -> Told:
        """Return what is said of one stack's patches; ``probes`` are those that ran on the unpatched base."""
        from patchctl.upstream.survey import Told

        today = time.strftime("%Y-%m-%d", time.gmtime())
        return Told(self.answers, self._heads(survey), probes or {}, today, self.offline)

    def _heads(self, survey: Survey) -> dict[PullName, str]:
        """Return the heads that git knows of pull requests that GitHub said nothing about."""
        from patchctl.upstream.drift import heads

        names = [name for name in survey.reviewed() if name not in self.answers]
        try:
            return heads(survey.detectors.store, names, time.time(), self.max_age, offline=self.offline)
        except PatchctlError as error:
            self.problems.append(error.message)
            return {}

    def warn(self) -> None:
        """Tell what could not be asked, and what that means."""
        for problem in dict.fromkeys(self.problems):
            what = "where nothing newer is known, the verdicts rest on git and on what was said before"
            self.app.ui.warn(f"{problem}; {what}")


def _transport(token: str) -> Transport:
    from patchctl.upstream.github.transport import Transport

    return Transport(token)

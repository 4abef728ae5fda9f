"""One issue for each cause: what ``status``, ``forecast`` and ``ci quiet`` found, as issues to open, change and close.

Pure: what is open now comes in, what is to be done goes out. An issue is known by a mark in its text, so its title can
be changed by hand, and then stays; one whose cause is gone is closed, but only when what was looked at could have found
it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from patchctl.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MARK = re.compile(r"<!-- patchctl cause: (\S+) -->")
TITLED = re.compile(r"<!-- patchctl title: (.+) -->")
TITLE = 120  # characters
VERDICTS = {"retire": "can go", "review": "wants a look"}
OUTCOMES = {"conflict": "conflicts with upstream", "absorbed": "is absorbed by upstream"}


@dataclass(frozen=True)
class Cause:
    """Why somebody should look: a key that stays the same from day to day, a title, a text in Markdown."""

    key: str
    title: str
    text: str

    @property
    def body(self) -> str:
        """Return the text of its issue."""
        marks = f"<!-- patchctl title: {self.title} -->\n<!-- patchctl cause: {self.key} -->"
        return f"{self.text}\n\nThis issue closes itself when its cause is gone.\n\n{marks}\n"


@dataclass(frozen=True)
class Issue:
    """An issue that is open: its number, its text and its title."""

    number: int
    body: str
    title: str = ""

    @property
    def key(self) -> str | None:
        """Return the key of the cause that it was opened for, None when a person opened it."""
        found = MARK.findall(self.body)
        return found[-1] if found else None

    def retitled(self, cause: Cause) -> str | None:
        """Return the title it should have now, None where it has that, or one that a person gave it."""
        found = TITLED.findall(self.body)
        return cause.title if found and found[-1] == self.title != cause.title else None


@dataclass(frozen=True)
class Plan:
    """What to do: causes to open, issues whose text changes, issues to close."""

    opened: tuple[Cause, ...]
    changed: tuple[tuple[Issue, Cause], ...]
    closed: tuple[Issue, ...]


def causes_of(said: Mapping[str, Any]) -> tuple[str, list[Cause]]:
    """Return the prefixes of all keys that an answer could have, parted by blanks, and the causes in it.

    Raises ValueError for what is no answer of ``status``, ``forecast`` or ``ci quiet``.
    """
    try:
        if "stacks" in said:
            names = [str(stack["stack"]) for stack in said["stacks"]]
            found = [cause for stack in said["stacks"] for cause in _status(stack)]
            return " ".join(f"status/{name}/" for name in names), found
        if "events" in said:
            return f"forecast/{said['stack']}/", list(_forecast(said))
        if "quiet" in said:
            return "quiet/", [_quiet(said)] if said["quiet"] else []
    except (KeyError, TypeError) as error:
        raise ValueError(f"it lacks {error}") from error
    raise ValueError("it is no answer of status, forecast or ci quiet")


def _status(stack: Mapping[str, Any]) -> Iterable[Cause]:
    for patch in stack["patches"]:
        if patch["verdict"] in VERDICTS:
            title = f"{stack['stack']}: {patch['id']} {VERDICTS[patch['verdict']]}"
            text = f"`patchctl status {stack['stack']}` on b{stack['base']['build']} says **{patch['verdict']}**:"
            yield _cause(f"status/{stack['stack']}/{patch['id']}", title, [text, f"* {plain(patch['reason'])}"])


def _forecast(said: Mapping[str, Any]) -> Iterable[Cause]:
    for patch, fate in said["end"]["sequence"].items():
        if fate["outcome"] in OUTCOMES:
            events = [it for it in said["events"] if it["patch"] == patch and it["after"] == fate["outcome"]]
            lines = [f"Seen by `patchctl forecast {said['stack']}`, up to b{said['to']['build']}."]
            lines += [f"* in {', '.join(map(plain, fate['conflicts']))}"] if fate["conflicts"] else []
            lines += [_event(events[-1])] if events else []
            title = f"{said['stack']}: {patch} {OUTCOMES[fate['outcome']]}"
            yield _cause(f"forecast/{said['stack']}/{patch}", title, lines)


def _event(event: Mapping[str, Any]) -> str:
    return f"* since b{event['build']}, {event['commit'][:9]}: {plain(event['subject'])} ({plain(event['author'])})"


def _quiet(said: Mapping[str, Any]) -> Cause:
    last = f"The last sign of life, {said['days']} days ago: {plain(str(said['last']))}."
    title = f"no release and no change of a stack for {said['limit']} days"
    return _cause("quiet/tags", title, [f"{last} Nightly checks may have stopped, or nobody merges what they propose."])


def _cause(key: str, title: str, lines: Sequence[str]) -> Cause:
    return Cause(re.sub(r"\s", "_", key), one_line(title)[:TITLE], "\n".join(lines))


def plain(text: str) -> str:
    """Return text of others as Markdown that is nothing but this text: no links, mentions, references or HTML."""
    escaped = re.sub(r"([\\|`*_\[\]<>~])", r"\\\1", one_line(text))
    # A space of no width keeps GitHub from calling people and from linking issues of this repository.
    return re.sub(r"([@#])(?=\w)", "\\1\u200b", escaped)


def plan(scopes: Iterable[str], causes: Sequence[Cause], issues: Sequence[Issue]) -> Plan:
    """Return what has to be done so that each cause has one open issue, and no other key in ``scopes`` has any."""
    wanted = {cause.key: cause for cause in one_for_each(causes)}
    seen: dict[str, Issue] = {}
    closed = []
    for issue in sorted(issues, key=lambda it: it.number):
        if issue.key is None or not issue.key.startswith(tuple(scopes)):
            continue
        if issue.key in wanted and issue.key not in seen:
            seen[issue.key] = issue
        else:
            closed.append(issue)
    opened = tuple(cause for key, cause in wanted.items() if key not in seen)
    changed = tuple((seen[key], cause) for key, cause in wanted.items() if key in seen and _differs(seen[key], cause))
    return Plan(opened, changed, tuple(closed))


def one_for_each(causes: Iterable[Cause]) -> list[Cause]:
    """Return one cause for each patch: what a forecast sees of one that status speaks of is a line of that."""
    found = {cause.key: cause for cause in causes}
    for key, cause in list(found.items()):
        scope, _, patch = key.partition("/")
        told = found.get(f"status/{patch}") if scope == "forecast" else None
        if told is not None:
            found[told.key] = replace(told, text=f"{told.text}\n\n{cause.text}")
            del found[key]
    return list(found.values())


def _differs(issue: Issue, cause: Cause) -> bool:
    # GitHub gives texts back with its own line ends.
    return issue.body.replace("\r\n", "\n").strip() != cause.body.strip()

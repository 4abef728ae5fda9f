"""The next release's stack from this one: what landed goes, what applies is carried, what only moved is made anew.

``plan`` says what would happen and changes no file; ``Target.hand_in`` writes what stays, in such an order that a run
that was killed is completed by the next: revisions and pages first, the stack, which is what counts, last.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchctl.document import parse
from patchctl.errors import Code, PatchctlError
from patchctl.files import write_atomic
from patchctl.manifest.edit import remove_item, set_scalar
from patchctl.series.judge import Outcome
from patchctl.series.resolve import Resolved, load_patches
from patchctl.series.sequence import Series
from patchctl.upstream.evidence import Detectors
from patchctl.upstream.history import History
from patchctl.upstream.returned import gone_from
from patchctl.upstream.survey import Survey, Told
from patchctl.upstream.verdict import BROUGHT, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from patchctl.document import Document
    from patchctl.manifest.workspace import StackFile, Workspace
    from patchctl.series.patch import Patch
    from patchctl.series.sequence import Step
    from patchctl.store import Store
    from patchctl.upstream.survey import Row


class Action(str, enum.Enum):
    """What a repin does with one patch."""

    RETIRE = "retire"  # the base has it: out of the stack
    CARRY = "carry"  # as it is
    REFRESH = "refresh"  # it moved: with a new revision
    SOLVE = "solve"  # it conflicts: a person has to
    WAIT = "wait"  # it needs one that conflicts
    LEAVE = "leave out"  # a person said so
    PUT_BACK = "put back"  # it retired before, and the base has it no more: a person has to


@dataclass(frozen=True)
class Choice:
    """One patch of the old stack: what happens to it, the verdict with its reason, how it applies on the new base.

    ``landed`` is the build of upstream from which on a base has it, ``commit`` what brought it, where that is known.
    """

    patch: str
    action: Action
    verdict: Verdict
    reason: str
    outcome: Outcome | None = None
    conflicts: tuple[str, ...] = ()
    detail: str = ""
    landed: int | None = None
    commit: str | None = None

    @property
    def carried(self) -> bool:
        """Return whether the patch goes on into the new stack without a person."""
        return self.action in {Action.CARRY, Action.REFRESH}

    @property
    def stays(self) -> bool:
        """Return whether the new stack names the patch."""
        return self.action not in {Action.RETIRE, Action.LEAVE, Action.PUT_BACK}


@dataclass(frozen=True)
class Target:
    """Where a repin leads: the stack it comes from, the file and release it makes, the commit and its build.

    ``in_place``: the stack itself moves.
    """

    stack: StackFile
    path: Path
    release: str
    commit: str
    build: int
    in_place: bool = False

    def text(self, stays: Iterable[str]) -> bytes:
        """Return the new stack: the old one with another base and release, without the patches that do not stay.

        Every other byte is the old one's, but for a comment beside the commit that names its build. Raises
        InvalidError where the file is written so that only a person can change it, or for a release that is no name.
        """
        from patchctl.manifest.model import Stack
        from patchctl.manifest.validate import validate

        document, kept = self.stack.document, set(stays)
        for at in reversed(range(len(self.stack.stack.patches))):
            if self.stack.stack.patches[at] not in kept:
                document = _again(document, remove_item(document, ("patches", at)))
        if self.release != self.stack.stack.release:
            document = _again(document, set_scalar(document, ("release",), self.release))
        document = _again(document, set_scalar(document, ("upstream", "commit"), self.commit))
        document = _again(document, _named_anew(document, self.build))
        validate(document, Stack)
        return document.source

    def hand_in(self, workspace: Workspace, choices: Sequence[Choice]) -> list[Path]:
        """Write that patches retired into their pages, then the stack; returns the files that changed.

        Doing it again changes nothing. Raises PatchctlError (exit code 3) when somebody else changed the file.
        """
        from patchctl.author.retired import retire

        text = self.text([choice.patch for choice in choices if choice.stays])
        there = self.path.read_bytes() if self.path.exists() else None
        if there not in {None, text, self.stack.document.source if self.in_place else None}:
            what = f"{workspace.shown(self.path)} is not what it was when this repin began"
            raise PatchctlError(Code.INVALID, f"{what}; nothing was written over it: move it, or end with --abort")
        gone = [choice for choice in choices if choice.action is Action.RETIRE]
        made = [retire(workspace, one.patch, one.landed or self.build, one.reason, one.commit) for one in gone]
        if there != text:
            write_atomic(self.path, text)
        return [*filter(None, made), *([self.path] if there != text else [])]


def _again(document: Document, source: bytes) -> Document:
    return parse(source.decode(), document.path)


def _named_anew(document: Document, build: int) -> bytes:
    """Return the stack with a comment ``# b9187`` beside the commit naming the new build: it would lie."""
    node = document.node(("upstream", "commit"))
    if node is None:
        return document.source
    text, end = document.text, document.text.find("\n", node.end)
    rest = text[node.end : end if end >= 0 else len(text)]
    named = re.sub(r"^(['\"]?[ \t}]*#[ \t]*)b[1-9][0-9]*(?=[ \t\r]*$)", rf"\g<1>b{build}", rest)
    return (text[: node.end] + named + text[node.end + len(rest) :]).encode()


# --- the plan -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What a repin does with each patch, in order, and how those that are carried apply on the new base."""

    target: Target
    choices: tuple[Choice, ...]
    carried: Resolved
    series: Series

    @property
    def conflicts(self) -> list[Choice]:
        """Return the patches that need a person."""
        return [choice for choice in self.choices if choice.action is Action.SOLVE]


def target_of(
    workspace: Workspace, stack: StackFile, store: Store, to: str, *, release: str | None, in_place: bool
) -> Target:
    """Return where a repin to the commit ``to`` leads.

    Raises PatchctlError (exit code 2) when the release is the old one's, or another stack has it.
    """
    build = store.build_number(to)
    if in_place:
        return Target(stack, stack.path, stack.stack.release, to, build, in_place=True)
    name = release or f"b{build}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name):
        why = 'letters, digits, ".", "_", "+" and "-", starting with a letter or digit'
        raise PatchctlError(Code.USAGE, f"--release {name!r} is no name of a release: {why}")
    path = stack.path.with_name(f"{name}.yaml")
    if name == stack.stack.release or path == stack.path:
        why = f"{name} is the release of {stack.document.path} itself"
        raise PatchctlError(Code.USAGE, f"{why}; move it with --in-place, or name another with --release")
    others = [file for file in workspace.stack_files() if file not in {path, stack.path}]
    for other in map(workspace.load_stack, others):
        if other.stack.release == name:
            raise PatchctlError(Code.USAGE, f"{other.document.path} is the release {name}; name another with --release")
    return Target(stack, path, name, to, build)


def plan(
    workspace: Workspace,
    target: Target,
    store: Store,
    ask: Callable[[Survey], Told] = lambda _: Told(),
    tell: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Return what a repin does with each patch of a stack. Changes no file; ``ask`` is who else than git knows.

    Raises PatchctlError when upstream or an object that is needed cannot be had, InvalidError for a patch that cannot
    be read.
    """
    stack, base = target.stack, target.stack.stack.upstream.commit
    old = load_patches(workspace, stack, store, base)
    recorded = Series(store, old, allow=stack.stack.policy.allow)
    # What a patch in mid-stack was made on exists only once those before it are applied on the old base.
    recorded.sequence(base, old)
    tell("upstream")
    pages = {patch.id: workspace.load_page(patch.id).page for patch in old}
    gone = gone_from(workspace, store, stack, target.commit)
    detectors = Detectors(recorded, History(store, target.commit))
    survey = Survey(detectors, old, pages, target.commit, gone)
    rows = {row.patch: row for row in survey.rows(ask(survey))}
    tell("patches")
    series = Series(store, load_patches(workspace, stack, store, target.commit), allow=stack.stack.policy.allow)
    carried = [patch for patch in series.stack if rows[patch.id].verdict is not Verdict.RETIRE]
    steps = dict(zip((patch.id for patch in carried), series.sequence(target.commit, carried), strict=True))
    resolved = Resolved(target.commit, target.build, tuple(carried), tuple(steps.values()))
    choices = [_choice(patch, rows.pop(patch.id), steps.get(patch.id)) for patch in series.stack]
    missed = [Choice(row.patch, Action.PUT_BACK, row.verdict, row.reason) for row in rows.values()]
    return Plan(target, (*choices, *missed), resolved, series)


def _choice(patch: Patch, row: Row, step: Step | None) -> Choice:
    brought = next((one.commit for one in row.evidence if one.kind in BROUGHT and one.commit), None)
    if step is None:
        builds = [one.build for one in row.evidence if one.detail == row.reason and one.build is not None]
        build = builds[0] if builds else None
        return Choice(patch.id, Action.RETIRE, row.verdict, row.reason, landed=build, commit=brought)
    by_outcome = {Outcome.CONFLICT: Action.SOLVE, Outcome.BLOCKED: Action.WAIT}
    action = by_outcome.get(step.outcome, Action.REFRESH if _moved(patch, step) else Action.CARRY)
    detail = step.detail if step.outcome.failed else ""
    return Choice(patch.id, action, row.verdict, row.reason, step.outcome, step.conflicts, detail, commit=brought)


def _moved(patch: Patch, step: Step) -> bool:
    """Return whether a patch needs a revision of its own on the base: it applies, but not on the files it names."""
    return patch.file is not None and step.outcome.applied and step.outcome is not Outcome.CLEAN


def refreshed(plan: Plan, store: Store) -> dict[str, bytes]:
    """Return the new revision of each patch that moved, once they are proven to give the very same tree.

    Raises PatchctlError (exit code 4) when as written they would not.
    """
    from patchctl.author.refresh import remake
    from patchctl.author.settle import prove

    moved = [choice.patch for choice in plan.choices if choice.action is Action.REFRESH]
    found = remake(store, plan.carried, moved) if moved else []
    made = {one.patch: one.content for one in found if one.content is not None}
    patches = [replace(patch, content=made.get(patch.id, patch.content)) for patch in plan.carried.patches]
    prove(store, plan.carried.base, patches, plan.carried.result(store)[1])
    return made


def already(workspace: Workspace, target: Target) -> StackFile | None:
    """Return the stack that an earlier repin to the same commit left, None when there is none.

    Raises PatchctlError (exit code 2) when the file holds a stack on another base.
    """
    if not target.path.exists():
        return None
    there = workspace.load_stack(target.path)
    if there.stack.upstream.commit == target.commit and there.stack.release == target.release:
        return there
    if target.in_place:
        return None
    what = f"{there.document.path} exists and stands on {there.stack.upstream.commit[:9]}"
    raise PatchctlError(Code.USAGE, f"{what}; nothing is overwritten: name another with --release")


def as_left(workspace: Workspace, choices: Sequence[Choice], there: StackFile, build: int) -> list[Choice]:
    """Return what became of each patch in the stack that an earlier repin left: what a person decided then counts.

    A patch that is not in it retired if its page says so, else it was left out.
    """
    return [_as_left(workspace, one, build) if one.stays and one.patch not in there.stack.patches else one
            for one in choices]  # fmt: skip


def _as_left(workspace: Workspace, choice: Choice, build: int) -> Choice:
    said = workspace.load_page(choice.patch).page.retired
    if said is None or said.build > build:
        return replace(choice, action=Action.LEAVE)
    return replace(choice, action=Action.RETIRE, reason=said.reason, conflicts=(), detail="")

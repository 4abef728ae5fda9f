"""``patchctl repin``: the next release's stack, without what landed."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.common import App, command, stack_argument
from patchctl.cli.solved import losses_of, tell_losses, tell_recalled
from patchctl.cli.ui import outcome, table
from patchctl.errors import Code, PatchctlError
from patchctl.ledger import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from patchctl.author.repin import Choice, Plan, Target
    from patchctl.author.repin_session import Repin
    from patchctl.manifest.workspace import StackFile
    from patchctl.series.resolve import Resolved
    from patchctl.series.sequence import Step
    from patchctl.series.session import Stop
    from patchctl.series.worktree import Worktree
    from patchctl.upstream.survey import Survey, Told

COLOURS = {"retire": "blue", "carry": "green", "refresh": "cyan", "solve": "red", "wait": "yellow", "leave out": "red",
           "put back": "red"}  # fmt: skip
# In neither the base nor the new stack: never passed over in silence.
LACKING = {
    "leave out": "it was left out",
    "put back": "it retired, and upstream took it back since",
}
GO_ON = ("resume", "skip", "abort")


@command("repin")
@stack_argument
@click.option("--to", metavar="REF", help="The new base: 40 digits, bN, branch, tag of upstream.")
@click.option("--release", metavar="NAME", help="Name of the new release and its file; else that of the build, b9206.")
@click.option("--in-place", is_flag=True, help="Move STACK itself, for a stack that follows upstream.")
@click.option("--no-build", is_flag=True, help="Write and lock the new stack, but do not build and test it.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and write nothing.")
@click.option("--probe", is_flag=True, help="Try the probes on the unpatched base, in a sandbox: what passes can go.")
@click.option("--no-sandbox", is_flag=True, help="Trust upstream's code: --probe builds and runs it as you.")
@click.option("--offline", is_flag=True, help="Ask nobody: git's objects at hand and what GitHub said before.")
@click.option("--continue", "action", flag_value="resume", help="Go on: the conflict in the worktree is solved.")
@click.option("--skip", "action", flag_value="skip", help="Go on without the patch at hand and those that need it.")
@click.option("--abort", "action", flag_value="abort", help="Remove the worktree; nothing else was written.")
def repin(app: App, *, name: str, to: str | None, action: str | None, no_build: bool, **how: Any) -> int:
    """Write the next release's stack from STACK: without what landed, with new revisions of what moved.

    STACK's own files stay as they are. At a conflict it stops in a worktree; --continue goes on. Then it locks, builds
    and tests the new stack. Run again it changes nothing. Exit 10 when a patch is in neither the base nor the new
    stack: left out with --skip, or retired before and taken back by upstream since.

    \b
    patchctl repin stacks/b9187.yaml --to b9206
    patchctl repin stacks/nightly.yaml --to master --in-place --no-build
    patchctl repin stacks/b9187.yaml --continue
    """
    from patchctl.files import locked

    _check_words(to, action, how)
    stack = app.stack(name)
    # No release can be named so: the worktrees of apply and edit are others.
    folder = app.workspace.root / "work" / f"{stack.stack.release}~repin"
    lock = app.cache / "locks" / f"{digest(str(folder))[:16]}.lock"
    with locked(lock, f"the repin of {stack.stack.release}"):
        run = Run(app, name, stack, folder)
        if action == "abort":
            return run.abort()
        return run.go_on(action, build=not no_build) if action else run.begin(to or "", build=not no_build, **how)


def _check_words(to: str | None, action: str | None, how: dict[str, Any]) -> None:
    if action and (to or any(how.values())):
        raise PatchctlError(Code.USAGE, f"--{action.replace('resume', 'continue')} goes on as it began; give no --to")
    if not action and to is None:
        raise PatchctlError(Code.USAGE, "say where to with --to REF")
    if how["no_sandbox"] and not how["probe"]:
        raise PatchctlError(Code.USAGE, "--no-sandbox belongs to --probe")
    if how["release"] and how["in_place"]:
        raise PatchctlError(Code.USAGE, "--release names a new stack; --in-place keeps the one there is")


class Run:
    """One repin of one stack."""

    def __init__(self, app: App, name: str, stack: StackFile, folder: Path) -> None:
        self.app = app
        self.name = name
        self.stack = stack
        self.store = app.store(stack)
        self.folder = folder
        self.written: list[Path] = []

    @property
    def worktree(self) -> Worktree:
        """Return the worktree that a conflict is solved in."""
        from patchctl.series.worktree import Worktree

        return Worktree(self.folder, self.store)

    # --- begin ----------------------------------------------------------------------------------------------------

    def begin(self, to: str, *, release: str | None, in_place: bool, dry_run: bool, build: bool, **ask: bool) -> int:
        """Plan; write what needs no person, or stop where one is needed."""
        from patchctl.author.repin import already, plan, target_of

        with self.app.ui.progress(f"{self.stack.stack.release}: repin") as show:
            self.store.progress = show
            self.store.ensure_commit(self.stack.stack.upstream.commit)
            commit = self.store.resolve(to, self.stack.stack.upstream.commit)
            target = target_of(self.app.workspace, self.stack, self.store, commit, release=release, in_place=in_place)
            there = already(self.app.workspace, target)
            made = plan(self.app.workspace, target, self.store, lambda survey: self._told(survey, **ask), show)
        if there is not None:
            return self._again(target, there, made.choices, dry_run=dry_run, build=build)
        self._require_allowed(made)
        if dry_run:
            return self._planned(made)
        return self._stop_or_finish(made, build=build) if made.conflicts else self._write(made, build=build)

    def _told(self, survey: Survey, *, probe: bool, no_sandbox: bool, offline: bool) -> Told:
        from patchctl.cli.hearsay import Hearsay
        from patchctl.cli.unpatched import probe_results, remembered

        hearsay = Hearsay(self.app, [survey], offline=offline)
        probes = remembered(self.app, self.stack, survey.base)
        if probe:
            probes |= probe_results(self.app, self.stack, survey.base, sandbox=not no_sandbox)
        told = hearsay.told(survey, probes)
        hearsay.warn()
        return told

    def _require_allowed(self, made: Plan) -> None:
        if made.carried.refused:
            made.carried.require_success(self.name)

    def _again(self, target: Target, there: StackFile, choices: Sequence[Choice], *, dry_run: bool, build: bool) -> int:
        """Go on with a stack that was repinned to this commit before: it is what a person made of it."""
        from patchctl.author.repin import as_left

        shown = as_left(self.app.workspace, choices, there, target.build)
        if dry_run:
            return self._tell(target, shown, dry_run=True)
        return self._settled(target, shown, build=build)

    def _planned(self, made: Plan) -> int:
        from patchctl.author.repin import refreshed

        if not made.conflicts:
            refreshed(made, self.store)
        made.target.text([choice.patch for choice in made.choices if choice.stays])
        code = self._tell(made.target, made.choices, dry_run=True)
        return Code.CONFLICT if made.conflicts else code

    def _write(self, made: Plan, *, build: bool) -> int:
        from patchctl.author.repin import refreshed
        from patchctl.series.revise import write_revision

        made.target.text([choice.patch for choice in made.choices if choice.stays])
        folder = self.app.workspace.patches_folder
        for patch_id, content in refreshed(made, self.store).items():
            self.written.append(write_revision(folder / patch_id, made.target.build, content))
        self.written += made.target.hand_in(self.app.workspace, made.choices)
        return self._settled(made.target, made.choices, build=build)

    # --- with a person --------------------------------------------------------------------------------------------

    def _stop_or_finish(self, made: Plan, *, build: bool) -> int:
        from patchctl.author.repin_session import Repin, note_of
        from patchctl.series.sequence import Series

        made.target.text([choice.patch for choice in made.choices if choice.stays])
        series = Series(self.store, made.carried.patches, allow=self.stack.stack.policy.allow)
        session = Repin(self.worktree, series, self.stack, note_of(self.app.workspace, made, prove=build))
        stop, left_out = session.open()
        if left_out:
            named = ", ".join(sorted(left_out)[:3])
            self.app.ui.warn(f"no copy of upstream has {len(left_out)} of its files; left out: {named}…")
        return self._stopped(session, stop) if stop else self._finish(session, build=build)

    def go_on(self, action: str, *, build: bool) -> int:
        """Take what was solved, or leave it out, and go on to the next conflict or the end."""
        from patchctl.author.repin_session import Repin, carried_of, read_note, stack_of
        from patchctl.series.resolve import load_patches
        from patchctl.series.sequence import Series

        note = read_note(self.worktree)
        stack = stack_of(self.app.workspace, self.worktree)
        allow = stack.stack.policy.allow
        old = load_patches(self.app.workspace, stack, self.store, stack.stack.upstream.commit)
        # What a patch in mid-stack was made on exists only once those before it are applied on the old base.
        Series(self.store, old, allow=allow).sequence(stack.stack.upstream.commit, old)
        patches = carried_of(load_patches(self.app.workspace, stack, self.store, note.commit), note)
        session = Repin(self.worktree, Series(self.store, patches, allow=allow), stack, note)
        stop = session.resume() if action == "resume" else session.skip()
        return self._stopped(session, stop) if stop else self._finish(session, build=build and note.prove)

    def _stopped(self, session: Repin, stop: Stop) -> int:
        where = self.app.workspace.shown(self.folder)
        target = session.note.target(self.app.workspace, session.stack)
        self._show(target, session.note.choices)
        tell_recalled(self.app, session)
        self.app.ui.say(f"{stop.patch} conflicts in {', '.join(stop.paths)}")
        self.app.ui.say(f"solve it in {where}, then: patchctl repin {self.name} --continue   (or --skip, --abort)")
        found = self._object(target, session.note.choices)
        self.app.ui.result({**found, "worktree": where, "stopped_at": stop.patch, "conflicts": list(stop.paths)})
        return Code.CONFLICT

    def _finish(self, session: Repin, *, build: bool) -> int:
        target = session.note.target(self.app.workspace, session.stack)
        tell_recalled(self.app, session)
        losses = losses_of(session)
        self.written += session.finish(self.app.workspace)
        tell_losses(self.app, losses)
        if not session.worktree.belongings(session.branch):
            session.worktree.remove()
        return self._settled(target, session.choices, build=build)

    def abort(self) -> int:
        """Remove the worktree; whatever happened, it can be ended."""
        from patchctl.series.session import abandon

        aside = abandon(self.worktree)
        where = None if aside is None else self.app.workspace.shown(aside)
        left = "the worktree is gone" if where is None else f"what you did is in {where}"
        self.app.ui.say(f"aborted; {left} and nothing was written")
        self.app.ui.result({"aborted": True, "aside": where})
        return Code.OK

    # --- the new stack is there -----------------------------------------------------------------------------------

    def _settled(self, target: Target, choices: Sequence[Choice], *, build: bool) -> int:
        """Prove the new stack by its own files, lock it, build it."""
        resolved = self._lock(target)
        named = dict(zip((patch.id for patch in resolved.patches), resolved.steps, strict=True))
        # What was refreshed is said to have moved; what a person solved, how it stands now.
        choices = [_solved(one, named.get(one.patch)) for one in choices]
        if not build:
            return self._tell(target, choices)
        self._show(target, choices)
        done, code = _build(self.app, self.app.workspace.shown(target.path))
        self.app.ui.result({**self._object(target, choices), "build": done})
        return code or _attention(choices)

    def _lock(self, target: Target) -> Resolved:
        from patchctl.manifest.lockfile import lock_path, write_lock

        stack = self.app.workspace.load_stack(target.path)
        store, _, resolved = self.app.resolve(stack)
        resolved.require_success(self.app.workspace.shown(target.path))
        if write_lock(target.path, resolved.lock(store)):
            self.written.append(lock_path(target.path))
        return resolved

    # --- words ----------------------------------------------------------------------------------------------------

    def _tell(self, target: Target, choices: Sequence[Choice], *, dry_run: bool = False) -> int:
        self._show(target, choices)
        self.app.ui.result({**self._object(target, choices), "dry_run": dry_run})
        return _attention(choices)

    def _show(self, target: Target, choices: Sequence[Choice]) -> None:
        ui, stays = self.app.ui, sum(choice.stays for choice in choices)
        count = sum(choice.action.value != "put back" for choice in choices)
        counts = f"{stays} of {count} patch{'es' if count != 1 else ''} stay{'s' if stays == 1 else ''}"
        ui.say(f"{self.stack.stack.release} -> {target.release}  on {target.commit[:9]} (b{target.build}): {counts}")
        for line in table([_row(choice) for choice in choices]):
            ui.say(line)
        for path in self.written:
            ui.say(f"wrote {self.app.workspace.shown(path)}")
        for choice in choices:
            if choice.action.value in LACKING:
                why = LACKING[choice.action.value]
                ui.warn(f"{choice.patch} is neither in the base nor in {target.release}: {why}")

    def _object(self, target: Target, choices: Sequence[Choice]) -> dict[str, Any]:
        shown, base = self.app.workspace.shown, self.stack.stack.upstream.commit
        return {
            "stack": self.stack.stack.release,
            "base": {"commit": base, "build": self.store.build_number(base)},
            "to": {"commit": target.commit, "build": target.build},
            "release": target.release,
            "file": shown(target.path),
            "in_place": target.in_place,
            "dry_run": False,
            "patches": [_patch(choice) for choice in choices],
            "written": [shown(path) for path in self.written],
            "worktree": None,
            "stopped_at": None,
            "conflicts": [],
            "build": None,
        }


def _attention(choices: Sequence[Choice]) -> int:
    return Code.ATTENTION if any(choice.action.value in LACKING for choice in choices) else Code.OK


def _solved(choice: Choice, step: Step | None) -> Choice:
    if step is None or (choice.outcome is not None and not choice.outcome.failed):
        return choice
    return replace(choice, outcome=step.outcome, conflicts=step.conflicts, detail="")


def _build(app: App, name: str) -> tuple[dict[str, Any], int]:
    """Build and test a stack as ``build`` does when nothing more is said."""
    from patchctl.cli.build import Options, build, carry_out

    words = build.make_context("build", [name]).params
    return carry_out(app, name, Options(**{part.name: words[part.name] for part in fields(Options)}))


def _row(choice: Choice) -> list[str]:
    action = click.style(choice.action.value, fg=COLOURS[choice.action.value])
    applied = outcome(choice.outcome.value) if choice.outcome and choice.stays else ""
    return [choice.patch, action, applied, "  ".join(_words(choice))]


def _words(choice: Choice) -> Iterator[str]:
    """Return what a person should know of a patch: where it conflicts, why it goes, what wants a look."""
    if choice.conflicts:
        yield f"conflicts in {', '.join(choice.conflicts)}"
    if choice.detail:
        yield choice.detail
    if choice.action.value in {"retire", "put back"} or choice.verdict.value == "unknown":
        yield choice.reason
    elif choice.verdict.value == "review":
        yield f"review{', carried' if choice.carried else ''}: {choice.reason}"


def _patch(choice: Choice) -> dict[str, Any]:
    return {
        "id": choice.patch,
        "action": choice.action.value,
        "verdict": choice.verdict.value,
        "reason": choice.reason,
        "outcome": choice.outcome.value if choice.outcome else None,
        "conflicts": list(choice.conflicts),
    }

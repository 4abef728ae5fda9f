"""Move the pin of a pull request on purpose: what changed since it was reviewed, and a new revision of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchctl.author.source import origin_of, pull_request_draft
from patchctl.author.upstream import fetch_pull_request, fork_point
from patchctl.errors import Code, PatchctlError
from patchctl.files import write_atomic
from patchctl.git import OID
from patchctl.manifest.edit import set_scalar
from patchctl.manifest.workspace import revision_key
from patchctl.series.explain import plain
from patchctl.series.patch import Patch
from patchctl.series.resolve import load_patches
from patchctl.series.revise import export, write_revision
from patchctl.series.sequence import Series

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.author.target import Target
    from patchctl.manifest.page import PageFile
    from patchctl.store import Store


@dataclass(frozen=True)
class Update:
    """The new revision of a patch, its page with the new pin, and the difference between the two heads for people.

    ``range_diff`` is None when the head until now is nowhere to be had any more.
    """

    patch_id: str
    page: PageFile
    head: str
    build: int
    content: bytes
    range_diff: str | None

    def write(self) -> tuple[Path, bool]:
        """Write the revision, then the page, and return the revision's file and whether anything is new."""
        folder = self.page.path.parent
        before = set(folder.iterdir())
        path = write_revision(folder, self.build, self.content)
        page = self._page()
        changed = path not in before or page != self.page.path.read_bytes()
        write_atomic(self.page.path, page)
        return path, changed

    def _page(self) -> bytes:
        """Return the page with the new head, in the sentence that an import wrote of it too."""
        page = set_scalar(self.page.document, ("upstream", "head"), self.head)
        origin = self.page.page.upstream
        if origin is None or origin.pr is None or origin.head is None:
            return page
        old, new = (origin_of(origin.pr, head).encode() for head in (origin.head, self.head))
        return page.replace(old, new)


def update(target: Target, store: Store, patch_id: str, head: str) -> Update:
    """Return what moving the pin of a patch to ``head`` will write; the base is the stack's.

    Raises PatchctlError: exit code 2 without a pinned pull request, 3 when the pull request does not hold ``head``,
    4 when it does not apply.
    """
    page = target.workspace.load_page(patch_id)
    origin = page.page.upstream
    if origin is None or origin.pr is None or origin.head is None:
        message = f"{page.document.path} pins no pull request: upstream names no pr and head; nothing to move"
        raise PatchctlError(Code.USAGE, message)
    _require_held(store, origin.pr, head)
    draft, made_on = pull_request_draft(store, origin.pr, head)
    base, before = _place(target, store, patch_id, made_on)
    patch = Patch(patch_id, None, draft.label, draft.content, tuple(page.page.requires))
    steps = Series(store, [*before, patch]).sequence(base, [*before, patch])
    failed = [step for step in steps if step.outcome.failed]
    if failed or not steps[-1].outcome.applied:
        what = f"conflicts in {', '.join(failed[-1].conflicts)}" if failed else "brings nothing there"
        raise PatchctlError(Code.CONFLICT, f"{patch_id} at {head[:9]} {what} on {base[:9]}; nothing was written")
    applied = [one.content for one, step in zip(before, steps, strict=False) if step.outcome.applied]
    content = export(store, steps[-1].commit, base, [one for one in store.repo.patch_ids(applied) if one])
    shown = _range_diff(store, origin.head, head) if _is_had(store, origin.head) else None
    return Update(patch_id, page, head, store.build_number(base), content, shown)


def _require_held(store: Store, pr: str, head: str) -> None:
    if not OID.fullmatch(head):
        raise PatchctlError(Code.USAGE, f"--head {head}: a head is all 40 hex digits, as it was reviewed")
    _, now = fetch_pull_request(store, pr)
    if store.repo.resolve(head) is None or not store.repo.is_ancestor(head, now):
        message = f"{pr} does not hold {head}; its head moved to {now}: review that, then give --head {now}"
        raise PatchctlError(Code.INVALID, message)


def _is_had(store: Store, head: str) -> bool:
    """Return whether a head is here or can be brought; a server forgets one that was pushed over."""
    if store.repo.resolve(head) is None:
        try:
            store.pin(head)
        except PatchctlError as error:
            if error.exit_code != Code.INVALID:
                raise
            return False
    return True


def _place(target: Target, store: Store, patch_id: str, made_on: str) -> tuple[str, list[Patch]]:
    """Return the base and the patches that come before in the stack; without a stack the fork point and none."""
    files = [target.stack] if target.stack is not None else [
        file for file in map(target.workspace.load_stack, target.workspace.stack_files())
        if patch_id in file.stack.patches
    ]  # fmt: skip
    if len(files) > 1:
        names = ", ".join(file.document.path for file in files)
        raise PatchctlError(Code.USAGE, f"{patch_id} is in several stacks ({names}); say for which base with --stack")
    if not files:
        _require_newest(target, store, patch_id, made_on)
        return made_on, []
    base = files[0].stack.upstream.commit
    patches = load_patches(target.workspace, files[0], store, base)
    ids = [patch.id for patch in patches]
    if patch_id not in ids:
        raise PatchctlError(Code.USAGE, f"{files[0].document.path} has no patch {patch_id}")
    return base, [replace(patch) for patch in patches[: ids.index(patch_id)]]


def _require_newest(target: Target, store: Store, patch_id: str, base: str) -> None:
    """Refuse a revision for a base before that of one there is: the page would name a head that nobody builds."""
    build = store.build_number(base)
    keys = [key for path in target.workspace.revisions(patch_id) if (key := revision_key(path.name)) is not None]
    newest = max((key[0] for key in keys), default=0)
    if build < newest:
        why = f"{patch_id} is in no stack, and its revision for b{newest} would count instead of one for b{build}"
        raise PatchctlError(Code.USAGE, f"{why}; say for which base with --stack")


def _range_diff(store: Store, old: str, new: str) -> str:
    """Return how the commits of two heads differ, as ``git range-diff`` shows it, without what a terminal obeys."""
    ranges = [f"{fork_point(store, head, head[:9])}..{head}" for head in (old, new)]
    words = ("range-diff", "--no-color", *ranges)
    text = store.repo.run(*words, settings=["core.abbrev=9"], lazy=True).text()
    return "\n".join(plain(line) for line in text.encode("utf-8", "replace").decode().splitlines())

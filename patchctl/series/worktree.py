"""A worktree that a person can open: a repository of its own that borrows the store's objects."""

from __future__ import annotations

import contextlib
import enum
import itertools
import re
import time
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.files import remove_folder, replace_folder
from patchctl.git import GitError, Result, run_git
from patchctl.series.apply import looks_binary
from patchctl.store import REMOTE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from patchctl.store import Store

AT_WORK = "patchctl-at-work"
PATIENCE = 3.0  # seconds that a git whose patchctl was killed may need to end
MARKER = re.compile(rb"^(<{7}|>{7}) ", re.MULTILINE)


class Picked(enum.Enum):
    """How a pick ended: without a conflict, with one that was solved as it had been before, with one that is open."""

    WHOLE = enum.auto()
    RECALLED = enum.auto()
    OPEN = enum.auto()


class Worktree:
    """A checkout with its own ``.git``; nothing a person does there reaches the store or the mirror."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store

    def git(self, *words: str, stdin: bytes | None = None, accept: Sequence[int] = (0,)) -> Result:
        """Run git in the worktree."""
        git_dir = self.folder / ".git"
        lazy = {"GIT_NO_LAZY_FETCH": "0"}
        return run_git(*words, git_dir=git_dir, cwd=self.folder, stdin=stdin, accept=accept, env=lazy)

    def exists(self) -> bool:
        """Return whether the worktree is there."""
        return (self.folder / ".git").exists()

    def create(self, commit: str, branch: str, state: Mapping[str, bytes] | None = None) -> list[str]:
        """Check ``commit`` out as ``branch`` into a new folder; returns the paths no copy of upstream has.

        ``state`` are files below its ``.git``. Made beside and renamed, so it is there whole or not at all.
        """
        absent = set(self.store.ensure_tree(self.store.repo.tree_of(commit)))
        made = Worktree(self.folder.with_name(f".{self.folder.name}.tmp"), self.store)
        remove_folder(made.folder)
        made.folder.mkdir(parents=True)
        run_git("init", "--quiet", "--template=", str(made.folder))
        made.borrow()
        left_out = made.check_out(commit, branch, absent)
        for name, content in (state or {}).items():
            (made.folder / ".git" / name).write_bytes(content)
        self.store.lend(self.folder)
        replace_folder(made.folder, self.folder)
        return left_out

    def remove(self) -> None:
        """Remove the worktree and all that was solved in it; raises PatchctlError (exit code 2) when there is none."""
        if not self.exists():
            raise PatchctlError(Code.USAGE, f"nothing to abort: {self.folder} does not exist")
        remove_folder(self.folder)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()  # only when no other worktree is in it

    def set_aside(self) -> Path:
        """Move the worktree, with all a person did there, to a free place beside it and return that."""
        numbers = itertools.count(1)
        place = next(
            path for n in numbers if not (path := self.folder.with_name(f"{self.folder.name}.aside-{n}")).exists()
        )
        self.store.lend(place)
        self.folder.rename(place)
        return place

    def borrow(self) -> None:
        """Read the store's objects, what it lacks from its mirror, and how conflicts were solved before."""
        info = self.folder / ".git" / "objects" / "info"
        info.mkdir(parents=True, exist_ok=True)
        solutions = self.store.folder / "rr-cache"
        solutions.mkdir(exist_ok=True)
        (self.folder / ".git" / "rr-cache").symlink_to(solutions)
        (info / "alternates").write_text(f"{self.store.folder / 'objects'}\n", encoding="utf-8")
        settings = ["core.repositoryFormatVersion=1", "core.bare=false", f"extensions.partialClone={REMOTE}"]
        settings += [*self.store.remote_settings(), "rerere.enabled=true", "gc.auto=0"]
        (self.folder / ".git" / "config").write_text("".join(map(_config_line, settings)), encoding="utf-8")

    def check_out(self, commit: str, branch: str, absent: set[str]) -> list[str]:
        """Make index and files those of ``commit``; objects that are absent everywhere are left out."""
        self.git("update-ref", f"refs/heads/{branch}", commit)
        self.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        self.git("read-tree", commit)
        listed = self.git("ls-files", "-s", "-z").fields()
        left_out = [line.split("\t", 1)[1] for line in listed if line.split()[1] in absent]
        if left_out:
            paths = "\0".join(left_out).encode("utf-8", "surrogateescape") + b"\0"
            self.git("update-index", "-z", "--skip-worktree", "--stdin", stdin=paths)
        self.git("checkout-index", "--all", "--force", "--index", "--quiet")
        return left_out

    def reset(self, commit: str) -> None:
        """Go to ``commit`` as if the patch at hand had not been tried; other files stay."""
        with self._at_work():
            # Else the next pick's rerere takes the files without the patch for how its conflict was solved.
            self.git("rerere", "clear")
            self.git("read-tree", "-u", "--reset", commit)
            self.git("update-ref", "HEAD", commit)
        (self.folder / ".git" / "CHERRY_PICK_HEAD").unlink(missing_ok=True)

    def pick(self, commit: str) -> Picked:
        """Apply ``commit`` on what is there, without committing; what was solved before is solved again (rerere)."""
        with self._at_work():
            done = self.git("cherry-pick", "--no-commit", "--allow-empty", commit, accept=(0, 1))
        if done.status == 0:
            return Picked.WHOLE
        return Picked.OPEN if self.unmerged() else Picked.RECALLED

    def remember(self) -> None:
        """Keep how the conflicts at hand were solved, for the next time they come."""
        with self._at_work():
            self.git("rerere")

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """Mark that patchctl's git is changing the index, so that a lock which a kill left is known not to be yours."""
        mark = self.folder / ".git" / AT_WORK
        self._await_locks(ours=mark.exists())
        mark.touch()
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)

    def _await_locks(self, *, ours: bool) -> None:
        """Wait until no git is at work here; locks that stay are removed if ours, else named (exit code 9)."""
        git_dir = self.folder / ".git"
        until = time.monotonic() + PATIENCE
        while left := [*git_dir.glob("*.lock"), *(git_dir / "refs").rglob("*.lock")]:
            if time.monotonic() > until and not ours:
                why = f"{left[0]} says that a git of yours is at work there"
                raise PatchctlError(Code.ENVIRONMENT, f"{why}; end it, or remove the file, then --continue")
            if time.monotonic() > until:
                for lock in left:
                    lock.unlink(missing_ok=True)
            time.sleep(0.05)

    def first_after(self, commit: str) -> bytes | None:
        """Return the first commit (its object's content) that was made here on ``commit``, None where there is none.

        Raises PatchctlError (exit code 9) when what is checked out does not stand on ``commit``, or a rebase is open.
        """
        if any((self.folder / ".git" / name).exists() for name in ("rebase-merge", "rebase-apply")):
            raise PatchctlError(
                Code.ENVIRONMENT, f"a rebase is open in {self.folder}; end it with git, then --continue"
            )
        stands = self.git("merge-base", "--is-ancestor", commit, "HEAD", accept=(0, 1, 128)).status == 0
        made = self.git("rev-list", "--first-parent", "--reverse", f"{commit}..HEAD").text().split() if stands else []
        if made and self.git("rev-parse", f"{made[0]}^").text() != commit:
            stands = False
        if not stands:
            why = f"what is checked out in {self.folder} does not stand on {commit[:9]} any more"
            raise PatchctlError(Code.ENVIRONMENT, f"{why}; go back to it with git, then --continue")
        return self.git("cat-file", "commit", made[0]).stdout if made else None

    def head(self) -> str:
        """Return the commit that is checked out."""
        return self.git("rev-parse", "HEAD").text()

    def unmerged(self) -> list[str]:
        """Return the paths still in conflict."""
        listed = self.git("ls-files", "--unmerged", "-z").fields()
        return sorted({line.split("\t", 1)[1] for line in listed})

    def belongings(self, branch: str) -> list[str]:
        """Return what a person would lose with the worktree: changes, new and ignored files, commits, other refs."""
        refs = self.git("for-each-ref", "--format=%(refname)").text().split()
        head = self.head()
        own = [] if self.store.repo.resolve(head) else [f"commit {head[:9]}"]
        return [*self.changes(), *own, *(ref for ref in refs if ref != f"refs/heads/{branch}")]

    def put_there(self) -> list[str]:
        """Return what a person put there beside solving a conflict: new files, changes of others, commits of theirs."""
        open_ones = set(self.unmerged())
        changed = [path for path in self.git("diff-files", "-z", "--name-only").fields() if path not in open_ones]
        new = self.git("ls-files", "--others", "-z").fields()
        head = self.head()
        return [*changed, *new, *([] if self.store.repo.resolve(head) else [f"commit {head[:9]}"])]

    def changes(self) -> list[str]:
        """Return the paths that differ from the commit checked out, new and ignored files included."""
        words = ("--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignored")
        try:
            listed = self.git("status", *words).fields()
        except GitError as error:
            why = f"{self.folder} cannot be read; the store it borrowed from may be gone"
            raise PatchctlError(Code.ENVIRONMENT, f"{why}; move what is yours, then --abort") from error
        return [line[3:] for line in listed]

    def solved_tree(self, commit: str, *, take_new: bool = False) -> str:
        """Return the tree of what lies in the worktree, once every conflict is solved; ``take_new``: new files too.

        Raises PatchctlError (exit code 4) naming what is not solved: conflict markers that ``commit`` has not, added to
        the index or not, conflicts without markers, and new files that nobody added (leftovers of a merge tool would
        become part of the patch).
        """
        self._require_decided(take_new=take_new)
        changed = self.git("diff-index", "-z", "--name-only", "--no-renames", commit).fields()
        marked = [path for path in changed if self._has_markers(path) and not self._had_markers(path, commit)]
        if marked:
            raise PatchctlError(Code.CONFLICT, f"conflict markers are left in {', '.join(marked)} ({self.folder})")
        with self._at_work():
            self.git("add", "--all" if take_new else "--update", "--", ".")
        return self.git("write-tree", "--missing-ok").text()

    def _require_decided(self, *, take_new: bool) -> None:
        """Raise PatchctlError (exit code 4) for what only a person can tell: new files, conflicts without markers."""
        new = self.git("ls-files", "--others", "--exclude-standard", "-z").fields()
        if new and not take_new:
            why = f"new files in {self.folder}: {', '.join(new[:5])}"
            raise PatchctlError(Code.CONFLICT, f"{why}; git add those that belong to the patch, move the others away")
        open_ones = [path for path, stages in self._stages().items() if not self._shows_markers(stages)]
        if open_ones:
            why = f"undecided in {self.folder}: {', '.join(open_ones)}"
            raise PatchctlError(Code.CONFLICT, f"{why}; git add or git rm them, then --continue")

    def _stages(self) -> dict[str, dict[str, str]]:
        """Return for each path in conflict its blobs by stage: 1 the common one, 2 ours, 3 the patch's."""
        found: dict[str, dict[str, str]] = {}
        for line in self.git("ls-files", "--unmerged", "-z").fields():
            entry, path = line.split("\t", 1)
            _, oid, stage = entry.split()
            found.setdefault(path, {})[stage] = oid
        return found

    def _shows_markers(self, stages: dict[str, str]) -> bool:
        """Return whether git could write markers: both sides are there, and are text."""
        sides = [stages.get(stage) for stage in ("2", "3")]
        return all(oid and not looks_binary(self.git("cat-file", "blob", oid).stdout) for oid in sides)

    def _has_markers(self, path: str) -> bool:
        file = self.folder / path
        return file.is_file() and MARKER.search(file.read_bytes()) is not None

    def _had_markers(self, path: str, commit: str) -> bool:
        before = self.git("cat-file", "blob", f"{commit}:{path}", accept=(0, 128))
        return before.status == 0 and MARKER.search(before.stdout) is not None

    def hand_over(self, tree: str, commit: str) -> str:
        """Bring a tree made here on ``commit``, and all that is new in it, into the store; returns its id."""
        base = self.store.repo.tree_of(commit)
        listed = self.git("diff-tree", "-r", "-t", "-z", "--no-renames", "--raw", base, tree).fields()
        made = [oid for oid in (line.split()[3] for line in listed[::2]) if oid.strip("0")]
        for oid in [*made, tree]:
            kind = self.git("cat-file", "-t", oid).text()
            self.store.repo.write(kind, self.git("cat-file", kind, oid).stdout)
        return tree


def _config_line(setting: str) -> str:
    """Return ``section.name.key=value`` as git writes it into a configuration file."""
    name, value = setting.split("=", 1)
    section, key = name.rsplit(".", 1)
    head, _, sub = section.partition(".")
    title = f'{head} "{sub}"' if sub else head
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'[{title}]\n\t{key} = "{quoted}"\n'

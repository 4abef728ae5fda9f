"""A stack as a branch for people who clone: the very commits of its lock, one a patch, pushed with a lease."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.files import disk_errors, remove_folder
from patchctl.git import OID, GitError, run_git
from patchctl.ship import remote
from patchctl.ship.refusal import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.series.source import Source
    from patchctl.store import Store

COMMITTER = b" patchctl <patchctl@localhost> "


@dataclass(frozen=True)
class Target:
    """Where to: the remote's URL or path, the branch, the tag if there is to be one."""

    url: str
    branch: str
    tag: str | None = None

    @property
    def branch_ref(self) -> str:
        """Return the branch's full name."""
        return f"refs/heads/{self.branch}"

    @property
    def tag_ref(self) -> str:
        """Return the tag's full name."""
        return f"refs/tags/{self.tag}"


@dataclass(frozen=True)
class Published:
    """What a push did: the branch before (None: there was none) and after, the tag object, whether anything moved."""

    before: str | None
    after: str
    tag: str | None
    changed: bool


def check_target(target: Target, upstream: Sequence[str]) -> None:
    """Raise PatchctlError (exit code 2) for a target that is no remote, no ref, or upstream (or a mirror of it)."""
    if not remote.is_remote(target.url):
        raise PatchctlError(Code.USAGE, f"--remote {target.url}: that is neither a URL nor a folder")
    if remote.same_repository(target.url, upstream):
        why = "that is upstream, which patchctl never pushes to"
        raise PatchctlError(Code.USAGE, f"--remote {target.url}: {why}; name a repository of yours")
    for ref in (target.branch_ref, *([target.tag_ref] if target.tag else [])):
        if run_git("check-ref-format", ref, accept=(0, 1)).status:
            raise PatchctlError(Code.USAGE, f"{ref.split('/', 2)[2]!r} cannot name a branch or tag")


class Publisher:
    """Pushes one source's commits from the store to one target."""

    def __init__(self, store: Store, source: Source, target: Target, date: int) -> None:
        self.store = store
        self.source = source
        self.target = target
        self.date = date
        self.url = remote.place(target.url)
        # A renamed repository forwards to its new name, which may be upstream's.
        self.settings = [*remote.transport_settings(), "http.followRedirects=false", "push.negotiate=false"]

    def publish(self, *, dry_run: bool = False) -> Published:
        """Push branch and tag, both or neither, and return what changed.

        Raises PatchctlError: exit code 7 when the remote cannot be reached or refuses, 9 when objects that the remote
        lacks cannot be had, 10 when the branch holds commits of others, moved meanwhile, or the tag names others.
        """
        refs = self.refs()
        before, tag = refs.get(self.target.branch_ref), self._tag()
        if tag is not None and refs.get(self.target.tag_ref, tag) != tag:
            why = f"the tag {self.target.tag} is there already and names something else"
            raise self._refused(Code.ATTENTION, f"{why}; tags do not move, choose another name")
        if before != self.source.commit:
            self._require_ours(before)
        changed = before != self.source.commit or (tag is not None and self.target.tag_ref not in refs)
        if changed:
            self._require_objects(refs)
            self.push(before, tag, dry_run=dry_run)
        return Published(before, self.source.commit, tag, changed)

    def refs(self) -> dict[str, str]:
        """Return the remote's branches and tags with the ids they name."""
        words = ("ls-remote", "--quiet", self.url, "refs/heads/*", "refs/tags/*")
        try:
            listed = run_git(*words, settings=self.settings)
        except GitError as error:
            raise self._explained(error) from error
        pairs = (line.split("\t", 1) for line in listed.text().splitlines() if "\t" in line)
        return {ref: oid for oid, ref in pairs}

    def _tag(self) -> str | None:
        """Return the annotated tag's object: the same for the same commit and name everywhere."""
        if self.target.tag is None:
            return None
        source = self.source
        lines = [
            f"object {source.commit}",
            "type commit",
            f"tag {self.target.tag}",
            f"tagger patchctl <patchctl@localhost> {self.date} +0000",
            "",
            f"{source.release}: {len(source.patches)} patches on b{source.build_number}",
            "",
            f"base {source.base}",
            f"tree {source.tree}",
        ]
        return self.store.repo.write("tag", "\n".join(lines).encode() + b"\n")

    # --- what may be overwritten ----------------------------------------------------------------------------------

    def _require_ours(self, head: str | None) -> None:
        """Refuse to drop what patchctl did not make: a head that is neither below the new one nor committed by it."""
        if head is None:
            return
        known = self.store.repo.has([head])[head]
        if known and self.store.repo.is_ancestor(head, self.source.commit):
            return
        commit = self.store.repo.read(head, "commit") if known else self._fetch_head()
        header = commit.split(b"\n\n", 1)[0].split(b"\n")
        committer = next((line for line in header if line.startswith(b"committer ")), b"")
        if not committer.startswith(b"committer" + COMMITTER):
            who = committer[len(b"committer ") :].rsplit(b" ", 2)[0].decode("utf-8", "replace")
            why = f"its head {head[:9]} was committed by {who}, not by patchctl"
            hint = "move that commit into the stack (patchctl import), or name another branch"
            branch = f"the branch {self.target.branch} is not ours to replace"
            raise self._refused(Code.ATTENTION, f"{branch}: {why}; {hint}")

    def _fetch_head(self) -> bytes:
        """Return the commit at the branch's head, fetched alone into a repository that is thrown away."""
        with disk_errors():
            folder = Path(tempfile.mkdtemp(prefix="patchctl-head-"))
        try:
            run_git("init", "--quiet", "--bare", "--template=", str(folder))
            words = ("fetch", "--quiet", "--depth=1", "--filter=tree:0", "--no-tags", self.url, self.target.branch_ref)
            run_git(*words, git_dir=folder, settings=self.settings)
            return run_git("cat-file", "commit", "FETCH_HEAD", git_dir=folder).stdout
        except GitError as error:
            raise self._explained(error) from error
        finally:
            remove_folder(folder)

    # --- objects --------------------------------------------------------------------------------------------------

    def _require_objects(self, refs: dict[str, str]) -> None:
        """Make sure that everything the remote lacks is here: the store holds history, but few of its files."""
        repo = self.store.repo
        common = self._common(refs)
        words = ("rev-list", "--objects", "--no-object-names", "--missing=print", "--stdin")
        listed = repo.run(*words, stdin=_range(self.source.commit, common))
        missing = [line[1:] for line in listed.text().splitlines() if line.startswith("?")]
        absent = self.store.ensure_blobs(missing) if missing else []
        if absent:
            has = "too little" if common else "nothing"
            why = f"it has {has} of upstream's history, and no copy at hand has {len(absent)} of the objects it lacks"
            hint = "make it a fork of upstream first, or push upstream's base to it from a full clone"
            raise self._refused(Code.ENVIRONMENT, f"{why} ({absent[0][:9]}); {hint}")

    def _common(self, refs: dict[str, str]) -> list[str]:
        """Return commits that the remote has and the store too: of its refs, and of what git negotiates."""
        words = ("rev-list", "--no-walk=unsorted", "--ignore-missing", "--stdin")
        tips = "\n".join(dict.fromkeys(refs.values()))
        known = self.store.repo.run(*words, stdin=tips.encode() + b"\n").text().split() if tips else []
        above = self.store.repo.run("rev-list", "--max-count=1", "--stdin", stdin=_range(self.source.base, known))
        return known if known and not above.stdout else [*known, *self._negotiated()]

    def _negotiated(self) -> list[str]:
        """Return what the server says it has of our history; a server that cannot say has to be sent everything."""
        words = ("fetch", "--negotiate-only", f"--negotiation-tip={self.source.commit}", self.url)
        # 255 from one that speaks protocol 0 only, as plain sshd has it.
        done = self.store.repo.run(*words, settings=self.settings, accept=range(256))
        found = [line for line in done.text().splitlines() if OID.fullmatch(line)] if done.status == 0 else []
        if found:
            self.settings = [it for it in self.settings if it != "push.negotiate=false"] + ["push.negotiate=true"]
        return found

    # --- the push -------------------------------------------------------------------------------------------------

    def push(self, before: str | None, tag: str | None, *, dry_run: bool = False) -> None:
        """Push, provided that the branch is still at ``before``; raises PatchctlError as ``publish`` does."""
        refs = [f"{self.source.commit}:{self.target.branch_ref}", *([f"{tag}:{self.target.tag_ref}"] if tag else [])]
        words = [
            "push", "--porcelain", "--atomic",
            "--no-thin",  # a thin pack builds on old versions of files, which the store need not have
            "--no-verify", "--no-follow-tags", "--recurse-submodules=no",
            f"--force-with-lease={self.target.branch_ref}:{before or ''}",
            *(["--dry-run"] if dry_run else []),
        ]  # fmt: skip
        done = self.store.repo.run(
            *words, self.url, *refs, settings=self.settings, progress=self.store.progress, accept=(0, 1, 128)
        )
        if done.status:
            # What became of each ref is on standard output, what the remote says on standard error.
            raise self._refused(*explain(f"{done.text()}\n{done.stderr}"))

    def _explained(self, error: GitError) -> PatchctlError:
        return self._refused(*explain(error.stderr or error.message))

    def _refused(self, code: Code, why: str) -> PatchctlError:
        return PatchctlError(code, f"{self.target.url}: {why}")


def _range(commit: str, without: Sequence[str]) -> bytes:
    """Return what ``rev-list --stdin`` reads: a commit, and those whose history does not count."""
    return "\n".join([commit, *(f"^{oid}" for oid in without), ""]).encode()

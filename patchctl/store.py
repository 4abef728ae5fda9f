"""Upstream's objects: one bare, blobless clone for each upstream in the cache folder, shared by all stacks.

A mirror is only ever read. Blobs come when they are needed, in one request; a mirror that lacks some is still good
for everything else.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.files import disk_errors, folder_beside, locked, remove_folder, replace_folder, write_atomic
from patchctl.git import OID, GitError, MissingObjectError, Repo, run_git
from patchctl.gitfault import DAMAGED, NO_ROOM, SHALLOW
from patchctl.ledger import digest
from patchctl.text import redacted

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from patchctl.ledger import Ledger

DEMO = "patchctl:demo"
REMOTE = "mirror"
BASES = "refs/patchctl/bases/"  # upstream's own commits; what was pinned from elsewhere is no base
PULLS = "refs/patchctl/pulls/"  # the heads of pull requests as they were last seen
# Fetching asks for commits and blobs by id; a mirror that is a plain folder must be told to answer that. One that
# lacks objects itself must not fetch them for us: that would write into it. Git knows GIT_NO_LAZY_FETCH from 2.39.4
# and 2.45 on; an older one is left without any way to fetch.
NO_FETCH = {"GIT_ALLOW_PROTOCOL": "none"}
SERVE = (
    "GIT_NO_LAZY_FETCH=1 GIT_ALLOW_PROTOCOL=none git -c uploadpack.allowFilter=true "
    "-c uploadpack.allowAnySHA1InWant=true -c safe.directory=* upload-pack"
)
BORROWERS = ".worktrees"
BUILD_NAME = re.compile(r"b([1-9][0-9]*)")
NOT_THERE = re.compile(r"(?:not our ref|could not fetch) ([0-9a-f]{40})|couldn't find remote ref")


class Store:
    """The objects of one upstream. Making one starts no process; the clone is made when it is first needed."""

    def __init__(
        self, url: str, place: str, cache: Path, ledger: Ledger, progress: Callable[[str], None] = lambda _: None
    ) -> None:
        self.url = url
        self.place = place
        self.ledger = ledger
        self.progress = progress
        name = re.sub(r"[^A-Za-z0-9.-]+", "-", redacted(url)).strip("-")[-60:]
        self.folder = cache / "store" / f"{name}-{digest(url)[:8]}.git"
        self.repo = Repo(self.folder, self.remote_settings)
        self.elsewhere = False
        self._checked_place = False

    # --- the clone ------------------------------------------------------------------------------------------------

    @property
    def birth(self) -> str:
        """Return an id that changes when the store is deleted and made again: what was kept about it is then void."""
        mark = self.folder / "patchctl-birth"
        try:
            return mark.read_text(encoding="ascii")
        except OSError:
            self._make()
            return mark.read_text(encoding="ascii")

    def _make(self) -> None:
        with self._locked():
            if (self.folder / "patchctl-birth").exists():
                return
            with disk_errors(), folder_beside(self.folder) as made:
                run_git("init", "--quiet", "--bare", "--template=", str(made))
                write_atomic(made / "patchctl-birth", uuid.uuid4().hex.encode())
                replace_folder(made, self.folder)

    def lend(self, folder: Path) -> None:
        """Note beside the store that the worktree ``folder`` reads its objects, so that they are not freed under it."""
        with disk_errors(), self.folder.with_suffix(BORROWERS).open("a", encoding="utf-8") as file:
            file.write(f"{folder.absolute()}\n")

    def remote_settings(self) -> list[str]:
        """Return the settings that name the remote; they are never written down, so a mirror can change any time."""
        place = self._place()
        return [
            f"remote.{REMOTE}.url={place}",
            f"remote.{REMOTE}.promisor=true",
            f"remote.{REMOTE}.partialCloneFilter=blob:none",
            *([f"remote.{REMOTE}.uploadpack={SERVE}"] if place.startswith(("file://", "/")) else []),
        ]

    def _place(self) -> str:
        place = self.place
        if place == DEMO:
            from patchctl.demo import create

            folder = self.folder.with_name("demo-upstream.git")
            create(folder)
            place = str(folder)
        is_folder = place.startswith(("/", "file://"))
        if is_folder and not self._checked_place:
            from pathlib import Path

            if not Path(place.removeprefix("file://")).exists():
                raise PatchctlError(Code.NETWORK, f"the mirror {place} of {self.url} does not exist")
            self._checked_place = True
        # A file URL makes git speak its protocol, so filters work and nothing is linked into the mirror.
        return f"file://{place}" if place.startswith("/") else place

    def _fetch(self, *refspecs: str, wanted: Iterable[str] = (), options: Sequence[str] = ()) -> None:
        """Fetch into the store; raises GitError as git reports it."""
        _ = self.birth
        self._drop_stale_locks()
        stdin = "".join(f"{oid}\n" for oid in wanted).encode()
        words = ["fetch", "--progress", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--filter=blob:none"]
        # What is fetched blob by blob cannot be negotiated: the store lacks what the mirror would assume.
        extra = ["fetch.negotiationAlgorithm=noop"] if stdin else []
        self.repo.run(
            *words, *options, *(["--stdin"] if stdin else []), REMOTE, *refspecs,
            stdin=stdin, settings=[*self.remote_settings(), *extra], progress=self._report,
        )  # fmt: skip
        self.repo.close()

    def _report(self, line: str) -> None:
        if "%" in line or "done" in line:
            self.progress(line.removeprefix("remote: "))

    def _drop_stale_locks(self) -> None:
        """Remove what a killed git left; the caller holds the store's lock, so no git is at work here."""
        for pattern in ("*.lock", "refs/patchctl/**/*.lock", "objects/pack/tmp_*"):
            for left in self.folder.glob(pattern):
                left.unlink(missing_ok=True)

    def _locked_fetch(self, *refspecs: str, wanted: Iterable[str] = (), options: Sequence[str] = ()) -> None:
        with self._locked():
            self._fetch(*refspecs, wanted=wanted, options=options)

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        return locked(self.folder.with_suffix(".lock"), f"the store of {self.url}", wait=600)

    # --- commits --------------------------------------------------------------------------------------------------

    def _pin(self, oid: str) -> str:
        return f"{BASES}{oid}"

    def has_commit(self, oid: str) -> bool:
        """Return whether the commit with all its history is here; starts no process."""
        _ = self.birth
        return (self.folder / self._pin(oid)).exists()

    def ensure_commit(self, oid: str) -> None:
        """Bring a commit of upstream with its history (no blobs); nothing is fetched when it is here.

        Raises PatchctlError: exit code 3 when upstream has no such commit, 7 when upstream cannot be reached.
        """
        if self.has_commit(oid):
            return
        if not OID.fullmatch(oid):
            raise PatchctlError(Code.INVALID, f"{oid} is not a full commit id (40 hex digits)")
        known = self.repo.run("for-each-ref", "--contains", oid, "--count=1", BASES, accept=(0, 128, 129))
        if known.status == 0 and known.stdout:
            with self._locked():
                self._drop_stale_locks()
                self.repo.run("update-ref", self._pin(oid), oid)
            return
        self._bring(oid)

    def _bring(self, oid: str) -> None:
        """Fetch a commit and prove that its history is whole: git takes what a partial copy lacks for promised."""
        # What is here already, but for its parents, is fetched only when all of it is.
        for again in ((), ("--refetch",)):
            try:
                self._locked_fetch(f"+{oid}:{self._pin(oid)}", options=again)
            except GitError as error:
                raise self._explained(error, oid) from error
            if self._is_whole(oid):
                return
        where = self.url if self.place == self.url else f"the mirror {self.place}"
        why = f"{where} is a shallow copy, it lacks parents of {oid[:9]}"
        raise PatchctlError(Code.NETWORK, f"{why}; give it all of them there with: git fetch --unshallow")

    def _is_whole(self, oid: str) -> bool:
        """Return whether all that leads to a pinned commit is here; notes its build number, or takes the pin away."""
        try:
            number = self.repo.count(oid)
        except GitError as error:
            if not SHALLOW.search(error.stderr):
                raise
            self.repo.run("update-ref", "-d", self._pin(oid))
            return False
        self.ledger.put("build-number", oid, number)
        return True

    def tree_of(self, oid: str) -> str:
        """Return the tree of a commit of upstream; a store that lost objects is filled again."""
        self.ensure_commit(oid)
        try:
            return self.repo.tree_of(oid)
        except MissingObjectError:
            # Somebody cleaned the cache: what is pinned counts as here, so nothing may stay pinned.
            with self._locked():
                remove_folder(self.folder / "refs" / "patchctl")
                (self.folder / "packed-refs").unlink(missing_ok=True)
            self.ensure_commit(oid)
            return self.repo.tree_of(oid)

    def _explained(self, error: GitError, wanted: str) -> PatchctlError:
        if NOT_THERE.search(error.stderr) or "bad object" in error.stderr or "not a commit" in error.stderr:
            is_mirror = self.place != self.url and not self.elsewhere
            where = f"{self.url} (mirror {self.place})" if is_mirror else self.place
            return PatchctlError(Code.INVALID, f"{where} has no commit {wanted}")
        if DAMAGED.search(error.stderr):
            return error
        if error.status < 0:
            why = f"git was ended by signal {-error.status} while fetching {self.url}"
            return PatchctlError(Code.ENVIRONMENT, f"{why}; is there room on the disk and in memory?")
        if NO_ROOM.search(error.stderr):
            return PatchctlError(Code.ENVIRONMENT, f"the disk is full: {self.folder}")
        said = [line for line in error.stderr.strip().splitlines() if line.startswith(("fatal:", "ssh:", "error:"))]
        why = said[0].removeprefix("fatal: ") if said else "no answer"
        if self.elsewhere:
            return PatchctlError(
                Code.NETWORK, f"cannot fetch {self.place}: {why}; check its name and your access to it"
            )
        hint = "check the mirror" if self.place != self.url else "name a mirror with PATCHCTL_MIRROR"
        return PatchctlError(Code.NETWORK, f"cannot fetch {self.url}: {why}; {hint}")

    def build_number(self, oid: str) -> int:
        """Return upstream's build number of a commit: how many commits lead to it."""
        kept: int | None = self.ledger.get("build-number", oid)
        while kept is None:
            self.ensure_commit(oid)
            kept = self.ledger.get("build-number", oid)
            if kept is None:  # the ledger forgot it, or a kill came between fetch and proof: this takes the pin away
                self._is_whole(oid)
        return kept

    def resolve(self, name: str, anchor: str | None = None) -> str:
        """Return the commit a person names: all 40 digits, ``b9187``, a branch or a tag of upstream.

        ``bN`` is a tag of that name, else the commit N on upstream's main line; never an abbreviated id, which it could
        be mistaken for. Raises PatchctlError with exit code 2 when there is none, 7 without a network.
        """
        if OID.fullmatch(name):
            self._ensure_named(name)
            return name
        if re.fullmatch(r"[0-9a-f]{4,39}", name) and not BUILD_NAME.fullmatch(name):
            raise PatchctlError(Code.USAGE, f"{name} is an abbreviated commit id; give all 40 digits")
        refs = self.remote_refs()
        for ref in (f"refs/tags/{name}", f"refs/heads/{name}", name):
            oid = refs.get(f"{ref}^{{}}") or refs.get(ref)
            if oid:
                self.ensure_commit(oid)
                if self._is_named(name, oid):
                    return oid
        build = BUILD_NAME.fullmatch(name)
        found = self._by_count(int(build[1]), refs.get("HEAD"), anchor) if build else None
        if found is None:
            where = self.url if self.place == self.url else f"{self.url} (mirror {self.place})"
            hint = "; give the commit's 40 digits" if build else ""
            raise PatchctlError(Code.USAGE, f"{where} has no branch, tag or build {name}{hint}")
        return found

    def _ensure_named(self, oid: str) -> None:
        """Fetch a commit that a person named; that there is none is then theirs, not the stack's."""
        try:
            self.ensure_commit(oid)
        except PatchctlError as error:
            if error.exit_code != Code.INVALID:
                raise
            raise PatchctlError(Code.USAGE, error.message) from error

    def _is_named(self, name: str, oid: str) -> bool:
        build = BUILD_NAME.fullmatch(name)
        return build is None or self.build_number(oid) == int(build[1])

    def _by_count(self, build: int, head: str | None, anchor: str | None) -> str | None:
        """Return the commit that counts ``build`` on upstream's main line, looking back from every tip here.

        A tip is on that line when ``anchor``, a commit known to be upstream's, is on its first-parent line (or it on
        the anchor's): the HEAD of a fork counts its own commits too.
        """
        if head:
            self.ensure_commit(head)
        tips = self.repo.run("for-each-ref", "--format=%(objectname)", BASES).text().split()
        for tip in dict.fromkeys([*([anchor] if anchor else []), *([head] if head else []), *tips]):
            steps = self.build_number(tip) - build
            if steps >= 0 and (anchor is None or self._one_line(anchor, tip)):
                words = ("rev-list", "--first-parent", f"--skip={steps}", "--max-count=1", tip)
                oid = self.repo.run(*words).text()
                if oid and self.build_number(oid) == build:
                    self.ensure_commit(oid)
                    return oid
        return None

    def _one_line(self, one: str, other: str) -> bool:
        """Return whether one of two commits is on the other's first-parent line."""
        older, newer = sorted((one, other), key=self.build_number)
        steps = self.build_number(newer) - self.build_number(older)
        found = self.repo.run("rev-list", "--first-parent", f"--max-count={steps + 1}", newer).text().split()
        return older in found

    def at(self, place: str) -> Store:
        """Return the same objects, with another place to fetch from: a fork, the repository of a pull request."""
        other = Store(self.url, place, self.folder.parent.parent, self.ledger, self.progress)
        other.elsewhere = place != self.place
        return other

    def pin(self, ref: str) -> str:
        """Bring what ``ref`` (or a full id) names at this place, without blobs, keep it for good and return its id.

        Raises PatchctlError: exit code 3 when there is no such ref, 7 when the place cannot be reached.
        """
        _ = self.birth
        incoming = f"refs/patchctl/incoming/{digest(self.place, ref)[:16]}"
        with self._locked():
            try:
                self._fetch(f"+{ref}:{incoming}")
            except GitError as error:
                raise self._explained(error, ref) from error
            oid = self.repo.resolve(incoming)
            if oid is None:
                raise PatchctlError(Code.INVALID, f"{ref} of {self.place} is no commit")
            # What a person reviewed stays, whatever becomes of the branch it came from.
            self.repo.run("update-ref", f"refs/patchctl/pins/{oid}", oid)
            self.repo.run("update-ref", "-d", incoming)
        return oid

    def pull_heads(self, numbers: Iterable[int]) -> dict[int, str]:
        """Bring the heads of pull requests, without blobs, and return the ids of those that there are.

        One request; where a number is unknown, which fails the whole of it, halves. Raises PatchctlError (exit code 7)
        when upstream cannot be reached.
        """
        wanted = sorted(set(numbers))
        if not wanted:
            return {}
        _ = self.birth
        try:
            self._locked_fetch(*(f"+refs/pull/{number}/head:{PULLS}{number}" for number in wanted))
        except GitError as error:
            if not NOT_THERE.search(error.stderr):
                raise self._explained(error, "pull requests") from error
            middle = len(wanted) // 2
            return {**self.pull_heads(wanted[:middle]), **self.pull_heads(wanted[middle:])} if middle else {}
        listed = self.repo.run("for-each-ref", "--format=%(refname) %(objectname)", PULLS).text().splitlines()
        heads = {int(ref.removeprefix(PULLS)): oid for ref, oid in (line.split() for line in listed)}
        return {number: heads[number] for number in wanted if number in heads}

    def remote_refs(self) -> dict[str, str]:
        """Return upstream's branches, tags and HEAD with the ids they name."""
        _ = self.birth
        try:
            words = ("ls-remote", REMOTE, "HEAD", "refs/heads/*", "refs/tags/*")
            listed = self.repo.run(*words, settings=self.remote_settings())
        except GitError as error:
            raise self._explained(error, "HEAD") from error
        pairs = (line.split("\t", 1) for line in listed.text().splitlines() if "\t" in line)
        return {ref: oid for oid, ref in pairs}

    # --- blobs ----------------------------------------------------------------------------------------------------

    def ensure_blobs(self, oids: Iterable[str]) -> list[str]:
        """Bring blobs in one request and return those that no copy at hand has."""
        missing = [oid for oid, here in self.repo.has(oids).items() if not here]
        return self._fetch_blobs(missing)

    def ensure_tree(self, tree: str) -> list[str]:
        """Bring all blobs below a tree and return those that no copy at hand has."""
        return self._fetch_blobs(self.repo.missing_in_tree(tree))

    def _fetch_blobs(self, wanted: list[str]) -> list[str]:
        if not wanted:
            return []
        absent = self._absent_in_folder(wanted)
        rest = [oid for oid in wanted if oid not in absent]
        with self._locked():
            return sorted(absent) + self._fetch_what_is_there(rest)

    def _absent_in_folder(self, wanted: list[str]) -> set[str]:
        """Return which objects a mirror that is a folder lacks: one that is asked for kills the whole request."""
        place = self._place()
        if not place.startswith("file://"):
            return set()
        mirror = git_folder(place.removeprefix("file://"))
        stdin, settings = "\n".join(wanted).encode() + b"\n", ["safe.directory=*"]
        words = ("cat-file", "--batch-check=%(objectname)")
        checked = run_git(*words, git_dir=mirror, stdin=stdin, settings=settings, accept=(0, 128), env=NO_FETCH)
        if checked.status == 0:
            return {line.split()[0] for line in checked.text().splitlines() if line.endswith(" missing")}
        # A mirror that is a partial clone itself: cat-file dies at the first promised object, rev-list names them.
        listing = ("rev-list", "--objects", "--no-object-names", "--missing=print", "--no-walk", "--stdin")
        listed = run_git(*listing, git_dir=mirror, stdin=stdin, settings=settings, accept=(0, 128), env=NO_FETCH)
        return {line[1:] for line in listed.text().splitlines() if line.startswith("?")}

    def _fetch_what_is_there(self, wanted: list[str]) -> list[str]:
        """Fetch blobs; what the mirror names as missing is left out, what it fails on without a name is halved."""
        absent: list[str] = []
        while wanted:
            try:
                self._fetch(wanted=wanted)
            except GitError as error:
                named = {oid for oid in NOT_THERE.findall(error.stderr) if oid in wanted}
                if named:
                    absent += sorted(named)
                    wanted = [oid for oid in wanted if oid not in named]
                    continue
                if not NOT_THERE.search(error.stderr) and "not our ref" not in error.stderr:
                    raise self._explained(error, "blobs") from error
                if len(wanted) == 1:
                    return [*absent, *wanted]
                middle = len(wanted) // 2
                halves = (wanted[:middle], wanted[middle:])
                return [*absent, *(oid for half in halves for oid in self._fetch_what_is_there(half))]
            return absent
        return absent


def borrowers(store: Path) -> list[Path]:
    """Return the worktrees that read the objects of the store in this folder and are still there."""
    noted = store.with_suffix(BORROWERS)
    lines = noted.read_text(encoding="utf-8").splitlines() if noted.exists() else []
    return [folder for line in dict.fromkeys(lines) if _borrows(folder := store / line, store)]


def _borrows(folder: Path, store: Path) -> bool:
    try:
        lent = (folder / ".git" / "objects" / "info" / "alternates").read_text(encoding="utf-8")
    except OSError:
        return False
    return str(store / "objects") in lent.splitlines()


def git_folder(place: str) -> Path:
    """Return the git directory of a folder: itself when bare, its ``.git`` when it is a checkout."""
    from pathlib import Path

    folder = Path(place)
    return folder / ".git" if (folder / ".git").exists() else folder

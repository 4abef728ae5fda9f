"""Upstream's objects: one bare, blobless clone for each upstream in the cache folder, shared by all stacks.

A mirror is only ever read. Blobs come when they are needed, in one request; a mirror that lacks some is still good
for everything else.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.files import disk_errors, locked, remove_folder, replace_folder, write_atomic
from patchctl.git import OID, GitError, MissingObjectError, Repo, run_git
from patchctl.ledger import digest

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from patchctl.ledger import Ledger

DEMO = "patchctl:demo"
REMOTE = "mirror"
# Fetching asks for commits and blobs by id; a mirror that is a plain folder must be told to answer that. One that
# lacks objects itself must not fetch them for us: that would write into it.
SERVE = (
    "GIT_NO_LAZY_FETCH=1 git -c uploadpack.allowFilter=true -c uploadpack.allowAnySHA1InWant=true "
    "-c safe.directory=* upload-pack"
)
BUILD_NAME = re.compile(r"b([1-9][0-9]*)")
NOT_THERE = re.compile(r"not our ref ([0-9a-f]{40})|couldn't find remote ref")


class Store:
    """The objects of one upstream. Making one starts no process; the clone is made when it is first needed."""

    def __init__(
        self, url: str, place: str, cache: Path, ledger: Ledger, progress: Callable[[str], None] = lambda _: None
    ) -> None:
        self.url = url
        self.place = place
        self.ledger = ledger
        self.progress = progress
        name = re.sub(r"[^A-Za-z0-9.-]+", "-", url).strip("-")[-60:]
        self.folder = cache / "store" / f"{name}-{digest(url)[:8]}.git"
        self.repo = Repo(self.folder, self.remote_settings)
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
            made = self.folder.with_suffix(f".{uuid.uuid4().hex[:8]}.tmp")
            run_git("init", "--quiet", "--bare", "--template=", str(made))
            write_atomic(made / "patchctl-birth", uuid.uuid4().hex.encode())
            with disk_errors():
                replace_folder(made, self.folder)

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

    def _fetch(self, *refspecs: str, wanted: Iterable[str] = ()) -> None:
        """Fetch into the store; raises GitError as git reports it."""
        _ = self.birth
        self._drop_stale_locks()
        stdin = "".join(f"{oid}\n" for oid in wanted).encode()
        words = ["fetch", "--progress", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--filter=blob:none"]
        # What is fetched blob by blob cannot be negotiated: the store lacks what the mirror would assume.
        extra = ["fetch.negotiationAlgorithm=noop"] if stdin else []
        self.repo.run(
            *words, *(["--stdin"] if stdin else []), REMOTE, *refspecs,
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

    def _locked_fetch(self, *refspecs: str, wanted: Iterable[str] = ()) -> None:
        with self._locked():
            self._fetch(*refspecs, wanted=wanted)

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        return locked(self.folder.with_suffix(".lock"), f"the store of {self.url}", wait=600)

    # --- commits --------------------------------------------------------------------------------------------------

    def _pin(self, oid: str) -> str:
        return f"refs/patchctl/bases/{oid}"

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
        known = self.repo.run("for-each-ref", "--contains", oid, "--count=1", "refs/patchctl/", accept=(0, 128, 129))
        if known.status == 0 and known.stdout:
            with self._locked():
                self._drop_stale_locks()
                self.repo.run("update-ref", self._pin(oid), oid)
            return
        try:
            self._locked_fetch(f"+{oid}:{self._pin(oid)}")
        except GitError as error:
            raise self._explained(error, oid) from error

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
            where = self.url if self.place == self.url else f"{self.url} (mirror {self.place})"
            return PatchctlError(Code.INVALID, f"{where} has no commit {wanted}")
        if "No space left" in error.stderr:
            return PatchctlError(Code.ENVIRONMENT, f"the disk is full: {self.folder}")
        said = [line for line in error.stderr.strip().splitlines() if line.startswith(("fatal:", "ssh:", "error:"))]
        why = said[0].removeprefix("fatal: ") if said else "no answer"
        hint = "check the mirror" if self.place != self.url else "name a mirror with PATCHCTL_MIRROR"
        return PatchctlError(Code.NETWORK, f"cannot fetch {self.url}: {why}; {hint}")

    def build_number(self, oid: str) -> int:
        """Return upstream's build number of a commit: how many commits lead to it."""
        kept: int | None = self.ledger.get("build-number", oid)
        if kept is None:
            self.ensure_commit(oid)
            kept = self.repo.count(oid)
            self.ledger.put("build-number", oid, kept)
        return kept

    def resolve(self, name: str) -> str:
        """Return the commit a person names: all 40 digits, ``b9187``, a branch or a tag of upstream.

        ``bN`` is a tag of that name, else the commit N on upstream's main line; never an abbreviated id, which it could
        be mistaken for. Raises PatchctlError with exit code 3 when there is none, 7 without a network.
        """
        if OID.fullmatch(name):
            self.ensure_commit(name)
            return name
        if re.fullmatch(r"[0-9a-f]{4,39}", name) and not BUILD_NAME.fullmatch(name):
            raise PatchctlError(Code.INVALID, f"{name} is an abbreviated commit id; give all 40 digits")
        refs = self.remote_refs()
        for ref in (f"refs/tags/{name}", f"refs/heads/{name}", name):
            oid = refs.get(f"{ref}^{{}}") or refs.get(ref)
            if oid:
                self.ensure_commit(oid)
                if self._is_named(name, oid):
                    return oid
        build = BUILD_NAME.fullmatch(name)
        found = self._by_count(int(build[1]), refs.get("HEAD")) if build else None
        if found is None:
            raise PatchctlError(Code.INVALID, f"{self.url} has no branch, tag or build {name}")
        return found

    def _is_named(self, name: str, oid: str) -> bool:
        build = BUILD_NAME.fullmatch(name)
        return build is None or self.build_number(oid) == int(build[1])

    def _by_count(self, build: int, head: str | None) -> str | None:
        """Return the commit ``build`` steps from the root of a history without side lines, looking at all tips here."""
        if head:
            self.ensure_commit(head)
        tips = self.repo.run("for-each-ref", "--format=%(objectname)", "refs/patchctl/").text().split()
        for tip in dict.fromkeys([*([head] if head else []), *tips]):
            steps = self.build_number(tip) - build
            if steps >= 0:
                words = ("rev-list", "--first-parent", f"--skip={steps}", "--max-count=1", tip)
                oid = self.repo.run(*words).text()
                if oid and self.build_number(oid) == build:
                    self.ensure_commit(oid)
                    return oid
        return None

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
        checked = run_git(
            "cat-file", "--batch-check=%(objectname)",
            git_dir=mirror, stdin="\n".join(wanted).encode() + b"\n", settings=["safe.directory=*"], accept=(0, 128),
        )  # fmt: skip
        return {line.split()[0] for line in checked.text().splitlines() if line.endswith(" missing")}

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


def git_folder(place: str) -> Path:
    """Return the git directory of a folder: itself when bare, its ``.git`` when it is a checkout."""
    from pathlib import Path

    folder = Path(place)
    return folder / ".git" if (folder / ".git").exists() else folder

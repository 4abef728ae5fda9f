"""Forks, pull requests and mails around the small upstream of ``tests.series.world``."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.series.world import ADA, World, show
from tests.upstreams.maker import FORMAT, git

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.series.world import Entry

BOB = "Bob Builder <bob@example.invalid>"


class ForkWorld(World):
    """``fork`` is a repository of its own, with upstream's history as it was when ``make_fork`` was called."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.fork = folder / "fork.git"
        self.mails = folder / "mails"
        self.mails.mkdir()

    def make_fork(self) -> None:
        shutil.copytree(self.upstream, self.fork)

    def lose(self, commit: str, path: str) -> None:
        """Remove a file's content from the fork, as a copy lacks it that was cloned without the large ones."""
        git("-C", self.fork, "unpack-objects", "-q", stdin=self._unpacked())
        oid = show(self.fork, "rev-parse", f"{commit}:{path}")
        (self.fork / "objects" / oid[:2] / oid[2:]).unlink()

    def _unpacked(self) -> bytes:
        """Take the packs away and return what they held as one."""
        listed = git("-C", self.fork, "rev-list", "--objects", "--all")
        packed = git("-C", self.fork, "pack-objects", "-q", "--stdout", stdin=listed)
        for pack in (self.fork / "objects" / "pack").iterdir():
            pack.unlink()
        return packed

    def sync_fork(self) -> None:
        """Fetch upstream's master into the fork."""
        git("-C", self.fork, "fetch", "--quiet", self.upstream, "+refs/heads/*:refs/upstream/*")

    def fork_commit(
        self, files: Mapping[str, Entry], message: str, *, on: str | None, merge: Sequence[str] = (), author: str = ADA,
        branch: str = "mine",
    ) -> str:  # fmt: skip
        return self._import(self.fork, files, message, on, author, merge, f"refs/heads/{branch}")

    def pull_request(self, number: int, head: str) -> None:
        """Show a commit of the fork as the head of a pull request to upstream."""
        git("-C", self.fork, "push", "--quiet", "--force", self.upstream, f"{head}:refs/pull/{number}/head")

    def mail(self, files: Mapping[str, Entry], message: str, *, on: str | None = None, author: str = ADA) -> bytes:
        oid = self._import(self.authored, files, message, on or self.tip, author, (), "refs/heads/mail")
        return git("-C", self.authored, "format-patch", *FORMAT, "-1", oid)

    def put(self, name: str, content: bytes) -> Path:
        path = self.mails / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def tree(self, repo: Path, commit: str) -> str:
        return show(repo, "rev-parse", f"{commit}^{{tree}}")

    def ids(self) -> list[str]:
        folder = self.workspace / "patches"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

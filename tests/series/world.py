"""A small upstream and a workspace for it, made commit by commit with plain git, for tests that need odd shapes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.upstreams.maker import FORMAT, git, template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Entry = str | bytes | tuple[str, bytes] | None
ADA = "Ada Author <ada@example.invalid>"
FIRST_SECOND = 1_700_000_000
URL = "https://example.invalid/up.git"


def text(edits: Mapping[int, str] | None = None, count: int = 30) -> str:
    """Return numbered lines, some of them (from 1) with other words."""
    words = edits or {}
    return "".join(f"{words.get(number, f'line {number}')}\n" for number in range(1, count + 1))


class World:
    """``upstream`` is what patchctl sees; the commits of patches live in ``authored``, which it never sees."""

    def __init__(self, folder: Path) -> None:
        self.upstream = folder / "upstream.git"
        self.authored = folder / "authored.git"
        self.workspace = folder / "workspace"
        shutil.copytree(template(), self.upstream)
        shutil.copytree(template(), self.authored)
        info = self.authored / "objects" / "info"
        info.mkdir(exist_ok=True)
        (info / "alternates").write_text(f"{self.upstream / 'objects'}\n")
        (self.workspace / "stacks").mkdir(parents=True)
        self.tip: str | None = None
        self.second = FIRST_SECOND

    @property
    def mirror(self) -> str:
        return f"{URL}={self.upstream}"

    def patches(self, patch: str) -> Path:
        return self.workspace / "patches" / patch

    # --- history --------------------------------------------------------------------------------------------------

    def commit(
        self,
        files: Mapping[str, Entry],
        message: str = "step",
        *,
        parent: str | None = "tip",
        merge: Sequence[str] = (),
    ) -> str:
        """Add a commit to upstream's master (or on ``parent``, or a side root) and return its id."""
        on = self.tip if parent == "tip" else parent
        ref = "refs/heads/master" if parent == "tip" else "refs/side"
        oid = self._import(self.upstream, files, message, on, ADA, merge, ref)
        if parent == "tip":
            self.tip = oid
        return oid

    def tag(self, name: str, oid: str, *, annotated: bool = False) -> None:
        words = ["-a", "-m", "a tag"] if annotated else []
        git("-C", self.upstream, "-c", "user.name=T", "-c", "user.email=t@t", "tag", *words, name, oid)

    def branch(self, name: str, oid: str) -> None:
        git("-C", self.upstream, "update-ref", f"refs/heads/{name}", oid)

    def _import(
        self, repo: Path, files: Mapping[str, Entry], message: str, on: str | None, author: str, merge: Sequence[str],
        ref: str,
    ) -> str:  # fmt: skip
        self.second += 3600
        stream = [f"reset {ref}\n".encode() if on is None else b"", f"commit {ref}\nmark :1\n".encode()]
        stream += [f"author {author} {self.second} +0130\n".encode("utf-8", "surrogateescape")]
        stream += [
            f"committer Upstream <up@example.invalid> {self.second} +0000\n".encode(),
            _data(message.encode() + b"\n"),
        ]
        stream += [f"from {on}\n".encode() if on else b"", *(f"merge {other}\n".encode() for other in merge)]
        stream += [_file(path, entry) for path, entry in files.items()]
        marks = repo / "marks"
        git(
            "-C",
            repo,
            "fast-import",
            "--quiet",
            "--force",
            f"--export-marks={marks}",
            stdin=b"".join(stream) + b"done\n",
        )
        return marks.read_text().split()[1]

    # --- the workspace --------------------------------------------------------------------------------------------

    def patch(
        self, patch: str, files: Mapping[str, Entry], *, on: str | None = None, requires: Sequence[str] = (),
        message: str = "", author: str = ADA, base: str | None = None, build: int | None = None,
    ) -> str:  # fmt: skip
        """Write a patch made on the commit ``on`` (upstream's tip) and return its own commit there."""
        parent = on or self.tip
        oid = self._import(self.authored, files, message or f"{patch} it", parent, author, (), f"refs/heads/{patch}")
        based = base or self.tip
        mail = git("-C", self.authored, "format-patch", *FORMAT, *([f"--base={based}"] if based else []), "-1", oid)
        number = build or int(git("-C", self.upstream, "rev-list", "--count", based or oid))
        self.page(patch, requires=requires)
        (self.patches(patch) / f"b{number}.patch").write_bytes(mail)
        return oid

    def page(self, patch: str, *, requires: Sequence[str] = (), commit: str | None = None) -> None:
        self.patches(patch).mkdir(parents=True, exist_ok=True)
        more = [f"requires: [{', '.join(requires)}]"] if requires else []
        more += [f"from: {{commit: {commit}}}"] if commit else []
        (self.patches(patch) / "README.md").write_text("\n".join(["---", f"title: {patch}", *more, "---", "# Why", ""]))

    def stack(self, *patches: str, name: str = "s", base: str | None = None, allow: Sequence[str] = ()) -> Path:
        lines = ["schema: 1", f"release: {name}", f"upstream: {{repo: {URL}, commit: {base or self.tip}}}"]
        lines += [f"patches: [{', '.join(patches)}]", "build: {targets: [all], variants: {cpu: {}}}"]
        lines += [f"policy: {{allow: [{', '.join(allow)}]}}"] if allow else []
        path = self.workspace / "stacks" / f"{name}.yaml"
        path.write_text("\n".join(lines) + "\n")
        return path


def show(repo: Path, *words: str) -> str:
    """Return what a plain git says about a repository."""
    return git("-C", repo, *words).decode("utf-8", "surrogateescape").strip()


def _file(path: str, entry: Entry) -> bytes:
    if entry is None:
        return f"D {path}\n".encode()
    mode, content = entry if isinstance(entry, tuple) else ("100644", entry)
    if mode == "160000":
        return b"M 160000 %s %s\n" % (bytes(content), path.encode())
    raw = content.encode() if isinstance(content, str) else content
    return b"M %s inline %s\n%s" % (mode.encode(), path.encode(), _data(raw))


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)

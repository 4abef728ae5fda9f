"""Turn rows into repositories and workspaces, with plain git: ``fast-import`` and ``format-patch``."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.upstreams.rows import AUTHOR, Commit, PatchRow, Situation, load
from tests.upstreams.states import START, State, after, changes

if TYPE_CHECKING:
    from collections.abc import Iterable

FIRST_SECOND = 1_700_000_000
HOUR = 3600
FORMAT = ("--zero-commit", "--full-index", "--no-signature", "--no-stat", "--binary", "--stdout")
GIT_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "GIT_COMMITTER_NAME": "Upstream",
    "GIT_COMMITTER_EMAIL": "upstream@example.invalid",
}


def git(*words: str | Path, stdin: bytes = b"", cwd: Path | None = None) -> bytes:
    """Return what git prints; its failure is an error with its own words."""
    command = ["git", *map(str, words)]
    done = subprocess.run(command, input=stdin, capture_output=True, env=GIT_ENVIRONMENT, cwd=cwd, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode('utf-8', 'replace')}")
    return done.stdout


@dataclass(frozen=True)
class Made:
    """A row made real. ``commits`` holds ids by name: ``b1`` … for upstream, a patch's id for its own commit.

    ``authored`` is a private repository that also knows the commits of the patches; ``leaves`` is the tree that the
    finished stack must have, where the row says so.
    """

    situation: Situation
    upstream: Path
    workspace: Path
    stack: Path
    authored: Path
    url: str
    commits: dict[str, str]
    leaves: str | None

    @property
    def mirror(self) -> str:
        """Return the value of PATCHCTL_MIRROR that leads to the upstream repository."""
        return f"{self.url}={self.upstream}"

    @property
    def base(self) -> str:
        """Return the id of the stack's base."""
        return self.commits[self.situation.base]

    @property
    def target(self) -> str:
        """Return the id of the upstream commit that the stack is judged on."""
        return self.commits[self.situation.target]

    @property
    def onto(self) -> list[str]:
        """Return the words to add to a command for a row that is judged on a newer upstream."""
        return ["--onto", self.target] if self.situation.onto else []

    def revision(self, patch: str) -> Path:
        """Return the file of the revision of a patch that its stack must use."""
        row = next(row for row in self.situation.patches if row.id == patch)
        return self.workspace / "patches" / patch / (row.revision or row.file)


def make_all(folder: Path) -> dict[str, Made]:
    """Make every row, each in a folder of its name, and return them by name."""
    return {row.name: make(row, folder / row.name) for row in load()}


def make(situation: Situation, folder: Path) -> Made:
    """Make one row in ``folder``, which must not exist yet."""
    history = _History(situation)
    upstream, authored = folder / "upstream.git", folder / "authored.git"
    commits = _import(_empty_repository(upstream), history.upstream)
    _borrow(_empty_repository(authored), upstream)
    commits |= _import(authored, history.authored, commits)
    url = f"https://example.invalid/{situation.name}.git"
    workspace = folder / "workspace"
    stack = _write_stack(situation, workspace, url, commits)
    for patch in situation.patches:
        _write_patch(situation, patch, workspace, authored, commits)
    leaves = (
        git("-C", authored, "rev-parse", f"{commits['leaves']}^{{tree}}").decode().strip() if situation.leaves else None
    )
    return Made(situation, upstream, workspace, stack, authored, url, commits, leaves)


# --- history ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Node:
    """One commit to import: its name, its parent's, the files before and after, what the commit says."""

    name: str
    parent: str | None
    before: State
    after: State
    author: str
    message: str
    second: int
    refs: tuple[str, ...] = ()


@dataclass
class _History:
    """All commits of a row: upstream's own, and those of the patches, which upstream never sees."""

    situation: Situation
    states: dict[str, State] = field(default_factory=lambda: {"": {}})
    upstream: list[_Node] = field(default_factory=list)
    authored: list[_Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._upstream()
        more = [other for patch in self.situation.patches for other in patch.also]
        for patch in (*self.situation.elsewhere, *self.situation.patches, *more):
            if patch.from_ is None:
                self._patch(patch)
            else:
                self.states[patch.id] = self.states[patch.from_]
        if self.situation.leaves is not None:
            self._leaves(self.situation.leaves)

    def _upstream(self) -> None:
        given = self.situation.upstream
        last = max([1, *(int(build[1:]) for build in given)])
        for number in range(1, last + 1):
            build = f"b{number}"
            commit = given.get(build, Commit())
            parent = f"b{number - 1}" if number > 1 else ""
            before = self.states[parent]
            state = after(START if number == 1 else before, commit, self._by_word)
            self.states[build] = state
            subject = commit.subject or f"engine : step {number}"
            refs = (f"refs/tags/{build}", "refs/heads/master")
            when = FIRST_SECOND + number * HOUR
            self.upstream.append(_Node(build, parent or None, before, state, AUTHOR, subject, when, refs))

    def _by_word(self, commit: Commit) -> Commit | State:
        """Return the change that ``land`` names, or for ``revert`` the files before the commit it names."""
        if commit.revert:
            return self.states[f"b{int(commit.revert[1:]) - 1}"]
        return next(patch.change for patch in self.situation.patches if patch.id == commit.land)

    def _patch(self, patch: PatchRow) -> None:
        parent = self._parent(patch)
        before = self.states[parent]
        self.states[patch.id] = after(before, patch.change)
        subject = patch.change.subject or f"engine : {patch.id} it"
        message = f"{subject}\n\n{patch.change.body}".rstrip("\n")
        when = FIRST_SECOND + (90 + len(self.authored)) * HOUR
        self.authored.append(_Node(patch.id, parent, before, self.states[patch.id], patch.author, message, when))

    def _parent(self, patch: PatchRow) -> str:
        """Return the name of the commit a patch was made on; a backport is its own commit there, on the same base."""
        if patch.after is None:
            return patch.made
        before = next((other for other in self.situation.patches if other.id == patch.after), None)
        return before.from_ if before is not None and before.from_ else patch.after

    def _leaves(self, change: Commit) -> None:
        target = self.situation.target
        before = self.states[target]
        self.authored.append(_Node("leaves", target, before, after(before, change), AUTHOR, "leaves", FIRST_SECOND))


def _import(repository: Path, nodes: Iterable[_Node], known: dict[str, str] | None = None) -> dict[str, str]:
    """Import commits and return their ids by name."""
    nodes = list(nodes)
    if not nodes:
        return {}
    marks = {node.name: f":{number}" for number, node in enumerate(nodes, 1)}
    names = {**(known or {}), **marks}
    stream = b"".join(_commit(node, names) for node in nodes)
    listing = repository / "marks"
    git("-C", repository, "fast-import", "--quiet", f"--export-marks={listing}", stdin=stream + b"done\n")
    ids = dict(line.split() for line in listing.read_text(encoding="ascii").splitlines())
    listing.unlink()
    return {name: ids[mark] for name, mark in marks.items()}


def _commit(node: _Node, names: dict[str, str]) -> bytes:
    ref = f"refs/patchctl-tests/{node.name}" if not node.refs else node.refs[0]
    lines = [
        b"reset %s\n" % ref.encode() if node.parent is None else b"",
        f"commit {ref}\nmark {names[node.name]}\n".encode(),
        f"author {node.author} {node.second} +0100\n".encode(),
        f"committer Upstream <upstream@example.invalid> {node.second} +0000\n".encode(),
        _data(node.message.encode() + b"\n"),
        f"from {names[node.parent]}\n".encode() if node.parent else b"",
        *(_file(path, entry) for path, entry in changes(node.before, node.after)),
        *(f"reset {other}\nfrom {names[node.name]}\n\n".encode() for other in node.refs[1:]),
    ]
    return b"".join(lines)


def _file(path: str, entry: tuple[str, bytes] | None) -> bytes:
    quoted = b'"%s"' % path.replace("\\", "\\\\").replace('"', '\\"').encode()
    if entry is None:
        return b"D %s\n" % quoted
    mode, content = entry
    if mode == "160000":
        return b"M 160000 %s %s\n" % (content, quoted)
    return b"M %s inline %s\n%s" % (mode.encode(), quoted, _data(content))


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


@functools.cache
def template() -> Path:
    """Return an empty bare repository, made once: copying one is cheaper than running git; conftest removes it."""
    folder = Path(tempfile.mkdtemp(prefix="patchctl-empty-"))
    git("init", "--quiet", "--bare", "--template=", "--initial-branch=master", folder)
    return folder


def _empty_repository(folder: Path) -> Path:
    shutil.copytree(template(), folder)
    return folder


def _borrow(repository: Path, upstream: Path) -> None:
    info = repository / "objects" / "info"
    info.mkdir(exist_ok=True)
    (info / "alternates").write_text(f"{upstream / 'objects'}\n", encoding="utf-8")


# --- the workspace ----------------------------------------------------------------------------------------------------


def _write_stack(situation: Situation, workspace: Path, url: str, commits: dict[str, str]) -> Path:
    lines = [
        "schema: 1",
        f"release: {situation.name}",
        f"upstream:\n  repo: {url}\n  commit: {commits[situation.base]}",
        f"patches: [{', '.join(patch.id for patch in situation.patches)}]",
        "build:\n  targets: [engine]\n  variants:\n    cpu: {}",
    ]
    if situation.allow:
        lines.append(f"policy:\n  allow: [{', '.join(situation.allow)}]")
    stack = workspace / "stacks" / f"{situation.name}.yaml"
    stack.parent.mkdir(parents=True)
    stack.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return stack


def _write_patch(
    situation: Situation, patch: PatchRow, workspace: Path, authored: Path, commits: dict[str, str]
) -> None:
    folder = workspace / "patches" / patch.id
    folder.mkdir(parents=True)
    front = [f"title: {patch.id}"]
    if patch.requires:
        front.append(f"requires: [{', '.join(patch.requires)}]")
    if patch.from_:
        front.append(f"from: {{commit: {commits[patch.from_]}}}")
    text = "\n".join(["---", *front, "---", f"# {patch.id}", "", situation.why, ""])
    (folder / "README.md").write_text(text, encoding="utf-8")
    for revision in (patch, *patch.also):
        if revision.from_ is None:
            (folder / revision.file).write_bytes(_mail(revision, authored, commits))


def _mail(patch: PatchRow, authored: Path, commits: dict[str, str]) -> bytes:
    base = [f"--base={commits[patch.made]}"] if patch.trailers else []
    mail = git("-C", authored, "format-patch", *FORMAT, *base, *patch.format, "-1", commits[patch.id])
    if patch.abbreviate is not None:
        mail = _abbreviated(mail, patch.abbreviate)
    for pair in patch.mangle.items():
        old, new = (re.sub(r"\{(b\d+)\}", lambda found: commits[found[1]], text) for text in pair)
        if old.encode("latin-1") not in mail:
            raise ValueError(f"{patch.id}: {old!r} is not in the mail")
        mail = mail.replace(old.encode("latin-1"), new.encode("latin-1"))
    diff = mail.index(b"diff --git")
    shapes = {
        "one": mail,
        "two": mail + b"\n" + mail,
        "none": mail[diff:],
        "message": mail[:diff],
        "empty": b"",
    }
    return shapes[patch.mail]


def _abbreviated(mail: bytes, digits: int) -> bytes:
    def short(found: re.Match[bytes]) -> bytes:
        return b"index %s..%s" % (found[1][:digits], found[2][:digits])

    if not digits:
        return re.sub(rb"^index [0-9a-f.]+(?: [0-7]{6})?\n", b"", mail, flags=re.MULTILINE)
    return re.sub(rb"^index ([0-9a-f]{40})\.\.([0-9a-f]{40})", short, mail, flags=re.MULTILINE)


def digest_of(folder: Path) -> str:
    """Return a digest of every name, mode and byte below ``folder``."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        kind = "l" if path.is_symlink() else "d" if path.is_dir() else "f"
        total.update(f"{kind} {path.relative_to(folder)} {path.lstat().st_mode:o}\0".encode("utf-8", "surrogateescape"))
        if kind == "f":
            total.update(path.read_bytes())
    return total.hexdigest()

"""The only module that runs git: a scrubbed environment, an explicit configuration, git's own words."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from patchctl import process
from patchctl.errors import Code, PatchctlError
from patchctl.gitfault import hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import IO

    from git.cmd import Git as GitCommand

OID = re.compile(r"[0-9a-f]{40}")
NO_PROGRAM = 127  # what ``env``, which unsets what the user exported, says of a program that is not there
MINIMUM = (2, 38)  # merge-tree --write-tree

# GitPython looks for git when it is imported, and complains before patchctl can.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

# What the user exported for their own transport still counts when patchctl talks to a remote; every other GIT_* goes.
KEEP = frozenset({"GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"})

ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C.UTF-8",
    "LANGUAGE": "",  # it would translate what git says, even under LC_ALL
    "TZ": "UTC",
}

AHEAD = 256  # questions a reader is ahead of its answers: far less than a pipe holds, so neither side waits for ever

CONFIGURATION = (
    "core.hooksPath=/dev/null",  # a repository's hooks are programs
    "core.fsmonitor=false",  # so is this one
    "core.attributesFile=/dev/null",  # attributes name filters, which are programs
    "core.excludesFile=/dev/null",  # a person's own ignored names are not the stack's
    "core.autocrlf=false",  # bytes are never converted
    "core.quotePath=false",
    "core.abbrev=40",
    "core.symlinks=true",
    "gc.auto=0",  # results are reached by commit id alone, no ref protects them
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
    "diff.renames=true",
    "merge.renames=true",
    "merge.renormalize=false",
    "merge.conflictStyle=merge",
    "merge.directoryRenames=conflict",
    "rerere.enabled=true",  # a conflict solved once is solved
    "rerere.autoUpdate=true",
    "commit.gpgSign=false",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "user.name=patchctl",
    "user.email=patchctl@localhost",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
)


class GitError(PatchctlError):
    """A git command failed in a way its caller did not expect; carries git's own words."""

    def __init__(self, words: Sequence[str], status: int, stderr: str, code: Code = Code.UNEXPECTED) -> None:
        said = stderr.strip().splitlines()
        super().__init__(code, f"git {' '.join(words[:3])}: {said[-1] if said else f'exit status {status}'}")
        self.status = status
        self.stderr = stderr


@dataclass(frozen=True)
class Result:
    """What one git process gave back."""

    status: int
    stdout: bytes
    stderr: str

    def text(self) -> str:
        """Return standard output as text without the final line end."""
        return self.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")

    def fields(self) -> list[str]:
        """Return the NUL-terminated fields of standard output."""
        return self.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


@dataclass(frozen=True)
class Merge:
    """What a three-way merge gave: the tree (with conflict markers where there are any) and the paths in conflict."""

    tree: str
    conflicts: tuple[str, ...]


@dataclass
class Counter:
    """How many git processes this run of patchctl has started; benchmarks and tests read it."""

    processes: int = 0
    commands: list[str] = field(default_factory=list)


COUNTER = Counter()


def scrubbed() -> list[str]:
    """Return the names in the environment that could change what git does, to be unset."""
    return sorted(
        name
        for name in os.environ
        if name.startswith("GIT_") and not name.startswith("GIT_PYTHON_") and name not in KEEP
    )


def _command(git_dir: Path | None, words: Sequence[str], settings: Iterable[str]) -> list[str]:
    unset = [word for name in scrubbed() if name not in ENVIRONMENT for word in ("-u", name)]
    prefix = ["env", *unset] if unset else []
    options = [word for setting in (*CONFIGURATION, *settings) for word in ("-c", setting)]
    where = [f"--git-dir={git_dir}"] if git_dir else []
    return [*prefix, "git", *where, *options, *words]


def _launcher(cwd: Path | None) -> GitCommand:
    from git.cmd import Git as GitCommand

    return GitCommand(str(cwd) if cwd else None)


def run_git(
    *words: str,
    git_dir: Path | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    settings: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    accept: Sequence[int] = (0,),
    progress: Callable[[str], None] | None = None,
) -> Result:
    """Run one git command and return its result.

    ``accept`` lists the exit statuses that are answers rather than failures. ``progress`` is handed each line git
    writes for people (standard error), as it comes. Raises GitError for other statuses, PatchctlError (exit code 9)
    without git.
    """
    process = _started(words, git_dir, cwd, settings, env or {})
    child = process.proc
    if child is None:
        raise GitError(words, 1, "did not start")
    try:
        stdout, stderr = _talk(child, stdin or b"", progress)
    except BaseException:
        child.terminate()
        child.wait()
        raise
    result = Result(child.returncode, stdout, stderr.decode("utf-8", "replace"))
    if result.status not in accept:
        raise _failure(words, result)
    return result


def _started(
    words: Sequence[str], git_dir: Path | None, cwd: Path | None, settings: Iterable[str], env: Mapping[str, str]
) -> GitCommand.AutoInterrupt:
    from git.exc import GitCommandNotFound

    COUNTER.processes += 1
    COUNTER.commands.append(words[0])
    command = _command(git_dir, words, settings)
    try:
        return _launcher(cwd).execute(command, istream=subprocess.PIPE, as_process=True, env={**ENVIRONMENT, **env})
    except GitCommandNotFound as error:
        raise _no_git("none was") from error


def _failure(words: Sequence[str], result: Result) -> PatchctlError:
    if result.status == NO_PROGRAM and version() is None:
        return _no_git("none was")
    # To an option or a command that it does not know yet, git answers with its usage.
    if words[0] == "merge-tree" and result.status == 129 and (found := version() or ()) < MINIMUM:
        return _no_git(f"{'.'.join(map(str, found))} was")
    if advice := hint(result.stderr):
        return GitError(words, result.status, f"{result.stderr.strip()}; {advice}", Code.ENVIRONMENT)
    return GitError(words, result.status, result.stderr)


def _no_git(found: str) -> PatchctlError:
    needed = ".".join(map(str, MINIMUM))
    return PatchctlError(Code.ENVIRONMENT, f"git {needed} or newer is needed; {found} found")


def _talk(child: subprocess.Popen[bytes], stdin: bytes, progress: Callable[[str], None] | None) -> tuple[bytes, bytes]:
    if progress is None:
        return child.communicate(stdin)
    import threading

    said = bytearray()
    stderr = child.stderr

    def listen() -> None:
        line = bytearray()
        while stderr is not None and (byte := stderr.read(1)):
            said.extend(byte)
            if byte in b"\r\n":
                progress(line.decode("utf-8", "replace").strip())
                line.clear()
            else:
                line.extend(byte)

    ear = threading.Thread(target=listen, daemon=True)
    ear.start()
    _hand_over(child, stdin)
    stdout = child.stdout.read() if child.stdout is not None else b""
    child.wait()
    ear.join()
    _close(child.stdout, child.stderr)
    return stdout, bytes(said)


def _hand_over(child: subprocess.Popen[bytes], stdin: bytes) -> None:
    """Write what git reads; one that ended before says why by its status, not by a broken pipe."""
    if child.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(stdin)
        _close(child.stdin)


def _close(*streams: IO[bytes] | None) -> None:
    for stream in filter(None, streams):
        # What is still buffered for a process that ended cannot be delivered.
        with contextlib.suppress(BrokenPipeError):
            stream.close()


def version() -> tuple[int, ...] | None:
    """Return git's version as numbers, ``(2, 39, 5)``, or None without git."""
    said = process.output(["git", "--version"])
    found = re.search(r"\d+(\.\d+)+", said or "")
    return tuple(int(part) for part in found.group().split(".")) if found else None


class MissingObjectError(PatchctlError):
    """An object that a step really needs is not in the store and cannot be had; exit code 9."""

    def __init__(self, oid: str, what: str = "") -> None:
        named = f"{oid} ({what})" if what else oid
        super().__init__(Code.ENVIRONMENT, f"object {named} is in no copy of upstream at hand")
        self.oid = oid


class Repo:
    """One bare repository: reads objects through one long-lived process, writes them without any.

    ``remote`` gives the settings that name where objects may be fetched from one by one.
    """

    def __init__(self, git_dir: Path, remote: Callable[[], Sequence[str]] = tuple) -> None:
        self.git_dir = git_dir
        self._remote = remote
        self._reader: subprocess.Popen[bytes] | None = None
        self._keep: object = None

    def run(
        self,
        *words: str,
        stdin: bytes | None = None,
        settings: Iterable[str] = (),
        accept: Sequence[int] = (0,),
        lazy: bool = False,
        env: Mapping[str, str] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Result:
        """Run git on this repository; ``lazy`` lets it fetch objects it lacks from the mirror, one question each."""
        extra = {**({"GIT_NO_LAZY_FETCH": "0"} if lazy else {}), **(env or {})}
        return run_git(
            *words,
            git_dir=self.git_dir,
            cwd=self.git_dir,
            stdin=stdin,
            settings=[*settings, *(self._remote() if lazy else ())],
            accept=accept,
            env=extra,
            progress=progress,
        )

    def close(self) -> None:
        """End the reading process; the next read starts another."""
        reader, self._reader, self._keep = self._reader, None, None
        if reader is None:
            return
        _close(reader.stdin, reader.stdout, reader.stderr)
        reader.wait()

    def _start_reader(self) -> subprocess.Popen[bytes]:
        wrapped = _started(["cat-file", "--batch"], self.git_dir, self.git_dir, (), {})
        process = wrapped.proc
        if process is None:
            raise GitError(["cat-file", "--batch"], 1, "did not start")
        # GitPython ends a process when its wrapper is collected.
        self._keep = wrapped
        self._reader = process
        return process

    def read(self, oid: str, kind: str) -> bytes:
        """Return the content of the object ``oid`` of ``kind`` (blob, tree, commit).

        Raises MissingObjectError when it is not here (git's reader dies of a promised object it may not fetch).
        """
        return next(self.read_each([oid], kind))

    def read_each(self, oids: Sequence[str], kind: str) -> Iterator[bytes]:
        """Yield the content of each object in turn, as ``read``; asks ahead, so nothing else can be read in between."""
        asked = at = 0
        try:
            for at, oid in enumerate(oids):
                if asked < len(oids) and asked - at <= AHEAD // 2:
                    self._ask(oids[asked : at + AHEAD])
                    asked = min(len(oids), at + AHEAD)
                yield self._answer(oid, kind)
        finally:
            if asked > at + 1:  # answers that nobody took would pass for those of the next question
                self.close()

    def _ask(self, oids: Sequence[str]) -> None:
        reader = self._reader or self._start_reader()
        if reader.stdin is None:
            raise MissingObjectError(oids[0])
        # A reader that has died is noticed when its answer is read.
        with contextlib.suppress(BrokenPipeError):
            reader.stdin.write("".join(f"{oid}\n" for oid in oids).encode())
            reader.stdin.flush()

    def _answer(self, oid: str, kind: str) -> bytes:
        reader = self._reader
        if reader is None or reader.stdout is None:
            raise MissingObjectError(oid, kind)
        header = reader.stdout.readline().split()
        if len(header) != 3:
            if not header:
                status = reader.wait()  # before its wrapper goes, which would end it in another way
                self.close()
                if status == NO_PROGRAM and version() is None:
                    raise _no_git("none was")
            raise MissingObjectError(oid, kind)
        content = reader.stdout.read(int(header[2]) + 1)[:-1]
        if header[1].decode() != kind:
            raise PatchctlError(Code.INVALID, f"{oid} is a {header[1].decode()}, not a {kind}")
        return content

    def write(self, kind: str, content: bytes) -> str:
        """Store an object and return its id; written beside and renamed, so a kill leaves no half of one."""
        from gitdb import IStream, LooseObjectDB

        stored = LooseObjectDB(str(self.git_dir / "objects")).store(IStream(kind, len(content), io.BytesIO(content)))
        oid: str = stored.hexsha.decode()
        return oid

    def tree_of(self, commit: str) -> str:
        """Return the tree id of a commit."""
        return self.read(commit, "commit")[5:45].decode()

    def parents_of(self, commit: str) -> list[str]:
        """Return the parent ids of a commit."""
        header = self.read(commit, "commit").split(b"\n\n", 1)[0]
        return [line[7:].decode() for line in header.split(b"\n") if line.startswith(b"parent ")]

    def has(self, oids: Iterable[str]) -> dict[str, bool]:
        """Return for each object id whether it is here; asks once for all, fetches nothing."""
        wanted = list(dict.fromkeys(oids))
        if not wanted:
            return {}
        # The store is no partial clone by its own configuration, so git says "missing" instead of dying or fetching.
        stdin = "\n".join(wanted).encode() + b"\n"
        listed = self.run("cat-file", "--batch-check=%(objectname)", stdin=stdin).text().split("\n")
        missing = {line.split()[0] for line in listed if line.endswith(" missing")}
        return {oid: oid not in missing for oid in wanted}

    def missing_in_tree(self, tree: str) -> list[str]:
        """Return the ids of the objects below ``tree`` that are not here, without asking any mirror for them."""
        listed = self.run("rev-list", "--objects", "--no-object-names", "--missing=print", "--no-walk", tree)
        return [line[1:] for line in listed.text().split("\n") if line.startswith("?")]

    def merge(self, ours: str, theirs: str) -> Merge:
        """Merge two commits in memory and return the tree and the paths in conflict, as ``git merge-tree`` judges.

        Retries with fetching allowed when rename detection wants a blob the blobless store lacks.
        """
        words = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
        done = self.run(*words, accept=(0, 1, 128))
        if done.status == 128 or (done.status == 1 and not done.stdout):
            done = self.run(*words, accept=(0, 1), lazy=True)
        tree, *paths = done.stdout.decode("utf-8", "surrogateescape").rstrip("\0").split("\0")
        return Merge(tree, tuple(sorted(set(filter(None, paths)))) if done.status == 1 else ())

    def count(self, commit: str) -> int:
        """Return how many commits lead to ``commit``, itself included: upstream's build number."""
        return int(self.run("rev-list", "--count", commit).text())

    def is_ancestor(self, old: str, new: str) -> bool:
        """Return whether ``old`` is ``new`` or one of its ancestors."""
        return self.run("merge-base", "--is-ancestor", old, new, accept=(0, 1)).status == 0

    def resolve(self, revision: str, kind: str = "commit") -> str | None:
        """Return the id that ``revision`` (a ref or a full id) names here, peeled to ``kind``, or None."""
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{{kind}}}")
        found = self.run(*words, accept=(0, 1, 128))
        return found.text() or None if found.status == 0 else None

    def patch_ids(self, patches: Sequence[bytes]) -> list[str]:
        """Return the stable patch-id of each diff, empty where git sees no change; one process for all."""
        stream = b"".join(b"commit %040x\n\n%s\n" % (n, _diff_part(patch)) for n, patch in enumerate(patches, 1))
        found: dict[int, str] = {}
        for line in self.run("patch-id", "--stable", stdin=stream).text().splitlines():
            patch_id, number = line.split()
            found[int(number, 16)] = patch_id
        return [found.get(n, "") for n in range(1, len(patches) + 1)]

    def log(self, *words: str, lazy: bool = False) -> Iterator[tuple[str, ...]]:
        """Return (commit, subject) of each commit that ``git log`` with these words lists, newest first."""
        listed = self.run("log", "-z", "--no-patch", "--format=%H%x1f%s", *words, lazy=lazy)
        for entry in listed.stdout.decode("utf-8", "replace").split("\0"):
            if entry.strip():
                yield tuple(entry.strip("\n").split("\x1f", 1))


def _diff_part(patch: bytes) -> bytes:
    """Return the patch from its first ``diff --git`` on: a mail's headers may contain anything."""
    found = re.search(rb"^diff --git ", patch, re.MULTILINE)
    return patch[found.start() :] if found else b""

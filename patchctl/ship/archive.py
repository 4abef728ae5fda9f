"""One .tar.gz with everything in it accounted for: written the same on every machine, read with suspicion.

The first member is the manifest, the last SHA256SUMS of all files before it; links are named in the manifest. All
members lie in one top folder.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.files import disk_errors, file_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MANIFEST = "patchctl/manifest.json"
SUMS = "SHA256SUMS"
CHUNK = 2**20
# More than any release holds; what claims more is not unpacked.
MEMBERS, BYTES, NAME, MANIFEST_BYTES = 200_000, 32 * 2**30, 1000, 16 * 2**20
SHOW_EVERY = 100  # members


@dataclass(frozen=True)
class Member:
    """One file or link of an archive: its name in the top folder, how to read it, its mode, what a link names."""

    name: str
    read: Callable[[], bytes] = bytes
    mode: int = 0o644
    link: str | None = None


@dataclass(frozen=True)
class Written:
    """An archive as written: size in bytes, SHA-256 of the file and of the uncompressed tar."""

    path: Path
    size: int
    sha256: str
    tar_sha256: str


@dataclass(frozen=True)
class Unpacked:
    """What was unpacked: SHA-256 by name of every file, and the names of the links."""

    sums: dict[str, str]
    links: frozenset[str]


# --- writing --------------------------------------------------------------------------------------------------------


def write_archive(
    path: Path,
    top: str,
    manifest: bytes,
    members: Sequence[Member],
    *,
    date: int,
    show: Callable[[int, int], None] = lambda _at, _of: None,
) -> Written:
    """Write the members, sorted, between manifest and checksums; every time in it is ``date`` (seconds since 1970).

    The file appears whole or not at all. The tar is the same for the same members everywhere; what gzip makes of it
    depends on zlib. Raises PatchctlError: exit code 3 for two members of one name or one that no archive may hold,
    9 when the disk refuses.
    """
    ordered = [
        Member(MANIFEST, lambda: manifest),
        *sorted(members, key=lambda member: os.fsencode(member.name)),
    ]
    _require_sound(ordered)
    with disk_errors(), file_beside(path, b"") as beside:
        with beside.open("wb") as file:
            tar_sha256 = _write(file, top, ordered, date, show)
        written = Written(path, beside.stat().st_size, sha256_of(beside), tar_sha256)
        beside.replace(path)
    return written


def _require_sound(members: Sequence[Member]) -> None:
    """Refuse what ``unpack`` would refuse, before it is given to anybody."""
    seen = _Seen()
    for name in [*(member.name for member in members), SUMS]:
        seen.add(name)
    for member in members:
        target = member.link or ""
        end = os.path.normpath(f"{PurePosixPath(member.name).parent}/{target}")
        if target.startswith("/") or end.startswith(".."):
            raise PatchctlError(Code.INVALID, f"the link {member.name!r} leads out of the folder, to {target!r}")


class _Hashing:
    """Hands on what is written, and hashes it."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self.file = file
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self.file.write(data)


def _write(file: IO[bytes], top: str, members: Sequence[Member], date: int, show: Callable[[int, int], None]) -> str:
    sums = []
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=date) as zipped:
        sink = _Hashing(zipped)
        with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
            for at, member in enumerate(members, 1):
                digest = _add(tar, top, member, date)
                sums += [f"{digest}  {member.name}\n"] if member.link is None else []
                if at % SHOW_EVERY == 0:
                    show(at, len(members))
            listed = "".join(sums).encode("utf-8", "surrogateescape")
            _add(tar, top, Member(SUMS, lambda: listed), date)
    return sink.hash.hexdigest()


def _add(tar: tarfile.TarFile, top: str, member: Member, date: int) -> str:
    info = tarfile.TarInfo(f"{top}/{member.name}")
    info.mtime = date
    info.mode = member.mode
    if member.link is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, member.link, 0o777
        tar.addfile(info)
        return ""
    content = member.read()
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
    return hashlib.sha256(content).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


# --- names ----------------------------------------------------------------------------------------------------------


class _Seen:
    """The names met so far: none twice, none below a file or a link, none that leaves the folder."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.folders: set[str] = set()

    def add(self, name: str) -> None:
        """Note a name. Raises PatchctlError (exit code 3) when no archive may hold it."""
        why = self._refusal(name)
        if why:
            raise PatchctlError(Code.INVALID, f"{name!r} {why}")
        self.names.add(name)
        self.folders.update(str(folder) for folder in PurePosixPath(name).parents)

    def _refusal(self, name: str) -> str:
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or "." in parts or "" in parts:
            return "leaves the folder it is unpacked into"
        if len(name) > NAME or any(ord(char) < 32 or ord(char) == 127 for char in name):
            return "is no name a file should have"
        if name in self.names or name in self.folders:
            return "is there twice"
        above = self.names.intersection(str(folder) for folder in PurePosixPath(name).parents)
        return f"lies below {min(above)!r}, which is no folder" if above else ""


# --- reading --------------------------------------------------------------------------------------------------------


class _Bounded:
    """Reads a compressed tar; a header that asks for more than a block of it at once is refused."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self.file = file

    def read(self, size: int) -> bytes:
        if not 0 <= size <= CHUNK:
            raise tarfile.ReadError("a header of that size")
        return self.file.read(size)

    def seek(self, position: int) -> int:
        return self.file.seek(position)

    def tell(self) -> int:
        return self.file.tell()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive for reading. Raises PatchctlError: exit code 2 when there is none, 3 when it is damaged."""
    try:
        with (
            gzip.open(path, "rb") as zipped,
            tarfile.open(fileobj=_Bounded(zipped), mode="r:") as tar,  # type: ignore[call-overload]
        ):
            yield tar
    except FileNotFoundError as error:
        if error.filename != os.fspath(path):
            raise
        raise PatchctlError(Code.USAGE, f"there is no file {path}") from error
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeError) as error:
        raise PatchctlError(Code.INVALID, f"{path} is cut off or damaged ({error}); get it again") from error
    except PatchctlError as error:
        if error.code != Code.INVALID or error.message.startswith(f"{path}"):
            raise
        raise PatchctlError(Code.INVALID, f"{path} is refused: {error.message}") from error


def read_manifest(path: Path) -> bytes:
    """Return the manifest of an archive without unpacking it.

    Raises PatchctlError: exit code 2 when there is no such file, 3 when it is none that patchctl made.
    """
    with _opened(path) as tar:
        first = tar.next()
        if first is None or first.type != tarfile.REGTYPE or first.name.partition("/")[2] != MANIFEST:
            raise PatchctlError(Code.INVALID, f"{path} was not made by patchctl; it begins with no {MANIFEST}")
        if first.size > MANIFEST_BYTES:
            raise PatchctlError(Code.INVALID, f"{path}: its manifest is too large ({first.size} bytes)")
        return b"".join(_blocks(tar, first))


def _blocks(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    file = tar.extractfile(member)
    if file is None:
        raise tarfile.ReadError(f"{member.name} is no file")
    left = member.size
    while left:
        block = file.read(min(CHUNK, left))
        if not block:
            raise EOFError(f"{member.name} ends too early")
        left -= len(block)
        yield block


def unpack(path: Path, folder: Path, *, limit: int = BYTES, show: Callable[[int], None] = lambda _at: None) -> Unpacked:
    """Unpack an archive into the empty ``folder``, without its top folder, and verify every checksum.

    Nothing is written outside ``folder``. Raises PatchctlError (exit code 3) for anything that ``write_archive`` does
    not write: names and links that leave the folder, devices, duplicates, more than ``limit`` bytes, files that are
    missing, changed or too many. What was unpacked until then is the caller's to remove.
    """
    with _opened(path) as tar, disk_errors():
        reader = _Unpacking(folder, limit)
        while (member := tar.next()) is not None:
            reader.take(tar, member)
            # Without this tarfile keeps every member it has met.
            tar.members = []  # type: ignore[attr-defined]
            if len(reader.sums) % SHOW_EVERY == 0:
                show(len(reader.sums))
        reader.make_links()
        reader.verify()
        return Unpacked(reader.sums, frozenset(reader.links))


class _Unpacking:
    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.left = limit
        self.top = ""
        self.seen = _Seen()
        self.sums: dict[str, str] = {}
        self.links: dict[str, str] = {}

    def take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = self._name(member)
        self.seen.add(name)
        if len(self.seen.names) > MEMBERS:
            raise PatchctlError(Code.INVALID, f"it holds more than {MEMBERS} members")
        if member.type == tarfile.SYMTYPE:
            self.links[name] = member.linkname
        elif member.type in {tarfile.REGTYPE, tarfile.AREGTYPE} and not member.issparse():
            self._file(tar, member, name)
        else:
            raise PatchctlError(Code.INVALID, f"{name!r} is neither a file nor a link")

    def _name(self, member: tarfile.TarInfo) -> str:
        top, slash, name = member.name.partition("/")
        self.top = self.top or top
        if not slash or top != self.top or top in {"", ".", ".."}:
            raise PatchctlError(Code.INVALID, f"{member.name!r} lies outside its top folder {self.top!r}")
        return name

    def _file(self, tar: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> None:
        self.left -= member.size
        if self.left < 0:
            raise PatchctlError(Code.INVALID, f"it is larger than it may be at {name!r}")
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with place.open("xb") as file:
            for block in _blocks(tar, member):
                digest.update(block)
                file.write(block)
        place.chmod(0o755 if member.mode & 0o100 else 0o644)
        self.sums[name] = digest.hexdigest()

    def make_links(self) -> None:
        """Make the links last, so that no file is written through one, and refuse those that lead out."""
        for name, target in self.links.items():
            place = self.folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)
        inside = os.path.realpath(self.folder) + os.sep
        for name, target in self.links.items():
            # One link may lead through another: where it ends is what counts.
            if target.startswith("/") or not (os.path.realpath(self.folder / name) + os.sep).startswith(inside):
                raise PatchctlError(Code.INVALID, f"the link {name!r} leads out of the folder, to {target!r}")

    def verify(self) -> None:
        listed = self.folder / SUMS
        if not listed.is_file() or listed.is_symlink():
            raise PatchctlError(Code.INVALID, f"it has no {SUMS}: its end is missing")
        self.sums.pop(SUMS)
        require_same(parse_sums(listed.read_bytes()), self.sums)


def parse_sums(content: bytes) -> dict[str, str]:
    """Return SHA-256 by name of what a file of checksums lists; lines that are none do not count."""
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    return {line[66:]: line[:64] for line in lines if len(line) > 66 and line[64] == " "}


def require_same(listed: dict[str, str], found: dict[str, str]) -> None:
    """Raise PatchctlError (exit code 3) naming a file that is missing, changed or not listed."""
    for name in sorted(listed.keys() | found.keys()):
        if listed.get(name) != found.get(name):
            what = "is missing" if name not in found else "was changed" if name in listed else f"is not in {SUMS}"
            raise PatchctlError(Code.INVALID, f"{name!r} {what}")


def update_sums(path: Path, written: Written) -> None:
    """Give ``written`` its line in the list of checksums at ``path``, keeping the lines of the others."""
    from patchctl.files import locked, write_atomic

    with locked(path.with_name(f".{path.name}.lock"), str(path), wait=30):
        sums = read_sums(path) | {written.path.name: written.sha256}
        write_atomic(path, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode())


def read_sums(path: Path) -> dict[str, str]:
    """Return what the list of checksums at ``path`` says, empty when there is none."""
    try:
        return parse_sums(path.read_bytes())
    except FileNotFoundError:
        return {}

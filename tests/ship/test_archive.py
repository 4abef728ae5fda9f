from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
from typing import TYPE_CHECKING

import pytest

from patchctl.errors import Code, PatchctlError
from patchctl.ship import archive
from patchctl.ship.archive import MANIFEST, SUMS, Member

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DATE = 1_700_000_000
Names = dict[str, bytes]


def write(path: Path, *members: Member) -> archive.Written:
    return archive.write_archive(path, "top", b"{}", list(members), date=DATE)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Give a folder to unpack into, in one that nothing else may be written to."""
    folder = tmp_path / "room" / "target"
    folder.mkdir(parents=True)
    return folder


def sample() -> list[Member]:
    return [
        Member("src/run.sh", lambda: b"#!/bin/sh\n", 0o755),
        Member("src/" + "long/" * 60 + "naïve.txt", lambda: b"x" * 3_000_000),
        Member("src/link", link="run.sh"),
        Member("a", lambda: b""),
    ]


def test_what_was_packed_is_unpacked_with_modes_and_links(tmp_path: Path, target: Path) -> None:
    write(tmp_path / "a.tar.gz", *sample())
    unpacked = archive.unpack(tmp_path / "a.tar.gz", target)
    assert (target / "src" / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (target / "a").stat().st_mode & 0o777 == 0o644
    assert str((target / "src" / "link").readlink()) == "run.sh"
    assert (target / "src" / ("long/" * 60) / "naïve.txt").stat().st_size == 3_000_000
    assert unpacked.links == {"src/link"}
    assert unpacked.sums["a"] == hashlib.sha256(b"").hexdigest()


def test_the_order_members_come_in_and_the_umask_change_no_byte(tmp_path: Path) -> None:
    first = write(tmp_path / "1.tar.gz", *sample())
    old = os.umask(0o077)
    try:
        second = write(tmp_path / "2.tar.gz", *reversed(sample()))
    finally:
        os.umask(old)
    assert (first.sha256, first.tar_sha256) == (second.sha256, second.tar_sha256)
    assert hashlib.sha256(gzip.decompress(first.path.read_bytes())).hexdigest() == first.tar_sha256
    with tarfile.open(first.path) as tar:
        facts = {(it.uid, it.gid, it.uname, it.gname, it.mtime) for it in tar}
        assert facts == {(0, 0, "", "", DATE)}


def test_a_member_that_cannot_be_read_leaves_the_old_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    before = write(path, *sample()).sha256

    def broken() -> bytes:
        raise PatchctlError(Code.ENVIRONMENT, "gone")

    with pytest.raises(PatchctlError, match="gone"):
        write(path, Member("b", broken))
    assert archive.sha256_of(path) == before
    assert [it.name for it in tmp_path.iterdir()] == ["a.tar.gz"]


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("a/../b",), ("/a",), ("a\nb",), (SUMS,), (MANIFEST,)])
def test_names_that_cannot_be_unpacked_are_not_packed(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(PatchctlError) as error:
        write(tmp_path / "a.tar.gz", *(Member(name) for name in names))
    assert error.value.code == Code.INVALID
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("link", ["/etc/passwd", "../../x", "..//../x"])
def test_a_link_that_leads_out_is_not_packed(link: str, tmp_path: Path) -> None:
    with pytest.raises(PatchctlError, match="the link 'src/l' leads out of the folder"):
        write(tmp_path / "a.tar.gz", Member("src/l", link=link))
    write(tmp_path / "a.tar.gz", Member("src/l", link="../x"), Member("x"))


# --- hostile ----------------------------------------------------------------------------------------------------


def crafted(path: Path, add: Callable[[tarfile.TarFile], object], listed: Names | None = None) -> Path:
    """Write an archive as somebody with bad intentions would: right checksums for what they list."""
    files = {MANIFEST: b"{}", **(listed or {})}
    with tarfile.open(path, "w:gz") as tar:
        put(tar, f"top/{MANIFEST}", b"{}")
        add(tar)
        sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
        put(tar, f"top/{SUMS}", sums.encode())
    return path


def put(tar: tarfile.TarFile, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def links(*pairs: tuple[str, str]) -> Callable[[tarfile.TarFile], object]:
    return lambda tar: [put(tar, f"top/{name}", kind=tarfile.SYMTYPE, link=to) for name, to in pairs]


HOSTILE: dict[str, tuple[Callable[[tarfile.TarFile], object], str]] = {
    "absolute": (lambda tar: put(tar, "/etc/evil", b"x"), "lies outside its top folder"),
    "dot dot": (lambda tar: put(tar, "top/../../evil", b"x"), "leaves the folder"),
    "dot dot inside": (lambda tar: put(tar, "top/a/../../evil", b"x"), "leaves the folder"),
    "another top": (lambda tar: put(tar, "other/evil", b"x"), "lies outside its top folder"),
    "absolute link": (links(("l", "/etc/passwd")), "leads out of the folder"),
    "link out": (links(("l", "../../x")), "leads out of the folder"),
    "link through a link": (links(("d/e/f", "../.."), ("l", "d/e/f/..")), "leads out of the folder"),
    "file below a link": (
        lambda tar: [links(("l", "/tmp"))(tar), put(tar, "top/l/evil", b"x")],
        "which is no folder",
    ),
    "link over a folder": (lambda tar: [put(tar, "top/l/a"), links(("l", "/tmp"))(tar)], "is there twice"),
    "hard link": (lambda tar: put(tar, "top/h", kind=tarfile.LNKTYPE, link="top/a"), "neither a file nor a link"),
    "device": (lambda tar: put(tar, "top/d", kind=tarfile.CHRTYPE), "neither a file nor a link"),
    "fifo": (lambda tar: put(tar, "top/d", kind=tarfile.FIFOTYPE), "neither a file nor a link"),
    "folder": (lambda tar: put(tar, "top/d", kind=tarfile.DIRTYPE), "neither a file nor a link"),
    "duplicate": (lambda tar: [put(tar, "top/a", b"1"), put(tar, "top/a", b"2")], "is there twice"),
    "unlisted": (lambda tar: put(tar, "top/extra", b"x"), f"'extra' is not in {SUMS}"),
    "too large": (lambda tar: put(tar, "top/big", b"x" * 2000), "larger than it may be"),
    "huge header": (lambda tar: put(tar, "top/x", b"9" * 2**21, kind=tarfile.XHDTYPE), "cut off or damaged"),
    "control characters": (lambda tar: put(tar, "top/a\x1b[2Jb", b"x"), "is no name a file should have"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_and_writes_nothing_outside(case: str, tmp_path: Path, target: Path) -> None:
    add, said = HOSTILE[case]
    path = crafted(tmp_path / "evil.tar.gz", add)
    with pytest.raises(PatchctlError) as error:
        archive.unpack(path, target, limit=1500)
    assert (error.value.code, said in error.value.message) == (Code.INVALID, True), error.value.message
    assert error.value.message.startswith(str(path))
    assert [it.name for it in target.parent.iterdir()] == ["target"]
    assert not any(stat.S_ISCHR(it.lstat().st_mode) for it in target.rglob("*"))


def test_a_changed_and_a_missing_file_are_named(tmp_path: Path, target: Path) -> None:
    changed = crafted(tmp_path / "1.tar.gz", lambda tar: put(tar, "top/a", b"evil"), {"a": b"good"})
    with pytest.raises(PatchctlError, match="'a' was changed"):
        archive.unpack(changed, target)
    (tmp_path / "again").mkdir()
    missing = crafted(tmp_path / "2.tar.gz", lambda _: None, {"a": b"good"})
    with pytest.raises(PatchctlError, match="'a' is missing"):
        archive.unpack(missing, tmp_path / "again")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_an_archive_cut_off_anywhere_is_refused(part: float, tmp_path: Path, target: Path) -> None:
    path = tmp_path / "a.tar.gz"
    write(path, *sample(), Member("noise", lambda: os.urandom(50_000)))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(PatchctlError) as error:
        archive.unpack(path, target)
    assert error.value.code == Code.INVALID
    assert "get it again" in error.value.message or "its end is missing" in error.value.message


def test_a_tar_cut_off_between_two_members_is_refused(tmp_path: Path, target: Path) -> None:
    path = tmp_path / "a.tar.gz"
    write(path, *sample())
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:1024]))
    with pytest.raises(PatchctlError, match="its end is missing"):
        archive.unpack(path, target)


def test_what_is_no_archive_of_patchctl_is_told_apart_from_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PatchctlError) as absent:
        archive.read_manifest(tmp_path / "no.tar.gz")
    assert absent.value.code == Code.USAGE
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as tar:
        put(tar, "x/README", b"hello")
    with pytest.raises(PatchctlError, match="was not made by patchctl") as other:
        archive.read_manifest(tmp_path / "other.tar.gz")
    assert other.value.code == Code.INVALID


def test_a_list_of_checksums_keeps_the_lines_of_others(tmp_path: Path) -> None:
    one, two = (write(tmp_path / f"{name}.tar.gz", Member(name)) for name in ("one", "two"))
    for written in (one, two, one):
        archive.update_sums(tmp_path / SUMS, written)
    assert archive.read_sums(tmp_path / SUMS) == {"one.tar.gz": one.sha256, "two.tar.gz": two.sha256}

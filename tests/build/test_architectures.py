"""What is really in CUDA libraries is read and compared; what cannot be read is a failure."""

from __future__ import annotations

import json
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from patchctl.build import architectures
from patchctl.build.architectures import UnreadableError, contained, effective, read_fat, verify
from patchctl.errors import Code, PatchctlError
from tests.build.project import program

if TYPE_CHECKING:
    from pathlib import Path

ELF, PTX = 2, 1
PLAIN, SPECIFIC, FAMILY = 0x1000011, 0x1100011, 0x1200011


def entry(kind: int, number: int, flags: int = PLAIN, *, head: int = 64, payload: bytes = b"code" * 4) -> bytes:
    """One entry as nvcc 13.0's fatbinary writes it."""
    fields = struct.pack("<HHIQIIIIQQQ", kind, 0x0101, head, len(payload), 0, 0, 0x10008, number, 0, flags, 0)
    return fields.ljust(head, b"\0") + payload


def container(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


BOTH = container(entry(ELF, 89), entry(ELF, 120, SPECIFIC, head=112))


def library(folder: Path, content: bytes | None, name: str = "libcuda-code.so", section: str = ".nv_fatbin") -> Path:
    """A real shared library with the bytes in the section that CUDA code lies in."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fat.bin").write_bytes(content or b"")
    (folder / "x.s").write_text(f'.section {section},"a"\n.incbin "{folder}/fat.bin"\n' if content else "")
    subprocess.run(["cc", "-shared", "-nostdlib", "-o", folder / name, folder / "x.s"], check=True, capture_output=True)
    return folder / name


def commands(build: Path, *codes: str) -> Path:
    build.mkdir(parents=True, exist_ok=True)
    entries = [{"command": f'nvcc -O3 "--generate-code=arch=compute_1,code=[{code}]" -c a.cu'} for code in codes]
    (build / "compile_commands.json").write_text(json.dumps([*entries, {"command": "c++ -c b.cpp"}]))
    return build


def test_entries_of_all_containers_are_named_with_their_letters() -> None:
    assert read_fat(BOTH) == {"sm_89", "sm_120a"}
    assert read_fat(container(entry(ELF, 89)) + b"\0" * 8 + container(entry(PTX, 90, SPECIFIC))) == {
        "sm_89",
        "compute_90a",
    }
    assert read_fat(container(entry(ELF, 120, FAMILY), entry(PTX, 120, FAMILY))) == {"sm_120", "compute_120f"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 64,
        b"not a fat binary, but long enough",
        BOTH[:-4],
        container(entry(7, 89)),
        container(entry(ELF, 0)),
        container(entry(ELF, 89)[:20]),
    ],
)
def test_a_fat_binary_that_is_not_understood_is_unreadable(content: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_fat(content)


def test_the_effective_list_comes_from_the_compile_lines(tmp_path: Path) -> None:
    build = commands(tmp_path, "sm_89", "compute_89,sm_89", "sm_120a")
    assert effective(build) == {"sm_89", "compute_89", "sm_120a"}


def test_what_was_asked_for_and_is_there_is_listed(tmp_path: Path) -> None:
    build = commands(tmp_path / "build", "sm_89", "sm_120a")
    host = library(tmp_path / "host", None)
    assert verify(build, [library(tmp_path / "a", BOTH), host], None) == ["sm_89", "sm_120a"]
    relocatable = library(tmp_path / "b", BOTH, section="__nv_relfatbin")
    assert verify(build, [relocatable], None) == ["sm_89", "sm_120a"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["sm_89"], r"holds sm_89, sm_120a; its compile lines ask for sm_89\."),
        (["sm_89", "sm_120"], "ask for sm_89, sm_120"),
        (["sm_89", "sm_120a", "compute_89"], "ask for compute_89, sm_89, sm_120a"),
        ([], "the compile lines ask for no architecture"),
    ],
)
def test_any_difference_is_a_failure(tmp_path: Path, asked: list[str], message: str) -> None:
    build = commands(tmp_path / "build", *asked)
    with pytest.raises(PatchctlError, match=message) as caught:
        verify(build, [library(tmp_path / "a", BOTH)], None)
    assert caught.value.exit_code == Code.BUILD


def test_each_library_must_hold_every_architecture(tmp_path: Path) -> None:
    build = commands(tmp_path / "build", "sm_89", "sm_120a")
    half = library(tmp_path / "b", container(entry(ELF, 89)), name="libhalf.so")
    with pytest.raises(PatchctlError, match=r"libhalf\.so holds sm_89;"):
        verify(build, [library(tmp_path / "a", BOTH), half], None)


def test_static_cuda_libraries_may_bring_more_but_never_less(tmp_path: Path) -> None:
    whole = library(tmp_path / "a", BOTH)
    assert verify(commands(tmp_path / "build", "sm_89"), [whole], None, exact=False) == ["sm_89", "sm_120a"]
    with pytest.raises(PatchctlError, match="ask for sm_90"):
        verify(commands(tmp_path / "build", "sm_90"), [whole], None, exact=False)


def test_no_device_code_and_unreadable_code_are_failures(tmp_path: Path) -> None:
    build = commands(tmp_path / "build", "sm_89")
    with pytest.raises(PatchctlError, match="no installed file holds device code"):
        verify(build, [library(tmp_path / "a", None)], None)
    with pytest.raises(PatchctlError, match=r"cannot be verified: .*no fat binary at offset 0"):
        verify(build, [library(tmp_path / "b", b"rubbish" * 10)], None)
    cut = library(tmp_path / "c", BOTH)
    cut.write_bytes(cut.read_bytes()[:-200])
    with pytest.raises(PatchctlError, match="cannot be verified"):
        verify(build, [cut], None)


def test_cuobjdump_is_asked_where_there_is_one_and_the_file_read_where_it_fails(tmp_path: Path) -> None:
    asked = library(tmp_path / "a", BOTH)
    lines = (
        'case $1 in --list-elf) echo "ELF file    1: a.1.sm_90a.cubin";; *) echo "PTX file    1: a.1.sm_90.ptx";; esac'
    )
    assert contained(asked, program(tmp_path / "bin" / "cuobjdump", lines)) == {"sm_90a", "compute_90"}
    assert contained(asked, program(tmp_path / "bin" / "broken", "exit 1")) == {"sm_89", "sm_120a"}
    assert architectures.contained(library(tmp_path / "b", None), tmp_path / "never started") == set()

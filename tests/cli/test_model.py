from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING

import pytest

from patchctl.smoke.models.names import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Ran


def test_without_a_name_the_models_are_listed_with_what_they_are_for(
    tmp_path: Path, patchctl: Callable[..., Ran]
) -> None:
    ran = patchctl("model", "make", cwd=tmp_path)
    assert ran.code == 0
    assert [line.split()[0] for line in ran.stdout.splitlines()] == list(MODELS)
    assert "its MTP head is always right" in ran.stdout
    assert list(tmp_path.iterdir()) == []


def test_models_are_made_where_asked_the_same_each_time(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    first = json.loads(patchctl("model", "make", "perm", "half", "--into", "a", "--json", cwd=tmp_path).stdout)
    again = json.loads(patchctl("model", "make", "perm", "half", "--into", "b", "--json", cwd=tmp_path).stdout)
    assert [it["sha256"] for it in first["files"]] == [it["sha256"] for it in again["files"]]
    assert len(first["files"]) == 8
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        f"{name}{kind}.gguf" for name in ("perm", "half") for kind in ("", "-mtp-bare", "-mtp-headless", "-mtp-full")
    }
    one = first["files"][0]
    assert hashlib.sha256((tmp_path / one["path"]).read_bytes()).hexdigest() == one["sha256"]


def test_a_mistyped_name_is_exit_2_with_the_nearest(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    ran = patchctl("model", "make", "prem", cwd=tmp_path)
    assert (ran.code, ran.stderr) == (2, "error: there is no test model 'prem'; did you mean \"perm\"?\n")


def test_without_the_packages_it_says_what_to_install(
    tmp_path: Path, patchctl: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "patchctl.smoke.models.make", None)
    monkeypatch.delattr("patchctl.smoke.models.make", raising=False)
    ran = patchctl("model", "make", "perm", cwd=tmp_path)
    assert ran.code == 9
    assert "pip install 'patchctl[models]'" in ran.stderr


def test_inspect_says_what_a_model_holds(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    patchctl("model", "make", "rand-moe", cwd=tmp_path)
    ran = patchctl("model", "inspect", "rand-moe.gguf", cwd=tmp_path)
    lines = [" ".join(line.split()) for line in ran.stdout.splitlines()]
    assert ran.code == 0
    assert lines[0] == "qwen35moe tiny"
    assert lines[1] == "1.66 M parameters in 6.36 MiB, 3 blocks, context 4096, 256 tokens"
    assert "experts 24 tensors 2.83 MiB 24 F32" in lines
    assert "output 1 tensor 256 KiB 1 F32" in lines
    assert "q8_0 272 and 272 for the MTP head" in lines
    assert "tbq4_0 - its heads are no whole blocks of this type" in lines
    assert lines[-1] == "MTP: complete (eh_proj F32, enorm F32, hnorm F32, shared_head_norm F32)"


def test_inspect_says_in_json_why_nothing_would_be_drafted(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    patchctl("model", "make", "perm", cwd=tmp_path)
    path = tmp_path / "perm.gguf"
    path.write_bytes(path.read_bytes().replace(b".nextn.eh_proj", b".nextn.eh_porj"))
    told = json.loads(patchctl("model", "inspect", path, "--json", cwd=tmp_path).stdout)
    assert (told["schema_version"], told["architecture"], told["kv_bytes"]["f16"]) == (1, "qwen35", 512)
    assert told["mtp"]["missing"] == ["blk.2.nextn.eh_proj.weight"]
    assert told["mtp"]["why"].endswith("it cannot be loaded, nothing is drafted, acceptance is 0 %")


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"PK\x03\x04 a zip", 6, "error: x.gguf is no GGUF: it begins with 'PK\\x03\\x04', not with GGUF"),
        (b"GGUF\x03\0\0\0\x01", 6, "error: x.gguf is truncated: its header goes on past its end at 9 bytes"),
        (b"", 6, "error: x.gguf is empty"),
        (None, 9, "error: cannot read x.gguf: No such file or directory"),
    ],
)
def test_what_cannot_be_inspected_is_told_in_a_line(
    content: bytes | None, code: int, said: str, tmp_path: Path, patchctl: Callable[..., Ran]
) -> None:
    if content is not None:
        (tmp_path / "x.gguf").write_bytes(content)
    ran = patchctl("model", "inspect", "x.gguf", cwd=tmp_path)
    assert (ran.code, ran.stdout, ran.stderr) == (code, "", said + "\n")


def test_a_folder_cannot_be_inspected(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    ran = patchctl("model", "inspect", ".", cwd=tmp_path)
    assert (ran.code, ran.stderr) == (9, "error: cannot read .: Is a directory\n")


def test_without_a_command_its_help_is_shown_once(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    ran = patchctl("model", cwd=tmp_path)
    assert (ran.code, ran.stderr.count("Usage: patchctl model"), "error:" in ran.stderr) == (2, 1, False), ran
    assert "inspect" in ran.stderr

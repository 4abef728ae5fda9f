from __future__ import annotations

import json
from typing import TYPE_CHECKING

from patchctl.manifest.workspace import Workspace
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Ran

MADE = [
    "stacks/demo.yaml",
    "stacks/.schema/stack.schema.json",
    "patches/whole-characters/b30.patch",
    "patches/fresh-sampler/README.md",
    "patches/request-seed/probe.yaml",
    ".gitignore",
]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_workspace_holds_the_demo_and_says_what_to_type(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    ran = patchctl("init", "my patches", cwd=tmp_path)
    assert ran.code == 0
    lines = ran.stdout.splitlines()
    assert {f"made  {name}" for name in MADE} <= set(lines)
    assert lines[-1] == "next: cd 'my patches' && patchctl build stacks/demo.yaml"
    made = files(tmp_path / "my patches")
    assert set(MADE) <= set(made)
    assert b"/out/" in made[".gitignore"].split()


def test_the_stack_is_the_shipped_one_and_names_its_schema_where_it_lies(
    tmp_path: Path, patchctl: Callable[..., Ran]
) -> None:
    patchctl("init", cwd=tmp_path)
    first, *rest = (tmp_path / "stacks" / "demo.yaml").read_text().splitlines()
    _, *shipped = (ROOT / "stacks" / "demo.yaml").read_text().splitlines()
    assert rest == shipped
    for stack, line in (
        (tmp_path / "stacks" / "demo.yaml", first),
        (ROOT / "stacks" / "demo.yaml", (ROOT / "stacks" / "demo.yaml").read_text().splitlines()[0]),
    ):
        schema = stack.parent / line.split("$schema=")[1]
        assert "upstream" in json.loads(schema.read_text())["properties"]
    assert [path.name for path in Workspace(tmp_path).stack_files()] == ["demo.yaml"]


def test_a_new_workspace_has_nothing_to_complain_about(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    patchctl("init", cwd=tmp_path)
    assert patchctl("lint", cwd=tmp_path).code == 0


def test_quiet_says_nothing(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    ran = patchctl("init", "ws", "-q", cwd=tmp_path)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "")
    assert (tmp_path / "ws" / "stacks" / "demo.yaml").is_file()


def test_a_second_run_changes_nothing(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    patchctl("init", cwd=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    ran = patchctl("init", "--json", cwd=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    told = json.loads(ran.stdout)
    assert (told["schema_version"], told["made"], set(MADE) <= set(told["kept"])) == (1, [], True)


def test_what_is_there_is_kept_and_what_is_missing_is_made(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "demo.yaml").write_text("mine\n")
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "patches").mkdir()
    (tmp_path / "patches" / "fresh-sampler").symlink_to("elsewhere")
    (tmp_path / "patches" / "elsewhere").mkdir()
    ran = patchctl("init", cwd=tmp_path)
    assert (tmp_path / "stacks" / "demo.yaml").read_text() == "mine\n"
    assert (tmp_path / ".gitignore").read_text() == "*.log\n"
    assert ".gitignore does not name /out/" in ran.stderr
    assert (tmp_path / "patches" / "whole-characters" / "probe.yaml").exists()


def test_a_file_in_the_place_of_the_folder_is_a_usage_error(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    (tmp_path / "x").touch()
    ran = patchctl("init", "x", cwd=tmp_path)
    assert (ran.code, ran.stderr) == (2, "error: x is a file; name a folder for the workspace\n")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    (tmp_path / "stacks").touch()
    ran = patchctl("init", cwd=tmp_path)
    assert ran.code == 9
    assert "stacks" in ran.stderr

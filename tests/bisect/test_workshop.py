"""What the points are built from: one slot for all of them, and still each as if built alone."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.bisect.product import fingerprint
from patchctl.bisect.workshop import KEPT, tidy
from tests.bisect.world import make_world

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]


def test_points_built_one_after_another_are_what_each_is_when_built_alone(
    tmp_path: Path, patchctl: Patchctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header that hides another is what Ninja cannot see: objects of the commit before it would be taken over."""
    world = make_world(tmp_path, commits=10, patches=2, culprit="0", hides=6)
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    world.stack("s", 1, world.names)
    check = tmp_path / "check.sh"
    check.write_text("#!/bin/sh\nengine | grep -q limit=1\n")
    check.chmod(0o755)
    words = ["bisect", "--json", "--stack", "s", "--bad-base", world.base(10), "--", check]
    found = json.loads(patchctl(*words, cwd=world.workspace).stdout)
    assert found["culprit"]["ids"] == [world.base(6)]
    assert found["builds"] == len(found["points"])

    from patchctl.ledger import Ledger

    def products(cache: Path) -> dict[str, str]:
        ledger = Ledger(cache / "ledger.sqlite")
        rows = ledger._ask("SELECT key, value FROM results WHERE kind=?", ("bisect-product",))
        ledger.close()
        return dict(rows)  # type: ignore[arg-type]

    together = products(tmp_path_cache(monkeypatch))
    for number, point in enumerate(found["points"]):
        alone = tmp_path / f"alone{number}"
        monkeypatch.setenv("PATCHCTL_CACHE", str(alone))
        monkeypatch.setenv("CCACHE_DISABLE", "1")
        patchctl(*words[:1], *words[2:-2], "--try", point["point"], *words[-2:], cwd=world.workspace)
        made = products(alone)
        assert made
        for key, product in made.items():
            assert together[key] == product, point["label"]


def tmp_path_cache(monkeypatch: pytest.MonkeyPatch) -> Path:
    from patchctl.files import cache_folder

    return cache_folder()


# --- the product ------------------------------------------------------------------------------------------------------

IDENTITY = "0253fb21f-abcdef123"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A build folder with two objects, one of which holds the identity, as CMake and Ninja leave it."""
    build, src = tmp_path / "build", tmp_path / "src"
    build.mkdir()
    src.mkdir()
    entries = [
        {"directory": str(build), "file": f"{name}.c", "output": f"{name}.o"} for name in ("code", "info", "never")
    ]
    (build / "compile_commands.json").write_text(json.dumps(entries))
    (build / "code.o").write_bytes(b"code")
    (build / "info.o").write_bytes(b"before " + IDENTITY.encode())
    return build


def made(build: Path, identity: str = IDENTITY, **installed: str) -> str:
    files = [{"path": path.replace("_", "/"), "sha256": digest} for path, digest in installed.items()]
    return fingerprint(build, build.parent / "src", identity, files)


def test_the_identity_is_no_difference(built: Path) -> None:
    before = made(built)
    other = "0253fb21f-123abcdef"
    (built / "info.o").write_bytes(b"after " + other.encode())
    assert made(built, other) == before


def test_any_other_object_is_one_and_so_is_a_file_that_is_installed(built: Path) -> None:
    before = made(built)
    assert made(built, tools_convert="1") != before
    assert made(built, bin_engine="1") == before
    (built / "code.o").write_bytes(b"other")
    assert made(built) != before


def test_objects_left_over_from_another_tree_do_not_count(built: Path) -> None:
    before = made(built)
    (built / "gone.o").write_bytes(b"old")
    assert made(built) == before


def test_only_the_newest_installs_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT + 3):
        folder = tmp_path / "out" / f"b{number}"
        folder.mkdir(parents=True)
        os.utime(folder, (number, number))
    tidy(tmp_path / "out")
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {f"b{number}" for number in range(3, KEPT + 3)}
    tidy(tmp_path / "none")

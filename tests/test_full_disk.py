"""A file system that is really full: told in one line, nothing half written; with room the same command succeeds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.series.world import World, text

if TYPE_CHECKING:
    from pathlib import Path

# In a mount namespace of its own, so that nothing of it is left whatever happens to the test.
SCRIPT = r"""
set -e
place=$1 size=$2 workspace=$3; shift 3
mount -t tmpfs -o "size=${size}k" tmpfs "$place" || exit 77
cp -R "$workspace" "$place/workspace" || exit 78
cd "$place/workspace"
export PATCHCTL_CACHE=$place/cache
"$@" >"$place.out" 2>"$place.err" && echo 0 >"$place.code" || echo $? >"$place.code"
mount -o remount,size=64m "$place"
find . -name '.*.patchctl-tmp' >"$place.left"
exec "$@"
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    first = world.commit({f"file{number}.c": text(count=400 + number) for number in range(40)})
    one = world.patch("one", {"file0.c": text({3: "one"}, count=400)})
    world.patch("two", {"file0.c": text({3: "one", 9: "two"}, count=400)}, on=one, base=first, requires=["one"])
    world.stack("one", "two")
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def can_mount() -> bool:
    words = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "mount",
        "-t",
        "tmpfs",
        "-o",
        "size=64k",
        "none",
        "/tmp",
    ]
    return (
        shutil.which("unshare") is not None and subprocess.run(words, capture_output=True, check=False).returncode == 0
    )


pytestmark = pytest.mark.skipif(not can_mount(), reason="no file system can be mounted here")


def on_a_disk_of(size: int, world: World, folder: Path, *words: str) -> tuple[int, str, str]:
    """Return (exit code, errors, what was left) on a disk of ``size`` KiB; with more room it must then succeed."""
    place = folder / f"disk{size}"
    place.mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh", str(place), str(size)]
    command += [str(world.workspace), sys.executable, "-m", "patchctl", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (size, done)
    code, errors, left = (place.with_suffix(f".{what}").read_text() for what in ("code", "err", "left"))
    return int(code), errors, left


@pytest.mark.parametrize("words", [("lock", "s"), ("check", "s"), ("apply", "s")], ids=lambda words: words[0])
def test_a_full_file_system_is_told_and_costs_nothing(words: tuple[str, ...], world: World, tmp_path: Path) -> None:
    refused = 0
    for size in (48, 128, 256, 320, 640):
        code, errors, left = on_a_disk_of(size, world, tmp_path, *words)
        assert (code, "Traceback" in errors, left) in {(0, False, ""), (9, False, "")}, (size, errors)
        if code:
            refused += 1
            assert errors.count("\n") == 1, (size, errors)
            assert any(word in errors for word in ("No space left", "full", "room on the disk")), (size, errors)
    assert refused >= 2


def test_with_room_the_result_is_what_it_always_is(world: World, tmp_path: Path) -> None:
    plain = subprocess.run(
        [sys.executable, "-m", "patchctl", "check", "s", "--json"], cwd=world.workspace, capture_output=True, check=True
    )
    assert json.loads(plain.stdout)["result"]
    assert on_a_disk_of(8192, world, tmp_path, "check", "s", "--json")[0] == 0
    assert json.loads((tmp_path / "disk8192.out").read_text()) == json.loads(plain.stdout)

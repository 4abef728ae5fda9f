"""A build folder moved from tree to tree gives, byte for byte, what a new one gives."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from patchctl.build.folder import MARKER, BuildFolder, Plan, difference, snapshot
from patchctl.errors import Code, PatchctlError
from tests.build.project import MINI, Bench, Files, contents, objects, place

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.build.variant import Built

READING = MINI["CMakeLists.txt"] + "file(READ WORDS words)\ntarget_compile_definitions(other PRIVATE WORDS=${words})\n"
OPTIONAL = """\
#include "greet.h"
#if __has_include("optional.h")
#include "optional.h"
#else
#define MORE 0
#endif
extern "C" int deep(void);
int greet() { return deep() + EXTRA + MORE + parts(); }
"""

# Each tree differs from the one before by one kind of change; the last is the first again.
WALK: dict[str, Files] = {
    "the start": MINI,
    "a changed source": MINI | {"deep.c": "int deep(void) { return 50; }\n"},
    "a changed header": MINI | {"include/greet.h": MINI["include/greet.h"].replace("EXTRA 2", "EXTRA 3")},
    "an added globbed file": MINI
    | {"parts/two.cpp": "int two() { return 100; }\n", "parts/one.cpp": "int two();\nint parts() { return two(); }\n"},
    "a globbed file gone and a template changed": MINI
    | {"info.c.in": MINI["info.c.in"].replace("12", "0").replace("@ @", "@-@")},
    "an option's default changed": MINI
    | {"CMakeLists.txt": MINI["CMakeLists.txt"].replace('"shout" OFF', '"shout" ON')},
    "a source that asks for a header": MINI | {"greet.cpp": OPTIONAL},
    "that header": MINI | {"greet.cpp": OPTIONAL, "include/optional.h": "#define MORE 5\n"},
    "the header gone again": MINI | {"greet.cpp": OPTIONAL},
    "a new header that hides another": MINI | {"greet.h": "int greet();\nint parts();\n#define EXTRA 9\n"},
    "the start again": MINI,
}


def test_a_walk_over_trees_gives_at_each_what_a_new_folder_gives(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {}
    for number, (name, files) in enumerate(WALK.items()):
        moved = bench.build(files)
        with monkeypatch.context() as patch:
            patch.setenv("CCACHE_DISABLE", "1")
            new = Bench(bench.root / f"new-{number}")
            expected = new.build(files)
        assert contents(moved.path) == contents(expected.path), name
        assert objects(new.job(files).folder).items() <= objects(bench.job(files).folder).items(), name
        said[name] = subprocess.run(
            [moved.path / "bin" / "hello"], capture_output=True, text=True, check=True
        ).stdout.split()[0]
    numbers = [word.split("-")[0] for word in said.values()]
    assert numbers == ["42", "52", "43", "142", "42", "1000", "42", "47", "42", "49", "42"]


def prepared(
    bench: Bench, files: Files, *, settings: str = "s", arguments: tuple[str, ...] = ("-DA=1",)
) -> tuple[Plan, BuildFolder]:
    """Place the files, judge the folder as a run would and leave it as a finished run does."""
    src, path = bench.root / "src", bench.root / "build"
    src.mkdir(exist_ok=True)
    place(src, files)
    folder = BuildFolder(path, src, settings=settings, arguments=arguments)
    plan = folder.prepare()
    folder.configured()
    (path / "object.o").write_text("built")
    folder.ready()
    time.sleep(0.02)  # file times come in ticks; a person's next change is a tick later, a test's may not be
    return plan, folder


def test_a_folder_is_configured_only_when_something_changed(bench: Bench) -> None:
    assert prepared(bench, MINI)[0] == Plan(configure=True)
    assert prepared(bench, MINI)[0] == Plan(configure=False)
    assert prepared(bench, MINI, arguments=("-DA=2",))[0] == Plan(configure=True)
    assert prepared(bench, MINI | {"deep.c": "int x;"}, arguments=("-DA=2",))[0] == Plan(configure=True)
    assert (bench.root / "build" / "object.o").exists()


def test_other_settings_begin_a_new_folder(bench: Bench) -> None:
    prepared(bench, MINI)
    (bench.root / "build" / "stale.o").touch()
    plan, _ = prepared(bench, MINI, settings="other")
    assert plan.anew == "settings or tools changed"
    assert not (bench.root / "build" / "stale.o").exists()


@pytest.mark.parametrize("path", ["CMakeLists.txt", "cmake/tools.cmake", "src/CMakeLists.txt"])
def test_changed_added_and_removed_cmake_files_begin_a_new_folder(bench: Bench, path: str) -> None:
    prepared(bench, MINI | {path: "one"})
    assert path in prepared(bench, MINI | {path: "two"})[0].anew
    kept = {name: text for name, text in MINI.items() if name != path}
    assert path in prepared(bench, kept)[0].anew
    assert path in prepared(bench, kept | {path: "two"})[0].anew


def test_a_changed_file_that_is_not_newer_than_what_was_built_begins_a_new_folder(bench: Bench) -> None:
    prepared(bench, MINI)
    changed = MINI | {"deep.c": "int deep(void) { return 1; }\n"}
    place(bench.root / "src", changed)
    newest = max(path.stat().st_mtime_ns for path in (bench.root / "build").iterdir())
    os.utime(bench.root / "src" / "deep.c", ns=(newest, newest))
    assert prepared(bench, changed)[0].anew == "deep.c differs but is not newer than what was built"


def test_a_folder_without_or_with_a_broken_marker_is_not_trusted(bench: Bench) -> None:
    _, folder = prepared(bench, MINI)
    for damage in (lambda marker: marker.unlink(), lambda marker: marker.write_text('{"schema_version": 1,')):
        damage(folder.path / MARKER)
        assert prepared(bench, MINI)[0].anew == "it does not say what it was built from"


def test_a_killed_configure_begins_a_new_folder_a_killed_compile_does_not(bench: Bench) -> None:
    _, folder = prepared(bench, MINI, arguments=("-DA=2",))
    again = BuildFolder(folder.path, folder.source, settings="s", arguments=("-DA=3",))
    assert again.prepare() == Plan(configure=True)
    assert again.prepare().anew == "configuring it was interrupted"
    again.configured()
    assert again.prepare() == Plan(configure=False)


def test_a_new_header_nobody_knows_keeps_the_folder(bench: Bench) -> None:
    prepared(bench, MINI)
    assert prepared(bench, MINI | {"include/unheard.h": ""})[0] == Plan(configure=True)


def test_a_header_of_a_known_name_makes_ccache_look_again(bench: Bench) -> None:
    prepared(bench, MINI)
    plan, _ = prepared(bench, MINI | {"parts/greet.h": ""})
    assert plan == Plan(
        configure=True, anew="parts/greet.h is new and may hide another file of that name", direct=False
    )


def test_differences_name_what_was_added_changed_and_removed(tmp_path: Path) -> None:
    place(tmp_path, {"a": "1", "b/c": "2", "d": "3", "b/__pycache__/x.pyc": "", ".git": "gitdir: elsewhere"})
    before = snapshot(tmp_path)
    assert sorted(before) == ["a", "b/c", "d"]
    (tmp_path / "a").chmod(0o755)
    place(tmp_path, {"a": "1", "b/c": "2!", "e": "4"})
    found = difference(before, snapshot(tmp_path))
    assert (found.added, found.changed, found.removed) == (("e",), ("a", "b/c"), ("d",))


def test_a_full_disk_is_an_environment_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "marker")

    monkeypatch.setattr("tempfile.mkstemp", full)
    with pytest.raises(PatchctlError, match="No space left on device: marker") as caught:
        prepared(bench, MINI)
    assert caught.value.exit_code == Code.ENVIRONMENT


def ccache_counts() -> dict[str, int]:
    said = subprocess.run(["ccache", "--print-stats"], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in (line.split("\t") for line in said.splitlines())}


@pytest.mark.skipif(shutil.which("ccache") is None, reason="ccache is optional")
def test_another_slot_is_built_from_the_compiler_cache_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCACHE_DIR", str(bench.root / "ccache"))

    def build(name: str) -> Built:
        return Bench(bench.root / name).build(MINI)

    first = build("one/deep")
    before = ccache_counts()
    second = build("two")
    after = ccache_counts()
    compiled = len(objects(bench.root / "two" / "slot"))
    assert after["direct_cache_hit"] - before["direct_cache_hit"] >= compiled
    assert after["cache_miss"] == before["cache_miss"]
    assert contents(first.path) == contents(second.path)

"""``materialise``: a folder that holds exactly one tree, whatever it held before and whenever it was cut off."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from patchctl.files import BESIDE
from patchctl.ledger import Ledger
from patchctl.series.checkout import materialise, state_path
from patchctl.store import Store
from tests.series.world import URL, World, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILES = {
    "README": "read me\n",
    "run.sh": ("100755", b"#!/bin/sh\n"),
    "src/engine.c": "engine\n",
    "src/deep/er/leaf.c": "leaf\n",
    "link": ("120000", b"src/engine.c"),
    "dangling": ("120000", b"../../nowhere"),
    "vendor": ("160000", b"1234567890123456789012345678901234567890"),
    "odd\tname \xe9.txt": "odd\n",
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.commit({name: entry for name, entry in FILES.items() if "\t" not in name})
    return world


@pytest.fixture
def store(world: World, isolated: Path) -> Iterator[Store]:
    ledger = Ledger(isolated / "cache" / "ledger.sqlite")
    store = Store(URL, str(world.upstream), isolated / "cache", ledger)
    yield store
    store.repo.close()
    ledger.close()


@pytest.fixture
def tree(world: World, store: Store) -> Callable[[], str]:
    """Give the tree of upstream's tip, brought into the store."""

    def call(commit: str | None = None) -> str:
        store.ensure_commit(commit or world.tip or "")
        return store.repo.tree_of(commit or world.tip or "")

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "slot" / "src"


def held(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Return mode and content of everything below a folder that is no folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = ("120000", os.fsencode(path.readlink()))
        elif path.is_file():
            found[name] = ("100755" if path.stat().st_mode & 0o111 else "100644", path.read_bytes())
    return found


def in_tree(world: World, commit: str | None = None) -> dict[str, tuple[str, bytes]]:
    """Return what plain git says that tree holds, gitlinks apart."""
    found = {}
    for line in show(world.upstream, "ls-tree", "-r", "-z", commit or world.tip or "").split("\0")[:-1]:
        entry, _, name = line.partition("\t")
        mode, kind, oid = entry.split()
        if kind == "blob":
            found[name] = (mode, (show(world.upstream, "cat-file", "blob", oid) + "\n").encode())
    return {
        name: (mode, body.removesuffix(b"\n") if mode == "120000" else body) for name, (mode, body) in found.items()
    }


def times(folder: Path) -> dict[str, int]:
    return {name: (folder / name).lstat().st_mtime_ns for name in held(folder)}


def asides(folder: Path) -> dict[str, bytes]:
    """Return what was moved aside, by its path in the folder."""
    places = sorted(folder.parent.glob(f"{folder.name}.aside-*"))
    return {path.relative_to(place).as_posix(): path.read_bytes() for place in places for path in place.rglob("*.*")}


def test_a_folder_holds_exactly_the_tree(world: World, store: Store, tree: Callable[..., str], folder: Path) -> None:
    moved = materialise(store, tree(), folder)
    assert held(folder) == in_tree(world)
    assert set(moved.added) == set(held(folder))
    assert (moved.changed, moved.removed, moved.left_out, moved.aside) == ((), (), (), ())
    assert sorted(path.name for path in folder.parent.iterdir()) == ["src", "src.state.json"]


def test_files_are_for_everybody_whatever_the_umask(store: Store, tree: Callable[..., str], folder: Path) -> None:
    before = os.umask(0o077)
    try:
        materialise(store, tree(), folder)
    finally:
        os.umask(before)
    assert (folder / "README").stat().st_mode & 0o777 == 0o644
    assert (folder / "run.sh").stat().st_mode & 0o777 == 0o755


def test_only_files_that_differ_are_written(world: World, store: Store, tree: Callable[..., str], folder: Path) -> None:
    materialise(store, tree(), folder)
    before = times(folder)
    world.commit({"src/engine.c": "new engine\n", "src/more.c": "more\n", "README": None, "run.sh": "#!/bin/sh\n"})
    moved = materialise(store, tree(), folder)
    assert held(folder) == in_tree(world)
    assert (moved.changed, moved.added, moved.removed) == (("run.sh", "src/engine.c"), ("src/more.c",), ("README",))
    after = times(folder)
    assert {name for name in before.keys() & after.keys() if before[name] != after[name]} == set(moved.changed)
    assert all(after[name] > max(before.values()) for name in (*moved.changed, *moved.added))


def test_the_same_tree_again_reads_and_writes_nothing(
    store: Store, tree: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tree()
    materialise(store, wanted, folder)
    before = times(folder)
    (folder / "src" / "__pycache__").mkdir()
    (folder / "src" / "__pycache__" / "x.pyc").write_bytes(b"x")
    monkeypatch.setattr("patchctl.git.run_git", None)
    assert materialise(store, wanted, folder).aside == ()
    assert times(folder) == {**before, "src/__pycache__/x.pyc": times(folder)["src/__pycache__/x.pyc"]}


def test_hand_edited_and_stray_files_are_moved_aside_and_named(
    world: World, store: Store, tree: Callable[..., str], folder: Path
) -> None:
    materialise(store, tree(), folder)
    for round_ in ("first", "second"):  # within one second, as a script would
        (folder / "src" / "engine.c").write_text(f"{round_} edit, of another length\n")
        (folder / f"{round_}.stray.c").write_text("stray\n")
        moved = materialise(store, tree(), folder)
        assert held(folder) == in_tree(world)
        assert [Path(path).read_bytes() for path in moved.aside if path.endswith("engine.c")] == [
            f"{round_} edit, of another length\n".encode()
        ]
        assert len(moved.aside) == 2
    kept = sorted(path.read_text() for path in folder.parent.rglob("engine.c") if "aside" in str(path))
    assert kept == ["first edit, of another length\n", "second edit, of another length\n"]


def test_a_hand_edit_is_kept_also_when_the_file_changes_or_goes(
    world: World, store: Store, tree: Callable[..., str], folder: Path
) -> None:
    materialise(store, tree(), folder)
    (folder / "src" / "engine.c").write_text("my edit\n")
    (folder / "README").write_text("my read me\n")
    world.commit({"src/engine.c": "new engine\n", "README": None})
    moved = materialise(store, tree(), folder)
    assert held(folder) == in_tree(world)
    assert sorted(Path(path).read_text() for path in moved.aside) == ["my edit\n", "my read me\n"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"x": "file\n"}, {"x": None, "x/y/z.c": "below\n"}),
        ({"x/y/z.c": "below\n"}, {"x/y/z.c": None, "x": "file\n"}),
        ({"x": ("120000", b"src")}, {"x": None, "x/engine.c": "inside\n"}),
        ({"x/engine.c": "inside\n"}, {"x/engine.c": None, "x": ("120000", b"src")}),
        ({"x": "file\n"}, {"x": ("160000", b"1" * 40)}),
        ({"x": ("160000", b"1" * 40)}, {"x": None, "x/a.c": "a\n"}),
        ({"x": "file\n"}, {"x": ("120000", b"README")}),
        ({"x": ("120000", b"README")}, {"x": "file\n"}),
    ],
)
def test_files_folders_links_and_gitlinks_swap(
    before: dict[str, str], after: dict[str, str], world: World, store: Store, tree: Callable[..., str], folder: Path
) -> None:
    world.commit(before)
    materialise(store, tree(), folder)
    world.commit(after)
    moved = materialise(store, tree(), folder)
    assert held(folder) == in_tree(world)
    assert moved.aside == ()


def test_a_link_to_a_folder_in_the_way_lets_nothing_land_outside(
    world: World, store: Store, tree: Callable[..., str], folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "engine.c").write_text("precious\n")
    folder.mkdir(parents=True)
    (folder / "src").symlink_to(outside)
    materialise(store, tree(), folder)
    assert held(folder) == in_tree(world)
    assert not (folder / "src").is_symlink()
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"engine.c": "precious\n"}
    shutil.rmtree(folder / "src")
    (folder / "src").symlink_to(outside)
    materialise(store, tree(), folder)
    assert held(folder) == in_tree(world)
    assert [path.name for path in outside.iterdir()] == ["engine.c"]


def test_a_pipe_in_the_way_does_not_block(world: World, store: Store, tree: Callable[..., str], folder: Path) -> None:
    folder.mkdir(parents=True)
    os.mkfifo(folder / "README", 0o644)
    materialise(store, tree(), folder)
    assert held(folder) == in_tree(world)


def test_a_long_name_is_no_problem(world: World, store: Store, tree: Callable[..., str], folder: Path) -> None:
    world.commit({"n" * 255: "long\n"})
    materialise(store, tree(), folder)
    assert held(folder) == in_tree(world)


def test_blobs_no_copy_has_are_left_out_and_named_every_time(
    world: World, store: Store, tree: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tree()
    gone = show(world.upstream, "rev-parse", "master:README")
    real = store.ensure_tree
    monkeypatch.setattr(store, "ensure_tree", lambda tree: [*real(tree), gone])
    assert materialise(store, wanted, folder).left_out == ("README",)
    assert materialise(store, wanted, folder).left_out == ("README",)
    assert not (folder / "README").exists()
    monkeypatch.undo()
    world.commit({"README": "now there\n"})
    assert materialise(store, tree(), folder).left_out == ()
    assert held(folder) == in_tree(world)


@pytest.mark.parametrize("damage", ["no state", "half a state", "folder gone", "a state of something else"])
def test_a_lost_state_costs_reading_and_moves_nothing_aside(
    damage: str, world: World, store: Store, tree: Callable[..., str], folder: Path
) -> None:
    materialise(store, tree(), folder)
    before = times(folder)
    if damage == "no state":
        state_path(folder).unlink()
    elif damage == "half a state":
        state_path(folder).write_bytes(state_path(folder).read_bytes()[:50])
    elif damage == "folder gone":
        shutil.rmtree(folder)
    else:
        state_path(folder).write_text('{"tree": 1, "complete": true, "files": {"README": [1]}, "left_out": []}')
    moved = materialise(store, tree(), folder)
    assert held(folder) == in_tree(world)
    assert moved.aside == ()
    assert damage == "folder gone" or times(folder) == before


@pytest.mark.parametrize("step", range(2, 40, 4))
def test_cut_off_at_any_step_the_next_call_completes_it_and_blames_nobody(
    step: int, world: World, store: Store, tree: Callable[..., str], folder: Path
) -> None:
    """Cut off on the way from one tree to another; then a third one is wanted."""
    materialise(store, tree(), folder)
    world.commit({"src/engine.c": "second\n", "README": None, "new/a.c": "a\n", "new/b.c": "b\n", "link": None})
    second = tree()
    world.commit({"src/engine.c": "third\n", "new/b.c": "bb\n", "new/a.c": None, "README": "back\n"})
    third = tree()
    store.repo.close()
    child = os.fork()
    if child == 0:
        _cut_off(store, second, folder, step)
    os.waitpid(child, 0)
    moved = materialise(store, third, folder)
    assert held(folder) == in_tree(world)
    assert moved.aside == ()
    assert sorted(path.name for path in folder.parent.iterdir() if not path.name.endswith(BESIDE)) == [
        "src",
        "src.state.json",
    ]


def _cut_off(store: Store, tree: str, folder: Path, step: int) -> None:
    import sys

    from tests.series.vanish import DOES, VANISHED

    done = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        writes = event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        done += event in DOES or writes
        if done == step:
            os._exit(VANISHED)

    sys.addaudithook(hook)
    try:
        materialise(store, tree, folder)
    finally:
        os._exit(0)

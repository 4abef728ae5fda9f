"""Random upstreams, made in one go, and patches that meet all that can happen to files: for what must be exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.series.world import World, text
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Files = dict[str, str]
Step = tuple[str, ...]

START: Files = {
    "a/one.c": text(),
    "a/two.c": text({1: "two"}),
    "b/three.c": text({1: "three"}),
    "b/sub/four.c": text({1: "four"}),
    "c/five.c": text({1: "five"}),
}
NEW = text({1: "new"}, count=12)
PATCHES: dict[str, tuple[str, dict[str, str | None]]] = {
    # id: the patch it was made on and requires, the files it leaves
    "edits": ("", {"a/one.c": text({10: "ours"})}),
    "edits-and-makes": ("edits", {"a/one.c": text({10: "ours", 20: "more"}), "a/new.c": NEW}),
    "builds-on-made": ("edits-and-makes", {"a/new.c": NEW + "last\n"}),
    "renames": ("", {"b/three.c": None, "b/3.c": text({1: "three", 25: "renamed"})}),
    "empties-a-folder": ("", {"b/sub/four.c": None, "d/four.c": text({1: "four", 3: "moved"})}),
    "makes-a-folder": ("", {"c/deep/er/x.c": text({1: "x"}, count=5)}),
    "deletes": ("", {"c/five.c": None}),
}
PATHS = [*START, "a/new.c", "b/3.c", "d/four.c", "c/deep/er/x.c", "b/sub/more.c"]
LINES = st.sampled_from([1, 9, 10, 11, 20, 25, 28])
WORDS = st.sampled_from(["ours", "more", "renamed", "theirs", "line 10"])
STEPS = st.one_of(
    st.tuples(st.just("edit"), st.sampled_from(PATHS), LINES.map(str), WORDS),
    st.tuples(st.just("put"), st.sampled_from(list(PATCHES))),
    st.tuples(st.just("rename"), st.sampled_from(PATHS), st.sampled_from([*PATHS, "z.c", "a"])),
    st.tuples(st.just("move"), st.sampled_from(["a", "b", "b/sub", "c"]), st.sampled_from(["f", "a", "g/h"])),
    st.tuples(st.just("delete"), st.sampled_from(PATHS)),
    st.tuples(st.just("add"), st.sampled_from(PATHS)),
    st.tuples(st.just("back"), st.integers(1, 4).map(str)),
    st.tuples(st.just("aside")),
)
HISTORIES = st.lists(STEPS, min_size=1, max_size=8)


def _edit(files: Files, path: str, number: str, word: str) -> None:
    lines = files.get(path, "").splitlines()
    if len(lines) >= int(number):
        lines[int(number) - 1] = word
        files[path] = "\n".join(lines) + "\n"


def _put(files: Files, patch: str) -> None:
    for path, content in PATCHES[patch][1].items():
        if content is None:
            files.pop(path, None)
        else:
            files[path] = content


def _rename(files: Files, old: str, new: str) -> None:
    if old in files:
        files[new] = files.pop(old)


def _move(files: Files, old: str, new: str) -> None:
    for path in [path for path in files if path.startswith(f"{old}/")]:
        files[new + path[len(old) :]] = files.pop(path)


def _add(files: Files, path: str) -> None:
    files.setdefault(path, NEW if path == "a/new.c" else text({2: path}, count=8))


DO: dict[str, Callable[..., None]] = {
    "edit": _edit,
    "put": _put,
    "rename": _rename,
    "move": _move,
    "delete": lambda files, path: files.pop(path, None),
    "add": _add,
    "aside": lambda files: files.update({"elsewhere.txt": files.get("elsewhere.txt", "") + "x\n"}),
}


def trees(steps: Sequence[Step]) -> list[Files]:
    """Return the files of each commit, the first being ``START``; what cannot be together in a tree is left out."""
    made = [dict(START)]
    for name, *words in steps:
        files = dict(made[-1])
        if name == "back":
            files = dict(made[max(len(made) - 1 - int(words[0]), 0)])
        else:
            DO[name](files, *words)
        folders = {path[:at] for path in files for at in range(len(path)) if path[at] == "/"}
        made.append({path: content for path, content in files.items() if path not in folders})
    return made


def write(folder: Path, steps: Sequence[Step]) -> tuple[World, list[str]]:
    """Return a world whose upstream has these commits, with their ids; the patches are made on the first."""
    world = World(folder)
    stream = b""
    for mark, files in enumerate(trees(steps), 1):
        who = f"Ada <ada@example.invalid> {1_700_000_000 + mark} +0000"
        head = f"commit refs/heads/master\nmark :{mark}\nauthor {who}\ncommitter {who}\ndata <<E\nstep (#{mark})\nE\n"
        head += f"from :{mark - 1}\n" if mark > 1 else ""
        stream += head.encode() + b"deleteall\n"
        for path, content in files.items():
            stream += b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content.encode())
    git("-C", world.upstream, "fast-import", "--quiet", "--export-marks=marks", stdin=stream)
    marks = dict(line.split() for line in (world.upstream / "marks").read_text().splitlines())
    oids = [marks[f":{mark}"] for mark in range(1, len(steps) + 2)]
    world.tip = oids[0]
    made: dict[str, str] = {}
    for patch, (on, files) in PATCHES.items():
        requires = [on] if on else []
        made[patch] = world.patch(patch, files, on=made.get(on), requires=requires, base=oids[0], build=1)
    world.stack(*PATCHES, base=oids[0])
    return world, oids

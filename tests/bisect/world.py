"""An upstream of hundreds of commits that compiles in a moment, a stack of patches, and a culprit planted in C."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.upstreams.maker import FORMAT, _empty_repository, git

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

URL = "https://example.invalid/engine.git"
FIRST_SECOND = 1_700_000_000
PARTS = 6

CMAKE = """\
cmake_minimum_required(VERSION 3.20)
project(engine C)
configure_file(info.c.in info.c)
include_directories(first second)
add_executable(engine main.c upstream.c patches.c part0.c part1.c part2.c part3.c part4.c part5.c
               ${CMAKE_BINARY_DIR}/info.c)
"""
INFO = 'const char *info(void) { return "b@LLAMA_BUILD_NUMBER@ @LLAMA_BUILD_COMMIT@"; }\n'


def main_c(culprit: str, patches: Sequence[str]) -> str:
    """Return the program: it prints what it is made of and ends with 1 where ``culprit``, a C expression, is true."""
    declared = "".join(f"extern int {name};\n" for name in patches)
    flags = "".join(f'    printf(" {name}=%d", {name});\n' for name in patches)
    return (
        '#include <stdio.h>\n#include "limit.h"\n'
        "extern int upstream;\nextern int speed;\nconst char *info(void);\n"
        f"{declared}int main(void) {{\n    int bad = {culprit};\n"
        '    printf("%s upstream=%d speed %d limit=%d", info(), upstream, speed, LIMIT);\n'
        f"{flags}"
        '    printf("\\n");\n    if (bad) fprintf(stderr, "the culprit is here\\n");\n    return bad ? 1 : 0;\n}\n'
    )


def patches_c(names: Sequence[str], on: Sequence[str] = ()) -> str:
    """Return the file that every patch edits, each its own line, far from the others."""
    lines = []
    for name in names:
        lines += [f"// {name} line {at}" for at in range(1, 8)] + [f"int {name} = {int(name in on)};"]
    return "\n".join([*lines, "// the end", ""])


@dataclass(frozen=True)
class World:
    """A bare upstream, a workspace with stacks, and the commits by build number (from 1)."""

    upstream: Path
    workspace: Path
    names: tuple[str, ...]
    commits: tuple[str, ...]

    @property
    def mirror(self) -> str:
        return f"{URL}={self.upstream}"

    def base(self, build: int) -> str:
        return self.commits[build - 1]

    def stack(self, name: str, build: int, patches: Sequence[str], more: str = "") -> Path:
        """Write a stack on the commit that counts ``build``."""
        lines = ["schema: 1", f"release: {name}", f"upstream: {{repo: {URL}, commit: {self.base(build)}}}"]
        lines += [f"patches: [{', '.join(patches)}]"]
        lines += [
            "build: {targets: [engine], cmake: {GGML_NATIVE: false, CMAKE_C_FLAGS_RELEASE: -O0}, variants: {cpu: {}}}"
        ]
        path = self.workspace / "stacks" / f"{name}.yaml"
        path.write_text("\n".join([*lines, more, ""]))
        return path


def make_world(
    folder: Path,
    *,
    commits: int,
    patches: int,
    culprit: str = "upstream",
    step: int | None = None,
    broken: range = range(0),
    requires: Mapping[str, Sequence[str]] | None = None,
    same: Sequence[int] = (),
    clash: int | None = None,
    hides: int | None = None,
) -> World:
    """Make an upstream of ``commits`` commits, of which ``step`` (a build number) sets ``upstream`` to 1.

    ``culprit`` is the C expression that is bad; patches are ``p00`` … and set the variable of their name. ``broken``
    commits do not compile. Commits in ``same`` change a file nobody compiles. The commit ``clash`` changes the line
    that the patch p01 changes, in another way. The commit ``hides`` adds a header that is found before one of its name.
    """
    names = tuple(f"p{number:02}" for number in range(patches))
    upstream, authored = folder / "upstream.git", folder / "authored.git"
    _empty_repository(upstream)
    files: dict[str, str] = {
        "CMakeLists.txt": CMAKE, "info.c.in": INFO, "upstream.c": "int upstream = 0;\nint speed = 100;\n",
        "main.c": main_c(culprit, names), "patches.c": patches_c(names), "notes.md": "notes\n",
        "second/limit.h": "#define LIMIT 1\n",
        **{f"part{number}.c": f"int part{number} = 0;\n" for number in range(PARTS)},
    }  # fmt: skip
    stream = [_commit("refs/heads/main", 1, None, files, "engine : start (#1)")]
    for build in range(2, commits + 1):
        changed = _change(build, step, broken, same)
        if build == hides:
            changed["first/limit.h"] = "#define LIMIT 2\n"
        if build == clash:
            changed["patches.c"] = patches_c(names).replace("int p01 = 0;", "int p01 = 7;")
        stream.append(_commit("refs/heads/main", build, build - 1, changed, f"engine : step {build} (#{build})"))
    oids = _import(upstream, stream)
    shutil.copytree(upstream, authored)
    _borrowed(authored, oids[0], names)
    workspace = folder / "workspace"
    (workspace / "stacks").mkdir(parents=True)
    for name in names:
        page = workspace / "patches" / name
        page.mkdir(parents=True)
        needs = (requires or {}).get(name, ())
        more = f"requires: [{', '.join(needs)}]\n" if needs else ""
        (page / "README.md").write_text(f"---\ntitle: {name}\n{more}---\n# {name}\n")
        mail = git("-C", authored, "format-patch", *FORMAT, f"--base={oids[0]}", "-1", f"refs/heads/{name}")
        (page / "b1.patch").write_bytes(mail)
    return World(upstream, workspace, names, tuple(oids))


def _change(build: int, step: int | None, broken: range, same: Sequence[int]) -> dict[str, str]:
    part = f"part{build % PARTS}.c"
    changed = {"notes.md": f"notes {build}\n"} if build in same else {part: f"int part{build % PARTS} = {build};\n"}
    if build == step:
        changed["upstream.c"] = f"int upstream = 1; // {build}\nint speed = 80;\n"
    if broken and build == broken[0]:
        changed["part0.c"] = "#error broken\n"
    elif build in broken:
        changed.pop("part0.c", None)
        changed["notes.md"] = f"notes {build}\n"
    elif broken and build == broken[-1] + 1:
        changed["part0.c"] = f"int part0 = {build};\n"
    return changed


def _borrowed(authored: Path, base: str, names: Sequence[str]) -> None:
    stream = [
        _commit(f"refs/heads/{name}", 1000 + at, base, {"patches.c": patches_c(names, [name])}, f"engine : {name} it")
        for at, name in enumerate(names)
    ]
    _import(authored, stream)


def _commit(ref: str, number: int, parent: int | str | None, files: Mapping[str, str], message: str) -> bytes:
    second = FIRST_SECOND + number * 3600
    who = f"Ada Author <ada@example.invalid> {second} +0000"
    head = [f"reset {ref}\n" if parent is None else "", f"commit {ref}\nmark :{number}\n"]
    head += [f"author {who}\ncommitter {who}\n", f"data {len(message.encode())}\n{message}\n"]
    head += [f"from :{parent}\n" if isinstance(parent, int) else f"from {parent}\n" if parent else ""]
    body = [f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n" for path, text in files.items()]
    return "".join([*head, *body]).encode()


def _import(repository: Path, stream: Sequence[bytes]) -> list[str]:
    marks = repository / "marks"
    git(
        "-C",
        repository,
        "fast-import",
        "--quiet",
        "--force",
        f"--export-marks={marks}",
        stdin=b"".join(stream) + b"done\n",
    )
    pairs = dict(line.split() for line in marks.read_text().splitlines())
    marks.unlink()
    return [pairs[mark] for mark in sorted(pairs, key=lambda mark: int(mark[1:]))]
